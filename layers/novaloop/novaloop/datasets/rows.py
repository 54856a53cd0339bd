"""What every kind of input row becomes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from .columns import FieldColumns


class EncodedRow(NamedTuple):
    """An accepted row: its line in each wanted format, and what the statistics need.

    `question_json` is the question's text once more, as JSON; `answer` is the answer as text or,
    for a structured reference answer, as JSON.
    """

    lines: list[bytes]
    question: str
    question_json: bytes
    answer: str

    @property
    def question_digest(self) -> bytes:
        """The 64-bit hash by which questions are compared and sampled, little-endian."""
        return blake2b(self.question_json, digest_size=8).digest()


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
