"""Deployments that AWS loses by itself: deleted, waited for, and tried again under a new name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from novaloop.experiment.controller.transitions import MAX_LOST
from novaloop.experiment.record import CommandKind, Stage, StageState, Status
from tests.simulation.faults import (
    Calls,
    Scenario,
    at_any_call,
    goes_live,
    leaves_nothing,
    second_controller,
)
from tests.simulation.simulation import ROUGH, SPEC, Simulation, crash

ENDPOINT = SPEC + b"plan: [sft, deploy]\n"
COMPONENT = SPEC + b"plan: [sft, deploy: {inference_component: true}]\n"
SHARED = SPEC + b"plan: [sft, deploy: {endpoint: bot}]\n"
ON_DEMAND = SPEC + b"plan: [sft, deploy: {to: bedrock-on-demand}]\n"
PROVISIONED = SPEC + b"plan: [sft, deploy: {to: bedrock-provisioned, model_units: 2}]\n"
TRAINED = SPEC + b"runtime: bedrock\n"
BOT = "novaloop-bot"


def attempt_of(name: str) -> int:
    return int(name.rpartition("-")[2])


def lost(fate: str, until: int, stage: str = "deploy") -> Callable[[str], str]:
    """Return fates by which the attempts before `until` at a stage are lost."""

    def of(name: str) -> str:
        return fate if stage in name and attempt_of(name) < until else "completes"

    return of


def submitted(spec: bytes, fate: Callable[[str], str], **settings: object) -> Simulation:
    simulation = Simulation(fate=fate, **settings)  # type: ignore[arg-type]
    simulation.submit("demo", spec, sft_rows=200 if spec is TRAINED else 70)
    return simulation


def deploy(simulation: Simulation) -> Stage:
    return simulation.record("demo").stage("deploy")


def waits_for(simulation: Simulation, attempt: int) -> bool:
    stage = deploy(simulation)
    return (stage.state, stage.attempt.number) == (StageState.WAITING, attempt)


def left(simulation: Simulation) -> list[str]:
    return [*simulation.hosting.left("demo"), *simulation.bedrock.left("demo")]


CASES = {
    "endpoint": (ENDPOINT, "{}"),
    "endpoint of a component": (COMPONENT, "endpoint {}"),
    "component": (COMPONENT, "component {}"),
    "shared endpoint": (SHARED, "{}"),
    "imported model": (ON_DEMAND, "custom-model {}"),
    "on-demand deployment": (ON_DEMAND, "custom-model-deployment {}"),
    "provisioned throughput": (PROVISIONED, "provisioned-model {}"),
    "deployment of what Bedrock trained": (TRAINED, "custom-model-deployment {}"),
}


@pytest.mark.parametrize("loss", ["no capacity", "service fault"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_lost_is_deleted_and_tried_again(case: str, loss: str) -> None:
    spec, fate = CASES[case]
    simulation = submitted(spec, lost(fate.format(loss), until=3))
    assert simulation.reaches("demo", Status.DEPLOYING)
    for attempt in (2, 3):
        assert simulation.run(partial(waits_for, simulation, attempt))
        assert left(simulation) == [], "the next attempt begins with nothing of the last one"
        assert deploy(simulation).reason
    assert simulation.settles("demo") is Status.LIVE
    assert deploy(simulation).attempt.number == 3
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


@pytest.mark.parametrize("case", [case for case in CASES if case != "component"])
def test_capacity_is_waited_for_as_long_as_it_takes(case: str) -> None:
    spec, fate = CASES[case]
    simulation = submitted(spec, lost(fate.format("no capacity"), until=3 * MAX_LOST))
    assert simulation.settles("demo") is Status.LIVE
    assert deploy(simulation).attempt.number == 3 * MAX_LOST


@pytest.mark.parametrize("case", CASES)
def test_a_service_that_fails_again_and_again_fails_the_stage(case: str) -> None:
    spec, fate = CASES[case]
    simulation = submitted(spec, lost(fate.format("service fault"), until=99))
    assert simulation.settles("demo") is Status.FAILED
    assert deploy(simulation).attempt.number == MAX_LOST + 1
    simulation.check("demo")


def test_a_component_is_not_waited_for_without_end_since_its_endpoint_bills() -> None:
    simulation = submitted(COMPONENT, lost("component no capacity", until=99))
    assert simulation.settles("demo") is Status.FAILED
    assert deploy(simulation).attempt.number == MAX_LOST + 1
    simulation.check("demo")


@pytest.mark.parametrize("case", CASES)
def test_what_is_its_own_fault_is_not_tried_again(case: str) -> None:
    spec, fate = CASES[case]
    simulation = submitted(spec, lost(fate.format("fails"), until=99))
    assert simulation.settles("demo") is Status.FAILED
    assert deploy(simulation).attempt.number == 1
    simulation.check("demo")


def test_a_lost_customization_job_is_tried_again() -> None:
    simulation = submitted(TRAINED, lost("training no capacity", until=3, stage="sft"))
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").stage("sft").attempt.number == 3


# ------------------------------------------------------------------ an endpoint that serves already
def updating(fate: str = "no capacity", until: int = 3, **settings: object) -> Simulation:
    """Return a stack where `old` is live on the endpoint, and updates to `demo` are lost."""
    fates = lost(fate, until)
    simulation = Simulation(
        fate=lambda name: fates(name) if "demo" in name else "completes",
        **settings,  # type: ignore[arg-type]
    )
    simulation.submit("old", SHARED)
    assert simulation.settles("old") is Status.LIVE
    simulation.submit("demo", SHARED)
    return simulation


def has_taken_over(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.LIVE) and simulation.is_in("old", Status.COMPLETED)


@pytest.mark.parametrize("fate", ["no capacity", "service fault"])
def test_the_former_serves_on_while_an_update_waits_for_capacity(fate: str) -> None:
    simulation = updating(fate)
    assert simulation.reaches("demo", Status.DEPLOYING)
    for attempt in (2, 3):
        assert simulation.run(partial(waits_for, simulation, attempt))
        assert simulation.hosting.serving(BOT) == "novaloop-old--0000-deploy-1"
        assert simulation.record("old").status is Status.LIVE
        assert left(simulation) == []
    assert simulation.reaches("demo", Status.LIVE)
    assert simulation.hosting.serving(BOT) == "novaloop-demo--0000-deploy-3"
    assert simulation.reaches("old", Status.COMPLETED)
    simulation.check("old")
    assert simulation.reaches("demo", Status.EXPIRED)
    assert simulation.hosting.left() == []


# ------------------------------------------------------------------ under faults
once = partial(lost, until=2)
SCENARIOS = {
    "endpoint": Scenario(
        partial(submitted, ENDPOINT, once("no capacity")),
        lambda simulation: simulation.is_in("demo", Status.LIVE),
        "sagemaker.create_model",
    ),
    "component": Scenario(
        partial(submitted, COMPONENT, once("component service fault")),
        lambda simulation: simulation.is_in("demo", Status.LIVE),
        "sagemaker.create_inference_component",
    ),
    "deployment": Scenario(
        partial(submitted, ON_DEMAND, once("custom-model-deployment no capacity")),
        lambda simulation: simulation.is_in("demo", Status.LIVE),
        "bedrock.create_custom_model",
    ),
    "update": Scenario(partial(updating, until=2), has_taken_over, "sagemaker.update_endpoint"),
}


@at_any_call
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_crash_at_any_call_heals(scenario: str, calls: Calls) -> None:
    for call, simulation in SCENARIOS[scenario].struck(crash, calls):
        assert simulation.settles("demo") is Status.LIVE, call
        assert deploy(simulation).attempt.number == 2, call
        simulation.check("demo")


@at_any_call
@pytest.mark.parametrize("scenario", ["endpoint", "update"])
def test_a_second_controller_at_any_call_changes_nothing(scenario: str, calls: Calls) -> None:
    goes_live(SCENARIOS[scenario], second_controller, calls)


@at_any_call
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_stop_at_any_call_leaves_nothing(scenario: str, calls: Calls) -> None:
    leaves_nothing(SCENARIOS[scenario], calls)


def test_a_stop_while_it_is_cleared_away_leaves_nothing() -> None:
    simulation = submitted(ENDPOINT, once("no capacity"))
    assert simulation.reaches("demo", Status.DEPLOYING)
    assert simulation.run(lambda: deploy(simulation).state is StageState.CLEARING)
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    assert simulation.hosting.left() == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_rough_weather(case: str, seed: int) -> None:
    spec, fate = CASES[case]
    simulation = submitted(spec, lost(fate.format("no capacity"), 3), seed=seed, chaos=ROUGH)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")
