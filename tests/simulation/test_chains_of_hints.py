"""A hint that leads to a hint that leads to a hint: such a chain goes deep, and it ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from novaloop.experiment.record import CommandKind, Status
from novaloop.usecases.reconcile import MAX_DEPTH, SHORTEST_DELAY, reconcile
from tests.simulation.simulation import SPEC, SWEEP_EVERY, Chaos, Simulation

ENDPOINT = SPEC + b"plan: [sft, deploy]\n"
LAMBDAS_OWN_LIMIT = 16
"""Where Lambda ends a chain through SQS unless its function is set to allow it: boto/boto3#3899
and the developer guide on recursive loop detection."""


def stopped_while_creating(*, sweeps: bool = True) -> Simulation:
    simulation = Simulation(chaos=Chaos(sweeps=sweeps))
    simulation.submit("demo", ENDPOINT)
    assert simulation.run(lambda: bool(simulation.hosting.endpoints))
    simulation.passes(timedelta(minutes=1))
    simulation.command("demo", CommandKind.STOP)
    return simulation


def test_ending_an_endpoint_that_is_being_created_goes_deeper_than_lambda_allows() -> None:
    simulation = stopped_while_creating()
    assert simulation.reaches("demo", Status.STOPPED)
    assert LAMBDAS_OWN_LIMIT < simulation.deepest < MAX_DEPTH


@pytest.mark.parametrize("seconds", [60, 120])
def test_so_does_following_a_training_closely(seconds: int) -> None:
    simulation = Simulation(fate=lambda _: "hangs")
    closely = replace(simulation.world.policy, look_every=timedelta(seconds=seconds))
    simulation.world = replace(simulation.world, policy=closely)
    simulation.submit("demo", ENDPOINT)
    assert simulation.reaches("demo", Status.RUNNING)
    simulation.passes(timedelta(hours=2))
    assert LAMBDAS_OWN_LIMIT < simulation.deepest < MAX_DEPTH


@pytest.mark.parametrize("sweeps", [True, False])
def test_what_never_ends_is_left_to_the_sweep(
    monkeypatch: pytest.MonkeyPatch, *, sweeps: bool
) -> None:
    simulation = stopped_while_creating(sweeps=sweeps)
    never: Any = lambda *_: None  # noqa: E731
    # What lingers is looked at less often, from hours on: here it never does.
    monkeypatch.setattr("novaloop.experiment.controller.suspicion.ENDS_WITHIN", timedelta(days=1))
    monkeypatch.setattr(simulation.hosting, "_gone", never)
    simulation.passes(timedelta(hours=6))
    assert simulation.deepest == MAX_DEPTH
    assert simulation.record("demo").status is Status.STOPPING
    before = simulation.hints_delivered
    simulation.passes(4 * SWEEP_EVERY)
    assert (simulation.hints_delivered > before) is sweeps


@dataclass
class Recorded:
    """The port `Hints`, which keeps what it is given."""

    sent: list[tuple[timedelta, int]] = field(default_factory=list)

    def look_at(self, experiment_id: str, delay: timedelta = timedelta(0), depth: int = 0) -> None:
        assert experiment_id == "demo"
        self.sent.append((delay, depth))


@pytest.mark.parametrize(
    ("depth", "deeper"),
    [(0, [1]), (7, [8]), (MAX_DEPTH - 1, [MAX_DEPTH]), (MAX_DEPTH, []), (MAX_DEPTH + 1, [])],
)
def test_each_hint_is_one_deeper_than_what_led_to_it(depth: int, deeper: list[int]) -> None:
    simulation, hints = stopped_while_creating(), Recorded()
    simulation.passes(timedelta(minutes=2))
    simulation.clock.time += timedelta(minutes=2)
    reconcile("demo", replace(simulation.undisturbed, hints=hints), depth)
    assert [told for _, told in hints.sent] == deeper


def test_no_hint_comes_at_once() -> None:
    simulation, hints = stopped_while_creating(), Recorded()
    simulation.passes(timedelta(minutes=2))
    restless = replace(simulation.world.policy, look_every=timedelta(0))
    reconcile("demo", replace(simulation.undisturbed, hints=hints, policy=restless))
    assert [delay for delay, _ in hints.sent] == [SHORTEST_DELAY]
