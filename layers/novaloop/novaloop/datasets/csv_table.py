"""Strict CSV: a header, and rows of exactly its width."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from .errors import DatasetRefused, RowRejected
from .rejects import RejectLog

MAX_CELL_CHARS = 16 << 20
_OTHER_DELIMITERS = {";": "semicolon", "\t": "tab", "|": "pipe"}

# The limit belongs to the csv module as a whole; its default of 128 KiB is too small for text.
csv.field_size_limit(MAX_CELL_CHARS)


@dataclass(frozen=True)
class CsvTable:
    """An open CSV file; `rows` yields (number of the line the row begins on, cells) once."""

    header: list[str]
    header_line: int
    rows: Iterator[tuple[int, list[str]]]


def open_csv(lines: Iterator[str], delimiter: str | None, rejects: RejectLog) -> CsvTable:
    """Read the header; rows of another width go to `rejects`. Lines of white space
    only are skipped.

    Raises DatasetRefused, here or while the rows are read.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise DatasetRefused("delimiter", "`delimiter:` must be one character, not a quote")
    first_line = next(lines, None)
    if first_line is None:
        raise DatasetRefused("empty-file", "the file is empty; it needs a header and rows")
    records = _records(chain([first_line], lines), delimiter or ",")
    header_line, header = next(records, (0, []))
    if not header:
        raise DatasetRefused("blank-file", "all lines are blank; the file needs a header and rows")
    _check_header(header, header_line)
    return CsvTable(header, header_line, _rows(records, len(header), rejects))


def other_delimiter(header: list[str]) -> str | None:
    """Return the delimiter that a header read as one column seems to use, if any."""
    if len(header) > 1:
        return None
    counts = Counter(character for character in header[0] if character in _OTHER_DELIMITERS)
    return next((character for character, _ in counts.most_common(1)), None)


def delimiter_name(delimiter: str) -> str:
    """Return a delimiter's English name."""
    return _OTHER_DELIMITERS[delimiter]


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    try:
        for record in reader:
            if len(record) > 1 or "".join(record).strip():
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise _broken_record(str(error), line) from error


def _broken_record(problem: str, line: int) -> DatasetRefused:
    if "field larger" in problem:
        rule = "cell-too-long"
        message = f"a cell has more than {MAX_CELL_CHARS:,} characters; is a closing quote missing?"
    elif "unexpected end" in problem:
        rule = "unterminated-quote"
        message = 'a quoted cell of this row never ends; close it with a " character'
    else:
        rule = "stray-quote"
        message = (
            'a quoted cell of this row goes on after its closing quote; write each " inside of a'
            ' cell as ""'
        )
    return DatasetRefused(rule, message, line=line)


def _check_header(header: list[str], line: int) -> None:
    if other_delimiter(header):
        return
    # A comma at the end of every line makes a last column without name, which harms nobody.
    blank = [number for number, name in enumerate(header[:-1], 1) if not name.strip()]
    if blank:
        message = (
            f"column {blank[0]} of the header has no name; name it or remove it"
            " (pandas writes one for its index unless told index=False)"
        )
        raise DatasetRefused("blank-header", message, line=line)
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        message = f"two columns are called {repeated[0]!r}; rename or remove one"
        raise DatasetRefused("duplicate-header", message, line=line, column=repeated[0])


def _rows(
    records: Iterator[tuple[int, list[str]]], width: int, rejects: RejectLog
) -> Iterator[tuple[int, list[str]]]:
    for record in records:
        if len(record[1]) == width:
            yield record
        else:
            line, cells = record
            message = f"{len(cells)} cells where the header has {width}; quote cells with commas"
            rejects.add(line, RowRejected("ragged-row", message))
