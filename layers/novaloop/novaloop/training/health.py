"""What can go wrong in a training, as its curve shows it. Each check has named thresholds.

The thresholds are chosen so that a note is worth a person's attention; they are no service limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from novaloop.training.curve import Curve, Series
from novaloop.training.lines import Point
from novaloop.training.notes import HealthKind, HealthNote

COLLAPSE_STEPS = 5
COLLAPSE_SHARE = 0.2
"""Reward: each of the last 5 steps lies below the best by a fifth of the range of rewards."""
UNSTABLE_STEPS = 3
KL_LIMIT = 0.2
KL_JUMP = 10.0
KL_NOTABLE = 0.05
KL_HISTORY = 10
KL_FROM_START_LIMIT = 1.0
"""KL: each of the last 3 updates above the limit, or notable and 10 times what was usual in at
least 10 steps before; or the policy in each of the last 3 steps too far from where it started."""
CLIPPED_STEPS = 3
CLIPPED_SHARE = 0.2
CLIPPED_LENGTH = 0.9
"""Length: in each of the last 3 steps a fifth of the responses was cut off or, where the log does
not say, the mean length came to 90 % of the limit."""
DIVERGENCE_STEPS = 5
DIVERGENCE_SHARE = 0.5
DIVERGENCE_LEAST = 0.2
"""Loss: each of the last 5 steps above the lowest by half of it, and by no less than 0.2."""
FARTHEST_SHARE = 2
FARTHEST_JUMP = 10_000
"""A step is believed up to twice the steps that the job was told to make, since that count is ours;
where nobody knows that, up to 10,000 beyond twice the last one."""
STALLED_FIRST = timedelta(hours=2)
STALLED_LEAST = timedelta(minutes=30)
STALLED_STEPS = 10
"""No new step for the time of 10, and no less than half an hour; 2 hours before the first."""


@dataclass(frozen=True)
class Limits:
    """What the recipe allows: steps in all, and tokens in a response. None where it sets none."""

    max_steps: int | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class Training:
    """What a job's log told so far: its curve, and the first note of each kind."""

    curve: Curve = field(default_factory=Curve)
    notes: tuple[HealthNote, ...] = ()


def follow(training: Training, points: Iterable[Point], limits: Limits) -> Training:
    """Return the training with more points, checked after each.

    It comes out the same however the log is cut into pieces, and whatever is read twice. A step far
    beyond all that can be is none: a log also holds what the model says, and were that believed, no
    step after it would be new.
    """
    curve, notes = training.curve, training.notes
    for point in points:
        if point.step > _farthest(curve, limits):
            continue
        curve = curve.add(point)
        notes = (*notes, *unknown(notes, troubles(curve, limits)))
    return Training(curve, notes)


def _farthest(curve: Curve, limits: Limits) -> int:
    """Return the last step that a training may make next."""
    if limits.max_steps is not None:
        return FARTHEST_SHARE * limits.max_steps
    return FARTHEST_JUMP + FARTHEST_SHARE * (curve.steps[-1][0] if curve.steps else 0)


def unknown(notes: Iterable[HealthNote], found: Iterable[HealthNote]) -> Iterator[HealthNote]:
    """Yield the first of `found` of each kind that `notes` does not have."""
    kinds = {note.kind for note in notes}
    for note in found:
        if note.kind not in kinds:
            kinds.add(note.kind)
            yield note


def troubles(curve: Curve, limits: Limits) -> Iterator[HealthNote]:
    """Yield every kind of trouble that the curve shows at its newest step."""
    step = curve.steps[-1][0] if curve.steps else 0
    for kind, judge in _JUDGES:
        message = judge(curve.series, limits)
        if message is not None:
            yield HealthNote(kind, step, f"step {step}: {message}")


def stalled(curve: Curve, begun: datetime, now: datetime) -> HealthNote | None:
    """Say if a training that began at `begun` and goes on at `now` has made no step for long."""
    step = curve.steps[-1][0] if curve.steps else 0
    since = max(curve.steps[-1][1], begun) if curve.steps else begun
    step_time = curve.step_time or timedelta(0)
    longest = max(STALLED_LEAST, STALLED_STEPS * step_time) if curve.steps else STALLED_FIRST
    if now - since <= longest:
        return None
    after = f"no step after step {step}" if curve.steps else "no first step"
    minutes = (now - since).total_seconds() // 60
    return HealthNote(HealthKind.STALLED_TRAINING, step, f"{after} for {minutes:.0f} minutes")


_AllSeries = Mapping[str, Series]


def _recent(series: _AllSeries, name: str, steps: int) -> tuple[float, ...]:
    """Return the last `steps` values of a series, or none if it has fewer."""
    recent = series[name].recent if name in series else ()
    return recent[-steps:] if len(recent) >= steps else ()


def _reward_collapse(series: _AllSeries, _: Limits) -> str | None:
    recent = _recent(series, "reward_mean", COLLAPSE_STEPS)
    best = series["reward_mean"].highest if recent else None
    if best is None or max(recent) >= best - COLLAPSE_SHARE * _reward_range(series, best):
        return None
    return f"the mean reward fell from {best:.3g} to {recent[-1]:.3g}"


def _reward_range(series: _AllSeries, best: float) -> float:
    """Return the range of single rewards; where it is not logged, rewards of unit size."""
    highest = series["reward_max"].highest if "reward_max" in series else None
    lowest = series["reward_min"].lowest if "reward_min" in series else None
    if highest is None or lowest is None:
        return max(abs(best), 1.0)
    return highest - lowest


def _policy_instability(series: _AllSeries, _: Limits) -> str | None:
    for name in ("kl", "policy_loss"):
        if name in series and series[name].broken_at is not None:
            return f"{name.replace('_', ' ')} is no finite number"
    recent = [abs(value) for value in _recent(series, "kl", UNSTABLE_STEPS)]
    if not recent:
        return None
    if min(recent) > KL_LIMIT:
        return f"KL divergence {recent[-1]:.3g} stays above {KL_LIMIT}"
    before = [abs(value) for value in series["kl"].recent[:-UNSTABLE_STEPS]]
    usual = median(before) if len(before) >= KL_HISTORY else None
    if usual is not None and min(recent) > max(KL_NOTABLE, KL_JUMP * usual):
        return f"KL divergence jumped from about {usual:.3g} to {recent[-1]:.3g}"
    return None


def _far_from_start(series: _AllSeries, _: Limits) -> str | None:
    recent = _recent(series, "kl_from_start", UNSTABLE_STEPS)
    if not recent or min(recent) <= KL_FROM_START_LIMIT:
        return None
    return f"KL divergence from the start {recent[-1]:.3g} stays above {KL_FROM_START_LIMIT:g}"


def _length_clipping(series: _AllSeries, limits: Limits) -> str | None:
    clipped = _recent(series, "response_length_clipped", CLIPPED_STEPS)
    if clipped:
        if min(clipped) < CLIPPED_SHARE:
            return None
        return f"{clipped[-1]:.0%} of the responses were cut off at the length limit"
    lengths = _recent(series, "response_length_mean", CLIPPED_STEPS)
    limit = limits.max_new_tokens
    if not lengths or limit is None or min(lengths) < CLIPPED_LENGTH * limit:
        return None
    return f"responses are {lengths[-1]:.0f} tokens long on average, at a limit of {limit}"


def _loss_divergence(series: _AllSeries, _: Limits) -> str | None:
    if "loss" not in series:
        return None
    if series["loss"].broken_at is not None:
        return "the loss is no finite number"
    recent, lowest = _recent(series, "loss", DIVERGENCE_STEPS), series["loss"].lowest
    if not recent or lowest is None:
        return None
    if min(recent) <= lowest + max(DIVERGENCE_SHARE * abs(lowest), DIVERGENCE_LEAST):
        return None
    return f"the loss rose from {lowest:.3g} to {recent[-1]:.3g}"


_JUDGES: Sequence[tuple[HealthKind, Callable[[_AllSeries, Limits], str | None]]] = (
    (HealthKind.REWARD_COLLAPSE, _reward_collapse),
    (HealthKind.POLICY_INSTABILITY, _policy_instability),
    (HealthKind.POLICY_INSTABILITY, _far_from_start),
    (HealthKind.LENGTH_CLIPPING, _length_clipping),
    (HealthKind.LOSS_DIVERGENCE, _loss_divergence),
)
