"""Cleanup by tag: whatever a crash left is found, deleted in order, and confirmed to be gone."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from novaloop.experiment.record import CommandKind, Status
from novaloop.experiment.stack import EXPERIMENT_TAG, STACK_TAG
from novaloop.usecases.reconcile import reconcile
from tests.simulation.faults import Calls, Scenario, at_any_call, second_controller
from tests.simulation.simulation import SPEC, Call, Chaos, Crash, Simulation, crash
from tests.simulation.test_what_cannot_be_read import failing
from tests.simulation.twin_account import TwinAccount
from tests.simulation.twin_sagemaker import STACK, TwinSageMaker
from tests.simulation.twin_training import SimulatedJob
from tests.simulation.twins import questions_csv

PLAN = SPEC + b"plan: [sft, deploy: {inference_component: true}]\n"
ORPHAN = "novaloop-demo--0000-deploy-7"
TAGS = [{"Key": EXPERIMENT_TAG, "Value": "demo"}]


def leave(hosting: TwinSageMaker, name: str = ORPHAN) -> None:
    """Make what a process outside, or a lost record, may leave."""
    hosting.is_bounded = lambda _: True
    hosting.create_model(ModelName=name, Tags=TAGS)
    hosting.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[], Tags=TAGS)
    hosting.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=TAGS)


def failed() -> Simulation:
    simulation = Simulation(fate=lambda name: "fails" if "sft" in name else "completes")
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.FAILED
    leave(simulation.hosting)
    simulation.passes(timedelta(hours=1))
    hosting = simulation.hosting
    hosting.create_inference_component(
        InferenceComponentName=ORPHAN, EndpointName=ORPHAN, Tags=TAGS
    )
    simulation.passes(timedelta(hours=1))
    return simulation


def is_clean(simulation: Simulation) -> bool:
    record = simulation.record("demo")
    return (
        simulation.store.load("demo").commands == ()
        and record.status.is_final
        and record.cleanup is None
    )


def ask(simulation: Simulation) -> Simulation:
    simulation.command("demo", CommandKind.CLEANUP)
    simulation.emit("demo")
    return simulation


def cleaned(simulation: Simulation) -> bool:
    ask(simulation)
    return simulation.run(partial(is_clean, simulation))


def lines(simulation: Simulation) -> list[str]:
    return [e.why for e in simulation.store.history("demo") if e.what == "cleanup"]


def test_leftovers_of_an_experiment_that_is_over_are_deleted_in_order() -> None:
    simulation = failed()
    ended_at = simulation.record("demo").ended_at
    assert cleaned(simulation)
    assert simulation.hosting.left() == []
    assert lines(simulation) == [
        deleting("inference-component", "endpoint", "endpoint-config", "model"),
        "nothing is left",
    ]
    record = simulation.record("demo")
    assert (record.status, record.ended_at) == (Status.FAILED, ended_at)


def test_each_of_many_things_that_are_deleted_is_named_once() -> None:
    """They are more than a record's text holds: what is cut must not look new at every look."""
    simulation = failed()
    orphans = [f"{ORPHAN[:-1]}{number}" for number in range(10, 40)]
    for orphan in orphans:
        leave(simulation.hosting, orphan)
    assert cleaned(simulation)
    assert simulation.hosting.left() == []
    told = Counter(", ".join(lines(simulation)[:-1]).replace("deleting ", "").split(", "))
    whole = {name: times for name, times in told.items() if not name.endswith("...")}
    assert len(whole) > len(orphans)
    assert set(whole.values()) == {1}


def deleting(*kinds: str) -> str:
    return "deleting " + ", ".join(f"sagemaker:{kind} {ORPHAN}" for kind in kinds)


def test_a_second_cleanup_finds_nothing() -> None:
    simulation = failed()
    assert cleaned(simulation)
    assert cleaned(simulation)
    assert lines(simulation)[-2:] == ["nothing is left", "nothing is left"]


SCENARIO = Scenario(lambda: ask(failed()), is_clean)


@at_any_call
def test_a_crash_at_any_call_heals(calls: Calls) -> None:
    for call, simulation in SCENARIO.struck(crash, calls):
        assert is_clean(simulation) or simulation.run(partial(is_clean, simulation)), call
        assert simulation.hosting.left() == [], call


def retry(simulation: Simulation) -> None:
    simulation.command("demo", CommandKind.RETRY)
    second_controller(simulation)


def is_answered(simulation: Simulation) -> bool:
    ignored = any("which holds" in entry.why for entry in simulation.store.history("demo"))
    return ignored or len(simulation.jobs.launches) > 1


@at_any_call
def test_what_a_retry_launches_meanwhile_is_not_deleted(calls: Calls) -> None:
    """One that comes with the cleanup, before anybody looks, launches nothing."""
    for call, simulation in SCENARIO.struck(retry, calls):
        assert simulation.run(partial(is_answered, simulation)), call
        simulation.passes(timedelta(minutes=10))
        for launch in simulation.jobs.launches[1:]:
            assert launch == "novaloop-demo--0000-sft-2", call
            assert not simulation.jobs.jobs[launch].stop_asked, call


def test_cleanup_of_a_live_experiment_takes_all_attempts() -> None:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.LIVE
    leave(simulation.hosting)
    assert cleaned(simulation)
    assert simulation.record("demo").status is Status.COMPLETED
    assert simulation.hosting.left() == []
    assert lines(simulation)[-1] == "nothing is left"
    assert "novaloop-demo--0000-deploy-1" in lines(simulation)[0]


def test_an_endpoint_that_serves_another_experiment_is_not_deleted() -> None:
    """Its tag is that of the former experiment until the new one holds it."""
    simulation = failed()
    hosting = simulation.hosting
    hosting.create_endpoint_config(
        EndpointConfigName="novaloop-other--0000-deploy-1", ProductionVariants=[], Tags=[]
    )
    endpoint = hosting.endpoints.pop(ORPHAN)
    endpoint.described |= {
        "EndpointName": "novaloop-bot",
        "EndpointArn": endpoint.described["EndpointArn"].replace(ORPHAN, "novaloop-bot"),
        "EndpointConfigName": "novaloop-other--0000-deploy-1",
    }
    hosting.endpoints["novaloop-bot"] = endpoint
    del hosting.components[ORPHAN]
    assert cleaned(simulation)
    assert hosting.left("demo") == ["endpoint novaloop-bot"]


def test_what_another_stack_made_is_not_deleted() -> None:
    simulation = failed()
    leave(simulation.hosting, "second-demo--deploy-1")
    assert cleaned(simulation)
    assert {entry.rpartition(" ")[2] for entry in simulation.hosting.left()} == {
        "second-demo--deploy-1"
    }


def test_an_experiment_that_runs_must_be_stopped_first() -> None:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    assert simulation.reaches("demo", Status.RUNNING)
    simulation.command("demo", CommandKind.CLEANUP)
    reconcile("demo", simulation.undisturbed)
    assert any("stop it first" in entry.why for entry in simulation.store.history("demo"))
    assert simulation.settles("demo") is Status.LIVE


def test_what_the_index_does_not_name_for_minutes_is_found_all_the_same() -> None:
    simulation = failed()
    simulation.lag.stale = 1.0
    ask(simulation)
    simulation.passes(timedelta(minutes=4))
    assert simulation.record("demo").cleanup is not None, "nothing was found, and that was believed"
    simulation.lag.stale = 0.0
    assert simulation.run(partial(is_clean, simulation))
    assert simulation.hosting.left() == []


def test_what_has_just_been_made_is_found_though_its_tags_show_late() -> None:
    simulation = Simulation(
        chaos=Chaos(late_tags=1.0), fate=lambda name: "fails" if "sft" in name else "completes"
    )
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.FAILED
    leave(simulation.hosting)
    assert cleaned(simulation)
    assert simulation.hosting.left() == []


LOST = {
    "training-job": b"plan: [sft]\n",
    "serverless": b"runtime: serverless\nplan: [sft]\n",
    "bedrock": b"runtime: bedrock\nplan: [sft]\n",
    "component": b"plan: [sft, deploy: {inference_component: true}]\n",
    "on demand": b"plan: [sft, deploy: {to: bedrock-on-demand}]\n",
    "provisioned": b"plan: [sft, deploy: {to: bedrock-provisioned}]\n",
    "trained there": b"runtime: bedrock\nplan: [sft, deploy: {to: bedrock-on-demand}]\n",
}


@pytest.mark.parametrize("plan", LOST.values(), ids=LOST)
def test_what_a_lost_record_left_in_either_service_is_ended_when_the_name_is_used_again(
    plan: bytes,
) -> None:
    """The requests are the production code's, and so are the names that are searched for."""
    serves = b"deploy" in plan
    simulation = Simulation(fate=lambda _: "completes" if serves else "hangs")
    simulation.submit("demo", SPEC + plan, 240)
    twins = (simulation.jobs, simulation.bedrock)
    if serves:
        assert simulation.reaches("demo", Status.LIVE)
    else:
        assert simulation.run(lambda: any(twin.running for twin in twins))
    simulation.objects.clear()
    simulation.forget("demo")
    simulation.upload("demo", "experiment.yaml", SPEC + b"plan: [sft]\ndry_run: true\n")
    simulation.upload("demo", "sft.csv", questions_csv(240, 0))
    assert simulation.reaches("demo", Status.COMPLETED)
    assert cleaned(simulation)
    assert lines(simulation)[-1] == "nothing is left"
    assert not any(twin.running for twin in twins)
    assert simulation.hosting.left() + simulation.bedrock.left() == []


class Looks:
    """Counts the calls of each look; a look that sees what carries a tag dies if it is `slow`."""

    def __init__(self, simulation: Simulation) -> None:
        self.calls: Counter[int] = Counter()
        self.slow = False
        self.simulation = simulation
        simulation.interposed.append(self)

    def around(self, call: Call) -> Any:
        if self.simulation.hops is not None:
            self.calls[self.simulation.hints_delivered] += 1
            if self.slow and call.name.startswith("tagging."):
                raise Crash
        return call()


def live_with_a_history(jobs: int, *, of: str = STACK) -> Simulation:
    """Return one under whose name that many jobs have run: AWS keeps them, and their tags."""
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    assert simulation.reaches("demo", Status.LIVE)
    simulation.passes(timedelta(minutes=5))
    tags = [*TAGS, {"Key": STACK_TAG, "Value": of}]
    now = simulation.clock.now()
    for number in range(jobs):
        name = f"novaloop-demo--{number + 1:04x}-sft-1"
        job = SimulatedJob({"Tags": tags}, "completes", now, "Completed", now)
        simulation.jobs.jobs[name] = job
    return simulation


def test_a_cleanup_costs_what_is_there_and_not_what_ran_once() -> None:
    simulation = live_with_a_history(2_000)
    looks = Looks(simulation)
    assert cleaned(simulation)
    assert simulation.hosting.left() == []
    assert max(looks.calls.values()) < 60


def test_a_job_that_runs_for_nobody_is_stopped_by_a_cleanup() -> None:
    simulation = live_with_a_history(3)
    name = "novaloop-demo--0002-sft-1"
    job = simulation.jobs.jobs[name]
    job.status, job.ended_at = "InProgress", None
    assert cleaned(simulation)
    assert job.stop_asked
    assert job.status == "Stopped", "it is waited for"
    assert any(f"sagemaker:training-job {name}" in line for line in lines(simulation))


def test_a_job_that_another_stack_tagged_is_not_stopped() -> None:
    simulation = live_with_a_history(1, of="another")
    (job,) = (j for name, j in simulation.jobs.jobs.items() if "--0001-" in name)
    job.status, job.ended_at = "InProgress", None
    assert cleaned(simulation)
    assert not job.stop_asked


def test_looks_that_die_over_what_carries_the_tag_end_what_serves_all_the_same() -> None:
    simulation = live_with_a_history(0)
    Looks(simulation).slow = True
    ask(simulation)
    simulation.passes(timedelta(hours=3))
    assert not simulation.hosting.endpoints
    told = [message for _, message in simulation.notifier.messages]
    assert any("what carries its tag can't be read" in message for message in told)
    assert len(told) < 6


class DiesAfterTelling:
    """Ends each process that has told people something, at its next look at a service."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.told_in = simulation, -1
        simulation.interposed.append(self)

    def around(self, call: Call) -> Any:
        if call.name == "notifier.publish":
            self.told_in = self.simulation.hints_delivered
        elif self.told_in == self.simulation.hints_delivered and "." in call.name:
            service = call.name.partition(".")[0]
            if service in {"tagging", "sagemaker", "jobs"}:
                raise Crash
        return call()


@pytest.mark.parametrize("kind", [CommandKind.CLEANUP, CommandKind.STOP])
def test_a_look_that_dies_after_it_told_people_tells_them_once(kind: CommandKind) -> None:
    simulation = live_with_a_history(0)
    DiesAfterTelling(simulation)
    before = len(simulation.notifier.messages)
    simulation.command("demo", kind)
    simulation.emit("demo")
    simulation.passes(timedelta(days=1))
    assert len(simulation.notifier.messages) == before + 1
    assert simulation.record("demo").status.is_final
    assert is_clean(simulation)


@pytest.mark.parametrize("uid", [None, "4f1e0000-0000-4000-8000-000000000001"])
def test_what_is_left_of_a_name_without_a_record_is_cleaned_up_too(uid: str | None) -> None:
    """Its record was deleted, and its files with it: only tags tell what is left.

    With its `uid`, the command was given before.
    """
    simulation = Simulation()
    leave(simulation.hosting)
    simulation.passes(timedelta(hours=1))
    simulation.command("demo", CommandKind.CLEANUP, uid=uid)
    simulation.passes(timedelta(minutes=30))
    assert simulation.hosting.left() == []
    assert simulation.record("demo").status is Status.STOPPED
    assert "its record is gone" in simulation.record("demo").reason
    assert is_clean(simulation)
    assert lines(simulation)[-1] == "nothing is left"


def test_a_cleanup_of_nothing_is_let_go_of_and_makes_no_experiment() -> None:
    simulation = Simulation()
    simulation.command("demo", CommandKind.CLEANUP)
    simulation.passes(timedelta(minutes=30))
    assert simulation.store.load("demo").commands == ()
    assert simulation.store.load("demo").record is None
    assert simulation.notifier.messages == []


def test_a_cleanup_without_a_record_waits_while_nobody_can_look() -> None:
    simulation = Simulation()
    leave(simulation.hosting)
    simulation.passes(timedelta(hours=1))
    with failing(TwinAccount, "get_resources"):
        simulation.command("demo", CommandKind.CLEANUP)
        simulation.passes(timedelta(hours=1))
        assert len(simulation.store.load("demo").commands) == 1
    simulation.passes(timedelta(minutes=30))
    assert simulation.hosting.left() == []
