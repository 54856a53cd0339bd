"""Whether what a live experiment costs stays the same, day after day: `make bench-live`.

So many experiments are live at once, each kept by a cron job once a day, and nothing else happens.
Calls, cost, dead letters, hints and lines of history are counted for each day of each experiment.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from benchmarks.control_plane import USD, Meter, count
from novaloop.experiment.record import CommandKind, Status
from tests.simulation.simulation import SPEC, Crashes, Simulation

PLAN = SPEC + b"plan: [sft, deploy: {ttl_hours: 48}]\n"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Day:
    """What one day took, of all experiments together; `record` is the largest record, in bytes."""

    calls: int
    hints: int
    dead_letters: int
    lines: int
    cents: float


def live(experiments: int) -> Simulation:
    """Return a stack in which so many experiments have been live for an hour at least."""
    simulation = Simulation(crashes=Crashes())
    names = [f"x{number}" for number in range(experiments)]
    for name in names:
        simulation.submit(name, PLAN, sft_rows=210)
    for name in names:
        if simulation.settles(name) is not Status.LIVE:
            raise SystemExit(f"the simulated experiment {name} did not reach LIVE")
    simulation.passes(timedelta(hours=1))
    return simulation


def days(simulation: Simulation, number: int) -> list[Day]:
    """Let so many days pass, and count what each takes."""
    meter = Meter(simulation)
    return [_day(simulation, meter) for _ in range(number)]


def _day(simulation: Simulation, meter: Meter) -> Day:
    meter.units = 0
    names, calls = sorted(simulation.store.snapshots), simulation.crashes.calls
    calls.clear()
    hints, dead = simulation.hints_delivered, len(simulation.dead_letters)
    lines = sum(len(simulation.store.history(name)) for name in names)
    for name in names:
        simulation.command(name, CommandKind.KEEP, hours=24)
    simulation.passes(DAY)
    hints = simulation.hints_delivered - hints
    counted = count(calls, meter, simulation.record(names[0]), hints)
    return Day(
        len(calls),
        hints,
        len(simulation.dead_letters) - dead,
        sum(len(simulation.store.history(name)) for name in names) - lines,
        sum(USD[what] * times for what, times in counted.items()) * 100,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for some of the days; return 1 if the last one takes more than the second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=1)
    parser.add_argument("--days", type=int, default=40)
    options = parser.parse_args(arguments)
    simulation = live(options.experiments)
    counted = days(simulation, options.days)
    table = Table(
        "day", "calls", "hints", "dead letters", "lines", "US cents", box=None, pad_edge=False
    )
    for column in table.columns:
        column.justify = "right"
    for number, day in enumerate(counted, 1):
        if number in {1, 2, len(counted)} or number % 10 == 0:
            each = (day.calls, day.hints, day.dead_letters, day.lines, day.cents)
            table.add_row(str(number), *(f"{value / options.experiments:,.2f}" for value in each))
    Console(width=80).print(f"{options.experiments:,} live, of each on one day:", table)
    return 0 if is_flat(counted) else 1


def is_flat(counted: Sequence[Day]) -> bool:
    """Whether the last day takes no more than the second one, but for a hundredth."""
    second, last = counted[1], counted[-1]
    within = (
        last.calls <= second.calls * 1.01,
        last.hints <= second.hints * 1.01,
        last.lines <= second.lines,
        last.cents <= second.cents * 1.01,
    )
    return all(within) and not any(day.dead_letters for day in counted)


if __name__ == "__main__":
    sys.exit(main())
