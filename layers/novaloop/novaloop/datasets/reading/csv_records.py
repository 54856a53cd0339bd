"""Runs of consecutive CSV records, parsed by the csv module or found by where their marks stand.

The csv module looks at every character. Where quotes stand as RFC 4180 wants them, and all records
have the header's width, it is enough to look at the quotes, delimiters and line feeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from novaloop.datasets.errors import RowRejected
from novaloop.datasets.reading.file_types import CONFLICT_MARKS, IS_CONFLICT
from novaloop.datasets.reading.text_column import TextColumn

_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'

Offsets = npt.NDArray[np.intp]


class Records(Protocol):
    """Consecutive records."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Records: ...

    def count_lines(self) -> int:
        """Return how many lines of the file the records take."""
        ...

    def columns(self, indexes: Sequence[int]) -> list[Sequence[str]]:
        """Return some of the columns; raises RowRejected unless all records have all of them."""
        ...


@dataclass(frozen=True)
class ParsedRecords:
    """Records from the csv module, of any widths."""

    records: list[list[str]]
    width: int

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, rows: slice) -> ParsedRecords:
        return ParsedRecords(self.records[rows], self.width)

    def count_lines(self) -> int:
        """Return how many lines of the file the records take."""
        return sum(map(count_lines, self.records))

    def columns(self, indexes: Sequence[int]) -> list[Sequence[str]]:
        """Return some columns; raises RowRejected for another number of them, and for NUL."""
        if "\0" in "".join(map("".join, self.records)):
            raise RowRejected("nul", "the row holds the character NUL", "remove it")
        if set(map(len, self.records)) != {self.width}:
            if self.records[0] and self.records[0][0].startswith(CONFLICT_MARKS):
                what, do = IS_CONFLICT
                raise RowRejected("ragged-row", what, do)
            what = f"{len(self.records[0])} cells where the header has {self.width}"
            raise RowRejected("ragged-row", what, "quote cells with commas")
        return [list(map(itemgetter(index), self.records)) for index in indexes]


def count_lines(record: list[str]) -> int:
    """Return how many lines a record takes: its cells still have the line ends that they had."""
    text = "".join(record)
    if "\r" not in text:
        return text.count("\n") + 1
    # Cell by cell, since the end of one and the start of the next must not make a pair.
    return 1 + sum(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in record)


@dataclass(frozen=True)
class ScannedRecords:
    """Records of equal width in a text whose lines end in line feeds.

    `starts` and `ends` hold the offsets of cells, with their quotes, by record and column.
    """

    text: bytes
    starts: Offsets
    ends: Offsets

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: slice) -> ScannedRecords:
        return ScannedRecords(self.text, self.starts[rows], self.ends[rows])

    def count_lines(self) -> int:
        """Return how many lines of the file the records take."""
        return self.text.count(b"\n", self.starts[0, 0], self.ends[-1, -1]) + 1

    def columns(self, indexes: Sequence[int]) -> list[Sequence[str]]:
        """Return some of the columns."""
        return [TextColumn(self._cells(index)) for index in indexes]

    def _cells(self, column: int) -> list[bytes]:
        starts, ends = self.starts[:, column], self.ends[:, column]
        quoted = np.frombuffer(self.text, np.uint8)[starts] == _QUOTE
        spans = zip((starts + quoted).tolist(), (ends - quoted).tolist(), strict=True)
        return [self.text[start:end] for start, end in spans]


@dataclass(frozen=True)
class Scan:
    """The whole records at the beginning of a text: they stop at `end` and take `lines` lines.

    `cell_ends` are the offsets of the delimiters and line feeds that end their cells.
    """

    text: bytes
    end: int
    lines: int
    cell_ends: Offsets

    def records(self, width: int, max_cell: int) -> ScannedRecords | None:
        """Return the records; None if their widths differ or a cell has more bytes."""
        data = np.frombuffer(self.text, np.uint8)
        rows, rest = divmod(len(self.cell_ends), width)
        if rest or np.count_nonzero(data[self.cell_ends] == _LINE_FEED) != rows:
            return None
        starts = np.append(0, self.cell_ends[:-1] + 1).reshape(rows, width)
        ends = self.cell_ends.reshape(rows, width).copy()
        if np.any(data[ends[:, -1]] != _LINE_FEED) or np.any(ends - starts > max_cell):
            return None
        ends[:, -1] -= data[ends[:, -1] - 1] == _RETURN
        return ScannedRecords(self.text, starts, ends)


def scan(text: bytes, delimiter: int) -> Scan | None:
    r"""Find the whole records of a text that begins with one and has no `\r` but in `\r\n`.

    None if a quote stands where it neither begins nor ends a cell, nor is one of two: then the
    number of quotes does not tell where records end.
    """
    data = np.frombuffer(text, np.uint8)
    line_feeds = data == _LINE_FEED
    marks = np.flatnonzero((data == _QUOTE) | (data == delimiter) | line_feeds)
    quoting = data[marks] == _QUOTE
    outside = np.cumsum(quoting, dtype=np.uint32) & 1 == 0
    cell_ends = marks[outside & ~quoting]
    record_ends = np.flatnonzero(data[cell_ends] == _LINE_FEED)
    if not len(record_ends):
        return Scan(text, 0, 0, cell_ends[:0])
    cell_ends = cell_ends[: record_ends[-1] + 1]
    end = int(cell_ends[-1]) + 1
    quotes = marks[quoting]
    quotes = quotes[: np.searchsorted(quotes, end)]
    opening, closing = quotes[::2], quotes[1::2]
    neighbours = np.append(data[np.maximum(opening - 1, 0)], data[closing + 1])
    may_be_beside_quotes = np.zeros(256, np.bool_)
    may_be_beside_quotes[[_QUOTE, delimiter, _LINE_FEED, _RETURN]] = True
    placed = may_be_beside_quotes[neighbours].all()
    lines = int(np.count_nonzero(line_feeds[:end]))
    return Scan(text, end, lines, cell_ends) if placed else None
