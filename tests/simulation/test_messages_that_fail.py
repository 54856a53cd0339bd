"""What can't be sent ends no look, keeps nothing else from being done, and is sent in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Never

import pytest
from botocore.exceptions import ReadTimeoutError

from novaloop.experiment.record import CommandKind, Status
from tests.simulation.simulation import SPEC, Call, Simulation
from tests.simulation.twin_service import refusal

ERRORS = (refusal("InternalFailure", "no"), ReadTimeoutError(endpoint_url="https://aws"))
SENDERS = {
    "notification": ("notifier", "publish"),
    "report": ("scorer", "request_report"),
    "hint": ("hints", "look_at"),
}


class Failing:
    """A port that carries none of its calls of one name out."""

    def __init__(self, port: object, method: str, error: Exception) -> None:
        self.port, self.method, self.error = port, method, error

    def __getattr__(self, name: str) -> Any:
        if name == self.method:
            return fails(self.error)
        return getattr(self.port, name)


def fails(error: Exception) -> Callable[..., Never]:
    def fail(*_: object, **__: object) -> Never:
        raise error

    return fail


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("port", "method"), SENDERS.values(), ids=SENDERS)
def test_an_experiment_goes_its_way_though_nothing_can_be_sent(
    port: str, method: str, error: Exception
) -> None:
    simulation = Simulation()
    failing = Failing(getattr(simulation.world, port), method, error)
    simulation.world = replace(simulation.world, **{port: failing})  # type: ignore[arg-type]
    simulation.submit("demo", SPEC + b"plan: [sft, deploy]\n", sft_rows=200)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.passes(timedelta(hours=2))
    simulation.check("demo")
    assert simulation.dead_letters == []


@pytest.mark.parametrize("status", [Status.LIVE, Status.STOPPED])
def test_people_are_told_minutes_after_the_topic_is_back(status: Status) -> None:
    simulation: Any = Simulation()
    simulation.submit("demo", SPEC + b"plan: [sft, deploy]\n", sft_rows=200)
    publish, reports = simulation.notifier.publish, list[str]()
    simulation.notifier.publish = fails(ERRORS[0])
    simulation.request_report = reports.append
    assert simulation.settles("demo") is Status.LIVE
    if status is Status.STOPPED:
        simulation.command("demo", CommandKind.STOP)
        assert simulation.reaches("demo", Status.STOPPED)
    simulation.passes(timedelta(minutes=30))
    assert len(reports) == (1 if status is Status.LIVE else 2), "the report waits for no topic"
    simulation.notifier.publish = publish
    simulation.passes(timedelta(minutes=11))
    assert [subject for subject, _ in simulation.notifier.messages] == [
        f"Novaloop: demo is {status}"
    ]
    simulation.passes(timedelta(hours=2))
    assert len(simulation.notifier.messages) == 1


def test_a_report_is_asked_for_until_it_is_taken() -> None:
    simulation: Any = Simulation()
    simulation.submit("demo", SPEC + b"plan: [sft]\n", sft_rows=200)
    simulation.request_report = fails(ERRORS[0])
    assert simulation.settles("demo") is Status.COMPLETED
    assert len(simulation.notifier.messages) == 1
    reports = list[str]()
    simulation.request_report = reports.append
    simulation.passes(timedelta(minutes=11))
    assert reports == ["demo"]
    assert len(simulation.notifier.messages) == 1, "told twice"


class Refuses:
    """Takes each message, or none, and answers with an error."""

    def __init__(self, *, takes: bool) -> None:
        self.takes, self.asked, self.on = takes, 0, True

    def around(self, call: Call) -> Any:
        if call.name != "notifier.publish" or not self.on:
            return call()
        self.asked += 1
        if self.takes:
            call()
        raise ERRORS[0]


@pytest.mark.parametrize("takes", [False, True])
def test_a_topic_that_fails_is_asked_less_and_less_often_however_often_is_looked(
    takes: bool,
) -> None:
    """A stage that waits is looked at every half an hour, and is a trouble to be told."""
    simulation = Simulation()
    simulation.jobs.limit = 0
    topic = Refuses(takes=takes)
    simulation.interposed.append(topic)
    simulation.submit("demo", SPEC + b"plan: [sft]\n")
    simulation.passes(timedelta(days=2))
    before = topic.asked
    assert before < 100
    simulation.passes(timedelta(days=8))
    assert topic.asked - before < 40
    topic.on = False
    told = len(simulation.notifier.messages)
    simulation.passes(timedelta(days=1, hours=1))
    assert len(simulation.notifier.messages) == told + 1
    assert not simulation.record("demo").awaited


def test_another_status_is_told_at_once_though_the_topic_failed_for_days() -> None:
    simulation = Simulation()
    simulation.jobs.limit = 0
    topic = Refuses(takes=False)
    simulation.interposed.append(topic)
    simulation.submit("demo", SPEC + b"plan: [sft]\n")
    simulation.passes(timedelta(days=6))
    topic.on = False
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.passes(timedelta(minutes=2))
    assert [subject for subject, _ in simulation.notifier.messages] == ["Novaloop: demo is STOPPED"]


@pytest.mark.parametrize(
    ("plan", "status", "most"),
    [
        (b"plan: [sft]\n", Status.COMPLETED, 40),
        (b"plan: [nonsense]\n", Status.REJECTED, 60),
        (b"budget_usd: 0.01\nplan: [sft]\n", Status.HELD, 60),
    ],
)
def test_a_topic_that_refuses_for_days_costs_few_looks(
    plan: bytes, status: Status, most: int
) -> None:
    simulation: Any = Simulation()
    publish, simulation.notifier.publish = simulation.notifier.publish, fails(ERRORS[0])
    simulation.submit("demo", SPEC + plan)
    assert simulation.settles("demo") is status
    before = simulation.hints_delivered
    simulation.passes(timedelta(days=10))
    assert simulation.hints_delivered - before < most
    simulation.notifier.publish = publish
    simulation.passes(timedelta(days=1, minutes=10))
    assert [subject for subject, _ in simulation.notifier.messages] == [
        f"Novaloop: demo is {status}"
    ]
    simulation.check("demo")
