"""Ingest through the real path: a CSV dropped into the local cloud's bucket becomes a dataset.

Prints how long it took, the ingest function's peak RSS and whether every row is identical. Linux
only: the function's process is found, and its memory read, in /proc.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "layers" / "novaloop"), str(ROOT)]

from benchmarks.stackoverflow_like import LABELS, content_hash, generate  # noqa: E402
from novaloop.experiment.record import DatasetItem, DatasetStatus, Snapshot  # noqa: E402
from novaloop_cli.stack import Stack, local_stack  # noqa: E402
from novaloop_localcloud.cloud import up  # noqa: E402

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MEGA = 1_000_000
LIMIT_MB = 200
TIMEOUT_SECONDS = 600.0
POLL_SECONDS = 0.2
SPEC = f"""
columns: {{question: Body, answer: Y}}
labels: [{", ".join(LABELS)}]
plan: [sft]
dry_run: true
"""


@dataclass(frozen=True)
class Arrival:
    """One file's way from the bucket's inbox to a dataset."""

    rows: int
    seconds: float
    idle_rss_mb: float
    peak_rss_mb: float
    identical: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one file in a local cloud of its own; 1 if it lost a row or took too much memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=200, help="size of the generated file")
    size = parser.parse_args(arguments).mb
    with tempfile.TemporaryDirectory(prefix="bench-ingest-cloud-") as folder:
        home = Path(folder)
        with up(home / "local") as cloud, local_stack(cloud) as stack:
            found = measure(stack, cloud.state.pid, home, size)
    print("MB | rows | seconds | rows/s | RSS before MB | peak RSS MB | identical")
    print(
        f"{size} | {found.rows:,} | {found.seconds:.1f} | {found.rows / found.seconds:,.0f} |"
        f" {found.idle_rss_mb:.0f} | {found.peak_rss_mb:.0f} | {'yes' if found.identical else 'NO'}"
    )
    return 0 if found.identical and found.peak_rss_mb <= LIMIT_MB else 1


def measure(stack: Stack, emulator_pid: int, folder: Path, size_mb: int) -> Arrival:
    """Drop a generated file into the inbox and follow it until it is a dataset."""
    name = f"large-{size_mb}"
    source = folder / "sft.csv"
    rows, content = generate(source, size_mb * MEGA)
    inbox = f"inbox/{name}"
    stack.s3.put_object(Bucket=stack.bucket, Key=f"{inbox}/experiment.yaml", Body=SPEC.encode())
    _wait(lambda: stack.table.load(name).spec)
    idle = _ingest_memory_mb(emulator_pid, "VmRSS")
    stack.s3.upload_file(str(source), stack.bucket, f"{inbox}/sft.csv")
    source.unlink()
    started = time.perf_counter()
    item = _arrived(stack, name)
    seconds = time.perf_counter() - started
    peak = _ingest_memory_mb(emulator_pid, "VmHWM")
    found = _content(stack.s3, stack.bucket, item.outputs["sft"])
    return Arrival(rows, seconds, idle, peak, found == (rows, content))


def _arrived(stack: Stack, name: str) -> DatasetItem:
    """Return the dataset once it was converted and the checks have looked at it."""
    _wait(lambda: _is_decided(stack.table.load(name)))
    item = stack.table.load(name).datasets["sft"]
    if item.status is DatasetStatus.REJECTED:
        raise SystemExit(f"rejected: {item.reason}")
    return item


def _is_decided(snapshot: Snapshot) -> bool:
    item = snapshot.datasets.get("sft")
    is_rejected = item is not None and item.status is DatasetStatus.REJECTED
    return is_rejected or snapshot.checks is not None


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing arrived in {TIMEOUT_SECONDS:.0f} seconds")
        time.sleep(POLL_SECONDS)


def _ingest_memory_mb(emulator_pid: int, field: str) -> float:
    """Return the highest figure, such as VmHWM, among the ingest function's warm processes."""
    return max(
        _memory_mb(pid, field)
        for pid in _descendants(emulator_pid)
        if b"-IngestFunction-" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _descendants(child)


def _memory_mb(pid: int, field: str) -> float:
    """Return a memory figure of a process, such as VmHWM, its peak RSS."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(kib) * 1024 / MEGA


def _content(s3: "S3Client", bucket: str, key: str) -> tuple[int, int]:
    rows = content = 0
    for line in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines(chunk_size=MEGA):
        question, answer = (turn["content"][0]["text"] for turn in json.loads(line)["messages"])
        rows += 1
        content = (content + content_hash(question, answer)) % 2**64
    return rows, content


if __name__ == "__main__":
    sys.exit(main())
