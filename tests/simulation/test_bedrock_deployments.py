"""Deployments to Bedrock under faults: nothing is made twice, nothing is left behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from novaloop.experiment.record import Status
from tests.simulation.faults import (
    Calls,
    Scenario,
    at_any_call,
    goes_live,
    leaves_nothing,
    second_controller,
)
from tests.simulation.simulation import ROUGH, SPEC, Chaos, Simulation, crash

ON_DEMAND = SPEC + b"plan: [sft, deploy: {to: bedrock-on-demand}]\n"
PROVISIONED = SPEC + b"plan: [sft, deploy: {to: bedrock-provisioned, model_units: 2}]\n"
TRAINED = SPEC + b"runtime: bedrock\n"
NAME = "novaloop-demo_0000-deploy-1"


def submitted(spec: bytes = ON_DEMAND, **settings: object) -> Simulation:
    simulation = Simulation(**settings)  # type: ignore[arg-type]
    simulation.submit("demo", spec, sft_rows=200 if spec is TRAINED else 70)
    return simulation


def is_live(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.LIVE)


SCENARIOS = {
    "imported": Scenario(submitted, is_live, "bedrock.create_custom_model"),
    "trained": Scenario(
        partial(submitted, TRAINED), is_live, "bedrock.create_model_customization_job"
    ),
}


@pytest.mark.parametrize(
    ("spec", "kind"), [(ON_DEMAND, "custom-model-deployment"), (PROVISIONED, "provisioned-model")]
)
def test_the_model_is_deployed_once_it_is_active_and_deleted_last(spec: bytes, kind: str) -> None:
    simulation = submitted(spec=spec)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.bedrock.launches == [f"custom-model {NAME}", f"{kind} {NAME}"]
    endpoint = simulation.record("demo").endpoint
    assert endpoint is not None
    assert endpoint.name == NAME
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


@at_any_call
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_crash_at_any_call_heals(scenario: str, calls: Calls) -> None:
    goes_live(SCENARIOS[scenario], crash, calls)


@at_any_call
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_second_controller_at_any_call_changes_nothing(scenario: str, calls: Calls) -> None:
    goes_live(SCENARIOS[scenario], second_controller, calls)


@at_any_call
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_stop_at_any_call_leaves_nothing(scenario: str, calls: Calls) -> None:
    leaves_nothing(SCENARIOS[scenario], calls)


@pytest.mark.parametrize(
    ("fate", "ends"),
    [
        ("custom-model fails", Status.FAILED),
        ("custom-model invalid", Status.FAILED),
        ("custom-model quota", Status.LIVE),
        ("custom-model-deployment fails", Status.FAILED),
        ("custom-model-deployment invalid", Status.FAILED),
        ("custom-model-deployment quota", Status.LIVE),
        ("answers late", Status.LIVE),
    ],
)
def test_what_becomes_of_the_model_and_its_deployment(fate: str, ends: Status) -> None:
    simulation = submitted(fate=lambda name: fate if "deploy" in name else "completes")
    assert simulation.settles("demo") is ends
    if ends is Status.LIVE:
        assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


def test_what_bedrock_trained_is_deployed_as_it_is_and_stays() -> None:
    simulation = submitted(spec=TRAINED)
    assert simulation.settles("demo") is Status.LIVE
    job, model = "novaloop-demo--0000-sft-1", "novaloop-demo_0000-sft-1"
    launches = [f"model-customization-job {job}", f"custom-model-deployment {NAME}"]
    assert simulation.bedrock.launches == launches
    checkpoint = simulation.record("demo").stage("sft").checkpoint
    assert checkpoint == simulation.bedrock.models[model].arn
    assert simulation.reaches("demo", Status.EXPIRED)
    assert list(simulation.bedrock.models) == [model]
    simulation.check("demo")


@pytest.mark.parametrize(
    ("fate", "ends"),
    [
        ("training fails", Status.FAILED),
        ("model-customization-job invalid", Status.FAILED),
        ("model-customization-job quota", Status.LIVE),
    ],
)
def test_what_becomes_of_a_customization_job(fate: str, ends: Status) -> None:
    simulation = submitted(spec=TRAINED, fate=lambda name: fate if "sft" in name else "completes")
    assert simulation.settles("demo") is ends
    simulation.check("demo")


def test_a_deployment_deleted_from_outside_takes_its_model_along() -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    simulation.bedrock.deployments.clear()
    assert simulation.reaches("demo", Status.COMPLETED)
    assert "deleted from outside" in simulation.record("demo").reason
    simulation.check("demo")


@pytest.mark.parametrize("deleting", [False, True])
def test_it_is_looked_at_as_often_as_the_stack_says(deleting: bool) -> None:
    simulation = submitted()
    often = timedelta(seconds=20)
    policy = replace(simulation.world.policy, look_every=often)
    simulation.world = replace(simulation.world, policy=policy)
    assert simulation.reaches("demo", Status.DEPLOYING)
    if deleting:
        assert simulation.reaches("demo", Status.STOPPING)
    simulation.passes(timedelta(minutes=1))
    due_at = simulation.record("demo").due_at
    assert due_at is not None
    assert due_at - simulation.clock.now() <= often


def test_without_the_sweep_nothing_tells_that_the_model_is_active() -> None:
    simulation = submitted()
    assert simulation.reaches("demo", Status.DEPLOYING)
    simulation.chaos = Chaos(sweeps=False)
    simulation.agenda = [each for each in simulation.agenda if each[2] != simulation.run_sweep]
    simulation.passes(timedelta(days=1))
    assert simulation.record("demo").status is Status.DEPLOYING


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("spec", [ON_DEMAND, TRAINED], ids=["imported", "trained"])
def test_rough_weather(spec: bytes, seed: int) -> None:
    simulation = submitted(spec=spec, seed=seed, chaos=ROUGH)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")
