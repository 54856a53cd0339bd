"""The curve of one training: what was measured at which step, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from novaloop.training.lines import Point

MAX_POINTS = 200
"""Beyond this a series is drawn with half as many points, each the mean of twice as many steps."""
RECENT = 32
"""How many of the newest values are kept step by step, for the checks and the time estimate."""
LONGEST = timedelta(days=366)
"""An end that is further ahead is none to expect, nor always one that a date can hold."""
SMOOTHED = 5
"""Over how many steps a mean is taken before it counts as a series' highest or lowest."""


@dataclass(frozen=True)
class StepRange:
    """The mean of `count` values in a row, the last of them measured at `step`."""

    step: int
    mean: float
    count: int = 1

    def joined(self, later: StepRange) -> StepRange:
        """Return the bucket of this one's values and those of the next."""
        count = self.count + later.count
        mean = (self.mean * self.count + later.mean * later.count) / count
        return StepRange(later.step, _short(mean), count)


@dataclass(frozen=True)
class Series:
    """One measurement over the steps, thinned to MAX_POINTS buckets of `stride` values each.

    `highest` and `lowest` are of means over SMOOTHED steps; `broken_at` is the first step at
    which the value was no finite number.
    """

    stride: int = 1
    buckets: tuple[StepRange, ...] = ()
    recent: tuple[float, ...] = ()
    highest: float | None = None
    lowest: float | None = None
    last_step: int = -1
    broken_at: int | None = None

    def add(self, step: int, value: float) -> Series:
        """Return the series with one more value; a step that it already has changes nothing.

        A log that is read again, or that several machines write, so leaves no trace.
        """
        if step <= self.last_step:
            return self
        if not math.isfinite(value):
            broken_at = step if self.broken_at is None else self.broken_at
            return replace(self, last_step=step, broken_at=broken_at)
        recent = (*self.recent, _short(value))[-RECENT:]
        stride, buckets = _thinned(self.stride, _added(self, StepRange(step, _short(value))))
        grown = replace(self, stride=stride, buckets=buckets, recent=recent, last_step=step)
        return grown if len(recent) < SMOOTHED else _with_extremes(grown)

    @property
    def whole(self) -> tuple[float, ...]:
        """The means of `stride` steps each; without the newest while that is of fewer."""
        return tuple(bucket.mean for bucket in self.buckets if bucket.count == self.stride)

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(bucket.count for bucket in self.buckets)


def _short(value: float) -> float:
    """Return the value to six significant digits: the curve is drawn and stored."""
    return float(f"{value:.6g}")


def _added(series: Series, bucket: StepRange) -> tuple[StepRange, ...]:
    if series.buckets and series.buckets[-1].count < series.stride:
        return (*series.buckets[:-1], series.buckets[-1].joined(bucket))
    return (*series.buckets, bucket)


def _thinned(stride: int, buckets: tuple[StepRange, ...]) -> tuple[int, tuple[StepRange, ...]]:
    if len(buckets) <= MAX_POINTS:
        return stride, buckets
    pairs = zip(buckets[::2], buckets[1::2], strict=False)
    left_over = buckets[-1:] if len(buckets) % 2 else ()
    return stride * 2, (*(first.joined(second) for first, second in pairs), *left_over)


def _with_extremes(series: Series) -> Series:
    smoothed = _short(math.fsum(series.recent[-SMOOTHED:]) / SMOOTHED)
    highest = smoothed if series.highest is None else max(series.highest, smoothed)
    lowest = smoothed if series.lowest is None else min(series.lowest, smoothed)
    return replace(series, highest=highest, lowest=lowest)


@dataclass(frozen=True)
class Curve:
    """All series of one training by name, and when its newest steps were logged."""

    series: Mapping[str, Series] = field(default_factory=dict)
    first_step: int | None = None
    steps: tuple[tuple[int, datetime], ...] = ()

    def add(self, point: Point) -> Curve:
        """Return the curve with one more point."""
        grown = {
            name: self.series.get(name, Series()).add(point.step, value)
            for name, value in point.values.items()
        }
        first = point.step if self.first_step is None else self.first_step
        is_new = not self.steps or point.step > self.steps[-1][0]
        steps = (*self.steps, (point.step, point.at))[-RECENT:] if is_new else self.steps
        return Curve({**self.series, **grown}, first, steps)

    @property
    def steps_done(self) -> int | None:
        """How many steps are done: logs that begin at step 0 are one behind."""
        if not self.steps:
            return None
        return self.steps[-1][0] + (1 if self.first_step == 0 else 0)

    @property
    def step_time(self) -> timedelta | None:
        """How long a step takes, by the newest; None before two of them."""
        if len(self.steps) < 2:
            return None
        (first, begun), (last, ended) = self.steps[0], self.steps[-1]
        return max((ended - begun) / (last - first), timedelta(0))

    def finishes_at(self, max_steps: int | None) -> datetime | None:
        """When the last step is to be expected; None as long as nobody can say."""
        done, step_time = self.steps_done, self.step_time
        if max_steps is None or done is None or step_time is None:
            return None
        left = max(max_steps - done, 0)
        if left * step_time.total_seconds() > LONGEST.total_seconds():
            return None
        return self.steps[-1][1] + left * step_time
