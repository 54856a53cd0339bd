"""What is wrong with a requested job, told field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class FieldError:
    """One problem: the path of the field that has it, and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class RecipeError(ValueError):
    """Every problem that was found, all at once."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))


class UnacceptableError(ValueError):
    """A value that can't stand where it was written; the message says what can."""


def shown(value: object) -> str:
    """Return ``value`` as a short one-line literal for a message."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


def joined(path: str, name: str) -> str:
    """Return the path of the field ``name`` under ``path``."""
    return f"{path}.{name}" if path else name
