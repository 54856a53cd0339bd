"""Distributions of sizes in constant memory."""

from collections import defaultdict
from dataclasses import dataclass

# Buckets keep the leading 7 bits of a size, so none is wider than 1/64 of its lower bound.
_LEADING_BITS = 7


@dataclass(frozen=True)
class Distribution:
    """Sum, median, 95th percentile and maximum; percentiles are exact below 128, else within 1.6 %.

    `buckets` holds (lower bound, count) in ascending order.
    """

    total: int
    p50: int
    p95: int
    max: int
    buckets: tuple[tuple[int, int], ...]


class Histogram:
    """Counts sizes (integers from 0) in buckets of bounded relative width."""

    def __init__(self) -> None:
        self._counts: defaultdict[int, int] = defaultdict(int)
        self._total = 0
        self._max = 0

    def add(self, size: int) -> None:
        """Count one size."""
        shift = size.bit_length() - _LEADING_BITS
        self._counts[size >> shift << shift if shift > 0 else size] += 1
        self._total += size
        if size > self._max:  # noqa: PLR1730 - max() takes three times as long per row
            self._max = size

    def distribution(self) -> Distribution:
        """Return what has been counted so far."""
        buckets = tuple(sorted(self._counts.items()))
        rows = sum(count for _, count in buckets)
        p50, p95 = (_percentile(buckets, rows * share) for share in (0.5, 0.95))
        return Distribution(self._total, p50, p95, self._max, buckets)


def _percentile(buckets: tuple[tuple[int, int], ...], rank: float) -> int:
    seen = 0
    for bound, count in buckets:
        seen += count
        if seen >= rank:
            return bound
    return 0
