"""Reading the lines of a training log that carry a step and its measurements.

Two shapes occur: supervised fine-tuning logs as NeMo does (`… | global_step: 3 |
reduced_train_loss: 9.2`, or the same with `=` behind a progress bar), reinforcement fine-tuning
as verl does (`step:3 - critic/rewards/mean:0.2 - actor/ppo_kl:0.001`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

STEP_KEYS = ("global_step", "training/global_step", "step")
"""What a log calls its step; the first that a line has counts."""

LAST_STEP = 10**9
"""What says of itself that it is beyond this is no step: DynamoDB would not even hold it."""

SERIES: Mapping[str, str] = {
    "reduced_train_loss": "loss",
    "lr": "learning_rate",
    "actor/lr": "learning_rate",
    "critic/rewards/mean": "reward_mean",
    "critic/rewards/max": "reward_max",
    "critic/rewards/min": "reward_min",
    "critic/score/mean": "score_mean",
    "critic/score/max": "score_max",
    "critic/score/min": "score_min",
    "critic/advantages/max": "advantage_max",
    "critic/advantages/min": "advantage_min",
    "actor/pg_loss": "policy_loss",
    "actor/ppo_kl": "kl",
    "actor/kl_loss": "kl_from_start",
    "actor/entropy": "entropy",
    "actor/entropy_loss": "entropy",
    "response_length/mean": "response_length_mean",
    "response_length/max": "response_length_max",
    "response_length/clip_ratio": "response_length_clipped",
    "perf/throughput": "throughput",
    "timing_s/step": "step_seconds",
    "perf/time_per_step": "step_seconds",
    "train_step_timing in s": "step_seconds",
}
"""The measurements that are kept, by the name that the log gives them. Lengths are in tokens,
`response_length_clipped` is the share of responses that were cut off, `throughput` is in tokens
per second, `kl` is between one update's policies and `kl_from_start` to the initial policy."""

MAX_LINE = 20_000
"""The characters of the longest line that is read: a step of verl's has up to some thousands."""

# One way to read a number, and one place for its dot: where `\d+\.?\d*` fails, it is tried at every
# digit, and the time grows with the square of how many there are.
_NUMBER = r"[-+]?(?:nan|inf(?:inity)?|(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:e[-+]?\d{1,9})?)"
_PAIR = re.compile(
    rf"(?<![\w/])(?P<key>train_step_timing in s|[a-z][\w/]*)\s?[:=]\s?"
    rf"(?:(?:np|numpy)\.float\d+\()?(?P<number>{_NUMBER})(?![\w.])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class LogLine:
    """One line of a job's log and when it was written, in UTC."""

    at: datetime
    text: str


@dataclass(frozen=True)
class Point:
    """What one line says of one step. A value may be NaN or infinite."""

    step: int
    at: datetime
    values: Mapping[str, float]


def points(lines: Iterable[LogLine]) -> Iterator[Point]:
    """Yield a point for every line that has a step and a measurement; skip the others."""
    for line in lines:
        point = read(line)
        if point is not None:
            yield point


def read(line: LogLine) -> Point | None:
    """Return what one line says of its step; None if it says nothing of any."""
    if len(line.text) > MAX_LINE or "step" not in line.text:
        return None
    found = {match["key"]: float(match["number"]) for match in _PAIR.finditer(line.text)}
    step = next((found[key] for key in STEP_KEYS if key in found), None)
    values = {SERIES[key]: value for key, value in found.items() if key in SERIES}
    if step is None or not step.is_integer() or not 0 <= step <= LAST_STEP or not values:
        return None
    return Point(int(step), line.at, values)
