"""What seems gone or somebody else's is believed after several looks, and what is ours is ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from novaloop.experiment.record import CommandKind, StageState, Status, Suspect
from tests.simulation.faults import (
    Calls,
    Scenario,
    at_any_call,
    goes_live,
    leaves_nothing,
    second_controller,
    stop,
)
from tests.simulation.simulation import SPEC, Chaos, Crashes, Simulation, crash
from tests.simulation.twin_service import refusal

SHORT = SPEC + b"plan: [sft, deploy]\n"
JOB, ENDPOINT = "novaloop-demo--0000-sft-1", "novaloop-demo--0000-deploy-1"
LATE = Chaos(late_tags=1.0)


def submitted(spec: bytes = SHORT, **settings: Any) -> Simulation:
    simulation = Simulation(**settings)
    simulation.submit("demo", spec, sft_rows=200)
    return simulation


def is_live(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.LIVE)


def runs(simulation: Simulation, stage: str) -> bool:
    record = simulation.store.load("demo").record
    return record is not None and any(
        s.name == stage and s.state is StageState.RUNNING for s in record.stages
    )


def looked_at(simulation: Simulation) -> None:
    simulation.emit("demo")
    simulation.passes(timedelta(seconds=5))


# ---------------------------------------------------------------------- one look that finds nothing
@pytest.mark.parametrize("minutes", [1, 2, 4])
@pytest.mark.parametrize("stage", ["sft", "deploy"])
def test_looks_that_find_nothing_for_minutes_end_nothing(stage: str, minutes: int) -> None:
    simulation = submitted()
    assert simulation.run(partial(runs, simulation, stage))
    simulation.lag.stale = 1.0
    looked_at(simulation)
    simulation.passes(timedelta(minutes=minutes))
    suspicion = simulation.record("demo").stage(stage).attempt.suspicion
    assert suspicion is not None
    assert suspicion.of in {Suspect.ABSENT, Suspect.PARTIAL}
    simulation.lag.stale = 0.0
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").stage(stage).attempt.suspicion is None
    assert simulation.jobs.launches == [JOB]
    assert simulation.hosting.launches == [ENDPOINT]


def test_a_live_endpoint_that_does_not_show_for_minutes_stays_live() -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    simulation.lag.stale = 1.0
    looked_at(simulation)
    simulation.passes(timedelta(minutes=4))
    simulation.lag.stale = 0.0
    simulation.passes(timedelta(minutes=30))
    assert simulation.record("demo").status is Status.LIVE
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


def test_a_job_that_is_gone_fails_its_stage_after_three_looks_over_five_minutes() -> None:
    simulation = submitted()
    assert simulation.run(partial(runs, simulation, "sft"))
    del simulation.jobs.jobs[JOB]
    looked_at(simulation)
    gone_at = simulation.clock.now()
    assert simulation.settles("demo") is Status.FAILED
    assert timedelta(minutes=4) < simulation.clock.now() - gone_at < timedelta(minutes=12)
    assert "does not exist any more" in simulation.record("demo").reason
    assert f"training-job {JOB}" in simulation.jobs.denied, "nobody asked for its end"


def test_a_job_that_only_seemed_to_be_gone_is_stopped_before_the_experiment_rests() -> None:
    simulation = submitted()
    assert simulation.run(partial(runs, simulation, "sft"))
    simulation.lag.stale = 1.0
    looked_at(simulation)
    assert simulation.reaches("demo", Status.STOPPING)
    assert simulation.jobs.jobs[JOB].stop_asked
    simulation.passes(timedelta(minutes=2))
    assert simulation.record("demo").status is Status.STOPPING, "its end was accepted: it was there"
    simulation.lag.stale = 0.0
    assert simulation.reaches("demo", Status.FAILED)
    simulation.check("demo")


def test_an_endpoint_that_is_gone_ends_the_experiment_and_what_was_made_for_it() -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    del simulation.hosting.endpoints[ENDPOINT]
    looked_at(simulation)
    assert simulation.record("demo").status is Status.LIVE
    assert simulation.reaches("demo", Status.COMPLETED)
    assert "deleted from outside" in simulation.record("demo").reason
    simulation.check("demo")


def test_a_stop_does_not_believe_a_look_that_finds_nothing() -> None:
    simulation = submitted()
    assert simulation.run(partial(runs, simulation, "sft"))
    simulation.command("demo", CommandKind.STOP)
    simulation.lag.stale = 1.0
    simulation.passes(timedelta(minutes=3))
    assert simulation.record("demo").status is Status.STOPPING
    simulation.lag.stale = 0.0
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


def test_what_a_live_endpoint_is_made_of_stays_while_the_endpoint_does_not_show() -> None:
    """The twin asserts that nothing in use is deleted."""
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    describe = simulation.hosting.describe_endpoint

    def hidden(EndpointName: str) -> dict[str, Any]:  # noqa: N803
        raise refusal("ValidationException", f'Could not find endpoint "{EndpointName}".')

    simulation.hosting.describe_endpoint = hidden  # type: ignore[method-assign]
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(minutes=3))
    simulation.hosting.describe_endpoint = describe  # type: ignore[method-assign]
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


# ---------------------------------------------------------------------- tags that show late
SCENARIO = Scenario(partial(submitted, chaos=LATE), is_live, "jobs.create_training_job")
TRAINED = SPEC + b"runtime: bedrock\nplan: [sft, deploy: {to: bedrock-on-demand}]\n"


@at_any_call
def test_a_crash_at_any_call_heals_though_tags_show_late(calls: Calls) -> None:
    goes_live(SCENARIO, crash, calls)


@at_any_call
def test_a_stop_at_any_call_leaves_nothing_though_tags_show_late(calls: Calls) -> None:
    leaves_nothing(SCENARIO, calls)


def test_what_was_acknowledged_is_ours_whatever_tags_say(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = submitted()
    for twin in (simulation.jobs, simulation.hosting):
        monkeypatch.setattr(twin, "list_tags", lambda **_: {"Tags": []})
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").stage("sft").attempt.job_arn is not None


def test_a_deployment_waits_for_the_tag_of_its_model_to_show() -> None:
    """The right to deploy a model hangs on its tag, and a model that was just made shows none."""
    simulation = submitted(TRAINED, chaos=LATE)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.bedrock.denied
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


def test_a_launch_that_stays_denied_fails_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = submitted(TRAINED)

    def never(*_: str) -> None:
        raise refusal("AccessDeniedException", "no")

    monkeypatch.setattr(simulation.bedrock, "_require_active", never)
    assert simulation.settles("demo") is Status.FAILED
    assert "AccessDenied" in simulation.record("demo").reason


def test_somebody_elses_job_of_the_name_is_left_alone() -> None:
    simulation = submitted()
    assert simulation.reaches("demo", Status.COLLECTING)
    simulation.jobs.claimed = lambda _: True
    simulation.jobs.create_training_job(TrainingJobName=JOB, **FOREIGN)
    assert simulation.settles("demo") is Status.FAILED
    assert "somebody else's" in simulation.record("demo").reason
    assert not simulation.jobs.jobs[JOB].stop_asked


FOREIGN: dict[str, Any] = {
    "Tags": [],
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/theirs"},
    "AlgorithmSpecification": {"TrainingImage": "theirs"},
    "HyperParameters": {},
}


# ---------------------------------------------------------------------- rights that hang on a tag
def test_a_refused_configuration_leaves_nothing_and_nobody_deletes_what_is_not_there() -> None:
    simulation = submitted(fate=lambda name: "config invalid" if name == ENDPOINT else "completes")
    assert simulation.settles("demo") is Status.FAILED
    assert "ValidationException" in simulation.record("demo").reason
    simulation.check("demo")
    assert simulation.hosting.denied == []
    assert simulation.dead_letters == []


def test_what_may_not_be_ended_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = submitted()
    simulation.submit("other", SHORT, sft_rows=200)
    assert simulation.settles("demo") is Status.LIVE
    permitted = simulation.hosting._permitted

    def denied(kind: str, name: str) -> Any:
        if name == ENDPOINT:
            raise refusal("AccessDeniedException", "no identity-based policy allows it")
        return permitted(kind, name)

    monkeypatch.setattr(simulation.hosting, "_permitted", denied)
    assert simulation.reaches("demo", Status.STOPPING)
    begun, hints = simulation.clock.now(), simulation.hints_delivered
    simulation.passes(timedelta(days=2))
    assert simulation.record("demo").status is Status.STOPPING
    told = [text for subject, text in simulation.notifier.messages if "demo is STOPPING" in subject]
    assert len(told) == 1
    assert "can't be ended, and may go on billing: AccessDeniedException" in told[0]
    assert simulation.hints_delivered - hints < 3 * 24 * 2 * 4, "it is tried too often"
    assert simulation.dead_letters == []
    assert simulation.record("other").status is Status.EXPIRED
    monkeypatch.undo()
    assert simulation.reaches("demo", Status.EXPIRED)
    assert simulation.clock.now() - begun < timedelta(days=2, minutes=40)
    simulation.check("demo")


@pytest.mark.parametrize("delete", ["sagemaker.delete_endpoint_config", "sagemaker.delete_model"])
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_deletion_that_was_cut_in_two_goes_on(delete: str, *, after_effect: bool) -> None:
    simulation = submitted(crashes=AtCalls({delete: crash}, after_effect=after_effect))
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")
    assert simulation.dead_letters == []


class AtCalls(Crashes):
    """Something happens at the first call of each of these names."""

    def __init__(
        self, faults: dict[str, Callable[[], object]], *, after_effect: bool = False
    ) -> None:
        super().__init__()
        self.faults, self.late = dict(faults), after_effect

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        fault = self.faults.pop(name, None) if name in self.faults else None
        if fault is not None and not self.late:
            fault()
        result = super().around(name, call)
        if fault is not None and self.late:
            fault()
        return result


# ---------------------------------------------------------------------- launches that take long
def test_a_launch_that_is_repeated_later_is_a_claim_of_its_own() -> None:
    """A crash, its redelivery 12 minutes later, and a stop while the launch is repeated.

    Where a stack looks every second, only the lease keeps the stop from resting meanwhile.
    """
    crashes = AtCalls({"jobs.create_training_job": crash})
    simulation = submitted(chaos=Chaos(sweeps=False), crashes=crashes)
    for name in ("world", "undisturbed"):
        world = getattr(simulation, name)
        often = replace(world.policy, lag=timedelta(seconds=5), look_every=timedelta(seconds=1))
        setattr(simulation, name, replace(world, policy=often))
    assert simulation.run(lambda: not crashes.faults)

    def stopped_meanwhile() -> None:
        stop(simulation)
        for _ in range(20):
            simulation.clock.time += timedelta(seconds=4)
            second_controller(simulation)
        assert simulation.record("demo").status is Status.STOPPING

    crashes.faults["jobs.create_training_job"] = stopped_meanwhile
    simulation.jobs.claimed = lambda _: True
    assert simulation.run(lambda: not crashes.faults)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.passes(timedelta(hours=6))
    assert simulation.jobs.launches == [JOB]
    simulation.check("demo")


def test_what_is_made_after_the_experiment_rests_is_ended() -> None:
    """A controller that is held up for longer than any lease learns that what it made is ours."""
    crashes = AtCalls({})
    simulation = submitted(crashes=crashes)

    def rests_meanwhile() -> None:
        stop(simulation)
        simulation.clock.time += timedelta(minutes=30)
        for _ in range(8):
            simulation.clock.time += timedelta(minutes=1)
            second_controller(simulation)
        assert simulation.record("demo").status is Status.STOPPED

    crashes.faults["jobs.create_training_job"] = rests_meanwhile
    simulation.jobs.claimed = lambda _: True
    assert simulation.run(lambda: bool(simulation.jobs.launches))
    assert simulation.run(lambda: simulation.jobs.jobs[JOB].stop_asked)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


@pytest.mark.parametrize("seed", range(4))
def test_what_came_before_a_refused_endpoint_is_deleted_though_its_tags_show_late(
    seed: int,
) -> None:
    simulation = Simulation(
        seed=seed,
        chaos=Chaos(late_tags=1.0),
        fate=lambda name: "invalid" if "deploy" in name else "completes",
    )
    simulation.submit("demo", SPEC + b"plan: [sft, deploy]\n")
    assert simulation.settles("demo") is Status.FAILED
    simulation.passes(timedelta(minutes=10))
    assert simulation.hosting.left("demo") == []


def test_a_stopped_job_that_can_not_be_seen_is_asked_to_stop_before_the_experiment_rests() -> None:
    simulation = submitted()
    assert simulation.run(lambda: JOB in simulation.jobs.running)
    simulation.passes(timedelta(minutes=5))
    simulation.lag.stale = 1.0
    stop(simulation)
    assert simulation.reaches("demo", Status.STOPPED)
    assert simulation.jobs.jobs[JOB].stop_asked
