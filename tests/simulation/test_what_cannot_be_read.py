"""A look that fails is an observation: it is told once, and keeps nobody from ending anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Never

import pytest

from novaloop.experiment.record import CommandKind, Obstacle, StageState, Status
from tests.simulation.simulation import SPEC, Crash, Simulation
from tests.simulation.test_absence import ENDPOINT, JOB, looked_at, runs
from tests.simulation.twin_account import TwinAccount
from tests.simulation.twin_service import refusal

SHORT = SPEC + b"plan: [sft, deploy]\n"
ERRORS = (
    refusal("AccessDenied", "not authorized, says a row of text"),
    refusal("KMSAccessDeniedException", "the key is disabled"),
    MemoryError(),
    OSError("the connection was reset"),
)


def submitted(spec: bytes = SHORT, **settings: Any) -> Simulation:
    simulation = Simulation(**settings)
    simulation.unseen = True
    simulation.submit("demo", spec, sft_rows=200)
    return simulation


@contextmanager
def failing(twin: object, *methods: str, error: BaseException = ERRORS[0]) -> Iterator[None]:
    """Let every call of these raise an error; of an object, only of a job's archive."""
    before = {method: getattr(twin, method) for method in methods}

    def fail(*names: str, **named: object) -> Any:
        if "get" in before and not names[0].endswith("output.tar.gz"):
            return before["get"](*names, **named)
        raise error

    for method in methods:
        setattr(twin, method, fail)
    yield
    for method, call in before.items():
        setattr(twin, method, call)


def state_is(simulation: Simulation, stage: str, state: StageState) -> bool:
    record = simulation.store.load("demo").record
    return record is not None and any(s.name == stage and s.state is state for s in record.stages)


def told(simulation: Simulation, what: str) -> list[str]:
    return [text for _, text in simulation.notifier.messages if what in text]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_output_that_can_not_be_read_fails_its_stage_in_a_day(error: Exception) -> None:
    simulation = submitted()
    assert simulation.run(partial(runs, simulation, "sft"))
    with failing(simulation.objects, "get", error=error):
        assert simulation.run(partial(state_is, simulation, "sft", StageState.SCORING))
        simulation.passes(timedelta(hours=20))
        assert simulation.record("demo").status is Status.RUNNING
        assert simulation.reaches("demo", Status.FAILED)
    ended = simulation.record("demo").stage("sft").attempt.ended_at
    assert ended is not None
    assert simulation.clock.now() - ended < timedelta(hours=6)
    assert "can't be read" in simulation.record("demo").reason
    assert len(told(simulation, "it is tried again")) == 1
    assert not told(simulation, "a row of text")
    assert simulation.dead_letters == []
    assert simulation.hints_delivered < 24 * 4 * 3


@contextmanager
def deadly(simulation: Simulation, what: str) -> Iterator[None]:
    """Let what reads a log, or what a job left, end the function, which raises nothing there."""
    if what == "log":
        with failing(simulation.logs, "read", error=Crash()):
            yield
    else:
        with failing(simulation.objects, "get", error=Crash()):
            yield


def reached(what: str) -> Simulation:
    """Come to where a log is read, or what a job left is to be."""
    simulation = submitted(fate=lambda _: "hangs") if what == "log" else submitted()
    assert simulation.run(partial(runs, simulation, "sft"))
    return simulation


@pytest.mark.parametrize("what", ["log", "output"])
def test_a_look_that_ends_its_function_keeps_nobody_from_stopping(what: str) -> None:
    simulation = reached(what)
    with deadly(simulation, what):
        simulation.passes(timedelta(hours=8))
        assert simulation.record("demo").status is Status.RUNNING
        simulation.command("demo", CommandKind.STOP)
        simulation.passes(timedelta(hours=1))
        assert simulation.record("demo").status is Status.STOPPED
        assert not simulation.jobs.running
    assert len(told(simulation, "earlier looks broke off")) == 1
    simulation.check("demo")


@pytest.mark.parametrize("what", ["log", "output"])
def test_a_look_that_ends_its_function_is_no_end_to_deadlines(what: str) -> None:
    simulation = reached(what)
    with deadly(simulation, what):
        assert simulation.reaches("demo", Status.FAILED)
    said = {"log": "overdue", "output": "earlier looks broke off"}[what]
    assert said in simulation.record("demo").reason
    assert len(told(simulation, "it is tried again")) == 1
    simulation.check("demo")


@pytest.mark.parametrize("what", ["log", "output"])
def test_what_ended_looks_is_read_once_it_no_longer_does(what: str) -> None:
    simulation = submitted()
    assert simulation.run(partial(runs, simulation, "sft"))
    with deadly(simulation, what):
        simulation.passes(timedelta(hours=2))
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").unreadable is None


def test_an_output_that_is_readable_again_is_used() -> None:
    simulation = submitted()
    assert simulation.run(partial(runs, simulation, "sft"))
    with failing(simulation.objects, "get"):
        assert simulation.run(partial(state_is, simulation, "sft", StageState.SCORING))
        simulation.passes(timedelta(hours=20))
        assert any("can't be read" in remark for remark in simulation.record("demo").remarks)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").unreadable is None


def test_a_score_that_never_comes_since_its_function_dies_fails_the_stage() -> None:
    simulation = submitted(SPEC + b"plan: [sft, evaluate: tuned]\n")
    simulation.request_score = lambda *_: None  # type: ignore[method-assign]
    assert simulation.settles("demo") is Status.FAILED
    assert "has not delivered a score" in simulation.record("demo").reason


@pytest.mark.parametrize("stage", ["sft", "deploy"])
def test_a_running_stage_that_can_not_be_seen_is_overdue_all_the_same(stage: str) -> None:
    simulation = submitted(fate=lambda _: "hangs") if stage == "sft" else submitted()
    assert simulation.run(partial(runs, simulation, stage))
    twin, method = {
        "sft": (simulation.jobs, "describe_training_job"),
        "deploy": (simulation.hosting, "describe_endpoint"),
    }[stage]
    with failing(twin, method):
        assert simulation.reaches("demo", Status.STOPPING)
        assert "overdue" in simulation.record("demo").reason
        assert len(told(simulation, "demo is RUNNING" if stage == "sft" else "DEPLOYING")) == 1
        simulation.passes(timedelta(hours=2))
        assert simulation.record("demo").status is Status.STOPPING
        if stage == "sft":
            assert simulation.jobs.jobs[JOB].stop_asked
        else:
            assert simulation.hosting.endpoints == {}, "it bills, though its end was possible"
        hints = simulation.hints_delivered
        simulation.passes(timedelta(hours=12))
        assert simulation.hints_delivered - hints < 3 * 12 * 4
        assert len(told(simulation, "demo is STOPPING")) == 1
    assert simulation.reaches("demo", Status.FAILED)
    simulation.check("demo")
    assert simulation.dead_letters == []


def test_a_launch_that_was_not_answered_and_can_not_be_seen_is_overdue() -> None:
    simulation = submitted()
    assert simulation.run(partial(runs, simulation, "sft"))
    create = simulation.hosting.create_endpoint

    def dies(**request: Any) -> Never:
        create(**request)
        raise Crash

    simulation.hosting.create_endpoint = dies  # type: ignore[method-assign]
    assert simulation.run(lambda: ENDPOINT in simulation.hosting.endpoints)
    begun, ends = simulation.clock.now(), simulation.scheduler.schedules[ENDPOINT]["StartDate"]
    with failing(simulation.hosting, "describe_endpoint"):
        assert simulation.reaches("demo", Status.STOPPING)
        assert "overdue" in simulation.record("demo").reason
        assert simulation.clock.now() - begun < timedelta(hours=3)
        assert simulation.scheduler.schedules[ENDPOINT]["StartDate"] == ends
        simulation.passes(timedelta(hours=1))
        assert simulation.hosting.endpoints == {}
    assert simulation.reaches("demo", Status.FAILED)
    simulation.check("demo")


def test_a_live_endpoint_that_can_not_be_seen_expires_in_time() -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    with failing(simulation.hosting, "describe_endpoint", "describe_model", "list_tags"):
        endpoint = simulation.record("demo").endpoint
        assert endpoint is not None
        assert endpoint.expires_at is not None
        assert simulation.run(lambda: ENDPOINT not in simulation.hosting.endpoints)
        assert simulation.clock.now() - endpoint.expires_at < timedelta(minutes=20)
        assert len(told(simulation, "demo is LIVE\n\ndeploy: its job")) == 1
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


def test_a_cleanup_that_can_not_look_is_told_and_goes_on() -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    with failing(TwinAccount, "get_resources"):
        simulation.command("demo", CommandKind.CLEANUP)
        simulation.passes(timedelta(hours=5))
        assert len(told(simulation, "what carries its tag can't be read")) == 1
        assert simulation.record("demo").cleanup is not None
    assert simulation.run(lambda: simulation.record("demo").cleanup is None)
    assert simulation.dead_letters == []


def test_a_queue_that_can_not_be_read_holds_nobody_up() -> None:
    simulation = submitted()
    with failing(simulation.store, "queue"):
        assert simulation.settles("demo") is Status.LIVE


def test_nothing_starts_on_what_could_not_be_looked_at() -> None:
    simulation = submitted(SPEC + b"plan: [sft, deploy: {endpoint: bot}]\n")
    with failing(simulation.hosting, "describe_endpoint"):
        simulation.passes(timedelta(hours=3))
        assert simulation.record("demo").status is Status.COLLECTING
        assert simulation.jobs.launches == []
        assert len(told(simulation, "the endpoint that it asks for can't be read")) == 1
        simulation.command("demo", CommandKind.STOP)
        assert simulation.reaches("demo", Status.STOPPED)


def test_a_defect_is_reported_and_keeps_nobody_from_stopping() -> None:
    simulation = submitted(fate=lambda _: "hangs")
    simulation.defects = []
    assert simulation.run(partial(runs, simulation, "sft"))
    with failing(simulation.jobs, "describe_training_job", error=KeyError("TrainingJobArn")):
        simulation.passes(timedelta(hours=1))
        assert simulation.defects
        assert len(told(simulation, "KeyError")) == 1
        simulation.command("demo", CommandKind.STOP)
        assert simulation.run(lambda: simulation.jobs.jobs[JOB].stop_asked)
    assert simulation.reaches("demo", Status.STOPPED)
    assert simulation.dead_letters == []


# ---------------------------------------------------------------------- launches
def test_a_launch_that_breaks_off_is_given_up_in_hours_and_leaves_nothing() -> None:
    simulation = submitted()
    create = simulation.jobs.create_training_job

    def times_out(**request: Any) -> Never:
        create(**request)
        raise OSError("read timed out")

    simulation.jobs.create_training_job = times_out  # type: ignore[method-assign]
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.jobs.launches == [JOB]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_launch_that_never_gets_off(stopped: bool) -> None:
    simulation = submitted()
    with failing(simulation.jobs, "create_training_job", error=OSError("read timed out")):
        assert simulation.run(partial(state_is, simulation, "sft", StageState.WAITING))
        assert simulation.record("demo").stage("sft").waits[-1].of is Obstacle.UNCLEAR
        begun = simulation.clock.now()
        if stopped:
            simulation.command("demo", CommandKind.STOP)
        assert simulation.reaches("demo", Status.STOPPED if stopped else Status.FAILED)
    assert simulation.clock.now() - begun < timedelta(hours=7)
    if not stopped:
        assert "broke off: OSError" in simulation.record("demo").reason
        assert len(told(simulation, "goes on waiting")) == 1


def refused(code: str, message: str) -> Callable[..., Never]:
    def refuse(**_: object) -> Never:
        raise refusal(code, message)

    return refuse


@pytest.mark.parametrize(
    ("code", "message", "hours"),
    [
        ("ValidationException", "Could not find model data: it does not exist.", 1),
        ("ThrottlingException", "Rate exceeded", 7),
    ],
)
def test_a_refusal_that_stays_fails_the_stage(code: str, message: str, hours: float) -> None:
    simulation = submitted()
    simulation.hosting.create_model = refused(code, message)  # type: ignore[method-assign]
    assert simulation.run(partial(state_is, simulation, "deploy", StageState.WAITING))
    begun = simulation.clock.now()
    assert simulation.settles("demo") is Status.FAILED
    assert simulation.clock.now() - begun < timedelta(hours=hours)
    assert message in simulation.record("demo").reason
    simulation.check("demo")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ResourceLimitExceeded", "the quota is used up"),
        ("ValidationException", "Unable to provision requested ML compute capacity."),
    ],
)
def test_capacity_is_waited_for_as_long_as_it_takes_and_told_once(code: str, message: str) -> None:
    simulation = submitted()
    create = simulation.jobs.create_training_job
    simulation.jobs.create_training_job = refused(code, message)  # type: ignore[method-assign]
    simulation.passes(timedelta(hours=1))
    assert not told(simulation, "goes on waiting")
    simulation.passes(timedelta(days=6))
    assert len(told(simulation, "goes on waiting")) == 1
    simulation.jobs.create_training_job = create  # type: ignore[method-assign]
    assert simulation.settles("demo") is Status.LIVE


def test_who_waits_behind_others_for_hours_is_told_once() -> None:
    simulation = submitted(SPEC + b"plan: [sft]\n")
    simulation.jobs.limit = 0
    simulation.passes(timedelta(minutes=5))
    simulation.submit("second", SPEC + b"plan: [sft]\n", sft_rows=200)
    simulation.passes(timedelta(days=2))
    assert len(told(simulation, "waits behind demo")) == 1


def test_a_job_that_is_lost_to_capacity_for_hours_is_told_once() -> None:
    simulation = submitted(fate=lambda name: "no capacity" if "sft" in name else "completes")
    simulation.passes(timedelta(days=1))
    assert simulation.record("demo").status is Status.RUNNING
    assert len(told(simulation, "goes on waiting")) == 1


def test_what_waits_for_a_quota_for_weeks_does_not_fill_its_history() -> None:
    simulation = submitted()
    simulation.jobs.limit = 0
    simulation.passes(timedelta(days=3))
    assert len(simulation.jobs.wanted) > 3 * 24
    assert len(simulation.store.history("demo")) < 20
    simulation.jobs.limit = 1
    assert simulation.settles("demo") is Status.LIVE
    lines = [entry.what for entry in simulation.store.history("demo")]
    assert lines.count("sft WAITING") == lines.count("sft RUNNING") == 1


def test_looks_with_one_between_them_that_failed_are_not_in_a_row() -> None:
    """An endpoint that shows, but whose tags can't be read, is no evidence that it is gone."""
    simulation = submitted(SPEC + b"plan: [sft, deploy: {endpoint: bot}]\n")
    assert simulation.settles("demo") is Status.LIVE
    with failing(simulation.hosting, "list_tags"):
        for _ in range(6):
            simulation.lag.stale = 1.0
            looked_at(simulation)
            assert simulation.record("demo").stage("deploy").attempt.suspicion is not None
            simulation.lag.stale = 0.0
            simulation.passes(timedelta(minutes=2))
    assert simulation.record("demo").status is Status.LIVE
    assert simulation.record("demo").stage("deploy").attempt.suspicion is None


@pytest.mark.parametrize("errors", [ERRORS[:1], ERRORS], ids=["one error", "each time another"])
def test_what_is_readable_by_turns_is_told_once_and_its_recovery_once(
    errors: tuple[Exception, ...],
) -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    for turn in range(5):
        with failing(simulation.hosting, "describe_endpoint", error=errors[turn % len(errors)]):
            simulation.passes(timedelta(hours=1.3))
            assert simulation.record("demo").unreadable is not None
        simulation.passes(timedelta(hours=1.3))
        assert simulation.record("demo").unreadable is None
    assert len(told(simulation, "it is tried again")) == 1
    assert len(told(simulation, "demo is LIVE")) == 2
    assert len(simulation.record("demo").troubles) == 1
    simulation.passes(timedelta(hours=8))
    assert len(told(simulation, "demo is LIVE")) == 3
    assert "can't be read" not in told(simulation, "demo is LIVE")[-1]
    assert simulation.record("demo").troubles == ()


def test_a_trouble_that_was_told_does_not_hide_what_else_there_is_to_tell() -> None:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    with failing(simulation.hosting, "describe_endpoint"):
        simulation.passes(timedelta(hours=2))
        simulation.command("demo", CommandKind.KEEP, hours=30)
        simulation.passes(timedelta(minutes=1))
        kept = [line.why for line in simulation.store.history("demo")][-1]
        assert kept.startswith("kept until")
        assert "can't be read" in told(simulation, "demo is LIVE")[-1]
    simulation.passes(timedelta(hours=2))
    assert len(told(simulation, "demo is LIVE")) == 2
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(hours=1))
    assert len(told(simulation, "demo is STOPPED")) == 1
    assert "can't be read" not in told(simulation, "demo is STOPPED")[-1]
    simulation.passes(timedelta(hours=10))
    assert len(told(simulation, "demo is STOPPED")) == 1
    assert simulation.record("demo").due_at is None
