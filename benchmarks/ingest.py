"""Ingest against the Nova Forge SDK's CSV loader: same file, same interpreter, same run.

Prints rows/s, MB per CPU-second, peak memory and whether every row is identical. The SDK does
load, transform, validate and save; ours its whole pass: checks, rejects, statistics, sketches,
hashes. With --memory: ours alone, on a small file and on a big one.

Memory is the larger of one process's peak RSS and, where Linux tells it, the sum over all
processes, which counts a page that they share once, looked at twenty times a second.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "layers" / "novaloop"), str(ROOT)]

from benchmarks.stackoverflow_like import LABELS, content_hash, generate  # noqa: E402

PEER = "amzn-nova-forge==1.4.10"
PEER_VERSIONS = ("3.12", "3.13")
PEER_ENVIRONMENT = ROOT / ".tools" / "bench-ingest"
# What our side needs beside the peer, in the peer's environment.
OWN_REQUIREMENTS = (
    *("jinja2>=3.1.6,<4", "numpy>=2.3,<3", "orjson>=3.11,<4", "pydantic>=2.12,<3"),
    *("pyyaml>=6.0.3,<7", "rensa>=0.5,<0.6", "xxhash>=3.5,<5"),
)
MEGA = 1_000_000
MEMORY_MB = (100, 2_000)


@dataclass(frozen=True)
class Result:
    """One engine's measurements."""

    engine: str
    size_mb: float
    rows: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    identical: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the engines in processes of their own on generated files and print one table."""
    options = _parse(arguments)
    if options.engine:
        ENGINES[options.engine](options.source, options.target)
        return 0
    python = sys.executable if options.memory else _peer_python(options.peer_python)
    engines = OURS if options.memory else [*ENGINES]
    results: list[Result] = []
    for size in MEMORY_MB if options.memory else [options.mb]:
        results += _run_all(engines, python, size, options.repeat)
    _print_table(results)
    if not options.memory:
        _print_ratios(results)
    return 0 if all(each.identical for each in results if each.engine in OURS) else 1


def _run_all(engines: Sequence[str], python: str, mb: int, repeat: int) -> list[Result]:
    """Return each engine's best of `repeat` runs, which take turns."""
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder:
        source = Path(folder) / "questions.csv"
        rows, content = generate(source, mb * MEGA)
        size = source.stat().st_size / MEGA
        print(f"{size:.0f} MB, {rows:,} rows, 87 % multi-line; {_version(python)}", flush=True)
        results = [
            _measure(engine, python, source, rows, content)
            for _ in range(repeat)
            for engine in engines
        ]
    return [min(_of(results, engine), key=lambda each: each.cpu_s) for engine in engines]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=200, help="size of the generated file")
    parser.add_argument("--repeat", type=int, default=1, help="runs per engine; the best counts")
    parser.add_argument("--memory", action="store_true", help="ours alone, at two sizes")
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
        base = base or _python_for_the_peer()
        subprocess.run([base, "-m", "venv", PEER_ENVIRONMENT], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", PEER, *OWN_REQUIREMENTS], check=True)
    return str(python)


def _python_for_the_peer() -> str:
    """Return this Python, or another one of the machine's, that is new enough for the peer."""
    if sys.version_info >= (3, 12):
        return sys.executable
    for version in PEER_VERSIONS:
        if (python := shutil.which(f"python{version}")) is not None:
            # pyenv's python3.12 refuses to run unless that version is chosen.
            environment = {**os.environ, "PYENV_VERSION": version}
            asked = [python, "-c", "import sys; print(sys.executable)"]
            told = subprocess.run(
                asked, env=environment, capture_output=True, text=True, check=False
            )
            if told.returncode == 0:
                return told.stdout.strip()
    raise SystemExit(
        f"the peer needs Python {' or '.join(PEER_VERSIONS)}, and there is none; name one with "
        "--peer-python, or make bench-ingest PEER_PYTHON=..."
    )


def _version(python: str) -> str:
    return subprocess.run([python, "-V"], check=True, capture_output=True, text=True).stdout.strip()


def _of(results: Sequence[Result], engine: str) -> list[Result]:
    return [result for result in results if result.engine == engine]


def _measure(engine: str, python: str, source: Path, rows: int, content: int) -> Result:
    target = source.with_name(f"{engine.replace(' ', '-')}.jsonl")
    command = [python, __file__, "--engine", engine, str(source), str(target)]
    environment = {**os.environ, "TELEMETRY_OPT_OUT": "true", "OPENBLAS_NUM_THREADS": "1"}
    with source.with_name("log").open("w+") as log:
        started = time.perf_counter()
        child = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        memory = _MemoryWatch(child.pid)
        # wait4 tells this child's use alone; RUSAGE_CHILDREN would keep the largest of all so far.
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise SystemExit(f"{engine} failed:\n{log.read()[-3000:]}")
    peak = used.ru_maxrss / (MEGA if sys.platform == "darwin" else 1_000)
    return Result(
        engine=engine,
        size_mb=source.stat().st_size / MEGA,
        rows=rows,
        wall_s=wall,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mb=max(peak, memory.peak_mb()),
        identical=_content(target) == (rows, content),
    )


class _MemoryWatch(threading.Thread):
    """Looks at the memory of a process and its descendants until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._peak_kb = 0
        self.start()

    def run(self) -> None:
        while used := sum(map(_proportional_kb, _family(self._pid))):
            self._peak_kb = max(self._peak_kb, used)
            time.sleep(0.05)

    def peak_mb(self) -> float:
        self.join()
        return self._peak_kb * 1024 / MEGA


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


def _proportional_kb(pid: int) -> int:
    """Return the memory of a process, where each page that it shares counts in part."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _content(path: Path) -> tuple[int, int]:
    rows = content = 0
    with path.open("rb") as file:
        for line in file:
            question, answer = (turn["content"][0]["text"] for turn in json.loads(line)["messages"])
            rows += 1
            content = (content + content_hash(question, answer)) % 2**64
    path.unlink()
    return rows, content


def _print_table(results: Sequence[Result]) -> None:
    heading = ("engine", "MB", "wall s", "CPU s", "rows/s", "MB/CPU-s", "peak MB", "identical")
    print("\n" + " | ".join(heading))
    for each in results:
        cells = (
            each.engine,
            f"{each.size_mb:.0f}",
            f"{each.wall_s:.1f}",
            f"{each.cpu_s:.1f}",
            f"{each.rows / each.wall_s:,.0f}",
            f"{each.size_mb / each.cpu_s:.1f}",
            f"{each.peak_mb:,.0f}",
            "yes" if each.identical else "NO",
        )
        print(" | ".join(cells))


def _print_ratios(results: Sequence[Result]) -> None:
    *ours, peer = results
    print()
    for each in ours:
        print(
            f"{each.engine} against the SDK: {peer.cpu_s / each.cpu_s:.1f}x per CPU-second,"
            f" {peer.wall_s / each.wall_s:.1f}x by the clock,"
            f" {peer.peak_mb / each.peak_mb:.0f}x less memory"
        )


def _run_in_one_process(source: Path, target: Path) -> None:
    from novaloop.datasets.convert import convert  # noqa: PLC0415
    from novaloop.datasets.options import DatasetOptions, RowFormat  # noqa: PLC0415

    options = DatasetOptions(columns={"question": "Body", "answer": "Y"}, labels=LABELS)
    rejects: list[bytes] = []
    with source.open("rb") as file, target.open("wb") as out:
        summary = convert(file, {RowFormat.SFT: out.write}, options, rejects.append)
    if summary.refusal:
        raise summary.refusal


def _run_on_all_cores(source: Path, target: Path) -> None:
    from novaloop.experiment.record import DatasetItem, DatasetStatus  # noqa: PLC0415
    from novaloop.experiment.spec.experiment import ExperimentSpec  # noqa: PLC0415
    from novaloop.experiment.spec.stages import Role  # noqa: PLC0415
    from novaloop.usecases.conversion import Conversion  # noqa: PLC0415
    from novaloop_cli.folder import folder_world  # noqa: PLC0415
    from novaloop_cli.ranges import convert_on_all_cores  # noqa: PLC0415

    settings = {"columns": {"question": "Body", "answer": "Y"}, "labels": LABELS, "plan": ["sft"]}
    key, now = "inbox/bench/sft.csv", datetime.now(UTC)
    item = DatasetItem(Role.SFT, DatasetStatus.INGESTING, key, "local", now, "", now)
    job = Conversion("bench", ExperimentSpec.model_validate(settings), (item,))
    folder = target.with_suffix("")
    world = folder_world("bench", folder, {key: source})
    (done,) = convert_on_all_cores(job, source.stat().st_size, world)
    if done.status is not DatasetStatus.ACCEPTED:
        raise SystemExit(done.reason)
    (folder / done.outputs["sft"]).replace(target)
    shutil.rmtree(folder)


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


OURS = ("ours, one process", "ours, all cores")
ENGINES: dict[str, Callable[[Path, Path], None]] = {
    OURS[0]: _run_in_one_process,
    OURS[1]: _run_on_all_cores,
    "sdk": _run_sdk,
}

if __name__ == "__main__":
    sys.exit(main())
