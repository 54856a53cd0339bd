"""What is stored bounds itself where it is made: texts are cut, lists say how many more there are.

An item of DynamoDB has 400 KB and a transaction 100 actions, and one byte or line more is refused
every time. Whatever people upload, services answer and time brings must therefore fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, get_type_hints

EARLIEST, LATEST = datetime(2015, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MOST_SECONDS = int(timedelta(days=3_650).total_seconds())
TEXT_BYTES = 1_000
_CUT = "..."


def cut(text: str, most: int = TEXT_BYTES) -> str:
    """Return at most `most` bytes of a text in UTF-8; what was cut ends with dots."""
    if len(text) <= most // 4 or len(text.encode()) <= most:
        return text
    # A character that the cut goes through is left out.
    return text.encode()[: most - len(_CUT)].decode(errors="ignore") + _CUT


def plausible(at: datetime | None) -> datetime | None:
    """Return a time that a service tells, or None if none can mean it.

    Years that no calendar goes on from would make whatever is added to them fail.
    """
    return at if at is not None and EARLIEST <= at <= LATEST else None


def plausible_seconds(seconds: int) -> int:
    """Return how long a service says that something took, or 0 if none can mean it."""
    return seconds if 0 <= seconds <= MOST_SECONDS else 0


def first_of(texts: Sequence[str], most: int) -> tuple[str, ...]:
    """Return at most `most` of the texts, the last one of which says how many more there are."""
    if len(texts) <= most:
        return tuple(texts)
    return (*texts[: most - 1], f"and {len(texts) - most + 1:,} more")


class Cut:
    """Marks a field whose text is cut when the object is made."""


class First:
    """Marks a field that holds no more than the first `most` of its texts or entries."""

    def __init__(self, most: int) -> None:
        self.most = most


Prose = Annotated[str, Cut()]
"""A text for people. Names, keys and ARNs are not cut: the services bound them."""


class Bounded:
    """Base of the dataclasses that are stored: their marked fields hold what fits."""

    def __post_init__(self) -> None:
        # mypy takes the instances' __hash__ for the class's.
        for name, mark in _marked(type(self)):  # type: ignore[arg-type]
            value = getattr(self, name)
            if value:
                object.__setattr__(self, name, _fitting(value, mark))


def _fitting(
    value: str | Sequence[str] | Mapping[str, object], mark: Cut | First
) -> str | tuple[str, ...] | dict[str, object]:
    if isinstance(value, str):
        return cut(value)
    most = mark.most if isinstance(mark, First) else len(value)
    if isinstance(value, Mapping):
        return dict(list(value.items())[:most])
    return first_of([cut(text) for text in value], most)


@cache
def _marked(kind: type[Bounded]) -> tuple[tuple[str, Cut | First], ...]:
    hints = get_type_hints(kind, include_extras=True)
    found = ((name, mark) for name, hint in hints.items() for mark in _marks(hint))
    return tuple(found)


def _marks(hint: object) -> list[Cut | First]:
    """Return the marks of a type, or of one of the types that it is a union of."""
    inner = [*getattr(hint, "__metadata__", ()), *getattr(hint, "__args__", ())]
    own = [each for each in inner if isinstance(each, Cut | First)]
    return own or [mark for each in inner for mark in _marks(each)]
