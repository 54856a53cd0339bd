"""A fault at every call that a scenario makes: a crash, a second controller, a person's stop.

Looks repeat themselves for hours while a job runs: of the calls that are the same at the same place
of a step, while the experiment stands at the same point, the first two are struck.

The scenario runs once, and is copied before each of its steps. So a disturbed run begins where the
undisturbed one stands, not all over again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from novaloop.experiment.record import CommandKind, Status
from novaloop.usecases.reconcile import reconcile
from tests.simulation.simulation import Call, Simulation
from tests.simulation.twin_service import refusal

PARTS = 4
ALIKE = 2
"""How many calls are struck of those that are alike."""
Fault = Callable[[Simulation], object]
"""What happens at a call: `simulation.crash`, or what a held-up process does not see."""


@dataclass(frozen=True)
class Calls:
    """One part of a scenario's calls, and on which side of their effect the fault strikes."""

    part: int
    after_effect: bool


at_any_call = pytest.mark.parametrize(
    "calls",
    [Calls(part, after_effect) for part in range(PARTS) for after_effect in (False, True)],
    ids=lambda calls: f"{'after' if calls.after_effect else 'before'}-{calls.part}",
)


@dataclass(frozen=True)
class Scenario:
    """A simulation that begins and ends; faults strike from its first call of `first` on."""

    begin: Callable[[], Simulation]
    is_over: Callable[[Simulation], bool]
    first: str | None = None

    def calls(self) -> list[str]:
        """Return what it calls while nothing disturbs it."""
        simulation = self.begin()
        begun = len(simulation.crashes.calls)
        while not self.is_over(simulation):
            simulation.step()
        names = simulation.crashes.calls[begun:]
        return names[names.index(self.first) if self.first else 0 :]

    def struck(self, fault: Fault, calls: Calls) -> Iterator[tuple[str, Simulation]]:
        """Yield each of the calls with a simulation that the fault has just struck there."""
        simulation, skipping = self.begin(), self.first is not None
        names, times = simulation.crashes.calls, Counter[object]()
        while not self.is_over(simulation):
            before, seen = simulation.copied(), len(names)
            simulation.step()
            points = _points(before)
            for number in range(seen, len(names)):
                skipping = skipping and names[number] != self.first
                if skipping:
                    continue
                call = names[number], number - seen, *points
                times[call] += 1
                if times[call] <= ALIKE and times.total() % PARTS == calls.part:
                    yield names[number], _struck(before.copied(), number, fault, calls)


def _points(simulation: Simulation) -> tuple[object, ...]:
    """Return where its experiments stand: their status, and each stage's attempt and state."""
    records = (each.record for each in simulation.store.snapshots.values())
    return tuple(
        (
            record.experiment_id,
            record.status,
            *((stage.attempt.number, stage.state) for stage in record.stages),
        )
        for record in records
        if record is not None
    )


def _struck(simulation: Simulation, call: int, fault: Fault, calls: Calls) -> Simulation:
    crashes = simulation.crashes
    crashes.at, crashes.after_effect = call, calls.after_effect
    crashes.fault = partial(fault, simulation)
    simulation.step()
    assert len(crashes.calls) > call, "the copy went another way than the original"
    return simulation


def second_controller(simulation: Simulation) -> None:
    """Let another process look at everything, and go as far as it can."""
    held_up, simulation.hops = simulation.hops, 0
    try:
        for experiment_id in sorted({"demo", *simulation.store.snapshots}):
            reconcile(experiment_id, simulation.undisturbed)
    finally:
        simulation.hops = held_up


def stop(simulation: Simulation) -> None:
    """Stop the experiment and let a second controller see to it."""
    simulation.command("demo", CommandKind.STOP)
    second_controller(simulation)


def goes_live(scenario: Scenario, fault: Fault, calls: Calls) -> None:
    """Assert that the experiment goes live wherever the fault strikes."""
    for call, simulation in scenario.struck(fault, calls):
        assert simulation.settles("demo") is Status.LIVE, call
        simulation.check("demo")


def leaves_nothing(scenario: Scenario, calls: Calls) -> None:
    """Assert that wherever a stop comes, nothing is left, and nothing comes later."""
    for call, simulation in scenario.struck(stop, calls):
        assert simulation.reaches("demo", Status.STOPPED), call
        simulation.passes(timedelta(hours=6))
        simulation.check("demo")


DENIED = refusal("AccessDenied", "not authorized, says a row of text")


@dataclass
class Fails:
    """Calls whose name begins with one of these fail, for now."""

    calls: tuple[str, ...]
    error: BaseException = DENIED
    on: bool = True
    struck: int = 0

    def around(self, call: Call) -> Any:
        if self.on and call.name.startswith(self.calls):
            self.struck += 1
            raise self.error
        return call()


class Profiles(Fails):
    """Only the datasets' profiles can't be read."""

    def around(self, call: Call) -> Any:
        return super().around(call) if str(call.first).endswith("profile.npz") else call()
