"""Strict CSV: a header, and the records after it with their lines."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from .errors import DatasetRefused

MAX_CELL_CHARS = 16 << 20
_BATCH_ROWS = 64
_OTHER_DELIMITERS = {";": "semicolon", "\t": "tab", "|": "pipe"}

# The limit belongs to the csv module as a whole; its default of 128 KiB is too small for text.
csv.field_size_limit(MAX_CELL_CHARS)

Batch = tuple[int, list[list[str]]]


@dataclass(frozen=True)
class CsvTable:
    """An open CSV file; `batches` yields, once, runs of consecutive records.

    Each run comes with the number of the line it begins on. Lines of white space only are left
    out. Records may differ from the header in width.
    """

    header: list[str]
    header_line: int
    batches: Iterator[Batch]


def open_csv(lines: Iterator[str], delimiter: str | None) -> CsvTable:
    """Read the header; raises DatasetRefused, here or while the records are read."""
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise DatasetRefused("delimiter", "`delimiter:` must be one character, not a quote")
    first_line = next(lines, None)
    if first_line is None:
        raise DatasetRefused("empty-file", "the file is empty; it needs a header and rows")
    batches = _batches(chain([first_line], lines), delimiter or ",")
    first = next(batches, None)
    if first is None:
        raise DatasetRefused("blank-file", "all lines are blank; the file needs a header and rows")
    line, (header, *rows) = first
    _check_header(header, line)
    rest = [(line + count_lines(header), rows)] if rows else []
    return CsvTable(header, line, chain(rest, batches))


def continue_csv(lines: Iterator[str], header: list[str], delimiter: str | None) -> CsvTable:
    """Open records whose header stands elsewhere; lines are counted from the first of them."""
    return CsvTable(header, 0, _batches(lines, delimiter or ","))


def count_lines(record: list[str]) -> int:
    """Return how many lines a record takes: its cells still have the line ends that they had."""
    text = "".join(record)
    if "\r" not in text:
        return text.count("\n") + 1
    # Cell by cell, since the end of one and the start of the next must not make a pair.
    return 1 + sum(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in record)


def other_delimiter(header: list[str]) -> str | None:
    """Return the delimiter that a header read as one column seems to use, if any."""
    if len(header) > 1:
        return None
    counts = Counter(character for character in header[0] if character in _OTHER_DELIMITERS)
    return next((character for character, _ in counts.most_common(1)), None)


def delimiter_name(delimiter: str) -> str:
    """Return a delimiter's English name."""
    return _OTHER_DELIMITERS[delimiter]


def _batches(lines: Iterator[str], delimiter: str) -> Iterator[Batch]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        records: list[list[str]] = []
        refusal = None
        try:
            # What comes before an error stays in the list.
            records.extend(islice(reader, _BATCH_ROWS))
        except csv.Error as error:
            refusal = _broken_record(str(error), line + sum(map(count_lines, records)))
        except DatasetRefused as refused:
            refusal = refused
        yield from _runs(line, records)
        if refusal:
            raise refusal
        if not records:
            return


def _runs(line: int, records: list[list[str]]) -> Iterator[Batch]:
    """Cut the records where one of them is a blank line, and leave that out."""
    if records and min(map(len, records)) > 1:
        yield line, records
        return
    start, run = line, []
    for record in records:
        line += count_lines(record)
        if len(record) > 1 or "".join(record).strip():
            run.append(record)
        else:
            if run:
                yield start, run
            start, run = line, []
    if run:
        yield start, run


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
