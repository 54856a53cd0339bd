"""What a person can ask of an experiment: approve, reject, stop, retry, keep, clean up."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import click

from novaloop.experiment.record import CommandItem, CommandKind, Outcome, Record, Status
from novaloop.experiment.spec.stages import LONGEST_TTL_HOURS
from novaloop_cli.errors import Failed, Refused
from novaloop_cli.kept import kept
from novaloop_cli.stack import Stack, with_stack

TAKEN_UP_WITHIN = timedelta(seconds=60)
GONE_WITHIN = timedelta(minutes=30)
POLL_SECONDS = 1.0
MAY_SHOW_LATE = (
    "AWS may show late what is there, so it is looked for a while longer before that is believed"
)
_HOURS = click.FloatRange(min=0, min_open=True, max=LONGEST_TTL_HOURS)


def give(
    stack: Stack,
    name: str,
    kind: CommandKind,
    *,
    stage: str | None = None,
    hours: float | None = None,
    note: str | None = None,
) -> Record:
    """Give a command and return the record that obeyed it.

    Raises Refused if it was ignored, Failed if nobody answers.
    """
    _, record = stack.load(name)
    item = CommandItem(
        command_id=uuid4().hex,
        kind=kind,
        by=stack.caller(),
        at=datetime.now(UTC),
        stage=stage,
        hours=hours,
        note=note,
        uid=record.uid,
    )
    stack.table.put_command(name, item)
    return _taken_up(stack, name, item)


def _taken_up(stack: Stack, name: str, item: CommandItem) -> Record:
    deadline = time.monotonic() + TAKEN_UP_WITHIN.total_seconds()
    while time.monotonic() < deadline:
        snapshot, record = stack.load(name)
        pending = {command.command_id for command in snapshot.commands}
        # A stack of release 0.1.0 leaves the item there and remembers its id.
        # What is kept is promised once its schedule is moved.
        promised = record.endpoint is None or record.endpoint.kept_until is None
        if promised and item.command_id not in pending - set(record.handled_commands):
            _refuse_if_ignored(stack, name, item)
            return record
        time.sleep(POLL_SECONDS)
    see = f"see `{stack.command('show', name)}`"
    raise Failed(f"{name}: {item.kind} was recorded and is not taken up yet; {see}")


def _refuse_if_ignored(stack: Stack, name: str, item: CommandItem) -> None:
    for entry in stack.table.history(name):
        if entry.command_id == item.command_id and entry.outcome is Outcome.IGNORED:
            raise Refused(f"{name}: {item.kind} was {entry.why}")


def _say(record: Record) -> None:
    click.echo(f"{record.experiment_id} is {record.status}: {record.reason}")


@click.command()
@click.argument("name")
@click.option("--note", help="Why; goes into the history.")
@with_stack
def approve(stack: Stack, name: str, note: str | None) -> None:
    """Deploy what is held or waits for approval."""
    _say(give(stack, name, CommandKind.APPROVE, note=note))


@click.command()
@click.argument("name")
@click.option("--note", help="Why; goes into the history.")
@with_stack
def reject(stack: Stack, name: str, note: str | None) -> None:
    """Don't deploy what is held or waits for approval."""
    _say(give(stack, name, CommandKind.REJECT, note=note))


@click.command()
@click.argument("name")
@with_stack
def stop(stack: Stack, name: str) -> None:
    """Stop the experiment and whatever it runs."""
    _say(give(stack, name, CommandKind.STOP))


@click.command()
@click.argument("name")
@click.option("--from", "stage", help="The stage to run again first; else the one that failed.")
@with_stack
def retry(stack: Stack, name: str, stage: str | None) -> None:
    """Run an experiment again, from a stage on."""
    _say(give(stack, name, CommandKind.RETRY, stage=stage))


@click.command()
@click.argument("name")
@click.option("--hours", type=_HOURS, required=True, help="How much longer.")
@with_stack
def keep(stack: Stack, name: str, hours: float) -> None:
    """Let the endpoint live some hours longer."""
    record = give(stack, name, CommandKind.KEEP, hours=hours)
    # The controller promises the new time once the schedule that ends the endpoint is moved.
    deadline = time.monotonic() + TAKEN_UP_WITHIN.total_seconds()
    while record.endpoint and record.endpoint.kept_until:
        if time.monotonic() > deadline:
            see = f"see `{stack.command('show', name)}`"
            raise Failed(f"{name} is not kept yet: {record.reason}; {see}")
        time.sleep(POLL_SECONDS)
        record = stack.load(name)[1]
    _say(record)


@click.command()
@click.argument("name")
@with_stack
def cleanup(stack: Stack, name: str) -> None:
    """Delete everything with the experiment's tag.

    Waits until nothing is left. Checkpoints are kept. Harmless when repeated.
    """
    record = clean_up(stack, name)
    for line in _deleted(stack, name):
        click.echo(line)
    _say(record)
    for line in kept(stack, record):
        click.echo(line)


def _deleted(stack: Stack, name: str) -> list[str]:
    """Return what the history says of the last cleanup."""
    lines: list[str] = []
    for entry in stack.table.history(name):
        if entry.what.startswith("cleanup by "):
            lines = []
        elif entry.what == "cleanup":
            lines.append(entry.why)
    return lines


def clean_up(stack: Stack, name: str) -> Record:
    """Ask for everything's deletion; wait until nothing is left.

    The controller finds it by its tag, whatever is recorded, and looks until it has found nothing
    for minutes: AWS's index of tags runs behind.
    """
    _, record = stack.load(name)
    if record.status is Status.STOPPING:
        _wait_until_gone(stack, name)
    give(stack, name, CommandKind.CLEANUP)
    return _wait_until_gone(stack, name)


def _wait_until_gone(stack: Stack, name: str) -> Record:
    deadline = time.monotonic() + GONE_WITHIN.total_seconds()
    told = False
    while time.monotonic() < deadline:
        _, record = stack.load(name)
        if record.status.is_final and record.cleanup is None:
            return record
        if record.cleanup is not None and record.cleanup.empty is not None and not told:
            told = True
            click.echo(f"{name}: nothing more is found; {MAY_SHOW_LATE}", err=True)
        time.sleep(POLL_SECONDS)
    see = f"see `{stack.command('show', name)}`"
    raise Failed(f"{name}: it is still being deleted; {see}")
