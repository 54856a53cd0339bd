"""Once a day: what bills, carries our tag, and belongs to no experiment that goes on.

That is what a record left behind that was lost, deleted by hand, or written over. A living record
is believed: what it knows of is its own. Nothing is ended here. What has a schedule is ended by
that; what has none is given one that begins in a day, so that whoever is told has the time to say
otherwise. Jobs end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from novaloop.experiment.record import Backstop, Record
from novaloop.recipes.names import bedrock_name
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
"""How many records are read before the clock is asked again."""


@dataclass(frozen=True)
class OrphanWorld:
    """Everything that the search works with."""

    store: SweepStore
    found: BillingFinder
    schedules: Schedules
    notifier: Notifier


def look_for_orphans(
    world: OrphanWorld, now: datetime, after: str, in_time: Callable[[], bool]
) -> tuple[int, str | None]:
    """Tell people of what belongs to nobody, and see to its end.

    In the order of the experiments' names, from `after` on, as far as it goes `in_time`. Returns
    how many such there were, and how far it came; None if that was to the end.
    """
    billing: dict[str, list[Billing]] = {}
    for each in world.found.billing():
        if each.experiment_id > after:
            billing.setdefault(each.experiment_id, []).append(each)
    names = sorted(billing)
    orphans: list[Billing] = []
    done = 0
    while done < len(names) and (done == 0 or in_time()):
        some = names[done : done + RECORDS_AT_ONCE]
        done += len(some)
        for name, snapshot in world.store.load_records(some).items():
            # One that can't be read is left out, and None was written by a newer release, which
            # knows.
            if snapshot is not None:
                unknown = (each for each in billing[name] if not _knows(snapshot.record, each))
                orphans += filter(world.found.is_there, unknown)
    if orphans:
        _tell(orphans, world, now)
    return len(orphans), names[done - 1] if done < len(names) else None


def _tell(orphans: Sequence[Billing], world: OrphanWorld, now: datetime) -> None:
    lines = [_line(each, world, now) for each in orphans]
    more = f"\nand {len(lines) - SHOWN:,} more" if len(lines) > SHOWN else ""
    subject = f"Novaloop: {len(orphans):,} without an experiment that goes on"
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


def _line(billing: Billing, world: OrphanWorld, now: datetime) -> str:
    what = f"{billing.kind} {billing.name} (experiment {billing.experiment_id})"
    if billing.to is None:
        return f"{what} runs until it is done, or its longest run time is over"
    lasting = "--" not in billing.name and billing.to == "sagemaker"
    backstop = Backstop(billing.name, billing.to, 1, now + GRACE, not lasting, lasting)
    begins = world.schedules.begins(backstop)
    if begins is None:
        # Whether it has a component can't be seen: deleting what there is not is only refused.
        try:
            world.schedules.put(backstop, now)
        except LaunchRefused as refused:
            return (
                f"{what} serves, and no schedule is known to end it: `novaloop cleanup` it, or"
                f" delete it yourself. {refused.reason}"
            )
        begins = backstop.at
    return f"{what} serves; its schedule ends it from {begins:%Y-%m-%d %H:%M} UTC on"
