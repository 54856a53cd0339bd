"""The files of an experiment in a folder: which are used, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from novaloop.datasets.convert import placed_rows
from novaloop.datasets.errors import DatasetRefused, Wording
from novaloop.datasets.options import SourceFormat
from novaloop.datasets.rejects import RejectLog
from novaloop.experiment.controller.strays import split_for, what_is_not_used
from novaloop.experiment.names import (
    SPEC_FILE,
    SPLIT_STEM,
    check_experiment_name,
    check_file_name,
    is_misnamed_spec,
    stem_of,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import file_for, roles, row_formats, split_roles
from novaloop.experiment.spec.reward import FunctionReward
from novaloop.experiment.spec.yaml_file import MAX_BYTES
from novaloop.experiment.validation.reading import read_spec, read_what_holds
from novaloop.problem import Invalid
from novaloop.usecases.conversion import dataset_options
from novaloop_cli.errors import Refused

READ_BY = {"columns", "encoding", "delimiter", "split"}
"""Settings without which nobody can tell what is wrong with a file."""
_SCORED_BY = re.compile(r"(reward|labels)\b")
"""Settings without which nobody can tell what an answer earns."""


@dataclass(frozen=True)
class Folder:
    """What of a folder is an experiment: its files in the order of upload; a line for each cause
    for which others are not used; and for each thing that is wrong.

    `spec` is what its settings come to without what is wrong with them, None if nobody can tell.
    """

    spec: ExperimentSpec | None
    files: tuple[Path, ...]
    not_used: tuple[str, ...]
    problems: tuple[str, ...]


def read_folder(directory: Path, name: str) -> Folder:
    """Return a folder that can be submitted. Raises Refused with all that is wrong with it."""
    folder = look_at(directory, name)
    if folder.problems:
        raise Refused("\n  ".join(folder.problems))
    return folder


def look_at(directory: Path, name: str) -> Folder:
    """Look at a folder's names and settings."""
    problems = [f"{each}, or give --name" for each in check_experiment_name(name, where=name)]
    for file in sorted(directory.iterdir()):
        problems += map(str, check_file_name(file.name, str(file)))
    spec_file = directory / SPEC_FILE
    data: list[Path] = []
    not_used: tuple[str, ...] = ()
    content = beginning(spec_file)
    misnamed = any(is_misnamed_spec(file.name) for file in directory.iterdir())
    spec: ExperimentSpec | None = ExperimentSpec()
    try:
        spec = spec if content is None else read_spec(content, name)
    except Invalid as invalid:
        problems += (f"{spec_file} can't be used:", *map(str, invalid.problems))
        holds = read_what_holds(content or b"")
        spec = None if holds is None or holds[1] & READ_BY else holds[0]
        if spec is not None and any(_SCORED_BY.match(each.where) for each in invalid.problems):
            # Nobody can tell what a row earns: as by a function, of which only its owner knows it.
            unknown = FunctionReward(function="")
            spec = spec.model_copy(update={"reward": unknown, "labels": ()})
    if misnamed and content is None:
        spec = None
    if spec is not None:
        found = data_files(directory, spec)
        data = [file for files in found.values() for file in files]
        not_used = tuple(_not_used(directory, spec, name))
        if missing := [file_for(spec, stem) for stem, files in found.items() if not files]:
            needs = f"{directory}: the plan needs {', '.join(missing)}; add what is missing"
            problems += (needs, *not_used, *_one_file(directory, spec))
        for files in found.values():
            if len(files) > 1:
                names = " and ".join(file.name for file in files)
                problems.append(f"{directory}: {names} are the same dataset; keep one of them")
    # The spec goes first, so that ingest converts each file with the settings meant for it.
    first = () if content is None else (spec_file,)
    return Folder(spec, (*first, *data), not_used, tuple(problems))


def _not_used(directory: Path, spec: ExperimentSpec, name: str) -> Iterator[str]:
    """Yield as ingest does what is not used of a folder, but for folders in it and hidden files."""
    files = (file.name for file in sorted(directory.iterdir()) if file.is_file())
    seen = [file for file in files if not file.startswith(".") and not is_misnamed_spec(file)]
    yield from what_is_not_used(name, seen, spec)


def _one_file(directory: Path, spec: ExperimentSpec) -> Iterator[str]:
    """Yield, if a single file of rows lies there under another name, how to use it all the same:
    as the one that is divided, and why it could not be read yet."""
    formats = [(each, SourceFormat.of(each.name)) for each in directory.iterdir()]
    files = [(file, source_format) for file, source_format in formats if source_format]
    if len(files) != 1 or stem_of(files[0][0].name) in roles(spec):
        return
    ((file, source_format),) = files
    name = f"{SPLIT_STEM}{''.join(file.suffixes)}"
    if stem_of(file.name) != SPLIT_STEM and (division := split_for(spec)):
        yield f"to make them of {file.name}, call it {name} and write in {SPEC_FILE}: {division}"
    needed = [each for role in roles(spec) for each in row_formats(spec, role)]
    options = dataset_options(spec, source_format)
    try:
        with file.open("rb") as source:
            next(placed_rows(source, needed, options, RejectLog(lambda _: None)), None)
    except DatasetRefused as refused:
        yield f"{file.name}: {Wording(shows_found=True).told(refused)}"


def beginning(file: Path) -> bytes | None:
    """Return as much of a spec as is read of one, None if there is none."""
    if not file.exists():
        return None
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)


def data_files(directory: Path, spec: ExperimentSpec) -> dict[str, list[Path]]:
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
