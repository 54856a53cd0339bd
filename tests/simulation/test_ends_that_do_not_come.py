"""Whatever keeps something from ending is told once, and its end is asked for all the while."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Never

import pytest

from novaloop.experiment.record import CommandKind, Status
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.twin_service import refusal

DEPLOYMENTS = {
    "endpoint": (b"deploy", "delete_endpoint"),
    "component": (b"deploy: {inference_component: true}", "delete_inference_component"),
    "configuration": (b"deploy", "delete_endpoint_config"),
    "model": (b"deploy", "delete_model"),
}
ON_BEDROCK = {
    "deployment": (b"bedrock-on-demand", "delete_custom_model_deployment"),
    "imported model": (b"bedrock-on-demand", "delete_custom_model"),
    "throughput": (b"bedrock-provisioned", "delete_provisioned_model_throughput"),
}
NOBODY_KNOWS = refusal("ValidationException", "Unexpected state 42, nobody knows why.")
CONFLICT = refusal("ConflictException", "Unexpected state 42, nobody knows why.")


def serves(plan: bytes) -> Simulation:
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"plan: [sft, " + plan + b"]\n", sft_rows=200)
    assert simulation.settles("demo") is Status.LIVE
    return simulation


def refuses(error: Exception) -> Callable[..., Never]:
    def refuse(*_: object, **__: object) -> Never:
        raise error

    return refuse


def told_of(simulation: Simulation) -> list[str]:
    return [text for _, text in simulation.notifier.messages if "may go on billing" in text]


def is_told_once_and_tried_again(simulation: Simulation, twin: Any, end: str, why: str) -> None:
    """Refuse an end for two days, then let it happen."""
    setattr(twin, end, refuses(NOBODY_KNOWS if why.startswith("Validation") else CONFLICT))
    simulation.command("demo", CommandKind.STOP)
    hints = simulation.hints_delivered
    simulation.passes(timedelta(days=2))
    assert simulation.record("demo").status is Status.STOPPING
    (told,) = told_of(simulation)
    assert why in told
    assert simulation.hints_delivered - hints < 800, "it is tried too often"
    assert simulation.dead_letters == []
    delattr(twin, end)
    begun = simulation.clock.now()
    assert simulation.reaches("demo", Status.STOPPED)
    assert simulation.clock.now() - begun < timedelta(minutes=40)
    assert len(told_of(simulation)) == 1
    simulation.check("demo")


@pytest.mark.parametrize(("plan", "end"), DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_a_refusal_to_delete_is_told_whatever_it_says(plan: bytes, end: str) -> None:
    simulation = serves(plan)
    is_told_once_and_tried_again(simulation, simulation.hosting, end, "ValidationException: Unexp")


@pytest.mark.parametrize(
    "error", ["ValidationException: Unexpected", "was to end"], ids=["validation", "conflict"]
)
@pytest.mark.parametrize(("to", "end"), ON_BEDROCK.values(), ids=ON_BEDROCK)
def test_so_it_is_on_bedrock(to: bytes, end: str, error: str) -> None:
    simulation = serves(b"deploy: {to: " + to + b"}")
    is_told_once_and_tried_again(simulation, simulation.bedrock, end, error)


@pytest.mark.parametrize("runtime", ["training-job", "serverless", "bedrock"])
def test_a_refusal_to_stop_a_job_is_told_whatever_it_says(runtime: str) -> None:
    simulation = Simulation(fate=lambda _: "hangs")
    spec = SPEC + f"runtime: {runtime}\nplan: [sft]\n".encode()
    simulation.submit("demo", spec, sft_rows=200)
    on_bedrock = runtime == "bedrock"
    twin: Any = simulation.bedrock if on_bedrock else simulation.jobs
    assert simulation.run(lambda: bool(twin.running))
    stop = "stop_model_customization_job" if on_bedrock else "stop_training_job"
    setattr(twin, stop, refuses(NOBODY_KNOWS))
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(minutes=4))
    assert told_of(simulation) == [], "it may pass by itself"
    simulation.passes(timedelta(minutes=30))
    (told,) = told_of(simulation)
    assert "ValidationException: Unexpected state 42" in told
    delattr(twin, stop)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


def test_an_end_that_is_accepted_and_never_comes_is_told() -> None:
    simulation = Simulation(fate=lambda _: "hangs")
    simulation.submit("demo", SPEC + b"plan: [sft]\n", sft_rows=200)
    assert simulation.run(lambda: bool(simulation.jobs.running))
    simulation.jobs.stop_training_job = lambda **_: None  # type: ignore[method-assign]
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(minutes=100))
    assert told_of(simulation) == []
    simulation.passes(timedelta(days=1))
    (told,) = told_of(simulation)
    assert "it is still Training" in told
    del simulation.jobs.stop_training_job
    assert simulation.reaches("demo", Status.STOPPED)


def test_what_is_being_created_is_waited_for_in_silence() -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"plan: [sft, deploy]\n", sft_rows=200)
    assert simulation.run(lambda: bool(simulation.hosting.endpoints))
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    assert told_of(simulation) == []


def test_a_cleanup_that_can_not_delete_is_told_once() -> None:
    simulation = serves(b"deploy")
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.hosting.create_model(
        ModelName="novaloop-left", Tags=[{"Key": "novaloop:experiment", "Value": "demo"}]
    )
    simulation.hosting.delete_model = refuses(NOBODY_KNOWS)  # type: ignore[method-assign]
    simulation.command("demo", CommandKind.CLEANUP)
    simulation.passes(timedelta(days=1))
    (told,) = told_of(simulation)
    assert "novaloop-left: ValidationException: Unexpected" in told
    del simulation.hosting.delete_model
    assert simulation.run(lambda: simulation.record("demo").cleanup is None)
    assert len(told_of(simulation)) == 1
