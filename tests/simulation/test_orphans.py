"""What bills and belongs to nobody is found once a day, told, and ended by a schedule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from novaloop.experiment.record import Backstop, Status
from novaloop.usecases.errors import code_of
from novaloop.usecases.orphans import GRACE
from novaloop.usecases.ports import Billing
from tests.simulation.simulation import SPEC, Call, Crash, Simulation
from tests.simulation.twin_inbox import LongHistory
from tests.simulation.twin_service import refusal
from tests.simulation.twins import START

PLANS = {
    "endpoint": b"plan: [sft, deploy]\n",
    "component": b"plan: [sft, deploy: {inference_component: true}]\n",
    "lasting": b"plan: [sft, deploy: {endpoint: bot}]\n",
    "throughput": b"plan: [sft, deploy: {to: bedrock-provisioned}]\n",
}
any_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
ORPHANS = "without an experiment"
NAME = "novaloop-demo--0000-deploy-1"


def live(plan: bytes) -> Simulation:
    simulation = Simulation()
    simulation.submit("demo", SPEC + plan)
    assert simulation.reaches("demo", Status.LIVE)
    simulation.passes(timedelta(minutes=1))
    return simulation


def told(simulation: Simulation) -> list[str]:
    return [message for subject, message in simulation.notifier.messages if ORPHANS in subject]


def lose_the_record(simulation: Simulation) -> None:
    simulation.objects.clear()
    del simulation.store.snapshots["demo"]


@any_plan
def test_what_serves_without_record_or_schedule_is_told_and_ends_a_day_later(plan: bytes) -> None:
    simulation = live(plan)
    lose_the_record(simulation)
    simulation.scheduler.schedules.clear()
    simulation.passes(timedelta(days=1))
    (message,) = told(simulation)
    assert "experiment demo" in message
    assert "its schedule ends it from" in message
    assert simulation.hosting.endpoints or simulation.bedrock.throughputs
    simulation.passes(GRACE + timedelta(hours=1))
    assert not simulation.hosting.endpoints
    assert not simulation.bedrock.throughputs


def test_what_can_not_be_given_an_end_is_told_all_the_same() -> None:
    simulation = live(PLANS["endpoint"])
    lose_the_record(simulation)
    simulation.scheduler.schedules.clear()
    simulation.scheduler.refusing = "AccessDeniedException"
    simulation.passes(timedelta(days=1))
    (message,) = told(simulation)
    assert "nothing is known to end it" in message
    assert f"`aws sagemaker delete-endpoint --endpoint-name {NAME}`" in message


@any_plan
def test_what_has_a_schedule_keeps_it(plan: bytes) -> None:
    simulation = live(plan.replace(b"}", b", ttl_hours: 300}") if b"{" in plan else plan)
    before = {n: s["StartDate"] for n, s in simulation.scheduler.schedules.items()}
    lose_the_record(simulation)
    simulation.passes(timedelta(hours=24))
    after = {n: s["StartDate"] for n, s in simulation.scheduler.schedules.items()}
    assert after == before
    assert told(simulation)


@any_plan
def test_whoever_moved_the_schedule_is_told_of_that_once_and_not_day_after_day(plan: bytes) -> None:
    simulation = live(plan)
    lose_the_record(simulation)
    simulation.passes(timedelta(days=1))
    assert len(told(simulation)) == 1
    for schedule in [*simulation.scheduler.schedules.values()]:
        begins = simulation.clock.now() + timedelta(days=60)
        ends = begins + timedelta(days=7)
        moved = {**schedule, "StartDate": begins, "EndDate": ends}
        simulation.scheduler.update_schedule(**moved)
    simulation.passes(timedelta(days=20))
    assert len(told(simulation)) == 2
    simulation.passes(timedelta(days=41))
    assert not simulation.hosting.endpoints
    assert not simulation.bedrock.throughputs
    assert len(told(simulation)) == 2


def test_what_nothing_is_known_to_end_is_told_day_after_day() -> None:
    simulation = live(PLANS["endpoint"])
    lose_the_record(simulation)
    simulation.scheduler.schedules.clear()
    simulation.scheduler.refusing = "AccessDeniedException"
    simulation.passes(timedelta(days=5))
    assert len(told(simulation)) == 5


def test_a_schedule_that_is_moved_once_more_is_told_once_more() -> None:
    simulation = live(PLANS["endpoint"].replace(b"deploy", b"deploy: {ttl_hours: 900}"))
    lose_the_record(simulation)
    simulation.passes(timedelta(days=3))
    assert len(told(simulation)) == 1
    simulation.scheduler.schedules.clear()
    simulation.passes(timedelta(days=1))
    assert len(told(simulation)) == 2


@any_plan
def test_what_lives_is_left_alone(plan: bytes) -> None:
    simulation = live(plan)
    for _ in range(3):
        snapshot = simulation.store.load("demo")
        assert snapshot.record is not None
        assert snapshot.record.endpoint is not None
        until = simulation.clock.now() + timedelta(days=9)
        endpoint = replace(snapshot.record.endpoint, expires_at=until)
        record = replace(snapshot.record, endpoint=endpoint)
        simulation.store.snapshots["demo"] = replace(snapshot, record=record)
        simulation.passes(timedelta(days=1))
    assert told(simulation) == []
    assert simulation.is_in("demo", Status.LIVE)


@pytest.mark.parametrize("runtime", [b"", b"runtime: bedrock\n"])
def test_a_job_that_runs_for_nobody_is_told(runtime: bytes) -> None:
    simulation = Simulation(fate=lambda _: "hangs")
    simulation.submit("demo", SPEC + runtime + b"plan: [sft]\n", 240)
    assert simulation.run(lambda: bool([*simulation.jobs.running, *simulation.bedrock.running]))
    simulation.objects.clear()
    simulation.store.snapshots.clear()
    simulation.bedrock._later = lambda *_: None
    simulation.store.round = None  # the day's search is yet to come
    simulation.passes(timedelta(days=3))
    (message,) = told(simulation)
    assert "runs until it is done" in message


def test_what_belongs_to_a_record_that_cannot_be_read_is_left_alone_and_the_others_told() -> None:
    stack = LongHistory()
    stack.serving, stack.unreadable = ["broken", "lost"], {"broken"}
    swept, _, _ = stack.sweep()
    assert swept.failures == []
    (message,) = stack.told
    assert "1 without an experiment" in message
    assert "experiment lost" in message


def test_what_the_index_of_tags_still_names_and_is_gone_is_not_told() -> None:
    simulation = live(PLANS["endpoint"])
    lose_the_record(simulation)
    tagged = simulation._tagged().billing()
    simulation.hosting.endpoints.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "billing", lambda: tagged)
        simulation.passes(timedelta(days=1))
    assert told(simulation) == []


def test_it_is_looked_for_once_a_day_even_if_that_fails() -> None:
    stack = LongHistory()
    stack.down = {"look for what bills"}
    failures = [failure for _ in range(3 * 288) for failure in stack.sweep()[0].failures]
    assert failures == ["looking for what bills for nobody: ConnectionError"] * 3


@pytest.mark.parametrize(
    "error",
    [refusal("AccessDeniedException", "no"), EndpointConnectionError(endpoint_url="https://aws")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("call", ["serves", "standing", "put"])
def test_one_that_fails_keeps_no_other_from_being_told_and_ended(
    call: str, error: Exception
) -> None:
    stack = LongHistory()
    stack.serving = ["first", "second", "third"]
    carry_out = getattr(stack, call)

    def fails_for_one(what: Billing | Backstop, *rest: object, **more: object) -> object:
        if "second" in what.name:
            raise error
        return carry_out(what, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, call, fails_for_one)
        swept, _, _ = stack.sweep()
    assert swept.failures == []
    ended = {name for name in stack.serving if f"novaloop-{name}--deploy-1" in stack.schedules}
    # What only can't be looked at is ended as well: its tag says that it is there.
    assert ended == ({*stack.serving} if call == "serves" else {"first", "third"})
    (message,) = stack.told
    for line, name in zip(message.splitlines()[2:5], stack.serving, strict=True):
        assert f"experiment {name}" in line
        assert (code_of(error) in line) == (name == "second")


def test_what_can_not_be_listed_is_told_and_the_rest_searched() -> None:
    stack = LongHistory()
    stack.serving = ["lost"]
    seen = stack.billing()[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "billing", lambda: (seen, ["every job can't be looked at: denied"]))
        swept, _, _ = stack.sweep()
    assert swept.failures == ["every job can't be looked at: denied"]
    assert "experiment lost" in stack.told[0]


@pytest.mark.parametrize("milliseconds", [40, 200, 1_000])
def test_many_on_a_slow_day_are_all_told_and_ended_and_each_sweep_ends_in_time(
    milliseconds: int,
) -> None:
    stack = LongHistory()
    stack.call_takes = timedelta(milliseconds=milliseconds)
    stack.serving = [f"lost{number:03}" for number in range(200)]
    for _ in range(24 * 12):
        _, _, took = stack.sweep()
        assert took < timedelta(seconds=60)  # half of the function's timeout
    assert len(stack.schedules) == 200
    told = [int(message.split()[1]) for message in stack.told]
    assert sum(told) == 200, "each once"


def lines_of(messages: list[str]) -> list[str]:
    """Return what people were told, a line for each thing that bills."""
    return [line for message in messages for line in message.splitlines()[2:-2]]


@pytest.mark.parametrize("number", [60, 250])
def test_everything_that_is_given_an_end_is_named_to_people(number: int) -> None:
    stack = LongHistory()
    stack.serving = [f"lost{each:03}" for each in range(number)]
    for _ in range(24 * 12 - 1):
        stack.sweep()
    told = lines_of(stack.told)
    assert len(stack.schedules) == number
    for name in stack.serving:
        (line,) = (line for line in told if f"experiment {name})" in line)
        begins = stack.schedules[f"novaloop-{name}--deploy-1"]
        assert f"{begins:%Y-%m-%d %H:%M} UTC" in line
    assert all(len(message.encode()) < 256 * 1024 for message in stack.told), "SNS takes no more"


@pytest.mark.parametrize("milliseconds", [40, 1_000])
@pytest.mark.parametrize("hours", [0, 5, 15])
def test_whoever_could_not_be_told_at_once_has_as_much_time_from_then_on(
    hours: int, milliseconds: int
) -> None:
    stack = LongHistory()
    stack.call_takes = timedelta(milliseconds=milliseconds)
    stack.serving = [f"lost{number:03}" for number in range(60)]
    stack.down = {"publish"}
    for _ in range(1 + hours * 12):
        (failure,) = stack.sweep()[0].failures
        assert failure == "telling what bills for nobody: ConnectionError"
    assert stack.schedules, "they end, whoever can be told"
    stack.down.clear()
    told: dict[str, datetime] = {}
    while len(told) < len(stack.serving):
        before, now = len(stack.told), stack.clock.now()
        stack.sweep()
        told |= {line.split()[1]: now for line in lines_of(stack.told[before:])}
        assert stack.clock.now() < START + timedelta(hours=hours + 8)
    for name, at in told.items():
        assert stack.schedules[name] >= at + GRACE - timedelta(minutes=1)
    number = len(stack.told)
    for _ in range(6):
        stack.sweep()
    assert len(stack.told) == number, "each once"


def test_a_topic_that_never_works_keeps_nothing_from_being_ended() -> None:
    simulation = live(PLANS["endpoint"])
    lose_the_record(simulation)
    simulation.scheduler.schedules.clear()
    simulation.unseen = True
    simulation.interposed.append(Untold())
    simulation.passes(timedelta(days=1) + GRACE + timedelta(hours=1))
    assert not simulation.hosting.endpoints


class Untold:
    """Denies that anybody is told, or ends the process over it, as often as is said."""

    def __init__(self, error: BaseException | None = None, times: int = 10_000) -> None:
        self.error = error or refusal("AuthorizationError", "no")
        self.times = times

    def around(self, call: Call) -> object:
        if call.name == "notifier.publish" and ORPHANS in str(call.first) and self.times:
            self.times -= 1
            raise self.error
        return call()


def test_a_sweep_that_dies_over_telling_is_made_up_for_by_the_next() -> None:
    simulation = live(PLANS["endpoint"])
    lose_the_record(simulation)
    simulation.scheduler.schedules.clear()
    simulation.interposed.append(Untold(Crash(), 3))
    assert simulation.run(lambda: bool(told(simulation)), timedelta(days=2))
    at = simulation.clock.now()
    simulation.passes(timedelta(minutes=1))
    begins = simulation.scheduler.schedules[NAME]["StartDate"]
    assert begins >= at + GRACE - timedelta(minutes=1)
    assert begins < at + GRACE + timedelta(minutes=10)
    assert f"{begins:%Y-%m-%d %H:%M} UTC" in told(simulation)[0]


def switched_off(schedule: dict[str, Any]) -> None:
    schedule["State"] = "DISABLED"


def of_another_role(schedule: dict[str, Any]) -> None:
    schedule["Target"]["RoleArn"] += "2"


def far_off(schedule: dict[str, Any]) -> None:
    for each in ("StartDate", "EndDate"):
        schedule[each] += timedelta(days=7_000)


def without_an_end(schedule: dict[str, Any]) -> None:
    del schedule["EndDate"]


def without_any_time(schedule: dict[str, Any]) -> None:
    del schedule["StartDate"], schedule["EndDate"]


ANYTIME = (far_off, without_any_time)
"""What is done to a schedule that then tells no time to be kept."""


@pytest.mark.parametrize(
    "change", [switched_off, of_another_role, far_off, without_an_end, without_any_time]
)
@any_plan
def test_a_schedule_that_would_not_end_it_is_set_again(
    plan: bytes, change: Callable[[dict[str, Any]], object]
) -> None:
    simulation = live(plan)
    lose_the_record(simulation)
    before = {n: s["StartDate"] for n, s in simulation.scheduler.schedules.items()}
    for name, schedule in simulation.scheduler.schedules.items():
        changed = copy.deepcopy(schedule)
        change(changed)
        simulation.scheduler.schedules[name] = changed
    assert simulation.run(lambda: bool(told(simulation)), timedelta(days=2))
    at = simulation.clock.now()
    for name, schedule in simulation.scheduler.schedules.items():
        kept = before.get(name, before.get(name.rstrip(".")))
        promised = kept if kept and change not in ANYTIME and kept > at else at + GRACE
        assert abs(schedule["StartDate"] - promised) < timedelta(minutes=5)
    (message,) = told(simulation)
    assert f"{max(s['StartDate'] for s in simulation.scheduler.schedules.values()):%H:%M} UTC" in (
        message
    )
    simulation.passes(GRACE + timedelta(hours=2))
    assert not simulation.hosting.endpoints
    assert not simulation.bedrock.throughputs


@pytest.mark.parametrize("name", [NAME, f"{NAME}."])
def test_one_of_two_schedules_that_is_gone_is_set_to_when_the_other_begins(name: str) -> None:
    simulation = live(PLANS["component"].replace(b"}", b", ttl_hours: 300}"))
    lose_the_record(simulation)
    begins = simulation.scheduler.schedules.pop(name)["StartDate"]
    assert simulation.run(lambda: bool(told(simulation)), timedelta(days=2))
    assert {s["StartDate"] for s in simulation.scheduler.schedules.values()} == {begins}
    assert f"{begins:%Y-%m-%d %H:%M} UTC" in told(simulation)[0]
    simulation.passes(begins - simulation.clock.now() + timedelta(hours=2))
    assert not simulation.hosting.endpoints


@any_plan
def test_what_its_schedule_may_not_end_is_ended_by_the_sweep(plan: bytes) -> None:
    simulation = live(plan)
    lose_the_record(simulation)
    simulation.scheduler.cannot_end = True
    simulation.passes(timedelta(days=4))
    assert not simulation.hosting.endpoints
    assert not simulation.bedrock.throughputs
    assert any("it ends now" in message for message in told(simulation))
