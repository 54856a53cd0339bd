"""The sweep: finds what events should have brought up and did not.

It has three jobs, and none can keep the others from being done: each has time of its own, what
goes wrong in one is told when all are over, and what goes wrong with one experiment or one upload
is told when the rest is done. What costs money comes first, and uploads, of which anybody may bring
any number, last.

**Experiments that are due** are hinted at, the longest overdue first, ten a message batch. So the
cost follows open work: only records that will change by themselves are ever due, and those that a
command waits for, whose event may have been lost.

**What bills and belongs to nobody** is looked for once a day; see `orphans`. Where many bill, the
next sweeps go on with that.

**Uploads without an item** can only be found by listing the bucket, and a listing knows no other
order than that of the keys: all uploads ever made come along. So the sweep walks round the inbox,
at most `KEYS` of them at a time, and remembers where it was. It compares an upload with its
experiment's items when it first comes by after each of `AGES`. So an old upload costs its share of
a listing and nothing else, and a recent one a few queries, however often the walk comes by.

Listing only the folders of experiments that still collect would be cheaper, but finds nothing of an
experiment whose first uploads were all lost, and then there would be two ways to find an upload.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from novaloop.experiment.names import (
    INBOX,
    MISNAMED_SPEC_FILE,
    SPEC_FILE,
    is_misnamed_spec,
    stem_of,
)
from novaloop.experiment.record import Record, Snapshot
from novaloop.experiment.spec.inputs import roles_called
from novaloop.experiment.spec.stages import Role
from novaloop.usecases.errors import code_of
from novaloop.usecases.inbox import NOT_READ, InboxFile, Unusable, read_key
from novaloop.usecases.ports import (
    Clock,
    HintBatches,
    Ingester,
    Notifier,
    Objects,
    Round,
    SweepStore,
    Upload,
)

if TYPE_CHECKING:
    from novaloop.usecases.orphans import OrphanWorld

_MINUTES, _DAYS = (2, 15, 60, 240, 960), (*range(1, 29), *(28 << n for n in range(1, 10)))
AGES = (
    *(timedelta(minutes=minutes) for minutes in _MINUTES),
    *(timedelta(days=days) for days in _DAYS),
)
"""The ages at which an upload is compared with the items. By the first its own event should have
arrived; the others are for asks that came to nothing. They grow like those of any such retry, up to
a day. After four weeks they double, so that old uploads cost next to nothing, and none is lost."""
FIRST_ROUND = timedelta(minutes=_MINUTES[-1])
"""How far back the very first round looks: all that is older is met at its next age."""
TOLD_AFTER = timedelta(days=2)
"""At this age an upload without an item is told of. By the ask of a day before, ingest would have
written an item that says why, if it could read or write anything at all."""
KEYS, COMPARISONS = 50_000, 400
"""How many uploads one sweep walks past at most, in listings of 1,000, and after how many loads of
an experiment, of two queries each, and asks it leaves the rest to the next."""
SEARCH_EVERY = timedelta(days=1)
SHOWN = 20
"""How many uploads a message names."""
MOST_TOLD = 1_000
"""Of how much that bills for nobody it is remembered that people were told; it is one item."""
HINTS_AT_ONCE, KEYS_AT_ONCE = 1_000, 200
"""How much of each job is begun before the clock is asked again: seconds, if all is to be done."""
TIME_FOR_DUE, TIME_FOR_ORPHANS, TIME_FOR_UPLOADS = (
    timedelta(seconds=seconds) for seconds in (12, 8, 18)
)
"""After this time a job begins nothing new. Far below the function's timeout: the last call may be
slow, and a sweep that is cut off remembers nothing."""


@dataclass(frozen=True)
class SweepWorld:
    """Everything that the sweep works with; what only the daily search needs is made for it."""

    store: SweepStore
    objects: Objects
    hints: HintBatches
    ingester: Ingester
    notifier: Notifier
    clock: Clock
    orphans: Callable[[], OrphanWorld]


@dataclass
class Swept:
    """What one sweep did.

    How many experiments were due for a look, how many uploads nobody had picked up, which keys
    belong to no experiment, which uploads people are told of, how much bills for nobody, and what
    could not be done, in words that hold nothing of any data. `place` is where the walk round the
    inbox has come to.
    """

    due: int = 0
    orphans: int = 0
    place: Round | None = None
    uploads: int = 0
    unusable: list[str] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """What the stack's metrics count, by their names, without what there was none of.

        CloudWatch bills a custom metric for each hour in which it is written, also as 0.
        """
        counts = {
            "ExperimentsDue": self.due,
            "UploadsWithoutItem": self.uploads,
            "UnusableKeys": len(self.unusable),
        }
        return {name: number for name, number in counts.items() if number}


def sweep(world: SweepWorld) -> Swept:
    """Hint at what is due, look for what bills for nobody, ask for uploads without an item."""
    swept = Swept()
    _try("hinting at what is due", swept, partial(_hint_at_due, world, swept))
    _try("remembering where it was", swept, partial(_remember, world, swept))
    jobs = [
        ("looking for what bills for nobody", _look_for_orphans),
        ("looking for lost uploads", _look_for_uploads),
    ]
    if swept.place is not None and swept.place.search_after is not None:
        jobs.reverse()  # the search may have ended the sweep before, and must not do so each time
    for what, job in jobs:
        if swept.place is not None:
            _try(what, swept, partial(job, world, swept, swept.place))
    return swept


def _try(what: str, swept: Swept, job: Callable[[], None]) -> bool:
    """Do one thing, and return whether that went well.

    A failure is kept for later, by AWS's code or its type, as its text may quote an item.
    """
    try:
        job()
    except Exception as error:
        swept.failures.append(f"{what}: {code_of(error)}")
        return False
    return True


def _hint_at_due(world: SweepWorld, swept: Swept) -> None:
    now = world.clock.now()
    due = iter(world.store.due(now))
    while world.clock.now() < now + TIME_FOR_DUE and (some := list(islice(due, HINTS_AT_ONCE))):
        swept.due += len(some)
        _hint_at(some, world, swept)


def _hint_at(experiment_ids: Sequence[str], world: SweepWorld, swept: Swept) -> None:
    refused = world.hints.look_at_all(experiment_ids)
    if refused:
        swept.failures.append(f"{len(refused)} hints were not taken, such as {refused[0]}'s")


def _remember(world: SweepWorld, swept: Swept) -> None:
    now = world.clock.now()
    swept.place = world.store.sweep_round() or Round("", started=now, since=now - FIRST_ROUND)


def _look_for_orphans(world: SweepWorld, swept: Swept, place: Round) -> None:
    """Look once a day, also if it comes to nothing: what fails, fails and costs once a day.

    But for what people could not be told: that is tried again in each sweep.
    """
    now, after = world.clock.now(), place.search_after
    if after is None and place.searched is not None and now < place.searched + SEARCH_EVERY:
        return
    begun = now if after is None else place.searched
    swept.place = place = replace(place, searched=begun, search_after=None)
    world.store.put_sweep_round(place)
    # Once a day; it loads what the controller is made of.
    from novaloop.usecases.orphans import look_for_orphans, see_to  # noqa: PLC0415

    in_time = partial(_is_before, now + TIME_FOR_ORPHANS, world)
    orphans = world.orphans()
    search = look_for_orphans(orphans, now, after or "", in_time)
    swept.orphans, came_to = len(search.orphans), search.came_to
    swept.failures += search.failures
    if search.orphans:
        # What is given an end must be told: if that fails, or the function dies over it, the next
        # sweep searches from here once more.
        world.store.put_sweep_round(replace(place, search_after=after or ""))
        told = [*place.told]
        tell = partial(see_to, search.orphans, orphans, begun or now, now, told)
        if not _try("telling what bills for nobody", swept, tell):
            came_to = after or ""
        place = replace(place, told=tuple(told[-MOST_TOLD:]))
    if search.orphans or came_to is not None:  # there may be more: the next sweep goes on
        swept.place = replace(place, search_after=came_to)
        world.store.put_sweep_round(swept.place)


def _is_before(end: datetime, world: SweepWorld) -> bool:
    return world.clock.now() < end


def _look_for_uploads(world: SweepWorld, swept: Swept, place: Round) -> None:
    """Walk on from where the last sweep was, and remember how far it was, whatever happens."""
    now = world.clock.now()
    in_time = partial(_is_before, now + TIME_FOR_UPLOADS, world)
    if not place.after:
        place = replace(place, started=now)
    since, walked, calls = place.since, 0, 0
    loaded: dict[str, Snapshot | None] = {}
    uploads = iter(world.objects.uploads(INBOX, place.after))
    try:
        while walked < KEYS and calls < COMPARISONS and in_time():
            some = list(islice(uploads, KEYS_AT_ONCE))
            if not some:
                place = replace(place, after="", since=place.started)
                break
            aged = {key: upload for key, upload in some if is_time(upload.uploaded_at, since, now)}
            old = {
                key
                for key, upload in aged.items()
                if since - upload.uploaded_at < TOLD_AFTER <= now - upload.uploaded_at
            }
            before = len(loaded)
            lost = _compare(aged, loaded, world, swept)
            asked = _ask_for(lost, world, swept, in_time)
            swept.overdue += [key for key in asked if key in old and not _says_why(key, lost[key])]
            calls, walked = calls + len(loaded) - before + len(asked), walked + len(some)
            if len(asked) < len(lost):  # go on with the first that there was no time for
                rest = list(lost)[len(asked)]
                place = replace(
                    place, after=max((k for k, _ in some if k < rest), default=place.after)
                )
                break
            place = replace(place, after=some[-1][0])
    finally:
        if swept.overdue:
            # Until they are told, the next round is to compare once more what this one did. That is
            # remembered first: where nothing can be, each sweep would tell the same.
            untold = replace(place, started=since, since=since)
            world.store.put_sweep_round(untold)
            if not _try("telling of uploads", swept, partial(_tell, world, swept.overdue)):
                place = untold
        world.store.put_sweep_round(place)
        swept.place = place


def _tell(world: SweepWorld, keys: Sequence[str]) -> None:
    """Tell people, in one message, of uploads that ingest has left no item for."""
    subject = f"Novaloop: {len(keys):,} uploads could not be ingested"
    more = [f"and {len(keys) - SHOWN:,} more"] if len(keys) > SHOWN else []
    why = (
        "Since they were uploaded, ingest has been asked for them again and again, for days, and "
        "has left neither a result nor a reason. Its log tells why. They are asked for again, once "
        "a day in the first four weeks; upload a file again to have it asked for at once."
    )
    message = "\n".join((subject, "", *keys[:SHOWN], *more, "", why, ""))
    world.notifier.publish(subject, message, {"status": "UPLOADS"})


def _compare(
    uploads: Mapping[str, Upload],
    loaded: dict[str, Snapshot | None],
    world: SweepWorld,
    swept: Swept,
) -> Mapping[str, Snapshot]:
    """Return the uploads that have no item, each with its experiment's, in the order of the keys.

    Each experiment is loaded once in a sweep, however many files lie in its folder: `loaded` holds
    those that were, None for what is left alone. Where there is no record yet, a look is asked for.
    """
    files: dict[str, dict[str, InboxFile]] = {}
    for key in uploads:
        file = read_key(key)
        if isinstance(file, Unusable):
            swept.unusable.append(key)
        elif file is not None:
            files.setdefault(file.experiment_id, {})[key] = file
    new = [name for name in files if name not in loaded]
    read = world.store.load_all(new)
    for experiment_id in new:
        if experiment_id not in read:
            swept.failures.append(f"the items of {experiment_id} can't be read")
        loaded[experiment_id] = read.get(experiment_id)
    # Nothing else may bring a look about: there is no record yet, or its next look is far off.
    unseen = [
        name
        for name in new
        if (snapshot := loaded[name]) is not None and _wants_uploads(snapshot.record)
    ]
    if unseen:
        _hint_at(unseen, world, swept)
    return {
        key: snapshot
        for experiment_id, own in files.items()
        if (snapshot := loaded[experiment_id]) is not None
        for key, file in own.items()
        if not _has_item(key, file, uploads[key], snapshot)
    }


def _ask_for(
    lost: Mapping[str, Snapshot], world: SweepWorld, swept: Swept, in_time: Callable[[], bool]
) -> Sequence[str]:
    """Ask for lost uploads, at least for one; return those that there was time for."""
    asked: list[str] = []
    for key in lost:
        if asked and not in_time():
            break
        _try(f"asking for {key}", swept, partial(world.ingester.request_ingest, key))
        asked.append(key)
    swept.uploads += len(asked)
    return asked


def _wants_uploads(record: Record | None) -> bool:
    """Whether an upload calls for a look, since the event of its item may have been lost."""
    return record is None or record.status.takes_uploads


def is_time(uploaded_at: datetime, since: datetime, now: datetime) -> bool:
    """Whether an upload has reached one of AGES since the walk last came by, at `since` or later.

    If it came by later than that, the upload is looked at once too often, never too seldom.
    """
    return bisect_right(AGES, since - uploaded_at) < bisect_right(AGES, now - uploaded_at)


def _has_item(key: str, file: InboxFile, upload: Upload, snapshot: Snapshot) -> bool:
    """Whether an item is as new as the upload: its own, or of a later file for the same role.

    Its own is none as long as it only says why nothing could be read.
    """
    if file.name == SPEC_FILE:
        spec = snapshot.spec
        if spec is None or spec.version_id == NOT_READ:
            return False
        return spec.uploaded_at >= upload.uploaded_at
    if file.is_stray and snapshot.strays.has_told_of(file.name):
        return True
    made = _roles(file, snapshot)
    if not made and snapshot.strays.has_told_of(file.name):
        return True
    told_of = {
        item.role
        for item in snapshot.datasets.values()
        if item.uploaded_at >= upload.uploaded_at
        and (item.source_key != key or item.version_id != NOT_READ)
    }
    if any(item.source_key == key and item.role in told_of for item in snapshot.datasets.values()):
        return True
    return bool(made) and told_of.issuperset(made)


def _roles(file: InboxFile, snapshot: Snapshot) -> Sequence[str]:
    """Return the roles of the items that ingest would write for a file.

    All misnamed specs share one. For `data.csv` there are none without `split:`, nor with it for
    files of what is made of that: those are told of.
    """
    if is_misnamed_spec(file.name):
        return (MISNAMED_SPEC_FILE,)
    stem = stem_of(file.name)
    spec = snapshot.spec.spec if snapshot.spec is not None else None
    if spec is not None:
        return roles_called(spec, stem)
    return (stem,) if stem in {*Role} else ()


def _says_why(key: str, snapshot: Snapshot) -> bool:
    """Whether an item says why the upload could not be read, or the experiment.yaml before it."""
    versions = [item.version_id for item in snapshot.datasets.values() if item.source_key == key]
    versions += [snapshot.spec.version_id] if snapshot.spec is not None else []
    return NOT_READ in versions
