"""Only who has just committed a claim launches; a launch that was refused leaves nothing behind."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, Never

import pytest

from novaloop.experiment.controller.transitions import LAUNCH_LEASE
from novaloop.experiment.record import CommandKind, StageState, Status
from tests.simulation.faults import Calls, Scenario, at_any_call, second_controller, stop
from tests.simulation.simulation import SPEC, Chaos, Simulation, crash
from tests.simulation.test_absence import JOB, AtCalls
from tests.simulation.twin_service import refusal
from tests.template.stack import sam_template

SHORT = SPEC + b"plan: [sft, deploy]\n"


def submitted(**settings: object) -> Simulation:
    simulation = Simulation(**settings)  # type: ignore[arg-type]
    simulation.submit("demo", SHORT, sft_rows=200)
    return simulation


def waits(simulation: Simulation) -> bool:
    record = simulation.store.load("demo").record
    return record is not None and any(s.state is StageState.WAITING for s in record.stages)


def test_a_lease_outlives_whoever_holds_it() -> None:
    """A process lives for the function's timeout at most; another minute is for clocks."""
    controller = sam_template()["Resources"]["ControllerFunction"]["Properties"]
    timeout = timedelta(seconds=controller["Timeout"])
    assert timeout + timedelta(minutes=1) <= LAUNCH_LEASE


@pytest.mark.parametrize(
    "message",
    [
        "is 0 Instances, with current utilization of 0 and a request delta of 1 Instances.",
        "is 1 Instances, with current utilization of 1 and a request delta of 1 Instances.",
    ],
    ids=["too small", "used up"],
)
def test_a_stage_that_waits_for_a_quota_is_stopped_at_once(message: str) -> None:
    simulation: Any = submitted()
    create = simulation.jobs.create_training_job

    def refuse(**_: object) -> Never:
        raise refusal("ResourceLimitExceeded", message)

    simulation.jobs.create_training_job = refuse
    assert simulation.run(partial(waits, simulation))
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(seconds=30))
    assert simulation.record("demo").status is Status.STOPPED
    simulation.jobs.create_training_job = create
    simulation.passes(timedelta(days=1))
    assert simulation.jobs.launches == []


def test_nobody_else_launches_what_is_claimed_while_its_holder_may_live() -> None:
    """Otherwise the other one's refusal would let a stop rest before the holder's launch."""
    crashes = AtCalls({})
    simulation = submitted(crashes=crashes)

    def refused_and_stopped_meanwhile() -> None:
        simulation.jobs.limit = 0
        for seconds in (1, 30, 60, 28):
            simulation.clock.time += timedelta(seconds=seconds)
            second_controller(simulation)
        stop(simulation)
        assert simulation.record("demo").status is Status.STOPPING
        assert simulation.jobs.wanted == [], "another one launched what was claimed"
        simulation.jobs.limit = 1

    crashes.faults["jobs.create_training_job"] = refused_and_stopped_meanwhile
    simulation.jobs.claimed = lambda _: True
    assert simulation.run(lambda: bool(simulation.jobs.launches))
    assert simulation.reaches("demo", Status.STOPPED)
    assert simulation.jobs.jobs[JOB].stop_asked
    simulation.check("demo")


def test_a_launch_that_crashed_is_repeated_after_its_lease() -> None:
    simulation = submitted(
        crashes=AtCalls({"jobs.create_training_job": crash}), chaos=Chaos(sweeps=False)
    )
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.jobs.launches == [JOB]


SCENARIO = Scenario(
    submitted, lambda simulation: simulation.is_in("demo", Status.LIVE), "jobs.create_training_job"
)


@at_any_call
def test_a_stop_at_any_call_while_the_quota_is_used_up(calls: Calls) -> None:
    """Whatever is launched is launched by who holds the claim, and what is stopped ends."""

    def full_and_stopped(simulation: Simulation) -> None:
        simulation.jobs.limit = 0
        second_controller(simulation)
        stop(simulation)

    for call, simulation in SCENARIO.struck(full_and_stopped, calls):
        simulation.jobs.limit = 1
        assert simulation.reaches("demo", Status.STOPPED), call
        simulation.passes(timedelta(hours=6))
        simulation.check("demo")
