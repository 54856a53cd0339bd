"""What a report says of trainings: their curves, as their jobs logged them, and their ills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from novaloop.experiment.record import Record, Stage
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

    `reward_bins` counts points of the reward's curve by their lower bound, in equal bins.
    """

    stage: str
    steps: int
    max_steps: int | None
    health: list[str]
    panels: list[Panel]
    reward_bins: list[tuple[float, int]]


REWARD_BINS = 10


def training_reports(record: Record, curves: Mapping[str, Curve]) -> Iterator[TrainingReport]:
    """Yield a report of each stage, in the plan's order, that `curves` has by name."""
    for stage in record.stages:
        curve = curves.get(stage.name)
        if curve is not None and curve.series:
            yield _training_report(stage, curve)


def _training_report(stage: Stage, curve: Curve) -> TrainingReport:
    return TrainingReport(
        stage=stage.name,
        steps=curve.steps_done or 0,
        max_steps=stage.attempt.progress.max_steps if stage.attempt.progress else None,
        health=[f"{note.kind.replace('_', ' ')}, {note.message}" for note in stage.attempt.health],
        panels=list(_panels(curve)),
        reward_bins=_bins([mean for _, mean in _points(curve, "reward_mean")]),
    )


def _bins(values: list[float]) -> list[tuple[float, int]]:
    if not values:
        return []
    low, high = min(values), max(values)
    width = (high - low) / REWARD_BINS
    if not width:
        return [(low, len(values))]
    counts = Counter(min(int((value - low) / width), REWARD_BINS - 1) for value in values)
    return [(low + width * index, counts[index]) for index in range(REWARD_BINS)]


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
