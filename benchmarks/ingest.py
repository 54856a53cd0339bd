"""Ingest against the Nova Forge SDK's CSV loader: same file, same interpreter, same run.

Prints rows/s, MB per CPU-second, peak RSS and whether every row is identical. The SDK does load,
transform, validate and save; ours its whole pass: checks, rejects, statistics, sketches, hashes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "layers" / "novaloop"), str(ROOT)]

from benchmarks.stackoverflow_like import LABELS, content_hash, generate  # noqa: E402

PEER = "amzn-nova-forge==1.4.10"
PEER_ENVIRONMENT = ROOT / ".tools" / "bench-ingest"
# What our side needs beside the peer, in the peer's environment.
OWN_REQUIREMENTS = ("orjson>=3.11,<4", "numpy>=2.3,<3", "pydantic>=2.12,<3", "rensa>=0.5,<0.6")
MEGA = 1_000_000


@dataclass(frozen=True)
class Result:
    """One engine's measurements."""

    engine: str
    rows: int
    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    identical: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate the file, run the engines in processes of their own and print one table."""
    options = _parse(arguments)
    if options.engine:
        ENGINES[options.engine](options.source, options.target)
        return 0
    python = _peer_python(options.peer_python)
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder:
        source = Path(folder) / "questions.csv"
        rows, content = generate(source, options.mb * MEGA)
        size = source.stat().st_size / MEGA
        print(f"{size:.0f} MB, {rows:,} rows, 87 % multi-line; {_version(python)}\n", flush=True)
        results = [
            _measure(engine, python, source, rows, content)
            for engine in ENGINES
            for _ in range(options.repeat)
        ]
    best = [min(_of(results, engine), key=lambda each: each.cpu_s) for engine in ENGINES]
    _print_table(best, size)
    return 0 if best[0].identical else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=200, help="size of the generated file")
    parser.add_argument("--repeat", type=int, default=1, help="runs per engine; the best counts")
    parser.add_argument(
        "--peer-python", help="a Python >= 3.12 to make the peer's environment with"
    )
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("source", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("target", type=Path, nargs="?", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _peer_python(base: str | None) -> str:
    """Return the Python of the peer's environment, made where it is missing."""
    python = PEER_ENVIRONMENT / "bin" / "python"
    if not python.exists():
        if base:
            subprocess.run([base, "-m", "venv", PEER_ENVIRONMENT], check=True)
        elif sys.version_info >= (3, 12):
            venv.create(PEER_ENVIRONMENT, with_pip=True)
        else:
            raise SystemExit("the peer needs Python 3.12 or newer; name one with --peer-python")
    subprocess.run([python, "-m", "pip", "install", "-q", PEER, *OWN_REQUIREMENTS], check=True)
    return str(python)


def _version(python: str) -> str:
    return subprocess.run([python, "-V"], check=True, capture_output=True, text=True).stdout.strip()


def _of(results: Sequence[Result], engine: str) -> list[Result]:
    return [result for result in results if result.engine == engine]


def _measure(engine: str, python: str, source: Path, rows: int, content: int) -> Result:
    target = source.with_name(f"{engine}.jsonl")
    command = [python, __file__, "--engine", engine, str(source), str(target)]
    environment = {**os.environ, "TELEMETRY_OPT_OUT": "true"}
    started = time.perf_counter()
    # wait4 tells this child's use alone; RUSAGE_CHILDREN would keep the largest of all so far.
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{engine} failed")
    cpu = used.ru_utime + used.ru_stime
    peak = used.ru_maxrss / (MEGA if sys.platform == "darwin" else 1_000)
    return Result(engine, rows, wall, cpu, peak, _content(target) == (rows, content))


def _content(path: Path) -> tuple[int, int]:
    rows = content = 0
    with path.open("rb") as file:
        for line in file:
            question, answer = (turn["content"][0]["text"] for turn in json.loads(line)["messages"])
            rows += 1
            content = (content + content_hash(question, answer)) % 2**64
    path.unlink()
    return rows, content


def _print_table(results: Sequence[Result], size: float) -> None:
    heading = ("engine", "wall s", "CPU s", "rows/s", "MB/CPU-s", "peak RSS MB", "identical")
    print(" | ".join(heading))
    for each in results:
        cells = (
            each.engine,
            f"{each.wall_s:.1f}",
            f"{each.cpu_s:.1f}",
            f"{each.rows / each.wall_s:,.0f}",
            f"{size / each.cpu_s:.1f}",
            f"{each.peak_rss_mb:,.0f}",
            "yes" if each.identical else "NO",
        )
        print(" | ".join(cells))
    ours, peer = results[0], results[-1]
    print(
        f"\nours against the SDK: {peer.cpu_s / ours.cpu_s:.1f}x per CPU-second,"
        f" {peer.wall_s / ours.wall_s:.1f}x by the clock,"
        f" {peer.peak_rss_mb / ours.peak_rss_mb:.0f}x less memory"
    )


def _run_ours(source: Path, target: Path) -> None:
    from novaloop.datasets import DatasetOptions, RowFormat, convert  # noqa: PLC0415

    options = DatasetOptions(columns={"question": "Body", "answer": "Y"}, labels=LABELS)
    rejects: list[bytes] = []
    with source.open("rb") as file, target.open("wb") as out:
        summary = convert(file, {RowFormat.SFT: out.write}, options, rejects.append)
    if summary.refusal:
        raise summary.refusal


def _run_sdk(source: Path, target: Path) -> None:
    # The peer lives in an environment of its own.
    from amzn_nova_forge import (  # type: ignore[import-not-found]  # noqa: PLC0415
        CSVDatasetLoader,
        Model,
        TrainingMethod,
    )
    from amzn_nova_forge.dataset import (  # type: ignore[import-not-found]  # noqa: PLC0415
        data_state,
    )

    # Its working bucket, which a local run doesn't need but it would look up over the network.
    data_state.get_dataprep_bucket_name = lambda: "unused"
    data_state.ensure_bucket_exists = lambda _: None
    loader = CSVDatasetLoader(question="Body", answer="Y")
    loader.load(str(source))
    loader.transform(training_method=TrainingMethod.SFT_LORA, model=Model.NOVA_LITE_2)
    loader.validate(training_method=TrainingMethod.SFT_LORA, model=Model.NOVA_LITE_2)
    shutil.move(loader.save(str(target)), target)


ENGINES: dict[str, Callable[[Path, Path], None]] = {"ours": _run_ours, "sdk": _run_sdk}

if __name__ == "__main__":
    sys.exit(main())
