"""What people are told of: statuses, and what goes wrong in trainings."""

from __future__ import annotations

from dataclasses import replace

from novaloop.experiment.bounds import cut
from novaloop.experiment.moves import Announce, Decision, Warn
from novaloop.experiment.observation import Observation
from novaloop.experiment.record import Record, Stage, Status

TOLD = {
    Status.REJECTED,
    Status.HELD,
    Status.AWAITING_APPROVAL,
    Status.LIVE,
    Status.COMPLETED,
    Status.EXPIRED,
    Status.STOPPED,
    Status.FAILED,
}
"""The statuses that people are notified of."""


def with_notification(decision: Decision, seen: Observation) -> Decision:
    """Tell people of the status until the notifier says that it did: at least once."""
    record = decision.record
    if seen.notified is not None:
        return replace(decision, record=replace(record, notified=seen.notified))
    mark = _mark(record)
    told = record.status in TOLD or is_denied(record)
    if not told or record.notified == mark:
        return decision
    return replace(decision, commands=(*decision.commands, Announce(mark)))


def with_warnings(decision: Decision, seen: Observation) -> Decision:
    """Tell people of each ill of a training until the notifier says that it did: at least once."""
    stages = tuple(_after_warnings(stage, seen) for stage in decision.record.stages)
    warnings = tuple(
        Warn(stage.name, note)
        for stage in stages
        for note in stage.health
        if note.kind not in stage.warned
    )
    record = replace(decision.record, stages=stages)
    return replace(decision, record=record, commands=(*decision.commands, *warnings))


def _after_warnings(stage: Stage, seen: Observation) -> Stage:
    told = [kind for name, kind in seen.warned if name == stage.name]
    if not told:
        return stage
    return replace(stage, warned=tuple(dict.fromkeys((*stage.warned, *told))))


def all_told(record: Record) -> bool:
    """Whether the notifier said that people were told of everything."""
    warned = all(len(stage.warned) >= len(stage.health) for stage in record.stages)
    return warned and record.notified == _mark(record)


def is_denied(record: Record) -> bool:
    """Whether IAM keeps the controller from ending what runs, and not for a moment only."""
    denied = record.focus.denied if record.focus else None
    return record.is_ending_work and denied is not None and denied.confirmed


def why_told(record: Record) -> str:
    """Return what to tell people with the status: why it can't be ended, else its reason."""
    if is_denied(record) and record.focus is not None and record.focus.denied is not None:
        return (
            f"{record.focus.name} can't be ended, and may go on billing: "
            f"{record.focus.denied.why}; give the controller's role the right, or end it yourself"
        )
    return record.reason


def _mark(record: Record) -> str:
    return cut(f"{record.status}: {why_told(record)}")
