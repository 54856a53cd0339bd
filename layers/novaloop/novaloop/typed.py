"""How data from outside is read into types and written, and what is told if it does not fit."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
_built = cache(TypeAdapter[Any])


def adapter(kind: type[T]) -> TypeAdapter[T]:
    """Return what reads and writes `kind`, built when first needed: no cold start pays for all."""
    built: TypeAdapter[T] = _built(kind)  # type: ignore[arg-type]  # every class is hashable
    return built


def dotted(*location: str | int) -> str:
    """Return a path such as messages[0].content."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def one_line(error: ValidationError, most: int = 3) -> str:
    """Return where something is wrong and what, on one line, and nothing of the value itself."""
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    # Nobody outside knows the types' own names.
    what = (each["msg"].partition(" or instance of ")[0] for each in wrong)
    where = (dotted(*each["loc"]) for each in wrong)
    told = [": ".join(filter(None, each)) for each in zip(where, what, strict=True)]
    more = [f"and {len(told) - most} more"] if len(told) > most else []
    return "; ".join(told[:most] + more)
