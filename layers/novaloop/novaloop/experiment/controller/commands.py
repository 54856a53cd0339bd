"""What a person asks for: approve, reject, stop, retry, keep, clean up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from novaloop.experiment.controller.decision import Decision, enter
from novaloop.experiment.controller.intake import is_misnamed
from novaloop.experiment.costs.budget import is_unpriced, last_moment, machines, shortfall, usd
from novaloop.experiment.names import MAX_ATTEMPT
from novaloop.experiment.record import (
    Cleanup,
    CommandItem,
    CommandKind,
    CommandOutcome,
    HistoryEntry,
    Record,
    Stage,
    StageState,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import LONGEST_TTL_HOURS
from novaloop.experiment.versions import mark_of
from novaloop.problem import Invalid

LONGEST_KEPT = timedelta(days=366)
"""How far ahead an endpoint can be kept, by however many commands."""
_WAITS_FOR_A_PERSON = {Status.HELD, Status.AWAITING_APPROVAL}
_RETRIABLE = {Status.HELD, Status.FAILED, Status.STOPPED, Status.EXPIRED, Status.COMPLETED}
_SPENDS = {CommandKind.APPROVE, CommandKind.RETRY, CommandKind.KEEP}
_ENDS = {CommandKind.REJECT, CommandKind.STOP, CommandKind.CLEANUP}
_UPDATE = "update the novaloop command to the stack's release"


def wait_of(record: Record) -> str:
    """Return by what it is known again what an experiment waits for: its status and the reason of
    that, by which settings, and after which attempts. What it is told or waits for beside that
    changes nothing."""
    attempts = ", ".join(f"{each.name} {each.attempt.number}" for each in record.stages)
    return mark_of(str(record.status), f"{record.reason}; {attempts}; {record.spec_digest}")


def apply_next(record: Record, commands: Sequence[CommandItem], now: datetime) -> Decision:
    """Carry out one of the commands that are pending.

    They came in an order that nobody knows: clocks differ. So of what was asked for at once what
    ends holds, and comes last: until then its item keeps what spends from being carried out, also
    if a look breaks off.
    """
    command = min(commands, key=lambda each: each.kind in _ENDS)
    ends = (each for each in commands if each.kind in _ENDS and not _is_of_former(record, each))
    if command.kind in _SPENDS and (end := next(ends, None)) is not None:
        refused = _refuse(record, f"{end.by} asked for {end.kind} at the same time, which holds")
        return _answered(command, refused, now)
    return apply(record, command, now)


def apply(record: Record, command: CommandItem, now: datetime) -> Decision:
    """Carry out one command, or say in the history why it does not apply.

    Its item goes with the commit, so that nobody needs to remember what was applied: any memory of
    ids would be shorter than the items live, and a time says nothing where clocks differ. One that
    the program fails over goes likewise, or it would keep all later ones, such as a stop, waiting.
    """
    if _is_of_former(record, command):
        refused = _refuse(record, "it was given to a former experiment of this name")
        return _answered(command, refused, now)
    try:
        return _answered(command, _HANDLERS[command.kind](record, command, now), now)
    except Exception as fault:
        why = f"Novaloop failed over it ({type(fault).__name__}); its log says where"
        refused = _refuse(record, why)
        return replace(_answered(command, refused, now), faults=(fault,))


def _is_of_former(record: Record, command: CommandItem) -> bool:
    return record.uid is not None and command.uid not in {None, record.uid}


def _answered(command: CommandItem, reply: _Reply, now: datetime) -> Decision:
    refusal, decision = reply
    answer = HistoryEntry(
        at=now,
        what=f"{command.kind} by {command.by}",
        why=refusal or command.note or "",
        command_id=command.command_id,
        outcome=CommandOutcome.IGNORED if refusal else CommandOutcome.APPLIED,
    )
    return replace(decision, history=(answer, *decision.history), applied=(command,))


def forget(record: Record, commands: Iterable[CommandItem]) -> Decision:
    """Let go of what release 0.1.0 applied: it left the items in the table, ids in the record.

    There are 50 ids at most, so one commit can hold them all.
    """
    spent = tuple(c for c in commands if c.command_id in record.handled_commands)
    return Decision(replace(record, handled_commands=()), applied=spent)


_Reply = tuple[str | None, Decision]


def _refuse(record: Record, why: str) -> _Reply:
    return f"ignored: {why}", Decision(record)


def _why_no_answer(record: Record, command: CommandItem) -> str | None:
    """Say why a command decides on something else than what the experiment waits for.

    What spends has to say what it decides on.
    """
    if command.answers is None:
        is_spent = command.kind is CommandKind.APPROVE
        return f"it does not say what it answers; {_UPDATE}" if is_spent else None
    if command.answers == wait_of(record):
        return None
    return (
        "the experiment has gone on since, and whoever gave it can't have seen that it is "
        f"{record.status}: {record.reason}; decide on that"
    )


def _why_no_decision(record: Record, command: CommandItem) -> str | None:
    """Say why there is nothing to approve or reject, or something else than was seen."""
    if record.status not in _WAITS_FOR_A_PERSON:
        return f"the experiment is {record.status}, nothing waits for approval"
    return _why_no_answer(record, command)


def _approve(record: Record, command: CommandItem, now: datetime) -> _Reply:
    if (why := _why_no_decision(record, command)) is not None:
        return _refuse(record, why)
    if record.active is not None and shortfall(record, record.active):
        return None, _lift_budget(record, command, now)
    approved = replace(record, approved_by=command.by)
    return None, enter(approved, Status.DEPLOYING, f"approved by {command.by}", now)


def _lift_budget(record: Record, command: CommandItem, now: datetime) -> Decision:
    """Go on where the budget held the experiment, and leave all other conditions in force."""
    lifted, stage = replace(record, budget_lifted_by=command.by), record.active
    # A deployment that was tried before has passed its gate. It goes on as one that is on trial:
    # by the status others wait for their turn at its endpoint.
    on_trial = stage is not None and stage.kind.serves and stage.state is not StageState.PENDING
    to = Status.DEPLOYING if on_trial or record.approved_by else Status.RUNNING
    return enter(lifted, to, f"budget lifted by {command.by}", now)


def _reject(record: Record, command: CommandItem, now: datetime) -> _Reply:
    if (why := _why_no_decision(record, command)) is not None:
        return _refuse(record, why)
    # A stage that waited may have made something: it is looked for before the experiment rests.
    stopping = replace(record, stopping_to=Status.STOPPED)
    return None, enter(stopping, Status.STOPPING, f"rejected by {command.by}", now)


def _stop(record: Record, command: CommandItem, now: datetime) -> _Reply:
    if record.status.is_final or record.status is Status.STOPPING:
        return _refuse(record, f"the experiment is {record.status}")
    stopping = replace(record, stopping_to=Status.STOPPED)
    return None, enter(stopping, Status.STOPPING, f"stopped by {command.by}", now)


def first_again(record: Record, stage: str | None) -> str:
    """Return from which stage a retry goes on: the one asked for, else the one that failed."""
    return stage or (record.active or record.stages[-1]).name


def _why_no_retry(record: Record, stage: str | None) -> str | None:
    """Say why nothing can run again, or not from this stage on."""
    names = [stage.name for stage in record.stages]
    if not names:
        return f"the experiment never started; {_instead_of_a_retry(record)}"
    if record.status not in _RETRIABLE:
        return f"the experiment is {record.status}; {_first(record)}"
    start = first_again(record, stage)
    if start not in names:
        return f"no stage is called {start}; there are {', '.join(names)}"
    first = names.index(start)
    unfinished = [s.name for s in record.stages[:first] if s.state is not StageState.SUCCEEDED]
    if unfinished:
        return f"{unfinished[0]} comes before {start} and has not succeeded"
    if used_up := [s.name for s in record.stages[first:] if s.attempt.number >= MAX_ATTEMPT]:
        return f"{used_up[0]} has used up its {MAX_ATTEMPT} attempts; submit it under a new name"
    return None


def _retry(record: Record, command: CommandItem, now: datetime) -> _Reply:
    why = _why_no_retry(record, command.stage) or _why_no_answer(record, command)
    if why is not None:
        return _refuse(record, why)
    start = first_again(record, command.stage)
    first = [stage.name for stage in record.stages].index(start)
    spec, told = record.spec, ""
    if command.spec is not None:
        # Reads YAML, which no other look does.
        from novaloop.experiment.validation.changes import changed_spec, changes  # noqa: PLC0415

        try:
            spec = changed_spec(record, command.spec, start)
        except Invalid as invalid:
            why = "; ".join(map(str, invalid.problems))
            return _refuse(record, f"it can't be retried with these settings: {why}")
        told = f", with {'; '.join(changes(record.spec, spec)) or 'the same settings'}"
    until = record.ended_at or now
    again = (_again(stage, until, record, spec) for stage in record.stages[first:])
    stages = (*record.stages[:first], *again)
    is_kept = spec.budget_usd == record.spec.budget_usd
    retried = replace(
        record,
        spec=spec,
        stages=stages,
        budget_lifted_by=record.budget_lifted_by if is_kept else None,
        gate=None,
        approved_by=None,
        endpoint=None,
        stopping_to=None,
        cleanup=None,
    )
    reason = f"retried from {start} by {command.by}{told}"
    return None, enter(retried, Status.RUNNING, reason, now)


def _instead_of_a_retry(record: Record) -> str:
    """Say how what never started is begun. Only what takes no uploads any more needs a new name."""
    if not record.status.takes_uploads or is_misnamed(record):
        return "submit it under a new name"
    if record.awaited_checkpoint is not None:
        return f"it does once {record.awaited_checkpoint} is there"
    again = f"novaloop submit DIR --name {record.experiment_id}"
    if record.status is Status.REJECTED:
        return f"correct the files, then submit them again: {again}"
    return f"add what it waits for, then submit that: {again}"


def _first(record: Record) -> str:
    """Say what must come before a command that takes an experiment at rest."""
    stops = record.status is Status.STOPPING
    return "wait until it has stopped" if stops else "stop it first"


def _again(stage: Stage, until: datetime, record: Record, spec: ExperimentSpec) -> Stage:
    """Return the stage as new, but for what was billed and the schedule that is to be removed.

    Seconds are priced by the stage's machines: those on others are kept as what they cost.
    """
    again = stage.with_new_attempt(until)
    old = record.plan_of(stage)
    new = next(plan for plan in spec.plan if plan.name == stage.name)
    if machines(record.spec, old) != machines(spec, new):
        cost = again.earlier_usd + (usd(record.spec, old, again.earlier_seconds) or 0)
        unpriced = is_unpriced(record, stage)
        again = replace(again, earlier_usd=cost, earlier_seconds=0, unpriced=unpriced)
    return Stage(
        kind=stage.kind,
        name=stage.name,
        attempt=replace(again.attempt, warned=()),
        earlier_seconds=again.earlier_seconds,
        earlier_usd=again.earlier_usd,
        unpriced=again.unpriced,
        backstop=stage.backstop,
    )


def _keep(record: Record, command: CommandItem, now: datetime) -> _Reply:
    if record.status is not Status.LIVE or record.endpoint is None:
        return _refuse(record, f"the experiment is {record.status}, no endpoint is live")
    if command.hours is None or not 0 < command.hours <= LONGEST_TTL_HOURS:
        return _refuse(record, f"keep needs a number of hours above 0, up to {LONGEST_TTL_HOURS:,}")
    base = max(now, record.endpoint.kept_until or record.endpoint.expires_at or now)
    longer = timedelta(hours=command.hours)
    if base - now + longer > LONGEST_KEPT:
        return _refuse(record, f"nothing is kept beyond {now + LONGEST_KEPT:%Y-%m-%d %H:%M} UTC")
    expires_at = base + longer
    limit = last_moment(record, record.stages[-1])
    if limit is not None and expires_at > limit:
        return _refuse(record, f"the budget lasts until {limit:%Y-%m-%d %H:%M} UTC")
    # No promise yet: the schedule that ends the endpoint by itself is moved first.
    kept = replace(record, endpoint=replace(record.endpoint, kept_until=expires_at))
    return None, Decision(kept)


def _cleanup(record: Record, command: CommandItem, now: datetime) -> _Reply:
    cleanup = Cleanup(command.by)
    if record.status.is_final:
        return None, Decision(replace(record, cleanup=cleanup))
    if record.status is not Status.LIVE:
        return _refuse(record, f"the experiment is {record.status}; {_first(record)}")
    stopping = replace(record, stopping_to=Status.COMPLETED, cleanup=cleanup)
    return None, enter(stopping, Status.STOPPING, f"cleaned up by {command.by}", now)


_HANDLERS: Mapping[CommandKind, Callable[[Record, CommandItem, datetime], _Reply]] = {
    CommandKind.APPROVE: _approve,
    CommandKind.REJECT: _reject,
    CommandKind.STOP: _stop,
    CommandKind.RETRY: _retry,
    CommandKind.KEEP: _keep,
    CommandKind.CLEANUP: _cleanup,
}
