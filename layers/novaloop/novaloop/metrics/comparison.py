"""Two stages on the same rows: what changed, and whether the change is more than chance.

Paired analysis as in Miller, "Adding Error Bars to Evals" (2024); yes/no metrics by the exact
McNemar test, graded ones by a normal test of the mean difference, BLEU by the bootstrap.

Each metric is tested by itself, without a correction for their number: what decides is the one
that a gate names before anything is measured, and the others, most of them much alike, describe.
A correction would have the same rows say less the more is shown of them.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.bleu import corpus_bleu
from novaloop.metrics.estimates import (
    CONFIDENCE,
    binomial_upper_tail,
    quantile,
    resampled_sums,
)
from novaloop.metrics.registry import BY_NAME
from novaloop.metrics.results import Comparison, Difference, Verdict
from novaloop.metrics.rows import row_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from novaloop.metrics.rows import RowScores

POWER = 0.8
MAX_LISTED_ROWS = 50
HEADLINE_METRIC = "em"


class DifferentRowsError(ValueError):
    """The stages were not evaluated on the same rows."""


def compare(earlier: RowScores, later: RowScores) -> Comparison:
    """Compare stages row by row; raises DifferentRowsError, also for different labels."""
    if earlier.evaluation_set != later.evaluation_set or earlier.labels != later.labels:
        raise DifferentRowsError(
            "the stages were evaluated on different rows or labels, so they can't be compared; "
            "evaluate both on the same data set"
        )
    before, after = earlier.by_key(), later.by_key()
    metrics = _differences(before, after)
    change = after.columns()[HEADLINE_METRIC] - before.columns()[HEADLINE_METRIC]
    improved, regressed = int((change > 0).sum()), int((change < 0).sum())
    return Comparison(
        n=len(after),
        improved=improved,
        regressed=regressed,
        same=len(after) - improved - regressed,
        improved_rows=_listed(after, change > 0),
        regressed_rows=_listed(after, change < 0),
        metrics=metrics,
        summary=in_words(metrics[HEADLINE_METRIC], len(after)),
    )


def in_words(difference: Difference, n: int) -> str:
    """One sentence: the verdict, the numbers, and what would settle an open question."""
    change = (
        f"{difference.verdict}: {difference.earlier:.1%} to {difference.later:.1%} on {n} rows, "
        f"95 % interval of the change {difference.low:+.1%} to {difference.high:+.1%}"
    )
    if difference.verdict is not Verdict.NO_EVIDENCE:
        return change
    if difference.rows_to_settle is None:
        return f"{change}; there is no difference to settle"
    return f"{change}; about {difference.rows_to_settle:,} rows would settle a change of this size"


def _listed(rows: RowScores, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(map(row_name, rows.keys[chosen][:MAX_LISTED_ROWS].tolist()))


def _differences(before: RowScores, after: RowScores) -> dict[str, Difference]:
    earlier, later = before.columns(), after.columns()
    changes = np.column_stack([later[name] - earlier[name] for name in later])
    columns = np.hstack([changes, before.bleu, after.bleu])
    random = np.random.default_rng(int(after.evaluation_set, 16))
    resampled = resampled_sums(columns, random)
    width = before.bleu.shape[1]
    differences = {
        name: _row_difference(
            earlier[name],
            later[name],
            resampled[:, index] / len(after),
            higher_is_better=BY_NAME[name].higher_is_better,
        )
        for index, name in enumerate(later)
    }
    differences["bleu"] = _bleu_difference(
        before, after, resampled[:, -2 * width : -width], resampled[:, -width:]
    )
    return differences


def _row_difference(
    earlier: NDArray[np.float64],
    later: NDArray[np.float64],
    resampled: NDArray[np.float64],
    *,
    higher_is_better: bool,
) -> Difference:
    change = later - earlier
    n, difference = len(change), float(change.mean())
    gain = change if higher_is_better else -change
    improved, regressed = int((gain > 0).sum()), int((gain < 0).sum())
    # With no change seen in n rows, up to 3 in n may still change (the rule of three).
    spread = math.sqrt(max(float(change.var()), 3 / n))
    if _is_yes_no(earlier) and _is_yes_no(later):
        p_no_gain, p_no_loss = mcnemar_p_values(improved, regressed)
    else:
        p_no_gain, p_no_loss = normal_p_values(float(gain.mean()), spread / math.sqrt(n))
    low, high = _interval(resampled)
    reach = quantile(CONFIDENCE) + NormalDist().inv_cdf(POWER)
    return Difference(
        earlier=float(earlier.mean()),
        later=float(later.mean()),
        difference=difference,
        low=low,
        high=high,
        improved=improved,
        regressed=regressed,
        p_no_gain=p_no_gain,
        p_no_loss=p_no_loss,
        verdict=verdict_of(p_no_gain, p_no_loss),
        smallest_detectable=reach * spread / math.sqrt(n),
        rows_to_settle=math.ceil((reach * spread / difference) ** 2) if difference else None,
    )


def _bleu_difference(
    before: RowScores,
    after: RowScores,
    resampled_before: NDArray[np.float64],
    resampled_after: NDArray[np.float64],
) -> Difference:
    earlier = float(corpus_bleu(before.bleu.sum(axis=0)))
    later = float(corpus_bleu(after.bleu.sum(axis=0)))
    resampled = corpus_bleu(resampled_after) - corpus_bleu(resampled_before)
    spread = float(resampled.std(ddof=1))
    p_no_gain, p_no_loss = normal_p_values(later - earlier, spread) if spread else (1.0, 1.0)
    low, high = _interval(resampled)
    return Difference(
        earlier=earlier,
        later=later,
        difference=later - earlier,
        low=low,
        high=high,
        improved=0,
        regressed=0,
        p_no_gain=p_no_gain,
        p_no_loss=p_no_loss,
        verdict=verdict_of(p_no_gain, p_no_loss),
        smallest_detectable=None,
        rows_to_settle=None,
    )


def mcnemar_p_values(improved: int, regressed: int) -> tuple[float, float]:
    """Return the one-sided exact p-values of "not better" and "not worse" (McNemar, 1947)."""
    flips = improved + regressed
    return binomial_upper_tail(improved, flips), binomial_upper_tail(regressed, flips)


def normal_p_values(difference: float, stderr: float) -> tuple[float, float]:
    """Return the one-sided p-values of "not better" and "not worse" by a normal test."""
    p_no_gain = NormalDist().cdf(-difference / stderr)
    return p_no_gain, 1 - p_no_gain


def _interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(resampled, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)).tolist()
    return low, high


def _is_yes_no(values: NDArray[np.float64]) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def verdict_of(p_no_gain: float, p_no_loss: float) -> Verdict:
    """Return what two one-sided p-values say at 95 % confidence."""
    threshold = (1 - CONFIDENCE) / 2
    if p_no_gain <= threshold:
        return Verdict.BETTER
    return Verdict.WORSE if p_no_loss <= threshold else Verdict.NO_EVIDENCE
