"""`novaloop list` and `novaloop show`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from novaloop.experiment.record import NO_GATE, HistoryEntry, Snapshot, Status
from novaloop.experiment.summary import next_steps, summary_of
from novaloop.reports.pages import gate_verdict
from novaloop.store.serialisation import plain, record_values, resolved_spec
from novaloop_cli import views
from novaloop_cli.stack import Stack, with_stack

if TYPE_CHECKING:
    from novaloop.experiment.record import Record

SHOWN_HISTORY = 8

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


def print_json(content: Any) -> None:
    """Print JSON content, indented."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


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
    stage and attempt. Of a dataset whose item a later upload has replaced, there is what the
    experiment keeps of it; the item stands among those that are not used.
    """
    spec, checks, runs_by = snapshot.spec, snapshot.checks, plain(resolved_spec(record))
    used: dict[str, Any] = {}
    not_used: dict[str, Any] = {}
    for role, item in sorted(snapshot.datasets.items()):
        (used if record.uses(item) else not_used)[role] = plain(item)
    if record.is_settled:
        used = {role: used.get(role, ref) for role, ref in runs_by.get("datasets", {}).items()}
    return {
        "record": record_values(record),
        "resolved_spec": runs_by,
        "spec": plain(spec) if spec else None,
        "datasets": used,
        "datasets_not_used": not_used,
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
    for part in views.files(snapshot, record, stack.command):
        out.print(part)
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
