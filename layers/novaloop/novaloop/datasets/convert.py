"""One pass from an uploaded file to the JSONL of Nova's jobs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import methodcaller
from typing import Any, BinaryIO

from novaloop.datasets.errors import DatasetRefused, RowRejected, Setting
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.profile.summary import DatasetSummary, OutputSummary, RowStatistics
from novaloop.datasets.reading.csv_records import Records
from novaloop.datasets.reading.csv_table import (
    CsvTable,
    continue_csv,
    delimiter_name,
    open_csv,
    other_delimiter,
)
from novaloop.datasets.reading.decoding import TextBlock, read_text, read_text_from
from novaloop.datasets.reading.file_types import not_csv
from novaloop.datasets.reading.text_column import utf8_column
from novaloop.datasets.rejects import RejectLog
from novaloop.datasets.rows.columns import assign_columns
from novaloop.datasets.rows.encoded import EncodedRows, RowReader
from novaloop.datasets.rows.json_lines import open_json_rows
from novaloop.datasets.rows.plain import PlainRowEncoder

Sink = Callable[[bytes], object]
Source = BinaryIO | Iterable[bytes]
BLOCK_BYTES = 1 << 20


def convert(
    source: Source, outputs: Mapping[RowFormat, Sink], options: DatasetOptions, rejects: Sink
) -> DatasetSummary:
    """Read `source` once and write its rows, in file order, to every output.

    `rejects` gets one JSON object a line: line, column, rule, message. A refused dataset has been
    written in part; `refusal` says why. Errors of the source or the sinks pass through. Memory is
    bounded; the cost is one read of `source`.
    """
    log = RejectLog(rejects, options.reject_excerpts, options.wording)
    writer = DatasetWriter(outputs)
    refusal = None
    try:
        for rows in encoded_rows(source, tuple(outputs), options, log):
            writer.write(rows)
        require_rows(log, writer.rows, options)
    except DatasetRefused as refused:
        refusal = refused
    return writer.close(log, refusal)


def encoded_rows(
    source: Source, formats: Sequence[RowFormat], options: DatasetOptions, log: RejectLog
) -> Iterator[EncodedRows]:
    """Yield the accepted rows in batches and log the others; raises DatasetRefused."""
    yield from _encode_all(_open_rows(source, formats, options, log), options, log)


@dataclass(frozen=True)
class RowPlace:
    """Where a row stands: the line that it begins on and, in a table, which row it is; from 1."""

    line: int
    row: int | None

    def __str__(self) -> str:
        return f"line {self.line}" if self.row is None else f"row {self.row} (line {self.line})"


PlacedRows = tuple[EncodedRows, Callable[[int], RowPlace]]
"""A batch, and what tells the place of each of its rows by the index: asked for few rows, since it
counts the lines before each."""


def placed_rows(
    source: Source, formats: Sequence[RowFormat], options: DatasetOptions, log: RejectLog
) -> Iterator[PlacedRows]:
    """As encoded_rows, with the places of the rows; none is excluded."""
    yield from _placed(_open_rows(source, formats, options, log), log)


@dataclass(frozen=True)
class RecordsPlace:
    """Where records of a CSV file begin, and the file's header."""

    byte: int
    header: list[str]


def continued_rows(
    source: Source,
    place: RecordsPlace,
    formats: Sequence[RowFormat],
    options: DatasetOptions,
    log: RejectLog,
) -> Iterator[EncodedRows]:
    """As encoded_rows, for records of UTF-8 CSV from the middle; their first line counts as 1."""
    blocks = read_text_from(source, place.byte)
    table = continue_csv(blocks, place.header, options.delimiter)
    yield from _encode_all(_table_reader(table, formats, options), options, log)


def _encode_all(
    reader: RowReader, options: DatasetOptions, log: RejectLog
) -> Iterator[EncodedRows]:
    for encoded, _ in _placed(reader, log):
        yield _without_excluded(encoded, options, log)


def _placed(reader: RowReader, log: RejectLog) -> Iterator[PlacedRows]:
    row = 1
    for line, rows in reader.batches:
        yield from _encode(reader, line, row, rows, log)
        row += len(rows)


def _encode(
    reader: RowReader, line: int, row: int, rows: Sequence[Any], log: RejectLog
) -> Iterator[PlacedRows]:
    """Yield a batch of good rows as a whole, those of another half by half."""

    def place(index: int) -> RowPlace:
        # Lines of JSON are rows, of which those that are no JSON never get here.
        number = row + index if reader.columns else None
        before = reader.count_lines(rows[:index]) if index else 0
        return RowPlace(line + before, number)

    try:
        encoded = reader.encode(rows)
    except RowRejected as reason:
        if len(rows) == 1:
            log.add(line, reason, reader.column(reason.field), place(0).row)
            return
    else:
        yield encoded, place
        return
    half = len(rows) // 2
    yield from _encode(reader, line, row, rows[:half], log)
    after = line + reader.count_lines(rows[:half])
    yield from _encode(reader, after, row + half, rows[half:], log)


def _without_excluded(rows: EncodedRows, options: DatasetOptions, log: RejectLog) -> EncodedRows:
    if not options.exclude_questions:
        return rows
    hashes: list[int] = rows.question_hashes.tolist()
    kept = [row for row, value in enumerate(hashes) if value not in options.exclude_questions]
    log.excluded_rows += len(rows.questions) - len(kept)
    return rows.select(kept)


def require_rows(log: RejectLog, accepted: int, options: DatasetOptions) -> None:
    """Raise DatasetRefused if no rows are left or too many were rejected."""
    if log.rows > options.max_rejects or (log.rows and not accepted):
        line, first = log.first
        rows = log.rows + accepted + log.excluded_rows
        told = f"{first} ({log.rows} of {rows} rows rejected; correct them"
        allow = Setting("max_rejects", str(log.rows))
        others = (", or set ", allow, " to go on without them") if accepted else ()
        what = (told, *others, ")")
        raise DatasetRefused("too-many-rejects", what, line=line, found=log.first_found)
    if not accepted and log.excluded_rows:
        dropped = "each row is left out by `drop` in `checks:` of experiment.yaml"
        raise DatasetRefused("no-rows", dropped, "correct the rows, or write warn there")
    if not accepted:
        raise DatasetRefused("no-rows", "the file has no rows", "add some")


class DatasetWriter:
    """Collects accepted rows into large blocks, one output per format, and sums them up."""

    def __init__(self, outputs: Mapping[RowFormat, Sink]) -> None:
        self._outputs = [_Output(row_format, sink) for row_format, sink in outputs.items()]
        self._statistics = RowStatistics(any(each.has_labels for each in outputs))

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._statistics.rows

    def write(self, rows: EncodedRows) -> None:
        """Append rows, whose lines stand in the order of the outputs."""
        for output, lines in zip(self._outputs, rows.lines, strict=True):
            output.write(lines)
        self._statistics.update(rows)

    def close(self, log: RejectLog, refusal: DatasetRefused | None) -> DatasetSummary:
        """Write out what is left and return the summary."""
        outputs = {output.row_format: output.close(self.rows) for output in self._outputs}
        return self._statistics.summary(refusal, log, outputs)


@dataclass
class _Output:
    row_format: RowFormat
    sink: Sink
    size: int = 0
    lines: list[bytes] = field(default_factory=list)
    pending_bytes: int = 0
    digest: Any = field(default_factory=sha256)

    def write(self, lines: Sequence[bytes]) -> None:
        self.lines.extend(lines)
        self.pending_bytes += sum(map(len, lines))
        if self.pending_bytes >= BLOCK_BYTES:
            self._flush()

    def close(self, rows: int) -> OutputSummary:
        self._flush()
        return OutputSummary(rows, self.size, self.digest.hexdigest())

    def _flush(self) -> None:
        if self.lines:
            block = b"".join(self.lines)
            self.digest.update(block)
            self.sink(block)
            self.size += len(block)
            self.lines, self.pending_bytes = [], 0


def _open_rows(
    source: Source, formats: Sequence[RowFormat], options: DatasetOptions, log: RejectLog
) -> RowReader:
    blocks = read_text(source, options.encoding)
    open_rows = open_json_rows if options.source_format is SourceFormat.JSONL else _open_csv_rows
    return open_rows(blocks, formats, options, log)


def _open_csv_rows(
    blocks: Iterator[TextBlock],
    formats: Sequence[RowFormat],
    options: DatasetOptions,
    log: RejectLog,
) -> RowReader:
    table = open_csv(blocks, options.delimiter)
    if len(table.header) == 1 and (known := not_csv(table.header[0].strip())):
        what, do = known
        raise DatasetRefused("file-type", what, do, line=table.header_line)
    other = other_delimiter(table.header)
    if other and options.delimiter is None:
        what = f"the header is one column with {delimiter_name(other)} characters in it"
        set_it = ("set ", Setting("delimiter", repr(other)))
        raise DatasetRefused("delimiter", what, set_it, line=table.header_line)
    return _table_reader(table, formats, options)


def _require_no_header(cells: Sequence[Sequence[str]], names: Sequence[str]) -> None:
    """Raise RowRejected if a row is the header once more, perhaps behind a byte order mark.

    Several names may be written with other spaces or case, or stand in another order.
    """
    wanted = {_name(each) for each in names}
    longest = max(len(each.encode()) for each in names) + _MOST_AROUND
    for row, cell in enumerate(utf8_column(cells[0])):
        if len(cell) > longest or _name(cell.decode()) not in wanted:
            continue  # as nearly all rows: only this column was looked at
        written = [column[row] for column in cells]
        one = len(names) == 1 and written[0].removeprefix("\ufeff").strip('"') == names[0]
        if one or (len(names) > 1 and {_name(each) for each in written} == wanted):
            what = "the row is the header once more, as where files were joined"
            raise RowRejected("repeated-header", what, "remove it")


_MOST_AROUND = 8
"""Bytes of marks and spaces that may stand around the name of a column."""


def _name(text: str) -> str:
    return text.strip(' \t\ufeff"').casefold()


def _table_reader(
    table: CsvTable, formats: Sequence[RowFormat], options: DatasetOptions
) -> RowReader:
    columns = assign_columns(
        table.header, options.columns, formats, table.header_line, labels=options.labels
    )
    encoder = PlainRowEncoder(columns, formats, options)
    indexes = [table.header.index(name) for name in columns.columns]

    def encode(records: Records) -> EncodedRows:
        cells = records.columns(indexes)
        _require_no_header(cells, columns.columns)
        return encoder.encode_columns(cells)

    return RowReader(table.batches, encode, methodcaller("count_lines"), columns)
