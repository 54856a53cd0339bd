"""Deployments in two steps under faults: nothing is made twice, nothing is left behind."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from novaloop.experiment.record import CommandKind, StageState, Status
from novaloop.usecases.reconcile import reconcile
from tests.simulation.simulation import SPEC, Chaos, Crashes, Simulation

COMPONENT = SPEC + b"plan: [sft, deploy: {inference_component: true}]\n"
NAME = "novaloop-demo--deploy-1"
ROUGH = Chaos(duplicated=0.3, lost=0.2, delayed=0.3, crash=0.02)


def submitted(crashes: Crashes | None = None, **settings: object) -> Simulation:
    simulation = Simulation(crashes=crashes, **settings)  # type: ignore[arg-type]
    simulation.submit("demo", COMPONENT)
    return simulation


def calls() -> list[str]:
    crashes = Crashes()
    simulation = submitted(crashes)
    simulation.settles("demo")
    return crashes.calls


CALLS = calls()
FIRST = CALLS.index("sagemaker.create_model")
BATCHES = range(FIRST, len(CALLS), 10)
before_and_after = pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])


def test_the_component_is_requested_once_its_endpoint_is_in_service() -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.hosting.launches == [NAME, f"component {NAME}"]
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


@before_and_after
@pytest.mark.parametrize("first", BATCHES)
def test_a_crash_at_any_call_heals(first: int, after_effect: bool) -> None:
    for call in range(first, min(first + 10, len(CALLS))):
        crashes = Crashes(at=call, after_effect=after_effect)
        simulation = submitted(crashes)
        assert simulation.settles("demo") is Status.LIVE, CALLS[call]
        assert crashes.happened == 1, CALLS[call]
        simulation.check("demo")


@before_and_after
@pytest.mark.parametrize("first", BATCHES)
def test_a_second_controller_at_any_call_changes_nothing(first: int, after_effect: bool) -> None:
    for call in range(first, min(first + 10, len(CALLS))):
        crashes = Crashes(at=call, after_effect=after_effect)
        simulation = submitted(crashes)
        crashes.meanwhile = partial(reconcile, "demo", simulation.undisturbed)
        assert simulation.settles("demo") is Status.LIVE, CALLS[call]
        simulation.check("demo")


@before_and_after
@pytest.mark.parametrize("first", BATCHES)
def test_a_stop_at_any_call_leaves_nothing(first: int, after_effect: bool) -> None:
    for call in range(first, min(first + 10, len(CALLS))):
        crashes = Crashes(at=call, after_effect=after_effect)
        simulation = submitted(crashes)
        crashes.meanwhile = partial(stop_now, simulation)
        assert simulation.reaches("demo", Status.STOPPED), CALLS[call]
        simulation.run(lambda: False, timedelta(hours=6))
        simulation.check("demo")


def stop_now(simulation: Simulation) -> None:
    simulation.command("demo", CommandKind.STOP)
    reconcile("demo", simulation.undisturbed)


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
    simulation.run(lambda: False, timedelta(minutes=2))
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
