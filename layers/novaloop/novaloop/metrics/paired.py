"""Whether a change between two evaluations is more than chance: each test with its own interval.

A test and its interval are one: the interval excludes 0 exactly where the p-value is at most
1 - confidence. All are two-sided. `make calibration` shows how often they are wrong, and how
often they see a true change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.estimates import binomial_upper_tail, normal_interval, quantile
from novaloop.metrics.results import CORPUS, GRADED, REPEATED_YES_NO, UNPAIRED, YES_NO

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_CHANGED = 10
"""Of fewer questions whose grade changed, nothing is said."""
MIN_IN_CORPUS = 10
"""Of fewer answers that BLEU's longest sequences of words can be found in, nothing is said."""
_NORMAL = NormalDist()
_HALVINGS = 60


@dataclass(frozen=True)
class Evidence:
    """What a test says of a change.

    p_value: two-sided. low, high: the interval of the change; None where there is too little to
    go by, and then the p-value is 1. method: by name, or why there is no interval.
    """

    p_value: float
    low: float | None
    high: float | None
    method: str


def yes_no(improved: int, regressed: int, n: int, confidence: float) -> Evidence:
    """Test a change in the share of n rows that are right, of rows that are all different.

    The interval is Tango's ("Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design", 1998): it has a width even where no row changed. At
    0 his test is McNemar's without correction, which is too sure of itself where few rows changed;
    so where the exact mid-p test (Fagerland, Lydersen and Laake, 2013) is less sure, the interval
    is widened by as much.
    """
    score = _tango(improved, regressed, n, 0.0)
    p_value = max(_two_sided(score), mid_p(improved, regressed))
    widened = abs(score) / -_NORMAL.inv_cdf(p_value / 2) if 0 < p_value < 1 else 1.0
    reach = quantile(confidence) * max(1.0, widened)
    seen = (improved - regressed) / n

    def bound(outside: float) -> float:
        """Halve the way between what was seen, which lies inside, and a bound that does not."""
        inside = seen
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if abs(_tango(improved, regressed, n, middle)) < reach:
                inside = middle
            else:
                outside = middle
        return outside

    return Evidence(p_value, bound(-1.0), bound(1.0), YES_NO)


def _tango(improved: int, regressed: int, n: int, change: float) -> float:
    """Return how many standard errors what was seen lies above a true change.

    The errors are those under that change: `lost` is the most likely share of rows that got worse.
    """
    distance = improved - regressed - n * change
    b = (2 * n - improved + regressed) * change - improved - regressed
    lost = (math.sqrt(b * b + 8 * n * regressed * change * (1 - change)) - b) / (4 * n)
    variance = n * (2 * lost + change * (1 - change))
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def mid_p(improved: int, regressed: int) -> float:
    """Return McNemar's exact p-value, with what was seen counted by half."""
    flips, most = improved + regressed, max(improved, regressed)
    at_least = binomial_upper_tail(most, flips)
    return min(1.0, at_least + binomial_upper_tail(most + 1, flips))


def repeated_yes_no(
    changes: NDArray[np.float64], rows: NDArray[np.float64], confidence: float
) -> Evidence:
    """Test a change in the share of rows that are right, of rows some of which ask the same.

    changes, rows: as `graded` takes them, of grades of 0 and 1. A question is one case. If its rows
    changed in part, its change lies between none and that of a whole question: the interval is as
    low as with the lesser of these, and as high as with the greater, each by `yes_no`. So it is too
    wide rather than too narrow. Where most of what changed did so in part, that would see nothing,
    and the means are tested as grades.
    """
    shares = changes / rows
    in_part = int((shares % 1 != 0).sum())
    if 2 * in_part > int((changes != 0).sum()):
        return graded(changes, rows, confidence, 1.0)
    lesser, greater = (
        (int((each == 1).sum()), int((each == -1).sum()))
        for each in (np.floor(shares), np.ceil(shares))
    )
    low = yes_no(*lesser, len(shares), confidence)
    if not in_part:
        return low
    high = yes_no(*greater, len(shares), confidence)
    p_value = 1.0
    if lesser[0] > lesser[1]:
        p_value = low.p_value
    elif greater[0] < greater[1]:
        p_value = high.p_value
    return Evidence(p_value, low.low, high.high, REPEATED_YES_NO)


def graded(
    changes: NDArray[np.float64], rows: NDArray[np.float64], confidence: float, most: float
) -> Evidence:
    """Test a mean change of grades, or of shares where questions repeat.

    changes, rows: (k,) for each different question, the sum of its rows' changes and how many rows
    it has. A row's change lies within `most` on both sides.

    At a change c, the statistic is the sum of the deviations from c over the root of their squares'
    sum: what a t-test becomes with the variance under c, and what random signs are measured by. It
    says too much of a gain where losses are rare and large. Hall ("On the removal of skewness by
    transformation", 1992) corrects for that, and says too much where grades are symmetric with
    long tails; so each bound is that of the less sure of both.
    """
    changed = changes != 0
    if int(changed.sum()) < MIN_CHANGED:
        few = f"undecided: fewer than {MIN_CHANGED} different questions changed"
        return Evidence(1.0, None, None, few)
    total, squares = float(changes.sum()), float(changes @ changes)
    statistic = total / math.sqrt(squares)
    skewness = _skewness(changes[changed], rows[changed])
    corrected = _hall(statistic, skewness)
    agree = (statistic > 0) == (corrected > 0)
    least = min(abs(statistic), abs(corrected)) if agree else 0.0
    reach = quantile(confidence)
    bounds = _mean_bounds(
        changes,
        rows,
        max(reach, _hall_inverse(reach, skewness)),
        max(reach, -_hall_inverse(-reach, skewness)),
    )
    low, high = (min(most, max(-most, bound)) for bound in bounds)
    return Evidence(_two_sided(least), low, high, GRADED)


def _skewness(changes: NDArray[np.float64], rows: NDArray[np.float64]) -> float:
    """Return the skewness of those that changed over the root of their number.

    Rows that stayed the same say nothing of the shape of a change.
    """
    deviations = changes - rows * (changes.sum() / rows.sum())
    squares = float(deviations @ deviations)
    if squares <= 1e-12 * float(changes @ changes):
        return 0.0
    return float((deviations**3).sum()) / math.pow(squares, 1.5)


def _hall(statistic: float, skewness: float) -> float:
    if abs(skewness) < 1e-9:
        return statistic
    return ((1 + skewness * statistic / 3) ** 3 - 1) / skewness + skewness / 6


def _hall_inverse(corrected: float, skewness: float) -> float:
    if abs(skewness) < 1e-9:
        return corrected
    return 3 * float(np.cbrt(1 + skewness * (corrected - skewness / 6)) - 1) / skewness


def _mean_bounds(
    changes: NDArray[np.float64], rows: NDArray[np.float64], above: float, below: float
) -> tuple[float, float]:
    """Return the changes whose statistic is `above`, and -`below`; infinite where there is none.

    The square of the statistic is a ratio of two quadratic forms in the change.
    """
    y, m = float(changes.sum()), float(rows.sum())
    yy, ym, mm = float(changes @ changes), float(changes @ rows), float(rows @ rows)

    def root(reach: float, side: int) -> float:
        a, b, c = (m * m - reach**2 * mm, y * m - reach**2 * ym, y * y - reach**2 * yy)
        if a <= 0:
            return side * math.inf
        return (b + side * math.sqrt(max(0.0, b * b - a * c))) / a

    return root(above, -1), root(below, 1)


def resampled(differences: NDArray[np.float64], informative: int, confidence: float) -> Evidence:
    """Test a difference by those of paired bootstrap samples, both by the same order statistics.

    informative: answers that hold what the metric counts.
    """
    draws = len(differences)
    tail = math.floor((1 - confidence) / 2 * (draws + 1) + 1e-9)
    if informative < MIN_IN_CORPUS or tail < 1 or np.ptp(differences) < 1e-9:
        few = f"undecided: fewer than {MIN_IN_CORPUS} answers hold what it counts"
        alike = "undecided: the resamples are all alike, or too few"
        return Evidence(1.0, None, None, few if informative < MIN_IN_CORPUS else alike)
    ordered = np.sort(differences)
    least = 1 + min(int((ordered <= 0).sum()), int((ordered >= 0).sum()))
    p_value = min(1.0, 2 * least / (draws + 1))
    return Evidence(p_value, float(ordered[tail - 1]), float(ordered[-tail]), CORPUS)


def unpaired(difference: float, stderr: float, confidence: float) -> Evidence:
    """Test a difference by its standard error, which is above 0."""
    low, high = normal_interval(difference, stderr, confidence)
    return Evidence(_two_sided(difference / stderr), low, high, UNPAIRED)


def _two_sided(standard_errors: float) -> float:
    return math.erfc(abs(standard_errors) / math.sqrt(2))
