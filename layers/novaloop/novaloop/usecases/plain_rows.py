"""Rows of plain fields, each with its line: of CSV, or of JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from novaloop.datasets.errors import RowRejected
from novaloop.datasets.reading.csv_table import CsvTable, open_csv, other_delimiter
from novaloop.datasets.reading.decoding import read_text
from novaloop.metrics.inferences import InferenceError, read_object

PlainRows = Iterator[tuple[int, Mapping[str, object]]]


def json_rows(lines: Iterable[bytes]) -> PlainRows:
    """Yield the objects of lines, blank ones skipped. Raises InferenceError."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, read_object(line, number)


def csv_rows(
    content: BinaryIO, encoding: str | None, delimiter: str | None
) -> tuple[list[str], PlainRows]:
    """Read the header and the rows; without a delimiter it is the one that the header seems to use.

    Raises DatasetRefused, and the rows InferenceError.
    """
    table = open_csv(read_text(content, encoding), delimiter)
    if delimiter is None and (other := other_delimiter(table.header)):
        content.seek(0)
        table = open_csv(read_text(content, encoding), other)
    return table.header, _rows(table)


def _rows(table: CsvTable) -> PlainRows:
    for start, records in table.batches:
        line = start
        for index in range(len(records)):
            record = records[index : index + 1]
            try:
                cells = [column[0] for column in record.columns(range(len(table.header)))]
            except RowRejected as rejected:
                raise InferenceError(f"line {line}: {rejected}") from rejected
            yield line, dict(zip(table.header, cells, strict=True))
            line += record.count_lines()
