"""How long answers may be stale does not hang on how often a stack looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.controller.observation import Observation, ResourceStatus
from novaloop.experiment.controller.suspicion import seen_again, watched
from novaloop.experiment.record import Attempt, Record, Snapshot, Stage, StageState, Status, Suspect
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind

NOW = datetime(2026, 1, 5, tzinfo=UTC)
JOB = Stage(
    StageKind.SFT, "sft", StageState.RUNNING, attempt=Attempt(job_name="novaloop-x--0000-sft-1")
)
RECORD = Record("x", ExperimentSpec(), NOW, status=Status.RUNNING, stages=(JOB,))


@pytest.mark.parametrize("look_seconds", [1, 10, 60, 270, 3600])
def test_what_seems_gone_is_believed_after_minutes_however_often_a_stack_looks(
    look_seconds: int,
) -> None:
    policy = Policy(look_every=timedelta(seconds=look_seconds))
    record, believed_at = RECORD, None
    for second in range(0, 900, min(look_seconds, 30)):
        now = NOW + timedelta(seconds=second)
        seen = Observation(Snapshot("x", record), ResourceStatus())
        record = watched(record, seen, now, policy)
        suspicion = record.stages[0].attempt.suspicion
        if suspicion is not None and suspicion.confirmed:
            believed_at = believed_at or now
    assert believed_at is not None
    assert timedelta(minutes=5) <= believed_at - NOW <= timedelta(minutes=6)


def test_where_nothing_lags_it_is_believed_sooner() -> None:
    policy = replace(Policy(), lag=timedelta(seconds=5))
    assert policy.looks_apart == timedelta(seconds=1)
    assert Policy().looks_apart == timedelta(minutes=1)


@pytest.mark.parametrize(("minutes", "believed"), [((0, 10), False), ((0, 1, 10), True)])
def test_two_looks_are_not_enough_however_far_they_are_apart(
    minutes: tuple[int, ...], believed: bool
) -> None:
    """Where hints are lost, only the sweep looks: two stale answers may be all that there is."""
    policy = Policy()
    known = None
    for minute in minutes:
        known = seen_again(known, Suspect.ABSENT, "", NOW + timedelta(minutes=minute), policy)
    assert known is not None
    assert known.confirmed is believed
