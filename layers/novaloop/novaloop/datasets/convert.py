"""One pass from an uploaded file to the JSONL of Nova's jobs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from typing import Any, BinaryIO

from .columns import assign_columns
from .csv_table import delimiter_name, open_csv, other_delimiter
from .decoding import read_lines
from .errors import DatasetRefused, RowRejected
from .json_rows import open_json_rows
from .options import DatasetOptions, RowFormat, SourceFormat
from .plain_rows import PlainRowEncoder
from .rejects import RejectLog
from .rows import EncodedRow, RowReader
from .summary import DatasetSummary, OutputSummary, RowStatistics

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
    log = RejectLog(rejects, options.reject_excerpts)
    writer = DatasetWriter(outputs)
    refusal = None
    try:
        for row in encoded_rows(source, tuple(outputs), options, log):
            writer.write(row)
        check_rejects(log, writer.rows, options)
    except DatasetRefused as refused:
        refusal = refused
    return writer.close(log, refusal)


def encoded_rows(
    source: Source, formats: Sequence[RowFormat], options: DatasetOptions, log: RejectLog
) -> Iterator[EncodedRow]:
    """Yield the accepted rows and log the others; raises DatasetRefused."""
    lines = read_lines(source, options.encoding)
    open_rows = open_json_rows if options.source_format is SourceFormat.JSONL else _open_csv_rows
    reader = open_rows(lines, formats, options, log)
    for line, values in reader.rows:
        try:
            row = reader.encode(values)
        except RowRejected as reason:
            column, value = reader.column(reason.field), reader.value(values, reason.field)
            log.add(line, reason, column, value)
        else:
            if options.exclude_questions and _is_excluded(row, options):
                log.excluded_rows += 1
            else:
                yield row


def _is_excluded(row: EncodedRow, options: DatasetOptions) -> bool:
    return int.from_bytes(row.question_digest, "little") in options.exclude_questions


def check_rejects(log: RejectLog, accepted: int, options: DatasetOptions) -> None:
    """Raise DatasetRefused if no rows are left or too many were rejected."""
    if log.rows > options.max_rejects:
        line, first = log.first
        message = (
            f"{first} ({log.rows} of {log.rows + accepted} rows rejected; correct them, or set"
            f" `max_rejects: {log.rows}` to go on without them)"
        )
        raise DatasetRefused("too-many-rejects", message, line=line)
    if not accepted:
        raise DatasetRefused("no-rows", "the file has no rows; add some")


class DatasetWriter:
    """Collects accepted rows into large blocks, one output per format, and sums them up."""

    def __init__(self, outputs: Mapping[RowFormat, Sink]) -> None:
        self._outputs = [_Output(row_format, sink) for row_format, sink in outputs.items()]
        self._statistics = RowStatistics()

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._statistics.rows

    def write(self, row: EncodedRow) -> None:
        """Append one row, whose lines stand in the order of the outputs."""
        for output, line in zip(self._outputs, row.lines, strict=True):
            output.write(line)
        self._statistics.add(row)

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

    def write(self, line: bytes) -> None:
        self.lines.append(line)
        self.pending_bytes += len(line)
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


def _open_csv_rows(
    lines: Iterator[str], formats: Sequence[RowFormat], options: DatasetOptions, log: RejectLog
) -> RowReader:
    table = open_csv(lines, options.delimiter, log)
    other = other_delimiter(table.header)
    if other and options.delimiter is None:
        message = (
            f"the header is one column with {delimiter_name(other)} characters in it;"
            f" set `delimiter: {other!r}`"
        )
        raise DatasetRefused("delimiter", message, line=table.header_line)
    columns = assign_columns(table.header, options.columns, formats, table.header_line)
    pick = itemgetter(*(table.header.index(name) for name in columns.columns))
    rows = ((line, pick(cells)) for line, cells in table.rows)
    return RowReader(rows, PlainRowEncoder(columns, formats, options).encode, columns)
