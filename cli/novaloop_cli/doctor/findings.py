"""What a check found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    STOPS = "stops"
    """An experiment would fail, wait for good, or never begin."""
    WARNS = "warns"
    UNKNOWN = "unknown"
    """Nobody could look, for want of a permission for instance."""
    FINE = "fine"


@dataclass(frozen=True)
class Finding:
    """What is so and why it matters, and what to do about it.

    `do` is empty where nothing is to be done.
    """

    severity: Severity
    what: str
    do: str = ""


def fine(what: str) -> Finding:
    """Return what is as it should be."""
    return Finding(Severity.FINE, what)


def warns(what: str, do: str) -> Finding:
    """Return what does no harm yet."""
    return Finding(Severity.WARNS, what, do)


def stops(what: str, do: str) -> Finding:
    """Return what keeps an experiment from running."""
    return Finding(Severity.STOPS, what, do)
