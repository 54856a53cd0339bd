"""`novaloop list` and `novaloop show`."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError
from pydantic_core import to_jsonable_python
from rich.table import Table
from rich.text import Text

from novaloop.experiment.record import NO_GATE, HistoryEntry, Snapshot, Status
from novaloop.experiment.summary import next_steps, summary_of
from novaloop.reports.pages import gate_verdict
from novaloop.store.serialisation import plain, record_values, resolved_spec
from novaloop_cli import views
from novaloop_cli.stack import Stack, with_stack
from novaloop_cli.watch import OVERLOOKED_AFTER

if TYPE_CHECKING:
    from novaloop.experiment.record import Record
    from novaloop.store.table import ExperimentSummary

SHOWN_HISTORY = 8
MOST_FOLDERS = 10
LEAST_WIDTH = 20
"""Characters for a reason in the list, however long a name and a status are."""

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


@click.command("list")
@as_json
@with_stack
def list_experiments(stack: Stack, json_: bool) -> None:
    """List the experiments, the newest first."""
    found = list(stack.table.experiments())
    if json_:
        print_json(to_jsonable_python(found))
    elif found:
        out = views.console()
        out.print(_summaries(found, datetime.now(UTC), out.width))
    else:
        click.echo(f"No experiments yet. Upload one: {stack.command('submit', 'DIR')}")
    if not json_ and (fresh := _not_taken_up(stack, {item.experiment_id for item in found})):
        click.echo(
            f"Uploaded, and here within about a minute: {', '.join(fresh)}. "
            f"Follow one: {stack.command('watch', fresh[0])}"
        )


def _not_taken_up(stack: Stack, known: set[str]) -> list[str]:
    """Return which folders were uploaded a moment ago and have no record yet; looks at a few."""
    now = datetime.now(UTC)
    fresh: list[str] = []
    with suppress(ClientError):  # who may only read the table has seen all that there is to list
        for folder in stack.folders(known)[:MOST_FOLDERS]:
            uploaded_at = stack.newest_upload(folder, of_use=True)
            if uploaded_at is not None and now - uploaded_at < OVERLOOKED_AFTER:
                fresh.append(folder)
    return fresh


def print_json(content: Any) -> None:
    """Print JSON content, indented."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _summaries(found: list[ExperimentSummary], now: datetime, width: int) -> Table:
    """Return a line or two for each experiment; `show` has the whole of its reason."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    ages = [views.age(item.created_at, now) for item in found]
    columns = {
        "experiment": [item.experiment_id for item in found],
        "status": [item.status for item in found],
        "created": ages,
    }
    left = width
    for heading, cells in columns.items():
        table.add_column(heading, no_wrap=True)
        left -= max(map(len, (heading, *cells))) + 2
    table.add_column("why", overflow="fold")
    for item, created in zip(found, ages, strict=True):
        style = views.STYLES.get(item.status, "")
        lines = wrap(item.reason, max(left, LEAST_WIDTH), max_lines=2, placeholder=" …")
        row = (item.experiment_id, Text(item.status, style), created, "\n".join(lines))
        table.add_row(*row)
    return table


@click.command()
@click.argument("name")
@click.option("--history", "whole", is_flag=True, help="Print all of the history.")
@as_json
@with_stack
def show(stack: Stack, name: str, whole: bool, json_: bool) -> None:
    """Show where experiment NAME stands, and why."""
    snapshot, record = stack.load(name)
    history = stack.table.history(name)
    if json_:
        print_json(_plain(snapshot, record, history))
        return
    _print(stack, snapshot, record)
    shown = history if whole else history[-SHOWN_HISTORY:]
    if left := len(history) - len(shown):
        lines = "line" if left == 1 else "lines"
        click.echo(f"{left:,} earlier {lines}: {stack.command('show', name, '--history')}")
    views.console().print(views.history(shown, record.reason))


def _plain(snapshot: Snapshot, record: Record, history: list[HistoryEntry]) -> dict[str, Any]:
    """Return the experiment's items, each with the names and values that it has in the table.

    What there may be several of stands by what tells them apart: datasets by their role, scores by
    stage and attempt.
    """
    spec, checks = snapshot.spec, snapshot.checks
    return {
        "record": record_values(record),
        "resolved_spec": plain(resolved_spec(record)),
        "spec": plain(spec) if spec else None,
        "datasets": {role: plain(item) for role, item in sorted(snapshot.datasets.items())},
        "strays": plain(snapshot.strays),
        "checks": plain(checks) if checks else None,
        "scores": {f"{stage}-{n}": plain(item) for (stage, n), item in snapshot.scores.items()},
        "commands": [plain(item) for item in snapshot.commands],
        "unread": [asdict(item) for item in snapshot.unread],
        "history": [plain(entry) for entry in history],
    }


def _print(stack: Stack, snapshot: Snapshot, record: Record) -> None:
    out = views.console()
    now = datetime.now(UTC)
    out.print(views.header(snapshot, record))
    for error in views.errors_of_spec(snapshot):
        out.print(error)
    if record.stages:
        out.print()
        out.print(views.stages(record, snapshot.scores, now))
    if snapshot.datasets or snapshot.strays.names:
        out.print()
        remarks = views.remarks_on_files(snapshot, record, stack.command)
        out.print(views.datasets(snapshot.datasets, remarks))
    out.print()
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True, min_width=len("endpoint"))
    facts.add_column(overflow="fold")
    if gate := record.gate:
        said = gate_verdict(gate.verdict, gate.why, record.approved_by)
        facts.add_row("gate", said if gate.why == NO_GATE else f"{said}: {gate.why}")
    if record.endpoint and record.status is Status.LIVE:
        facts.add_row("endpoint", record.endpoint.name)
    facts.add_row("cost", views.cost(record, now))
    if report := summary_of(record).report:
        facts.add_row("report", f"s3://{stack.bucket}/{report}")
    out.print(facts)
    out.print(Text("next", "dim"))
    itself = stack.command("show", record.experiment_id)
    for step in next_steps(record, stack.command, stack.bucket):
        if step.endswith(f": {itself}"):
            continue
        # Not broken into lines, so that the command in it can be pasted.
        out.print(f"  {step}", soft_wrap=True)
    # From the start on, what the checks found is among the record's remarks.
    found = snapshot.checks.findings if snapshot.checks and not record.started_at else ()
    findings = (f"{finding['check']}: {finding['message']}" for finding in found)
    for notice in (*record.remarks, *findings):
        out.print(Text(f"note: {notice}", "yellow"))
    out.print()
