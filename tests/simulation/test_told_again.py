"""People are told of each end, however often it comes, and once of what they were told already.

A service's words may differ from look to look: neither mails nor history follow them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from novaloop.experiment.record import Backstop, CommandKind, Status
from novaloop.experiment.stack import STACK_TAG
from novaloop.experiment.summary import next_steps
from novaloop.usecases.ports import LaunchRefused
from tests.simulation.simulation import SPEC, Call, Simulation
from tests.simulation.test_cleanup import leave
from tests.simulation.twin_service import refusal

DEPLOYED = SPEC + b"plan: [sft, deploy: {ttl_hours: 12}]\n"
ENDS = {
    Status.COMPLETED: (SPEC + b"plan: [sft]\n", "completes"),
    Status.FAILED: (SPEC + b"plan: [sft]\n", "fails"),
    Status.HELD: (SPEC + b"budget_usd: 0.01\n", "completes"),
}
HOUR = timedelta(hours=1)


def asked(simulation: Simulation, kind: CommandKind, **details: Any) -> None:
    simulation.command("demo", kind, **details)
    simulation.emit("demo")
    simulation.passes(timedelta(minutes=10))


def told(simulation: Simulation) -> list[str]:
    """Return the subjects of the mails since this was asked last."""
    subjects = [subject for subject, _ in simulation.notifier.messages]
    simulation.notifier.messages.clear()
    return subjects


def test_a_mail_says_what_happened_what_to_do_and_what_that_commits_to() -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"approval: manual\n")
    assert simulation.settles("demo") is Status.AWAITING_APPROVAL
    simulation.passes(timedelta(minutes=10))
    (message,) = (text for subject, text in simulation.notifier.messages if "AWAITING" in subject)
    record = simulation.record("demo")
    steps = next_steps(record)
    assert record.reason in message
    assert message.endswith("\n".join(("", *steps, "")))
    assert any("24 h of 1 ml.p5.48xlarge" in each for each in steps)


@pytest.mark.parametrize("end", ENDS)
def test_the_same_end_after_a_retry_is_told_again_and_reported(
    end: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, fate = ENDS[end]
    simulation = Simulation(fate=lambda _: fate)
    reports: list[Status] = []
    monkeypatch.setattr(
        simulation, "request_report", lambda name: reports.append(simulation.record(name).status)
    )
    simulation.submit("demo", plan)
    for _ in range(3):
        assert simulation.settles("demo") is end
        simulation.passes(HOUR)
        assert told(simulation) == [f"Novaloop: demo is {end}"]
        assert reports == [end]
        reports.clear()
        asked(simulation, CommandKind.RETRY, stage=simulation.record("demo").stages[0].name)


def live() -> Simulation:
    simulation = Simulation()
    simulation.submit("demo", DEPLOYED)
    assert simulation.reaches("demo", Status.LIVE)
    simulation.passes(timedelta(minutes=2))
    told(simulation)
    return simulation


def test_what_is_kept_as_asked_is_in_the_history_and_the_report_and_in_no_mail() -> None:
    simulation = live()
    before = simulation.record("demo").reported
    for _ in range(24):
        asked(simulation, CommandKind.KEEP, hours=1)
        simulation.passes(HOUR)
    assert told(simulation) == []
    assert simulation.record("demo").reported != before
    kept = [line for line in simulation.store.history("demo") if line.why.startswith("kept until")]
    assert len(kept) == 24


ANSWERS: dict[str, Callable[[int], str]] = {
    "the same": lambda _: "ThrottlingException: Rate exceeded",
    "by turns": lambda number: ("ThrottlingException", "InternalServerException")[number % 2],
    "each another": lambda number: f"request {number} was refused",
}
every_answer = pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))


@every_answer
def test_what_can_not_be_kept_is_told_once_and_once_more_when_it_is(
    answer: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = live()
    numbers = itertools.count()

    def put(_: Backstop, __: object, *, sooner: bool) -> bool:
        raise LaunchRefused(answer(next(numbers)))

    with monkeypatch.context() as refusing:
        refusing.setattr(simulation.world.schedules, "put", put)
        lines = len(simulation.store.history("demo"))
        asked(simulation, CommandKind.KEEP, hours=5)
        simulation.passes(5 * HOUR)
        assert told(simulation) == ["Novaloop: demo is LIVE"]
        assert len(simulation.store.history("demo")) == lines + 2  # who asked, and that it can't be
        assert "can't be kept until" in simulation.record("demo").reason
    simulation.passes(HOUR)
    assert told(simulation) == ["Novaloop: demo is LIVE"]
    assert simulation.record("demo").reason.startswith("kept until")
    assert not simulation.dead_letters


def test_a_keep_that_came_to_nothing_ends_with_what_was_to_be_kept() -> None:
    simulation = live()
    simulation.scheduler.refusing = "AccessDeniedException"
    asked(simulation, CommandKind.KEEP, hours=5)
    endpoint = simulation.record("demo").endpoint
    assert endpoint is not None
    assert endpoint.kept_until is not None
    asked(simulation, CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    endpoint = simulation.record("demo").endpoint
    assert endpoint is not None
    assert endpoint.kept_until is None


class Denies:
    """Refuses to delete anything, in changing words."""

    def __init__(self, answer: Callable[[int], str]) -> None:
        self.numbers = map(answer, itertools.count())

    def around(self, call: Call) -> Any:
        if "delete_endpoint" in call.name or "delete_model" in call.name:
            raise refusal("AccessDeniedException", next(self.numbers))
        return call()


@every_answer
def test_a_cleanup_that_is_refused_is_one_line_of_history(answer: Callable[[int], str]) -> None:
    simulation = Simulation()
    simulation.failures = (*simulation.failures, ClientError)
    simulation.submit("demo", DEPLOYED)
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.passes(HOUR)
    leave(simulation.hosting)
    simulation.interposed.append(Denies(answer))
    lines = len(simulation.store.history("demo"))
    asked(simulation, CommandKind.CLEANUP)
    simulation.passes(timedelta(days=1))
    new = [f"{line.what}: {line.why}" for line in simulation.store.history("demo")[lines:]]
    assert len([line for line in new if line.startswith("cleanup: denied")]) == 1, new
    assert len(new) <= 4, new


def of_schedules(simulation: Simulation) -> list[str]:
    return [text for _, text in simulation.notifier.messages if "the schedule that ends" in text]


class Refuses:
    """Lets no schedule be made or moved, in changing words."""

    def __init__(self, answer: Callable[[int], str]) -> None:
        self.numbers = map(answer, itertools.count())

    def around(self, call: Call) -> Any:
        if call.name in {"scheduler.create_schedule", "scheduler.update_schedule"}:
            raise refusal("AccessDeniedException", next(self.numbers))
        return call()


@every_answer
def test_a_schedule_that_can_not_be_set_is_told_once_whatever_is_asked_meanwhile(
    answer: Callable[[int], str],
) -> None:
    simulation = live()
    simulation.scheduler.schedules.clear()
    simulation.interposed.append(Refuses(answer))
    simulation.passes(2 * HOUR)
    assert len(of_schedules(simulation)) == 1
    asked(simulation, CommandKind.KEEP, hours=5)
    assert "can't be kept until" in simulation.record("demo").reason
    simulation.passes(2 * HOUR)
    assert len(of_schedules(simulation)) == 1
    simulation.interposed.append(Denies(answer))
    asked(simulation, CommandKind.STOP)
    simulation.passes(2 * HOUR)
    assert simulation.is_in("demo", Status.STOPPING)
    # What is told now is that it does not end.
    others = [text for text in of_schedules(simulation) if "can't be ended" not in text]
    assert len(others) == 1
    simulation.interposed.clear()
    assert simulation.reaches("demo", Status.STOPPED)
    assert not simulation.dead_letters


def test_a_schedule_that_stays_as_it_was_is_no_trouble_of_what_ends() -> None:
    """It could not be moved for what was to be kept. It stands, and that is not wanted any more."""
    simulation = live()
    simulation.interposed.append(Refuses(ANSWERS["by turns"]))
    asked(simulation, CommandKind.KEEP, hours=5)
    simulation.interposed.append(Denies(ANSWERS["by turns"]))
    assert simulation.reaches("demo", Status.STOPPING)
    simulation.passes(HOUR)
    assert len(of_schedules(simulation)) == 1
    assert not simulation.record("demo").refused_backstop
    backstop = simulation.record("demo").stages[-1].backstop
    assert backstop is not None
    assert backstop.at == simulation.scheduler.schedules[backstop.name]["StartDate"]


WRITES = ("store.commit", "store.drop", "store.begin", "store.take_back", "store.put_")


@dataclass
class Refused:
    """Refuses calls of these names, once people were told something if it is only `after` that."""

    simulation: Simulation
    names: tuple[str, ...] = WRITES
    after: bool = True

    def __post_init__(self) -> None:
        self.simulation.failures += (ClientError,)
        self.simulation.unseen = True
        self.simulation.interposed.append(self)

    def around(self, call: Call) -> Any:
        if call.name.startswith(self.names) and (
            self.simulation.notifier.messages or not self.after
        ):
            raise refusal("AccessDeniedException", "no")
        return call()


def ended(simulation: Simulation) -> None:
    simulation.submit("demo", SPEC + b"plan: [sft]\n")


def refused(simulation: Simulation) -> None:
    simulation.upload("demo", "experiment.yaml", b"nonsense: 1\n")


def commanded(simulation: Simulation) -> None:
    simulation.command("demo", CommandKind.STOP)


def not_ingested(simulation: Simulation) -> None:
    simulation.objects.put("inbox/demo/sft.csv", b"Body,Y\n", "text/csv")
    simulation.interposed.append(Refused(simulation, ("ingester.",), after=False))


def orphaned(simulation: Simulation) -> None:
    leave(simulation.hosting)
    for endpoint in simulation.hosting.endpoints.values():
        endpoint.tags[STACK_TAG] = simulation.stack_name


NEWS = (ended, refused, commanded, not_ingested, orphaned)


@pytest.mark.parametrize("news", NEWS)
def test_what_can_not_be_written_down_any_more_is_not_told_at_each_look(
    news: Callable[[Simulation], None],
) -> None:
    simulation = Simulation()
    Refused(simulation)
    news(simulation)
    assert simulation.run(lambda: bool(simulation.notifier.messages))
    for _ in range(100):
        simulation.emit("demo")
        simulation.passes(timedelta(minutes=1))
    simulation.passes(timedelta(days=2))
    assert len(simulation.notifier.messages) == 1


@pytest.mark.parametrize("news", NEWS)
def test_nobody_is_told_of_what_can_not_be_written_down(
    news: Callable[[Simulation], None],
) -> None:
    simulation = Simulation()
    Refused(simulation, after=False)
    news(simulation)
    simulation.passes(timedelta(days=4))
    assert simulation.notifier.messages == []


def test_commands_that_can_not_be_dropped_are_told_of_twice_at_most() -> None:
    simulation = Simulation()
    Refused(simulation, ("store.drop",))
    commanded(simulation)
    simulation.passes(timedelta(days=4))
    assert 1 <= len(simulation.notifier.messages) <= 2


@pytest.mark.parametrize("news", NEWS[:-1])  # what bills for nobody may be ended by then
def test_whoever_can_not_be_told_for_days_is_told_then(
    news: Callable[[Simulation], None],
) -> None:
    simulation = Simulation()
    notifier = Refused(simulation, ("notifier.publish",), after=False)
    news(simulation)
    simulation.passes(timedelta(days=4))
    assert simulation.notifier.messages == []
    simulation.interposed.remove(notifier)
    simulation.passes(timedelta(days=2))
    assert simulation.notifier.messages
