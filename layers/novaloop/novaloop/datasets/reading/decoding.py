"""Bytes to lines of text, strictly: what can't be decoded faithfully is refused."""

import codecs
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import BinaryIO

import numpy as np

from novaloop.datasets.errors import DatasetRefused, Message, Setting
from novaloop.datasets.options import codec_name
from novaloop.datasets.reading.file_types import HEAD_BYTES, require_text

# Lines of a larger chunk leave the processor's cache before they are read.
CHUNK_BYTES = 1 << 18
# A record may hold several cells of the largest size, so a line may be longer than a cell.
MAX_LINE_BYTES = 64 << 20
# More than one call can convert in its time, so a gzip file that unpacks to more never ends well.
MAX_UNPACKED_BYTES = 32 << 30
GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW_BITS = 31
_LINE_FEED, _RETURN, _LAST_ASCII = b"\n\r\x7f"
_NOT_WESTERN = re.compile(rb"[\x80-\xff]{3}|\xc0\x80|[\x81\x8d\x8f\x90\x9d]")
_MOST, _ENOUGH_UTF8 = 0.9, 12
"""This share of bytes beyond ASCII, and so many, are no chance: half of EUC-JP could be UTF-8."""

# Longest mark first: UTF-32-LE begins with the bytes of UTF-16-LE's mark.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class TextBlock:
    r"""Whole lines in valid UTF-8; only the very last may lack its end.

    `lone_returns` tells whether a line ends in `\r` alone, `nuls` whether a line has a NUL.
    """

    utf8: bytes
    lone_returns: bool = False
    nuls: bool = False

    def lines(self) -> list[str]:
        r"""Return the lines with their ends: `\n`, `\r\n`, `\r` only, unlike str.splitlines."""
        return list(io.TextIOWrapper(io.BytesIO(self.utf8), "utf-8", newline=""))


def read_text(
    source: BinaryIO | Iterable[bytes], encoding: str | None = None
) -> Iterator[TextBlock]:
    """Yield the decoded text as it stands, from its first line to its last.

    A gzip file is unpacked. Without `encoding` the text is UTF-8, or UTF-16 if its byte order mark
    says so. Memory stays at a few chunks whatever the size. Raises DatasetRefused.
    """
    head, chunks = _peek(_chunks(source), len(GZIP_MAGIC))
    if head.startswith(GZIP_MAGIC):
        chunks = _gunzip(chunks)
    head, chunks = _peek(chunks, HEAD_BYTES)
    codec, mark_size = codec_of(head, encoding)
    require_text(head[:HEAD_BYTES], codec)
    if codec == "utf-8":
        utf8: Iterator[bytes] = chain([next(chunks, b"")[mark_size:]], chunks)
    else:
        utf8 = _transcode(chunks, codec, mark_size)
    yield from _blocks(utf8, mark_size)


def read_text_from(source: BinaryIO | Iterable[bytes], byte: int) -> Iterator[TextBlock]:
    """Yield UTF-8 that begins at `byte` of a file, as read_text would in passing."""
    return _blocks(_chunks(source), byte)


def read_lines(source: BinaryIO | Iterable[bytes], encoding: str | None = None) -> Iterator[str]:
    """Yield the lines of read_text."""
    return chain.from_iterable(block.lines() for block in read_text(source, encoding))


def line_ends(utf8: bytes) -> tuple[int, int]:
    r"""Return how many lines end with a `\n`, and those that are a lone `\r`."""
    data = np.frombuffer(utf8, np.uint8)
    returns = np.flatnonzero(data == _RETURN)
    # Behind a return at the very end stands, by "clip", the return itself.
    lone = np.count_nonzero(data.take(returns + 1, mode="clip") != _LINE_FEED)
    return int(np.count_nonzero(data == _LINE_FEED)), int(lone)


def _chunks(source: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    read = getattr(source, "read", None)
    return iter(partial(read, CHUNK_BYTES), b"") if read else filter(None, source)


def _peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return at least the first `size` bytes, if there are as many, and all the chunks."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= size:
            break
    return head, chain([head] if head else [], chunks)


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack one or more gzip members, never more than a chunk at a time."""
    member = zlib.decompressobj(GZIP_WINDOW_BITS)
    size = 0
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if member.eof:
                    member = zlib.decompressobj(GZIP_WINDOW_BITS)
                if unpacked := member.decompress(data, CHUNK_BYTES):
                    size += len(unpacked)
                    if size > MAX_UNPACKED_BYTES:
                        what = f"the file unpacks to more than {MAX_UNPACKED_BYTES:,} bytes"
                        raise DatasetRefused("gzip", what, "split it")
                    yield unpacked
                data = member.unused_data if member.eof else member.unconsumed_tail
    except zlib.error as error:
        raise DatasetRefused("gzip", "the gzip file is damaged", "compress it again") from error
    if not member.eof:
        raise DatasetRefused("gzip", "the gzip file ends too early", "upload it again")


def _blocks(utf8: Iterable[bytes], position: int) -> Iterator[TextBlock]:
    """Cut UTF-8 that begins at `position` of the file behind line ends."""
    lines, pending, ascii_only = 0, b"", True
    for chunk in utf8:
        pending += chunk
        # A final `\r` may still become `\r\n`, so it ends no line yet.
        if end := pending.rfind(b"\n") + 1 or pending.rfind(b"\r", 0, -1) + 1:
            block, pending = pending[:end], pending[end:]
            _require_utf8(block, lines, position, ascii_only)
            feeds, returns = line_ends(block)
            yield TextBlock(block, lone_returns=returns > 0, nuls=b"\0" in block)
            ascii_only = ascii_only and block.isascii()
            lines, position = lines + feeds + returns, position + end
        elif len(pending) > MAX_LINE_BYTES:
            what = f"the line is longer than {MAX_LINE_BYTES:,} bytes"
            raise DatasetRefused("line-too-long", what, "shorten the row", line=lines + 1)
    if pending:
        _require_utf8(pending, lines, position, ascii_only)
        lone_returns = line_ends(pending)[1] > 0
        yield TextBlock(pending, lone_returns=lone_returns, nuls=b"\0" in pending)


def _require_utf8(block: bytes, lines: int, position: int, ascii_only: bool) -> None:
    """Raise DatasetRefused unless `block`, after as many lines and bytes, is UTF-8.

    `ascii_only` tells whether what came before is ASCII.
    """
    try:
        block.decode()
    except UnicodeDecodeError as error:
        line = lines + _count_line_ends(block[: error.start].decode()) + 1
        what = f"byte {position + error.start} is not valid UTF-8"
        do: Message = ("save the file as UTF-8, or set ", Setting("encoding"), " to what it is in")
        utf8, beyond_ascii = _utf8_bytes(block)
        # Another encoding would garble what is UTF-8.
        if not ascii_only or utf8 >= _MOST * beyond_ascii:
            do = "correct that byte: other characters of the file are UTF-8"
        # Bytes beyond ASCII stand alone in a language of Western Europe, and hardly in another.
        # Some bytes are no character of cp1252, and C0 80 is how Java writes NUL.
        elif not utf8 and not _NOT_WESTERN.search(block):
            western = Setting("encoding", "cp1252")
            do = ("save the file as UTF-8, or set ", western, " if it is Windows' Western European")
        raise DatasetRefused("encoding", what, do, line=line) from None


def _transcode(chunks: Iterable[bytes], codec: str, skip: int) -> Iterator[bytes]:
    """Yield the text in UTF-8."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    position, lines, last, ascii_only = 0, 0, "", True
    for chunk in chain(chunks, [None]):
        if ascii_only and chunk and not chunk.isascii():
            ascii_only = False
            _require_no_utf8(chunk, codec)
        undecoded = len(decoder.getstate()[0])
        data = (chunk or b"")[skip:]
        try:
            text = decoder.decode(data, final=chunk is None)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(codec, "replace")
            byte = position + skip - undecoded + error.start
            line = lines + _more_line_ends(last, before) + 1
            what, do = f"byte {byte} is not valid {codec.upper()}", "save the file as UTF-8"
            raise DatasetRefused("encoding", what, do, line=line) from None
        try:
            yield text.encode()
        except UnicodeEncodeError as error:  # half a character, which UTF-7 lets through
            line = lines + _more_line_ends(last, text[: error.start]) + 1
            what = f"a character is not valid {codec.upper()}"
            raise DatasetRefused("encoding", what, "save the file as UTF-8", line=line) from None
        position, lines = position + skip + len(data), lines + _more_line_ends(last, text)
        skip, last = 0, text[-1:] or last


def _utf8_bytes(data: bytes) -> tuple[int, int]:
    """Return how many bytes beyond ASCII are UTF-8, and how many there are."""
    utf8, every = (
        int(np.count_nonzero(np.frombuffer(each, np.uint8) > _LAST_ASCII))
        for each in (data.decode("utf-8", "ignore").encode(), data)
    )
    return utf8, every


def _more_line_ends(last: str, text: str) -> int:
    r"""Count the line ends that a text adds to one that ends in `last`, perhaps half a `\r\n`."""
    return _count_line_ends(last + text) - _count_line_ends(last)


def codec_of(head: bytes, encoding: str | None) -> tuple[str, int]:
    """Return the codec and the size of the byte order mark; raises DatasetRefused."""
    mark, marked = next(
        ((mark, name) for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), (b"", None)
    )
    if marked in {"utf-32-le", "utf-32-be"}:
        raise DatasetRefused("encoding", "the file is marked as UTF-32", "save it as UTF-8")
    codec = codec_name(encoding) if encoding else marked or "utf-8"
    if codec is None:
        what = (Setting("encoding", str(encoding)), " is not a known text encoding")
        raise DatasetRefused("encoding", what, "try utf-8 or cp1252")
    if marked and not (codec.startswith(marked) or marked.startswith(codec)):
        contradicts = f" contradicts the file's byte order mark, {marked.upper()}"
        what = (Setting("encoding", str(encoding)), contradicts)
        raise DatasetRefused("encoding", what, "leave it out")
    if codec == "utf-16" and not marked:
        do = ("say ", Setting("encoding", "utf-16-le"), " or utf-16-be")
        raise DatasetRefused("encoding", "UTF-16 without a byte order mark", do)
    return marked or codec, len(mark)


def _require_no_utf8(chunk: bytes, codec: str) -> None:
    """Raise DatasetRefused if the first bytes beyond ASCII are UTF-8, which `codec` would garble.

    In most other encodings no bytes look like UTF-8, in the others few do.
    """
    utf8, beyond_ascii = _utf8_bytes(chunk)
    if utf8 >= _ENOUGH_UTF8 and utf8 >= _MOST * beyond_ascii:
        what = (Setting("encoding", codec), " is wrong: the file is UTF-8, or most of it is")
        raise DatasetRefused("encoding", what, "leave it out")


def _count_line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")
