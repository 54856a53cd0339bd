"""What a number of evaluation rows can show, before anything is spent on them."""

from __future__ import annotations

import math
from statistics import NormalDist

from novaloop.metrics.estimates import quantile

POWER = 0.8
"""How often a change of the size that is named is to be shown: 8 times in 10."""


def smallest_gain(n: int, changed: float, confidence: float) -> float | None:
    """Return the change in a share that n rows show with POWER; None where they can't show any.

    changed: the share of rows whose outcome changes, above 0; it bounds the gain. By the normal
    approximation of McNemar's test (Connor, "Sample size for testing differences in proportions for
    the paired-sample design", 1987).
    """
    if rows_needed(changed, changed, confidence) > n:
        return None
    low, high = 0.0, changed
    for _ in range(50):
        middle = (low + high) / 2
        if rows_needed(middle, changed, confidence) > n:
            low = middle
        else:
            high = middle
    return high


def rows_needed(gain: float, changed: float, confidence: float) -> int:
    """Return how many rows show this gain with POWER, where a share of `changed` of them changes.

    gain: above 0 and at most `changed`. The source is that of `smallest_gain`.
    """
    if gain <= 0:
        raise ValueError("no number of rows shows that there is no gain")
    test = quantile(confidence) * math.sqrt(changed)
    reach = NormalDist().inv_cdf(POWER) * math.sqrt(max(0.0, changed - gain**2))
    return math.ceil(((test + reach) / gain) ** 2)


def rows_for_margin(margin: float, changed: float, confidence: float) -> int:
    """Return how many rows show with POWER that a model is not worse by `margin`, if it is alike.

    changed: the share of rows whose outcome changes, as many for the better as for the worse. By
    the normal approximation of the test of non-inferiority for pairs (Tango, 1998).
    """
    reach = quantile(confidence) + NormalDist().inv_cdf(POWER)
    return math.ceil(changed * (reach / margin) ** 2)
