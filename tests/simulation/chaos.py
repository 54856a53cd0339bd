"""Experiments at random, in random weather: `make chaos RUNS=1000 SEED=1`.

Each run is a stack of its own with a few experiments that compete for one quota, while jobs fail,
functions crash, hints get lost and people change their minds. At the end everything is cleaned up,
and nothing may be left. A run that goes wrong is printed with its seed, which repeats it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from rich.console import Console
from rich.progress import track
from rich.table import Table

from novaloop.experiment.record import CommandKind, Record, Status
from tests.simulation.faults import second_controller
from tests.simulation.simulation import SPEC, Chaos, Crashes, Simulation, crash

PLANS = (
    b"",
    b"approval: manual\n",
    b"plan: [sft, deploy: {inference_component: true}]\n",
    b"plan: [sft, deploy: {endpoint: bot}]\n",
    b"plan: [sft, deploy: {to: bedrock-on-demand}]\n",
    b"plan: [evaluate: baseline, sft, evaluate: after-sft]\n",
    b"runtime: serverless\n",
    b"runtime: bedrock\n",
)
FATES = {
    "completes": 80,
    "quota": 4,
    "throttled": 3,
    "no capacity": 3,
    "service fault": 3,
    "component no capacity": 1,
    "custom-model-deployment service fault": 1,
    "fails": 2,
    "no manifest": 1,
    "stopped outside": 2,
    "invalid": 1,
    "hangs": 1,
}
WISHES = (CommandKind.STOP, CommandKind.RETRY, CommandKind.APPROVE, CommandKind.REJECT)
SETTLED = (Status.LIVE, Status.HELD, Status.AWAITING_APPROVAL, Status.REJECTED)


@dataclass
class Outcome:
    """What one run came to; `problem` says what went wrong that never may."""

    seed: int
    ends: Counter[str] = field(default_factory=Counter)
    weather: Counter[str] = field(default_factory=Counter)
    problem: str | None = None


def run(seed: int) -> Outcome:
    """Simulate one stack from its first upload until nothing is left of it."""
    outcome = Outcome(seed)
    try:
        _run(seed, outcome)
    except Exception as error:
        outcome.problem = f"{type(error).__name__}: {error}"[:500]
    return outcome


def _run(seed: int, outcome: Outcome) -> None:
    dice = random.Random(f"people {seed}")  # noqa: S311 - a simulation
    simulation = _stack(seed, dice, outcome.weather)
    names = [f"x{number}" for number in range(dice.randint(1, 4))]
    for name in names:
        spec = SPEC + dice.choice(PLANS)
        simulation.later(_within(dice, hours=3), partial(simulation.submit, name, spec, 240))
    for _ in range(dice.randint(0, 3)):
        wish = partial(_wish, simulation, dice.choice(names), dice.choice(WISHES))
        simulation.later(_within(dice, hours=12), wish)
        outcome.weather["commands"] += 1
    simulation.passes(timedelta(hours=13))
    for name in names:
        outcome.ends[str(simulation.settles(name))] += 1
        simulation.check(name)
    _lose_the_stack(simulation.copied(), outcome.weather)
    _clear_away(simulation, names)
    outcome.weather.update(simulation.lag.struck)
    outcome.weather["hints"] += simulation.hints_delivered
    outcome.weather["launches"] += len(simulation.jobs.launches)


def _stack(seed: int, dice: random.Random, weather: Counter[str]) -> Simulation:
    chaos = Chaos(
        duplicated=dice.choice((0, 0.3)),
        lost=dice.choice((0, 0.3)),
        delayed=dice.choice((0, 0.3)),
        crash=dice.choice((0, 0.01, 0.03)),
        late_tags=dice.choice((0, 0.5)),
        stale=dice.choice((0, 0.02, 0.1)),
    )

    crashes = Crashes(probability=chaos.crash, random=random.Random(seed))  # noqa: S311
    simulation = Simulation(seed, chaos, crashes, fate=_fates(seed))

    def fault() -> None:
        if crashes.random.random() < 0.3:
            weather["controllers held up while another one goes on"] += 1
            second_controller(simulation)
        else:
            weather["crashes"] += 1
            crash()

    crashes.fault = fault
    simulation.jobs.limit = dice.choice((1, 2, 1_000))
    return simulation


def _fates(seed: int) -> Callable[[str], str]:
    """Return fates that depend on the seed and the name alone."""
    kinds, weights = tuple(FATES), tuple(FATES.values())

    def fate(name: str) -> str:
        dice = random.Random(f"{seed} {name}")  # noqa: S311 - a simulation
        return dice.choices(kinds, weights)[0]

    return fate


def _within(dice: random.Random, hours: int) -> timedelta:
    return timedelta(seconds=dice.uniform(0, hours * 3600))


def _wish(simulation: Simulation, name: str, kind: CommandKind) -> None:
    if simulation.store.load(name).record is not None:
        simulation.command(name, kind)


def _lose_the_stack(simulation: Simulation, weather: Counter[str]) -> None:
    """Delete table and functions while something may serve, and assert that it ends by itself."""
    serving = [*simulation.hosting.endpoints, *simulation.bedrock.throughputs]
    weather["endpoints whose stack was deleted"] += len(serving)
    simulation.delete_stack()
    simulation.passes(timedelta(days=3))
    left = [*simulation.hosting.endpoints, *simulation.bedrock.throughputs]
    assert not left, f"{left} bills without a stack"


def _clear_away(simulation: Simulation, names: Sequence[str]) -> None:
    """Stop and clean up as a person would, in good weather, and assert that nothing is left."""
    simulation.chaos, simulation.crashes.probability = Chaos(), 0.0
    simulation.lag.tags = simulation.lag.stale = 0.0
    for name in names:
        if not simulation.record(name).status.is_final:
            simulation.command(name, CommandKind.STOP)
            _assert_soon(simulation, name, lambda record: record.status.is_final)
        simulation.command(name, CommandKind.CLEANUP)
        simulation.passes(timedelta(minutes=1))
        _assert_soon(simulation, name, lambda record: record.cleanup is None)
        simulation.check(name)


def _assert_soon(simulation: Simulation, name: str, done: Callable[[Record], bool]) -> None:
    there = done(simulation.record(name)) or simulation.run(lambda: done(simulation.record(name)))
    record = simulation.record(name)
    assert there, f"{name} is stuck: {record.status}, {record.reason}, {record.cleanup}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print one table, and return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    options = parser.parse_args(arguments)
    console = Console(width=80)
    seeds = range(options.seed, options.seed + options.runs)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(run, seeds, chunksize=5)
        outcomes = list(track(results, "simulating", len(seeds), console=console))
    problems = [outcome for outcome in outcomes if outcome.problem]
    _print(outcomes, console)
    for outcome in problems[:10]:
        console.print(f"seed {outcome.seed}: {outcome.problem}", style="red", markup=False)
    return 1 if problems else 0


def _print(outcomes: Sequence[Outcome], console: Console) -> None:
    ends = sum((outcome.ends for outcome in outcomes), Counter())
    weather = sum((outcome.weather for outcome in outcomes), Counter())
    table = Table("what", "count", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    table.add_row("stacks", f"{len(outcomes):,}")
    table.add_row("experiments that settled", f"{ends.total():,}")
    for counts, indent in ((ends, "  "), (weather, "")):
        for name, count in counts.most_common():
            table.add_row(indent + name, f"{count:,}")
    table.add_row("runs that went wrong", f"{sum(1 for each in outcomes if each.problem):,}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
