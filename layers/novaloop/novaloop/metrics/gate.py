"""May this model be deployed? Conditions over a score, a verdict and its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from novaloop.metrics.registry import GATED
from novaloop.metrics.results import Score, TaskScore, Verdict, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from novaloop.metrics.results import Difference, Share


class GateDecision(StrEnum):
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

    verdict: GateDecision
    ledger: tuple[LedgerEntry, ...]


def judge(conditions: Conditions, score: Score | TaskScore) -> GateResult:
    """Apply the conditions to the score of an evaluation.

    All go by intervals at `confidence`, two-sided. A level, floor or ceiling is met where the whole
    interval lies on the right side of it, and a gain where that of the change lies above 0; it is
    not met where the whole interval lies on the other side. In between it is undecided, as is
    whatever was not measured. A model that is no better passes at most (1 - confidence) / 2 of the
    time, at one try.
    """
    ledger = tuple(_ledger(conditions, score))
    outcomes = {entry.outcome for entry in ledger}
    if Outcome.NOT_MET in outcomes:
        return GateResult(GateDecision.HOLD, ledger)
    undecided = Outcome.UNDECIDED in outcomes
    return GateResult(GateDecision.INCONCLUSIVE if undecided else GateDecision.PROMOTE, ledger)


def _ledger(conditions: Conditions, score: Score | TaskScore) -> Iterator[LedgerEntry]:
    if conditions.at_least is not None:
        yield _level(conditions.metric, conditions.at_least, score)
    if conditions.better_than is not None:
        yield _gain(conditions.metric, conditions.better_than, score)
    yield from _limits(conditions, score if isinstance(score, Score) else None)


def _limits(conditions: Conditions, score: Score | None) -> Iterator[LedgerEntry]:
    """Yield what only the rows of an evaluation can tell."""
    strict = score.classification.strict if score and score.classification else None
    for label, floor in conditions.class_floors.items():
        found = strict.classes.get(label) if strict else None
        yield _floor(f"recall of {label}", found.recall if found else None, floor)
    if conditions.max_format_failures is not None:
        share = strict.without_label if strict else None
        yield _ceiling("answers that are no label", share, conditions.max_format_failures)
    if conditions.max_truncated is not None:
        share = score.lengths.reached_limit if score else None
        yield _ceiling("answers cut off at max_new_tokens", share, conditions.max_truncated)


def _level(metric: str, needed: float, score: Score | TaskScore) -> LedgerEntry:
    condition = f"{metric} at least {needed:g}"
    estimate = score.metrics.get(_name_in(score.metrics, metric))
    if estimate is None:
        return _unmeasured(condition, f"at least {needed:g}")
    if estimate.low is None or estimate.high is None:
        # Nobody knows how sure such a value is, so it counts as it stands.
        outcome = Outcome.MET if estimate.value >= needed else Outcome.NOT_MET
        observed = f"{estimate.value:.4f}, without an error"
        return LedgerEntry(condition, observed, f"at least {needed:g}", outcome)
    observed = f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
    outcome = _outcome(estimate.low - needed, estimate.high - needed)
    return LedgerEntry(condition, observed, f"at least {needed:g}", outcome)


def _name_in(metrics: Mapping[str, object], metric: str) -> str:
    return GATED[metric].name if metric in GATED and metric not in metrics else metric


def _gain(metric: str, stage: str, score: Score | TaskScore) -> LedgerEntry:
    condition = f"{metric} better than {stage}"
    differences = _differences(score, stage)
    found = differences.get(_name_in(differences, metric))
    if found is None:
        return _unmeasured(condition, "a change above 0")
    needed = f"a change above 0 at {percent(found.confidence)} confidence, two-sided"
    if found.low is None or found.high is None:
        observed = f"{found.difference:+.4f}; {found.method}"
        return LedgerEntry(condition, observed, needed, Outcome.UNDECIDED)
    chance = "p < 0.0001" if found.p_value < 1e-4 else f"p = {found.p_value:.4f}"
    interval = f"{found.low:+.4f} to {found.high:+.4f}"
    observed = f"{found.difference:+.4f} ({interval}), {chance}{_rows(found)}; {found.method}"
    return LedgerEntry(condition, observed, needed, _GAIN[found.verdict])


_GAIN = {
    Verdict.BETTER: Outcome.MET,
    Verdict.WORSE: Outcome.NOT_MET,
    Verdict.NO_EVIDENCE: Outcome.UNDECIDED,
}


def _rows(found: Difference) -> str:
    if found.improved is None or found.regressed is None:
        return ""
    of = f"{found.n} rows" if found.questions == found.n else f"{found.questions} questions"
    return f"; {found.improved} improved, {found.regressed} regressed of {of}"


def _differences(score: Score | TaskScore, stage: str) -> Mapping[str, Difference]:
    if isinstance(score, TaskScore):
        return score.changes.get(stage, {})
    comparison = score.comparisons.get(stage)
    return comparison.metrics if comparison else {}


def _floor(condition: str, share: Share | None, floor: float) -> LedgerEntry:
    needed = f"at least {floor:g}"
    if share is None or share.low is None or share.high is None:
        return _unmeasured(condition, needed)
    outcome = _outcome(share.low - floor, share.high - floor)
    return LedgerEntry(condition, _in_words(share), needed, outcome)


def _ceiling(condition: str, share: Share | None, ceiling: float) -> LedgerEntry:
    needed = f"at most {ceiling:g}"
    if share is None or share.low is None or share.high is None:
        return _unmeasured(condition, needed)
    outcome = _outcome(ceiling - share.high, ceiling - share.low)
    return LedgerEntry(condition, _in_words(share), needed, outcome)


def _outcome(least: float, most: float) -> Outcome:
    """Say whether a margin is had that lies between the two."""
    if least >= 0:
        return Outcome.MET
    return Outcome.NOT_MET if most < 0 else Outcome.UNDECIDED


def _in_words(share: Share) -> str:
    return f"{share.value:.4f} ({share.low:.4f} to {share.high:.4f}), {share.count} of {share.n}"


def _unmeasured(condition: str, needed: str) -> LedgerEntry:
    return LedgerEntry(condition, "not measured", needed, Outcome.UNDECIDED)
