"""How often the checks of a training's health see what is wrong, and what is not.

    make calibration
    python -m benchmarks.health [--runs 200]

Draws logs of trainings, of which each goes wrong in one way, and follows them as the controller
does. A log of reinforcement has 40 steps of 256 rewards of plus or minus one; a healthy one 400
steps of 16 rewards, where noise is four times as large and has ten times as long to look like
something. `seen` is the share of logs in which a note of the right kind came, `at step` the median
of when; for healthy ones it is the share with any note at all. Exits with 1 where less than 90 % of
the ills are seen, or more than 5 % of the healthy logs have a note.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from novaloop.training.health import Limits, Training, follow
from novaloop.training.lines import Point
from novaloop.training.notes import HealthKind, HealthNote

START = datetime(2026, 5, 4, tzinfo=UTC)
STEPS, REWARDS = 40, 256
HEALTHY_STEPS, HEALTHY_REWARDS = 400, 16
GROUP = 8
LIMIT_TOKENS = 50
LEAST_SEEN, MOST_FALSE = 0.9, 0.05
Values = Mapping[str, float]
Step = Callable[[float, np.random.Generator], Values]
"""What a log says at a share from 0 to 1 of its steps; `right` is the share of right answers."""


@dataclass(frozen=True)
class Case:
    """A kind of training: what it logs, and the note that it should get; None where it is well."""

    name: str
    ill: HealthKind | None
    step: Step
    steps: int = STEPS
    rewards: int = REWARDS


def _reinforced(right: Callable[[float], float], **series: Callable[[float], float]) -> Step:
    """Return the log of a reinforcement; what `series` gives replaces what is usual."""

    def step(done: float, random: np.random.Generator) -> Values:
        usual = {
            "right": right(done),
            "kl": 0.01 * random.lognormal(0, 0.5),
            "kl_from_start": 0.15 * done * random.lognormal(0, 0.1),
            "policy_loss": random.normal(0, 0.05),
            "entropy": (0.5 - 0.3 * done) * random.lognormal(0, 0.05),
            "response_length_mean": 12 * random.lognormal(0, 0.05),
            "response_length_clipped": random.binomial(256, 0.01) / 256,
        }
        return usual | {name: at(done) * random.lognormal(0, 0.03) for name, at in series.items()}

    return step


def _tuned(loss: Callable[[float], float], noise: float) -> Step:
    """Return the log of a supervised training; noise: of a step, in units of the loss."""

    def step(done: float, random: np.random.Generator) -> Values:
        return {"loss": loss(done) + random.normal(0, noise)}

    return step


def _then(before: float, after: float, at: float = 0.5) -> Callable[[float], float]:
    return lambda done: before if done < at else after


def _slowly(before: float, after: float) -> Callable[[float], float]:
    return lambda done: before + (after - before) * done


def _constant(value: float) -> Callable[[float], float]:
    return lambda _: value


def _once(value: float) -> Callable[[float], float]:
    """Return a value that is there in one step of 40."""
    return lambda done: value if 0.5 <= done < 0.5 + 1 / STEPS else 0.01


def _every_second(value: float) -> Callable[[float], float]:
    return lambda done: value if round(done * STEPS) % 2 else 0.01


def _unclipped(lengths: Callable[[float], float], right: Callable[[float], float]) -> Step:
    """Return a log that tells lengths, and not how many responses were cut off."""
    whole = _reinforced(right, response_length_mean=lengths)

    def step(done: float, random: np.random.Generator) -> Values:
        values = whole(done, random)
        return {name: value for name, value in values.items() if "clipped" not in name}

    return step


WELL = _slowly(0.6, 0.8)
ILLS = (
    Case("80 to 62 % right at once", HealthKind.REWARD_COLLAPSE, _reinforced(_then(0.8, 0.62))),
    Case("80 to 62 % right slowly", HealthKind.REWARD_COLLAPSE, _reinforced(_slowly(0.8, 0.62))),
    Case("80 to 65 % right at once", HealthKind.REWARD_COLLAPSE, _reinforced(_then(0.8, 0.65))),
    Case("95 to 78 % right at once", HealthKind.REWARD_COLLAPSE, _reinforced(_then(0.95, 0.775))),
    Case(
        "80 to 62 % right, once -20",
        HealthKind.REWARD_COLLAPSE,
        _reinforced(_then(0.8, 0.62), reward_min=lambda done: -20 if 0.2 <= done < 0.22 else -1),
    ),
    Case("reward NaN for 20 steps", HealthKind.REWARD_COLLAPSE, _reinforced(_then(0.7, math.nan))),
    Case("reward -1 always", HealthKind.NO_LEARNING, _reinforced(_constant(0.0))),
    Case("reward +1 always", HealthKind.NO_LEARNING, _reinforced(_constant(1.0))),
    Case(
        "advantage 0 always",
        HealthKind.NO_LEARNING,
        _reinforced(WELL, advantage_min=_constant(0), advantage_max=_constant(0)),
    ),
    Case(
        "entropy to .001",
        HealthKind.ENTROPY_COLLAPSE,
        _reinforced(WELL, entropy=lambda done: 0.5 * 0.002**done),
    ),
    Case(
        "entropy times 8",
        HealthKind.POLICY_INSTABILITY,
        _reinforced(WELL, entropy=lambda done: 0.5 * 8**done),
    ),
    Case("entropy NaN", HealthKind.POLICY_INSTABILITY, _reinforced(WELL, entropy=_once(math.nan))),
    Case("KL of 5 once", HealthKind.POLICY_INSTABILITY, _reinforced(WELL, kl=_once(5))),
    Case(
        "KL of .5 every second step",
        HealthKind.POLICY_INSTABILITY,
        _reinforced(WELL, kl=_every_second(0.5)),
    ),
    Case(
        "KL from start .9",
        HealthKind.POLICY_INSTABILITY,
        _reinforced(WELL, kl_from_start=_constant(0.9)),
    ),
    Case(
        "length times 10, not clipped",
        HealthKind.LENGTH_GROWTH,
        _unclipped(_slowly(4.2, 42), WELL),
    ),
    Case(
        "reward .3 to 1, length times 5",
        HealthKind.LENGTH_GROWTH,
        _unclipped(_slowly(8, 40), _slowly(0.65, 1)),
    ),
    Case(
        "15 % clipped",
        HealthKind.LENGTH_CLIPPING,
        _reinforced(WELL, response_length_clipped=_constant(0.15)),
    ),
    Case("loss 2.1, never less", HealthKind.NO_LEARNING, _tuned(_constant(2.1), 0.1)),
    Case("loss 1.0 to 1.45", HealthKind.LOSS_DIVERGENCE, _tuned(_then(1.0, 1.45), 0.1)),
    Case("loss NaN", HealthKind.LOSS_DIVERGENCE, _tuned(_then(1.0, math.nan), 0.1)),
)


def _healthy(name: str, step: Step) -> Case:
    return Case(name, None, step, HEALTHY_STEPS, HEALTHY_REWARDS)


HEALTHY = (
    _healthy("half right, flat", _reinforced(_constant(0.5))),
    _healthy("80 % right, flat", _reinforced(_constant(0.8))),
    _healthy("40 to 90 % right slowly", _reinforced(_slowly(0.4, 0.9))),
    _healthy("30 to 95 % right, then flat", _reinforced(lambda done: min(0.95, 0.3 + 2 * done))),
    _healthy("loss 9 to 2", _tuned(lambda done: 2 + 7 * math.exp(-30 * done), 0.15)),
    _healthy("loss 2.1 to 1.8 slowly", _tuned(_slowly(2.1, 1.8), 0.15)),
    _healthy("loss 1.2 to 1, then flat", _tuned(lambda done: max(1.0, 1.2 - 2 * done), 0.15)),
)


def log(case: Case, seed: int) -> Iterator[Point]:
    """Draw a log. Rewards come in groups of 8 answers to one question, as advantages do."""
    random = np.random.default_rng((seed, len(case.name), case.steps))
    for number in range(case.steps):
        values = dict(case.step(number / case.steps, random))
        if "right" in values:
            values = _rewards(values.pop("right"), case.rewards, random) | values
        at = START + timedelta(seconds=30 * number)
        yield Point(number + 1, at, values)


def _rewards(right: float, count: int, random: np.random.Generator) -> dict[str, float]:
    if math.isnan(right):
        return {"reward_mean": math.nan}
    groups = np.where(random.random((count // GROUP, GROUP)) < right, 1.0, -1.0)
    spread = groups.std(axis=1, keepdims=True)
    advantages = (groups - groups.mean(axis=1, keepdims=True)) / (spread + 1e-6)
    return {
        "reward_mean": float(groups.mean()),
        "reward_min": float(groups.min()),
        "reward_max": float(groups.max()),
        "advantage_min": float(advantages.min()),
        "advantage_max": float(advantages.max()),
    }


def notes(case: Case, seed: int) -> tuple[HealthNote, ...]:
    """Return what is noted of one log."""
    limits = Limits(max_steps=case.steps, max_new_tokens=LIMIT_TOKENS)
    return follow(Training(), log(case, seed), limits).notes


@dataclass(frozen=True)
class Seen:
    """In which share of the logs of a case a note came that counts, and at which step usually."""

    case: Case
    share: float
    step: float | None

    @property
    def is_as_promised(self) -> bool:
        """Whether ills are seen, and healthy trainings left alone."""
        return self.share <= MOST_FALSE if self.case.ill is None else self.share >= LEAST_SEEN


def seen(case: Case, runs: int) -> Seen:
    """Follow logs of a case, and count those with a note of its ill; if it has none, with any."""
    steps = []
    for seed in range(runs):
        told = [note.step for note in notes(case, seed) if case.ill in (None, note.kind)]
        steps += told[:1]
    return Seen(case, len(steps) / runs, median(steps) if steps else None)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="logs of each case")
    options = parser.parse_args()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("note", no_wrap=True)
    for heading in ("steps", "seen", "at step", "broken"):
        table.add_column(heading, justify="right", no_wrap=True)
    broken = 0
    for case in (*ILLS, *HEALTHY):
        found = seen(case, options.runs)
        broken += not found.is_as_promised
        table.add_row(
            case.name,
            case.ill or "none",
            str(case.steps),
            f"{found.share:.3f}",
            "" if found.step is None else f"{found.step:.0f}",
            "" if found.is_as_promised else "yes",
        )
    console = Console()
    console.print(table)
    console.print(f"{table.row_count} cases, {broken} broken")
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
