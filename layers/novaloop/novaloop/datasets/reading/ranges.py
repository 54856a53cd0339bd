"""Where a large CSV file may be cut: byte ranges of whole records, found without parsing the file.

Outside of quoted cells the number of quotes so far is even, so the parity of each range's quotes
tells in which state the next one begins (C. Ge et al., "Speculative Distributed CSV Data Parsing
for Big Data Analytics", SIGMOD 2019). A stray quote in an unquoted cell breaks that rule: whoever
converts the ranges must see each of them end outside of a quoted cell, as `merge_parts` does.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import DatasetOptions, SourceFormat
from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.datasets.reading.csv_table import open_csv
from novaloop.datasets.reading.decoding import GZIP_MAGIC, codec_of, read_text

HEAD_BYTES = 1 << 20
_QUOTE, _LINE_FEED = ord('"'), ord("\n")


@dataclass(frozen=True)
class RangeScan:
    """What a range tells whatever the state is that it begins in.

    `even_cut` and `odd_cut` are the offsets, in the file, after the first line feed with an even
    or odd number of the range's quotes before it.
    """

    start: int
    odd_quotes: bool = False
    even_cut: int | None = None
    odd_cut: int | None = None


def equal_ranges(size: int, range_bytes: int) -> list[ByteRange]:
    """Return consecutive ranges that cover `size` bytes."""
    return [
        ByteRange(start, min(start + range_bytes, size)) for start in range(0, size, range_bytes)
    ]


def scan_range(chunks: Iterable[bytes], start: int) -> RangeScan:
    """Scan the range that begins at the byte `start` of the file."""
    scan, offset = RangeScan(start), start
    for chunk in chunks:
        if scan.even_cut is None or scan.odd_cut is None:
            scan = _with_cuts(scan, chunk, offset)
        odd = scan.odd_quotes ^ bool(chunk.count(b'"') % 2)
        scan, offset = replace(scan, odd_quotes=odd), offset + len(chunk)
    return scan


def _with_cuts(scan: RangeScan, chunk: bytes, offset: int) -> RangeScan:
    text = np.frombuffer(chunk, np.uint8)
    line_feeds = np.flatnonzero(text == _LINE_FEED)
    quotes = np.searchsorted(np.flatnonzero(text == _QUOTE), line_feeds) + scan.odd_quotes
    even, odd = (line_feeds[quotes % 2 == parity] for parity in (0, 1))
    return replace(
        scan,
        even_cut=scan.even_cut or (offset + int(even[0]) + 1 if len(even) else None),
        odd_cut=scan.odd_cut or (offset + int(odd[0]) + 1 if len(odd) else None),
    )


def record_ranges(scans: Sequence[RangeScan], size: int) -> list[ByteRange]:
    """Return ranges of whole records from the scans of the whole file, in order.

    There is a single range where the quotes of the file don't come in pairs.
    """
    cuts, odd = [0], False
    for scan in scans:
        cut = scan.odd_cut if odd else scan.even_cut
        if scan.start and cut is not None and cuts[-1] < cut < size:
            cuts.append(cut)
        odd ^= scan.odd_quotes
    ends = [size] if odd else [*cuts[1:], size]
    return [ByteRange(start, end) for start, end in zip(cuts, ends, strict=False)]


def header_of(head: bytes, options: DatasetOptions) -> list[str] | None:
    """Return the header of a CSV file from its first HEAD_BYTES; None if it can't be cut by bytes.

    That is so for gzip, for other encodings than UTF-8, and for a header that doesn't end in time.
    """
    if options.source_format is not SourceFormat.CSV or head.startswith(GZIP_MAGIC):
        return None
    try:
        if codec_of(head, options.encoding)[0] != "utf-8":
            return None
        text = read_text([head[: head.rfind(b"\n") + 1]], options.encoding)
        return open_csv(text, options.delimiter).header
    except DatasetRefused:
        return None


def begins_with_record(text: bytes, width: int, delimiter: str | None) -> bool:
    """Tell whether text after a cut may begin with a record of `width` cells.

    A record that is longer than the text gets the benefit of the doubt.
    """
    lines = list(io.StringIO(text.decode("utf-8", "replace"), newline=""))
    reader = csv.reader(lines[:-1], delimiter=delimiter or ",", strict=True)
    try:
        record = next(filter(None, reader), None)
    except csv.Error as error:
        return "unexpected end" in str(error)
    return record is None or len(record) == width
