"""`novaloop convert`: one file through the code of the ingest function, on this machine."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from novaloop.datasets.errors import Setting, Wording
from novaloop.datasets.options import SourceFormat
from novaloop.datasets.profile.checks import check_datasets
from novaloop.datasets.profile.profile import DatasetProfile
from novaloop.datasets.reading.file_types import how_to_save
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.experiment.spec.experiment import FIELDS_ONLY, ExperimentSpec
from novaloop.experiment.spec.inputs import FORMATS, question_column
from novaloop.usecases.conversion import Conversion, IngestWorld
from novaloop.usecases.dataset_checks import places_of
from novaloop.wording import problems_of
from novaloop_cli.errors import Refused
from novaloop_cli.folder import FolderObjects, folder_world
from novaloop_cli.ranges import convert_on_all_cores
from novaloop_cli.views import rows
from novaloop_cli.wrapping import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANY_ROWS = 10**12
# A spec needs a plan; this one asks nothing of the files of other methods.
_ANY_PLAN = [{"evaluate": "eval"}]
# Who scores is not said here, so that nobody knows what a reference must be.
_ANY_REWARD = {"function": "the experiment's"}
_SINGULAR = {"labels": "label", "columns": "column"}


@click.command()
@click.argument(
    "source", metavar="IN", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.argument("target", metavar="OUT", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--method",
    type=click.Choice([str(role) for role in FORMATS]),
    required=True,
    metavar="METHOD",
    help=f"What the rows are for: {', '.join(FORMATS)}.",
)
@click.option("--model", default="nova-lite-2", show_default=True, help="The base model.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Which column holds a field, such as question=Body; empty switches it off.",
)
@click.option("--label", "labels", multiple=True, help="A class; give each.")
@click.option("--system-prompt", metavar="TEXT|@FILE", help="For rows that have none.")
@click.option("--delimiter", help="The character between cells.")
@click.option("--encoding", help="The file's encoding, if it is not UTF-8.")
@click.option("--max-length", type=click.IntRange(1), help="Say how many rows have more tokens.")
@click.option("--allow-rejects", is_flag=True, help="Leave unusable rows out.")
def convert(
    *,
    source: Path,
    target: Path,
    method: str,
    columns: tuple[str, ...],
    system_prompt: str | None,
    max_length: int | None,
    allow_rejects: bool,
    **settings: Any,
) -> None:
    """Convert a data file to the JSON lines of Nova's jobs.

    IN is CSV or JSON lines, gzip or not. Rejected rows go to OUT.rejects.jsonl. Exit code 2 if
    there are any, unless --allow-rejects.
    """
    given = {name: value for name, value in settings.items() if value}
    given |= {"columns": dict(map(_pair, columns)), "plan": _ANY_PLAN}
    given |= {} if "labels" in given else {"reward": _ANY_REWARD}
    given |= {"max_rejects": MANY_ROWS if allow_rejects else 0}
    if system_prompt:
        given["system_prompt"] = _text(system_prompt)
    written = target.resolve()  # what a link points to is written, and not the link
    if source.resolve() == written:
        raise Refused("IN and OUT are the same file; name another OUT")
    if written.exists() and not written.is_file():
        raise Refused(f"{target} is no file, whose place the rows could take; name another OUT")
    with TemporaryDirectory(dir=_folder_of(written)) as scratch:
        spec = _spec(given)
        item, card = _convert(source, written, method, spec, Path(scratch))
        findings = list(_findings(item, source, max_length, spec, Path(scratch)))
    told = list(brief(item, card, source, target, spec.labels))
    told += [f"  {line}" for line in findings]
    if item.status is not DatasetStatus.ACCEPTED:
        raise Refused("\n".join(told))
    said = "\n".join(told)
    click.echo(wrapped(said) if sys.stdout.isatty() else said)


def _pair(text: str) -> tuple[str, str | None]:
    field, mark, column = text.partition("=")
    if not mark or not field:
        raise Refused(f"--column {text}: write FIELD=COLUMN, such as question=Body")
    return field, column or None


def _text(value: str) -> str:
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Refused(f"--system-prompt {value}: there is no such text file in UTF-8") from None


def _folder_of(target: Path) -> Path:
    if not target.parent.is_dir():
        raise Refused(f"{target.parent}: there is no such folder; create it first")
    return target.parent


def _spec(settings: Mapping[str, Any]) -> ExperimentSpec:
    try:
        return ExperimentSpec.model_validate(settings, context=FIELDS_ONLY)
    except ValidationError as error:
        found = (problems_of(each, _option(each["loc"])) for each in error.errors())
        raise Refused("\n  ".join(map(str, chain.from_iterable(found)))) from None


def _option(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    return f"--{_SINGULAR.get(name, name).replace('_', '-')}"


def in_options(setting: Setting) -> str:
    """Return what this command calls a setting of experiment.yaml, with the value to give."""
    name, value = _option((setting.name,)), setting.value
    if setting.name == "max_rejects":
        return "`--allow-rejects`"
    if isinstance(value, str):
        return f"`{f'{name} {value}'.rstrip()}`"
    given = {field: "" if column == "null" else column for field, column in value.items()}
    return f"`{' '.join(f'{name} {field}={column}' for field, column in given.items())}`"


def _convert(
    source: Path, target: Path, role: str, spec: ExperimentSpec, scratch: Path
) -> tuple[DatasetItem, Mapping[str, Any]]:
    """Run ingest's conversion in a scratch folder and move what is wanted beside `target`."""
    if SourceFormat.of(source.name) is None:
        what = f"{source}: is read if its name ends in .csv or .jsonl, with or without .gz"
        raise Refused(f"{what}; {how_to_save(source.name)}")
    key = f"inbox/convert/{role}{''.join(source.suffixes)}"
    now = datetime.now(UTC)
    item = DatasetItem(role, DatasetStatus.INGESTING, key, "local", now, "", now)
    world = _world(item, source, scratch)
    job = Conversion("convert", spec, (item,))
    (done,) = convert_on_all_cores(job, source.stat().st_size, world)
    objects = FolderObjects(scratch, {})
    if done.outputs:
        objects.path(done.outputs[FORMATS[role]]).replace(target)
    if done.rejects_key:
        shutil.move(objects.path(done.rejects_key), _rejects_of(target))
    else:  # of an earlier conversion
        _rejects_of(target).unlink(missing_ok=True)
    if done.card_key is None:
        return done, {}
    return done, json.loads(objects.path(done.card_key).with_suffix(".json").read_bytes())


def _world(item: DatasetItem, source: Path, scratch: Path) -> IngestWorld:
    world = folder_world("convert", scratch, {item.source_key: source})
    return replace(world, wording=Wording(in_options, shows_found=True))


def _findings(
    item: DatasetItem, source: Path, max_length: int | None, spec: ExperimentSpec, scratch: Path
) -> Iterator[str]:
    """Yield what the checks before a start find in this file alone, with the first lines of it."""
    if item.profile_key is None:
        return
    data = FolderObjects(scratch, {}).path(item.profile_key).read_bytes()
    profiles = {item.role: DatasetProfile.from_bytes(data)}
    max_lengths = {item.role: max_length} if max_length else {}
    column = question_column(spec)
    findings = check_datasets(profiles, None, max_lengths, spec.labels, column)
    job = Conversion("convert", spec, (item,))
    places = places_of(findings, job, _world(item, source, scratch))
    for finding, place in zip(findings, places, strict=True):
        at = f" ({source.name}, {place})" if place else ""
        yield f"{finding.check}: {finding.message}{at}"


def _rejects_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.rejects.jsonl")


def brief(
    item: DatasetItem,
    card: Mapping[str, Any],
    source: Path,
    target: Path,
    labels: tuple[str, ...] = (),
) -> Iterator[str]:
    """Yield what a person wants to know first of a dataset's card; no text of the dataset."""
    accepted = item.status is DatasetStatus.ACCEPTED
    if accepted:
        yield f"{target}: {rows(item.rows)}, sha256 {item.sha256[:12]}"
    else:
        yield f"{source} can't be used: {item.reason}"
    for rule, rejected in card.get("rejects", {}).items():
        line = rejected["first_lines"][0]
        yield f"  rejected {rows(rejected['rows'])}: {rule}, first in line {line}"
    if item.rejected_rows:
        yield f"  all of them: {_rejects_of(target)}"
    if not accepted or not card:
        return
    tokens = card["tokens"]
    yield (
        f"  tokens, estimated: {tokens['total']:,} in all; a row has {tokens['p50']:,} in the "
        f"median, {tokens['max']:,} at most"
    )
    if card["duplicate_rows"]:
        yield f"  duplicate rows: {card['duplicate_rows']:,}"
    for label in labels:
        yield f"  {label}: {(card['label_counts'] or {}).get(label, 0):,}"
