"""`novaloop rejects`: the rows of the datasets that could not be used, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from novaloop.cloud.objects import Bucket
from novaloop_cli import views
from novaloop_cli.errors import Refused
from novaloop_cli.files import write_whole
from novaloop_cli.stack import Stack, with_stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from novaloop.experiment.record import DatasetItem


@click.command()
@click.argument("name")
@click.argument("dataset", required=False)
@click.option(
    "--to",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for FILE.rejects.jsonl, instead of printing.",
)
@with_stack
def rejects(stack: Stack, name: str, dataset: str | None, directory: Path | None) -> None:
    """Print the rows of experiment NAME that can't be used, and why.

    Of its datasets, such as sft, all or one. At most 10,000 rows of each are listed.
    """
    snapshot = stack.table.load(name)
    if snapshot.record is None and not snapshot.datasets:
        raise Refused(stack.no_record(name))
    if dataset is not None and dataset not in snapshot.datasets:
        known = ", ".join(sorted(snapshot.datasets)) or "none so far"
        raise Refused(f"{name} has no dataset {dataset!r}; it has {known}")
    found = [item for role, item in sorted(snapshot.datasets.items()) if dataset in {role, None}]
    used = [item for item in found if snapshot.record is None or snapshot.record.uses(item)]
    for role in (item.role for item in found if item not in used):
        where = f"s3://{stack.bucket}/datasets/{name}/"
        click.echo(
            f"{role}: what was uploaded last is not used; the lists of what is lie in {where}",
            err=True,
        )
    if not any(item.rejects_key for item in used):
        if used:
            click.echo(f"No row of {', '.join(item.role for item in used)} was rejected.")
        return
    bucket = Bucket(stack.s3, stack.bucket)
    for key, items in _by_list(used).items():
        with bucket.get(key) as body:
            write_or_print(items, body.read(), directory)


def _by_list(items: Iterable[DatasetItem]) -> Mapping[str, list[DatasetItem]]:
    """Return the items by their list of rejects; those made of one file share it."""
    lists: dict[str, list[DatasetItem]] = {}
    for item in items:
        if item.rejects_key:
            lists.setdefault(item.rejects_key, []).append(item)
    return lists


def write_or_print(items: list[DatasetItem], listing: bytes, directory: Path | None) -> None:
    """Give a list of rejected rows, as ingest wrote it, to a file or to the terminal."""
    item, lines = items[0], listing.splitlines()
    head = f"{item.file}: {views.rows(item.rejected_rows)} rejected"
    if left := item.rejected_rows - len(lines):
        head += f", of which the last {left:,} are not listed"
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / f"{item.file}.rejects.jsonl"
        write_whole(file, listing)
        click.echo(f"{head}: {file}")
        return
    click.echo(head)
    out = views.console()
    table = views.plain_table()
    table.add_column("row", justify="right", no_wrap=True)
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("why", overflow="fold")
    for row in _rows(lines):
        table.add_row(*row)
    out.print(table)


def _rows(lines: Iterable[bytes]) -> Iterator[tuple[str, str, str, str]]:
    for entry in map(orjson.loads, lines):
        yield str(entry.get("row", "")), str(entry["line"]), entry["rule"], entry["message"]
