"""What the controller asks for, and does not get: people are told, however the asking goes.

What is asked of other functions is accepted at once and done later, if at all: an asynchronous
invocation says nothing of its end (AWS Lambda Developer Guide, "Invoking a Lambda function
asynchronously"). The asking itself may fail, too, each time. Either way nothing comes, and only
whoever asked knows since when.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from novaloop.experiment.controller.decision import (
    AwaitedCheckpoint,
    CheckDatasets,
    Command,
    Decision,
    IngestCommand,
    StageCommand,
    UpdateReport,
    WritePlan,
)
from novaloop.experiment.controller.intake import CONVERSION
from novaloop.experiment.controller.notifications import is_reported, score_of
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.controller.transitions import LONG_WAIT, UNREADABLE_FOR, Action
from novaloop.experiment.names import file_of
from novaloop.experiment.record import CHECKPOINT, INGEST, Record, Suspect, Suspicion

REPORT = "the report"
"""What `awaited` calls it: it is asked for in whatever status."""


def awaiting(
    record: Record,
    asked: Iterable[Command | AwaitedCheckpoint],
    seen: Observation,
    now: datetime,
) -> Record:
    """Return the record with what is `asked` for now, and since when; else with the report alone.

    It is told once it has been asked for in vain for UNREADABLE_FOR, and once more after that, with
    the time that a function takes: meanwhile the controller may have been away, and ingest may say
    by itself what keeps it. Of a stage only an asking that fails is noted, and sooner since it
    serves or is paid for: what came of one that was accepted, looks tell. Another experiment's
    checkpoint is told after LONG_WAIT, as all that a person may have to see to.
    """
    codes = dict(seen.asked)
    awaited = {what: each for what, each in record.awaited.items() if what == REPORT}
    for command in asked:
        if isinstance(command, AwaitedCheckpoint):
            what = f"{CHECKPOINT}{command.name}"
            first = Suspicion(Suspect.UNANSWERED, now, now + LONG_WAIT)
            since = record.awaited.get(what, first)
            awaited[what] = replace(since, confirmed=now >= since.look_at, why=command.why)
            continue
        what = _what(command, record)
        known = record.awaited.get(what)
        why = codes.get(command, known.why if known else "")
        of_stage = isinstance(command, StageCommand)
        if not what or (of_stage and not why):
            continue
        awaited[what] = _in_vain(known, why, LONG_WAIT if of_stage else UNREADABLE_FOR, now)
    return record if awaited == record.awaited else replace(record, awaited=awaited)


def awaiting_report(decision: Decision, seen: Observation, now: datetime) -> Decision:
    """Note that the report can't be asked for, and since when, until it is up to date.

    It is told as soon as what a stage can't ask for, whatever else is asked for meanwhile.
    """
    record = decision.record
    known = record.awaited.get(REPORT)
    codes = (code for command, code in seen.asked if isinstance(command, UpdateReport))
    why = next(codes, known.why if known else "")
    awaited = {what: each for what, each in record.awaited.items() if what != REPORT}
    if why and not is_reported(record):
        awaited = {REPORT: _in_vain(known, why, LONG_WAIT, now), **awaited}
    return replace(decision, record=replace(record, awaited=awaited))


def _in_vain(known: Suspicion | None, why: str, within: timedelta, now: datetime) -> Suspicion:
    """Return what is suspected of what has been asked for once more, and has not come."""
    if known is None:
        return Suspicion(Suspect.UNANSWERED, now, now + within, why=why)
    if not known.confirmed and now >= known.look_at:
        confirmed = known.looks > 1
        known = replace(known, look_at=now + CONVERSION, looks=2, confirmed=confirmed)
    return replace(known, why=why)


def _what(command: Command, record: Record) -> str:
    """Say what a command asks for; empty if it is none that something is to come of."""
    match command:
        case IngestCommand(source_key=key):
            return f"{INGEST}{file_of(key)}"
        case CheckDatasets():
            return "the checks of the datasets"
        case WritePlan():
            return "the plan of the dry run"
        case StageCommand(action=Action.SET_OWNER) if record.endpoint is not None:
            return f"the taking over of {record.endpoint.name}"
        case StageCommand(action=Action.CHECK, stage=stage):
            return score_of(stage)
    return ""
