"""What people are told of: statuses, and what goes wrong in trainings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from novaloop.experiment.bounds import cut
from novaloop.experiment.moves import Announce, Decision, Warn
from novaloop.experiment.observation import Observation
from novaloop.experiment.record import Obstacle, Record, Stage, StageState, Status

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
    told = record.status in TOLD or _trouble(record) is not None
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
    """Return what to tell people with the status: what it is in trouble with, else its reason."""
    trouble = _trouble(record)
    return trouble.text if trouble else record.reason


@dataclass(frozen=True)
class _Trouble:
    """What people are told of beside the status; `mark` stays the same while it goes on."""

    mark: str
    text: str


def _trouble(record: Record) -> _Trouble | None:
    stage = record.focus
    if is_denied(record) and stage is not None and stage.denied is not None:
        text = (
            f"{stage.name} can't be ended, and may go on billing: {stage.denied.why}; give the "
            "controller's role the right, or end it yourself"
        )
        return _Trouble(text, text)
    if record.unreadable is not None and record.unreadable.confirmed:
        at = f"{stage.name}: " if stage else ""
        text = (
            f"{at}{record.unreadable.why}; it is tried again, and deadlines, stop and expiry hold "
            "all the same; give the controller's role the right to read it, or look into the "
            "controller's log"
        )
        return _Trouble(text, text)
    if stage is not None and stage.state is StageState.WAITING and record.status in _LAUNCHES:
        return _long_wait(stage)
    return None


def _long_wait(stage: Stage) -> _Trouble | None:
    """Say what keeps a stage waiting for long; what the service says of it may change meanwhile."""
    waited = stage.waits[-1] if stage.waits else None
    if waited is None or not waited.long:
        return None
    text = (
        f"{stage.name} has waited since {waited.since:%Y-%m-%d %H:%M} UTC, and goes on waiting: "
        f"{stage.reason}; {_WHAT_HELPS.get(waited.of, 'it is tried again by itself')}"
    )
    return _Trouble(f"{stage.name} waits: {waited.of} since {waited.since:%Y-%m-%d %H:%M}", text)


_LAUNCHES = {Status.RUNNING, Status.DEPLOYING}
_WHAT_HELPS = {
    Obstacle.QUOTA: "end what uses the quota up, or ask AWS for a higher one",
    Obstacle.QUOTA_TOO_SMALL: "the quota is too small for it alone: ask AWS for a higher one",
    Obstacle.CAPACITY: "AWS has no such machines now: wait, or stop it and take another type",
}


def _mark(record: Record) -> str:
    trouble = _trouble(record)
    return cut(f"{record.status}: {trouble.mark if trouble else record.reason}")
