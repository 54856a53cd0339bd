from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Decision, Policy, UpdateReport, Warn
from novaloop.experiment.controller.notifications import MOST_GONE, QUIET
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.record import Attempt, Record, Snapshot, Stage, StageState, Status, Trouble
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.versions import mark_of
from novaloop.training.notes import HealthKind, HealthNote

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NOTE = HealthNote(HealthKind.REWARD_COLLAPSE, 13, "step 13: the mean reward fell")
CLIPPED = HealthNote(HealthKind.LENGTH_CLIPPING, 20, "step 20: responses were cut off")
FAILED = Record(
    "demo",
    ExperimentSpec(),
    NOW,
    status=Status.FAILED,
    reason="rft: stopped",
    notified=mark_of("FAILED", "rft: stopped"),
    stages=(
        Stage(StageKind.RFT, "rft", StageState.FAILED, attempt=Attempt(health=(NOTE, CLIPPED))),
    ),
)


def look(record: Record, warned: tuple[tuple[str, HealthKind], ...] = ()) -> Decision:
    return decide(Observation(Snapshot("demo", record), warned=warned), NOW, Policy())


def warnings(decision: Decision) -> list[Warn]:
    return [command for command in decision.commands if isinstance(command, Warn)]


def test_people_are_warned_of_each_ill_even_when_the_experiment_is_over() -> None:
    decision = look(FAILED)
    assert warnings(decision) == [Warn("rft", NOTE), Warn("rft", CLIPPED)]
    assert decision.record.due_at == NOW + timedelta(minutes=5)


def test_of_what_they_were_told_they_are_not_told_again() -> None:
    told = look(FAILED, (("rft", NOTE.kind),))
    assert warnings(told) == [Warn("rft", CLIPPED)]
    assert told.record.stage("rft").attempt.warned == (NOTE.kind,)
    all_told = look(told.record, (("rft", CLIPPED.kind),))
    (command,) = all_told.commands
    assert isinstance(command, UpdateReport), "the report tells of both"
    reported = look(replace(all_told.record, reported=command.mark))
    assert not reported.commands
    assert reported.record.due_at is None


def test_a_warning_of_one_stage_is_none_of_another() -> None:
    sft = Stage(StageKind.SFT, "sft", StageState.SUCCEEDED, attempt=Attempt(health=(NOTE,)))
    both = replace(FAILED, stages=(sft, *FAILED.stages))
    told = look(both, (("sft", NOTE.kind),))
    assert warnings(told) == [Warn("rft", NOTE), Warn("rft", CLIPPED)]


@pytest.mark.parametrize(
    ("kind", "ill"),
    [("sft", "reward_collapse"), ("rft", "loss_divergence"), ("sft", "bad_luck")],
)
def test_a_stage_can_be_stopped_only_on_what_its_log_can_show(kind: str, ill: str) -> None:
    with pytest.raises(ValidationError, match="stop_on"):
        ExperimentSpec.model_validate({"plan": [{kind: {"stop_on": [ill]}}]})


def test_of_troubles_that_went_the_last_are_remembered_and_each_is_over_in_time() -> None:
    went = tuple(Trouble(f"t{number}", NOW, NOW - timedelta(minutes=number)) for number in range(9))
    decision = look(replace(FAILED, troubles=went))
    assert {each.name for each in decision.record.troubles} == {f"t{n}" for n in range(MOST_GONE)}
    assert decision.record.due_at == NOW + timedelta(minutes=5)
    after = look(replace(FAILED, troubles=(Trouble("t", NOW, NOW - QUIET),)))
    assert after.record.troubles == ()


def test_a_trouble_that_went_before_anybody_was_told_is_none() -> None:
    kept = replace(FAILED, troubles=(Trouble("t", NOW),))
    assert look(kept).record.troubles == ()
