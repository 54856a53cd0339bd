"""What a person can ask of an experiment: approve, reject, stop, retry, keep, clean up."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from novaloop.experiment.controller.commands import apply, wait_of
from novaloop.experiment.costs.budget import commitment, serving_hours, shortfall
from novaloop.experiment.record import CommandItem, CommandKind, CommandOutcome, Record, Status
from novaloop.experiment.runtimes.estimates import cost_of_jobs
from novaloop.experiment.spec.stages import LONGEST_TTL_HOURS
from novaloop_cli import views
from novaloop_cli.consent import agreed, never_asks, require_consent
from novaloop_cli.errors import Failed, Refused
from novaloop_cli.kept import kept
from novaloop_cli.numbers import NumberRange
from novaloop_cli.stack import Stack, caller, with_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TAKEN_UP_WITHIN = timedelta(seconds=60)
CAME_TO_ITS_END = {Status.COMPLETED, Status.EXPIRED}
GONE_WITHIN = timedelta(minutes=30)
POLL_SECONDS = 1.0
MAY_SHOW_LATE = (
    "AWS may show late what is there, so it is looked for a while longer before that is believed"
)
WAITING = "waiting until AWS says that nothing of it runs or serves"
_SOONER = "End it sooner: "
_HOURS = NumberRange(min=0, min_open=True, max=LONGEST_TTL_HOURS)


def give(
    stack: Stack,
    name: str,
    kind: CommandKind,
    *,
    stage: str | None = None,
    hours: float | None = None,
    note: str | None = None,
    spec: str | None = None,
    ask: Callable[[], None] | None = None,
) -> Record:
    """Give a command and return the record that applied it. Says before what that commits to, and
    then calls `ask`, which may refuse.

    Raises Refused if it was ignored, Failed if nobody answers. A cleanup needs no record: tags tell
    what is left.
    """
    snapshot = stack.table.load(name)
    record = snapshot.record
    if record is None and (kind is not CommandKind.CLEANUP or snapshot.has_uploads):
        raise Refused(stack.no_record(name))
    item = CommandItem(
        command_id=uuid4().hex,
        kind=kind,
        by=caller(),
        at=datetime.now(UTC),
        stage=stage,
        hours=hours,
        note=note,
        uid=record.uid if record else None,
        spec=spec,
        answers=wait_of(record) if record else None,
    )
    for line in _what_it_commits_to(stack, record, item) if record else ():
        # Not broken into lines, so that the command in it can be pasted.
        views.console().print(line, soft_wrap=line.startswith(_SOONER))
    if ask is not None:
        ask()
    stack.table.put_command(name, item)
    return _taken_up(stack, name, item)


def _what_it_commits_to(stack: Stack, record: Record, item: CommandItem) -> Iterator[str]:
    """Yield what a command spends, by how the controller would apply it now.

    That is nothing where it would refuse: the answer then says why.
    """
    decision = apply(record, item, item.at)
    if decision.history[0].outcome is CommandOutcome.IGNORED:
        return
    after, serving = decision.record, record.spec.deployment
    if item.kind in {CommandKind.APPROVE, CommandKind.REJECT}:
        yield f"This answers what is {record.status}: {record.reason}"
    lifts = after.budget_lifted_by != record.budget_lifted_by
    if lifts and record.active is not None and (problem := shortfall(record, record.active)):
        yield f"This lifts the budget for all that follows ({problem})."
    goes_on = after.status is Status.RUNNING and record.status is not Status.RUNNING
    jobs = cost_of_jobs(after) if goes_on else None
    if jobs:
        yield f"This runs {jobs}."
    is_approved = after.status is Status.DEPLOYING
    if item.kind is CommandKind.KEEP and after.endpoint and (until := after.endpoint.kept_until):
        yield f"This commits to {commitment(after, item.hours)}, on top of what it had:"
        yield f"until {until:%Y-%m-%d %H:%M} UTC."
    elif serving is not None and (is_approved or (goes_on and after.spec.approval == "auto")):
        gated = not is_approved and after.spec.gate is not None
        when = "from when it serves on, if its gate lets it" if gated else "from when it serves on"
        until = item.at + timedelta(hours=serving_hours(after, serving))
        takes = "run and deploy" if jobs else "deploy"
        yield f"This commits to {commitment(after)}, {when}:"
        yield f"until {until:%Y-%m-%d %H:%M} UTC, and as much later as it takes to {takes}."
    else:
        return
    yield f"{_SOONER}{stack.command('stop', record.experiment_id)}"


def _taken_up(stack: Stack, name: str, item: CommandItem) -> Record:
    deadline = time.monotonic() + TAKEN_UP_WITHIN.total_seconds()
    while time.monotonic() < deadline:
        snapshot = stack.table.load(name)
        pending = {command.command_id for command in snapshot.commands}
        record = snapshot.record
        if record is None:
            if item.command_id not in pending:
                raise Refused(f"{stack.no_record(name)}; nothing shows that carries its tag")
        # A stack of release 0.1.0 leaves the item there and remembers its id.
        elif item.command_id not in pending - set(record.handled_commands):
            _refuse_if_ignored(stack, name, item)
            return record
        time.sleep(POLL_SECONDS)
    see = f"see `{stack.command('show', name)}`"
    raise Failed(f"{name}: {item.kind} was recorded and is not taken up yet; {see}")


def _refuse_if_ignored(stack: Stack, name: str, item: CommandItem) -> None:
    for entry in stack.table.history(name):
        if entry.command_id == item.command_id and entry.outcome is CommandOutcome.IGNORED:
            raise Refused(f"{name}: {item.kind} was {entry.why}")


def _say(record: Record) -> None:
    views.console().print(f"{record.experiment_id} is {record.status}: {record.reason}")


@click.command()
@click.argument("name")
@click.option("--note", help="Why; goes into the history.")
@never_asks
@with_stack
def approve(stack: Stack, name: str, note: str | None) -> None:
    """Deploy what is held or waits for approval.

    Says before what that commits to. Where the budget holds it, goes on without one.
    """
    _say(give(stack, name, CommandKind.APPROVE, note=note))


@click.command()
@click.argument("name")
@click.option("--note", help="Why; goes into the history.")
@with_stack
def reject(stack: Stack, name: str, note: str | None) -> None:
    """Don't deploy what is held or waits for approval."""
    _say(give(stack, name, CommandKind.REJECT, note=note))


_no_wait = click.option("--no-wait", is_flag=True, help="Return once it has begun.")


@click.command()
@click.argument("name")
@_no_wait
@with_stack
def stop(stack: Stack, name: str, *, no_wait: bool) -> None:
    """Stop the experiment and whatever it runs.

    Waits until nothing of it runs or serves. Leaving with Ctrl-C takes nothing back.
    """
    record = give(stack, name, CommandKind.STOP)
    _say(record if no_wait else _wait_until_gone(stack, name))


@click.command()
@click.argument("name")
@click.option("--from", "stage", help="The stage to run again first; else the one that failed.")
@click.option(
    "--set",
    "assignments",
    metavar="PATH=VALUE",
    multiple=True,
    help="Another setting, such as sft.overrides.global_batch_size=32; may be repeated.",
)
@click.option(
    "--spec",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An experiment.yaml with the settings for what runs again.",
)
@agreed
@with_stack
def retry(
    stack: Stack,
    name: str,
    *,
    stage: str | None,
    assignments: tuple[str, ...],
    file: Path | None,
    yes: bool,
) -> None:
    """Run an experiment again, from a stage on.

    With --set or --spec, by other settings; stages that have run keep theirs. Says before what that
    commits to. Asks if nothing is wrong with it: it came to its end.
    """
    _, record = stack.load(name)
    spec = None
    if (assignments or file is not None) and record.stages:
        from novaloop_cli.changed import settings_for  # noqa: PLC0415 - reads YAML

        if stack.defaults is None:  # a release that would run it again and drop them
            raise Refused("the stack's release takes no other settings for a retry; update it")
        spec, changes = settings_for(record, stage, assignments, file)
        click.echo("\n".join(("This changes:", *(f"  {each}" for each in changes))))
    ask = None
    if record.status in CAME_TO_ITS_END:
        ask = partial(require_consent, f"{name} came to its end. Run it again?", yes=yes)
    _say(give(stack, name, CommandKind.RETRY, stage=stage, spec=spec, ask=ask))


@click.command()
@click.argument("name")
@click.option("--hours", type=_HOURS, required=True, help="How much longer.")
@never_asks
@with_stack
def keep(stack: Stack, name: str, hours: float) -> None:
    """Let the endpoint live some hours longer.

    Says before what that commits to.
    """
    record = give(stack, name, CommandKind.KEEP, hours=hours)
    # The controller promises the new time once the schedule that ends the endpoint is moved.
    deadline = time.monotonic() + TAKEN_UP_WITHIN.total_seconds()
    while record.endpoint and record.endpoint.kept_until:
        if time.monotonic() > deadline:
            see = f"see `{stack.command('show', name)}`"
            raise Failed(f"{name} is not kept yet: {record.reason}; {see}")
        time.sleep(POLL_SECONDS)
        record = stack.load(name)[1]
    if record.status is not Status.LIVE:
        raise Failed(f"{name} is not kept: it is {record.status}: {record.reason}")
    _say(record)


@click.command()
@click.argument("name")
@_no_wait
@with_stack
def cleanup(stack: Stack, name: str, *, no_wait: bool) -> None:
    """Delete everything with the experiment's tag.

    Waits until nothing is left. Checkpoints are kept. Harmless when repeated.
    Leaving with Ctrl-C takes nothing back.
    """
    if no_wait:
        _say(give(stack, name, CommandKind.CLEANUP))
        return
    record = clean_up(stack, name)
    _say(record)
    for line in kept(stack, record):
        views.console().print(line)


def clean_up(stack: Stack, name: str) -> Record:
    """Ask for everything's deletion; wait until nothing is left.

    The controller finds it by its tag, whatever is recorded, and looks until it has found nothing
    for minutes: AWS's index of tags runs behind.
    """
    record = stack.table.load(name).record
    if record is not None and record.status is Status.STOPPING:
        _wait_until_gone(stack, name)
    give(stack, name, CommandKind.CLEANUP)
    return _wait_until_gone(stack, name)


def _wait_until_gone(stack: Stack, name: str) -> Record:
    """Wait until an experiment that ends is over; tell what happens, in the order of the history.

    Raises Failed if that takes longer than GONE_WITHIN. To leave earlier changes nothing: the
    controller goes on by itself.
    """
    deadline = time.monotonic() + GONE_WITHIN.total_seconds()
    said: set[str] = set()
    version = 0

    def say_once(line: str, *, progress: bool = True) -> None:
        if line not in said:
            said.add(line)
            views.console(stderr=progress).print(line)

    try:
        while time.monotonic() < deadline:
            _, record = stack.load(name)
            if record.version != version:  # history is written with the record only
                version = record.version
                for line in _deleted(stack, name):
                    say_once(line, progress=False)
            if record.status.is_final and record.cleanup is None:
                return record
            if record.status is Status.STOPPING:
                say_once(f"{name} is STOPPING: {record.reason}; {WAITING}")
            if record.cleanup is not None and record.cleanup.empty is not None:
                say_once(f"{name}: nothing more is found; {MAY_SHOW_LATE}")
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo(f"\nIt goes on without you. Follow it: {stack.command('watch', name)}", err=True)
        raise
    see = f"see `{stack.command('show', name)}`"
    raise Failed(f"{name}: it is still being deleted; {see}")


def _deleted(stack: Stack, name: str) -> list[str]:
    """Return what the history says of the deletions since the last command that was applied."""
    lines: list[str] = []
    for entry in stack.table.history(name):
        if entry.outcome is CommandOutcome.APPLIED:
            lines = []
        elif entry.what == "cleanup":
            lines.append(entry.why)
    return lines
