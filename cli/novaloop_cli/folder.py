"""A folder in the place of the application's bucket and table: ingest, on this machine."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from novaloop.cloud.messages import UtcClock
from novaloop.datasets.errors import Wording
from novaloop.experiment.record import ChecksItem, DatasetItem, Snapshot, SpecItem, Strays
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.ports import Attempts, ObjectMissing, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from novaloop.datasets.reading.byte_range import ByteRange


class FolderObjects:
    """Objects as files under a folder; implements the port `Objects`.

    `uploads` maps keys to files that stay where they are.
    """

    def __init__(self, folder: Path, uploads: Mapping[str, Path]) -> None:
        self._folder = folder
        self._uploads = uploads

    def path(self, key: str) -> Path:
        """Return the file that stands for a key."""
        return self._uploads.get(key, self._folder / key)

    def newest(self, key: str) -> Upload | None:
        """Return the only version of an object, or None if there is none."""
        path = self.path(key)
        return _upload(path) if path.is_file() else None

    def uploads(self, prefix: str, after: str = "") -> Iterator[tuple[str, Upload]]:
        """Return the objects under a prefix, in the order of their keys, from `after` on."""
        written = {
            path.relative_to(self._folder).as_posix(): path
            for path in self._folder.rglob("*")
            if path.is_file()
        }
        for key, path in sorted({**written, **self._uploads}.items()):
            if key.startswith(prefix) and key > after:
                yield key, _upload(path)

    @contextmanager
    def writer(self, key: str, content_type: str) -> Iterator[Callable[[bytes], object]]:
        """Open an object for streamed writing; an exception inside leaves no object."""
        part = self._new(f"{key}.part")
        try:
            with part.open("wb") as file:
                yield file.write
            part.replace(self._folder / key)
        finally:
            part.unlink(missing_ok=True)

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Write a small object."""
        self._new(key).write_bytes(body)

    def get(
        self, key: str, version_id: str | None = None, span: ByteRange | None = None
    ) -> BinaryIO:
        """Open an object, or a span of its bytes, for streaming. Raises ObjectMissing."""
        try:
            file = self.path(key).open("rb")
        except FileNotFoundError:
            raise ObjectMissing(key) from None
        if span is None:
            return file
        file.seek(span.start)
        return BufferedReader(_Span(file, span.end - span.start))

    def concatenate(self, keys: Sequence[str], target: str) -> None:
        """Write the contents of `keys`, one after the other, to `target`."""
        with self._new(target).open("wb") as file:
            for key in keys:
                with self.get(key) as body:
                    shutil.copyfileobj(body, file)

    def _new(self, key: str) -> Path:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class _Span(RawIOBase):
    """The next bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._file.readinto(memoryview(buffer)[: self._left])  # type: ignore[attr-defined]
        self._left -= read
        return int(read)

    def close(self) -> None:
        self._file.close()
        super().close()


def _upload(path: Path) -> Upload:
    about = path.stat()
    return Upload("local", datetime.fromtimestamp(about.st_mtime, UTC), about.st_size)


class MemoryStore:
    """The items of one experiment in memory; implements the port `DatasetStore`."""

    def __init__(self, experiment_id: str) -> None:
        self._snapshot = Snapshot(experiment_id)

    def load(self, experiment_id: str) -> Snapshot:
        """Return the items so far."""
        return self._snapshot

    def put_spec(self, experiment_id: str, item: SpecItem) -> None:
        """Keep the spec item."""
        self._keep(spec=item)

    def put_dataset(self, experiment_id: str, item: DatasetItem) -> bool:
        """Keep the dataset item."""
        self._keep(datasets={**self._snapshot.datasets, item.role: item})
        return True

    def put_alive(self, experiment_id: str, item: DatasetItem) -> None:
        """Do nothing: no conversion here goes on beside another."""

    def put_stray(self, experiment_id: str, file: str) -> None:
        """Keep the name of a file that is none of the experiment's."""
        self._keep(strays=Strays((*self._snapshot.strays.names, file)))

    def put_checks(self, experiment_id: str, item: ChecksItem) -> None:
        """Keep the checks item."""
        self._keep(checks=item)

    def begin(self, experiment_id: str, work: str, version: str, now: datetime) -> Attempts:
        """Count nothing: what dies here is seen by whoever waits for it."""
        return Attempts(version, 1, now)

    def take_back(self, experiment_id: str, work: str, version: str) -> None:
        """Do nothing, since nothing was counted."""

    def _keep(self, **items: Any) -> None:
        self._snapshot = replace(self._snapshot, **items)


def folder_world(experiment_id: str, folder: Path, uploads: Mapping[str, Path]) -> IngestWorld:
    """Return what ingest works with, on files alone.

    The files are the user's own, so their terminal may show the names that stand in them.
    """
    return IngestWorld(
        MemoryStore(experiment_id),
        FolderObjects(folder, uploads),
        UtcClock(),
        wording=Wording(shows_found=True),
    )
