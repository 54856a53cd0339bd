"""What each of a person's commands does to an experiment of each status."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from novaloop.experiment.controller.commands import wait_of
from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Decision, Policy
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.record import (
    Attempt,
    Cleanup,
    CommandItem,
    CommandKind,
    Endpoint,
    GateVerdict,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import DeployStage, SftStage, StageKind

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HELD = GateVerdict("HOLD", promotes=False, summary="em is too low")
SERVES = Endpoint("novaloop-demo--deploy-2", NOW - HOUR, NOW + HOUR)
RECORD = Record(
    "demo",
    ExperimentSpec(plan=(SftStage(), DeployStage())),
    NOW - HOUR,
    reason="as it was",
    stages=(
        Stage(StageKind.SFT, "sft", StageState.SUCCEEDED, Attempt(3, "novaloop-demo--sft-3")),
        Stage(
            StageKind.DEPLOY, "deploy", StageState.SUCCEEDED, Attempt(2, "novaloop-demo--deploy-2")
        ),
    ),
    started_at=NOW - HOUR,
    ended_at=NOW - HOUR,
    gate=HELD,
    approved_by="joe",
    endpoint=SERVES,
    uid="uid",
)
FINAL = {Status.COMPLETED, Status.EXPIRED, Status.STOPPED, Status.FAILED}
ASKS = {Status.HELD, Status.AWAITING_APPROVAL}
APPLIED = {
    CommandKind.APPROVE: dict.fromkeys(ASKS, Status.DEPLOYING),
    CommandKind.REJECT: dict.fromkeys(ASKS, Status.STOPPING),
    CommandKind.STOP: dict.fromkeys(set(Status) - FINAL - {Status.STOPPING}, Status.STOPPING),
    CommandKind.RETRY: dict.fromkeys({Status.HELD, *FINAL}, Status.RUNNING),
    CommandKind.KEEP: {Status.LIVE: Status.LIVE},
    CommandKind.CLEANUP: {each: each for each in FINAL} | {Status.LIVE: Status.STOPPING},
}
"""What an experiment becomes by a command, by what it was. All other commands are ignored."""


def applied(record: Record, kind: CommandKind, **fields: object) -> Decision:
    fields = {"answers": wait_of(record), **fields}
    command = CommandItem("1", kind, "jane", NOW, **fields)  # type: ignore[arg-type]
    decision = decide(Observation(Snapshot("demo", record, commands=(command,))), NOW, Policy())
    assert decision.applied == (command,), "its item goes with the commit, whatever it said"
    return decision


def what_commands_change(record: Record) -> tuple[object, ...]:
    states = tuple((each.state, each.attempt.number) for each in record.stages)
    of_people = record.gate, record.approved_by, record.budget_lifted_by, record.cleanup
    return record.status, record.reason, record.stopping_to, record.endpoint, states, of_people


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("kind", CommandKind)
def test_every_command_in_every_status(kind: CommandKind, status: Status) -> None:
    record = replace(RECORD, status=status)
    decision = applied(record, kind, hours=1)
    after, asked = decision.record, decision.history[0]
    assert asked.what == f"{kind} by jane"
    expected = APPLIED[kind].get(status)
    if expected is None:
        assert asked.why.startswith("ignored: ")
        assert decision.history[1:] == ()
        assert what_commands_change(after) == what_commands_change(record)
        return
    assert after.status is expected
    assert asked.why == ""
    ends = {CommandKind.REJECT: Status.STOPPED, CommandKind.STOP: Status.STOPPED}
    to = ends.get(kind, Status.COMPLETED) if expected is Status.STOPPING else None
    assert after.stopping_to is to
    assert (after.cleanup is not None) == (kind is CommandKind.CLEANUP)


def test_a_retry_forgets_what_was_judged_and_approved_and_takes_new_names() -> None:
    record = replace(
        RECORD, status=Status.EXPIRED, cleanup=Cleanup("joe"), stopping_to=Status.STOPPED
    )
    after = applied(record, CommandKind.RETRY, stage="sft").record
    assert after.gate is None
    assert after.approved_by is None
    assert after.endpoint is None
    assert after.cleanup is None
    assert after.stopping_to is None
    assert [(each.state, each.attempt.number, each.attempt.job_name) for each in after.stages] == [
        (StageState.PENDING, 4, None),
        (StageState.PENDING, 3, None),
    ]


def test_a_retry_of_a_stage_that_was_never_launched_keeps_its_number() -> None:
    never = replace(RECORD.stages[1], state=StageState.PENDING, attempt=Attempt())
    record = replace(RECORD, status=Status.HELD, stages=(RECORD.stages[0], never))
    assert applied(record, CommandKind.RETRY).record.stages == (RECORD.stages[0], never)


def test_a_retry_begins_where_all_before_it_has_succeeded() -> None:
    failed = replace(RECORD.stages[0], state=StageState.FAILED)
    record = replace(RECORD, status=Status.FAILED, stages=(failed, RECORD.stages[1]))
    decision = applied(record, CommandKind.RETRY, stage="deploy")
    assert decision.history[0].why == ("ignored: sft comes before deploy and has not succeeded")
    assert decision.record.stages == record.stages


def test_approving_over_the_budget_lifts_the_budget_and_nothing_else() -> None:
    pending = Stage(StageKind.DEPLOY, "deploy")
    spec = ExperimentSpec(plan=(SftStage(), DeployStage()), budget_usd=1)
    record = replace(
        RECORD,
        spec=spec,
        status=Status.HELD,
        approved_by=None,
        stages=(RECORD.stages[0], pending),
    )
    after = applied(record, CommandKind.APPROVE).record
    assert (after.budget_lifted_by, after.approved_by) == ("jane", None)
    assert after.status is Status.RUNNING


def test_nothing_is_kept_before_its_schedule_is_moved() -> None:
    after = applied(replace(RECORD, status=Status.LIVE), CommandKind.KEEP, hours=5).record
    assert after.endpoint == replace(SERVES, kept_until=NOW + 6 * HOUR)


def test_nothing_is_kept_beyond_the_budget() -> None:
    spec = ExperimentSpec(plan=(SftStage(), DeployStage()), budget_usd=10)
    serving = replace(
        RECORD.stages[1], attempt=replace(RECORD.stages[1].attempt, started_at=NOW - HOUR)
    )
    record = replace(RECORD, spec=spec, status=Status.LIVE, stages=(RECORD.stages[0], serving))
    decision = applied(record, CommandKind.KEEP, hours=100)
    assert decision.history[0].why.startswith("ignored: the budget lasts until ")
    assert decision.record.endpoint == SERVES


def test_a_command_for_a_former_experiment_of_the_name_is_ignored() -> None:
    record = replace(RECORD, status=Status.LIVE)
    decision = applied(record, CommandKind.STOP, uid="former")
    assert decision.record.status is Status.LIVE
    assert decision.history[0].why == "ignored: it was given to a former experiment of this name"
    assert applied(record, CommandKind.STOP, uid="uid").record.status is Status.STOPPING


@pytest.mark.parametrize("kind", [CommandKind.APPROVE, CommandKind.REJECT, CommandKind.RETRY])
def test_who_approved_something_else_decides_nothing(kind: CommandKind) -> None:
    """Nor who rejected it, or asked for another try: who gave it saw another reason, or attempt."""
    seen = replace(RECORD, status=Status.HELD, reason="budget: 1.00 of 1.00 USD are spent")
    gone_on = replace(seen, reason="HOLD: em is too low")
    other = replace(RECORD.stages[0], attempt=Attempt(4, "novaloop-demo--sft-4"))
    again = replace(seen, stages=(other, *RECORD.stages[1:]))
    for record in (gone_on, again, replace(seen, spec_digest="other settings")):
        decision = applied(record, kind, answers=wait_of(seen))
        assert decision.history[0].why == (
            "ignored: the experiment has gone on since, and whoever gave it can't have seen that "
            f"it is HELD: {record.reason}; decide on that"
        )
        assert what_commands_change(decision.record) == what_commands_change(record)
    told_meanwhile = replace(seen, version=9, notified="HELD", unread="an item")
    assert applied(told_meanwhile, kind, answers=wait_of(seen)).history[0].why == ""


def test_of_a_command_line_that_says_not_what_it_answers_only_what_spends_is_refused() -> None:
    record = replace(RECORD, status=Status.HELD)
    why = applied(record, CommandKind.APPROVE, answers=None).history[0].why
    assert why.startswith("ignored: it does not say what it answers; update the novaloop command")
    assert applied(record, CommandKind.REJECT, answers=None).record.status is Status.STOPPING


SPENDS = {
    CommandKind.RETRY: Status.FAILED,
    CommandKind.APPROVE: Status.HELD,
    CommandKind.KEEP: Status.LIVE,
}


@pytest.mark.parametrize("end", [CommandKind.STOP, CommandKind.REJECT, CommandKind.CLEANUP])
@pytest.mark.parametrize("spends", SPENDS)
@pytest.mark.parametrize("ahead", [timedelta(minutes=2), timedelta(minutes=-2)])
def test_what_ends_holds_against_what_spends_whatever_the_clocks_say(
    spends: CommandKind, end: CommandKind, ahead: timedelta
) -> None:
    record = replace(RECORD, status=SPENDS[spends], version=1)
    asked = CommandItem("1", spends, "joe", NOW + ahead, hours=1, answers=wait_of(record))
    ended = CommandItem("2", end, "jane", NOW, uid="uid", answers=wait_of(record))
    pending = tuple(sorted((asked, ended), key=lambda each: each.at))
    first = decide(Observation(Snapshot("demo", record, commands=pending)), NOW, Policy())
    assert first.applied == (asked,), "what ends stays there until nothing else is"
    assert first.history[0].why == f"ignored: jane asked for {end} at the same time, which holds"
    assert what_commands_change(first.record) == what_commands_change(record)
    last = Observation(Snapshot("demo", first.record, commands=(ended,)))
    assert decide(last, NOW, Policy()).applied == (ended,)
    former = replace(ended, uid="former")
    both = decide(Observation(Snapshot("demo", record, commands=(asked, former))), NOW, Policy())
    assert both.history[0].why == ""
