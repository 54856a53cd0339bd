"""The controller's one decision: what the record becomes, and what to do about it.

Pure: no I/O, no clock, no randomness. `decide` takes one step; the caller commits it, acts on it
and asks again until nothing changes. Each status has one function here or in a module beside
this; stages move by the table in `stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from novaloop.experiment.controller.awaiting import awaiting, awaiting_report
from novaloop.experiment.controller.backstop import (
    acknowledged,
    is_promised,
    kept_no_longer,
    with_backstops,
)
from novaloop.experiment.controller.commands import apply_next, forget
from novaloop.experiment.controller.decision import (
    Decision,
    DeleteTagged,
    Policy,
    StageCommand,
    enter,
    put_stage,
    stay,
)
from novaloop.experiment.controller.intake import collect, keeps_from_starting
from novaloop.experiment.controller.notifications import (
    told,
    with_notification,
    with_patience,
    with_report,
    with_start,
    with_troubles,
    with_warnings,
)
from novaloop.experiment.controller.observation import (
    GONE,
    PARTS_OF_ENDPOINTS,
    Blind,
    Observation,
    Phase,
    ResourceStatus,
    Sense,
)
from novaloop.experiment.controller.requeue import LOOK_AGAIN, with_due
from novaloop.experiment.controller.strays import late_uploads, unused_uploads
from novaloop.experiment.controller.suspicion import (
    awaiting_ends,
    past_deadline,
    refused,
    seen_again,
    unreadable,
    unseen_overdue,
    watched,
)
from novaloop.experiment.controller.transitions import (
    CHECK_AGAIN,
    TABLE,
    Action,
    Condition,
    condition_of,
    is_confirmed,
    is_sure,
    move,
    proceeded,
    with_health,
)
from novaloop.experiment.costs.budget import (
    MINIMUM_SECONDS,
    is_used_up,
    last_moment,
    shortfall,
)
from novaloop.experiment.names import experiment_of_job, job_name
from novaloop.experiment.record import (
    Ailment,
    Cleanup,
    CommandKind,
    Endpoint,
    HistoryEntry,
    Record,
    Stage,
    StageState,
    Status,
    Suspect,
)
from novaloop.experiment.runtimes.serving import endpoint_ref, serving_plan
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StagePlan

T = TypeVar("T")


class _Faults(list[Exception]):
    """What parts of a decision raise, which are left out of it.

    That can only be a fault of the program, or a value that nobody expected. Whatever it is, time
    that is up, what people ask for and what is to end must not wait until somebody mends it.
    """

    def spare(self, part: Callable[[], T], otherwise: T) -> T:
        try:
            return part()
        except Exception as fault:
            self.append(fault)
            return otherwise

    @property
    def blind(self) -> Blind:
        """What people are told of the first of them, as of what can't be read."""
        return Blind(Sense.DECISION, type(self[0]).__name__)


def decide(seen: Observation, now: datetime, policy: Policy) -> Decision:
    """Take one step. The decision's record equals the present one when nothing is to be done.

    A part of it that fails keeps no other from being decided; `faults` tells.
    """
    if seen.snapshot.record is None:
        return stay(_new(seen, now, policy))
    former, faults = told(seen.snapshot.record, seen), _Faults()
    record = faults.spare(partial(watched, former, seen, now, policy), former)
    record = faults.spare(partial(past_deadline, record, seen, now, policy), record)
    record = faults.spare(partial(acknowledged, record, seen, now, policy), record)
    decision = faults.spare(partial(_step, record, seen, now, policy), None)
    if decision is None:
        if former.focus is not None and record.focus is not None:
            # Nothing came of what this look saw, so it says nothing of the deadline.
            attempt = replace(record.focus.attempt, overdue=former.focus.attempt.overdue)
            record = put_stage(record, replace(record.focus, attempt=attempt))
        despite = partial(_despite, faults.blind, record, seen, now, policy)
        decision = faults.spare(despite, stay(record))
    if decision.record.status is not record.status:
        decision = replace(decision, record=_entered(decision.record))
    for part in (
        _awaiting_ends,
        with_backstops,
        _notice_late_uploads,
        _notice_unread,
        awaiting_report,
    ):
        decision = faults.spare(partial(part, decision, seen, now), decision)
    if faults and decision.record.status is record.status:
        blind = replace(seen, blind=(faults.blind, *seen.blind))
        known = faults.spare(partial(unreadable, former, blind, now, policy), former.unreadable)
        decision = replace(decision, record=replace(decision.record, unreadable=known))
    decision = faults.spare(partial(with_troubles, decision, former, now), decision)
    for tell in (
        with_start,
        partial(with_notification, seen=seen),
        with_warnings,
        partial(with_report, seen=seen),
        partial(with_patience, former=former, seen=seen, now=now),
    ):
        decision = faults.spare(partial(tell, decision), decision)
    due = partial(with_due, decision, former, seen, now, policy)
    decision = faults.spare(due, _due_soon(decision, former, now))
    return replace(decision, faults=(*decision.faults, *faults))


def _entered(record: Record) -> Record:
    """Let go of what belongs to the former status: what could not be read, what was asked for, and
    what was to be kept.

    The new one has looks and questions of its own, and nothing is kept but what is live.
    """
    return kept_no_longer(replace(record, unreadable=None, awaited={}))


def _step(record: Record, seen: Observation, now: datetime, policy: Policy) -> Decision:
    snapshot = seen.snapshot
    if record.handled_commands:
        return forget(record, snapshot.commands)
    if snapshot.commands:
        return apply_next(record, snapshot.commands, now)
    if seen.blind_to(Sense.ENDPOINT, Sense.ORIGIN, Sense.UPLOADS):
        return stay(record)  # nothing starts on what nobody could look at
    if record.status.takes_uploads and keeps_from_starting(snapshot):
        return stay(record)
    return _STEPS[record.status](record, seen, now, policy)


def _despite(
    blind: Blind, record: Record, seen: Observation, now: datetime, policy: Policy
) -> Decision:
    """Decide what can't wait, as simply as can be, where the step of the status fails."""
    stage, endpoint = record.focus, record.endpoint
    if record.status is Status.LIVE and endpoint is not None:
        if endpoint.expires_at is not None and now >= endpoint.expires_at:
            expired = replace(record, stopping_to=Status.EXPIRED)
            return _stop_serving(expired, "the endpoint's time is up", now)
    elif record.is_ending and stage is not None and stage.attempt.job_name is not None:
        return Decision(record, (StageCommand(Action.END, stage.name),))
    elif record.status.is_final and record.cleanup is not None and seen.tagged:
        return Decision(record, (DeleteTagged(seen.tagged),))
    elif stage is not None:
        overdue = unseen_overdue(record, stage, str(blind), now, policy)
        record = put_stage(record, replace(stage, attempt=replace(stage.attempt, overdue=overdue)))
        if overdue is not None and overdue.confirmed:
            reason = f"{stage.name}: {Condition.OVERDUE.value}, and {blind}"
            return _stop_serving(replace(record, stopping_to=Status.FAILED), reason, now)
    return stay(record)


def _due_soon(decision: Decision, before: Record, now: datetime) -> Decision:
    """Call for a look in a few minutes, where it can't be decided when the next one is due."""
    ahead = before.due_at is not None and now < before.due_at <= now + CHECK_AGAIN
    due_at = before.due_at if ahead else now + CHECK_AGAIN
    return replace(decision, record=replace(decision.record, due_at=due_at))


def _awaiting_ends(decision: Decision, seen: Observation, now: datetime) -> Decision:
    return replace(decision, record=awaiting_ends(decision.record, seen, now))


def _new(seen: Observation, now: datetime, policy: Policy) -> Record:
    due = now + LOOK_AGAIN[Status.COLLECTING]
    new = Record(
        seen.snapshot.experiment_id,
        ExperimentSpec(),
        created_at=now,
        reason="the first upload has arrived",
        prefix=policy.prefix,
        uid=seen.new_uid,
        due_at=due,
    )
    if seen.snapshot.has_uploads:
        return new
    gone = "its record is gone; what still carries its tag is cleaned up"
    # Whoever gave the command may have seen that record. What is left is its.
    cleanups = (each for each in seen.snapshot.commands if each.kind is CommandKind.CLEANUP)
    uid = next(filter(None, (each.uid for each in cleanups)), new.uid)
    return replace(new, status=Status.STOPPED, reason=gone, ended_at=now, uid=uid)


def _collect(record: Record, seen: Observation, now: datetime, policy: Policy) -> Decision:
    """Collect, and note what is asked for.

    Not while REJECTED, of which people are told, and which asks for what a correction may need.
    """
    decision = collect(record, seen, now, policy)
    waits = decision.record.status is Status.COLLECTING
    asked = (*decision.commands, *decision.awaits) if waits else ()
    return replace(decision, record=awaiting(decision.record, asked, seen, now))


_BEFORE_LAUNCH = {StageState.PENDING, StageState.WAITING}


def _advance(record: Record, seen: Observation, now: datetime, _: Policy) -> Decision:
    stage = record.active
    if stage is None:
        return _finish(record, now)
    # Of an attempt that has begun, such as an endpoint whose component waits, the moves see to it.
    is_new = stage.state in _BEFORE_LAUNCH and stage.attempt.started_at is None
    problem = shortfall(record, stage) if is_new else None
    if problem is not None:
        return enter(record, Status.HELD, problem, now)
    plan = record.plan_of(stage)
    if stage.state is StageState.PENDING and stage.kind.serves:
        held = _before_deploy(record, seen, now)
        if held is not None:
            return held
    return _move(record, stage, plan, seen, now)


def _move(
    record: Record, stage: Stage, plan: StagePlan, seen: Observation, now: datetime
) -> Decision:
    new_notes, stage = _listen(proceeded(stage, seen, now), seen, now)
    condition = condition_of(stage, plan, seen, now)
    # What goes on to its second step is to have some time within the budget, as at its launch.
    needed = timedelta(seconds=MINIMUM_SECONDS if condition in _GOES_ON else 0)
    if is_used_up(record, stage, now + needed) and (stage.state, Condition.UNAFFORDABLE) in TABLE:
        condition = Condition.UNAFFORDABLE
    rule = TABLE[stage.state, condition]
    of = record.prefix, record.experiment_id, record.uid
    name = job_name(*of, stage.name, stage.attempt.number)
    moved = move(stage, plan, condition, seen, now=now, name=name)
    commands = (StageCommand(rule.action, stage.name),) if rule.action else ()
    asked = (StageCommand(Action.CHECK, stage.name),) if moved.state is StageState.SCORING else ()
    after = awaiting(put_stage(record, moved), asked, seen, now)
    changed = moved.state is not stage.state or moved.attempt.number != stage.attempt.number
    line = HistoryEntry(now, f"{stage.name} {moved.state}", moved.reason or condition.value)
    history = (*new_notes, line) if changed and not _is_old_news(stage, moved) else new_notes
    if moved.state is not StageState.FAILED:
        return Decision(after, commands, history)
    reason = f"{stage.name}: {moved.reason}"
    failed = _end(replace(after, stopping_to=Status.FAILED), moved, seen, reason, now)
    return replace(
        failed, commands=(*commands, *failed.commands), history=(*history, *failed.history)
    )


_GOES_ON = {Condition.HALFWAY, Condition.DUE}


def _is_old_news(stage: Stage, moved: Stage) -> bool:
    """Whether it only tries again, or waits on for the same: the history has that already.

    What waits for a quota for weeks would fill it otherwise, a few hundred lines a day.
    """
    if stage.state is StageState.WAITING:
        return moved.state is StageState.CLAIMED
    goes_on = stage.state is StageState.CLAIMED and moved.state is StageState.WAITING
    return goes_on and bool(moved.waits) and moved.waits[-1].times > 1


def _listen(
    stage: Stage, seen: Observation, now: datetime
) -> tuple[tuple[HistoryEntry, ...], Stage]:
    """Take in what the log says of a training's health, with a line for each new note."""
    after = with_health(stage, seen)
    new = after.attempt.health[len(stage.attempt.health) :]
    return tuple(HistoryEntry(now, f"{stage.name} {n.kind}", n.message) for n in new), after


def _before_deploy(record: Record, seen: Observation, now: datetime) -> Decision | None:
    """Judge by the gate, then ask for approval; None when the deployment may go on."""
    if record.status is Status.DEPLOYING:
        return None
    if record.gate is None and any(map(seen.snapshot.unread_score, record.stages)):
        return stay(record)  # nobody judges by scores of which one is missing
    # Once an experiment; it loads what metrics are.
    from novaloop.experiment.controller.gate import judge  # noqa: PLC0415

    verdict = record.gate or judge(record, seen.snapshot.scores)
    judged = replace(record, gate=verdict)
    if not verdict.promotes:
        return enter(judged, Status.HELD, str(verdict), now)
    if record.spec.approval == "manual":
        return enter(judged, Status.AWAITING_APPROVAL, str(verdict), now)
    return enter(judged, Status.DEPLOYING, str(verdict), now)


def _finish(record: Record, now: datetime) -> Decision:
    last = record.stages[-1]
    if not last.kind.serves or last.attempt.job_name is None:
        return enter(record, Status.COMPLETED, "every stage succeeded", now)
    limit = last_moment(record, last)
    expires_at = min(
        filter(None, (now + timedelta(hours=serving_plan(record, last).ttl_hours), limit))
    )
    ref = endpoint_ref(record, last)
    live = replace(record, endpoint=Endpoint(ref.endpoint, now, expires_at, ref.component))
    reason = f"{ref.endpoint} serves until {expires_at:%Y-%m-%d %H:%M} UTC"
    return enter(live, Status.LIVE, reason, now)


def _watch_endpoint(record: Record, seen: Observation, now: datetime, _: Policy) -> Decision:
    gone = _why_no_more(record, seen.resource) if seen.resource is not None else None
    if gone is not None:
        return _stop_serving(replace(record, stopping_to=Status.COMPLETED), gone, now)
    endpoint = record.endpoint
    until = endpoint.kept_until if endpoint else None
    if endpoint is not None and until is not None and is_promised(record, until):
        promised = replace(endpoint, expires_at=until, kept_until=None, unkept=None)
        kept = replace(record, endpoint=promised)
        return enter(kept, Status.LIVE, f"kept until {until:%Y-%m-%d %H:%M} UTC", now)
    expires_at = endpoint.expires_at if endpoint else None
    if expires_at is not None and now >= expires_at:
        expired = replace(record, stopping_to=Status.EXPIRED)
        return _stop_serving(expired, "the endpoint's time is up", now)
    if endpoint is not None and until is not None and seen.exposed is not None:
        # Told in the first words: a service may say it in others each time.
        if endpoint.unkept == until:
            return stay(record)
        reason = f"can't be kept until {until:%Y-%m-%d %H:%M} UTC yet: {seen.exposed}"
        unkept = replace(record, endpoint=replace(endpoint, unkept=until))
        return enter(unkept, Status.LIVE, reason, now)
    return _tell_health(record, seen.resource, now) or _hold(record, seen, now)


CHANGES_FOR_LONG = timedelta(hours=6)
"""What SageMaker takes to change an endpoint by itself (SystemUpdating, Updating) is told after
this: it serves meanwhile, and an update of many instances takes an hour."""


def _tell_health(record: Record, resource: ResourceStatus | None, now: datetime) -> Decision | None:
    """Say in the record that its endpoint does not serve, and later that it does again.

    It is never deleted for that, nor made anew: it may recover, people may depend on what it is,
    and it ends when its time is up in any case. Bedrock has nothing between these phases. What
    comes and goes is told as other troubles are, so the reason and not the history follows it.
    """
    endpoint = record.endpoint
    if endpoint is None or endpoint.expires_at is None or resource is None:
        return None
    if not resource.ours or resource.serving is not None:
        return None
    name, until = endpoint.name, f"until {endpoint.expires_at:%Y-%m-%d %H:%M} UTC"
    ailment = endpoint.ailment
    if resource.phase is Phase.READY and ailment is not None:
        reason = f"{name} serves again, {until}" if ailment.why else record.reason
        ailment = None
    elif resource.phase not in {Phase.FAILED, Phase.LOST, Phase.ACTIVE}:
        return None
    else:
        ailment = ailment or Ailment(now)
        called = resource.progress.phase if resource.progress else str(resource.phase)
        if resource.phase is not Phase.ACTIVE:
            # The first words are kept: a service may say it in others each time that it is asked,
            # and no look would come to rest.
            if ailment.said.partition(":")[0] != called:
                said = f"{called}: {resource.reason}" if resource.reason else called
                ailment = replace(ailment, said=said)
            reason = f"{name} can't serve, {ailment.said}"
        elif now >= ailment.since + CHANGES_FOR_LONG:
            reason = f"{name} has been {called} since {ailment.since:%Y-%m-%d %H:%M} UTC"
        else:
            return stay(replace(record, endpoint=replace(endpoint, ailment=ailment)))
        reason += f"; it may bill {until}, unless you stop it; `novaloop retry` then deploys anew"
        ailment = replace(ailment, why=reason)
    # What can't be kept yet says so, and is looked at every few minutes: the two would alternate.
    reason = reason if endpoint.kept_until is None else record.reason
    return stay(replace(record, reason=reason, endpoint=replace(endpoint, ailment=ailment)))


def _stop_serving(record: Record, reason: str, now: datetime) -> Decision:
    """Ask for the end of what serves even if it seems to be gone."""
    end = (StageCommand(Action.END, record.focus.name),) if record.focus else ()
    return enter(record, Status.STOPPING, reason, now, *end)


def _why_no_more(record: Record, resource: ResourceStatus) -> str | None:
    """Say why the endpoint serves this experiment no more, or None if it does.

    What another experiment has put there for a trial may yet be taken back: until it holds the
    endpoint, this one's configuration stays.
    """
    if record.focus is None or record.endpoint is None or not is_confirmed(record.focus):
        return None
    if resource.serving is None:
        return "the endpoint was deleted from outside"
    successor = experiment_of_job(record.prefix, resource.serving)
    if successor is None:
        return f"{record.endpoint.name} was updated from outside and serves {resource.serving} now"
    return f"{record.endpoint.name} serves experiment {successor} now"


def _hold(record: Record, seen: Observation, now: datetime) -> Decision:
    """Take over an endpoint that serves this experiment and belongs to an earlier one."""
    resource = seen.resource
    holder = resource.owner if resource is not None and resource.phase is Phase.READY else None
    if holder is None or record.focus is None:
        return stay(record)
    is_ours = record.owner.owns(holder)
    asked = () if is_ours else (StageCommand(Action.SET_OWNER, record.focus.name),)
    return Decision(awaiting(record, asked, seen, now), asked)


def _wind_down(record: Record, seen: Observation, now: datetime, _: Policy) -> Decision:
    """End what runs, and leave STOPPING only when nothing of ours is left."""
    cleanup, lines = _noted(record, seen, now)
    decision = _end_focus(replace(record, cleanup=cleanup), seen, now)
    return replace(decision, history=(*lines, *decision.history))


def _clear_away(record: Record, seen: Observation, now: datetime, policy: Policy) -> Decision:
    """Once nothing runs any more, delete whatever else carries the experiment's tag, if asked.

    The index of tags runs behind, and so do the looks: that nothing is left, or only what an
    endpoint is made of, is believed after several looks.
    """
    if seen.made is not None:  # by a controller that was held up for longer than its lease
        return _stop_serving(replace(record, stopping_to=record.status), record.reason, now)
    left = seen.tagged
    cleanup, lines = _noted(record, seen, now)
    if record.cleanup is None or cleanup is None or left is None:
        return stay(record)
    if not left or left[0].kind in PARTS_OF_ENDPOINTS:
        of = Suspect.PARTIAL if left else Suspect.ABSENT
        cleanup = replace(cleanup, empty=seen_again(record.cleanup.empty, of, "", now, policy))
    cleaning = replace(record, cleanup=cleanup)
    if cleanup.empty is not None and not cleanup.empty.confirmed:
        return Decision(cleaning, history=lines)
    if not left:
        line = HistoryEntry(now, "cleanup", "nothing is left")
        return Decision(replace(record, cleanup=None), history=(line,))
    if seen.denied is not None:
        # Once told, it is tried again as long as it is asked for: a tag may show late. The first
        # words are kept as long as the same is left: a service may say it in others each time.
        denied = cleanup.denied if cleanup.left == record.cleanup.left else ""
        lines += () if denied else (HistoryEntry(now, "cleanup", f"denied: {seen.denied}"),)
        held = refused(cleanup.held, seen.denied, now, policy)
        cleanup = replace(cleanup, denied=denied or seen.denied, held=held)
        cleaning = replace(cleaning, cleanup=cleanup)
        return Decision(cleaning, history=lines)
    return Decision(cleaning, (DeleteTagged(left),), lines)


def _noted(
    record: Record, seen: Observation, now: datetime
) -> tuple[Cleanup | None, tuple[HistoryEntry, ...]]:
    """Note what a cleanup has left to delete, with a line of history for what was not told yet.

    What is left is compared as the record holds it, cut to its length. Of kind after kind, the rest
    is left at each step: it would be told as often as there are kinds.
    """
    left = ", ".join(map(str, seen.tagged or ()))
    if record.cleanup is None or not left:
        return record.cleanup, ()
    noted = replace(record.cleanup, left=left, empty=None)
    told = record.cleanup.left.split(", ")
    new = ", ".join(each for each in noted.left.split(", ") if each not in told)
    return noted, (HistoryEntry(now, "cleanup", f"deleting {new}"),) if new else ()


def _end_focus(record: Record, seen: Observation, now: datetime) -> Decision:
    stage = record.focus
    if stage is None or stage.attempt.job_name is None:
        ended, to = replace(record, stopping_to=None), record.stopping_to or Status.STOPPED
        if stage is not None and stage.state in {StageState.WAITING, StageState.SCORING}:
            ended = put_stage(ended, _stopped(stage, ResourceStatus(), now))
        return enter(ended, to, record.reason, now)
    return _end(record, stage, seen, record.reason, now)


def _end(record: Record, stage: Stage, seen: Observation, reason: str, now: datetime) -> Decision:
    """Go where the record is stopping to if the stage's work is over, else to STOPPING.

    What only seems to be gone, or somebody else's, is looked at again. Of somebody else's work,
    what our launch made beside it is deleted, and nothing else.
    """
    resource = seen.resource
    if seen.blind_to(Sense.RESOURCE) and seen.denied is None:
        # Whether it is over, nobody can see; its end is asked for at each look, and people told.
        return enter(record, Status.STOPPING, reason, now, StageCommand(Action.END, stage.name))
    if resource is None or seen.denied is not None or not is_sure(stage, resource, seen, now):
        return enter(record, Status.STOPPING, reason, now)
    vanished = resource.phase in GONE and stage.attempt.job_arn is not None and is_confirmed(stage)
    if vanished and seen.end is None:
        # Nobody saw it end: one request to end it, whatever the looks say, also where it was asked
        # for before: a stop that found nothing has ended nothing.
        return enter(record, Status.STOPPING, reason, now, StageCommand(Action.END, stage.name))
    if resource.phase is Phase.PARTIAL or resource.is_replaced:
        return enter(record, Status.STOPPING, reason, now, StageCommand(Action.CLEAR, stage.name))
    if not resource.ours or resource.is_over(stage.kind):
        ended, to = replace(record, stopping_to=None), record.stopping_to or Status.STOPPED
        return enter(put_stage(ended, _stopped(stage, resource, now)), to, reason, now)
    return enter(record, Status.STOPPING, reason, now, StageCommand(Action.END, stage.name))


def _stopped(stage: Stage, resource: ResourceStatus, now: datetime) -> Stage:
    billable = resource.billable_seconds or stage.attempt.billable_seconds
    attempt = replace(stage.attempt, billable_seconds=billable)
    if stage.state in {StageState.FAILED, StageState.SUCCEEDED}:
        return replace(stage, attempt=attempt)
    return replace(stage, state=StageState.STOPPED, attempt=replace(attempt, ended_at=now))


def _nothing_to_do(record: Record, *_: object) -> Decision:
    return stay(record)


_Step = Callable[[Record, Observation, datetime, Policy], Decision]
_STEPS: Mapping[Status, _Step] = {
    Status.COLLECTING: _collect,
    Status.REJECTED: _collect,
    Status.RUNNING: _advance,
    Status.DEPLOYING: _advance,
    Status.HELD: _nothing_to_do,
    Status.AWAITING_APPROVAL: _nothing_to_do,
    Status.LIVE: _watch_endpoint,
    Status.STOPPING: _wind_down,
    Status.COMPLETED: _clear_away,
    Status.EXPIRED: _clear_away,
    Status.STOPPED: _clear_away,
    Status.FAILED: _clear_away,
}


def _notice_late_uploads(decision: Decision, seen: Observation, now: datetime) -> Decision:
    """Say which uploads are not used, once it is settled which are.

    All of them in one text, which follows from the items that are there: whatever is uploaded,
    nothing needs to remember what was said before.
    """
    record, is_late = decision.record, any(late_uploads(decision.record, seen.snapshot))
    unused = "; ".join(unused_uploads(record, seen.snapshot))
    noticed = replace(record, unused_uploads=unused)
    if noticed == record or not unused:
        return replace(decision, record=noticed)
    line = HistoryEntry(now, "late upload" if is_late else "not used", noticed.unused_uploads)
    return replace(decision, record=noticed, history=(*decision.history, line))


_SHOWN_UNREAD = 3


def _notice_unread(decision: Decision, seen: Observation, now: datetime) -> Decision:
    """Say which items can't be read; like late uploads, it follows from what is there."""
    unread = seen.snapshot.unread
    told = [str(each) for each in unread[:_SHOWN_UNREAD]]
    told += [f"and {len(unread) - _SHOWN_UNREAD:,} more"] if len(unread) > _SHOWN_UNREAD else []
    noticed = replace(decision.record, unread="; ".join(told))
    if noticed == decision.record or not unread:
        return replace(decision, record=noticed)
    line = HistoryEntry(now, "left alone", noticed.unread)
    return replace(decision, record=noticed, history=(*decision.history, line))
