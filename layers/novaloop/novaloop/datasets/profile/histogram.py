"""Distributions of sizes in constant memory."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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

    def count_above(self, size: int) -> int:
        """Count what is larger than `size` for certain: all of it, or all but 1.6 % above it."""
        return sum(count for bound, count in self.buckets if bound > size)


class Histogram:
    """Counts sizes (integers from 0) in buckets of bounded relative width."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._total = 0
        self._max = 0

    def update(self, sizes: npt.NDArray[np.int64]) -> None:
        """Count sizes."""
        # The exponent of a float is the bit length of the integer in it.
        bits = np.frexp(sizes.astype(np.float64))[1]
        shifts = np.maximum(bits - _LEADING_BITS, 0)
        buckets, counts = np.unique(sizes >> shifts << shifts, return_counts=True)
        self._counts.update(dict(zip(buckets.tolist(), counts.tolist(), strict=True)))
        self._total += int(sizes.sum())
        self._max = max(self._max, int(sizes.max(initial=0)))

    def absorb(self, other: Distribution) -> None:
        """Count what another histogram has counted."""
        self._counts.update(dict(other.buckets))
        self._total += other.total
        self._max = max(self._max, other.max)

    def distribution(self) -> Distribution:
        """Return what has been counted so far."""
        buckets = tuple(sorted(self._counts.items()))
        rows = self._counts.total()
        p50, p95 = (_percentile(buckets, rows * share) for share in (0.5, 0.95))
        return Distribution(self._total, p50, p95, self._max, buckets)


def _percentile(buckets: tuple[tuple[int, int], ...], rank: float) -> int:
    seen = 0
    for bound, count in buckets:
        seen += count
        if seen >= rank:
            return bound
    return 0
