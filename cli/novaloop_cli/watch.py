"""`novaloop watch`: follow an experiment until it needs a person or nothing more happens."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
from rich.live import Live

from novaloop.experiment.record import HistoryEntry, Record, Snapshot, Status
from novaloop.experiment.summary import next_steps
from novaloop_cli import views
from novaloop_cli.errors import Failed, Refused
from novaloop_cli.exits import Exit
from novaloop_cli.numbers import NumberRange
from novaloop_cli.stack import Stack, with_stack
from novaloop_cli.views import UPLOADED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

POLL_SECONDS = 2.0
CLOCK_STEP = timedelta(seconds=1)
"""S3 tells the time of an upload to the second in some answers, more closely in others."""
OVERLOOKED_AFTER = timedelta(minutes=10)
"""Twice the sweep's period: by then a missed upload event has been made up for."""
AT_REST: Mapping[Status, Exit] = {
    Status.LIVE: Exit.DONE,
    Status.COMPLETED: Exit.DONE,
    Status.EXPIRED: Exit.DONE,
    Status.STOPPED: Exit.FAILED,
    Status.FAILED: Exit.FAILED,
    Status.REJECTED: Exit.REFUSED,
    Status.HELD: Exit.WAITS,
    Status.AWAITING_APPROVAL: Exit.WAITS,
}
"""The statuses at which nothing more happens by itself, and how `watch` ends at each."""


@click.command()
@click.argument("name")
@click.option("--every", default=POLL_SECONDS, type=NumberRange(min=0.2), hidden=True)
@click.pass_context
@with_stack
def watch(stack: Stack, context: click.Context, name: str, every: float) -> None:
    """Follow experiment NAME until nothing more happens by itself.

    It is then live, over, or waits for a person. Leaving with Ctrl-C stops nothing.

    Exit codes: 0 live, completed or expired, 1 failed or stopped, 2 rejected, 3 waits for a person.
    """
    try:
        record = follow(stack, name, views.console(), every)
    except KeyboardInterrupt:
        click.echo(f"\nIt goes on without you. Come back: {stack.command('watch', name)}", err=True)
        raise
    for line in next_steps(record, stack.command, stack.bucket):
        click.echo(line)
    context.exit(AT_REST[record.status])


def follow(
    stack: Stack,
    name: str,
    out: Console,
    every: float = POLL_SECONDS,
    told: set[HistoryEntry] | None = None,
) -> Record:
    """Draw the experiment until it comes to rest; return its record. Raises Refused, Failed.

    Lines of history that were `told` are not printed again; what is printed is added.
    """
    snapshots = _snapshots(stack, name, every)
    if out.is_terminal:
        return _redraw(stack, snapshots, out)
    return _print_history(stack, snapshots, out, set() if told is None else told)


def _snapshots(stack: Stack, name: str, every: float) -> Iterator[Snapshot]:
    """Yield what the table holds, again and again, up to a status at which things rest."""
    while True:
        snapshot = stack.table.load(name)
        if snapshot.record is None:
            _require_hope(stack, snapshot)
        yield snapshot
        if _rests(stack, snapshot):
            return
        time.sleep(every)


def _require_hope(stack: Stack, snapshot: Snapshot) -> None:
    """Raise Refused if nothing of use was uploaded, Failed if the upload was never looked at."""
    name = snapshot.experiment_id
    uploaded_at = stack.newest_upload(name)
    if uploaded_at is None:
        raise Refused(stack.no_record(name))
    if datetime.now(UTC) - uploaded_at > OVERLOOKED_AFTER:
        if snapshot.strays.names and not snapshot.has_uploads:
            raise Refused(
                f"{name} holds no file of an experiment, only {snapshot.strays}: upload sft.csv or "
                "whatever its plan needs"
            )
        raise Failed(
            f"{name} was uploaded at {uploaded_at:%H:%M} UTC and nothing has looked at it: read "
            "the ingest and controller functions' logs in CloudWatch"
        )


def _rests(stack: Stack, snapshot: Snapshot) -> bool:
    record = snapshot.record
    if record is None or record.status not in AT_REST:
        return False
    return record.status is not Status.REJECTED or not _corrected(stack, snapshot)


def _corrected(stack: Stack, snapshot: Snapshot) -> bool:
    """Whether an upload came that the rejection does not know of yet."""
    newest = stack.newest_upload(snapshot.experiment_id, of_use=True)
    known = [item.uploaded_at for item in snapshot.datasets.values()]
    if snapshot.spec:
        known.append(snapshot.spec.uploaded_at)
    return newest is not None and newest - max(known, default=newest) >= CLOCK_STEP


def _redraw(stack: Stack, snapshots: Iterator[Snapshot], out: Console) -> Record:
    latest: Record | None = None
    with Live(console=out, auto_refresh=False) as live:
        for snapshot in snapshots:
            screen = views.screen(snapshot, datetime.now(UTC), stack.command)
            live.update(screen, refresh=True)
            latest = snapshot.record
    return _at_rest(latest)


def _print_history(
    stack: Stack, snapshots: Iterator[Snapshot], out: Console, printed: set[HistoryEntry]
) -> Record:
    """Print each line of the history: for logs and pipes, where nothing can be redrawn.

    The times are the history's, not those at which it was read.
    """
    latest: Record | None = None
    for number, snapshot in enumerate(snapshots):
        record = snapshot.record
        if record is None:
            uploaded_at = None if number else stack.newest_upload(snapshot.experiment_id)
            if uploaded_at is not None:
                _print_line(out, uploaded_at, f"{snapshot.experiment_id} {UPLOADED}")
            continue
        # Each commit raises the version, and nothing else adds to the history.
        if latest is None or latest.version != record.version:
            for entry in stack.table.history(record.experiment_id):
                if entry not in printed:
                    printed.add(entry)
                    why = f": {entry.why}" if entry.why else ""
                    _print_line(out, entry.at, f"{entry.what}{why}")
        latest = record
    record = _at_rest(latest)
    out.print()
    out.print(views.summary(snapshot, record, datetime.now(UTC), stack.command))
    return record


def _print_line(out: Console, at: datetime, line: str) -> None:
    """Print a line with its time in UTC, as the history and the logs have it."""
    out.print(f"{at:%m-%d %H:%M:%SZ}  {line}", soft_wrap=True)


def _at_rest(record: Record | None) -> Record:
    if record is None:
        raise RuntimeError("an experiment without a record is not at rest")
    return record
