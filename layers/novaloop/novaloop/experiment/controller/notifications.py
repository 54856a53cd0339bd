"""What people are told of: statuses, and what goes wrong in trainings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from novaloop.experiment.bounds import TEXT_BYTES, cut
from novaloop.experiment.controller.decision import Announce, Decision, UpdateReport, Warn
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.record import (
    Obstacle,
    Record,
    Stage,
    StageState,
    Status,
    Suspect,
    Suspicion,
)

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
    if not _is_news(record) or record.notified == mark:
        return decision
    return replace(decision, commands=(*decision.commands, Announce(mark)))


def with_report(decision: Decision, seen: Observation) -> Decision:
    """Bring the report up to what people were told, whether or not the notifier can tell them."""
    record = decision.record
    if seen.reported is not None:
        record = replace(record, reported=seen.reported)
    commands = () if _is_reported(record) else (UpdateReport(_report_mark(record)),)
    return replace(decision, record=record, commands=(*decision.commands, *commands))


def _is_news(record: Record) -> bool:
    return _tells_status(record) or bool(record.unread)


def _is_reported(record: Record) -> bool:
    """Whether the report is up to date; an experiment without stages has none."""
    is_news = _is_news(record) or any(stage.warned for stage in record.stages)
    return not (record.stages and is_news) or record.reported == _report_mark(record)


def _report_mark(record: Record) -> str:
    return cut(f"{sum(len(stage.warned) for stage in record.stages)} warnings; {_mark(record)}")


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
    """Whether the notifier said that people were told of everything, and the report tells it."""
    warned = all(len(stage.warned) >= len(stage.health) for stage in record.stages)
    notified = not _is_news(record) or record.notified == _mark(record)
    return warned and notified and _is_reported(record)


def is_denied(record: Record) -> bool:
    """Whether what runs does not end though it is asked to, and not for a moment only."""
    denied = record.focus.denied if record.focus else None
    return record.is_ending_work and denied is not None and denied.confirmed


def why_told(record: Record) -> str:
    """Return what to tell people with the status: what it is in trouble with, else its reason.

    And what can't be read, each in a line.
    """
    trouble = _trouble(record)
    status = (trouble.text if trouble else record.reason) if _tells_status(record) else ""
    return "\n".join(filter(None, (status, record.unread)))


def _tells_status(record: Record) -> bool:
    return record.status in TOLD or _trouble(record) is not None


@dataclass(frozen=True)
class _Trouble:
    """What people are told of beside the status; `mark` stays the same while it goes on."""

    mark: str
    text: str


def _trouble(record: Record) -> _Trouble | None:
    stage = record.focus
    if is_denied(record) and stage is not None and stage.denied is not None:
        return _unended(stage.name, stage.denied)
    if (held := record.cleanup.held if record.cleanup else None) is not None and held.confirmed:
        return _unended("what is left", held)
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


def _unended(what: str, held: Suspicion) -> _Trouble:
    """Say what does not end. What the service says may change from look to look."""
    since = f"{held.since:%Y-%m-%d %H:%M} UTC"
    if held.of is Suspect.DENIED:
        text = (
            f"{what} can't be ended, and may go on billing: {held.why}; it is tried again every "
            "few minutes; give the controller's role the right if that is what it lacks, or end it "
            "yourself"
        )
    else:
        text = (
            f"{what} was to end, and may go on billing: {held.why}; it is tried again every few "
            "minutes; look at it, and end it yourself"
        )
    return _Trouble(f"{what} does not end since {since}: {held.of}", text)


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
    """Return what stays the same as long as people were told of all there is to tell.

    What can't be read does not name the status, unless that is told too: it would be told anew
    with each.
    """
    trouble = _trouble(record)
    status = f"{record.status}: {trouble.mark if trouble else record.reason}"
    if not record.unread:
        return cut(status)
    shown = cut(status, TEXT_BYTES // 2 - 1) if _tells_status(record) else ""
    return f"{shown} {cut(record.unread, TEXT_BYTES // 2)}"
