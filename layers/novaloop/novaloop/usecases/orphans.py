"""Once a day: what bills, carries our tag, and belongs to no experiment that goes on.

That is what a record left behind that was lost, deleted by hand, or written over. A living record
is believed: what it knows of is its own. What has a schedule that stands is ended by that; what has
none is given one that begins in a day, so that whoever is told has the time to say otherwise. What
is there although its schedule has long begun is ended here. Jobs end by themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from novaloop.experiment.controller.backstop import MARGIN
from novaloop.experiment.controller.commands import LONGEST_KEPT
from novaloop.experiment.names import experiment_at
from novaloop.experiment.record import Backstop, Record
from novaloop.recipes.names import bedrock_name
from novaloop.usecases.errors import code_of
from novaloop.usecases.ports import (
    Billing,
    BillingFinder,
    LaunchRefused,
    Notifier,
    Schedules,
    Standing,
    SweepStore,
)

GRACE = timedelta(days=1)
"""From when people are told to the first try to end it."""
LATE = timedelta(hours=2)
"""How long after its schedule has begun something may be there: what has a component goes after
that, and each deletion takes minutes."""
SAME_TIME = timedelta(minutes=1)
"""What a time may differ by that Scheduler was sent and comes back."""
LAST_PROMISE = LONGEST_KEPT + MARGIN
"""How far ahead a schedule of ours may begin."""
TOLD_AT_ONCE = 100
"""How much one sweep looks at and one message names, all of it."""
RECORDS_AT_ONCE = 200
"""How many records are read at once."""


@dataclass(frozen=True)
class OrphanWorld:
    """Everything that the search works with."""

    store: SweepStore
    found: BillingFinder
    schedules: Schedules
    notifier: Notifier


@dataclass(frozen=True)
class Orphan:
    """What bills for nobody.

    `unseen` says that it can't be looked at, `unread` why its schedule can't.
    """

    billing: Billing
    standing: Standing
    unseen: str = ""
    unread: str = ""


@dataclass
class Search:
    """What came of a search.

    `came_to` is the last experiment that was searched for, None if that was the last of all.
    `failures` say what could not be done.
    """

    orphans: list[Orphan] = field(default_factory=list)
    came_to: str | None = None
    failures: list[str] = field(default_factory=list)


def look_for_orphans(
    world: OrphanWorld, now: datetime, after: str, in_time: Callable[[], bool]
) -> Search:
    """Find what belongs to nobody, and change nothing.

    In the order of the experiments' names, from `after` on, as far as it goes `in_time`, and one
    at least. What fails for one of them is told of it, and keeps no other from being ended.
    """
    found, unseen = world.found.billing()
    search = Search(failures=[*unseen])
    billing: dict[str, list[Billing]] = {}
    for each in found:
        if each.experiment_id > after:
            billing.setdefault(each.experiment_id, []).append(each)
    try:
        for name, own in _orphans(billing, world):
            search.orphans += filter(None, (_looked_at(each, world, now) for each in own))
            if not in_time() or len(search.orphans) >= TOLD_AT_ONCE:
                search.came_to = name if name != max(billing) else None
                break
    except Exception as error:  # what was found before is told all the same
        search.failures.append(f"reading the records of what bills: {code_of(error)}")
    return search


def _orphans(
    billing: Mapping[str, Sequence[Billing]], world: OrphanWorld
) -> Iterator[tuple[str, Sequence[Billing]]]:
    """Yield experiments, by name, with what their records do not know of.

    The last of those that are read at once is yielded in any case: so far it has come by then.
    """
    names = sorted(billing)
    for start in range(0, len(names), RECORDS_AT_ONCE):
        some = names[start : start + RECORDS_AT_ONCE]
        snapshots = world.store.load_records(some)
        for name in some:
            # One that can't be read is left out, and None was written by a newer release, which
            # knows.
            snapshot = snapshots.get(name)
            orphans = [
                each
                for each in billing[name]
                if snapshot is not None and not _knows(snapshot.record, each)
            ]
            if orphans or name == some[-1]:
                yield name, orphans


def _knows(record: Record | None, billing: Billing) -> bool:
    """Whether a record that goes on has made this, or serves by it."""
    if record is None or record.status.is_final:
        return False
    names = {stage.attempt.job_name for stage in record.stages if stage.attempt.job_name}
    names |= {bedrock_name(name) for name in names}
    names |= {stage.backstop.name for stage in record.stages if stage.backstop}
    if record.endpoint is not None:
        names.add(record.endpoint.name)
    return billing.name in names


def _serves_another(billing: Billing, serving: str, world: OrphanWorld) -> bool:
    """Whether another experiment that goes on has made what an endpoint serves.

    A lasting endpoint's tag may name a former one: it is set after the change, or can't be.
    """
    name = experiment_at(billing.name, serving)
    if name is None or name == billing.experiment_id:
        return False
    snapshot = world.store.load_records([name]).get(name)
    # As above: what can't be read is a newer release's, which knows.
    return snapshot is None or _knows(snapshot.record, replace(billing, name=serving))


def _looked_at(billing: Billing, world: OrphanWorld, now: datetime) -> Orphan | None:
    """Return what is known of it; None if it is gone."""
    standing, unseen = Standing(stands=False, begins=None), ""
    if billing.to is None:
        return Orphan(billing, standing)
    serving: str | None = ""
    try:
        serving = world.found.serves(billing)
    except Exception as error:  # its tag says that it is there, and bills
        unseen = f"can't be looked at ({code_of(error)}), and may serve"
    if serving is None or _serves_another(billing, serving, world):
        return None
    try:
        standing = world.schedules.standing(_backstop(billing, now, component=billing.component))
    except Exception as error:
        return Orphan(billing, standing, unseen, f"its schedule can't be read: {code_of(error)}")
    return Orphan(billing, standing, unseen)


def _backstop(billing: Billing, at: datetime, *, component: bool) -> Backstop:
    to = billing.to or "sagemaker"
    lasting = "--" not in billing.name and to == "sagemaker"
    return Backstop(billing.name, to, 1, at, component and not lasting, lasting)


def see_to(
    orphans: Sequence[Orphan],
    world: OrphanWorld,
    begun: datetime,
    now: datetime,
    told: list[str],
) -> None:
    """See to the end of each, and tell people. May raise whatever the notifier does.

    Of what has an end of its own people are told once, and once more if that changes: `told`
    identifies what they were told of, and takes what they are told of now. Whoever can't be told
    now is told by a later sweep, and has as much time from then on: what the search that has
    `begun` then has given an end already is put off, once people are told.
    """
    ends = [_end_of(orphan, world, begun, now) for orphan in orphans]
    ends = [end for end in ends if end.known not in told]
    subject = f"Novaloop: {len(ends):,} without an experiment that goes on"
    for start in range(0, len(ends), TOLD_AT_ONCE):
        lines = [end.line for end in ends[start : start + TOLD_AT_ONCE]]
        message = "\n".join((subject, "", *lines, "", _TO_KEEP, ""))
        world.notifier.publish(subject, message, {"status": "ORPHANS"})
    told += [end.known for end in ends if end.known]
    for end in ends:
        if end.put_off is not None:
            world.schedules.put(end.put_off, now)


_TO_KEEP = (
    "To keep one for a while, move the schedule of its name in EventBridge Scheduler (its EndDate "
    "lies a week after its StartDate); to keep it for good, remove its tag novaloop:experiment."
)


@dataclass(frozen=True)
class _End:
    """What people are told of the end of something, and its schedule if that is to be put off.

    `known` identifies it together with its end, if it has one of its own that is ahead.
    """

    line: str
    known: str = ""
    put_off: Backstop | None = None


def _end_of(orphan: Orphan, world: OrphanWorld, begun: datetime, now: datetime) -> _End:
    """See to the end of one."""
    billing, begins = orphan.billing, orphan.standing.begins
    if begins is not None and begins > now + LAST_PROMISE:
        begins = None  # later than anything can be kept: somebody else's doing
    what = f"{billing.kind} {billing.name} (experiment {billing.experiment_id})"
    yourself = " && ".join(_commands(billing))
    if billing.to is None:
        until = "runs until it is done, or its longest run time is over"
        return _End(f"{what} {until}; to stop it now: {yourself}", _known(billing))
    what += f" {orphan.unseen or 'serves'}"
    later = _backstop(billing, now + GRACE, component=True)
    put_off = None
    remedy = f"end it yourself: {yourself}"
    if orphan.unread:
        return _End(f"{what}, and nothing is known to end it ({orphan.unread}); {remedy}")
    try:
        if begins is None or not orphan.standing.stands:
            # Whether it has a component may not show: deleting what there is not is only refused.
            begins = begins if begins is not None and begins > now else later.at
            world.schedules.put(replace(later, at=begins), now, sooner=True)
        elif begins < now - LATE:
            world.found.end(billing)
            return _End(f"{what}; its schedule has not ended it since {_utc(begins)}: it ends now")
        elif begun + GRACE - SAME_TIME <= begins < now + GRACE - SAME_TIME:
            begins, put_off = later.at, later
    except Exception as error:
        reason = error.reason if isinstance(error, LaunchRefused) else code_of(error)
        return _End(f"{what}, and nothing is known to end it ({reason}); {remedy}")
    line = f"{what}; its schedule ends it from {_utc(begins)} on; to end it now: {yourself}"
    return _End(line, _known(billing, begins), put_off)


def _known(billing: Billing, begins: datetime | None = None) -> str:
    parts = f"{billing.kind} {billing.name} {_utc(begins) if begins else ''}"
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def _utc(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


_ENDING: Mapping[str, str] = {
    "sagemaker:inference-component": "sagemaker delete-inference-component"
    " --inference-component-name",
    "sagemaker:endpoint": "sagemaker delete-endpoint --endpoint-name",
    "sagemaker:training-job": "sagemaker stop-training-job --training-job-name",
    "bedrock:provisioned-model": "bedrock delete-provisioned-model-throughput"
    " --provisioned-model-id",
    "bedrock:model-customization-job": "bedrock stop-model-customization-job --job-identifier",
}
"""Commands of the AWS CLI, by what they end, which is named behind them."""


def _commands(billing: Billing) -> Iterator[str]:
    """Yield what ends it; an endpoint can't be deleted before its component is gone."""
    kinds = ["sagemaker:inference-component"] if billing.component else []
    for kind in (*kinds, billing.kind):
        yield f"`aws {_ENDING[kind]} {billing.name}`"
