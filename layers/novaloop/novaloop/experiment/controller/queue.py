"""Experiments that wait for the same quota are let in by how long they have waited.

Only the first in the queue asks the service, so that waiting costs as many requests as there are
quotas. Those behind it are woken when it has left, and look again by themselves after a while.

Whoever can't ask is passed over: what a newer release wrote, or nobody can read, or what has not
been looked at for long after it was due. It keeps its place, and is first again once it asks.

In the same index stand those that are to go on from another experiment's checkpoint: they are woken
by whatever that one comes to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from novaloop.experiment.record import Record, Stage, StageState, Status
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageSpec

PASSED_OVER_AFTER = timedelta(hours=1)
"""After its next look was due; a look that fails comes again after 12 minutes, and by the sweep."""
MOST_PASSED_OVER = 10
"""How many are passed over at once: each costs a query. Behind more, each asks for itself."""
_HOLDS_ITS_PLACE = {StageState.WAITING, StageState.CLAIMED}


@dataclass(frozen=True)
class QueuePlace:
    """An experiment's place in the queue for a quota: who has waited longer stands before it."""

    experiment_id: str
    quota: str
    since: datetime


def quota_of(spec: ExperimentSpec, plan: StageSpec) -> str | None:
    """Name the quota that a stage's job counts towards, as SageMaker does where it has machines.

    None for what serves a model: it follows a gate, so there is no queue; each tries by itself.
    None, too, where there is no job.
    """
    if plan.kind.serves or plan.recorded_as is not None:
        return None
    chosen = plan.machines if spec.runtime.has_machines else None
    return f"{chosen[0]} for training job usage" if chosen else f"jobs of runtime {spec.runtime}"


def held_place(record: Record) -> QueuePlace | None:
    """Return the place that an experiment holds, also while it asks the service once more."""
    stage = record.active
    if record.status is not Status.RUNNING or stage is None or stage.queued_at is None:
        return None
    return _place(record, stage, stage.queued_at) if stage.state in _HOLDS_ITS_PLACE else None


def sought_place(record: Record, now: datetime) -> QueuePlace | None:
    """Return the place, perhaps a new one, of an experiment whose next step is to launch a job."""
    stage = record.active
    if record.status is not Status.RUNNING or stage is None:
        return None
    before_launch = stage.state in {StageState.PENDING, StageState.WAITING}
    if not before_launch or stage.waits_until_later(now):
        return None
    return _place(record, stage, stage.queued_at or now)


def _place(record: Record, stage: Stage, since: datetime) -> QueuePlace | None:
    quota = quota_of(record.spec, record.plan_of(stage))
    return QueuePlace(record.experiment_id, quota, since) if quota else None


def followers_of(experiment_id: str) -> str:
    """Name the queue of those that are to go on from an experiment's checkpoints."""
    return f"checkpoints of {experiment_id}"


def place_as_follower(record: Record) -> QueuePlace | None:
    """Return where an experiment stands, before it starts, that is to go on from another one.

    Nobody waits for a turn there: it only tells who is to be woken.
    """
    if record.spec.origin is None or not record.status.takes_uploads:
        return None
    return QueuePlace(record.experiment_id, followers_of(record.spec.origin[0]), record.created_at)


def can_ask(record: Record, now: datetime) -> bool:
    """Whether an experiment that holds a place asks for the quota when it is its turn."""
    unreadable = record.unreadable is not None and record.unreadable.confirmed
    is_late = record.due_at is not None and now > record.due_at + PASSED_OVER_AFTER
    return held_place(record) is not None and not unreadable and not is_late


def others(queue: Iterable[QueuePlace], place: QueuePlace) -> Iterator[QueuePlace]:
    """Return those in a queue, in order, but for the experiment that holds `place`."""
    return (each for each in queue if each.experiment_id != place.experiment_id)
