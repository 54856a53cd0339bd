"""Which bytes of a file are meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ByteRange:
    """Bytes from `start` up to, but not including, `end`."""

    start: int
    end: int
