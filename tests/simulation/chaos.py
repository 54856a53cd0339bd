"""Experiments at random, in random weather: `make chaos RUNS=1000 SEED=1`.

Each run is a stack of its own with a few experiments that compete for one quota, in the weather
that `weather.py` makes. At the end everything is cleaned up, and nothing may be left. A run that
goes wrong is printed with its seed, which repeats it, and how often each kind of fault struck.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from rich.console import Console
from rich.progress import track
from rich.table import Table

from novaloop.experiment.controller.notifications import TOLD
from novaloop.experiment.record import CHECKPOINT, Status
from tests.simulation.simulation import AT_REST, SPEC, Simulation
from tests.simulation.weather import AGAIN, KINDS, RUN, Stack, clear_away

ENOUGH_RUNS = 300
"""In so many, a kind of fault that never strikes is out of order."""
MAX_REPEATED = 6
"""What is told once, twice after a crash, and once in each life and retry of an experiment."""
MAX_HISTORY = 1_500
MAX_REPEATED_LINES = 12
"""How often history may say that a stage waits, and why, in the same words."""
LATE_UPLOADS: tuple[str, ...] = ("upload that can't be looked up", "item that can't be written")
LATE_UPLOADS += ("upload that can't be read", "ingest that can't be asked", "table throttled")
LATE_UPLOADS += ("single item deleted by hand", "upload deleted from the bucket")
"""After these kinds of fault an upload may be ingested a day later, and history tells."""


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
        spec = SPEC + dice.choice(stack.plans) + stack.origins.get(name, b"")
        stack.later(_within(dice, hours=3), partial(stack.submit, name, spec, 240))
    stack.passes(RUN + AGAIN)
    # Whoever goes on from another one's checkpoint may do so when that one has settled.
    ends = {name: _settles(stack, name) for name in (*names, *stack.origins)}
    outcome.ends.update(ends.values())
    lost = _lose_the_stack(stack.copied(), stack.endless)
    outcome.counts["endpoints whose stack was deleted"] += lost
    stack.good_weather()
    there = [name for name in names if _has_record(stack, name)]
    for name in there:
        clear_away(stack, name)
    for fault in stack.faults:
        fault.check()
    _comes_to_rest(stack, there)
    outcome.counts["hints"] += stack.hints_delivered
    outcome.counts["launches"] += len(stack.jobs.launches)


def _has_record(stack: Stack, name: str) -> bool:
    return stack.store.load(name).record is not None


def _settles(stack: Stack, name: str) -> str:
    """Assert that it is not stuck, that nothing is left, and that people were told the truth."""
    # An upload that could not be ingested is asked for once a day, when its outage is over, too.
    found = partial(_has_record, stack, name)
    if not found() and (name in stack.lost_lives or not stack.run(found)):
        assert name in stack.lost_lives, f"{name} has no record"
        return "without a record"
    if name in stack.origins:
        stack.run(lambda: stack.is_in(name, *AT_REST) or _is_told_to_wait(stack, name))
        if _is_told_to_wait(stack, name):
            return "waits for a checkpoint"
    status = stack.settles(name)
    stack.check(name)
    _is_true(stack, name)
    if status in TOLD and _last_told(stack, name) is not status:
        stack.passes(timedelta(days=2))  # the topic takes nothing, or the look that tells is late
        status = stack.settles(name)
        told = _last_told(stack, name)
        assert told is status or status not in TOLD, f"{name} is {status}, and told as {told}"
    return str(status)


def _is_told_to_wait(stack: Stack, name: str) -> bool:
    """Whether it waits for another one's checkpoint, and people were told so."""
    record = stack.record(name)
    waits = any(
        what.startswith(CHECKPOINT) and each.confirmed for what, each in record.awaited.items()
    )
    subject = f"Novaloop: {name} is {Status.COLLECTING}"
    return waits and any(subject == told for told, _ in stack.notifier.messages)


def _is_true(stack: Stack, name: str) -> None:
    """Assert that the record says nothing of the world that is not so."""
    record, history = stack.record(name), stack.store.history(name)
    applied = sum(1 for line in history if line.what.endswith(" by somebody"))
    assert applied <= stack.commands[name], f"{name} applied {applied} commands"
    for stage in record.stages:
        job = stack.jobs.jobs.get(stage.attempt.job_name or "")
        is_own = job is None or job.created_at > record.created_at - timedelta(minutes=10)
        assert is_own, f"{name} takes {stage.attempt.job_name} of a former experiment for its own"
    # What broke for it, or has an endpoint that bills while it waits, is given up.
    if not any(stack.struck[f"{kind} capacity"] for kind in ("update breaks for", "component no")):
        assert "InsufficientInstanceCapacity" not in record.reason, "capacity is waited for"
    for wrong in ("does not exist any more", "was deleted from outside", "somebody else's"):
        assert name in stack.lost_lives or wrong not in record.reason, f"{name}: {record.reason}"


def _last_told(stack: Stack, name: str) -> Status | None:
    begins = f"Novaloop: {name} is "
    told = [subject for subject, _ in stack.notifier.messages if subject.startswith(begins)]
    return Status(told[-1].removeprefix(begins)) if told else None


def _comes_to_rest(stack: Stack, names: Sequence[str]) -> None:
    """Assert that nothing bills or happens any more, and that nothing was said or kept too often.

    What a deleted record had launched is ended by schedules; jobs end by themselves.
    """
    if stack.lost_lives or any(stack.struck[kind] for kind in LATE_UPLOADS):
        stack.passes(timedelta(days=4))
    lines = {name: len(stack.store.history(name)) for name in names}
    stack.passes(timedelta(hours=6))
    for name in names:
        history = len(stack.store.history(name))
        assert history == lines[name], f"{name} does not come to rest"
        assert history < MAX_HISTORY, f"{name} has {history} lines of history"
        waits = Counter((line.what, line.why) for line in stack.store.history(name))
        for (what, why), times in waits.items():
            often = what.endswith(" WAITING") and times > MAX_REPEATED_LINES
            assert not often, f"{name}'s history says {times} times: {what}, {why}"
    left = [*stack.hosting.endpoints, *stack.bedrock.throughputs]
    assert not left, f"{left} bills"
    running = [*stack.jobs.running, *stack.bedrock.running]
    orphans = [text for subject, text in stack.notifier.messages if "without an" in subject]
    for job in running:
        told = any(job in text for text in orphans)
        assert told, f"{job} runs, and nobody was told"
    said = Counter(told for told in stack.notifier.messages if "without an" not in told[0])
    for (subject, _), times in said.items():
        # Whoever uploads a file that can't be used is told so, each time.
        uploads = stack.struck["upload of the same file again"] * subject.endswith("REJECTED")
        assert times <= MAX_REPEATED + uploads, f"people were told {times} times: {subject}"


def _within(dice: random.Random, hours: int) -> timedelta:
    return timedelta(seconds=dice.uniform(0, hours * 3600))


def _lose_the_stack(stack: Simulation, endless: Set[str]) -> int:
    """Delete table and functions while something may serve, and assert that it ends by itself.

    That is when its schedule says, also of what people have kept; but for what only the sweep
    could find. Return how much served.
    """
    serving = len(stack.hosting.endpoints) + len(stack.bedrock.throughputs)
    stack.delete_stack()
    now = stack.clock.now()
    begins = (schedule["StartDate"] for schedule in stack.scheduler.schedules.values())
    stack.passes(max(begins, default=now) - now + timedelta(days=3))
    left = {*stack.hosting.endpoints, *stack.bedrock.throughputs} - endless
    assert not left, f"{left} bills without a stack"
    return serving


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print one table, and return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--until-found", action="store_true", help="end with the first problem")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # every fault is logged, with its traceback
    console = Console(width=80)
    seeds = range(options.seed, options.seed + options.runs)
    if options.until_found:
        return _until_found(map(run, seeds))
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


def _until_found(results: Iterator[Outcome]) -> int:
    """Print how many runs it took to find a problem, and which; return 1 if one was found."""
    for number, outcome in enumerate(results, 1):
        if outcome.problem:
            print(f"{number}\t{outcome.problem}")
            return 1
    return 0


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
