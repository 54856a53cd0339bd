"""What a job wrote, read file by file from streams: nothing is extracted or held whole.

Training jobs write one `output.tar.gz`, serverless and HyperPod jobs the same files uncompressed.
Layouts differ by platform and version, so files are found by the last part of their name.
"""

from __future__ import annotations

import io
import json
import math
import posixpath
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INFERENCES = "inference_output.jsonl"
MANIFEST = "manifest.json"
CHECKPOINT_KEY = "checkpoint_s3_bucket"
MAX_TOTAL_BYTES = 8 << 30
"""Of an archive, packed and unpacked: what a function reads through in its time."""
MAX_MEMBERS = 10_000
MAX_HEADER_BYTES = 64 << 10
"""Of one extended header, which tarfile reads whole: a long name, or settings in PAX."""
MAX_GLOBAL_SETTINGS = 100
MAX_MANIFEST_BYTES = 1 << 20
MAX_JSON_BYTES = 16 << 20
MAX_LINE_BYTES = 16 << 20
"""JSON takes up to thirty times its bytes of memory, as lists inside of lists do."""
_CHUNK_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW_BITS = 31
_EXTENDED = {
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
}


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
    manifest = _json(member.name, member.read(MAX_MANIFEST_BYTES))
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
        with _archive_errors():
            content = self.file.read(limit + 1)
        if len(content) > limit:
            raise ArchiveError(f"{self.name} is larger than {limit:,} bytes")
        return content

    def lines(self) -> Iterator[bytes]:
        """The lines; raises ArchiveError for one past MAX_LINE_BYTES."""
        while line := self._next_line():
            if len(line) > MAX_LINE_BYTES:
                raise ArchiveError(f"{self.name} has a line longer than {MAX_LINE_BYTES} bytes")
            yield line

    def _next_line(self) -> bytes:
        with _archive_errors():
            return self.file.readline(MAX_LINE_BYTES + 1)


class _Unpacked(io.RawIOBase):
    """What a stream holds, unpacked if it is gzip; raises ArchiveError past MAX_TOTAL_BYTES.

    Not left to tarfile, which reads a name in gzip's header byte by byte, however long it is, and
    other packings in pieces of any size.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._packed = stream.read(_CHUNK_BYTES)
        is_gzip = self._packed.startswith(_GZIP_MAGIC)
        self._unpack = zlib.decompressobj(_GZIP_WINDOW_BITS) if is_gzip else None
        self._bytes_read = len(self._packed)
        self._bytes_given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._next(len(buffer))
        buffer[: len(content)] = content
        self._bytes_given += len(content)
        if max(self._bytes_read, self._bytes_given) > MAX_TOTAL_BYTES:
            raise ArchiveError(f"the archive has more than {MAX_TOTAL_BYTES:,} bytes")
        return len(content)

    def _next(self, size: int) -> bytes:
        if self._unpack is None:
            content = self._packed[:size]
            self._packed = self._packed[size:] or self._more()
            return content
        while not self._unpack.eof:
            is_last = not self._packed
            content = self._unpack.decompress(self._packed, size)
            self._packed = self._unpack.unconsumed_tail or self._more()
            if content:
                return content
            if is_last and not self._packed:
                raise EOFError("it ends too early")
        return b""

    def _more(self) -> bytes:
        more = self._stream.read(_CHUNK_BYTES)
        self._bytes_read += len(more)
        if self._bytes_read > MAX_TOTAL_BYTES:
            raise ArchiveError(f"the archive has more than {MAX_TOTAL_BYTES:,} bytes")
        return more


class _Entry(tarfile.TarInfo):
    """A header that is refused before tarfile reads more than it should because of it."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED and self.size > MAX_HEADER_BYTES:
            raise ArchiveError(f"the archive has a header of more than {MAX_HEADER_BYTES:,} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_sparse()
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]

    def _refuse_sparse(self, *_: object) -> None:
        raise ArchiveError("the archive has a sparse file; pack it without")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


def archive_members(stream: IO[bytes]) -> Iterator[Member]:
    """Each regular file of a tar archive, gzip or not, under its normalised name.

    Memory and time are bounded, whatever the archive says of itself. Raises ArchiveError.
    """
    with _archive_errors():
        unpacked = cast("IO[bytes]", io.BufferedReader(_Unpacked(stream), _CHUNK_BYTES))
        with tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Entry) as archive:
            for number, entry in enumerate(archive):
                archive.members = []  # type: ignore[attr-defined]  # it would keep every header
                if number == MAX_MEMBERS:
                    raise ArchiveError(f"the archive has more than {MAX_MEMBERS:,} files")
                if len(archive.pax_headers) > MAX_GLOBAL_SETTINGS:
                    raise ArchiveError("the archive has too many global headers")
                if entry.size > MAX_TOTAL_BYTES:
                    raise ArchiveError(f"the archive has more than {MAX_TOTAL_BYTES:,} bytes")
                file = archive.extractfile(entry) if entry.isreg() else None
                if file is not None:
                    name = posixpath.normpath("/" + entry.name).lstrip("/")
                    yield Member(name, entry.size, file)


@contextmanager
def _archive_errors() -> Iterator[None]:
    try:
        yield
    except ArchiveError:
        raise
    except (tarfile.TarError, zlib.error, EOFError, OverflowError, ValueError) as error:
        raise ArchiveError(f"the archive is damaged or no tar archive: {error}") from error
    except RecursionError:
        raise ArchiveError("the archive has too many headers in a row") from None


def _json(name: str, content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{name}: is no valid JSON") from error
