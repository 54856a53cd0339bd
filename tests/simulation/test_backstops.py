"""What serves ends, whatever becomes of its record, the table, the stack: a schedule ends it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from novaloop.experiment.controller.backstop import MARGIN
from novaloop.experiment.record import CommandKind, Snapshot, Status
from tests.simulation.faults import Calls, Fails, Scenario, at_any_call, second_controller
from tests.simulation.simulation import SPEC, Call, Simulation, crash
from tests.simulation.twin_scheduler import EVERY, ROLE
from tests.simulation.twin_service import refusal

NAME = "novaloop-demo--0000-deploy-1"
DELETED_AFTER = EVERY + timedelta(minutes=6)
"""The first try of the schedule that is accepted, and the deletion itself."""
PLANS = {
    "endpoint": b"plan: [sft, deploy]\n",
    "component": b"plan: [sft, deploy: {inference_component: true}]\n",
    "lasting": b"plan: [sft, deploy: {endpoint: bot}]\n",
    "throughput": b"plan: [sft, deploy: {to: bedrock-provisioned}]\n",
}
any_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)


def submitted(plan: bytes = PLANS["endpoint"]) -> Simulation:
    simulation = Simulation()
    simulation.submit("demo", SPEC + plan)
    return simulation


def live(plan: bytes = PLANS["endpoint"]) -> Simulation:
    simulation = submitted(plan)
    assert simulation.reaches("demo", Status.LIVE)
    simulation.passes(timedelta(minutes=1))
    return simulation


LATEST = MARGIN + 2 * DELETED_AFTER
"""How long after its time what serves is gone at the latest; a component goes before it."""


def serves(simulation: Simulation) -> list[str]:
    """What bills by the hour."""
    return [*simulation.hosting.endpoints, *simulation.bedrock.throughputs]


def expires_at(simulation: Simulation) -> datetime:
    endpoint = simulation.record("demo").endpoint
    assert endpoint is not None
    assert endpoint.expires_at is not None
    return endpoint.expires_at


@any_plan
def test_without_the_stack_what_serves_ends_after_its_time(plan: bytes) -> None:
    simulation = live(plan)
    until = expires_at(simulation)
    simulation.delete_stack()
    simulation.passes(until - simulation.clock.now())
    assert serves(simulation)
    simulation.passes(LATEST)
    assert not serves(simulation)


@any_plan
def test_without_its_record_what_serves_ends_after_its_time(plan: bytes) -> None:
    simulation = live(plan)
    until = expires_at(simulation)
    del simulation.store.snapshots["demo"]
    simulation.objects.clear()  # or the sweep would find its uploads, and start it anew
    simulation.passes(until + LATEST - simulation.clock.now())
    assert not serves(simulation)


@any_plan
def test_what_is_being_made_when_the_stack_is_lost_ends_too(plan: bytes) -> None:
    simulation = submitted(plan)
    assert simulation.run(lambda: bool(serves(simulation)))
    simulation.delete_stack()
    simulation.passes(timedelta(hours=24 + 2 + 3))
    assert not serves(simulation)


@any_plan
def test_the_schedule_tries_until_it_is_accepted_and_is_gone_in_the_end(plan: bytes) -> None:
    simulation = live(plan)
    simulation.delete_stack()
    simulation.passes(timedelta(days=10))
    assert not serves(simulation)
    assert not simulation.scheduler.schedules


@any_plan
def test_what_expires_as_promised_leaves_no_schedule(plan: bytes) -> None:
    simulation = live(plan)
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.passes(timedelta(hours=1))
    left = [name for name in simulation.scheduler.schedules if "bot" not in name]
    assert not left
    assert not [name for name in simulation.scheduler.refused if "bot" not in name]
    simulation.check("demo")


SUBMITTED = Scenario(
    lambda: submitted(PLANS["component"]),
    lambda simulation: simulation.is_in("demo", Status.LIVE),
    "scheduler.create_schedule",
)


@at_any_call
def test_a_stack_lost_at_any_call_leaves_nothing_that_bills(calls: Calls) -> None:
    def lose(simulation: Simulation) -> None:
        simulation.delete_stack()
        crash()

    for call, simulation in SUBMITTED.struck(lose, calls):
        simulation.passes(timedelta(hours=24 + 2 + 3))
        assert not serves(simulation), call


def kept() -> Simulation:
    simulation = live()
    simulation.passes(expires_at(simulation) - simulation.clock.now() - timedelta(minutes=30))
    simulation.command("demo", CommandKind.KEEP, hours=48)
    simulation.emit("demo")
    return simulation


KEPT = Scenario(
    kept, lambda simulation: expires_at(simulation) > simulation.clock.now() + timedelta(hours=40)
)


@pytest.mark.parametrize("fault", [crash, second_controller])
@at_any_call
def test_what_is_kept_serves_as_long_as_the_record_says(fault: object, calls: Calls) -> None:
    for call, simulation in KEPT.struck(fault, calls):  # type: ignore[arg-type]
        told = expires_at(simulation)
        while simulation.is_in("demo", Status.LIVE):
            told = max(told, expires_at(simulation))
            assert serves(simulation), call
            simulation.step()
        simulation.check("demo")
        assert told > kept().clock.now() + timedelta(hours=40), call
        assert simulation.clock.now() >= told, call
        assert not simulation.scheduler.refused, call


def test_nothing_is_promised_that_the_schedule_does_not_allow() -> None:
    simulation = live()
    until = expires_at(simulation)
    simulation.scheduler.refusing = "ThrottlingException"
    simulation.command("demo", CommandKind.KEEP, hours=48)
    simulation.emit("demo")
    simulation.passes(timedelta(hours=1))
    assert expires_at(simulation) == until
    assert "can't be kept" in simulation.record("demo").reason
    simulation.scheduler.refusing = None
    simulation.passes(timedelta(minutes=20))
    assert expires_at(simulation) == until + timedelta(hours=48)


def test_what_can_not_be_bounded_is_not_launched() -> None:
    simulation = submitted()
    simulation.scheduler.refusing = "ValidationException"
    assert simulation.settles("demo") is Status.FAILED
    assert not simulation.hosting.endpoints
    assert "the schedule that ends" in simulation.record("demo").reason
    simulation.check("demo")


def test_a_trial_on_a_lasting_endpoint_leaves_it_as_long_as_was_promised_before() -> None:
    plan = b"plan: [sft, deploy: {endpoint: bot, ttl_hours: 100}]\n"
    simulation = live(plan)
    simulation.submit("next", SPEC + b"plan: [sft, deploy: {endpoint: bot, ttl_hours: 1}]\n")
    assert simulation.reaches("next", Status.DEPLOYING)
    while not simulation.is_in("next", Status.LIVE):
        begins = simulation.scheduler.get_schedule("novaloop-bot")["StartDate"]
        assert begins >= expires_at(simulation) + MARGIN
        simulation.step()


@pytest.mark.parametrize("fate", ["fails", "stopped", "endpoint does not answer"])
def test_a_trial_that_comes_to_nothing_gives_the_schedule_back_as_it_was(fate: str) -> None:
    simulation = Simulation(
        fate=lambda name: fate if "next" in name and "deploy" in name else "completes"
    )
    simulation.submit("demo", SPEC + b"plan: [sft, deploy: {endpoint: bot, ttl_hours: 24}]\n")
    assert simulation.reaches("demo", Status.LIVE)
    simulation.passes(timedelta(minutes=5))
    promised = expires_at(simulation) + MARGIN
    longer = b"plan: [sft, deploy: {endpoint: bot, ttl_hours: 300}]\n"
    simulation.submit("next", SPEC + longer)
    assert simulation.reaches("next", Status.DEPLOYING)
    simulation.passes(timedelta(minutes=4))
    begins = simulation.scheduler.get_schedule("novaloop-bot")["StartDate"]
    assert begins > promised + timedelta(days=10), "for the trial"
    if fate == "stopped":
        simulation.command("next", CommandKind.STOP)
    assert simulation.reaches("next", Status.FAILED, Status.STOPPED)
    simulation.passes(timedelta(minutes=30))
    assert simulation.hosting.serving("novaloop-bot") == NAME
    assert simulation.scheduler.get_schedule("novaloop-bot")["StartDate"] == promised
    simulation.delete_stack()
    simulation.passes(promised + DELETED_AFTER - simulation.clock.now())
    assert not serves(simulation)


@pytest.mark.parametrize("hours", [100, 800])
def test_whoever_serves_on_a_lasting_endpoint_is_ended_as_itself_has_promised(hours: int) -> None:
    """Not as the experiment before, which was kept for long: without its record it serves on."""
    simulation = live(PLANS["lasting"])
    for _ in range(hours // 100):
        simulation.command("demo", CommandKind.KEEP, hours=100)
        simulation.passes(timedelta(minutes=10))
    simulation.submit("next", SPEC + PLANS["lasting"])
    assert simulation.reaches("next", Status.LIVE)
    simulation.passes(timedelta(hours=3))
    assert simulation.is_in("demo", Status.COMPLETED)
    endpoint = simulation.record("next").endpoint
    assert endpoint is not None
    assert endpoint.expires_at is not None
    begins = simulation.scheduler.get_schedule("novaloop-bot")["StartDate"]
    assert begins == endpoint.expires_at + MARGIN
    simulation.delete_stack()
    simulation.passes(endpoint.expires_at + MARGIN + DELETED_AFTER - simulation.clock.now())
    assert not serves(simulation)


def test_an_endpoint_of_the_release_before_gets_its_schedule_at_the_next_look() -> None:
    simulation = live()
    snapshot: Snapshot = simulation.store.load("demo")
    record = simulation.record("demo")
    stages = tuple(replace(stage, backstop=None) for stage in record.stages)
    simulation.store.snapshots["demo"] = replace(snapshot, record=replace(record, stages=stages))
    simulation.scheduler.schedules.clear()
    simulation.passes(timedelta(hours=2))
    assert simulation.scheduler.get_schedule(NAME)["StartDate"] == expires_at(simulation) + MARGIN


def schedules_of(simulation: Simulation) -> dict[str, datetime]:
    """When each schedule begins that ends what serves, if it is switched on.

    That of a lasting endpoint, when it has to at the latest: a trial may have moved it.
    """
    promised = expires_at(simulation) + MARGIN
    return {
        name: promised if name == "novaloop-bot" else schedule["StartDate"]
        for name, schedule in simulation.scheduler.schedules.items()
        if schedule["State"] == "ENABLED"
    }


def told_of_schedules(simulation: Simulation) -> list[str]:
    return [text for _, text in simulation.notifier.messages if "was deleted by somebody" in text]


@any_plan
def test_a_schedule_that_is_deleted_by_hand_is_set_again_and_told_once(plan: bytes) -> None:
    simulation = live(plan)
    before = schedules_of(simulation)
    for _ in range(3):
        simulation.scheduler.schedules.clear()
        simulation.passes(timedelta(hours=1, minutes=10))
        assert schedules_of(simulation) == before
    assert len(told_of_schedules(simulation)) == 1
    assert "was deleted by somebody" in " ".join(simulation.record("demo").remarks)
    simulation.passes(timedelta(hours=10))
    assert len(simulation.notifier.messages) == len(set(simulation.notifier.messages))
    simulation.delete_stack()
    simulation.passes(timedelta(days=3))
    assert not serves(simulation)


def test_each_deletion_by_hand_is_told_and_in_the_history_at_most_once_a_day() -> None:
    simulation = live(b"plan: [sft, deploy: {ttl_hours: 600}]\n")
    for number, days in enumerate((2, 8, 5), 1):
        simulation.scheduler.schedules.clear()
        simulation.passes(timedelta(hours=3))
        simulation.scheduler.schedules.clear()
        simulation.passes(timedelta(hours=3))
        assert simulation.scheduler.schedules
        assert len(told_of_schedules(simulation)) == number
        history = [line.why for line in simulation.store.history("demo")]
        assert len([why for why in history if "was deleted by somebody" in why]) == number
        simulation.passes(timedelta(days=days))
        assert len(told_of_schedules(simulation)) == number
    assert len({*told_of_schedules(simulation)}) == 3, "each says when"


def test_each_change_by_hand_is_told_and_in_the_history_at_most_once_a_day() -> None:
    simulation = live(b"plan: [sft, deploy: {ttl_hours: 600}]\n")
    for number, days in enumerate((2, 8, 5), 1):
        for _ in range(2):
            changed(simulation, NAME, "Target.Arn")
            simulation.passes(timedelta(hours=3))
        assert len(told_as_changed(simulation)) == number
        history = [line.why for line in simulation.store.history("demo")]
        assert len([why for why in history if "was changed by somebody" in why]) == number
        simulation.passes(timedelta(days=days))
        assert len(told_as_changed(simulation)) == number


@any_plan
def test_one_schedule_of_several_that_is_deleted_is_set_again(plan: bytes) -> None:
    for name in schedules_of(live(plan)):
        simulation = live(plan)
        before = schedules_of(simulation)
        del simulation.scheduler.schedules[name]
        simulation.passes(timedelta(hours=1, minutes=10))
        assert schedules_of(simulation) == before


@any_plan
@pytest.mark.parametrize("change", [{"State": "DISABLED"}, {"later": timedelta(days=300)}])
def test_a_schedule_that_would_end_nothing_in_time_is_put_right(
    plan: bytes, change: dict[str, object]
) -> None:
    simulation = live(plan)
    before = schedules_of(simulation)
    for schedule in simulation.scheduler.schedules.values():
        later = change.get("later", timedelta(0))
        schedule["StartDate"] += later
        schedule["EndDate"] += later
        schedule["State"] = change.get("State", "ENABLED")
    simulation.passes(timedelta(hours=1, minutes=10))
    assert schedules_of(simulation) == before
    assert not told_of_schedules(simulation)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "State": lambda schedule: schedule.update(State="DISABLED"),
    "ScheduleExpression": lambda schedule: schedule.update(ScheduleExpression="rate(300 days)"),
    "EndDate": lambda schedule: schedule.update(
        EndDate=schedule["StartDate"] + timedelta(minutes=1)
    ),
    "ActionAfterCompletion": lambda schedule: schedule.update(ActionAfterCompletion="NONE"),
    "FlexibleTimeWindow.Mode": lambda schedule: schedule.update(
        FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1440}
    ),
    "KmsKeyArn": lambda schedule: schedule.update(KmsKeyArn="arn:aws:kms:us-east-1:1:key/x"),
    "Target.Arn": lambda schedule: schedule["Target"].update(
        Arn="arn:aws:scheduler:::aws-sdk:sagemaker:describeEndpoint"
    ),
    "Target.Input": lambda schedule: schedule["Target"].update(Input='{"EndpointName": "other"}'),
    "Target.RoleArn": lambda schedule: schedule["Target"].update(RoleArn=f"{ROLE}2"),
    "Target.RetryPolicy.MaximumRetryAttempts": lambda schedule: schedule["Target"].update(
        RetryPolicy={"MaximumRetryAttempts": 185}
    ),
}


def told_as_changed(simulation: Simulation) -> list[str]:
    return [text for _, text in simulation.notifier.messages if "was changed by somebody" in text]


def changed(simulation: Simulation, name: str, field: str) -> None:
    """Let somebody change a schedule; what was handed out of it before stays as it was."""
    schedule = copy.deepcopy(simulation.scheduler.schedules[name])
    CHANGES[field](schedule)
    simulation.scheduler.schedules[name] = schedule


@pytest.mark.parametrize(
    ("plan", "field"),
    [(PLANS["component"], field) for field in CHANGES]
    + [(plan, "Target.Arn") for name, plan in PLANS.items() if name != "component"],
)
def test_a_schedule_that_is_changed_by_hand_is_set_again_and_told_once(
    plan: bytes, field: str
) -> None:
    simulation = live(plan)
    before = copy.deepcopy(simulation.scheduler.schedules)
    for _ in range(3):
        for name in before:
            changed(simulation, name, field)
        simulation.passes(timedelta(hours=1, minutes=10))
        assert simulation.scheduler.schedules == before
    (message,) = told_as_changed(simulation)
    assert f"changed by somebody in its {field}" in message
    assert "was changed by somebody" in " ".join(simulation.record("demo").remarks)
    simulation.passes(timedelta(hours=10))
    assert len(simulation.notifier.messages) == len(set(simulation.notifier.messages))
    simulation.delete_stack()
    simulation.passes(timedelta(days=3))
    assert not serves(simulation)


@any_plan
@pytest.mark.parametrize("removed", ["StartDate", "EndDate", "StartDate, EndDate", "State"])
def test_a_schedule_of_which_somebody_removed_what_it_need_not_have_is_set_again(
    plan: bytes, removed: str
) -> None:
    """botocore's GetScheduleOutput requires no member."""
    simulation = live(plan)
    before = copy.deepcopy(simulation.scheduler.schedules)
    for name, schedule in before.items():
        left = {key: schedule[key] for key in schedule if key not in removed.split(", ")}
        simulation.scheduler.schedules[name] = left | {"ActionAfterCompletion": "NONE"}
    simulation.passes(timedelta(hours=1, minutes=10))
    assert simulation.scheduler.schedules == before
    (message,) = told_as_changed(simulation)
    assert "changed by somebody in its " in message
    assert all(name in message for name in (*removed.split(", "), "ActionAfterCompletion"))


@pytest.mark.parametrize("spelling", ['{ "EndpointName" :"%s"}', '{"EndpointName":"%s"}'])
def test_an_input_that_is_only_spelt_in_another_way_is_no_change(spelling: str) -> None:
    simulation = live()
    simulation.scheduler.schedules[NAME]["Target"]["Input"] = spelling % NAME
    simulation.passes(timedelta(hours=3))
    assert simulation.scheduler.schedules[NAME]["Target"]["Input"] == spelling % NAME
    assert not told_as_changed(simulation)


def test_a_lasting_endpoints_schedule_is_set_again_to_when_it_began() -> None:
    """It may begin later than this experiment needs: another one may have been promised more."""
    simulation = live(PLANS["lasting"])
    name = "novaloop-bot"
    for each in ("StartDate", "EndDate"):
        simulation.scheduler.schedules[name][each] += timedelta(days=20)
    begins = simulation.scheduler.schedules[name]["StartDate"]
    changed(simulation, name, "Target.RoleArn")
    simulation.passes(timedelta(hours=1, minutes=10))
    assert simulation.scheduler.schedules[name]["Target"]["RoleArn"] == ROLE
    assert simulation.scheduler.schedules[name]["StartDate"] == begins
    assert simulation.scheduler.schedules[name]["EndDate"] == begins + timedelta(days=7)


@any_plan
def test_a_schedule_that_is_deleted_after_its_begin_is_set_again_while_the_end_is_refused(
    plan: bytes,
) -> None:
    """Nothing else ends what the controller may not end."""
    simulation = live(plan)
    simulation.interposed.append(Undeletable())
    simulation.scheduler.cannot_end = True
    simulation.command("demo", CommandKind.STOP)
    simulation.emit("demo")
    names = {*simulation.scheduler.schedules}
    simulation.passes(timedelta(days=2))
    assert simulation.is_in("demo", Status.STOPPING)
    simulation.scheduler.schedules.clear()
    simulation.passes(timedelta(minutes=30))
    assert {*simulation.scheduler.schedules} == names
    stands = copy.deepcopy(simulation.scheduler.schedules)
    simulation.passes(timedelta(hours=5))
    assert simulation.scheduler.schedules == stands
    simulation.scheduler.cannot_end = False
    simulation.passes(timedelta(hours=1))
    assert not serves(simulation)
    simulation.interposed.clear()
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


def test_a_schedule_that_came_to_its_own_end_is_set_again_and_was_deleted_by_nobody() -> None:
    simulation = live()
    simulation.interposed.append(Undeletable())
    simulation.scheduler.cannot_end = True
    simulation.command("demo", CommandKind.STOP)
    simulation.emit("demo")
    simulation.passes(timedelta(days=20))
    assert simulation.is_in("demo", Status.STOPPING)
    assert {*simulation.scheduler.schedules} == {NAME}
    backstop = simulation.record("demo").stages[-1].backstop
    assert backstop is not None
    assert not backstop.was_gone
    assert not told_of_schedules(simulation)


def told_as_refused(simulation: Simulation) -> list[str]:
    return [text for _, text in simulation.notifier.messages if "until it can be set" in text]


@any_plan
def test_a_schedule_that_is_gone_and_can_not_be_set_is_told_once_and_set_when_it_can(
    plan: bytes,
) -> None:
    simulation = live(plan.replace(b"}", b", ttl_hours: 90}") if b"{" in plan else plan)
    before = schedules_of(simulation)
    simulation.scheduler.schedules.clear()
    simulation.scheduler.refusing = "AccessDeniedException"
    simulation.passes(timedelta(hours=15))
    assert simulation.is_in("demo", Status.LIVE)
    (message,) = told_as_refused(simulation)
    assert "AccessDeniedException" in message
    assert "until it can be set" in " ".join(simulation.record("demo").remarks)
    simulation.scheduler.refusing = None
    simulation.passes(timedelta(minutes=30))
    assert schedules_of(simulation) == before
    assert "until it can be set" not in " ".join(simulation.record("demo").remarks)
    assert len(told_as_refused(simulation)) == 1


def unreachable() -> Fails:
    """Let no request to create or change a schedule come to an answer."""
    changes = ("scheduler.create_schedule", "scheduler.update_schedule")
    return Fails(changes, ConnectTimeoutError(endpoint_url="https://scheduler"))


def test_what_can_not_be_kept_since_scheduler_does_not_answer_is_told() -> None:
    simulation = live()
    simulation.notifier.messages.clear()
    simulation.interposed.append(unreachable())
    simulation.command("demo", CommandKind.KEEP, hours=100)
    simulation.passes(timedelta(hours=2))
    (message,) = [text for _, text in simulation.notifier.messages]
    assert "can't be kept until" in message
    assert "ConnectTimeoutError" in message
    simulation.interposed.clear()
    simulation.passes(timedelta(minutes=30))
    assert expires_at(simulation) > simulation.clock.now() + timedelta(hours=90)


@any_plan
def test_a_schedule_that_can_not_be_set_since_scheduler_does_not_answer_is_told(
    plan: bytes,
) -> None:
    simulation = live(plan)
    simulation.interposed.append(unreachable())
    simulation.scheduler.schedules.clear()
    simulation.passes(timedelta(hours=5))
    (message,) = told_as_refused(simulation)
    assert "ConnectTimeoutError" in message


def test_a_schedule_that_can_not_be_set_for_a_moment_is_no_news() -> None:
    simulation = live()
    simulation.scheduler.schedules.clear()
    simulation.scheduler.refusing = "ThrottlingException"
    assert simulation.run(lambda: refused_backstop(simulation) is not None)
    simulation.scheduler.refusing = None
    simulation.passes(timedelta(hours=2))
    assert refused_backstop(simulation) is None
    assert not told_as_refused(simulation)


def refused_backstop(simulation: Simulation) -> object:
    backstop = simulation.record("demo").stages[-1].backstop
    assert backstop is not None
    return backstop.refused


@any_plan
def test_a_schedule_that_is_deleted_while_the_end_is_refused_is_set_again(plan: bytes) -> None:
    simulation = live(plan)
    simulation.interposed.append(Undeletable())
    simulation.command("demo", CommandKind.STOP)
    simulation.emit("demo")
    simulation.passes(timedelta(minutes=20))
    assert simulation.is_in("demo", Status.STOPPING)
    names = {*simulation.scheduler.schedules}
    simulation.scheduler.schedules.clear()
    simulation.passes(timedelta(minutes=20))
    assert {*simulation.scheduler.schedules} == names
    simulation.interposed.clear()
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.check("demo")


class Undeletable:
    """Denies the controller to delete what serves; schedules call the service themselves."""

    def around(self, call: Call) -> object:
        if ".delete_" in call.name and "schedule" not in call.name:
            raise refusal("AccessDeniedException", "no")
        return call()


def test_a_schedule_that_only_does_not_show_is_no_news() -> None:
    simulation = live()
    before = schedules_of(simulation)
    simulation.interposed.append(Hidden())
    simulation.passes(timedelta(hours=5))
    assert schedules_of(simulation) == before
    assert not told_of_schedules(simulation)


class Hidden:
    """Says of every schedule that it does not exist, whatever is there."""

    def around(self, call: Call) -> object:
        if call.name == "scheduler.get_schedule":
            raise refusal("ResourceNotFoundException", "no")
        return call()


@pytest.mark.parametrize("away", [timedelta(minutes=5), timedelta(hours=2)])
def test_a_schedule_of_what_was_billed_by_the_hour_goes_also_if_its_stage_is_no_more(
    away: timedelta,
) -> None:
    """A retry may serve on demand what was to be served by the hour, before that is cleared up."""
    simulation = live(b"plan: [sft, deploy: {ttl_hours: 1}]\n")
    scheduler = Fails(("scheduler.delete",), ConnectTimeoutError(endpoint_url="x"))
    simulation.interposed.append(scheduler)
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    on_demand = SPEC + b"plan: [sft, deploy: {to: bedrock-on-demand, ttl_hours: 9}]\n"
    simulation.command("demo", CommandKind.RETRY, stage="deploy", spec=on_demand.decode())
    simulation.passes(away)
    scheduler.on = False
    assert simulation.settles("demo") is Status.LIVE
    simulation.passes(timedelta(hours=1, minutes=10))
    assert not simulation.scheduler.schedules
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.passes(timedelta(hours=1))
    assert simulation.record("demo").due_at is None


def test_a_live_experiment_costs_one_look_at_its_schedule_an_hour() -> None:
    simulation = live()
    seen = Counting()
    simulation.interposed.append(seen)
    simulation.passes(timedelta(hours=10))
    assert 8 <= seen.calls <= 12


class Counting:
    """Counts the looks at schedules."""

    calls = 0

    def around(self, call: Call) -> object:
        self.calls += call.name == "scheduler.get_schedule"
        return call()
