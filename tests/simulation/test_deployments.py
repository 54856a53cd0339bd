"""Deployments in two steps under faults: nothing is made twice, nothing is left behind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from novaloop.experiment.record import StageState, Status
from tests.simulation.faults import (
    Calls,
    Scenario,
    at_any_call,
    goes_live,
    leaves_nothing,
    second_controller,
)
from tests.simulation.simulation import ROUGH, SPEC, Simulation, crash

COMPONENT = SPEC + b"plan: [sft, deploy: {inference_component: true}]\n"
NAME = "novaloop-demo--0000-deploy-1"


def submitted(**settings: object) -> Simulation:
    simulation = Simulation(**settings)  # type: ignore[arg-type]
    simulation.submit("demo", COMPONENT)
    return simulation


SCENARIO = Scenario(
    submitted, lambda simulation: simulation.is_in("demo", Status.LIVE), "sagemaker.create_model"
)


def test_the_component_is_requested_once_its_endpoint_is_in_service() -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.hosting.launches == [NAME, f"component {NAME}"]
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


@at_any_call
def test_a_crash_at_any_call_heals(calls: Calls) -> None:
    goes_live(SCENARIO, crash, calls)


@at_any_call
def test_a_second_controller_at_any_call_changes_nothing(calls: Calls) -> None:
    goes_live(SCENARIO, second_controller, calls)


@at_any_call
def test_a_stop_at_any_call_leaves_nothing(calls: Calls) -> None:
    leaves_nothing(SCENARIO, calls)


@pytest.mark.parametrize(
    ("fate", "ends"),
    [
        ("fails", Status.FAILED),
        ("component fails", Status.FAILED),
        ("component invalid", Status.FAILED),
        ("component throttled", Status.LIVE),
    ],
)
def test_what_becomes_of_the_component(fate: str, ends: Status) -> None:
    simulation = submitted(fate=lambda name: fate if "deploy" in name else "completes")
    assert simulation.settles("demo") is ends
    simulation.check("demo")


def test_a_component_that_vanishes_while_it_is_created_fails_the_stage() -> None:
    simulation = submitted()
    assert simulation.run(lambda: NAME in simulation.hosting.components)
    simulation.passes(timedelta(minutes=2))
    del simulation.hosting.components[NAME]
    assert simulation.settles("demo") is Status.FAILED
    assert simulation.record("demo").stage("deploy").state is StageState.FAILED
    simulation.check("demo")


@pytest.mark.parametrize("seed", range(10))
def test_rough_weather(seed: int) -> None:
    simulation = submitted(seed=seed, chaos=ROUGH)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")
