"""What people were told is noted once it was sent, and not before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from novaloop.experiment.bounds import TEXT_BYTES
from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import (
    Announce,
    Decision,
    Policy,
    UpdateReport,
    Warn,
)
from novaloop.experiment.controller.notifications import with_notification
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.record import (
    Attempt,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
    Trouble,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import SftStage, StageKind
from novaloop.experiment.versions import mark_of
from novaloop.training.notes import HealthKind, HealthNote

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NOTE = HealthNote(HealthKind.LOSS_DIVERGENCE, 10, "the loss goes up")
RECORD = Record(
    "demo",
    ExperimentSpec(plan=(SftStage(),)),
    NOW,
    status=Status.HELD,
    reason="HOLD: too low",
    stages=(Stage(StageKind.SFT, "sft", StageState.PENDING, attempt=Attempt(health=(NOTE,))),),
)
MARK = mark_of("HELD", "HOLD: too low")
REPORT = f"0 warnings; {MARK}"


def decided(record: Record, **feedback: Any) -> Decision:
    return decide(Observation(Snapshot("demo", record), **feedback), NOW, Policy())


def test_it_is_told_until_the_notifier_says_that_it_was_sent() -> None:
    decision = decided(RECORD)
    assert set(decision.commands) == {Announce(MARK), Warn("sft", NOTE), UpdateReport(REPORT)}
    again = decided(decision.record)
    assert again.commands == decision.commands
    assert (again.record.notified, again.record.reported) == ("", "")
    assert again.record.stages[0].attempt.warned == ()


def test_what_was_sent_is_not_told_again() -> None:
    told = decided(RECORD, notified=MARK).record
    assert told.notified == MARK
    assert decided(told).commands == (Warn("sft", NOTE), UpdateReport(REPORT))
    warned = decided(told, warned=(("sft", NOTE.kind),)).record
    assert warned.stages[0].attempt.warned == (NOTE.kind,)
    reported = decided(warned, reported=f"1 warnings; {MARK}").record
    assert decided(reported).commands == ()


def test_another_reason_is_news() -> None:
    told = decided(RECORD, notified=MARK).record
    other = decided(replace(told, reason="HOLD: far too low"))
    assert Announce(mark_of("HELD", "HOLD: far too low")) in other.commands


@pytest.mark.parametrize("unread", ["", "SCORE#x#1 is left alone: it is newer"])
def test_any_number_of_troubles_with_long_names_are_each_told_once(unread: str) -> None:
    names = [f"{'x' * 150} {number} has no outcome" for number in range(16)]
    troubles = tuple(Trouble(name, NOW) for name in names)
    former = replace(RECORD, status=Status.RUNNING, unread=unread, troubles=troubles[:-1])

    def mark(record: Record) -> list[str]:
        seen = Observation(Snapshot(record.experiment_id, record))
        told = with_notification(Decision(record), seen).commands
        return [each.mark for each in told if isinstance(each, Announce)]

    (first,) = mark(former)
    assert len(first.encode()) <= TEXT_BYTES
    told = replace(former, notified=first)
    assert told.notified == first
    assert mark(told) == []
    assert len(mark(replace(told, troubles=troubles))) == 1, "another one is news"
    over = replace(told, troubles=troubles[:3])
    assert len(mark(over)) == (1 if unread else 0), "what is over is none"
