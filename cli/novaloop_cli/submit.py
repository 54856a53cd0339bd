"""`novaloop submit`: upload a folder as an experiment."""

from __future__ import annotations

from pathlib import Path

import click

from novaloop.datasets.options import SourceFormat
from novaloop.experiment.names import (
    INBOX,
    SPEC_FILE,
    SPLIT_STEM,
    experiment_name_error,
    problem_with_file_name,
    stem_of,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import roles, split_roles
from novaloop.experiment.spec.yaml_file import MAX_BYTES
from novaloop.experiment.validation.reading import SpecRefused, read_spec
from novaloop_cli.errors import Refused
from novaloop_cli.stack import Stack, with_stack


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", help="The experiment's name; else the folder's.")
@with_stack
def submit(stack: Stack, directory: Path, name: str | None) -> None:
    """Upload DIRECTORY as an experiment.

    That is experiment.yaml and the data files that its plan needs.
    """
    name = name or directory.resolve().name
    files = files_to_upload(directory, name)
    refuse_if_started(stack, name)
    upload(stack, name, files)
    click.echo(f"Submitted {name}: {', '.join(file.name for file in files)}.")
    click.echo(f"Follow it: {stack.command('watch', name)}")


def files_to_upload(directory: Path, name: str) -> list[Path]:
    """Check a folder; return its files in the order of upload.

    Raises Refused with all that is wrong with it.
    """
    problem = experiment_name_error(name)
    problems = [f"{name}: {problem}, or give --name"] if problem else []
    problems += [
        f"{file}: {problem}"
        for file in sorted(directory.iterdir())
        if (problem := problem_with_file_name(file.name))
    ]
    spec_file = directory / SPEC_FILE
    data: list[Path] = []
    try:
        spec = _read_spec(spec_file)
    except SpecRefused as refused:
        problems += (f"{spec_file} can't be used:", *refused.errors)
    else:
        found = _data_files(directory, spec)
        if missing := [f"{stem}.csv" for stem, files in found.items() if not files]:
            problems.append(
                f"{directory}: the plan needs {', '.join(missing)}; add what is missing"
            )
        for files in found.values():
            if len(files) > 1:
                names = " and ".join(file.name for file in files)
                problems.append(f"{directory}: {names} are the same dataset; keep one of them")
        data = [file for files in found.values() for file in files]
    if problems:
        raise Refused("\n  ".join(problems))
    # The spec goes first, so that ingest converts each file with the settings meant for it.
    return [spec_file, *data] if spec_file.exists() else data


def _read_spec(file: Path) -> ExperimentSpec:
    if not file.exists():
        return ExperimentSpec()
    with file.open("rb") as opened:
        return read_spec(opened.read(MAX_BYTES + 1))


def _data_files(directory: Path, spec: ExperimentSpec) -> dict[str, list[Path]]:
    """Return the files that each of the spec's datasets may come from, by their first word."""
    shared = split_roles(spec)
    own = [str(role) for role in roles(spec) if role not in shared]
    stems = [SPLIT_STEM, *own] if shared else own
    return {
        stem: sorted(
            file
            for file in directory.iterdir()
            if stem_of(file.name) == stem and SourceFormat.of(file.name) is not None
        )
        for stem in stems
    }


def refuse_if_started(stack: Stack, name: str) -> None:
    """Raise Refused unless the experiment still takes uploads."""
    record = stack.table.load(name).record
    if record is not None and not record.status.takes_uploads:
        raise Refused(
            f"experiment {name} is {record.status} and takes no more uploads; "
            "submit under a new name, with --name"
        )


def upload(stack: Stack, name: str, files: list[Path]) -> None:
    """Put the files into the experiment's inbox, in order."""
    for file in files:
        stack.s3.upload_file(str(file), stack.bucket, f"{INBOX}{name}/{file.name}")
