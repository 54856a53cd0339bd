"""What bills and belongs to nobody is found once a day, told, and ended by a schedule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from botocore.exceptions import EndpointConnectionError

from novaloop.experiment.record import Backstop, Status
from novaloop.usecases.errors import code_of
from novaloop.usecases.orphans import GRACE
from novaloop.usecases.ports import Billing
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.twin_inbox import LongHistory
from tests.simulation.twin_service import refusal

PLANS = {
    "endpoint": b"plan: [sft, deploy]\n",
    "component": b"plan: [sft, deploy: {inference_component: true}]\n",
    "lasting": b"plan: [sft, deploy: {endpoint: bot}]\n",
    "throughput": b"plan: [sft, deploy: {to: bedrock-provisioned}]\n",
}
any_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
ORPHANS = "without an experiment"


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
    assert "delete it yourself" in message


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
    simulation.passes(timedelta(minutes=10))
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
@pytest.mark.parametrize("call", ["is_there", "begins", "put"])
def test_one_that_fails_keeps_no_other_from_being_told_and_ended(
    call: str, error: Exception
) -> None:
    stack = LongHistory()
    stack.serving = ["first", "second", "third"]
    carry_out = getattr(stack, call)

    def fails_for_one(what: Billing | Backstop, *rest: object) -> object:
        if "second" in what.name:
            raise error
        return carry_out(what, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, call, fails_for_one)
        swept, _, _ = stack.sweep()
    assert swept.failures == []
    ended = {name for name in stack.serving if f"novaloop-{name}--deploy-1" in stack.schedules}
    # What only can't be looked at is ended as well: its tag says that it is there.
    assert ended == ({*stack.serving} if call == "is_there" else {"first", "third"})
    (message,) = stack.told
    for line, name in zip(message.splitlines()[2:], stack.serving, strict=True):
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


def test_what_nobody_could_be_told_of_is_told_by_the_next_sweep() -> None:
    stack = LongHistory()
    stack.serving = ["lost"]
    stack.down = {"publish"}
    (failure,) = stack.sweep()[0].failures
    assert failure == "telling what bills for nobody: ConnectionError"
    assert stack.schedules, "it is ended all the same"
    stack.down.clear()
    for _ in range(10):
        stack.sweep()
    assert len(stack.told) == 1
