"""Whether a measurement fell for good, or only by the noise of its steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from statistics import NormalDist, fmean

ALPHA = 0.01
"""The chance that a training of any length, in which nothing changes, is said to have fallen."""
SHORTEST = 5
"""The fewest values whose mean is compared; then twice as many, four times, …"""
ODD = 0.25
"""The share of the largest differences that are left out of the noise: falls, a steep beginning."""
_GAUSS = NormalDist()


def fall(values: Sequence[float], least: float) -> tuple[float, float] | None:
    """Return the means before and after the largest fall of at least `least` that is no noise.

    The mean of the newest 5, 10, 20, … values is compared with every mean of 5, 10, 20, … before
    them. What counts as noise shares ALPHA among all that is compared, now and at each look before
    (Bonferroni); the noise is that of differences between neighbours (von Neumann, 1941), to which
    a slow rise adds nothing, and few of them widen it (Student's t, after Wallace, 1959).
    """
    limit = noise(values) * _bound(len(values))
    falls = [
        (before, after)
        for before, after, error in _compared(values)
        if before - after >= max(least, limit * error)
    ]
    return max(falls, key=lambda pair: pair[0] - pair[1], default=None)


def rise(values: Sequence[float], confidence: float) -> tuple[float, float, float] | None:
    """Return by how much the last quarter's mean lies above the first quarter's, and its interval.

    By the noise of the steps; None where there are too few for a quarter of 5.
    """
    quarter = len(values) // 4
    if quarter < SHORTEST:
        return None
    risen = fmean(values[-quarter:]) - fmean(values[:quarter])
    reach = _GAUSS.inv_cdf((1 + confidence) / 2) * noise(values) * math.sqrt(2 / quarter)
    return risen, risen - reach, risen + reach


def noise(values: Sequence[float]) -> float:
    """Return the standard deviation of the values about their course, by neighbours' differences.

    Without the largest quarter of the differences, which for Gaussian noise is accounted for.
    """
    squares = sorted((after - before) ** 2 / 2 for before, after in pairwise(values))
    kept = squares[: len(squares) - math.ceil(ODD * len(squares))]
    if not kept:
        return 0.0
    left_out = 1 - len(kept) / len(squares)
    edge = _GAUSS.inv_cdf(1 - left_out / 2)
    share_of_variance = 1 - 2 * edge * _GAUSS.pdf(edge) / (1 - left_out)
    return math.sqrt(math.fsum(kept) / len(kept) / share_of_variance)


def _compared(values: Sequence[float]) -> Iterator[tuple[float, float, float]]:
    """Yield the highest mean before, the newest mean, and the error of what they differ by.

    Once for each pair of widths; the error is in standard deviations of a value.
    """
    sums = list(accumulate(values, initial=0.0))
    widths = [SHORTEST * 2**power for power in range(_widths(len(values)))]
    for newest in widths:
        rest = len(values) - newest
        after = (sums[-1] - sums[rest]) / newest
        for width in widths:
            if width <= rest:
                before = max(sums[end] - sums[end - width] for end in range(width, rest + 1))
                yield before / width, after, math.sqrt(1 / width + 1 / newest)


def _widths(count: int) -> int:
    """Return how many widths fit into `count` values."""
    return int(math.log2(count / SHORTEST)) + 1 if count >= SHORTEST else 0


def _bound(count: int) -> float:
    """Return how many standard errors a fall must have among `count` values."""
    if count < 2 * SHORTEST:
        return math.inf
    compared = count * _widths(count) ** 2
    z = -_GAUSS.inv_cdf(ALPHA / (count * (count + 1) * compared))
    freedom = 2 * (count - 1) / 3
    return math.sqrt(freedom * math.expm1(z * z / freedom))
