"""A live endpoint that does not serve says so in its record, and people are told once.

Also where it fails and recovers by turns: each is told at most once in a quiet period.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from novaloop.experiment.controller.notifications import QUIET
from novaloop.experiment.record import CommandKind, Status
from tests.simulation.simulation import Call, Simulation
from tests.simulation.test_absence import ENDPOINT, looked_at, submitted
from tests.simulation.test_backstops import expires_at

REASON = "The model data archive is too large."


def live() -> Simulation:
    simulation = submitted()
    assert simulation.settles("demo") is Status.LIVE
    simulation.notifier.messages.clear()
    return simulation


def becomes(simulation: Simulation, status: str, reason: str | None = None) -> None:
    """Let the service change the endpoint; the event of it may be lost."""
    described = simulation.hosting.endpoints[ENDPOINT].described
    described["EndpointStatus"] = status
    described.pop("FailureReason", None)
    described |= {"FailureReason": reason} if reason else {}


def told(simulation: Simulation) -> list[str]:
    return [message for _, message in simulation.notifier.messages]


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_that_fails_is_told_once_and_nothing_is_deleted(status: str) -> None:
    simulation = live()
    becomes(simulation, status, REASON)
    simulation.passes(timedelta(hours=5))
    record = simulation.record("demo")
    assert record.status is Status.LIVE
    assert record.reason.startswith(
        f"{ENDPOINT} can't serve, {status}: {REASON}; it may bill until"
    )
    assert len(told(simulation)) == 1
    assert told(simulation)[0].count(record.reason) == 1
    assert "novaloop invoke" not in told(simulation)[0], "what helps comes before what is usual"
    assert ENDPOINT in simulation.hosting.endpoints

    becomes(simulation, "InService")
    simulation.passes(timedelta(hours=2))
    assert simulation.record("demo").reason.startswith(f"{ENDPOINT} serves again, until ")
    assert len(told(simulation)) == 1
    simulation.passes(QUIET)
    assert len(told(simulation)) == 2
    assert "serves again" in told(simulation)[1]
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


def test_one_that_fails_by_turns_is_told_once_and_its_recovery_once() -> None:
    simulation = live()
    lines = len(simulation.store.history("demo"))
    for _ in range(4):
        becomes(simulation, "Failed", REASON)
        looked_at(simulation)
        assert "can't serve, Failed" in simulation.record("demo").reason
        becomes(simulation, "InService")
        looked_at(simulation)
        assert "serves again" in simulation.record("demo").reason
    assert [text for text in told(simulation) if "can't serve" in text] == told(simulation)
    assert len(told(simulation)) == 1
    simulation.passes(QUIET + timedelta(hours=2))
    assert len(told(simulation)) == 2
    assert "serves again" in told(simulation)[1]
    assert len(simulation.store.history("demo")) == lines + 2


def test_one_that_fails_while_it_can_not_be_kept_is_told_once_of_each() -> None:
    simulation = live()
    simulation.scheduler.refusing = "ThrottlingException"
    simulation.command("demo", CommandKind.KEEP, hours=5)
    looked_at(simulation)
    becomes(simulation, "Failed", REASON)
    lines = len(simulation.store.history("demo"))
    simulation.passes(timedelta(hours=5))
    assert len(told(simulation)) == 2
    assert "can't serve, Failed" in told(simulation)[1]
    assert len(simulation.store.history("demo")) == lines + 1


def test_want_of_capacity_is_a_failure_too() -> None:
    simulation = live()
    becomes(simulation, "Failed", "InsufficientInstanceCapacity error")
    looked_at(simulation)
    assert "can't serve, Failed" in simulation.record("demo").reason


def test_a_change_of_the_services_own_is_told_only_if_it_takes_long() -> None:
    simulation = live()
    before = simulation.record("demo").reason
    becomes(simulation, "SystemUpdating")
    simulation.passes(timedelta(hours=5))
    assert simulation.record("demo").reason == before
    becomes(simulation, "InService")
    simulation.passes(timedelta(hours=2))
    assert (simulation.record("demo").reason, told(simulation)) == (before, [])

    becomes(simulation, "SystemUpdating")
    simulation.passes(timedelta(hours=8))
    assert f"{ENDPOINT} has been SystemUpdating since " in simulation.record("demo").reason
    assert len(told(simulation)) == 1


@pytest.mark.parametrize("kind", [CommandKind.STOP, CommandKind.CLEANUP])
def test_a_failed_endpoint_is_ended_when_asked(kind: CommandKind) -> None:
    simulation = live()
    becomes(simulation, "Failed", REASON)
    looked_at(simulation)
    simulation.command("demo", kind)
    to = Status.STOPPED if kind is CommandKind.STOP else Status.COMPLETED
    assert simulation.reaches("demo", to)
    simulation.check("demo")


def test_a_failed_endpoint_can_be_kept_and_its_record_still_says_that_it_fails() -> None:
    simulation = live()
    becomes(simulation, "Failed", REASON)
    looked_at(simulation)
    simulation.command("demo", CommandKind.KEEP, hours=5)
    simulation.passes(timedelta(hours=2))
    assert "can't serve, Failed" in simulation.record("demo").reason


class Wordy:
    """Says why an endpoint fails in other words each time that it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def around(self, call: Call) -> object:
        answer = call()
        if call.name == "sagemaker.describe_endpoint" and "FailureReason" in answer:
            self.times += 1
            return {**answer, "FailureReason": f"Request {self.times} failed. {REASON}"}
        return answer


def test_one_that_fails_in_changing_words_is_told_once_in_the_first_ones() -> None:
    simulation = live()
    simulation.interposed.append(Wordy())
    lines = len(simulation.store.history("demo"))
    becomes(simulation, "Failed", REASON)
    looked_at(simulation)
    version, reason = simulation.record("demo").version, simulation.record("demo").reason
    assert "can't serve, Failed: Request 1 failed" in reason
    for _ in range(5):
        looked_at(simulation)
    assert (simulation.record("demo").version, simulation.record("demo").reason) == (
        version,
        reason,
    )
    assert len(told(simulation)) == 1
    assert len(simulation.store.history("demo")) == lines + 1

    simulation.command("demo", CommandKind.KEEP, hours=5)
    looked_at(simulation)
    until = expires_at(simulation)
    assert f"Request 1 failed. {REASON}; it may bill until {until:%Y-%m-%d %H:%M}" in (
        simulation.record("demo").reason
    )
    becomes(simulation, "OutOfService", REASON)
    looked_at(simulation)
    assert "can't serve, OutOfService: Request" in simulation.record("demo").reason
    assert len(told(simulation)) == 1
    assert simulation.reaches("demo", Status.EXPIRED)
    assert not simulation.dead_letters
    simulation.check("demo")
