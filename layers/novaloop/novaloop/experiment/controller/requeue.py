"""When an experiment must be looked at again, if no event calls for a look before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from novaloop.experiment.controller.backstop import is_pending
from novaloop.experiment.controller.decision import Decision, Policy
from novaloop.experiment.controller.notifications import UNSENT, all_told, is_denied
from novaloop.experiment.controller.observation import Observation, keeps_log
from novaloop.experiment.controller.transitions import (
    CHECK_AGAIN,
    LEAST_OFTEN,
    SETTLING,
    next_check,
    try_again_at,
)
from novaloop.experiment.costs.budget import last_moment
from novaloop.experiment.record import Cleanup, Record, Snapshot, StageState, Status

LOOK_AGAIN: Mapping[Status, timedelta] = {
    Status.COLLECTING: timedelta(minutes=15),
    Status.REJECTED: timedelta(minutes=15),
    Status.RUNNING: timedelta(minutes=10),
    Status.DEPLOYING: timedelta(minutes=5),
    Status.STOPPING: timedelta(seconds=30),
    Status.HELD: timedelta(hours=1),
    Status.AWAITING_APPROVAL: timedelta(hours=1),
    Status.LIVE: timedelta(hours=1),
}
"""How long an experiment may go without a look when no event calls for one."""
_WAITS_FOR_PEOPLE = {
    Status.COLLECTING,
    Status.REJECTED,
    Status.HELD,
    Status.AWAITING_APPROVAL,
}
"""What they upload or say calls for a look at once; where that is lost, the sweep finds it."""
GIVEN_UP_AFTER = timedelta(days=30)
"""What waits for people is looked at less and less often after the last change, in the end once a
day, and what takes uploads not at all after a month: nothing changes by itself by then, and many
are never completed. An upload calls for a look at once, and the sweep finds one whose event was
lost."""
LONGEST_FOR_A_CHECKPOINT = timedelta(hours=1)
DENIED_AGAIN = timedelta(minutes=15)
"""When to try again to end, or to read, what could not be for so long that people are told."""


def with_due(
    decision: Decision, before: Record, seen: Observation, now: datetime, policy: Policy
) -> Decision:
    """Set when the sweep must look again; keep the old time while it is still ahead."""
    record = decision.record
    is_late = _is_claimed(before) and _is_claimed(record) and record.unreadable is None
    unseen = now + _soon(policy) if is_late else None
    undone = any(code for _, code in seen.asked)
    again = _again(record, seen.snapshot, now) if undone else None
    due = _due_at(record, seen, now, policy)
    looks = (due, unseen, again, decision.look_at, _used_up(record, now))
    due_at = min(filter(None, looks), default=None)
    keeps = before.due_at is not None and due_at is not None and now < before.due_at <= due_at
    return replace(decision, record=replace(record, due_at=before.due_at if keeps else due_at))


def _used_up(record: Record, now: datetime) -> datetime | None:
    """Return when what a deployment serves with, if one is under way, has used up the budget."""
    stage = record.active
    if stage is None or stage.attempt.started_at is None or record.status.is_final:
        return None
    limit = last_moment(record, stage)
    return limit if limit is not None and now < limit else None


def _soon(policy: Policy) -> timedelta:
    """Return when to look again at what is about to change, or to be gone."""
    return min(LOOK_AGAIN[Status.STOPPING], policy.look_every)


def _is_claimed(record: Record) -> bool:
    """Whether a launch is under way. Where it stays so, what was launched does not show yet.

    No event tells when it does: of an endpoint's configuration, for one, there is none.
    """
    return record.active is not None and record.active.state is StageState.CLAIMED


def _due_at(record: Record, seen: Observation, now: datetime, policy: Policy) -> datetime | None:
    if record.status.is_final:
        if record.cleanup:
            return _due_while_cleaning(record, record.cleanup, now, policy)
        settled = all_told(record) and not is_pending(record)
        return None if settled else _again(record, seen.snapshot, now)
    due = now + LOOK_AGAIN[record.status]
    if (doubtful := _due_in_doubt(record, now)) is not None:
        return doubtful
    if record.status in _WAITS_FOR_PEOPLE:
        return _due_while_waiting(record, seen, now)
    stage = record.active
    if stage is not None and stage.state is StageState.WAITING and stage.next_try_at:
        due = stage.next_try_at
    if _is_unannounced(record):
        due = min(due, now + policy.look_every)
    if stage is not None and stage.state is StageState.RUNNING and stage.attempt.second_step_at:
        settled_at = stage.attempt.second_step_at + SETTLING
        due = min(due, settled_at if now < settled_at else now + policy.look_every)
    if stage is not None and stage.state is StageState.CLEARING:
        due = min(due, now + _soon(policy))
    if stage is not None and stage.state is StageState.SCORING:
        due = min(filter(None, (due, next_check(stage))))
    return _due_while_live(record, due, now)


def _due_while_waiting(record: Record, seen: Observation, now: datetime) -> datetime | None:
    """Return the next look: after half of the time since the last change, within bounds.

    What was asked for and has not come is open work, and never given up. So is another experiment's
    checkpoint: that one wakes whoever waits for it, but for a hint that was lost.
    """
    soonest = LOOK_AGAIN[record.status]
    follows = record.awaited_checkpoint is not None
    longest = LONGEST_FOR_A_CHECKPOINT if follows else LEAST_OFTEN
    quiet = now - _last_change(record, seen.snapshot)
    awaited = [each for what, each in record.awaited.items() if not what.startswith(UNSENT)]
    is_given_up = not awaited and quiet > GIVEN_UP_AFTER and record.status.takes_uploads
    if is_given_up and all_told(record):
        return None
    untold = [each.look_at for each in awaited if not each.confirmed]
    due = now + max(soonest, min(quiet / 2, longest))
    return min(due, max(min(untold), now + soonest)) if untold else due


def _again(record: Record, snapshot: Snapshot, now: datetime) -> datetime:
    """Return when to try again what could not be told, asked for or removed.

    Whatever calls for a look before tries, too.
    """
    return try_again_at(_last_change(record, snapshot), now)


def _last_change(record: Record, snapshot: Snapshot) -> datetime:
    """Return when something was last uploaded, converted, checked, launched or over."""
    times = [record.created_at, *filter(None, (record.started_at, record.ended_at))]
    for stage in record.stages:
        attempt = stage.attempt
        times += filter(None, (attempt.claimed_at, attempt.started_at, attempt.ended_at))
    times += [item.updated_at for item in snapshot.datasets.values()]
    times += [item.uploaded_at for item in snapshot.datasets.values()]
    times += [snapshot.spec.uploaded_at] if snapshot.spec else []
    times += [snapshot.checks.checked_at] if snapshot.checks else []
    return max(times)


def _due_while_cleaning(
    record: Record, cleanup: Cleanup, now: datetime, policy: Policy
) -> datetime:
    if cleanup.denied or record.unreadable or (cleanup.held and cleanup.held.confirmed):
        return now + CHECK_AGAIN
    if cleanup.empty is not None and not cleanup.empty.confirmed:
        return cleanup.empty.look_at
    return now + _soon(policy)


def _due_while_live(record: Record, due: datetime, now: datetime) -> datetime:
    if record.status is not Status.LIVE or record.endpoint is None:
        return due
    if record.endpoint.expires_at:
        due = min(due, record.endpoint.expires_at)
    return min(due, now + CHECK_AGAIN) if is_pending(record) else due


def _due_in_doubt(record: Record, now: datetime) -> datetime | None:
    """Return when to look again at what may be gone, somebody else's, or not ours to end."""
    suspicion = record.focus.attempt.suspicion if record.focus else None
    if suspicion is not None and not suspicion.confirmed:
        return suspicion.look_at
    overdue = record.focus.attempt.overdue if record.focus else None
    if overdue is not None and not overdue.confirmed:
        return overdue.look_at
    unreadable = record.unreadable
    if unreadable is not None and not unreadable.confirmed:
        return unreadable.look_at
    if is_denied(record):
        return now + DENIED_AGAIN
    if unreadable is None:
        return None
    endpoint = record.endpoint if record.status is Status.LIVE else None
    return min(filter(None, (now + DENIED_AGAIN, endpoint.expires_at if endpoint else None)))


def _is_unannounced(record: Record) -> bool:
    """Whether something changes of which no event tells.

    None tells of a training's log, of a deployment to Bedrock, and of what is gone.
    """
    if record.status is Status.STOPPING:
        return True
    stage = record.focus
    if stage is None:
        return False
    unheard = record.plan_of(stage).on_bedrock or keeps_log(record, stage)
    return stage.state is StageState.RUNNING and unheard
