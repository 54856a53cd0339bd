"""What can't be decided, by a fault of the program or a value nobody expects, blocks nothing else.

Faults are put into the controller's functions here: whatever is at fault, stop, expiry and cleanup
go on, people are told once, and the fault is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Never

import pytest

from novaloop.experiment.controller import commands, decide, notifications, requeue, transitions
from novaloop.experiment.controller.commands import LONGEST_KEPT
from novaloop.experiment.controller.observation import ResourceStatus
from novaloop.experiment.record import CommandKind, Status
from novaloop.experiment.spec.stages import LONGEST_TTL_HOURS
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.test_cleanup import leave

PLAN = SPEC + b"plan: [sft, deploy]\n"
MOMENT = timedelta(minutes=2)


def poison(*_: object, **__: object) -> Never:
    raise OverflowError("date value out of range")


def submitted(plan: bytes = PLAN) -> Simulation:
    simulation = Simulation()
    simulation.defects = []
    simulation.submit("demo", plan)
    return simulation


def live(plan: bytes = PLAN) -> Simulation:
    simulation = submitted(plan)
    assert simulation.reaches("demo", Status.LIVE)
    simulation.passes(MOMENT)
    return simulation


def asked(simulation: Simulation, kind: CommandKind, **details: Any) -> str:
    """Give a command and return the line of history that says what became of it."""
    simulation.command("demo", kind, **details)
    simulation.emit("demo")
    simulation.passes(MOMENT)
    lines = [line for line in simulation.store.history("demo") if line.what.startswith(kind)]
    return lines[-1].why if lines else "no answer"


def test_nothing_can_be_kept_for_longer_than_a_year_ahead() -> None:
    simulation = live()
    for _ in range(6):
        asked(simulation, CommandKind.KEEP, hours=LONGEST_TTL_HOURS)
    why = asked(simulation, CommandKind.KEEP, hours=LONGEST_TTL_HOURS)
    assert why.startswith("ignored: nothing is kept beyond ")
    endpoint = simulation.record("demo").endpoint
    assert endpoint is not None
    assert endpoint.expires_at is not None
    assert endpoint.expires_at < simulation.clock.now() + LONGEST_KEPT
    assert simulation.defects == []


@pytest.mark.parametrize("hours", [1e100, 1e9, -1.0, 0.0, None])
def test_hours_that_nobody_can_mean_are_refused(hours: float | None) -> None:
    simulation = live()
    assert "keep needs a number of hours" in asked(simulation, CommandKind.KEEP, hours=hours)
    assert asked(simulation, CommandKind.STOP) == ""
    assert simulation.defects == []


def test_an_endpoint_that_is_kept_until_the_last_of_all_years_can_be_stopped() -> None:
    """As a release without the limit may have left it."""
    simulation = live()
    snapshot = simulation.store.load("demo")
    record = simulation.record("demo")
    assert record.endpoint is not None
    last = datetime.max.replace(tzinfo=UTC)
    ages = replace(record, endpoint=replace(record.endpoint, expires_at=last))
    simulation.store.snapshots["demo"] = replace(snapshot, record=ages)
    assert "nothing is kept beyond" in asked(simulation, CommandKind.KEEP, hours=1)
    asked(simulation, CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


@pytest.mark.parametrize("kind", [CommandKind.KEEP, CommandKind.APPROVE, CommandKind.RETRY])
def test_a_command_that_can_not_be_obeyed_blocks_no_other(
    kind: CommandKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = live()
    monkeypatch.setitem(commands._HANDLERS, kind, poison)
    why = asked(simulation, kind, hours=1)
    assert why == "ignored: Novaloop failed over it (OverflowError); its log says where"
    assert [type(fault) for fault in simulation.defects or ()] == [OverflowError]
    assert asked(simulation, CommandKind.STOP) == ""
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


def told(simulation: Simulation) -> list[str]:
    return [text for _, text in simulation.notifier.messages if "OverflowError" in text]


PARTS: dict[str, tuple[Any, str]] = {
    "suspicions": (decide, "watched"),
    "what is known of schedules": (decide, "acknowledged"),
    "schedules": (decide, "with_backstops"),
    "late uploads": (decide, "_notice_late_uploads"),
    "unread items": (decide, "_notice_unread"),
    "ends that do not come": (decide, "awaiting_ends"),
    "report": (decide, "with_report"),
    "warnings": (decide, "with_warnings"),
    "health": (decide, "_tell_health"),
    "troubles": (notifications, "present_troubles"),
    "next look": (requeue, "_due_at"),
}


def test_what_fails_ends_though_that_can_not_be_noted_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = live()
    monkeypatch.setattr(decide, "_notice_unread", poison)
    monkeypatch.setattr(decide, "unreadable", poison)
    asked(simulation, CommandKind.STOP)
    assert simulation.defects
    assert simulation.reaches("demo", Status.STOPPED)
    assert not simulation.dead_letters
    assert not simulation.hosting.endpoints


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("how", ["stop", "expiry", "cleanup"])
def test_whatever_fails_what_is_live_ends(
    part: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = live()
    monkeypatch.setattr(*PARTS[part], poison)
    simulation.passes(timedelta(hours=2))
    assert simulation.defects
    if how == "expiry":
        assert simulation.reaches("demo", Status.EXPIRED, Status.STOPPING)
        endpoint = simulation.record("demo").endpoint
        assert endpoint is not None
        assert endpoint.expires_at is not None
        assert simulation.clock.now() < endpoint.expires_at + timedelta(minutes=10)
        ends = Status.EXPIRED
    else:
        asked(simulation, CommandKind.STOP if how == "stop" else CommandKind.CLEANUP)
        ends = Status.STOPPED if how == "stop" else Status.COMPLETED
    if part == "suspicions":  # that what is gone is gone takes several looks, which it counts
        simulation.passes(timedelta(hours=1))
        assert not simulation.hosting.endpoints
        monkeypatch.undo()
    assert simulation.reaches("demo", ends)
    simulation.passes(timedelta(hours=1))
    assert not simulation.hosting.endpoints


def test_what_is_live_and_can_not_be_decided_on_expires_and_people_are_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = live()
    steps = {**decide._STEPS, Status.LIVE: poison}
    monkeypatch.setattr(decide, "_STEPS", steps)
    simulation.passes(timedelta(hours=8))
    assert simulation.is_in("demo", Status.LIVE)
    assert len(told(simulation)) == 1
    assert "what is to be done can't be decided: OverflowError" in told(simulation)[0]
    assert any("OverflowError" in remark for remark in simulation.record("demo").remarks)
    lines = len(simulation.store.history("demo"))
    assert simulation.reaches("demo", Status.EXPIRED)
    assert len(simulation.store.history("demo")) < lines + 5
    assert not simulation.dead_letters
    simulation.check("demo")


@pytest.mark.parametrize("how", ["stop", "deadline"])
@pytest.mark.parametrize("stage", ["sft", "deploy"])
def test_what_runs_and_can_not_be_decided_on_ends(
    how: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = submitted()
    assert simulation.run(lambda: is_running(simulation, stage))
    monkeypatch.setattr(decide, "move", poison)
    simulation.passes(timedelta(minutes=30))
    assert len(told(simulation)) == 1
    if how == "stop":
        asked(simulation, CommandKind.STOP)
        assert simulation.reaches("demo", Status.STOPPED)
    else:
        assert simulation.reaches("demo", Status.FAILED)
        assert "OverflowError" in simulation.record("demo").reason
    simulation.check("demo")


def is_running(simulation: Simulation, stage: str) -> bool:
    record = simulation.store.load("demo").record
    running = [each.name for each in record.stages if each.state == "RUNNING"] if record else []
    return running == [stage]


def test_an_end_that_can_not_be_decided_on_is_asked_for_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = live()
    monkeypatch.setattr(decide, "_end", poison)
    asked(simulation, CommandKind.STOP)
    simulation.passes(timedelta(hours=1))
    assert not simulation.hosting.endpoints
    assert len(told(simulation)) == 1
    monkeypatch.undo()
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


def test_a_cleanup_that_can_not_be_decided_on_deletes_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = live()
    asked(simulation, CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    leave(simulation.hosting)
    simulation.passes(timedelta(minutes=30))
    monkeypatch.setattr(decide, "_noted", poison)
    asked(simulation, CommandKind.CLEANUP)
    simulation.passes(timedelta(minutes=30))
    assert len(told(simulation)) == 1
    assert not simulation.hosting.left("demo")
    monkeypatch.undo()
    assert simulation.run(lambda: simulation.record("demo").cleanup is None)


TIMES = [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]


@pytest.mark.parametrize("time", [*TIMES, datetime(9999, 12, 31, tzinfo=UTC)])
def test_times_that_no_service_can_mean_count_as_not_told(time: datetime) -> None:
    resource = ResourceStatus(started_at=time, ended_at=time)
    assert (resource.started_at, resource.ended_at) == (None, None)


@pytest.mark.parametrize(("seconds", "counted"), [(10**400, 0), (-5, 0), (3600, 3600)])
def test_seconds_that_no_service_can_mean_count_as_not_told(seconds: int, counted: int) -> None:
    assert ResourceStatus(billable_seconds=seconds).billable_seconds == counted


Change = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("at", ["CreationTime", "TrainingStartTime", "TrainingEndTime"])
def test_a_job_with_impossible_times_runs_and_ends(
    at: str, time: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = submitted()
    describe = simulation.jobs.describe_training_job

    def changed(**asked: Any) -> dict[str, Any]:
        return {**describe(**asked), at: time, "BillableTimeInSeconds": 10**30}

    monkeypatch.setattr(simulation.jobs, "describe_training_job", changed)
    assert simulation.reaches("demo", Status.LIVE)
    assert simulation.defects == []
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


def test_a_budget_that_lasts_for_ages_is_none_to_fear() -> None:
    simulation = live(PLAN + b"budget_usd: 1000000000\n")
    assert simulation.defects == []
    assert simulation.reaches("demo", Status.EXPIRED)


def test_the_longest_wait_is_one_that_a_date_can_hold() -> None:
    assert datetime(2026, 1, 1, tzinfo=UTC) + 20 * LONGEST_KEPT < datetime(9999, 1, 1, tzinfo=UTC)
    assert transitions.LONGEST_WAIT < LONGEST_KEPT
