"""`novaloop report`: the numbers in the terminal, and the report as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from novaloop import reports
from novaloop.cloud.objects import Bucket
from novaloop.usecases.score import load_flips
from novaloop.usecases.training import load_curves
from novaloop_cli import views
from novaloop_cli.errors import Refused
from novaloop_cli.files import write_whole
from novaloop_cli.show import as_json, print_json
from novaloop_cli.stack import Stack, with_stack

if TYPE_CHECKING:
    from rich.console import Console

    from novaloop.experiment.record import Record, Snapshot
    from novaloop.reports import ComparisonReport, Report


STAND_IN = (
    "this ran in the local cloud, where a small n-gram model stands in for Nova; "
    "its numbers say nothing about Nova"
)


@click.command()
@click.argument("name")
@click.option(
    "--to",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.html, .json and .md; else NAME-report.",
)
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
@as_json
@with_stack
def report(stack: Stack, name: str, directory: Path | None, open_: bool, json_: bool) -> None:
    """Print the results of experiment NAME and write its report."""
    snapshot, record = stack.load(name)
    content = build(stack, snapshot, record)
    if json_:
        print_json(content)
        return
    if not record.stages:
        see = stack.command("show", name)
        raise Refused(f"{name} is {record.status} and nothing has run; see `{see}`")
    print_results(content, views.console())
    page = write(content, directory or Path(f"{name}-report"))
    click.echo(f"\nReport: {page}")
    if open_:
        click.launch(page.resolve().as_uri())


def build(stack: Stack, snapshot: Snapshot, record: Record) -> Report:
    """Put the report together from what the table holds now."""
    history = stack.table.history(record.experiment_id)
    bucket = Bucket(stack.s3, stack.bucket)
    curves, flips = load_curves(record, bucket), load_flips(record, bucket)
    content = reports.report(
        record, snapshot.scores, history, snapshot.datasets, curves=curves, flips=flips
    )
    if stack.is_local:
        content["notices"].insert(0, STAND_IN)
    return content


def print_results(content: Report, out: Console) -> None:
    """Print every metric of every evaluation, and what the tests say of the changes."""
    if not content["metrics"] and not content["tasks"]:
        out.print(f"{content['experiment']} is {content['status']}: nothing was measured yet.")
        return
    if content["metrics"]:
        out.print(views.metrics(content))
        out.print(views.rows_behind(content))
        out.print()
    for task in content["tasks"]:
        out.print(views.task(task))
        out.print()
    out.print(views.verdicts(content))


def write(content: Report, directory: Path) -> Path:
    """Write the report's three files and return the page's path."""
    return write_files(content, reports.html(content), reports.markdown(content), directory)


def write_files(
    content: Report | ComparisonReport, page: str, markdown: str, directory: Path
) -> Path:
    """Write a report as a page, as Markdown and as JSON, and return the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "report.html"
    write_whole(file, page)
    write_whole(directory / "report.md", markdown)
    write_whole(directory / "report.json", json.dumps(content, indent=2, ensure_ascii=False))
    return file
