"""Estimates with their errors, intervals and exact tests."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.results import Estimate, Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 1000
_DRAWS_AT_ONCE = 1_000_000


def mean(values: NDArray[np.float64]) -> Estimate:
    """The mean and the sample standard deviation (n - 1) over the root of n, as lighteval has it.

    Raises ValueError when there are no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("the mean of no rows is undefined")
    stderr = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else None
    return Estimate(float(np.mean(values)), stderr)


def quantile(confidence: float) -> float:
    """How many standard errors a two-sided normal interval of this confidence reaches."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(count: int, n: int, confidence: float = CONFIDENCE) -> Share:
    """A share with its score interval (Wilson, 1927)."""
    if n == 0:
        return Share(count, n, None, None, None)
    z2 = quantile(confidence) ** 2
    rate = count / n
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low = 0.0 if count == 0 else max(0.0, centre - reach)
    high = 1.0 if count == n else min(1.0, centre + reach)
    return Share(count, n, rate, low, high)


def resampled_sums(
    columns: NDArray[np.number], random: np.random.Generator, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Column sums of `resamples` bootstrap samples of the rows; (n, k) to (resamples, k)."""
    columns = columns.astype(np.float64)
    return np.concatenate(
        [counts @ columns for counts in _row_counts(len(columns), random, resamples)]
    )


def _row_counts(
    n: int, random: np.random.Generator, resamples: int
) -> Iterator[NDArray[np.float64]]:
    """How often each of `n` rows was drawn, in blocks of resamples that fit in memory."""
    block = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = random.integers(0, n, size=(size, n), dtype=np.int64)
        drawn += np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def binomial_upper_tail(successes: int, n: int) -> float:
    """P(X >= successes) for X ~ Binomial(n, 1/2); exact up to rounding."""
    if successes <= 0:
        return 1.0
    if 2 * successes <= n:
        return 1.0 - binomial_upper_tail(n - successes + 1, n)
    term = math.exp(_log_choose(n, successes) - n * math.log(2))
    tail = 0.0
    for count in range(successes, n + 1):
        tail += term
        term *= (n - count) / (count + 1)
        if term < tail * 1e-17:
            break
    return min(1.0, tail)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
