"""What can go wrong in a training, as its curve shows it. Each check has named thresholds.

The thresholds are chosen so that a note is worth a person's attention; they are no service limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from operator import sub
from statistics import fmean, median

from novaloop.training.changes import fall, noise
from novaloop.training.curve import SMOOTHED, Curve, Series
from novaloop.training.lines import Point
from novaloop.training.notes import HealthKind, HealthNote

LASTING_STEPS = 5
"""Reward and loss: the last 5 steps, each, lie beyond the least change below."""
COLLAPSE_SHARE = 0.1
"""Reward: the least fall that counts, of the usual range of single rewards."""
DIVERGENCE_SHARE = 0.25
DIVERGENCE_LEAST = 0.1
"""Loss: the least rise that counts, of its mean before, and in itself."""
SAME_STEPS = 15
SAME = 1e-6
"""Nothing to learn from: advantages or rewards that differ by no more, in each of 15 steps."""
LEARNING_STEPS = 30
LEARNING_PART = 0.75
LEARNING_SHARE = 0.05
LEARNING_ERRORS = 2.0
"""Nothing learned, after 30 steps and three quarters of all: the loss of the last third lies below
that of the first 5 steps by less than a twentieth, and below the first third's by less than 2
standard errors."""
UNSTABLE_STEPS = 3
UNSTABLE_AMONG = 10
KL_LIMIT = 0.2
KL_SPIKE = 1.0
KL_JUMP = 10.0
KL_NOTABLE = 0.05
KL_HISTORY = 10
KL_FROM_START_LIMIT = 0.5
"""KL: one update above the spike's limit, 3 of the last 10 above the limit, or each of the last 3
notable and 10 times what was usual in at least 10 steps before; or the policy in each of the last 3
steps too far from where it started."""
ENTROPY_LEFT = 0.1
ENTROPY_LEAST = 0.02
ENTROPY_GROWTH = 4.0
ENTROPY_NOTABLE = 0.2
"""Entropy, in each of the last 3 steps: below a tenth of its highest and below 0.02, or 4 times its
lowest and 0.2 above that."""
CLIPPED_STEPS = 3
CLIPPED_SHARE = 0.1
CLIPPED_LENGTH = 0.9
"""Length: in each of the last 3 steps a tenth of the responses was cut off or, where the log does
not say, the mean length came to 90 % of the limit."""
GROWTH = 3.0
GROWTH_TOKENS = 5
"""Length: each of the last 5 steps 3 times the shortest and 5 tokens above it."""
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
        known = {note.kind for note in notes}
        notes = (*notes, *unknown(notes, troubles(curve, limits, known)))
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


def troubles(curve: Curve, limits: Limits, known: Set[HealthKind]) -> Iterator[HealthNote]:
    """Yield what trouble the curve shows at its newest step, of the kinds that are not known."""
    step = curve.steps[-1][0] if curve.steps else 0
    for kind, judge in (*_BROKEN, *_JUDGES):
        message = judge(curve.series, limits) if kind not in known else None
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
_Judge = Callable[[_AllSeries, Limits], str | None]
FINITE: Mapping[HealthKind, tuple[str, ...]] = {
    HealthKind.REWARD_COLLAPSE: (
        *("reward_mean", "reward_min", "reward_max"),
        *("score_mean", "score_min", "score_max"),
    ),
    HealthKind.LOSS_DIVERGENCE: ("loss", "learning_rate"),
    HealthKind.POLICY_INSTABILITY: (
        *("advantage_min", "advantage_max", "policy_loss", "kl", "kl_from_start", "entropy"),
        *("response_length_mean", "response_length_max", "response_length_clipped"),
    ),
}
"""What must be a finite number in every step, and what it is otherwise; all but the speed."""


def _recent(series: _AllSeries, name: str, steps: int) -> tuple[float, ...]:
    """Return the last `steps` values of a series, or none if it has fewer."""
    recent = series[name].recent if name in series else ()
    return recent[-steps:] if len(recent) >= steps else ()


def _broken(series: _AllSeries, _: Limits, *, kind: HealthKind) -> str | None:
    for name in FINITE[kind]:
        if name in series and series[name].broken_at is not None:
            return f"{name.replace('_', ' ')} is no finite number"
    return None


_BROKEN: Sequence[tuple[HealthKind, _Judge]] = [
    (kind, partial(_broken, kind=kind)) for kind in FINITE
]


def _reward_collapse(series: _AllSeries, _: Limits) -> str | None:
    recent = _recent(series, "reward_mean", LASTING_STEPS)
    best = series["reward_mean"].highest if recent else None
    if best is None:
        return None
    least = COLLAPSE_SHARE * _reward_range(series, best)
    if max(recent) > best - least:
        return None
    fallen = fall(series["reward_mean"].whole, least)
    return fallen and f"the mean reward fell from {fallen[0]:.3g} to {fallen[1]:.3g}"


def _reward_range(series: _AllSeries, best: float) -> float:
    """Return the usual range of a step's rewards; where none is logged, rewards of unit size.

    An odd reward of one step does not set it.
    """
    highest, lowest = (
        median(series[name].whole) if name in series and series[name].whole else 0.0
        for name in ("reward_max", "reward_min")
    )
    return highest - lowest or max(abs(best), 1.0)


def _no_signal(series: _AllSeries, _: Limits) -> str | None:
    for what in ("advantage", "reward"):
        highest = _recent(series, f"{what}_max", SAME_STEPS)
        lowest = _recent(series, f"{what}_min", SAME_STEPS)
        if highest and lowest and max(map(sub, highest, lowest)) <= SAME:
            same = f"{what}s are all {highest[-1]:.3g}"
            return f"{same} for {SAME_STEPS} steps, so that there is nothing to learn from"
    means = _recent(series, "reward_mean", SAME_STEPS)
    if not means or "reward_max" in series or max(means) - min(means) > SAME:
        return None
    return f"the mean reward is {means[-1]:.3g} in each of {SAME_STEPS} steps"


def _no_learning(series: _AllSeries, limits: Limits) -> str | None:
    loss = series.get("loss")
    if loss is None or limits.max_steps is None:
        return None
    if loss.count < LEARNING_STEPS or loss.last_step < LEARNING_PART * limits.max_steps:
        return None
    values = loss.whole
    third = len(values) // 3
    first, last = fmean(values[:SMOOTHED]), fmean(values[-third:])
    error = noise(values) * math.sqrt(2 / third)
    is_below = fmean(values[:third]) - last > LEARNING_ERRORS * error
    if is_below or first - last >= LEARNING_SHARE * abs(first):
        return None
    return f"the loss does not fall: {first:.3g} at first, {last:.3g} now"


def _policy_instability(series: _AllSeries, _: Limits) -> str | None:
    updates = [abs(value) for value in series["kl"].recent] if "kl" in series else []
    if updates and updates[-1] > KL_SPIKE:
        return f"KL divergence of one update is {updates[-1]:.3g}"
    high = [value for value in updates[-UNSTABLE_AMONG:] if value > KL_LIMIT]
    if len(high) >= UNSTABLE_STEPS:
        among = min(len(updates), UNSTABLE_AMONG)
        return f"KL divergence {high[-1]:.3g}: above {KL_LIMIT} in {len(high)} of {among} updates"
    recent, before = updates[-UNSTABLE_STEPS:], updates[:-UNSTABLE_STEPS]
    usual = median(before) if len(before) >= KL_HISTORY else None
    if usual is not None and min(recent) > max(KL_NOTABLE, KL_JUMP * usual):
        return f"KL divergence jumped from about {usual:.3g} to {recent[-1]:.3g}"
    return None


def _far_from_start(series: _AllSeries, _: Limits) -> str | None:
    recent = _recent(series, "kl_from_start", UNSTABLE_STEPS)
    if not recent or min(recent) <= KL_FROM_START_LIMIT:
        return None
    return f"KL divergence from the start {recent[-1]:.3g} stays above {KL_FROM_START_LIMIT:g}"


def _entropy_collapse(series: _AllSeries, _: Limits) -> str | None:
    recent = _recent(series, "entropy", UNSTABLE_STEPS)
    highest = series["entropy"].highest if recent else None
    if highest is None or max(recent) > min(ENTROPY_LEAST, ENTROPY_LEFT * highest):
        return None
    return f"the entropy fell from {highest:.3g} to {recent[-1]:.3g}: answers hardly vary any more"


def _entropy_explosion(series: _AllSeries, _: Limits) -> str | None:
    recent = _recent(series, "entropy", UNSTABLE_STEPS)
    lowest = series["entropy"].lowest if recent else None
    if lowest is None or min(recent) < max(ENTROPY_GROWTH * lowest, lowest + ENTROPY_NOTABLE):
        return None
    return f"the entropy rose from {lowest:.3g} to {recent[-1]:.3g}"


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


def _length_growth(series: _AllSeries, _: Limits) -> str | None:
    recent = _recent(series, "response_length_mean", LASTING_STEPS)
    shortest = series["response_length_mean"].lowest if recent else None
    if shortest is None or min(recent) < max(GROWTH * shortest, shortest + GROWTH_TOKENS):
        return None
    grew = f"responses grew from {shortest:.0f} to {recent[-1]:.0f} tokens"
    return f"{grew}: read some, whether the reward pays for length"


def _loss_divergence(series: _AllSeries, _: Limits) -> str | None:
    recent = _recent(series, "loss", LASTING_STEPS)
    lowest = series["loss"].lowest if recent else None
    if lowest is None:
        return None
    least = max(DIVERGENCE_SHARE * abs(lowest), DIVERGENCE_LEAST)
    if min(recent) < lowest + least:
        return None
    fallen = fall([-value for value in series["loss"].whole], least)
    return fallen and f"the loss rose from {-fallen[0]:.3g} to {-fallen[1]:.3g}"


_JUDGES: Sequence[tuple[HealthKind, _Judge]] = (
    (HealthKind.REWARD_COLLAPSE, _reward_collapse),
    (HealthKind.POLICY_INSTABILITY, _policy_instability),
    (HealthKind.POLICY_INSTABILITY, _far_from_start),
    (HealthKind.POLICY_INSTABILITY, _entropy_explosion),
    (HealthKind.ENTROPY_COLLAPSE, _entropy_collapse),
    (HealthKind.LENGTH_CLIPPING, _length_clipping),
    (HealthKind.LENGTH_GROWTH, _length_growth),
    (HealthKind.LOSS_DIVERGENCE, _loss_divergence),
    (HealthKind.NO_LEARNING, _no_signal),
    (HealthKind.NO_LEARNING, _no_learning),
)
