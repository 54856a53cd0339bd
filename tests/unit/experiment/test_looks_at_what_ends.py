"""No event tells that something is gone, or that it shows by now: it is looked at again soon."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.controller.observation import (
    Observation,
    Phase,
    ResourceStatus,
    TaggedResource,
)
from novaloop.experiment.record import Attempt, Cleanup, Record, Snapshot, Stage, StageState, Status
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ENDING = Record(
    "demo",
    ExperimentSpec(),
    NOW,
    status=Status.STOPPING,
    stages=(
        Stage(
            StageKind.DEPLOY,
            "deploy",
            StageState.SUCCEEDED,
            attempt=Attempt(job_name="novaloop-demo--deploy-1"),
        ),
    ),
)
CLEARING = replace(ENDING, status=Status.COMPLETED, cleanup=Cleanup("jane"))
CLAIMED = replace(
    ENDING,
    status=Status.RUNNING,
    stages=(
        Stage(
            StageKind.DEPLOY,
            "deploy",
            StageState.CLAIMED,
            attempt=Attempt(job_name="novaloop-demo--deploy-1", claimed_at=NOW),
        ),
    ),
)
SEEN = {
    "stopping": Observation(Snapshot("demo", ENDING), ResourceStatus(Phase.ENDING)),
    "launched and not to be seen yet": Observation(
        Snapshot("demo", CLAIMED), ResourceStatus(Phase.ABSENT)
    ),
    "clearing away": Observation(
        Snapshot("demo", CLEARING), tagged=(TaggedResource("sagemaker:endpoint", "orphan"),)
    ),
}


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
@pytest.mark.parametrize(("look_seconds", "waits"), [(270, 30), (2, 2)])
def test_as_often_as_the_stack_says_and_at_least_each_half_minute(
    seen: Observation, look_seconds: int, waits: int
) -> None:
    after = decide(seen, NOW, Policy(look_every=timedelta(seconds=look_seconds))).record
    assert after.due_at == NOW + timedelta(seconds=waits)
