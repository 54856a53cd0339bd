"""JSON Lines: one object a line, of plain fields or formatted for Nova already."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import orjson

from novaloop.datasets.errors import DatasetRefused, RowRejected
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.reading.decoding import TextBlock
from novaloop.datasets.rejects import RejectLog
from novaloop.datasets.rows.columns import FieldColumns, assign_columns
from novaloop.datasets.rows.encoded import EncodedRows, RowReader
from novaloop.datasets.rows.formatted import formatted_row_encoder
from novaloop.datasets.rows.plain import PlainRowEncoder


def open_json_rows(
    blocks: Iterator[TextBlock],
    formats: Sequence[RowFormat],
    options: DatasetOptions,
    log: RejectLog,
) -> RowReader:
    """Take the fields from the first object; raises DatasetRefused. Blank lines are skipped."""
    lines = chain.from_iterable(block.lines() for block in blocks)
    rows = objects(lines, log)
    first = next(rows, None)
    if first is None:
        reject_line, reject = log.first
        if reject:
            raise DatasetRefused("no-rows", reject, line=reject_line)
        raise DatasetRefused("no-rows", "the file is empty", "it needs one JSON object a line")
    line, fields = first
    batches = ((number, [row]) for number, row in chain([first], rows))
    formatted = formatted_row_encoder(fields, formats, options, line)
    if formatted:
        return RowReader(batches, formatted, len)
    columns = assign_columns(list(fields), options.columns, formats, line, of_header=False)
    encoder = PlainRowEncoder(columns, formats, options)

    def encode(rows: list[dict[str, Any]]) -> EncodedRows:
        return encoder.encode([_values(row, columns) for row in rows])

    return RowReader(batches, encode, len, columns)


def _values(row: dict[str, Any], columns: FieldColumns) -> list[Any]:
    if late := columns.absent & row.keys():
        name = min(late)
        what = f"the first row lacks {name!r}, unlike this one"
        raise RowRejected("inconsistent", what, "all rows must agree", field=name)
    try:
        return [row[name] for name in columns.columns]
    except KeyError as error:
        name = error.args[0]
        what = f"no field {name!r}, which the file's first row has"
        raise RowRejected("missing-field", what, "all rows need the same", field=name) from error


def objects(lines: Iterator[str], log: RejectLog) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects with their lines; what isn't one goes to the log."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        try:
            yield number, _object(text)
        except RowRejected as reason:
            log.add(number, reason)


def _object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        what = f"not valid JSON at character {error.colno}"
        raise RowRejected("invalid-json", what, "each line is one JSON object") from error
    if not isinstance(value, dict):
        do = "each line is one object with the row's fields"
        raise RowRejected("not-an-object", "not a JSON object", do)
    return value
