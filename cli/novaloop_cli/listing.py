"""`novaloop list`.

What it reads follows what goes on, and not how many experiments there ever were: those that are due
for a look, by an index, and the newest ones. Only who asks for more reads the history's index.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from textwrap import wrap
from typing import TYPE_CHECKING

import click
from botocore.exceptions import ClientError
from pydantic_core import to_jsonable_python
from rich.table import Table
from rich.text import Text

from novaloop.experiment.bounds import LATEST, cut
from novaloop.experiment.costs.budget import Cost, cost_usd
from novaloop.experiment.names import (
    MAX_EXPERIMENT_WITHOUT_UID,
    check_experiment_name,
    is_name,
)
from novaloop.experiment.record import Status
from novaloop.store.table import ExperimentSummary
from novaloop_cli import views
from novaloop_cli.show import as_json, print_json
from novaloop_cli.stack import Stack, with_stack
from novaloop_cli.watch import OVERLOOKED_AFTER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rich.console import JustifyMethod

    from novaloop.experiment.record import Record

NEWEST = 20
"""How many experiments are listed besides those that go on."""
MOST_FOLDERS = 10
MOST_NAMED = 3
MOST_OF_A_KEY = 100
"""Bytes: a key of S3 may have 1,024."""
WIDE = 120
"""Characters of a terminal from which on the list also has the model."""
LEAST_WIDTH = 20
"""Characters for a reason in the list, however long a name and a status are."""


@dataclass(frozen=True)
class Listed(ExperimentSummary):
    """One experiment of the list. `cost_usd` is None if no price of what it uses is known, and so
    are both if what a newer release wrote can't be read."""

    cost_usd: Cost | None = None
    model: str | None = None


@click.command("list")
@click.argument("pattern", required=False)
@click.option(
    "--status",
    "statuses",
    type=click.Choice([*map(str, Status)]),
    metavar="STATUS",
    multiple=True,
    help="Only those of this status, such as HELD; may be repeated.",
)
@click.option("--all", "every", is_flag=True, help="Also all that are over.")
@as_json
@with_stack
def list_experiments(
    stack: Stack, *, pattern: str | None, statuses: tuple[str, ...], every: bool, json_: bool
) -> None:
    """List the experiments, the newest first.

    Without options, those that go on, and the newest ones. PATTERN is a name in which * stands for
    any characters.
    """
    now = datetime.now(UTC)
    # What takes uploads is due no more once nothing has come for a month.
    rests = any(Status(each).is_final or Status(each).takes_uploads for each in statuses)
    whole = every or pattern is not None or rests
    found, more = _whole(stack) if whole else _present(stack, now, statuses)
    found = [
        item
        for item in found
        if (not statuses or item.status in statuses)
        and (pattern is None or fnmatchcase(item.experiment_id, pattern))
    ]
    found = _with_costs(stack, found, now) if whole else found
    if json_:
        print_json(to_jsonable_python(found))
        return
    is_filtered = bool(statuses) or pattern is not None
    named = [item for item in found if _is_name(item.experiment_id)]
    if named:
        out = views.console()
        out.print(_table(named, now, out.width))
    elif is_filtered:
        click.echo("No experiment is like that.")
    else:
        click.echo(f"No experiments yet. Upload one: {stack.command('submit', 'DIR')}")
    if more:
        click.echo(f"Older ones that are over: {stack.command('list', '--all')}")
    if misnamed := [item.experiment_id for item in found if not _is_name(item.experiment_id)]:
        problem = next(check_experiment_name(misnamed[0]))
        click.echo(f"Folders of no experiment: {_first_of(misnamed)}: {problem}")
    if not is_filtered:
        for line in _of_inbox(stack, {item.experiment_id for item in found}, whole=not more):
            click.echo(line)


def _whole(stack: Stack) -> tuple[list[Listed], bool]:
    """Return all experiments, without their costs, by the index of all."""
    return list(map(_indexed, stack.table.experiments())), False


def _present(stack: Stack, now: datetime, statuses: Collection[str]) -> tuple[list[Listed], bool]:
    """Return those that go on and, unless only such are asked for, the newest; say if others are
    left out."""
    newest = [] if statuses else list(stack.table.experiments(NEWEST + 1))
    due = stack.table.due(LATEST)
    names = dict.fromkeys((*(each.experiment_id for each in newest[:NEWEST]), *due))
    known = {each.experiment_id: _indexed(each) for each in newest[:NEWEST]}
    records = _records(stack, list(names))
    known |= {name: _listed(record, now) for name, record in records.items()}
    found = sorted(known.values(), key=lambda each: each.created_at, reverse=True)
    return found, len(newest) > NEWEST


def _records(stack: Stack, names: list[str]) -> dict[str, Record]:
    """Read records, without those that are not there or that this release can't read."""
    snapshots = stack.table.load_records(names)
    return {
        name: each.record
        for name, each in snapshots.items()
        if each is not None and each.record is not None
    }


def _with_costs(stack: Stack, found: list[Listed], now: datetime) -> list[Listed]:
    records = _records(stack, [each.experiment_id for each in found])
    return [
        _listed(records[each.experiment_id], now) if each.experiment_id in records else each
        for each in found
    ]


def _indexed(summary: ExperimentSummary) -> Listed:
    """Return what the index shows: also of what can't be read."""
    return Listed(**vars(summary))


def _listed(record: Record, now: datetime) -> Listed:
    return Listed(
        record.experiment_id,
        record.status,
        record.reason,
        record.created_at,
        record.started_at,
        record.ended_at,
        cost_usd(record, now),
        record.spec.model,
    )


def _of_inbox(stack: Stack, known: Collection[str], *, whole: bool) -> Iterator[str]:
    """Yield what lies in the inbox and has no record: in no folder, or, if those known are all
    that have one, uploaded a moment ago; of such, looks at a few."""
    now = datetime.now(UTC)
    with suppress(ClientError):  # who may only read the table has seen all that there is to list
        folders, problems = stack.inbox()
        if problems:
            yield f"Not used: {_first_of(problems)}"
        new = [each for each in folders if whole and each not in known and _is_name(each)]
        fresh: list[str] = []
        for folder in new[:MOST_FOLDERS]:
            uploaded_at = stack.newest_upload(folder, of_use=True)
            if uploaded_at is not None and now - uploaded_at < OVERLOOKED_AFTER:
                fresh.append(folder)
        if fresh:
            yield (
                f"Uploaded, and here within about a minute: {', '.join(fresh)}. "
                f"Follow one: {stack.command('watch', fresh[0])}"
            )


def _is_name(name: str) -> bool:
    """Whether an experiment of any release can be called so; other folders may have a record."""
    return is_name(name, MAX_EXPERIMENT_WITHOUT_UID)


def _first_of(keys: Sequence[str]) -> str:
    """Write the first of some names or keys that may be anything, each in a few characters."""
    printable = (each if each.isprintable() else ascii(each)[1:-1] for each in keys)
    return views.first_of([cut(each, MOST_OF_A_KEY) for each in printable], MOST_NAMED)


def _table(found: list[Listed], now: datetime, width: int) -> Table:
    """Return a line or two for each experiment; `show` has the whole of its reason."""
    table = views.plain_table()
    ages = [views.age(item.created_at, now) for item in found]
    spent = [f"{item.cost_usd.spent:,.2f}" if item.cost_usd else "?" for item in found]
    columns = {
        "experiment": [item.experiment_id for item in found],
        "status": [item.status for item in found],
        **({"model": [item.model or "?" for item in found]} if width >= WIDE else {}),
        "created": ages,
        "spent $": spent,
    }
    left = width
    for heading, cells in columns.items():
        justify: JustifyMethod = "right" if cells is spent else "left"
        wide = max(map(len, (heading, *cells)))
        # Where the terminal is narrow, names are folded, and nothing is cut.
        least = None if heading == "experiment" else wide
        table.add_column(heading, overflow="fold", min_width=least, justify=justify)
        left -= wide + 2
    table.add_column("why", overflow="fold")
    for item, *cells in zip(found, *columns.values(), strict=True):
        styles = {item.status: views.STYLES.get(item.status, "")}
        lines = wrap(item.reason, max(left, LEAST_WIDTH), max_lines=2, placeholder=" …")
        table.add_row(*(Text(cell, styles.get(cell, "")) for cell in cells), "\n".join(lines))
    return table
