"""What a job's `output.tar.gz` holds, read from a stream: nothing is extracted or held whole.

Layouts differ by platform and version, so members are found by the last part of their name.
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
    from collections.abc import Iterator

INFERENCES = "inference_output.jsonl"
MANIFEST = "manifest.json"
CHECKPOINT_KEY = "checkpoint_s3_bucket"
MAX_TOTAL_BYTES = 32 << 30
MAX_JSON_BYTES = 64 << 20
MAX_LINE_BYTES = 64 << 20


class ArchiveError(ValueError):
    """The archive is damaged, or does not hold what such a job writes."""


def checkpoint_from_archive(stream: IO[bytes]) -> str:
    """The checkpoint URI in a training job's archive; raises ArchiveError without one.

    Of several manifests the one nearest to the root counts.
    """
    found: dict[int, set[str]] = {}
    for name, content in _members(stream):
        if posixpath.basename(name) == MANIFEST:
            uri = _checkpoint(name, content)
            found.setdefault(name.count("/"), set()).add(uri)
    if not found:
        raise ArchiveError(f"the archive holds no {MANIFEST}, so the checkpoint is unknown")
    nearest = found[min(found)]
    if len(nearest) > 1:
        raise ArchiveError(f"the archive holds several {MANIFEST} that disagree")
    return nearest.pop()


def _checkpoint(name: str, content: Member) -> str:
    manifest = _json(name, content.read(MAX_JSON_BYTES))
    uri = manifest.get(CHECKPOINT_KEY) if isinstance(manifest, dict) else None
    if not isinstance(uri, str) or not uri.startswith("s3://") or not uri.strip("s3:/"):
        raise ArchiveError(f"{name}: {CHECKPOINT_KEY} is missing or no s3:// URI")
    return uri


@dataclass
class EvaluationArchive:
    """An evaluation job's archive: iterate `inference_lines` to its end, then read `reported`."""

    stream: IO[bytes]
    reported: dict[str, float] | None = field(default=None, init=False)

    def inference_lines(self) -> Iterator[bytes]:
        """The lines of inference_output.jsonl; raises ArchiveError when there are none."""
        found = 0
        newest = ""
        for name, content in _members(self.stream):
            base = posixpath.basename(name)
            if base == INFERENCES:
                found += 1
                if found > 1:
                    raise ArchiveError(f"the archive holds several {INFERENCES}")
                yield from content.lines()
            elif is_results(base) and base > newest:
                newest = base
                self.reported = reported_metrics(content.read(MAX_JSON_BYTES))
        if not found:
            raise ArchiveError(f"the archive holds no {INFERENCES}")


def is_results(name: str) -> bool:
    """Whether a file of this name holds the metrics that the job reports."""
    return name.startswith("results_") and name.endswith(".json")


def reported_metrics(content: bytes) -> dict[str, float]:
    """The finite numbers of a results file: of its `custom|` task, else of `all`, else any task."""
    document = _json("results", content)
    tasks = document.get("results") if isinstance(document, dict) else None
    if not isinstance(tasks, dict):
        raise ArchiveError("the results file has no object `results`")
    for wanted in (lambda name: name.startswith("custom|"), "all".__eq__, lambda _: True):
        for name in filter(wanted, sorted(tasks)):
            numbers = _finite_numbers(tasks[name])
            if numbers:
                return numbers
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
    """The content of a file in the archive; readable once, until the next one is reached."""

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


def _members(stream: IO[bytes]) -> Iterator[tuple[str, Member]]:
    """Normalised name and content of each regular file."""
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
                yield name, Member(name, entry.size, file)


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
