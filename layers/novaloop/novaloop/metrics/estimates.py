"""Estimates with their errors and intervals, by different questions where some repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.results import Estimate, Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 1999
"""Of a bootstrap: with as many, an interval of 99.9 % is still two of them."""
_DRAWS_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class Questions:
    """Which rows ask the same: those are one case, since they say the same thing again.

    index: (n,), of each row's question, from 0; None where all rows ask something else. rows: (k,),
    how many rows ask each.
    """

    index: NDArray[np.intp] | None
    rows: NDArray[np.float64]

    @classmethod
    def of(cls, keys: NDArray[np.uint64]) -> Questions:
        """Find them by the keys of what each row asks, (n,)."""
        different, index, rows = np.unique(keys, return_inverse=True, return_counts=True)
        if len(different) == len(keys):
            return cls(None, np.ones(len(keys)))
        return cls(index, rows.astype(np.float64))

    def __len__(self) -> int:
        return len(self.rows)

    def sums(self, values: NDArray[np.number]) -> NDArray[np.float64]:
        """Return the sums of rows' values by question, (n, ...) to (k, ...)."""
        if self.index is None:
            return values.astype(np.float64)
        sums = np.zeros((len(self), *values.shape[1:]))
        np.add.at(sums, self.index, values)
        return sums


def mean(
    values: NDArray[np.float64], questions: Questions, confidence: float = CONFIDENCE
) -> Estimate:
    """Return the mean of the rows, its standard error and its interval.

    Where no question repeats, the error is the sample standard deviation (n - 1) over the root of
    n, as lighteval has it; else that of the questions' sums (Miller, 2024). A share's interval is
    Wilson's, for as many rows as would have that error; another mean's is the normal one.
    Raises ValueError when there are no values.
    """
    n, k = len(values), len(questions)
    if n == 0:
        raise ValueError("the mean of no rows is undefined")
    value = float(np.mean(values))
    deviations = questions.sums(values - value)
    stderr = math.sqrt(float(deviations @ deviations) * k / (k - 1)) / n if k > 1 else None
    if not is_yes_no(values):
        return Estimate(value, stderr, *normal_interval(value, stderr, confidence))
    # Where questions repeat, the rows count for fewer; where all are alike, for the questions.
    counted = min(n, value * (1 - value) / stderr**2 * k / (k - 1)) if stderr else k
    return Estimate(value, stderr, *score_interval(value, counted, confidence))


def is_yes_no(values: NDArray[np.float64]) -> bool:
    """Whether each value is 0 or 1, so that the mean is a share."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def share(chosen: NDArray[np.bool_], questions: Questions, confidence: float = CONFIDENCE) -> Share:
    """Return the share of rows that are chosen, with the interval that `mean` gives it."""
    count, n = int(chosen.sum()), len(chosen)
    if n == 0:
        return Share(count, n, None, None, None)
    found = mean(chosen.astype(np.float64), questions, confidence)
    return Share(count, n, found.value, found.low, found.high)


def quantile(confidence: float) -> float:
    """How many standard errors a two-sided normal interval of this confidence reaches."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def normal_interval(
    value: float, stderr: float | None, confidence: float
) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of a value by its standard error; none where nobody knows that."""
    if stderr is None:
        return None, None
    reach = quantile(confidence) * stderr
    return value - reach, value + reach


def score_interval(rate: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the score interval of a rate (Wilson, 1927); n is how many rows it counts for."""
    z2 = quantile(confidence) ** 2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low = 0.0 if rate == 0 else max(0.0, centre - reach)
    high = 1.0 if rate == 1 else min(1.0, centre + reach)
    return low, high


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
    if successes > n:
        return 0.0
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
