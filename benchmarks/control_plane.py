"""What the control plane itself does and costs for one experiment: calls counted, not timed.

Runs the default plan in the simulation, counts every call of an adapter, and prices the AWS calls
behind each; then the sweep, over stacks of different ages; then a month in which nothing runs. The
functions' durations can't be counted: they are assumed, generously, and priced too. Run it with
`make bench-control-plane`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import repeat
from typing import Any

from rich.console import Console
from rich.table import Table

from novaloop.experiment.controller.queue import held_place
from novaloop.experiment.record import CommandItem, HistoryEntry, Record, Status
from novaloop.store.serialisation import resolved_spec
from novaloop.usecases.ports import Round
from tests.dynamodb import item_size
from tests.simulation.simulation import Crashes, Simulation
from tests.simulation.twin_inbox import LongHistory
from tests.simulation.twins import START, as_item
from tests.template.stack import sam_template

AS_OF = "2025-01, us-east-1, on demand, from AWS's public price pages; check yours"
USD = {
    "DynamoDB write unit": 0.625e-6,
    "DynamoDB read unit": 0.125e-6,
    "S3 PUT or LIST": 5e-6,
    "S3 GET": 0.4e-6,
    "SQS request": 0.4e-6,
    "SNS publish": 0.5e-6,
    "Lambda request": 0.2e-6,
    "Lambda GB-second": 13.3334e-6,
    "SageMaker request": 0.0,
    "Scheduler request": 0.0,
}
SECONDS_PER_LOOK = 1.0
GIGABYTES = 1.0
"""Assumed of every invocation; measured looks are far shorter."""

CALLS: Mapping[str, tuple[str, ...]] = {
    "store.queue": ("DynamoDB read unit",),
    "store.put_spec": ("DynamoDB write unit",) * 4,
    "store.put_dataset": ("DynamoDB write unit",) * 4,
    "store.put_checks": ("DynamoDB write unit",) * 4,
    "store.put_stray": ("DynamoDB write unit",) * 2,
    "store.drop": ("DynamoDB write unit",) * 2,
    "store.begin": ("DynamoDB read unit", "DynamoDB write unit"),
    "store.put_score": ("DynamoDB write unit",) * 30,
    "objects.newest": ("S3 GET",),
    "objects.get": ("S3 GET",),
    "objects.uploads": ("S3 PUT or LIST",),
    "objects.put": ("S3 PUT or LIST",),
    "objects.writer": ("S3 PUT or LIST",),
    "objects.concatenate": ("S3 GET", "S3 GET", "S3 PUT or LIST"),
    "hints.send_message": ("SQS request",) * 3,
    "notifier.publish": ("SNS publish",),
    "scorer.request_score": ("Lambda request",),
    "scorer.request_report": ("Lambda request",),
    "ingester.request_ingest": ("Lambda request",),
    "ingester.request_checks": ("Lambda request",),
    "logs.read": ("SageMaker request",),
    **dict.fromkeys(
        (
            "scheduler.create_schedule",
            "scheduler.get_schedule",
            "scheduler.update_schedule",
            "scheduler.delete_schedule",
        ),
        ("Scheduler request",),
    ),
}
"""The AWS calls behind each call of an adapter; commits and loads are computed from sizes."""


def main() -> None:
    """Print the table and the sum."""
    crashes = Crashes()
    simulation = Simulation(crashes=crashes)
    meter = Meter(simulation)
    simulation.submit("demo")
    if simulation.settles("demo") is not Status.LIVE:
        raise SystemExit("the simulated experiment did not reach LIVE")
    simulation.reaches("demo", Status.EXPIRED)
    record = simulation.record("demo")
    counted = count(crashes.calls, meter, record, simulation.hints_delivered)
    _print(counted, record, len(crashes.calls), meter)
    _print_sweeps()
    print_idle()


@dataclass
class Meter:
    """Counts the write units of each commit in a simulation, by what the commit writes."""

    simulation: Simulation
    units: int = 0
    largest: int = 0
    """The size of the largest record that was committed, in bytes."""

    def __post_init__(self) -> None:
        self._commit = self.simulation.store.commit
        self.simulation.store.commit = self.commit  # type: ignore[method-assign]

    def commit(
        self,
        record: Record,
        history: Sequence[HistoryEntry],
        applied: Sequence[CommandItem] = (),
    ) -> Record:
        """Commit, and count."""
        name = record.experiment_id
        before = self.simulation.store.load(name).record
        after = self._commit(record, history, applied)
        others = [as_item(name, f"HISTORY#{number}", line) for number, line in enumerate(history)]
        if after.spec_digest != record.spec_digest:
            others.append(as_item(name, "RESOLVED_SPEC", resolved_spec(after)))
        self.largest = max(self.largest, item_size(as_item(name, "RECORD", after)))
        self.units += written(before, after, others, len(applied))
        return after


def written(
    before: Record | None, after: Record, others: Sequence[Mapping[str, Any]], deleted: int
) -> int:
    """Return the write units of a commit: one for each KB of an item, as it was or as it is.

    A transaction takes twice as many. An entry of an index takes one when it changes, and another
    one when it moves ("Write operations and index" in DynamoDB's guide to secondary indexes).
    """
    records = [as_item(each.experiment_id, "RECORD", each) for each in (before, after) if each]
    sizes = [max(map(item_size, records)), *map(item_size, others)]
    units = sum(math.ceil(size / 1024) for size in sizes) + deleted
    times = 2 if others or deleted else 1
    return units * times + sum(map(_entries, (_due, _listed, _queued), repeat((before, after))))


def _entries(entry: Callable[[Record], object], records: tuple[Record | None, Record]) -> int:
    old, new = (entry(each) if each else None for each in records)
    moves = entry is not _listed  # the key of an experiment's line in the list stays
    return 0 if old == new else int(old is not None and moves) + int(new is not None)


def _due(record: Record) -> object:
    return record.due_at


def _listed(record: Record) -> object:
    return (record.status, record.reason, record.started_at, record.ended_at)


def _queued(record: Record) -> object:
    return held_place(record)


def count(calls: Sequence[str], meter: Meter, record: Record, invocations: int) -> Counter[str]:
    """Return the AWS calls and units behind calls of adapters, with the record's present size."""
    items = [as_item("demo", "RECORD", record), as_item("demo", "R", resolved_spec(record))]
    kilobytes = sum(map(item_size, items)) / 1024
    counted: Counter[str] = Counter({"DynamoDB write unit": meter.units})
    for call in calls:
        if call == "store.commit":
            continue
        if call in {"store.load", "store.load_record", "store.due", "store.history"}:
            counted["DynamoDB read unit"] += math.ceil(4 * kilobytes / 4)
        elif call.startswith(("jobs.", "sagemaker.", "runtime.")):
            counted["SageMaker request"] += 1
        else:
            counted.update(CALLS[call])
    counted["Lambda request"] += invocations
    counted["Lambda GB-second"] = math.ceil(invocations * SECONDS_PER_LOOK * GIGABYTES)
    return counted


def _print(counted: Counter[str], record: Record, calls: int, meter: Meter) -> None:
    table = Table("what", "count", "US cents", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    total = 0.0
    for name, usd in USD.items():
        cents = counted[name] * usd * 100
        total += cents
        table.add_row(name, f"{counted[name]:,}", f"{cents:.4f}")
    table.add_row("together", "", f"{total:.4f}")
    console = Console(width=80)
    stages = len(record.stages)
    console.print(f"One experiment of {stages} stages, from upload to EXPIRED:")
    console.print(f"{calls} adapter calls, {record.version} commits of the record.")
    console.print(f"The record has up to {meter.largest:,} bytes.")
    console.print(table)
    console.print(f"Prices: {AS_OF}. Looks are assumed to take {SECONDS_PER_LOOK:g} s at 1 GB.")


SWEEP_CALLS: Mapping[str, tuple[str, ...]] = {
    "query due": ("DynamoDB read unit",),
    "query commands": ("DynamoDB read unit",),
    "query": ("DynamoDB read unit",),
    "query record": ("DynamoDB read unit",),
    "get round": ("DynamoDB read unit",),
    "put round": ("DynamoDB write unit",),
    "list": ("S3 PUT or LIST",),
    "look for what bills": ("SageMaker request",),
    "send": ("SQS request",),
    "invoke": ("Lambda request",),
}
SECONDS_PER_LISTING = 0.1
"""What it takes to read a listing of 1,000 keys, measured; calls are taken to last `CALL`."""
SWEEPER_GIGABYTES = 1769 / 1024
STACKS = {
    "idle": (LongHistory(), timedelta(minutes=5)),
    "10,000 live experiments": (LongHistory(live=10_000), timedelta(minutes=5)),
    "1,000,000 old uploads": (LongHistory(1_000_000), timedelta(minutes=100)),
    "10,000 live, 1,000,000 old": (LongHistory(1_000_000, live=10_000), timedelta(minutes=150)),
}
"""Each with how long a round round its inbox took before."""


def _print_sweeps() -> None:
    table = Table(
        "the sweep", "calls", "seconds", "worst", "sweeps in a round", "USD a month",
        box=None, pad_edge=False,
    )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for name, (stack, before) in STACKS.items():
        stack.round = Round("", started=START, since=START - before, searched=START)
        sweeps = [_sweep(stack)]
        while stack.round.after:
            sweeps.append(_sweep(stack))
        calls, seconds = (sum(each[number] for each in sweeps) / len(sweeps) for number in range(2))
        usd = sum(each[2] for each in sweeps) / len(sweeps) * 12 * 24 * 30
        worst = max(each[0] for each in sweeps)
        table.add_row(
            name, f"{calls:.0f}", f"{seconds:.1f}", f"{worst}", f"{len(sweeps)}", f"{usd:.2f}"
        )
    Console(width=80).print("\n", table)


PER_MONTH = {
    "CloudWatch dashboard": 3.0,
    "CloudWatch alarm": 0.10,
    "CloudWatch metric of its own": 0.30,
}
POLLS_A_MONTH = 5 * 3 * 60 * 24 * 30
"""Lambda polls a queue by five long polls of 20 seconds, also while it is empty."""
SWEEPS_A_MONTH = 12 * 24 * 30
LOGGED_BY_A_SWEEP = 2_000
"""Bytes, with Lambda's own lines and the metrics; assumed, generously."""
USD_PER_LOGGED_BYTE = 0.50 / 1e9
USD_PER_TRACE = 5e-6


def print_idle() -> None:
    """Print what a stack costs a month in which nothing runs, by what its template holds.

    Backups and what is stored are paid by the gigabyte, and an idle stack has next to none.
    """
    resources = sam_template()["Resources"].values()
    kinds = Counter(resource["Type"] for resource in resources)
    queues = sum(
        event["Type"] == "SQS"
        for resource in resources
        for event in resource.get("Properties", {}).get("Events", {}).values()
    )
    idle = LongHistory()
    _sweep(idle)  # the first one also looks for what bills for nobody, as one does each day
    _, _, sweep = _sweep(idle)
    own_metrics = len(idle.sweep()[0].counts)
    parts = {
        "dashboard": kinds["AWS::CloudWatch::Dashboard"] * PER_MONTH["CloudWatch dashboard"],
        "alarms": kinds["AWS::CloudWatch::Alarm"] * PER_MONTH["CloudWatch alarm"],
        "metrics that the sweep writes": own_metrics * PER_MONTH["CloudWatch metric of its own"],
        "polling of the queue": queues * POLLS_A_MONTH * USD["SQS request"],
        "sweeps, with what they list": SWEEPS_A_MONTH * sweep,
        "logs and traces": SWEEPS_A_MONTH
        * (LOGGED_BY_A_SWEEP * USD_PER_LOGGED_BYTE + USD_PER_TRACE),
        "backups, data, schedules, parameters": 0.0,
    }
    table = Table("an idle stack", "USD a month", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, usd in {**parts, "idle, together": sum(parts.values())}.items():
        table.add_row(name, f"{usd:.2f}")
    Console(width=80).print("\n", table)


def _sweep(stack: LongHistory) -> tuple[int, float, float]:
    """Return what one sweep takes: calls, seconds, USD."""
    _, calls, took = stack.sweep()
    seconds = took.total_seconds() + SECONDS_PER_LISTING * stack.calls["list"]
    usd = sum(USD[what] * n for call, n in stack.calls.items() for what in SWEEP_CALLS[call])
    usd += USD["Lambda request"] + USD["Lambda GB-second"] * seconds * SWEEPER_GIGABYTES
    return calls, seconds, usd


if __name__ == "__main__":
    main()
