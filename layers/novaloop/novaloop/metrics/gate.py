"""May this model be deployed? Conditions over a score, a verdict and its ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from novaloop.metrics.registry import GATED
from novaloop.metrics.results import Score, TaskScore, Verdict, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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


class Tier(StrEnum):
    """What becomes of a condition that is not met: `must` holds the deployment, `should` tells."""

    MUST = "must"
    SHOULD = "should"


class Conditions(Protocol):
    """What is asked of one evaluation: in the `gate` of `experiment.yaml`, or in its conditions.

    All but the metric and the tier is optional.
    """

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
    def not_worse_than(self) -> str | None:
        """The stage against which the metric may not have lost `margin`."""

    @property
    def margin(self) -> float | None:
        """The loss that is as good as none, in the metric's units, above 0."""

    @property
    def each_class(self) -> bool:
        """Whether `not_worse_than` is asked of the strict recall of each label instead."""

    @property
    def class_floors(self) -> Mapping[str, float]:
        """The lowest strict recall by label."""

    @property
    def max_format_failures(self) -> float | None:
        """The highest share of answers that are no label."""

    @property
    def max_truncated(self) -> float | None:
        """The highest share of answers cut off at max_new_tokens."""

    @property
    def tier(self) -> str:
        """A `Tier`."""


@dataclass(frozen=True)
class LedgerEntry:
    """One condition, what was observed, what was needed, and the outcome."""

    condition: str
    observed: str
    needed: str
    outcome: Outcome
    tier: Tier = Tier.MUST


@dataclass(frozen=True)
class GateResult:
    """The verdict and one entry for each condition."""

    verdict: GateDecision
    ledger: tuple[LedgerEntry, ...]


def judge(
    asked: Iterable[tuple[str, Conditions, Score | TaskScore | None]], most_tries: int | None = None
) -> GateResult:
    """Apply conditions, each to the score of the evaluation that it is about, by its name.

    All go by intervals at `confidence`, two-sided. A level, floor or ceiling is met where the whole
    interval lies on the right side of it, a gain where that of the change lies above 0, and no loss
    where that of the change lies above -margin; it is not met where the whole interval lies on the
    other side. In between it is undecided, as is whatever was not measured. Where there is no score
    it is not met. A model that is no better, or worse by the margin, passes a condition at most
    (1 - confidence) / 2 of the time, at one try; all that must be met make that no larger.

    most_tries: on the same rows, for which the scores' confidence was corrected. What was tried
    there more often is not met, whatever it shows.
    """
    asked = tuple(asked)
    several = len({name for name, _, _ in asked}) > 1
    ledger = tuple(
        replace(
            entry,
            condition=(f"{name}: " if several else "")
            + entry.condition
            + (" (should)" if conditions.tier == Tier.SHOULD else ""),
            tier=Tier(conditions.tier),
        )
        for name, conditions, score in asked
        for entry in _ledger(conditions, score)
    )
    judged = {name: score for name, _, score in asked if isinstance(score, Score)}
    for name, score in judged.items():
        if score.tries is not None and (score.tries > 1 or most_tries is not None):
            entry = _tries(score.tries, most_tries, score.confidence)
            condition = f"{name}: {entry.condition}" if several else entry.condition
            ledger += (replace(entry, condition=condition),)
    outcomes = {entry.outcome for entry in ledger if entry.tier is Tier.MUST}
    if Outcome.NOT_MET in outcomes:
        return GateResult(GateDecision.HOLD, ledger)
    undecided = Outcome.UNDECIDED in outcomes
    return GateResult(GateDecision.INCONCLUSIVE if undecided else GateDecision.PROMOTE, ledger)


def _ledger(conditions: Conditions, score: Score | TaskScore | None) -> Iterator[LedgerEntry]:
    if score is None:
        yield LedgerEntry("a score to judge", "there is none", "one", Outcome.NOT_MET)
        return
    if conditions.at_least is not None:
        yield _level(conditions.metric, conditions.at_least, score)
    if conditions.better_than is not None:
        yield _gain(conditions.metric, conditions.better_than, score)
    if conditions.not_worse_than is not None and conditions.margin is not None:
        yield from _no_loss(conditions, conditions.not_worse_than, conditions.margin, score)
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
        share = score.lengths.reached_limit if score and score.lengths else None
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
    chance = "p < 0.0001" if found.p_value < 1e-4 else f"p = {found.p_value:.4f}"
    return LedgerEntry(condition, _change(found, f", {chance}"), needed, _GAIN[found.verdict])


_GAIN = {
    Verdict.BETTER: Outcome.MET,
    Verdict.WORSE: Outcome.NOT_MET,
    Verdict.NO_EVIDENCE: Outcome.UNDECIDED,
}


def _no_loss(
    conditions: Conditions, stage: str, margin: float, score: Score | TaskScore
) -> Iterator[LedgerEntry]:
    """Yield whether the metric lost less than a margin: non-inferiority, by the same intervals.

    The interval that lies above -margin is the test of Tango, "Equivalence test and confidence
    interval for the difference in proportions for the paired-sample design" (1998). That each of
    many classes must pass needs no correction: it makes passing harder, not easier.
    """
    needed = f"a change above {-margin:g}"
    if conditions.each_class:
        comparison = score.comparisons.get(stage) if isinstance(score, Score) else None
        classes = comparison.classes if comparison else {}
        found = {f"recall of {label}": change for label, change in classes.items()}
        names = list(found) or ["recall of each label"]
    else:
        differences = _differences(score, stage)
        names, found = [conditions.metric], {}
        if change := differences.get(_name_in(differences, conditions.metric)):
            found = {conditions.metric: change}
    for name in names:
        condition = f"{name} not worse than {stage} by {margin:g}"
        change = found.get(name)
        if change is None:
            yield _unmeasured(condition, needed)
            continue
        told = f"{needed} at {percent(change.confidence)} confidence, two-sided"
        outcome = Outcome.UNDECIDED
        if change.low is not None and change.high is not None:
            outcome = _outcome(change.low + margin, change.high + margin)
        yield LedgerEntry(condition, _change(change), told, outcome)


def _tries(number: int, most: int | None, confidence: float) -> LedgerEntry:
    """Say how often chance has had an opportunity: the bound is Bonferroni's, whatever depends."""
    bound = percent(round(min(1.0, number * (1 - confidence) / 2), 3))
    observed = f"try {number}: a model that is no better passes at least once in at most {bound}"
    if most is None:
        return LedgerEntry("tries on these rows", observed, "any number", Outcome.MET)
    needed = f"at most {most}, then new evaluation rows"
    outcome = Outcome.MET if number <= most else Outcome.NOT_MET
    return LedgerEntry("tries on these rows", observed, needed, outcome)


def _change(found: Difference, chance: str = "") -> str:
    if found.low is None or found.high is None:
        return f"{found.difference:+.4f}; {found.method}"
    interval = f"{found.low:+.4f} to {found.high:+.4f}"
    return f"{found.difference:+.4f} ({interval}){chance}{_rows(found)}; {found.method}"


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
