"""Experiments at random, in random weather: `make chaos RUNS=1000 SEED=1`.

Each run is a stack of its own with a few experiments that compete for one quota, in the weather
that `weather.py` makes. At the end everything is cleaned up, and nothing may be left. A run that
goes wrong is printed with its seed, which repeats it, and how often each kind of fault struck.
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

from novaloop.experiment.record import CommandKind, Record
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.weather import KINDS, RUN, Stack

ENOUGH_RUNS = 300
"""In so many, a kind of fault that never strikes is out of order."""


@dataclass
class Outcome:
    """What one run came to; `problem` says what went wrong that never may."""

    seed: int
    ends: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
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
    names = [f"x{number}" for number in range(dice.randint(1, 4))]
    stack = Stack(seed, names)
    outcome.struck = stack.struck
    for name in names:
        spec = SPEC + dice.choice(stack.plans)
        stack.later(_within(dice, hours=3), partial(stack.submit, name, spec, 240))
    stack.passes(RUN)
    for name in names:
        outcome.ends[str(stack.settles(name))] += 1
        stack.check(name)
    outcome.counts["endpoints whose stack was deleted"] += _lose_the_stack(stack.copied())
    _clear_away(stack)
    outcome.counts["hints"] += stack.hints_delivered
    outcome.counts["launches"] += len(stack.jobs.launches)


def _within(dice: random.Random, hours: int) -> timedelta:
    return timedelta(seconds=dice.uniform(0, hours * 3600))


def _lose_the_stack(stack: Simulation) -> int:
    """Delete table and functions while something may serve, and assert that it ends by itself.

    Return how much served.
    """
    serving = len(stack.hosting.endpoints) + len(stack.bedrock.throughputs)
    stack.delete_stack()
    stack.passes(timedelta(days=3))
    left = [*stack.hosting.endpoints, *stack.bedrock.throughputs]
    assert not left, f"{left} bills without a stack"
    return serving


def _clear_away(stack: Stack) -> None:
    """Stop and clean up as a person would, in good weather, and assert that nothing is left."""
    stack.good_weather()
    for name in stack.names:
        if not stack.record(name).status.is_final:
            stack.command(name, CommandKind.STOP)
            _assert_soon(stack, name, lambda record: record.status.is_final)
        stack.command(name, CommandKind.CLEANUP)
        stack.passes(timedelta(minutes=1))
        _assert_soon(stack, name, lambda record: record.cleanup is None)
        stack.check(name)


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
    idle = _print(outcomes, console)
    for outcome in problems[:10]:
        console.print(f"seed {outcome.seed}: {outcome.problem}", style="red", markup=False)
    if idle and options.runs >= ENOUGH_RUNS:
        console.print(f"never struck: {', '.join(idle)}", style="red")
        return 1
    return 1 if problems else 0


def _print(outcomes: Sequence[Outcome], console: Console) -> list[str]:
    """Print what there was and what struck; return the kinds of fault that never did."""
    ends = sum((outcome.ends for outcome in outcomes), Counter())
    counts = sum((outcome.counts for outcome in outcomes), Counter())
    table = _table("what", "count")
    table.add_row("stacks", f"{len(outcomes):,}")
    table.add_row("experiments that settled", f"{ends.total():,}")
    for name, count in (*((f"  {name}", n) for name, n in ends.most_common()), *counts.items()):
        table.add_row(name, f"{count:,}")
    table.add_row("runs that went wrong", f"{sum(1 for each in outcomes if each.problem):,}")
    struck = _table("kind of fault", "struck", "in stacks")
    names = [kind.name for kind in KINDS]
    for name in names:
        times = [outcome.struck[name] for outcome in outcomes]
        struck.add_row(name, f"{sum(times):,}", f"{sum(map(bool, times)):,}")
    console.print(table, "", struck)
    return [name for name in names if not any(outcome.struck[name] for outcome in outcomes)]


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


if __name__ == "__main__":
    sys.exit(main())
