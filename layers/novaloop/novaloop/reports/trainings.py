"""What a report says of trainings: their curves, as their jobs logged them, and their ills."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypedDict

from novaloop.metrics.registry import BY_NAME
from novaloop.metrics.results import Verdict, percent
from novaloop.training.changes import rise

if TYPE_CHECKING:
    from novaloop.experiment.record import Record, Stage
    from novaloop.metrics.results import Score
    from novaloop.training.curve import Curve

PANELS: Mapping[str, tuple[str, ...]] = {
    "Loss": ("loss",),
    "Learning rate": ("learning_rate",),
    "Reward, mean and range": ("reward_mean", "reward_min", "reward_max"),
    "Score, mean and range": ("score_mean", "score_min", "score_max"),
    "KL divergence of each update": ("kl",),
    "KL divergence from the start": ("kl_from_start",),
    "Entropy": ("entropy",),
    "Policy loss": ("policy_loss",),
    "Response length in tokens, mean and longest": ("response_length_mean", "response_length_max"),
    "Throughput in tokens per second": ("throughput",),
}
"""The panels in their order: a measurement, then the extremes that go with it."""

Points = list[tuple[int, float]]


class Panel(TypedDict):
    """One measurement over the steps; a point is a step and the mean of the steps up to it."""

    title: str
    lines: dict[str, Points]


class TrainingReport(TypedDict):
    """One training: steps done of how many, what went wrong in it, and its curves.

    `reward_bins` counts points of the reward's curve by their lower bound, in equal bins. `audit`
    sets what the reward gained against what the evaluations before and after it did.
    """

    stage: str
    steps: int
    max_steps: int | None
    health: list[str]
    audit: str | None
    panels: list[Panel]
    reward_bins: list[tuple[float, int]]


MOST_REWARD_BINS = 10
NICE = (1, 2, 5, 10)
"""A bin is as wide as one of these times a power of ten."""


def training_reports(
    record: Record, curves: Mapping[str, Curve], measured: Mapping[str, Score]
) -> Iterator[TrainingReport]:
    """Yield a report of each stage, in the plan's order, that `curves` has by name.

    measured: the scores of the evaluations by stage.
    """
    for stage in record.stages:
        curve = curves.get(stage.name)
        if curve is not None and curve.series:
            yield _training_report(stage, curve, _audit(record, stage, curve, measured))


def _audit(record: Record, stage: Stage, curve: Curve, measured: Mapping[str, Score]) -> str | None:
    """Say in one sentence what the reward gained, and what the evaluations did meanwhile."""
    if "reward_mean" not in curve.series or stage.checkpoint is None:
        return None
    at = record.stages.index(stage)
    of_before = record.checkpoint_before(stage)
    before = [
        each.name
        for each in record.stages[:at]
        if each.name in measured and record.checkpoint_before(each) == of_before
    ]
    after = [
        each.name
        for each in record.stages[at:]
        if each.name in measured and record.checkpoint_before(each) == stage.checkpoint
    ]
    compared = measured[after[0]].comparisons.get(before[-1]) if before and after else None
    if compared is None:
        return None
    told = compared.metrics[compared.metric]
    risen = rise(curve.series["reward_mean"].whole, told.confidence)
    if risen is None:
        return None
    interval = f"{percent(told.confidence)} interval"
    gain, low, high = risen
    reward = f"the mean reward changed by {gain:+.3g} ({interval} {low:+.3g} to {high:+.3g})"
    truth = f"{BY_NAME[compared.metric].title} from {before[-1]} to {after[0]}"
    found = f"{truth} by {100 * told.difference:+.1f} points, {told.verdict}"
    if told.low is not None and told.high is not None:
        found = f"{found} ({interval} {100 * told.low:+.1f} to {100 * told.high:+.1f})"
    doubt = low > 0 and told.verdict is not Verdict.BETTER
    end = "; what the reward gained does not show in the answers to the evaluation" if doubt else ""
    return f"From the first to the last quarter of the steps {reward}, and {found}{end}."


def _training_report(stage: Stage, curve: Curve, audit: str | None) -> TrainingReport:
    return TrainingReport(
        stage=stage.name,
        steps=curve.steps_done or 0,
        max_steps=stage.attempt.progress.max_steps if stage.attempt.progress else None,
        health=[f"{note.kind.replace('_', ' ')}, {note.message}" for note in stage.attempt.health],
        audit=audit,
        panels=list(_panels(curve)),
        reward_bins=_bins([mean for _, mean in _points(curve, "reward_mean")]),
    )


def _bins(values: list[float]) -> list[tuple[float, int]]:
    if not values:
        return []
    low, high = min(values), max(values)
    if low == high:
        return [(low, len(values))]
    width = _width((high - low) / (MOST_REWARD_BINS - 1))
    counts = Counter(math.floor(round(value / width, 9)) for value in values)
    return [(width * at, counts[at]) for at in range(min(counts), max(counts) + 1)]


def _width(least: float) -> float:
    """Return the least round number that is no smaller."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(nice * power for nice in NICE if nice * power >= least)


def _panels(curve: Curve) -> Iterator[Panel]:
    for title, names in PANELS.items():
        if names[0] == "score_mean" and _same_as_reward(curve):
            continue
        lines = {name: _points(curve, name) for name in names}
        if lines[names[0]]:
            yield Panel(title=title, lines={name: line for name, line in lines.items() if line})


def _same_as_reward(curve: Curve) -> bool:
    """Whether nothing but the score went into the reward."""
    return _points(curve, "score_mean") == _points(curve, "reward_mean")


def _points(curve: Curve, name: str) -> Points:
    series = curve.series.get(name)
    return [(bucket.step, bucket.mean) for bucket in series.buckets] if series else []
