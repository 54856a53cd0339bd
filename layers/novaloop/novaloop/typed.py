"""How stored data is read into dataclasses and written."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")
_built = cache(TypeAdapter[Any])


def adapter(kind: type[T]) -> TypeAdapter[T]:
    """Return what reads and writes `kind`, built when first needed: no cold start pays for all."""
    built: TypeAdapter[T] = _built(kind)  # type: ignore[arg-type]  # every class is hashable
    return built
