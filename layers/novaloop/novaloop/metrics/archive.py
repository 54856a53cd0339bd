"""What a job wrote, read file by file from streams: nothing is extracted or held whole.

Training jobs write one `output.tar.gz`, serverless and HyperPod jobs the same files uncompressed.
Layouts differ by platform and version, so files are found by the last part of their name.
"""

from __future__ import annotations

import json
import math
import posixpath
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INFERENCES = "inference_output.jsonl"
MANIFEST = "manifest.json"
CHECKPOINT_KEY = "checkpoint_s3_bucket"
MAX_TOTAL_BYTES = 32 << 30
MAX_JSON_BYTES = 64 << 20
MAX_LINE_BYTES = 64 << 20


class ArchiveError(ValueError):
    """The output is damaged, or does not hold what such a job writes."""


class NoAnswers(ArchiveError):  # noqa: N818 - it may be the output of a task that leaves none
    """The output holds no inference_output.jsonl."""


def is_wanted(name: str) -> bool:
    """Whether a file of this name is read here; what else jobs write can stay where it is."""
    base = posixpath.basename(name)
    return base in {MANIFEST, INFERENCES} or is_results(base)


def checkpoint_of(members: Iterable[Member]) -> str:
    """The checkpoint URI in a training job's output; raises ArchiveError without one.

    Of several manifests the one nearest to the root counts.
    """
    found: dict[int, set[str]] = {}
    for member in members:
        if posixpath.basename(member.name) == MANIFEST:
            found.setdefault(member.name.count("/"), set()).add(_checkpoint(member))
    if not found:
        raise ArchiveError(f"the output holds no {MANIFEST}, so the checkpoint is unknown")
    nearest = found[min(found)]
    if len(nearest) > 1:
        raise ArchiveError(f"the output holds several {MANIFEST} that disagree")
    return nearest.pop()


def _checkpoint(member: Member) -> str:
    manifest = _json(member.name, member.read(MAX_JSON_BYTES))
    uri = manifest.get(CHECKPOINT_KEY) if isinstance(manifest, dict) else None
    if not isinstance(uri, str) or not uri.startswith("s3://") or not uri.strip("s3:/"):
        raise ArchiveError(f"{member.name}: {CHECKPOINT_KEY} is missing or no s3:// URI")
    return uri


@dataclass
class EvaluationOutput:
    """An evaluation job's output: iterate `inference_lines` to its end, then read `reported`."""

    members: Iterable[Member]
    reported: dict[str, float] | None = field(default=None, init=False)

    def inference_lines(self) -> Iterator[bytes]:
        """The lines of inference_output.jsonl; raises ArchiveError when there are none."""
        found = 0
        newest = ""
        for member in self.members:
            base = posixpath.basename(member.name)
            if base == INFERENCES:
                found += 1
                if found > 1:
                    raise ArchiveError(f"the output holds several {INFERENCES}")
                yield from member.lines()
            elif is_results(base) and base > newest:
                newest = base
                self.reported = reported_metrics(member.read(MAX_JSON_BYTES))
        if not found:
            raise NoAnswers(f"the output holds no {INFERENCES}")


def is_results(name: str) -> bool:
    """Whether a file of this name holds the metrics that the job reports."""
    return name.startswith("results_") and name.endswith(".json")


def newest_results(members: Iterable[Member]) -> dict[str, dict[str, float]]:
    """The metrics of the newest results file by task; raises ArchiveError when there is none."""
    newest, results = "", None
    for member in members:
        base = posixpath.basename(member.name)
        if is_results(base) and base > newest:
            newest, results = base, metrics_by_task(member.read(MAX_JSON_BYTES))
    if results is None:
        raise ArchiveError("the output holds no results_*.json")
    return results


def metrics_by_task(content: bytes) -> dict[str, dict[str, float]]:
    """The finite numbers of a results file, by task; `all` is the mean of the tasks."""
    document = _json("results", content)
    tasks = document.get("results") if isinstance(document, dict) else None
    if not isinstance(tasks, dict):
        raise ArchiveError("the results file has no object `results`")
    return {name: _finite_numbers(metrics) for name, metrics in tasks.items()}


def reported_metrics(content: bytes) -> dict[str, float]:
    """The finite numbers of a results file: of its `custom|` task, else of `all`, else any task."""
    tasks = metrics_by_task(content)
    for wanted in (lambda name: name.startswith("custom|"), "all".__eq__, lambda _: True):
        for name in filter(wanted, sorted(tasks)):
            if tasks[name]:
                return tasks[name]
    return {}


def _finite_numbers(metrics: object) -> dict[str, float]:
    if not isinstance(metrics, dict):
        return {}
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


@dataclass(frozen=True)
class Member:
    """The content of one file of an output; readable once, until the next one is reached."""

    name: str
    size: int
    file: IO[bytes]

    def read(self, limit: int) -> bytes:
        """The whole content; raises ArchiveError past `limit` bytes."""
        if self.size > limit:
            raise ArchiveError(f"{self.name} is larger than {limit} bytes")
        with _archive_errors():
            return self.file.read()

    def lines(self) -> Iterator[bytes]:
        """The lines; raises ArchiveError for one past MAX_LINE_BYTES."""
        while line := self._next_line():
            if len(line) > MAX_LINE_BYTES:
                raise ArchiveError(f"{self.name} has a line longer than {MAX_LINE_BYTES} bytes")
            yield line

    def _next_line(self) -> bytes:
        with _archive_errors():
            return self.file.readline(MAX_LINE_BYTES + 1)


def archive_members(stream: IO[bytes]) -> Iterator[Member]:
    """Each regular file of a tar archive, under its normalised name."""
    with _archive_errors(), tarfile.open(fileobj=stream, mode="r|*") as archive:
        total = 0
        for entry in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep every header
            total += entry.size
            if total > MAX_TOTAL_BYTES:
                raise ArchiveError(f"the archive unpacks to more than {MAX_TOTAL_BYTES} bytes")
            file = archive.extractfile(entry) if entry.isreg() else None
            if file is not None:
                name = posixpath.normpath("/" + entry.name).lstrip("/")
                yield Member(name, entry.size, file)


@contextmanager
def _archive_errors() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"the archive is damaged or no tar archive: {error}") from error


def _json(name: str, content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{name}: is no valid JSON") from error
