"""Once a day: what bills, carries our tag, and belongs to no experiment that goes on.

That is what a record left behind that was lost, deleted by hand, or written over. A living record
is believed: what it knows of is its own. Nothing is ended here. What has a schedule is ended by
that; what has none is given one that begins in a day, so that whoever is told has the time to say
otherwise. Jobs end by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True)
class OrphanWorld:
    """Everything that the search works with."""

    store: SweepStore
    found: BillingFinder
    schedules: Schedules
    notifier: Notifier


def look_for_orphans(world: OrphanWorld, now: datetime) -> Sequence[Billing]:
    """Tell people of what belongs to nobody, see to its end, and return it."""
    billing = world.found.billing()
    snapshots = world.store.load_all(sorted({each.experiment_id for each in billing}))
    orphans = []
    for each in billing:
        if each.experiment_id not in snapshots:
            continue  # it can't be read: the sweep says so, and tomorrow is another day
        snapshot = snapshots[each.experiment_id]
        # None was written by a newer release, which knows.
        if snapshot is not None and not _knows(snapshot.record, each):
            orphans.append(each)
    if orphans:
        lines = [_line(each, world, now) for each in orphans]
        more = f"\nand {len(lines) - SHOWN:,} more" if len(lines) > SHOWN else ""
        subject = f"Novaloop: {len(orphans):,} without an experiment that goes on"
        message = "\n".join((subject, "", *lines[:SHOWN])) + f"{more}\n"
        world.notifier.publish(subject, message, {"status": "ORPHANS"})
    return orphans


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
