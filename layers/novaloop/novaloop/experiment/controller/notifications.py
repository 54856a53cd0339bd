"""What people are told of: statuses, and what goes wrong in trainings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from novaloop.experiment.bounds import cut
from novaloop.experiment.controller.decision import (
    Announce,
    AnnounceStart,
    Command,
    Decision,
    UpdateReport,
    Warn,
)
from novaloop.experiment.controller.observation import Feedback, Observation
from novaloop.experiment.controller.transitions import LATE_AFTER, try_again_at
from novaloop.experiment.record import (
    CHECKPOINT,
    HistoryEntry,
    Obstacle,
    Record,
    Stage,
    StageState,
    Status,
    Suspect,
    Suspicion,
    Trouble,
)
from novaloop.experiment.versions import mark_of

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


def told(record: Record, by: Feedback) -> Record:
    """Return the record with what people, and the report, were just told."""
    stages = tuple(_after_warnings(stage, by) for stage in record.stages)
    notified, reported = by.notified or record.notified, by.reported or record.reported
    untold = "" if by.start_told else record.untold_start
    return replace(record, stages=stages, notified=notified, reported=reported, untold_start=untold)


def with_start(decision: Decision) -> Decision:
    """Tell people what was begun, and what it costs, until the notifier says that it did."""
    text = decision.record.untold_start
    commands = (AnnounceStart(text),) if text else ()
    return replace(decision, commands=(*decision.commands, *commands))


def with_notification(decision: Decision, seen: Observation) -> Decision:
    """Tell people of the status until the notifier says that it did: at least once."""
    record = decision.record
    record = replace(record, notified="" if _goes_on(decision, seen) else record.notified)
    decision, mark = replace(decision, record=record), _mark(record)
    if not _is_news(record) or _is_told(record, record.notified):
        return decision
    return replace(decision, commands=(*decision.commands, Announce(mark)))


def with_report(decision: Decision, seen: Observation) -> Decision:
    """Bring the report up to what people were told, whether or not the notifier can tell them."""
    record = decision.record
    record = replace(record, reported="" if _goes_on(decision, seen) else record.reported)
    commands = () if is_reported(record) else (UpdateReport(_report_mark(record)),)
    return replace(decision, record=record, commands=(*decision.commands, *commands))


def _goes_on(decision: Decision, seen: Observation) -> bool:
    """Whether work goes on after what people are told of, such as by a retry.

    It may come to the very same again, and that is news.
    """
    former = seen.snapshot.record
    was_told = former is not None and former.status in TOLD
    return was_told and decision.record.status in _LAUNCHES


def _is_news(record: Record) -> bool:
    return _tells_status(record) or bool(record.unread)


def _is_told(record: Record, notified: str) -> bool:
    """Whether `notified`, which people were told last, is all that there is to tell.

    A status that nobody is told of by itself adds nothing to troubles that were told in another.
    """
    if record.status not in TOLD and record.troubles and not record.unread:
        return all(_mark_of(each) in notified for each in record.troubles)
    return notified == _mark(record)


def is_reported(record: Record) -> bool:
    """Whether the report is up to date; an experiment without stages has none."""
    is_news = _is_news(record) or any(stage.attempt.warned for stage in record.stages)
    return not (record.stages and is_news) or record.reported == _report_mark(record)


def _report_mark(record: Record) -> str:
    warnings = f"{sum(len(stage.attempt.warned) for stage in record.stages)} warnings"
    until = record.endpoint.expires_at if record.endpoint else None
    kept = [f"until {until:%Y-%m-%d %H:%M:%S}"] if record.status is Status.LIVE and until else []
    return cut("; ".join([warnings, *kept, _mark(record)]))


def with_warnings(decision: Decision) -> Decision:
    """Tell people of each ill of a training until the notifier says that it did: at least once."""
    warnings = tuple(
        Warn(stage.name, note)
        for stage in decision.record.stages
        for note in stage.attempt.health
        if note.kind not in stage.attempt.warned
    )
    return replace(decision, commands=(*decision.commands, *warnings))


UNSENT = "message "
"""How, in what is awaited, a kind of message is called that could not be sent."""


def with_patience(decision: Decision, former: Record, seen: Observation, now: datetime) -> Decision:
    """Leave out messages of a kind that failed not long ago: it is tried less and less often.

    After minutes at first, in the end once a day, however often is looked, and whatever there is to
    tell meanwhile: a topic may take each and its answer be lost, and then each try is one more that
    people get. In another status, it is tried at once.
    """
    record, look_at = decision.record, decision.look_at
    goes_on = record.status is former.status
    unsent = {k: v for k, v in former.awaited.items() if goes_on and k.startswith(UNSENT)}
    for command, code in seen.asked:
        known = unsent.pop(_kind(command), None)
        if code and goes_on and isinstance(command, _MESSAGES):
            since = known.since if known else now
            again = try_again_at(since, now)
            unsent[_kind(command)] = Suspicion(Suspect.UNANSWERED, since, again)
    commands = []
    for command in decision.commands:
        known = unsent.get(_kind(command))
        if known is not None and now < known.look_at:
            look_at = min(filter(None, (look_at, known.look_at)))
        else:
            commands.append(command)
    others = {k: v for k, v in record.awaited.items() if not k.startswith(UNSENT)}
    record = replace(record, awaited={**others, **unsent})
    return replace(decision, record=record, commands=tuple(commands), look_at=look_at)


_MESSAGES = Announce | AnnounceStart | Warn


def _kind(command: Command) -> str:
    # What a start and a status are told of go together: each would call for looks of its own.
    kind = Announce if isinstance(command, AnnounceStart) else type(command)
    return f"{UNSENT}{kind.__name__}"


def _after_warnings(stage: Stage, by: Feedback) -> Stage:
    new = [kind for name, kind in by.warned if name == stage.name]
    if not new:
        return stage
    warned = dict.fromkeys((*stage.attempt.warned, *new))
    return replace(stage, attempt=replace(stage.attempt, warned=tuple(warned)))


def all_told(record: Record) -> bool:
    """Whether the notifier said that people were told of everything, and the report tells it."""
    warned = all(
        {note.kind for note in stage.attempt.health} <= {*stage.attempt.warned}
        for stage in record.stages
    )
    notified = not _is_news(record) or _is_told(record, record.notified)
    return warned and notified and is_reported(record) and not record.untold_start


def is_denied(record: Record) -> bool:
    """Whether what runs does not end though it is asked to, and not for a moment only."""
    denied = record.focus.attempt.denied if record.focus else None
    return record.is_ending and denied is not None and denied.confirmed


def why_told(record: Record) -> str:
    """Return what to tell people, each in a line: the troubles, the status's reason, what's unread.

    A status that nobody is told of by itself needs no reason, if there is anything else to tell.
    """
    others = [trouble.text for trouble in present_troubles(record)]
    others += filter(None, [record.unread])
    reason = [record.reason] if record.status in TOLD or not others else []
    return "\n".join(dict.fromkeys((*others, *filter(None, reason))))


def _tells_status(record: Record) -> bool:
    return record.status in TOLD or bool(record.troubles)


QUIET = timedelta(hours=6)
"""How long a trouble must be away until it counts as over. What comes and goes is told once so."""
MOST_GONE = 6
"""How many troubles that are away are remembered, the last ones."""


def with_troubles(decision: Decision, former: Record, now: datetime) -> Decision:
    """Remember what people are, or are to be, told of beside the status, and when it is over.

    A trouble counts at once when it comes, and goes on counting until it was away for `QUIET`: so
    what comes and goes (flaps, as monitors have it) is told once, and its end at most once in that
    time. One that went before anybody was told of it, or whose status is over, counts no more; nor
    does what kept something from being kept, once it is kept: whoever asked for it waits for that;
    nor that a schedule was touched, once it was touched again.
    """
    record = decision.record
    present = {trouble.name for trouble in present_troubles(record)}
    was_told = _is_told(former, former.notified)
    over = {_UNSET} if _is_unkept(former) and not _is_unkept(record) else set()
    if touched := {name for name in present if name.startswith(_TOUCHED)}:
        over |= {each.name for each in record.troubles if each.name.startswith(_TOUCHED)} - touched
    known = [
        replace(each, gone_at=None if each.name in present else each.gone_at or now)
        for each in record.troubles
        if each.name in present
        or (
            record.status is former.status
            and (was_told or each.gone_at is not None)
            and each.name not in over
        )
    ]
    away = sorted(
        (each.gone_at, each.name)
        for each in known
        if each.gone_at is not None and now < each.gone_at + QUIET
    )[-MOST_GONE:]
    counting = present | {name for _, name in away}
    new = present - {each.name for each in known}
    troubles = [each for each in known if each.name in counting]
    ails, ailed = _ails(record), _AILS in {each.name for each in former.troubles}
    if ailed is not (_AILS in counting) and record.status is former.status:
        line = HistoryEntry(now, str(record.status), ails or record.reason)
        decision = replace(decision, history=(*decision.history, line))
    if any(name.startswith(_TOUCHED) for name in new):
        line = HistoryEntry(now, str(record.status), record.lost_backstop)
        decision = replace(decision, history=(*decision.history, line))
    troubles += [Trouble(name, now) for name in sorted(new)]
    # What is final is looked at no more, unless something is due.
    over_at = away[0][0] + QUIET if away else None
    look_at = min(filter(None, (decision.look_at, over_at)), default=None)
    return replace(decision, record=replace(record, troubles=tuple(troubles)), look_at=look_at)


@dataclass(frozen=True)
class PresentTrouble:
    """What people are told of beside the status. `name` stays the same from look to look."""

    name: str
    text: str


def present_troubles(record: Record) -> list[PresentTrouble]:
    """Return what the record is in trouble with now."""
    stage, cleanup, unreadable = record.focus, record.cleanup, record.unreadable
    found: list[PresentTrouble] = []
    if is_denied(record) and stage is not None and stage.attempt.denied is not None:
        found.append(_unended(stage.name, stage.attempt.denied))
    if cleanup is not None and cleanup.held is not None and cleanup.held.confirmed:
        found.append(_unended("what is left", cleanup.held))
    if unreadable is not None and unreadable.confirmed:
        at = f"{stage.name}: " if stage else ""
        text = (
            f"{at}{unreadable.why}; it is tried again, and deadlines, stop and expiry hold "
            "all the same; give the controller's role the right to read it, or look into the "
            "controller's log"
        )
        # Whatever can't be read, and why, may differ from look to look.
        found.append(PresentTrouble(f"{at}something can't be read", text))
    backstop = stage.backstop if stage else None
    if (lost := record.lost_backstop) and backstop is not None:
        at = f" at {backstop.touched_at:%Y-%m-%d %H:%M}" if backstop.touched_at else ""
        found.append(PresentTrouble(f"{_TOUCHED}{at}", lost))
    if exposed := record.reason if _is_unkept(record) else record.refused_backstop:
        found.append(PresentTrouble(_UNSET, exposed))
    if ails := _ails(record):
        found.append(PresentTrouble(_AILS, ails))
    found += _long_awaited(record)
    if stage is not None and stage.state in _BEFORE_LAUNCH and record.status in _LAUNCHES:
        found += _long_wait(stage)
    scored = stage if stage is not None and stage.state is StageState.SCORING else None
    if scored is not None and scored.attempt.checks >= LATE_AFTER:
        found += _late_outcome(record, scored)
    elif unanswered := record.unanswered:
        # What is asked for beside it, and why the asking fails, may differ from look to look.
        found.append(PresentTrouble("what was asked for does not come", "\n".join(unanswered)))
    return found


_AILS = "its endpoint does not serve"
_UNSET = "its schedule can't be set"
_TOUCHED = "its schedule was touched"


def _is_unkept(record: Record) -> bool:
    """Whether what is live can't be kept as long as it is to be, as the record's reason says."""
    endpoint = record.endpoint if record.status is Status.LIVE else None
    return endpoint is not None and endpoint.unkept is not None


def _ails(record: Record) -> str:
    """Return why the endpoint of a live experiment does not serve; empty if it does."""
    live = record.endpoint if record.status is Status.LIVE else None
    return live.ailment.why if live is not None and live.ailment is not None else ""


def _unended(what: str, held: Suspicion) -> PresentTrouble:
    """Say what does not end. What the service says may change from look to look."""
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
    return PresentTrouble(f"{what} does not end: {held.of}", text)


def score_of(stage: str) -> str:
    """Say what is asked for when a stage's score is, as a record's `awaited` has it."""
    return f"the score of {stage}"


def _late_outcome(record: Record, stage: Stage) -> list[PresentTrouble]:
    """Say what a job's outcome is waited for, if that was looked for and did not come."""
    if stage.reason is None or stage.kind.serves:
        return []
    refused = record.awaited.get(score_of(stage.name))
    text = (
        f"{stage.name}: {stage.reason}; it is asked again, less and less often, for a day from the "
        "job's end on"
    )
    if refused is not None:
        text += f"; the asking fails ({refused.why}): give the controller's role the right to do so"
    elif stage.kind.is_scored:
        text += f"; {_WHY_NO_SCORE}"
    return [PresentTrouble(f"{stage.name} has no outcome", text)]


_WHY_NO_SCORE = (
    "the function's log says why: it may be throttled, may not read what the job left, or want "
    "memory or time"
)


def _long_wait(stage: Stage) -> list[PresentTrouble]:
    """Say what keeps a stage waiting for long; what the service says of it may change meanwhile."""
    waited = stage.waits[-1] if stage.waits else None
    if waited is None or not waited.long:
        return []
    text = (
        f"{stage.name} has waited since {waited.since:%Y-%m-%d %H:%M} UTC, and goes on waiting: "
        f"{stage.reason}; {_WHAT_HELPS.get(waited.of, 'it is tried again by itself')}"
    )
    return [PresentTrouble(f"{stage.name} waits: {waited.of}", text)]


def _long_awaited(record: Record) -> Iterator[PresentTrouble]:
    """Yield which checkpoint of another experiment is waited for, if for long."""
    name = record.awaited_checkpoint
    awaited = record.awaited[f"{CHECKPOINT}{name}"] if name else None
    if name and awaited and awaited.confirmed:
        text = (
            f"it has waited for {CHECKPOINT}{name} since {awaited.since:%Y-%m-%d %H:%M} UTC, and "
            f"goes on waiting: {awaited.why}; `novaloop show {name.partition('/')[0]}` says what "
            "that one needs; if it is not to come, stop this one, or submit it again with another "
            "`checkpoint:`"
        )
        yield PresentTrouble(f"it waits for {CHECKPOINT}{name}", text)


_LAUNCHES = {Status.RUNNING, Status.DEPLOYING}
_BEFORE_LAUNCH = {StageState.WAITING, StageState.CLAIMED}
_WHAT_HELPS = {
    Obstacle.QUOTA: "end what uses the quota up, or ask AWS for a higher one",
    Obstacle.QUOTA_TOO_SMALL: "the quota is too small for it alone: ask AWS for a higher one",
    Obstacle.CAPACITY: "AWS has no such machines now: wait, or stop it and take another type",
}


def _mark(record: Record) -> str:
    """Return what stays the same as long as people were told of all there is to tell.

    What can't be read does not name the status, unless that is told too: it would be told anew
    with each. The reason of LIVE changes with each `keep`, which whoever asked for it knows, or
    else is a trouble: why something can't be kept, or does not serve. A refusal is told by which
    uploads it is of: a second try may be wrong for the same reason.
    """
    troubles = [_mark_of(each) for each in record.troubles]
    reason = record.reason if record.status in TOLD or not troubles else ""
    reason = "" if record.status is Status.LIVE else reason
    if record.status is Status.REJECTED and record.refused:
        reason = " ".join(f"{what} {which}" for what, which in sorted(record.refused.items()))
    is_told = _tells_status(record) or not record.unread
    parts = [mark_of(str(record.status), reason)] if is_told else []
    parts += [mark_of("unread", record.unread)] if record.unread else []
    return " ".join((*parts, *troubles))


def _mark_of(trouble: Trouble) -> str:
    """Return by what a trouble is known again, short however long its name is: any that are there
    at once, and the MOST_GONE that are away, fit a record's text together."""
    return mark_of("trouble", f"{trouble.name} since {trouble.since:%Y-%m-%d %H:%M:%S}")
