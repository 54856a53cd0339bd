"""Time that passes while nobody looks misses no deadline: what is paid for is looked at first.

The controller is away (its table is denied, say), and all goes on without it. Once it is back, one
look that sees nothing ends nothing; what can't be read for good is given up in bounded time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from novaloop.experiment.controller import decide
from novaloop.experiment.costs.budget import last_moment
from novaloop.experiment.record import StageState, Status
from novaloop.usecases.reconcile import reconcile
from tests.simulation.simulation import SPEC, Crash, Simulation
from tests.simulation.test_absence import ENDPOINT, runs
from tests.simulation.test_what_cannot_be_read import failing, state_is, submitted, told
from tests.simulation.twin_service import refusal

TRAINING = SPEC + b"plan: [sft]\n"
DEPLOYMENT = SPEC + b"plan: [sft, deploy]\n"
TWO_STEPS = {
    "create_provisioned_model_throughput": b"deploy: {to: bedrock-provisioned}",
    "create_inference_component": b"deploy: {inference_component: true}",
}
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Interposed:
    """Does what `before` says before each call of a service."""

    def __init__(self, simulation: Simulation, before: Callable[[Any], None]) -> None:
        self.before = before
        simulation.interposed.append(self)
        simulation.world = simulation.world_with(simulation.crashes)

    def around(self, call: Any) -> Any:
        self.before(call)
        return call()


def away(simulation: Simulation, time: timedelta) -> None:
    """Let time pass in which each look ends before it sees anything."""
    with failing(simulation.store, "load", error=Crash()):
        simulation.passes(time)


def blips(simulation: Simulation, call_ends: str, code: str, of: str = "", times: int = 1) -> None:
    """Let the next calls of a method fail: all of them, or those whose first argument ends so."""
    left = [times]

    def before(call: Any) -> None:
        if call.name.endswith(call_ends) and str(call.first).endswith(of) and left[0]:
            left[0] -= 1
            raise refusal(code, "no")

    Interposed(simulation, before)


def trains(spec: bytes = TRAINING, **settings: Any) -> Simulation:
    simulation = submitted(spec, **settings)
    assert simulation.run(partial(runs, simulation, "sft"))
    return simulation


def deploys(plan: bytes = b"deploy", **settings: Any) -> Simulation:
    simulation = submitted(SPEC + b"plan: [sft, " + plan + b"]\n", **settings)
    assert simulation.run(partial(state_is, simulation, "deploy", StageState.RUNNING))
    return simulation


# ---------------------------------------------------------------------- one look that sees nothing
@pytest.mark.parametrize("receives", [1, 2, 3])
def test_a_first_look_that_does_not_read_fails_no_training(receives: int) -> None:
    simulation = trains()
    away(simulation, 30 * HOUR)
    record = reconcile("demo", simulation.world, 0, receives)
    assert record is not None
    assert record.status is not Status.FAILED
    assert simulation.settles("demo") is Status.COMPLETED


@pytest.mark.parametrize("minutes", range(0, 60, 6))
def test_a_hint_that_comes_for_the_third_time_fails_no_training(minutes: int) -> None:
    simulation = trains()
    away(simulation, 30 * HOUR + minutes * MINUTE)
    assert simulation.settles("demo") is Status.COMPLETED


@pytest.mark.parametrize("times", [1, 2])
def test_a_read_that_is_throttled_past_a_deadline_fails_no_training(times: int) -> None:
    simulation = trains()
    away(simulation, 40 * HOUR)
    blips(simulation, "objects.get", "SlowDown", of="output.tar.gz", times=times)
    assert simulation.settles("demo") is Status.COMPLETED


@pytest.mark.parametrize("times", [1, 2])
def test_a_describe_that_is_throttled_past_a_deadline_ends_no_endpoint(times: int) -> None:
    simulation = deploys()
    away(simulation, 3 * HOUR)
    blips(simulation, "describe_endpoint", "ThrottlingException", times=times)
    assert simulation.settles("demo") is Status.LIVE


def test_looks_that_failed_before_a_deadline_do_not_count_after_it() -> None:
    simulation = deploys()
    with failing(simulation.hosting, "describe_endpoint"):
        simulation.passes(HOUR)
        unreadable = simulation.record("demo").unreadable
        assert unreadable is not None
        assert unreadable.confirmed
        away(simulation, 2 * HOUR)
        simulation.emit("demo")
        simulation.passes(timedelta(seconds=5))
    assert simulation.settles("demo") is Status.LIVE


def test_one_decision_that_fails_past_a_deadline_ends_no_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = deploys()
    simulation.defects = []
    away(simulation, 3 * HOUR)

    def fails(*_: object) -> None:
        monkeypatch.undo()
        raise OverflowError

    monkeypatch.setitem(decide._STEPS, Status.DEPLOYING, fails)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.defects


def test_one_refusal_after_an_absence_is_not_a_launch_that_was_refused_for_hours() -> None:
    simulation = submitted(DEPLOYMENT)
    blips(simulation, "create_endpoint", "ThrottlingException", times=4)
    assert simulation.run(lambda: met(simulation) == 3)
    away(simulation, 7 * HOUR)
    assert simulation.settles("demo") is Status.LIVE


def met(simulation: Simulation) -> int:
    record = simulation.store.load("demo").record
    stage = record.focus if record else None
    return stage.waits[-1].times if stage is not None and stage.waits else 0


# ---------------------------------------------------------------------- what is so for good
def test_an_output_that_can_not_be_read_after_an_absence_has_its_day() -> None:
    simulation = trains()
    away(simulation, 40 * HOUR)
    back = simulation.clock.now()
    with failing(simulation.objects, "get"):
        simulation.passes(20 * HOUR)
        assert simulation.record("demo").status is Status.RUNNING
        assert len(told(simulation, "what it left or answers can't be read")) == 1
        assert simulation.reaches("demo", Status.FAILED)
    assert 24 * HOUR < simulation.clock.now() - back < 26 * HOUR


def test_an_endpoint_that_can_not_be_seen_after_an_absence_is_ended_in_minutes() -> None:
    simulation = deploys()
    away(simulation, 3 * HOUR)
    back = simulation.clock.now()
    with failing(simulation.hosting, "describe_endpoint"):
        assert simulation.reaches("demo", Status.STOPPING)
        assert "overdue" in simulation.record("demo").reason
        assert simulation.clock.now() - back < 30 * MINUTE
        simulation.passes(HOUR)
        assert ENDPOINT not in simulation.hosting.endpoints
    assert simulation.reaches("demo", Status.FAILED)
    simulation.check("demo")


# ---------------------------------------------------------------------- the second step
@contextmanager
def bought(simulation: Simulation) -> Iterator[list[tuple[datetime, str]]]:
    """Note when what bills was made and deleted."""
    calls: list[tuple[datetime, str]] = []
    verbs = ("create_prov", "create_inference_c", "delete_prov", "delete_inference_c")

    def before(call: Any) -> None:
        if any(verb in call.name for verb in verbs):
            calls.append((simulation.clock.now(), call.name.rpartition(".")[2]))

    Interposed(simulation, before)
    yield calls


@pytest.mark.parametrize("step", TWO_STEPS)
@pytest.mark.parametrize("hours", [2.25, 6])
def test_a_second_step_after_an_absence_has_its_own_time(step: str, hours: float) -> None:
    simulation = deploys(TWO_STEPS[step])
    with bought(simulation) as calls:
        away(simulation, hours * HOUR)
        assert simulation.settles("demo") is Status.LIVE
    assert [name for _, name in calls] == [step]


@pytest.mark.parametrize("step", TWO_STEPS)
def test_a_second_step_that_its_schedule_leaves_no_time_for_is_not_bought(step: str) -> None:
    plan = TWO_STEPS[step].replace(b"}", b", ttl_hours: 0.5}")
    simulation = deploys(plan)
    with bought(simulation) as calls:
        away(simulation, 3 * HOUR)
        assert simulation.settles("demo") is Status.FAILED
    assert "overdue" in simulation.record("demo").reason
    assert step not in {name for _, name in calls}
    simulation.check("demo")


def test_a_second_step_that_the_budget_leaves_minutes_for_is_not_bought() -> None:
    component = b"deploy: {inference_component: true, ttl_hours: 20}"
    simulation = submitted(SPEC + b"budget_usd: 400\nplan: [sft, " + component + b"]\n")
    assert simulation.run(partial(state_is, simulation, "deploy", StageState.RUNNING))
    used_up = last_moment(simulation.record("demo"), simulation.record("demo").stage("deploy"))
    assert used_up is not None
    with bought(simulation) as calls:
        away(simulation, used_up - simulation.clock.now() - 8 * MINUTE)
        assert simulation.settles("demo") is Status.FAILED
    assert "budget" in simulation.record("demo").reason
    assert "create_inference_component" not in {name for _, name in calls}
    simulation.check("demo")
