"""Who holds a place in the queue for a quota, who seeks one, and who can ask."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from novaloop.experiment.controller.queue import QueuePlace, can_ask, held_place, sought_place
from novaloop.experiment.record import (
    Record,
    Stage,
    StageState,
    Status,
    Suspect,
    Suspicion,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import SftStage, StageKind
from tests.stages import changed

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUOTA = "ml.p5.48xlarge for training job usage"
SINCE = NOW - 5 * HOUR


def record(state: StageState, **fields: object) -> Record:
    stage = Stage(StageKind.SFT, "sft", state, queued_at=SINCE)
    spec = ExperimentSpec(plan=(SftStage(),))
    return Record(
        "demo",
        spec,
        NOW,
        status=Status.RUNNING,
        stages=(changed(stage, **fields),),  # type: ignore[arg-type]
        due_at=NOW,
    )


@pytest.mark.parametrize("state", StageState)
def test_a_place_is_held_until_the_job_is_there(state: StageState) -> None:
    """Also while it is claimed: who asks once more is refused once more, and goes on waiting."""
    holds = state in {StageState.WAITING, StageState.CLAIMED}
    assert held_place(record(state)) == (QueuePlace("demo", QUOTA, SINCE) if holds else None)


def test_who_has_not_been_refused_holds_no_place() -> None:
    assert held_place(record(StageState.CLAIMED, queued_at=None)) is None
    stopping = replace(record(StageState.WAITING), status=Status.STOPPING)
    assert held_place(stopping) is None


def test_a_place_is_sought_since_it_was_first_refused() -> None:
    due = record(StageState.WAITING, next_try_at=NOW)
    assert sought_place(due, NOW) == QueuePlace("demo", QUOTA, SINCE)
    new = record(StageState.PENDING, queued_at=None)
    assert sought_place(new, NOW) == QueuePlace("demo", QUOTA, NOW)
    assert sought_place(record(StageState.WAITING, next_try_at=NOW + HOUR), NOW) is None
    assert sought_place(record(StageState.CLAIMED), NOW) is None


def test_who_can_not_ask_is_passed_over() -> None:
    waits = record(StageState.WAITING)
    assert can_ask(waits, NOW)
    assert not can_ask(replace(waits, due_at=NOW - 2 * HOUR), NOW)
    unreadable = Suspicion(Suspect.UNREADABLE, NOW, NOW, confirmed=True)
    assert not can_ask(replace(waits, unreadable=unreadable), NOW)
    assert can_ask(replace(waits, unreadable=replace(unreadable, confirmed=False)), NOW)
    assert not can_ask(record(StageState.RUNNING), NOW)
