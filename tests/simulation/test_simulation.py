"""The controller under faults: no duplicate launch, nothing stuck, nothing left running."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import product

import pytest

from novaloop.experiment.record import CommandKind, StageState, Status
from tests.simulation.faults import (
    Calls,
    Scenario,
    at_any_call,
    leaves_nothing,
    second_controller,
)
from tests.simulation.simulation import ROUGH, SPEC, Chaos, Simulation, crash
from tests.simulation.twins import questions_csv

SPECS = {
    runtime: SPEC + f"runtime: {runtime}\n".encode() for runtime in ("training-job", "serverless")
}


@pytest.mark.parametrize("runtime", SPECS)
def test_default_plan_reaches_live_and_expires(runtime: str) -> None:
    simulation = Simulation()
    simulation.submit("demo", SPECS[runtime])
    assert simulation.settles("demo") is Status.LIVE
    record = simulation.record("demo")
    assert [stage.state for stage in record.stages] == [StageState.SUCCEEDED] * 6
    assert simulation.jobs.launches == [
        "novaloop-demo--0000-baseline-1",
        "novaloop-demo--0000-sft-1",
        "novaloop-demo--0000-after-sft-1",
        "novaloop-demo--0000-rft-1",
        "novaloop-demo--0000-after-rft-1",
    ]
    measured = {each.name: each.metrics["exact_match"].value for each in record.stages[:5:2]}
    assert measured["after-sft"] > measured["baseline"]
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")
    assert [subject for subject, _ in simulation.notifier.messages] == [
        "Novaloop: demo is LIVE",
        "Novaloop: demo is EXPIRED",
    ]


def _submitted(spec: bytes) -> Simulation:
    simulation = Simulation()
    simulation.submit("demo", spec)
    return simulation


def _is_live(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.LIVE)


SHORT_PLAN = b"plan: [sft, {evaluate: tuned}, {rft: {overrides: {save_steps: 5}}}, deploy]\n"
SCENARIOS = {
    "training-job": Scenario(partial(_submitted, SPECS["training-job"]), _is_live),
    "serverless": Scenario(partial(_submitted, SPECS["serverless"] + SHORT_PLAN), _is_live),
}
"""What is tried at every call: the default plan, and all that serverless does differently."""
LAUNCHES = {"training-job": 5, "serverless": 3}


@pytest.mark.parametrize("runtime", SCENARIOS)
def test_every_adapter_is_called(runtime: str) -> None:
    """Proves that the faults below strike everywhere."""
    ports = {call.partition(".")[0] for call in SCENARIOS[runtime].calls()}
    assert ports == {
        *("store", "jobs", "logs", "sagemaker", "runtime", "objects"),
        *("scorer", "ingester", "hints", "notifier", "scheduler"),
    }


@at_any_call
@pytest.mark.parametrize("runtime", SCENARIOS)
def test_a_crash_at_any_call_heals(runtime: str, calls: Calls) -> None:
    for call, simulation in SCENARIOS[runtime].struck(crash, calls):
        assert simulation.settles("demo") is Status.LIVE, call
        assert len(simulation.jobs.launches) == LAUNCHES[runtime], call
        simulation.check("demo")


@at_any_call
@pytest.mark.parametrize("runtime", SCENARIOS)
def test_a_second_controller_at_any_call_changes_nothing(runtime: str, calls: Calls) -> None:
    """The first one is held up at the call, a second one runs to its end, the first goes on."""
    for call, simulation in SCENARIOS[runtime].struck(second_controller, calls):
        assert simulation.settles("demo") is Status.LIVE, call
        assert len(simulation.jobs.launches) == LAUNCHES[runtime], call
        simulation.check("demo")


@at_any_call
@pytest.mark.parametrize("runtime", SCENARIOS)
def test_a_stop_at_any_call_leaves_nothing(runtime: str, calls: Calls) -> None:
    """A controller is held up at the call, a person stops the experiment, it goes on."""
    leaves_nothing(SCENARIOS[runtime], calls)


@pytest.mark.parametrize(
    ("runtime", "seed"),
    [("training-job", seed) for seed in range(30)] + [("serverless", seed) for seed in range(10)],
)
def test_rough_weather(runtime: str, seed: int) -> None:
    simulation = Simulation(seed, ROUGH)
    simulation.submit("demo", SPECS[runtime])
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


def test_the_sweep_alone_finishes() -> None:
    simulation = Simulation(chaos=Chaos(lost=1.0))
    simulation.submit("demo")
    assert simulation.settles("demo") is Status.LIVE


def test_without_events_and_sweep_it_sticks() -> None:
    """Proves that the simulation can see what the sweep is for."""
    simulation = Simulation(chaos=Chaos(lost=1.0, sweeps=False))
    simulation.submit("demo")
    assert not simulation.run(lambda: simulation.store.load("demo").record is not None)


FATES = {
    "fails": Status.FAILED,
    "stopped outside": Status.FAILED,
    "no manifest": Status.FAILED,
    "bad archive": Status.FAILED,
    "invalid": Status.FAILED,
    "hangs": Status.FAILED,
    "quota": Status.LIVE,
    "throttled": Status.LIVE,
}
NO_ARCHIVE = {("serverless", stage, "bad archive") for stage in ("sft", "rft")}
"""A serverless training leaves a model package."""


@pytest.mark.parametrize(
    ("runtime", "stage", "fate"),
    sorted({*product(SPECS, ("baseline", "sft", "rft"), FATES)} - NO_ARCHIVE),
)
def test_what_becomes_of_a_job(runtime: str, stage: str, fate: str) -> None:
    ends = FATES[fate]
    name = f"novaloop-demo--0000-{stage}-1"
    simulation = Simulation(fate=lambda job: fate if job == name else "completes")
    simulation.submit("demo", SPECS[runtime])
    assert simulation.settles("demo") is ends
    simulation.check("demo")
    record = simulation.record("demo")
    assert record.stage(stage).attempt.number == 1
    if ends is Status.FAILED:
        assert stage in record.reason
        assert record.stage(stage).state is StageState.FAILED


@pytest.mark.parametrize("fate", ["no capacity", "service fault"])
def test_lost_work_is_tried_again_under_a_new_name(fate: str) -> None:
    lost = {f"novaloop-demo--0000-sft-{attempt}" for attempt in (1, 2)}
    simulation = Simulation(fate=lambda job: fate if job in lost else "completes")
    simulation.submit("demo")
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").stage("sft").attempt.number == 3
    simulation.check("demo")


def test_rows_that_are_joined_for_a_job_are_there_once_however_often_it_is_launched() -> None:
    lost = {f"novaloop-demo--0000-rft-{attempt}" for attempt in range(1, 6)}
    simulation = Simulation(fate=lambda job: "no capacity" if job in lost else "completes")
    simulation.submit("demo")
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").stage("rft").attempt.number == 6
    keys = simulation.objects.keys()
    (joined,) = [key for key in keys if "/data/" in key]
    assert len(simulation.objects.versions(joined)) == 1


def test_service_faults_without_end_fail_the_stage() -> None:
    simulation = Simulation(fate=lambda job: "service fault" if "sft" in job else "completes")
    simulation.submit("demo")
    assert simulation.settles("demo") is Status.FAILED
    simulation.check("demo")


@pytest.mark.parametrize(
    ("fate", "ends"),
    [
        ("fails", Status.FAILED),
        ("invalid", Status.FAILED),
        ("does not answer", Status.FAILED),
        ("answers late", Status.LIVE),
        ("quota", Status.LIVE),
    ],
)
def test_what_becomes_of_the_endpoint(fate: str, ends: Status) -> None:
    simulation = Simulation(fate=lambda name: fate if "deploy" in name else "completes")
    simulation.submit("demo")
    assert simulation.settles("demo") is ends
    simulation.check("demo")


@pytest.mark.parametrize("minutes", range(0, 360, 9))
def test_stop_at_any_time_leaves_nothing(minutes: int) -> None:
    simulation = Simulation(seed=minutes, chaos=ROUGH)
    simulation.submit("demo")
    simulation.later(
        timedelta(minutes=minutes), lambda: simulation.command("demo", CommandKind.STOP)
    )
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.passes(timedelta(days=1))
    simulation.check("demo")


@pytest.mark.parametrize("runtime", SPECS)
def test_retry_goes_on_from_the_failed_stage(runtime: str) -> None:
    simulation = Simulation(
        fate=lambda job: "fails" if job.endswith("-0000-rft-1") else "completes"
    )
    simulation.submit("demo", SPECS[runtime])
    assert simulation.settles("demo") is Status.FAILED
    simulation.command("demo", CommandKind.RETRY)
    assert simulation.reaches("demo", Status.LIVE)
    record = simulation.record("demo")
    assert (record.stage("sft").attempt.number, record.stage("rft").attempt.number) == (1, 2)
    simulation.check("demo")


@pytest.mark.parametrize(
    ("kind", "ends"), [(CommandKind.APPROVE, Status.LIVE), (CommandKind.REJECT, Status.STOPPED)]
)
def test_manual_approval(kind: CommandKind, ends: Status) -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"approval: manual\n")
    assert simulation.settles("demo") is Status.AWAITING_APPROVAL
    assert not simulation.hosting.launches
    simulation.command("demo", kind)
    assert simulation.reaches("demo", ends)
    simulation.check("demo")


@pytest.mark.parametrize(
    ("gate", "ends"),
    [
        (b"gate: {at_least: 0.8, better_than: baseline}\n", Status.LIVE),
        (b"gate: {at_least: 0.9, better_than: after-sft}\n", Status.HELD),
        (b"gate: {better_than: after-sft, when_inconclusive: promote}\n", Status.LIVE),
    ],
)
def test_the_gate(gate: bytes, ends: Status) -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + gate)
    assert simulation.settles("demo") is ends
    assert simulation.record("demo").gate is not None


def test_a_rejected_dataset_launches_nothing_and_a_corrected_one_goes_on() -> None:
    simulation = Simulation()
    simulation.submit("demo")
    simulation.upload("demo", "eval.csv", b"Id,Body,Y\n1,a question,WRONG\n")
    assert simulation.settles("demo") is Status.REJECTED
    assert "eval.csv" in simulation.record("demo").reason
    assert not simulation.jobs.launches
    simulation.submit("demo")
    assert simulation.reaches("demo", Status.LIVE)


def test_settings_that_come_after_the_data_are_used() -> None:
    simulation = Simulation()
    simulation.submit("demo", b"columns: {question: Nothing}\n")
    assert simulation.settles("demo") is Status.REJECTED
    simulation.later(
        timedelta(minutes=1), lambda: simulation.upload("demo", "experiment.yaml", SPEC)
    )
    assert simulation.reaches("demo", Status.LIVE)


def test_a_late_upload_changes_nothing_and_is_said() -> None:
    simulation = Simulation()
    simulation.submit("demo")
    assert simulation.reaches("demo", Status.RUNNING)
    used = simulation.record("demo").datasets["sft"]
    simulation.upload("demo", "sft.csv", b"Id,Body,Y\n1,other,HQ\n")
    assert simulation.settles("demo") is Status.LIVE
    record = simulation.record("demo")
    assert record.datasets["sft"] == used
    assert "sft.csv" in record.unused_uploads


@pytest.mark.parametrize(
    ("checks", "ends", "rows"),
    [
        (b"", Status.REJECTED, 24),
        (b"checks: {shared-questions: drop}\n", Status.LIVE, 20),
        (b"checks: {shared-questions: warn}\n", Status.LIVE, 24),
    ],
)
def test_evaluation_questions_that_were_trained_on(checks: bytes, ends: Status, rows: int) -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + checks)
    shared = questions_csv(4, 0) + questions_csv(20, 2).partition(b"\n")[2]
    simulation.upload("demo", "eval.csv", shared)
    assert simulation.settles("demo") is ends
    assert simulation.store.load("demo").datasets["eval"].rows == rows
    if ends is Status.REJECTED:
        assert "4 rows of eval also stand in sft" in simulation.record("demo").reason
        assert not simulation.jobs.launches


def test_too_few_rows_for_the_batch_size_launch_nothing() -> None:
    simulation = Simulation()
    simulation.submit("demo")
    simulation.upload("demo", "sft.csv", questions_csv(40, 0))
    assert simulation.settles("demo") is Status.REJECTED
    assert "global_batch_size" in simulation.record("demo").reason


def test_one_file_with_a_split() -> None:
    simulation = Simulation()
    split = b"split: {sft: 70, rft: 20, eval: 24, seed: 3}\n"
    simulation.upload("demo", "experiment.yaml", SPEC + split)
    simulation.upload("demo", "data.csv", questions_csv(130, 5))
    assert simulation.settles("demo") is Status.LIVE
    datasets = simulation.store.load("demo").datasets
    assert {role: item.rows for role, item in datasets.items()} == {
        "sft": 70,
        "rft": 20,
        "eval": 24,
    }
