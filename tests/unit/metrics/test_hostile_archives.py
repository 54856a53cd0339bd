"""Archives made to kill whoever unpacks them: refused by the rule, in little memory and time."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import IO, cast

import pytest

from novaloop.metrics import archive
from novaloop.metrics.archive import ArchiveError, Member, archive_members, checkpoint_of

MIB = 1 << 20
ZEROS = bytes(MIB)


class Stream(io.RawIOBase):
    """Pieces, one after the other; counts what was read and refuses to be read whole."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = filter(None, pieces)
        self._left = b""
        self.read_bytes = 0
        self.max_read = MIB

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= self.max_read, "reads all there is"
        while len(self._left) < size and (piece := next(self._pieces, b"")):
            self._left += piece
        content, self._left = self._left[:size], self._left[size:]
        self.read_bytes += len(content)
        return content


def header(kind: bytes = tarfile.REGTYPE, size: int = 0, name: str = "a") -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def pax(settings: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return header(kind, len(settings)) + settings.ljust(-(-len(settings) // 512) * 512, b"\0")


def setting(name: str, value: str) -> bytes:
    text = f" {name}={value}\n"
    size = len(text)
    while len(f"{size}{text}") != size:
        size = len(f"{size}{text}")
    return f"{size}{text}".encode()


SPARSE = setting("GNU.sparse.major", "1") + setting("GNU.sparse.minor", "0")
SPARSE += setting("GNU.sparse.name", "a") + setting("GNU.sparse.realsize", "9")
BOMBS: dict[str, tuple[Iterable[bytes], str]] = {
    **{
        f"an extended header of type {kind!r}": (
            chain([header(kind, 64 << 30)], repeat(b"1" * MIB, 65536)),
            "a header of more than 65,536 bytes",
        )
        for kind in (b"L", b"K", b"x", b"g", b"X")
    },
    "extended headers in a row": ([pax(setting("a", "b"))] * 20_000, "too many headers in a row"),
    "global settings": (
        (pax(setting(f"k{n}", "v" * 60_000), b"g") + header() for n in range(20_000)),
        "too many global headers",
    ),
    "a sparse file of GNU's": ([header(b"S", 512), ZEROS], "a sparse file"),
    "a sparse file in PAX": (
        chain([pax(SPARSE), header(size=4 << 30), b"999999999\n"], repeat(b"1\n" * MIB, 2048)),
        "a sparse file",
    ),
    "a file of any size": ([header(size=1 << 80), ZEROS], "more than 8,589,934,592 bytes"),
    "a size in PAX": ([pax(setting("size", "9" * 30)), header()], "more than 8,589,934,592 bytes"),
    "a size below zero": ([pax(setting("size", "-1024")), header(), ZEROS], "damaged"),
    "many files": ((header(name=f"{n}") for n in range(20_000)), "more than 10,000 files"),
    "a name in gzip's header": (
        chain([b"\x1f\x8b\x08\x08" + bytes(6)], repeat(b"x" * MIB, 65536)),
        "more than 8,388,608 bytes",
    ),
    "bz2": ([bz2.compress(header(size=MIB) + ZEROS)], "damaged or no tar archive"),
    "xz": ([lzma.compress(header(size=MIB) + ZEROS)], "damaged or no tar archive"),
    "an end too early": ([zlib.compress(header(size=MIB), wbits=31)[:-20]], "ends too early"),
    "other bytes": ([b"\x1f\x8b" + bytes(range(256)) * 9], "damaged"),
}


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    pack = zlib.compressobj(wbits=31)
    yield from (pack.compress(piece) for piece in pieces)
    yield pack.flush()


def read_through(stream: Stream) -> None:
    tracemalloc.start()
    try:
        for _ in archive_members(cast("IO[bytes]", stream)):
            pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100 * MIB


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, rule = BOMBS[name]
    if "gzip" in name:
        monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 8 * MIB)
    stream = Stream(pieces)
    with pytest.raises(ArchiveError) as refused:
        read_through(stream)
    assert rule in str(refused.value)
    assert stream.read_bytes < 128 * MIB


def test_much_out_of_little_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 64 * MIB)
    pieces = chain.from_iterable(([header(size=32 * MIB)], repeat(ZEROS, 32)) for _ in range(3))
    files = chain.from_iterable(pieces)
    stream = Stream(gzipped(files))
    with pytest.raises(ArchiveError, match="more than 67,108,864 bytes"):
        read_through(stream)
    assert stream.read_bytes < MIB


def test_a_file_that_is_larger_than_it_may_be_is_not_read_whole() -> None:
    """S3 may hold more by now than its listing said."""
    stream = Stream(repeat(b"1" * MIB))
    stream.max_read = 2 * MIB
    with pytest.raises(ArchiveError, match=r"manifest\.json is larger than 1,048,576 bytes"):
        checkpoint_of([Member("manifest.json", 100, cast("IO[bytes]", stream))])


def test_long_names_and_settings_are_read() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as target:
        for name in ("d" * 200 + "/a.txt", "\u00e9" * 90 + "/b.txt"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = 3, 1.5
            target.addfile(entry, io.BytesIO(b"abc"))
    stream.seek(0)
    assert [(m.name[-5:], m.read(10)) for m in archive_members(stream)] == [
        ("a.txt", b"abc"),
        ("b.txt", b"abc"),
    ]
