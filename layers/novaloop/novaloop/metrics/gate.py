"""May this model be deployed? Conditions over a score, a verdict and its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from novaloop.metrics.registry import GATED, LENIENT_ACCURACY
from novaloop.metrics.results import TEST, Score, TaskScore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from novaloop.metrics.results import Change, ClassScore, Difference, Share


class GateVerdict(StrEnum):
    """What the gate says. HOLD wins over INCONCLUSIVE, which wins over PROMOTE."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    INCONCLUSIVE = "INCONCLUSIVE"


class Outcome(StrEnum):
    """Whether one condition was met."""

    MET = "met"
    NOT_MET = "not met"
    UNDECIDED = "undecided"


class Conditions(Protocol):
    """What is asked for: the `gate` of `experiment.yaml`, all but the metric optional."""

    @property
    def metric(self) -> str:
        """A name in `registry.GATED`, or one that the job itself reports."""

    @property
    def at_least(self) -> float | None:
        """The lowest value of the metric."""

    @property
    def better_than(self) -> str | None:
        """The stage over which the metric must have gained."""

    @property
    def confidence(self) -> float:
        """Of the one-sided test of that gain."""

    @property
    def class_floors(self) -> Mapping[str, float]:
        """The lowest strict recall by label."""

    @property
    def max_format_failures(self) -> float | None:
        """The highest share of answers that are no label."""

    @property
    def max_truncated(self) -> float | None:
        """The highest share of answers cut off at max_new_tokens."""


@dataclass(frozen=True)
class LedgerEntry:
    """One condition, what was observed, what was needed, and the outcome."""

    condition: str
    observed: str
    needed: str
    outcome: Outcome


@dataclass(frozen=True)
class GateResult:
    """The verdict and one entry for each condition."""

    verdict: GateVerdict
    ledger: tuple[LedgerEntry, ...]


def judge(conditions: Conditions, score: Score | TaskScore) -> GateResult:
    """Apply the conditions to the score of an evaluation.

    Levels, floors and ceilings hold for the observed value. A gain needs a one-sided test at
    `confidence`, a paired one where there are rows, so a model that is no better passes at most
    1 - confidence of the time; a gain that is neither shown nor refuted is undecided, as is
    whatever was not measured.
    """
    ledger = tuple(_ledger(conditions, score))
    outcomes = {entry.outcome for entry in ledger}
    if Outcome.NOT_MET in outcomes:
        return GateResult(GateVerdict.HOLD, ledger)
    undecided = Outcome.UNDECIDED in outcomes
    return GateResult(GateVerdict.INCONCLUSIVE if undecided else GateVerdict.PROMOTE, ledger)


def _ledger(conditions: Conditions, score: Score | TaskScore) -> Iterator[LedgerEntry]:
    if conditions.at_least is not None:
        yield _level(conditions.metric, conditions.at_least, score)
    if conditions.better_than is not None:
        yield _gain(conditions, conditions.better_than, score)
    yield from _limits(conditions, score if isinstance(score, Score) else None)


def _limits(conditions: Conditions, score: Score | None) -> Iterator[LedgerEntry]:
    """Yield what only the rows of an evaluation can tell."""
    classes = score.classification.strict.classes if score and score.classification else {}
    for label, floor in conditions.class_floors.items():
        yield _floor(label, floor, classes)
    strict = score.classification.strict if score and score.classification else None
    if conditions.max_format_failures is not None:
        share = strict.without_label if strict else None
        yield _ceiling("answers that are no label", share, conditions.max_format_failures)
    if conditions.max_truncated is not None:
        share = score.lengths.reached_limit if score else None
        yield _ceiling("answers cut off at max_new_tokens", share, conditions.max_truncated)


def _level(metric: str, needed: float, score: Score | TaskScore) -> LedgerEntry:
    observed = _value(metric, score)
    condition = f"{metric} at least {needed:g}"
    if observed is None:
        return _unmeasured(condition, f"at least {needed:g}")
    return _entry(condition, f"{observed:.4f}", f"at least {needed:g}", met=observed >= needed)


def _value(metric: str, score: Score | TaskScore) -> float | None:
    if metric == LENIENT_ACCURACY and isinstance(score, Score) and score.classification:
        return score.classification.lenient.accuracy.value
    estimate = score.metrics.get(_name_in(score.metrics, metric))
    return estimate.value if estimate else None


def _name_in(metrics: Mapping[str, object], metric: str) -> str:
    return GATED[metric].name if metric in GATED and metric not in metrics else metric


def _gain(conditions: Conditions, stage: str, score: Score | TaskScore) -> LedgerEntry:
    condition = f"{conditions.metric} better than {stage}"
    needed = f"a gain at {conditions.confidence:.0%} confidence"
    differences = _differences(score, stage)
    difference = differences.get(_name_in(differences, conditions.metric))
    if difference is None:
        return _unmeasured(condition, needed)
    if isinstance(score, TaskScore):
        needed = f"{needed} by {TEST}"
    p_value = difference.p_no_gain
    chance = "p < 0.0001" if p_value < 1e-4 else f"p = {p_value:.4f}"
    observed = f"{difference.difference:+.4f}, {chance}"
    return LedgerEntry(condition, observed, needed, _gain_outcome(difference, conditions))


def _differences(score: Score | TaskScore, stage: str) -> Mapping[str, Difference | Change]:
    if isinstance(score, TaskScore):
        return score.changes.get(stage, {})
    comparison = score.comparisons.get(stage)
    return comparison.metrics if comparison else {}


def _gain_outcome(difference: Difference | Change, conditions: Conditions) -> Outcome:
    threshold = 1 - conditions.confidence
    if difference.p_no_gain <= threshold:
        return Outcome.MET
    return Outcome.NOT_MET if difference.p_no_loss <= threshold else Outcome.UNDECIDED


def _floor(label: str, floor: float, classes: Mapping[str, ClassScore]) -> LedgerEntry:
    condition, needed = f"recall of {label}", f"at least {floor:g}"
    recall = classes[label].recall if label in classes else None
    if recall is None or recall.value is None:
        return _unmeasured(condition, needed)
    return _entry(condition, _in_words(recall), needed, met=recall.value >= floor)


def _ceiling(condition: str, share: Share | None, ceiling: float) -> LedgerEntry:
    needed = f"at most {ceiling:g}"
    if share is None or share.value is None:
        return _unmeasured(condition, needed)
    return _entry(condition, _in_words(share), needed, met=share.value <= ceiling)


def _in_words(share: Share) -> str:
    return f"{share.value:.4f} ({share.count} of {share.n})"


def _entry(condition: str, observed: str, needed: str, *, met: bool) -> LedgerEntry:
    return LedgerEntry(condition, observed, needed, Outcome.MET if met else Outcome.NOT_MET)


def _unmeasured(condition: str, needed: str) -> LedgerEntry:
    return LedgerEntry(condition, "not measured", needed, Outcome.UNDECIDED)
