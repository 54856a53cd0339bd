"""What every kind of input row becomes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from .columns import FieldColumns


class EncodedRow(NamedTuple):
    """An accepted row: its line in each wanted format, and what the statistics need.

    `question` is the question as JSON, `answer` the answer as text or, for a structured reference
    answer, as JSON text.
    """

    lines: list[bytes]
    question: bytes
    answer: str


@dataclass(frozen=True)
class RowReader:
    """The rows of an open file, by line number, and how to encode one (raises RowRejected).

    With `columns` a row is a sequence of values in the order of its fields; else it is formatted.
    """

    rows: Iterator[tuple[int, Any]]
    encode: Callable[[Any], EncodedRow]
    columns: FieldColumns | None = None

    def column(self, field: str | None) -> str | None:
        """Return the user's name for a field or, in a formatted row, its path."""
        return self.columns.column(field) if self.columns else field

    def value(self, row: Any, field: str | None) -> object:
        """Return a field's value, if it is known."""
        if self.columns and field in self.columns.fields:
            return row[self.columns.fields.index(field)]
        return None
