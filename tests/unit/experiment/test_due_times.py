"""When an experiment is looked at again though no event calls for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.controller.observation import Observation, Phase, ResourceStatus
from novaloop.experiment.record import (
    Attempt,
    Endpoint,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
    Suspect,
    Suspicion,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import DeployStage, SftStage, StageKind
from novaloop.experiment.versions import mark_of
from tests.stages import changed

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
SERVES = Endpoint("novaloop-demo--deploy-1", NOW - HOUR, NOW + 100 * HOUR)
SFT = Stage(
    StageKind.SFT, "sft", StageState.SUCCEEDED, attempt=Attempt(job_name="novaloop-demo--sft-1")
)
DEPLOY = Stage(
    StageKind.DEPLOY,
    "deploy",
    StageState.SUCCEEDED,
    attempt=Attempt(
        job_name="novaloop-demo--deploy-1", claimed_at=NOW - HOUR, job_arn="arn:endpoint"
    ),
)
RECORD = Record(
    "demo",
    ExperimentSpec(plan=(SftStage(), DeployStage())),
    NOW,
    status=Status.LIVE,
    stages=(SFT, DEPLOY),
    endpoint=SERVES,
)
ACTIVE, READY = ResourceStatus(Phase.ACTIVE), ResourceStatus(Phase.READY, arn="arn:endpoint")


def due_at(record: Record, **seen: Any) -> datetime | None:
    return decide(Observation(Snapshot("demo", record), **seen), NOW, Policy()).record.due_at


def running(state: StageState, **fields: Any) -> Record:
    """Return an experiment whose training stands so."""
    stage = changed(SFT, state=state, claimed_at=NOW - MINUTE, **fields)
    deploy = Stage(StageKind.DEPLOY, "deploy")
    return replace(RECORD, status=Status.RUNNING, stages=(stage, deploy), endpoint=None)


@pytest.mark.parametrize("status", [each for each in Status if not each.is_final])
def test_what_goes_on_is_looked_at_again_within_the_hour(status: Status) -> None:
    record = replace(
        RECORD,
        status=status,
        stages=(SFT, replace(DEPLOY, attempt=replace(DEPLOY.attempt, progress=None))),
    )
    due = due_at(record, resource=READY)
    assert due is not None
    assert NOW < due <= NOW + HOUR


def test_a_time_that_is_still_ahead_is_kept() -> None:
    """Else each look would put the next one off, and a commit of its own would pay for it."""
    record = replace(RECORD, due_at=NOW + MINUTE)
    assert due_at(record, resource=READY) == NOW + MINUTE
    assert due_at(replace(RECORD, due_at=NOW - MINUTE), resource=READY) == NOW + HOUR


def test_what_serves_is_looked_at_when_its_time_is_up() -> None:
    soon = replace(SERVES, expires_at=NOW + 7 * MINUTE)
    assert due_at(replace(RECORD, endpoint=soon), resource=READY) == NOW + 7 * MINUTE
    assert due_at(RECORD, resource=READY) == NOW + HOUR


def test_what_is_to_be_kept_is_looked_at_until_its_schedule_is_moved() -> None:
    kept = replace(RECORD, endpoint=replace(SERVES, kept_until=NOW + 200 * HOUR))
    assert due_at(kept, resource=READY) == NOW + 5 * MINUTE


def test_what_waits_is_looked_at_when_its_next_try_comes() -> None:
    at = NOW + 3 * MINUTE
    assert due_at(running(StageState.WAITING, next_try_at=at)) == at


def test_what_is_checked_is_looked_at_when_the_next_check_comes() -> None:
    checked = running(StageState.SCORING, checks=1, checked_at=NOW - 2 * MINUTE)
    assert due_at(checked) == NOW + 3 * MINUTE


def test_a_launch_that_does_not_show_is_looked_at_within_half_a_minute() -> None:
    assert due_at(running(StageState.CLAIMED), resource=ResourceStatus()) == NOW + 30 * SECOND


def test_what_ends_is_looked_at_within_half_a_minute() -> None:
    stopping = replace(RECORD, status=Status.STOPPING, stopping_to=Status.STOPPED)
    assert due_at(stopping, resource=ResourceStatus(Phase.ENDING)) == NOW + 30 * SECOND


def test_what_is_suspect_is_looked_at_when_the_next_look_counts() -> None:
    at = NOW + 20 * SECOND
    suspicion = Suspicion(Suspect.ABSENT, NOW - MINUTE, at)
    suspect = running(StageState.RUNNING, job_arn="arn", suspicion=suspicion)
    assert due_at(suspect, resource=ResourceStatus()) == at


def test_what_is_over_is_looked_at_until_people_were_told() -> None:
    over = replace(RECORD, status=Status.COMPLETED, reason="done", endpoint=None)
    assert due_at(over) == NOW + 5 * MINUTE
    mark = mark_of("COMPLETED", "done")
    reported = f"0 warnings; {mark}"
    assert due_at(replace(over, notified=mark)) == NOW + 5 * MINUTE
    assert due_at(replace(over, notified=mark, reported=reported)) is None
