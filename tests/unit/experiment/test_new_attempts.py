"""A new attempt carries nothing of the former one, whatever an attempt comes to hold."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import pytest

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.controller.observation import (
    Cause,
    Observation,
    Phase,
    Refusal,
    ResourceStatus,
    needs_resource,
)
from novaloop.experiment.record import (
    Attempt,
    CommandItem,
    CommandKind,
    Obstacle,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import DeployStage, SftStage, StageKind
from tests.integration import rich_items
from tests.integration.rich_items import NOW, complete

LATER = NOW + timedelta(hours=1)
LOST = ResourceStatus(Phase.LOST, cause=Cause.CAPACITY, billable_seconds=700)


def tried(kind: StageKind, state: StageState) -> Stage:
    """Return a stage of which no field, and none of its second attempt's, has its default."""
    stage = complete(replace(rich_items.stage(), kind=kind, name=str(kind), state=state))
    name = f"novaloop-demo--{kind}-2"
    attempt = complete(replace(stage.attempt, job_name=name))
    assert stage.backstop is not None
    # The schedule of an endpoint that serves one experiment after the other is set anew by each.
    return replace(stage, attempt=attempt, backstop=replace(stage.backstop, lasting=False))


def record_with(stage: Stage, status: Status = Status.RUNNING) -> Record:
    done = Stage(StageKind.SFT, "sft", StageState.SUCCEEDED, checkpoint="s3://bucket/checkpoint")
    plan = (SftStage(), DeployStage()) if stage.kind.serves else (SftStage(),)
    stages = (done, stage) if stage.kind.serves else (stage,)
    return Record("demo", ExperimentSpec(plan=plan), NOW, status=status, stages=stages)


def after(record: Record, **seen: object) -> Stage:
    """Return the last stage as one decision leaves it."""
    observation = Observation(Snapshot("demo", record), **seen)  # type: ignore[arg-type]
    return decide(observation, LATER, Policy()).record.stages[-1]


def test_a_lost_job_is_tried_again_by_an_attempt_of_which_nothing_is_known() -> None:
    before = tried(StageKind.SFT, StageState.RUNNING)
    waiting = after(record_with(before), resource=LOST)
    assert waiting.state is StageState.WAITING
    assert waiting.attempt == Attempt(3, warned=before.attempt.warned)
    assert waiting.earlier_seconds == before.earlier_seconds + 700
    assert not needs_resource(Snapshot("demo", record_with(waiting))), (
        "the lost job, as it was shown before, would pass for the next one's"
    )
    due = record_with(replace(waiting, next_try_at=LATER))
    claimed = after(due)
    assert claimed.state is StageState.CLAIMED
    assert claimed.attempt == replace(
        waiting.attempt, job_name="novaloop-demo--sft-3", claimed_at=LATER
    )


def test_so_is_a_deployment_once_what_was_lost_is_cleared_away() -> None:
    before = tried(StageKind.DEPLOY, StageState.CLEARING)
    waiting = after(record_with(before, Status.DEPLOYING), resource=ResourceStatus(Phase.ABSENT))
    assert waiting.state is StageState.WAITING
    assert waiting.attempt == Attempt(3, warned=before.attempt.warned)
    assert waiting.earlier_seconds == before.earlier_seconds + 3_600
    assert waiting.backstop == before.backstop, "it is to be removed yet"


@pytest.mark.parametrize("kind", [StageKind.SFT, StageKind.DEPLOY])
@pytest.mark.parametrize(
    "state", [StageState.FAILED, StageState.STOPPED, StageState.WAITING, StageState.SUCCEEDED]
)
def test_a_retry_keeps_what_was_billed_and_the_schedule_to_be_removed(
    kind: StageKind, state: StageState
) -> None:
    before = tried(kind, state)
    record = replace(record_with(before, Status.FAILED), ended_at=LATER)
    command = CommandItem("1", CommandKind.RETRY, "jane", LATER, stage=before.name)
    seen = Observation(Snapshot("demo", record, commands=(command,)))
    again = decide(seen, LATER, Policy()).record.stages[-1]
    billed = 3_600 if kind.serves else before.attempt.billable_seconds
    assert again == Stage(
        kind,
        before.name,
        attempt=Attempt(3),
        earlier_seconds=before.earlier_seconds + billed,
        earlier_usd=before.earlier_usd,
        unpriced=before.unpriced,
        backstop=before.backstop,
    )


@pytest.mark.parametrize("number", [1, 3], ids=["behind others", "after a loss"])
def test_what_waits_for_an_attempt_to_begin_is_stopped_at_once(number: int) -> None:
    waiting = Stage(StageKind.SFT, "sft", StageState.WAITING, Attempt(number))
    record = replace(record_with(waiting), status=Status.STOPPING, stopping_to=Status.STOPPED)
    decision = decide(Observation(Snapshot("demo", record)), LATER, Policy())
    assert decision.record.status is Status.STOPPED
    (stopped,) = decision.record.stages
    assert (stopped.state, stopped.attempt.number) == (StageState.STOPPED, number)


def test_a_refused_launch_is_repeated_by_the_same_attempt() -> None:
    before = tried(StageKind.SFT, StageState.CLAIMED)
    refused = {"refusal": Refusal("no", Obstacle.QUOTA), "resource": ResourceStatus(Phase.ABSENT)}
    waiting = after(record_with(before), **refused)
    assert waiting.state is StageState.WAITING
    assert (waiting.attempt.number, waiting.attempt.job_name) == (2, before.attempt.job_name)
    assert waiting.attempt.suspicion is None
    again = after(record_with(replace(waiting, next_try_at=LATER)))
    assert again.attempt == replace(waiting.attempt, claimed_at=LATER)


def test_what_release_0_1_0_left_of_the_former_attempt_goes_with_the_next_claim() -> None:
    """There, what waited had the next number, and all else of the attempt before."""
    before = tried(StageKind.SFT, StageState.WAITING)
    known = replace(before.attempt, number=3)
    claimed = after(record_with(replace(before, attempt=known, next_try_at=LATER)))
    assert claimed.attempt == Attempt(
        3, job_name="novaloop-demo--sft-3", claimed_at=LATER, warned=known.warned
    )


@pytest.mark.parametrize("state", [StageState.WAITING, StageState.PENDING])
def test_an_attempt_that_was_never_claimed_is_no_attempt_yet(state: StageState) -> None:
    never = Stage(StageKind.SFT, "sft", state, Attempt(3))
    assert never.with_new_attempt(LATER) == never


def test_the_fields_of_an_attempt_are_told_from_its_stages_by_their_names() -> None:
    """In the record's item they stand side by side."""
    own = {each.name for each in fields(Stage)}
    assert own.isdisjoint(each.name for each in fields(Attempt))
