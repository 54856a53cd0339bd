"""What the controller asks for, and does not get: people are told, however the asking goes.

What is asked of other functions is accepted at once and done later, if at all: an asynchronous
invocation says nothing of its end (AWS Lambda Developer Guide, "Invoking a Lambda function
asynchronously"). The asking itself may fail, too, each time. Either way nothing comes, and only
whoever asked knows since when.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from novaloop.experiment.controller.decision import (
    CheckDatasets,
    Command,
    IngestCommand,
    StageCommand,
    WritePlan,
)
from novaloop.experiment.controller.intake import CONVERSION
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.controller.transitions import LONG_WAIT, UNREADABLE_FOR, Ask
from novaloop.experiment.names import file_of
from novaloop.experiment.record import Record, Suspect, Suspicion


def awaiting(record: Record, asked: Iterable[Command], seen: Observation, now: datetime) -> Record:
    """Return the record with what is `asked` for now, and since when; with nothing else.

    It is told once it has been asked for in vain for UNREADABLE_FOR, and once more after that, with
    the time that a function takes: meanwhile the controller may have been away, and ingest may say
    by itself what keeps it. Of a stage only an asking that fails is noted, and sooner since it
    serves or is paid for: what came of one that was accepted, looks tell.
    """
    codes, awaited = dict(seen.asked), dict[str, Suspicion]()
    for command in asked:
        what = _what(command, record)
        known = record.awaited.get(what)
        why = codes.get(command, known.why if known else "")
        of_stage = isinstance(command, StageCommand)
        if not what or (of_stage and not why):
            continue
        if known is None:
            within = LONG_WAIT if of_stage else UNREADABLE_FOR
            known = Suspicion(Suspect.UNANSWERED, now, now + within)
        elif not known.confirmed and now >= known.look_at:
            confirmed = known.looks > 1
            known = replace(known, look_at=now + CONVERSION, looks=2, confirmed=confirmed)
        awaited[what] = replace(known, why=why)
    return record if awaited == record.awaited else replace(record, awaited=awaited)


def _what(command: Command, record: Record) -> str:
    """Say what a command asks for; empty if it is none that something is to come of."""
    match command:
        case IngestCommand(source_key=key):
            return f"the ingest of {file_of(key)}"
        case CheckDatasets():
            return "the checks of the datasets"
        case WritePlan():
            return "the plan of the dry run"
        case StageCommand(ask=Ask.HOLD) if record.endpoint is not None:
            return f"the taking over of {record.endpoint.name}"
        case StageCommand(ask=Ask.CHECK, stage=stage):
            return f"the score of {stage}"
    return ""
