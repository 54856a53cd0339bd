"""Once a day: what bills, carries our tag, and belongs to no experiment that goes on.

That is what a record left behind that was lost, deleted by hand, or written over. A living record
is believed: what it knows of is its own. Nothing is ended here. What has a schedule is ended by
that; what has none is given one that begins in a day, so that whoever is told has the time to say
otherwise. Jobs end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from novaloop.experiment.record import Backstop, Record
from novaloop.experiment.spec.stages import Target
from novaloop.recipes.names import bedrock_name
from novaloop.usecases.errors import code_of
from novaloop.usecases.ports import (
    Billing,
    BillingFinder,
    LaunchRefused,
    Notifier,
    Schedules,
    SweepStore,
)

GRACE = timedelta(days=1)
"""From the day on which people are told to the first try to end it."""
SHOWN = 20
RECORDS_AT_ONCE = 200
"""How many records are read at once."""


@dataclass(frozen=True)
class OrphanWorld:
    """Everything that the search works with."""

    store: SweepStore
    found: BillingFinder
    schedules: Schedules
    notifier: Notifier


@dataclass
class Search:
    """What came of a search.

    `told` has a line for each of what belongs to nobody; `came_to` is the last experiment that was
    searched for, None if that was the last of all. `failures` say what could not be done.
    """

    told: list[str] = field(default_factory=list)
    came_to: str | None = None
    failures: list[str] = field(default_factory=list)


def look_for_orphans(
    world: OrphanWorld, now: datetime, after: str, in_time: Callable[[], bool]
) -> Search:
    """Tell people of what belongs to nobody, and see to its end.

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
            search.told += filter(None, (_line(each, world, now) for each in own))
            if not in_time():
                search.came_to = name if name != max(billing) else None
                break
    except Exception as error:  # what was found before is told all the same
        search.failures.append(f"reading the records of what bills: {code_of(error)}")
    if search.told:
        try:
            _tell(search.told, world)
        except Exception as error:
            search.failures.append(f"telling what bills for nobody: {code_of(error)}")
            # What is ended in a day must not be told in a day: the next sweep begins anew.
            search.came_to = "" if search.came_to is None else search.came_to
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


def _tell(lines: Sequence[str], world: OrphanWorld) -> None:
    more = f"\nand {len(lines) - SHOWN:,} more" if len(lines) > SHOWN else ""
    subject = f"Novaloop: {len(lines):,} without an experiment that goes on"
    message = "\n".join((subject, "", *lines[:SHOWN])) + f"{more}\n"
    world.notifier.publish(subject, message, {"status": "ORPHANS"})


def _knows(record: Record | None, billing: Billing) -> bool:
    """Whether a record that goes on has made this, or serves by it."""
    if record is None or record.status.is_final:
        return False
    names = {stage.job_name for stage in record.stages if stage.job_name}
    names |= {bedrock_name(name) for name in names}
    names |= {stage.backstop.name for stage in record.stages if stage.backstop}
    if record.endpoint is not None:
        names.add(record.endpoint.name)
    return billing.name in names


def _line(billing: Billing, world: OrphanWorld, now: datetime) -> str | None:
    """Say what becomes of it, having seen to its end; None if it is gone."""
    what = f"{billing.kind} {billing.name} (experiment {billing.experiment_id})"
    if billing.to is None:
        return f"{what} runs until it is done, or its longest run time is over"
    serves = "serves"
    try:
        if not world.found.is_there(billing):
            return None
    except Exception as error:  # its tag says that it is there, and bills
        serves = f"can't be looked at ({code_of(error)}), and may serve"
    try:
        begins = _ends_from(billing.name, billing.to, world, now)
    except Exception as error:
        reason = error.reason if isinstance(error, LaunchRefused) else code_of(error)
        return (
            f"{what} {serves}, and no schedule is known to end it: `novaloop cleanup` it, or"
            f" delete it yourself. {reason}"
        )
    return f"{what} {serves}; its schedule ends it from {begins:%Y-%m-%d %H:%M} UTC on"


def _ends_from(name: str, to: Target, world: OrphanWorld, now: datetime) -> datetime:
    """Return when its schedule begins to end it, which is made if there is none.

    One that is there is never moved: each day's search would put the end off by a day.
    """
    lasting = "--" not in name and to == "sagemaker"
    backstop = Backstop(name, to, 1, now + GRACE, not lasting, lasting)
    begins = world.schedules.begins(backstop)
    if begins is None:
        # Whether it has a component can't be seen: deleting what there is not is only refused.
        world.schedules.put(backstop, now)
        begins = backstop.at
    return begins
