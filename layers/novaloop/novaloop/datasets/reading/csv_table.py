"""Strict CSV: a header, and the records after it with their lines."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

import orjson

from novaloop.datasets.errors import DatasetRefused, Found, Message, Setting
from novaloop.datasets.options import NO_DELIMITERS
from novaloop.datasets.reading.csv_records import ParsedRecords, Records, count_lines, scan
from novaloop.datasets.reading.decoding import TextBlock
from novaloop.datasets.reading.text_column import has_blank

MAX_CELL_CHARS = 16 << 20
# Longer records are left to the csv module, which holds no more than one of them.
_MAX_SCANNED_BYTES = 8 << 20
_BATCH_ROWS = 64
_OTHER_DELIMITERS = {";": "semicolon", "\t": "tab", "|": "pipe"}

# The limit belongs to the csv module as a whole; its default of 128 KiB is too small for text.
csv.field_size_limit(MAX_CELL_CHARS)

Batch = tuple[int, Records]
_Run = tuple[int, list[list[str]]]


@dataclass(frozen=True)
class CsvTable:
    """An open CSV file; `batches` yields, once, runs of consecutive records.

    Each run comes with the number of the line it begins on. Blank lines are left out. Records may
    differ from the header in width.
    """

    header: list[str]
    header_line: int
    batches: Iterator[Batch]


def open_csv(blocks: Iterator[TextBlock], delimiter: str | None) -> CsvTable:
    """Read the header; raises DatasetRefused, here or while the records are read."""
    if delimiter is not None and (len(delimiter) != 1 or delimiter in NO_DELIMITERS):
        what = (Setting("delimiter"), " must be one character, not a quote")
        raise DatasetRefused("delimiter", what)
    first_block = next(blocks, None)
    if first_block is None:
        raise DatasetRefused("empty-file", "the file is empty", "it needs a header and rows")
    _require_no_json(first_block)
    source = _LineSource(chain([first_block], blocks))
    first = next(_parse(source.lines(), delimiter or ",", 1, batch_rows=1), None)
    if first is None:
        do = "the file needs a header and rows"
        raise DatasetRefused("blank-file", "all lines are blank", do)
    line, (header,) = first
    _require_no_sep_line(header, line)
    _require_names(header, line)
    next_line = line + count_lines(header)
    return CsvTable(header, line, _batches(source.rest(), delimiter, len(header), next_line))


def continue_csv(blocks: Iterator[TextBlock], header: list[str], delimiter: str | None) -> CsvTable:
    """Open records whose header stands elsewhere; lines are counted from the first of them."""
    return CsvTable(header, 0, _batches(blocks, delimiter, len(header), 1))


def other_delimiter(header: list[str]) -> str | None:
    """Return the delimiter that a header read as one column seems to use, if any."""
    if len(header) > 1:
        return None
    counts = Counter(character for character in header[0] if character in _OTHER_DELIMITERS)
    return next((character for character, _ in counts.most_common(1)), None)


def delimiter_name(delimiter: str) -> str:
    """Return a delimiter's English name."""
    return _OTHER_DELIMITERS[delimiter]


class _LineSource:
    """The lines of blocks one by one, and what is left of the blocks."""

    def __init__(self, blocks: Iterator[TextBlock]) -> None:
        self._blocks = blocks
        self._block = TextBlock(b"")
        self._lines: Iterator[str] = iter(())

    def lines(self) -> Iterator[str]:
        for block in self._blocks:
            self._block, self._lines = block, iter(block.lines())
            yield from self._lines

    def rest(self) -> Iterator[TextBlock]:
        yield replace(self._block, utf8="".join(self._lines).encode())
        yield from self._blocks


def _batches(
    blocks: Iterator[TextBlock], delimiter: str | None, width: int, line: int
) -> Iterator[Batch]:
    """Scan the blocks for records as long as they can be; parse where they can't."""
    separator = delimiter or ","
    text, enough = b"", 0
    for block in blocks:
        text += block.utf8
        if block.lone_returns or block.nuls or not separator.isascii():
            break
        if len(text) < enough:
            continue
        found = scan(text, ord(separator))
        if found is None or (not found.end and len(text) > _MAX_SCANNED_BYTES):
            break
        if not found.end:
            enough = 2 * len(text)
            continue
        records = found.records(width, MAX_CELL_CHARS)
        # A blank line looks like a record of one column.
        if records is None or (width == 1 and has_blank(*records.columns([0]))):
            whole = TextBlock(text[: found.end])
            yield from _parsed(whole.lines(), separator, width, line)
        else:
            yield line, records
        line += found.lines
        text, enough = text[found.end :], 0
    lines = chain(TextBlock(text).lines(), _LineSource(blocks).lines())
    yield from _parsed(lines, separator, width, line)


def _parsed(lines: Iterable[str], delimiter: str, width: int, line: int) -> Iterator[Batch]:
    for start, records in _parse(lines, delimiter, line, width=width):
        yield start, ParsedRecords(records, width)


def _parse(
    lines: Iterable[str],
    delimiter: str,
    line: int,
    *,
    batch_rows: int = _BATCH_ROWS,
    width: int | None = None,
) -> Iterator[_Run]:
    """Yield runs of records; `line` is the number of the first line, `width` of the header."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = line + reader.line_num
        records: list[list[str]] = []
        refusal = None
        try:
            # What comes before an error stays in the list.
            records.extend(islice(reader, batch_rows))
        except csv.Error as error:
            refusal = _broken_record(str(error), start + sum(map(count_lines, records)))
        except DatasetRefused as refused:
            refusal = refused
        yield from _runs(start, records, width)
        if refusal:
            raise refusal
        if not records:
            return


def _runs(line: int, records: list[list[str]], width: int | None) -> Iterator[_Run]:
    """Cut the records where one of them is a blank line, and leave that out.

    In a table of one column, a line of white space is a record.
    """
    if records and min(map(len, records)) > 1:
        yield line, records
        return
    start, run = line, []
    for record in records:
        line += count_lines(record)
        if len(record) > 1 or (record and (width == 1 or record[0].strip())):
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
        what = f"a cell has more than {MAX_CELL_CHARS:,} characters"
        do = "is a closing quote missing?"
    elif "unexpected end" in problem:
        rule = "unterminated-quote"
        what, do = "a quoted cell of this row never ends", 'close it with a " character'
    else:
        rule = "stray-quote"
        what = "a quoted cell of this row goes on after its closing quote"
        do = 'write each " inside of a cell as ""'
    return DatasetRefused(rule, what, do, line=line)


def _require_no_json(block: TextBlock) -> None:
    """Raise DatasetRefused if the first line is JSON, which no header is."""
    line = block.utf8.lstrip().split(b"\n", 1)[0].strip()
    try:
        is_json = line in {b"{", b"["} or isinstance(orjson.loads(line), dict | list)
    except orjson.JSONDecodeError:
        return
    if is_json:
        do = "write one object a line, and let the file's name end in .jsonl"
        raise DatasetRefused("file-type", "the file is JSON, whatever its name says", do)


def _require_no_sep_line(header: list[str], line: int) -> None:
    """Raise DatasetRefused for the line by which Excel is told a file's delimiter."""
    begin, _, delimiter = ",".join(header).partition("=")
    if begin.strip().lower() == "sep" and len(delimiter) <= 1:
        what = "the line tells Excel the delimiter, and is no header"
        do: Message = "remove it"
        if delimiter not in {"", ","}:
            do = ("remove it, and set ", Setting("delimiter", repr(delimiter)))
        raise DatasetRefused("delimiter", what, do, line=line)


def _require_names(header: list[str], line: int) -> None:
    if any("\0" in name for name in header):
        raise DatasetRefused("nul", "the header holds the character NUL", "remove it", line=line)
    if other_delimiter(header):
        return
    # A comma at the end of every line makes a last column without name, which harms nobody.
    blank = [number for number, name in enumerate(header[:-1], 1) if not name.strip()]
    if blank:
        what = f"column {blank[0]} of the header has no name"
        do = "name it or remove it (pandas writes one for its index unless told index=False)"
        raise DatasetRefused("blank-header", what, do, line=line)
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        first, second = [number for number, name in enumerate(header, 1) if name == repeated[0]][:2]
        what = f"columns {first} and {second} of the header have the same name"
        do, found = "rename or remove one", Found(repeated)
        raise DatasetRefused("duplicate-header", what, do, line=line, found=found)
