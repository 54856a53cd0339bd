"""When a schedule ends what serves, if nobody else does: the backstop of every hourly bill.

The controller ends an endpoint by its record, and can't once the record, the table or the stack is
gone. So before an endpoint is made, a schedule is that deletes it by itself, a while after the time
that the record promises; the record says what the schedule is set to, and each look sets it again
until the service has said that it is. Each look at what is live also looks whether it is still
there: somebody may have deleted or changed it by hand. `keep` moves the schedule first: what is
promised is kept.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from novaloop.experiment.controller.decision import (
    Decision,
    Policy,
    RemoveBackstop,
    SetBackstop,
    StageCommand,
    put_stage,
)
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.controller.suspicion import refused
from novaloop.experiment.controller.transitions import (
    CHECK_AGAIN,
    ENDPOINT_START,
    MAX_CHECKS,
    Action,
)
from novaloop.experiment.record import Backstop, Record, Stage, Status
from novaloop.experiment.runtimes.serving import endpoint_ref, serving_plan

MARGIN = timedelta(hours=1)
"""What the controller is given to end it, which also deletes what the schedule does not: model,
configuration, and the record's promise."""
UP_TO_LIVE = ENDPOINT_START + MAX_CHECKS * CHECK_AGAIN
"""A deployment that takes longer than this has failed, and is ended."""


def acknowledged(record: Record, seen: Observation, now: datetime, policy: Policy) -> Record:
    """Return the record with what the service just said of a stage's schedule.

    What keeps it from being set is told once several looks say so: it may be a moment's throttling.
    """
    for stage in record.stages:
        known = stage.backstop
        if seen.backstop is not None and known in {seen.backstop, None} and stage is record.focus:
            known = replace(seen.backstop, is_set=True, refused=None)
            if seen.was_gone:
                known = _touched(replace(known, was_gone=True), now)
        unset = seen.unset
        if known and unset and unset.backstop == known:
            known = replace(known, is_set=False)
            if unset.changed:
                known = _touched(replace(known, changed=unset.changed), now)
        if known is not None and seen.exposed is not None and stage is record.focus:
            known = replace(known, refused=refused(known.refused, seen.exposed, now, policy))
        if known is not None and known == seen.removed:
            known = None
        if known is not stage.backstop:
            record = put_stage(record, replace(stage, backstop=known))
    return record


TOLD_AGAIN = timedelta(days=1)
"""After this time somebody's next deletion or change of a schedule is told, too. What does so all
the time, such as a tool that holds the account to its own list, is told once a day."""


def _touched(backstop: Backstop, now: datetime) -> Backstop:
    told = backstop.touched_at
    return backstop if told and now < told + TOLD_AGAIN else replace(backstop, touched_at=now)


def with_backstops(decision: Decision, seen: Observation, now: datetime) -> Decision:
    """Add to a decision what becomes of its stages' schedules.

    A launch sets its own, before anything is made; the claim says so beforehand.
    """
    for stage in decision.record.stages:
        decision = _with_backstop(decision, stage)
    if seen.exposed is not None and decision.record.status in _BOUND:
        decision = replace(decision, look_at=now + CHECK_AGAIN)
    return decision


_BOUND = {Status.LIVE, Status.STOPPING}
"""The statuses in which it is looked whether a schedule is still as it was set: what can't be
deleted may serve for long while it is STOPPING."""


def _with_backstop(decision: Decision, stage: Stage) -> Decision:
    record, before = decision.record, stage.backstop
    if before is not None and (record.status.is_final or before.attempt != stage.attempt.number):
        decision = _without(decision, stage, before)
    due = _due(record, stage)
    if due is None or (before is not None and before.at == due and before.is_set):
        return decision
    backstop = _of(record, stage, due)
    former = before if before is not None and before.attempt == stage.attempt.number else None
    if former is not None:
        backstop = replace(
            backstop,
            was_gone=former.was_gone,
            changed=former.changed,
            touched_at=former.touched_at,
            refused=former.refused,
        )
    launches = StageCommand(Action.LAUNCH, stage.name) in decision.commands
    # Whoever serves by now has taken the endpoint over, with all that the former was promised. Not
    # later, where somebody changed the schedule: a successor on trial may have moved it meanwhile.
    owns = record.status is Status.LIVE and not (_is_kept(record) or backstop.changed)
    asked = SetBackstop(stage.name, again=former is not None, sooner=owns)
    commands = decision.commands if launches else (*decision.commands, asked)
    after = put_stage(decision.record, replace(stage, backstop=backstop))
    return replace(decision, record=after, commands=commands)


def _is_kept(record: Record) -> bool:
    return record.endpoint is not None and record.endpoint.kept_until is not None


def _without(decision: Decision, stage: Stage, backstop: Backstop) -> Decision:
    if backstop.lasting and not decision.record.status.is_final:
        # A next attempt sets it for itself.
        return replace(decision, record=put_stage(decision.record, replace(stage, backstop=None)))
    return replace(decision, commands=(*decision.commands, RemoveBackstop(backstop)))


def _due(record: Record, stage: Stage) -> datetime | None:
    """Return when the schedule has to begin; None if it is to stay as it is.

    What is not billed by the hour has none, but for that of a former attempt that was.
    """
    if not record.plan_of(stage).bills_idle:
        return None
    if record.status is Status.LIVE and record.endpoint is not None and stage is record.stages[-1]:
        until = record.endpoint.kept_until or record.endpoint.expires_at
        return until + MARGIN if until else None
    if record.status is Status.STOPPING and stage.backstop and stage.attempt.job_name:
        return stage.backstop.at
    goes_on = record.status in {Status.RUNNING, Status.DEPLOYING} and stage.state.has_deadline
    if not goes_on or stage.attempt.claimed_at is None:
        return None
    ttl = timedelta(hours=serving_plan(record, stage).ttl_hours)
    return stage.attempt.claimed_at + UP_TO_LIVE + ttl + MARGIN


def _of(record: Record, stage: Stage, at: datetime) -> Backstop:
    ref = endpoint_ref(record, stage)
    return Backstop(
        name=ref.endpoint,
        to=ref.to,
        component=ref.component is not None,
        lasting=ref.is_shared,
        attempt=stage.attempt.number,
        at=at,
    )


def kept_no_longer(record: Record) -> Record:
    """Return the record of what was live without what it was to be kept for.

    Its schedule is taken to stand as it was promised last, since it could not be moved; the next
    look tells if that is wrong.
    """
    endpoint, stage = record.endpoint, record.focus
    if endpoint is None or endpoint.kept_until is None:
        return record
    record = replace(record, endpoint=replace(endpoint, kept_until=None, unkept=None))
    if stage is None or stage.backstop is None or endpoint.expires_at is None:
        return record
    at = endpoint.expires_at + MARGIN
    return put_stage(
        record, replace(stage, backstop=replace(stage.backstop, at=at, is_set=True, refused=None))
    )


def is_promised(record: Record, until: datetime) -> bool:
    """Whether what serves may be said to serve until then: its schedule does not end it before."""
    backstop = record.stages[-1].backstop
    if not record.plan_of(record.stages[-1]).bills_idle:
        return True
    return backstop is not None and backstop.is_set and backstop.at >= until + MARGIN


def needs_backstop(record: Record) -> bool:
    """Whether it is to be looked at that a schedule is still as it was set."""
    backstop = record.focus.backstop if record.focus else None
    return record.status in _BOUND and backstop is not None and backstop.is_set


def is_pending(record: Record) -> bool:
    """Whether a schedule is yet to be removed, or to be moved for what is to be kept."""
    if record.status.is_final:
        return any(stage.backstop is not None for stage in record.stages)
    return _is_kept(record)
