"""Two stages on the same rows: what changed, and whether the change is more than chance.

Paired analysis as in Miller, "Adding Error Bars to Evals" (2024). Rows that repeat a question are
one case: the tests go by questions (clusters), and count only different ones.

Each metric is tested by itself, without a correction for their number: what decides is the one
that a gate names before anything is measured, and the others, most of them much alike, describe.
A correction would have the same rows say less the more is shown of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from novaloop.metrics.bleu import ORDER, corpus_bleu
from novaloop.metrics.estimates import CONFIDENCE, Questions, is_yes_no, resampled_sums
from novaloop.metrics.paired import Evidence, graded, repeated_yes_no, resampled
from novaloop.metrics.power import smallest_gain
from novaloop.metrics.registry import BY_NAME, STRICT_ACCURACY
from novaloop.metrics.results import Comparison, Difference, Move, Verdict, percent
from novaloop.metrics.rows import NO_LABEL, RowScores, row_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from novaloop.metrics.rows import GivenScores

    Rows = RowScores | GivenScores

MAX_LISTED_ROWS = 50
MAX_MOVES = 20
FEW_LABELS = 20
HEADLINE_METRIC = "em"


class DifferentRowsError(ValueError):
    """The stages were not evaluated on the same rows."""


def compare(
    earlier: Rows,
    later: Rows,
    metric: str = HEADLINE_METRIC,
    confidence: float = CONFIDENCE,
    *,
    by_class: bool = False,
) -> Comparison:
    """Compare stages row by row; raises DifferentRowsError, also for different labels.

    metric: the one that decides; the sentence and the listed rows are about it, or about exact
    match or the score that was given, if it has no value for each row. confidence: of every
    interval and verdict, two-sided.
    by_class: also the recall of each label, however many there are; of few, always.
    """
    if earlier.evaluation_set != later.evaluation_set or earlier.labels != later.labels:
        raise DifferentRowsError(
            f"can't be compared with the earlier answers: {_what_differs(earlier, later)}; "
            "evaluate both on the same data set, with the same labels"
        )
    before, after = earlier.by_key(), later.by_key()
    columns = before.columns(), after.columns()
    metrics = _differences(before, after, columns, confidence)
    headline = metric if metric in columns[1] else next(iter(columns[1]))
    change = columns[1][headline] - columns[0][headline]
    gain = change if BY_NAME[headline].higher_is_better else -change
    told = metrics[headline]
    improved, regressed = told.improved or 0, told.regressed or 0
    return Comparison(
        n=len(after),
        improved=improved,
        regressed=regressed,
        same=(told.questions or 0) - improved - regressed,
        improved_rows=_listed(after, gain > 0),
        regressed_rows=_listed(after, gain < 0),
        metrics=metrics,
        summary=in_words(
            told,
            BY_NAME[headline].title,
            improved + regressed,
            is_share=BY_NAME[headline].most == 1
            or all(each[headline].min() >= 0 and each[headline].max() <= 1 for each in columns),
        ),
        metric=headline,
        counted="rows" if told.questions == told.n else "questions",
        **_of_labels(before, after, confidence, by_class=by_class),
    )


class _OfLabels(TypedDict, total=False):
    classes: dict[str, Difference]
    moves: tuple[Move, ...]


def _of_labels(before: Rows, after: Rows, confidence: float, *, by_class: bool) -> _OfLabels:
    """Return what labels tell of a change; nothing where only scores are given."""
    if not (isinstance(before, RowScores) and isinstance(after, RowScores)):
        return {}
    told = _OfLabels(moves=_moves(before, after))
    if by_class or len(after.labels) <= FEW_LABELS:
        told["classes"] = _class_differences(before, after, confidence)
    return told


def _what_differs(earlier: Rows, later: Rows) -> str:
    """Say in numbers how two evaluations' rows differ, or else that their labels do."""
    if earlier.evaluation_set == later.evaluation_set:
        return f"they were scored by {len(earlier.labels)} labels, these by {len(later.labels)}"
    both = int(np.isin(np.unique(later.keys), earlier.keys).sum())
    return (
        f"they are about {len(earlier):,} rows, these about {len(later):,}, and {both:,} have the "
        "same prompt and gold answer in both"
    )


def in_words(told: Difference, title: str, changed: int, *, is_share: bool = True) -> str:
    """One sentence: the verdict, the numbers, and what so many rows could have shown.

    changed: how many different questions did. is_share: whether each row has 0 to 1, so that the
    numbers are percent.
    """
    n, questions = told.n or 0, told.questions or 0
    rows = "1 row" if n == 1 else f"{n:,} rows"
    rows = rows if questions == n else f"{rows} of {_different(questions)}"
    value, signed = ("{:.1%}", "{:+.1%}") if is_share else ("{:.4g}", "{:+.4g}")
    values = f"{value.format(told.earlier)} to {value.format(told.later)}"
    change = f"{title}, {told.verdict}: {values} on {rows}"
    if told.low is None or told.high is None:
        return f"{change}; {told.method}"
    bounds = f"{signed.format(told.low)} to {signed.format(told.high)}"
    change += f", {percent(told.confidence)} interval of the change {bounds}"
    if told.verdict is not Verdict.NO_EVIDENCE or not changed or not is_share:
        return change
    share = changed / questions
    shown = smallest_gain(questions, share, told.confidence)
    if shown is None:
        return change
    return (
        f"{change}; where {share:.1%} of the answers change, as many show a change of "
        f"{100 * shown:.1f} points 8 times in 10"
    )


def _different(questions: int) -> str:
    return "1 question" if questions == 1 else f"{questions:,} different questions"


def _listed(rows: Rows, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(map(row_name, rows.keys[chosen][:MAX_LISTED_ROWS].tolist()))


_Columns = dict[str, "NDArray[np.float64]"]


def _differences(
    before: Rows, after: Rows, columns: tuple[_Columns, _Columns], confidence: float
) -> dict[str, Difference]:
    questions = Questions.of(after.questions)
    earlier, later = columns
    differences = {
        name: _row_difference(name, earlier[name], later[name], questions, confidence)
        for name in later
    }
    if isinstance(before, RowScores) and isinstance(after, RowScores):
        differences["bleu"] = _bleu_difference(before, after, questions, confidence)
    return differences


def _moves(before: RowScores, after: RowScores) -> tuple[Move, ...]:
    """Return from which label to which the answers went, the most frequent first."""
    changed = before.lenient != after.lenient
    columns = np.stack([after.gold, before.lenient, after.lenient], axis=1)[changed]
    found, counts = np.unique(columns, axis=0, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MAX_MOVES]
    return tuple(
        Move(true, None if was == NO_LABEL else was, None if now == NO_LABEL else now, rows)
        for (true, was, now), rows in zip(found[most].tolist(), counts[most].tolist(), strict=True)
    )


def _class_differences(
    before: RowScores, after: RowScores, confidence: float
) -> dict[str, Difference]:
    """Return how the strict recall of each label changed that rows have."""
    changes = {}
    for index, label in enumerate(after.labels):
        chosen = after.gold == index
        if chosen.any():
            earlier, later = ((each.strict == index)[chosen] for each in (before, after))
            changes[label] = _row_difference(
                STRICT_ACCURACY,
                earlier.astype(np.float64),
                later.astype(np.float64),
                Questions.of(after.questions[chosen]),
                confidence,
            )
    return changes


def _row_difference(
    name: str,
    earlier: NDArray[np.float64],
    later: NDArray[np.float64],
    questions: Questions,
    confidence: float,
) -> Difference:
    sums, metric = questions.sums(later - earlier), BY_NAME[name]
    up, down = int((sums > 0).sum()), int((sums < 0).sum())
    if is_yes_no(earlier) and is_yes_no(later):
        evidence = repeated_yes_no(sums, questions.rows, confidence)
    else:
        # Where no bounds are known, no change is larger than the range that was seen.
        has_bounds = math.isfinite(metric.most)
        most = metric.most if has_bounds else float(np.ptp([earlier, later]))
        evidence = graded(sums, questions.rows, confidence, most)
    improved, regressed = (up, down) if metric.higher_is_better else (down, up)
    return difference(
        float(earlier.mean()),
        float(later.mean()),
        evidence,
        confidence,
        higher_is_better=metric.higher_is_better,
        n=len(later),
        questions=len(questions),
        improved=improved,
        regressed=regressed,
    )


def _bleu_difference(
    before: RowScores, after: RowScores, questions: Questions, confidence: float
) -> Difference:
    """Compare the BLEU of the corpora by resampling questions, both corpora the same ones."""
    sums = questions.sums(np.hstack([before.bleu, after.bleu]))
    random = np.random.default_rng(int(after.evaluation_set, 16))
    drawn_before, drawn_after = np.hsplit(resampled_sums(sums, random), 2)
    shortest = np.min([each[:, :2].min(axis=1) for each in (before.bleu, after.bleu)], axis=0)
    informative = int((shortest >= ORDER).sum())
    drawn = corpus_bleu(drawn_after) - corpus_bleu(drawn_before)
    return difference(
        float(corpus_bleu(before.bleu.sum(axis=0))),
        float(corpus_bleu(after.bleu.sum(axis=0))),
        resampled(drawn, informative, confidence),
        confidence,
        n=len(after),
        questions=len(questions),
    )


def difference(
    earlier: float,
    later: float,
    evidence: Evidence,
    confidence: float,
    *,
    higher_is_better: bool = True,
    n: int | None = None,
    questions: int | None = None,
    improved: int | None = None,
    regressed: int | None = None,
) -> Difference:
    """Return what is to be made of a change, with the verdict of its evidence's interval."""
    return Difference(
        earlier=earlier,
        later=later,
        difference=later - earlier,
        low=evidence.low,
        high=evidence.high,
        p_value=evidence.p_value,
        confidence=confidence,
        verdict=_verdict(evidence, higher_is_better=higher_is_better),
        method=evidence.method,
        n=n,
        questions=questions,
        improved=improved,
        regressed=regressed,
    )


def _verdict(evidence: Evidence, *, higher_is_better: bool) -> Verdict:
    """Return what the interval says: a change where it lies on one side of 0."""
    if evidence.low is None or evidence.high is None or evidence.low <= 0 <= evidence.high:
        return Verdict.NO_EVIDENCE
    return Verdict.BETTER if (evidence.low > 0) == higher_is_better else Verdict.WORSE
