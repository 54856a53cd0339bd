"""No command and no run of bad luck may end in an experiment that can't be looked at any more."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Decision, Policy
from novaloop.experiment.controller.observation import Cause, Observation, Phase, ResourceStatus
from novaloop.experiment.names import MAX_ATTEMPT
from novaloop.experiment.record import (
    Attempt,
    CommandItem,
    CommandKind,
    Endpoint,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import LONGEST_TTL_HOURS, StageKind

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIVE = Record(
    "demo",
    ExperimentSpec(),
    NOW,
    status=Status.LIVE,
    stages=(
        Stage(
            StageKind.DEPLOY,
            "deploy",
            StageState.SUCCEEDED,
            attempt=Attempt(job_name="novaloop-demo--d-1"),
        ),
    ),
    endpoint=Endpoint("novaloop-demo--d-1", NOW, NOW + timedelta(hours=1)),
)
LAST_TRY = Stage(
    StageKind.SFT,
    "sft",
    StageState.RUNNING,
    attempt=Attempt(
        number=MAX_ATTEMPT, job_name=f"novaloop-demo--sft-{MAX_ATTEMPT}", claimed_at=NOW
    ),
)
NO_CAPACITY = ResourceStatus(Phase.LOST, reason="CapacityError: no capacity", cause=Cause.CAPACITY)


def told(
    record: Record, command: CommandItem | None = None, resource: ResourceStatus | None = None
) -> Decision:
    commands = (command,) if command else ()
    return decide(Observation(Snapshot("demo", record, commands=commands), resource), NOW, Policy())


@pytest.mark.parametrize("hours", [0, -1, math.nan, math.inf, 1e12, LONGEST_TTL_HOURS + 1])
def test_hours_that_no_endpoint_can_live_are_ignored(hours: float) -> None:
    keep = CommandItem("1", CommandKind.KEEP, "jane", NOW, hours=hours)
    decision = told(LIVE, keep)
    assert decision.history[0].why.startswith("ignored: keep needs a number of hours above 0")
    assert decision.record.endpoint == LIVE.endpoint
    assert decision.applied == (keep,)


def test_a_stage_without_capacity_fails_when_its_attempts_are_used_up() -> None:
    running = replace(LIVE, status=Status.RUNNING, stages=(LAST_TRY,), endpoint=None)
    before = replace(LAST_TRY, attempt=replace(LAST_TRY.attempt, number=MAX_ATTEMPT - 1))
    waiting = told(replace(running, stages=(before,)), resource=NO_CAPACITY).record.stages[0]
    assert (waiting.state, waiting.attempt.number) == (StageState.WAITING, MAX_ATTEMPT)
    assert told(running, resource=NO_CAPACITY).record.stages[0].state is StageState.FAILED


def test_a_retry_beyond_the_last_attempt_is_ignored() -> None:
    failed = replace(LAST_TRY, state=StageState.FAILED)
    record = replace(LIVE, status=Status.FAILED, stages=(failed,), endpoint=None)
    decision = told(record, CommandItem("1", CommandKind.RETRY, "jane", NOW))
    assert "used up its 999 attempts" in decision.history[0].why
    assert decision.record.stages == (failed,)
