"""`novaloop submit`: upload a folder as an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.names import INBOX
from novaloop_cli import views
from novaloop_cli.consent import agreed, require_consent
from novaloop_cli.errors import Refused
from novaloop_cli.plan import (
    check_folder,
    cost_remarks,
    planned_stages,
    stages_table,
    unknown_costs,
    with_defaults,
)
from novaloop_cli.planned_stack import placeholder_stack
from novaloop_cli.stack import Stack, with_stack

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", help="The experiment's name; else the folder's.")
@agreed
@with_stack
def submit(stack: Stack, directory: Path, name: str | None, *, yes: bool) -> None:
    """Upload DIRECTORY as an experiment.

    Checks it as `plan` does, says what it will cost, and asks. Uploads experiment.yaml and the
    data files that its plan needs.
    """
    name = name or directory.resolve().name
    refuse_if_started(stack, name)
    stack_config = placeholder_stack(stack.region, stack.defaults)
    checked = with_defaults(check_folder(directory, name), stack_config)
    planned = planned_stages(name, checked, stack_config, packaged_prices())
    out = views.console()
    out.print(stages_table(planned))
    spec = checked.spec
    for remark in checked.of_stack:
        out.print(remark, style="yellow")
    for line in (*cost_remarks(spec, planned), *unknown_costs(spec), *checked.not_used):
        out.print(line)
    if spec.dry_run:
        out.print("It is a dry run: nothing of this is launched.")
    else:
        require_consent("Submit it?", yes=yes)
    upload(stack, name, checked.files)
    click.echo(f"Submitted {name}: {', '.join(file.name for file in checked.files)}.")
    click.echo(f"Follow it: {stack.command('watch', name)}")


def refuse_if_started(stack: Stack, name: str) -> None:
    """Raise Refused unless the experiment still takes uploads."""
    record = stack.table.load(name).record
    if record is not None and not record.status.takes_uploads:
        raise Refused(
            f"experiment {name} is {record.status} and takes no more uploads; "
            "submit under a new name, with --name"
        )


def upload(stack: Stack, name: str, files: Iterable[Path]) -> None:
    """Put the files into the experiment's inbox, in order."""
    for file in files:
        stack.s3.upload_file(str(file), stack.bucket, f"{INBOX}{name}/{file.name}")
