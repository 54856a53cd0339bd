"""A dry run checks everything, writes what it would launch, and launches nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from novaloop.experiment.record import CommandKind, Status
from tests.simulation.faults import Calls, Scenario, at_any_call
from tests.simulation.simulation import ROUGH, SPEC, Simulation, crash
from tests.simulation.twins import questions_csv

DRY = SPEC + b"dry_run: true\n"
KEY = "reports/demo/plan.json"


def submitted(**options: object) -> Simulation:
    simulation = Simulation(**options)  # type: ignore[arg-type]
    simulation.submit("demo", DRY)
    return simulation


def dry_run(**options: object) -> Simulation:
    simulation = submitted(**options)
    assert simulation.settles("demo") is Status.COMPLETED
    return simulation


def test_it_ends_with_a_plan_and_nothing_launched() -> None:
    simulation = dry_run()
    record = simulation.record("demo")
    assert record.reason.startswith("dry run: 6 stages for about ")
    assert KEY in record.reason
    assert (simulation.jobs.launches, simulation.hosting.launches) == ([], [])
    assert [subject for subject, _ in simulation.notifier.messages] == [
        "Novaloop: demo is COMPLETED"
    ]
    ((_, message),) = simulation.notifier.messages
    assert f"What it would launch: s3://bucket/{KEY}" in message
    assert "novaloop report" not in message


def test_the_plan_equals_what_a_run_then_sends() -> None:
    """But for the checkpoints, which only the service can name."""
    simulation = dry_run()
    plan = json.loads(simulation.objects.get(KEY).read())
    run = Simulation()
    run.submit("demo")
    assert run.settles("demo") is Status.LIVE
    planned = [
        stage["requests"][0]["parameters"]
        for stage in plan["stages"]
        if stage["requests"][0]["operation"] == "CreateTrainingJob"
    ]
    sent = [dict(job.request) for job in run.jobs.jobs.values()]
    assert list(map(without_checkpoint, planned)) == list(map(without_checkpoint, sent))
    for stage in plan["stages"][:1]:
        (recipe,) = stage["uploads"]
        key = recipe["uri"].removeprefix("s3://bucket/")
        assert run.objects.get(key).read().decode() == recipe["text"]


def without_checkpoint(request: dict[str, object]) -> dict[str, object]:
    parameters = dict(request["HyperParameters"])  # type: ignore[call-overload]
    parameters.pop("base_model_location", None)
    return {**request, "HyperParameters": parameters}


def test_a_retry_does_not_make_it_real() -> None:
    simulation = dry_run()
    simulation.command("demo", CommandKind.RETRY)
    simulation.passes(timedelta(days=10))
    assert simulation.record("demo").status is Status.COMPLETED
    assert simulation.jobs.launches == []


def test_what_can_not_be_launched_fails_with_the_reason() -> None:
    simulation = Simulation()
    stack_config = simulation.world.stack_config
    deployment = replace(stack_config.deployment, reward_function_arn="not an ARN")
    simulation.world = replace(
        simulation.world, stack_config=replace(stack_config, deployment=deployment)
    )
    simulation.submit("demo", DRY)
    assert simulation.settles("demo") is Status.FAILED
    assert "dry run: reward_function_arn" in simulation.record("demo").reason


def test_data_that_is_refused_is_refused_in_a_dry_run_too() -> None:
    simulation = Simulation()
    simulation.submit("demo", DRY)
    simulation.upload("demo", "rft.csv", b"Body,Y\nonly one,neither label\n")
    assert simulation.settles("demo") is Status.REJECTED


@at_any_call
def test_a_crash_at_any_call_heals(calls: Calls) -> None:
    scenario = Scenario(submitted, lambda simulation: simulation.is_in("demo", Status.COMPLETED))
    for call, simulation in scenario.struck(crash, calls):
        assert simulation.settles("demo") is Status.COMPLETED, call
        assert simulation.objects.newest(KEY), call
        assert simulation.jobs.launches == []


@pytest.mark.parametrize("seed", range(5))
def test_rough_weather(seed: int) -> None:
    assert dry_run(seed=seed, chaos=ROUGH).jobs.launches == []


@pytest.mark.parametrize("ends", ["dry run", "stopped"])
def test_what_is_uploaded_after_an_end_without_a_start_is_told(ends: str) -> None:
    simulation = Simulation()
    dry = b"dry_run: true\n" if ends == "dry run" else b""
    simulation.upload("demo", "experiment.yaml", SPEC + b"plan: [sft]\n" + dry)
    if dry:
        simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    simulation.passes(timedelta(minutes=10))
    if not dry:
        simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(minutes=5))
    assert simulation.record("demo").status.is_final
    assert simulation.record("demo").unused_uploads == ""
    simulation.upload("demo", "sft.csv", questions_csv(80, 1))
    simulation.passes(timedelta(minutes=5))
    told = simulation.record("demo").unused_uploads
    assert told.startswith("sft.csv version ")
    assert "came after the experiment was over; submit under a new experiment name" in told
    assert [line.why for line in simulation.store.history("demo")][-1] == told
