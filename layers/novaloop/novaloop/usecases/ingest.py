"""Ingest: from an uploaded file to validated JSONL and a dataset item.

An upload event is only a hint to look at its key: the newest version there is what counts, and it
is read by version id, so that a file that is replaced meanwhile is never read half and half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from novaloop.datasets.convert import Sink, convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.split import Split, convert_split
from novaloop.datasets.summary import DatasetSummary
from novaloop.experiment.collecting import data_fingerprint, wants_sft_in_rft
from novaloop.experiment.names import experiment_name_error
from novaloop.experiment.record import DatasetItem, DatasetStatus, SpecItem
from novaloop.experiment.spec import ExperimentSpec, Role
from novaloop.experiment.spec_file import SpecRefused, read_spec
from novaloop.usecases.ports import Clock, Objects, Store, Upload

INBOX = "inbox/"
SPEC_FILE = "experiment.yaml"
SPLIT_STEM = "data"
MAX_ATTEMPTS = 3
JSON_LINES = "application/jsonl"
FORMATS: Mapping[Role, RowFormat] = {
    Role.SFT: RowFormat.SFT,
    Role.RFT: RowFormat.RFT,
    Role.EVAL: RowFormat.EVALUATION,
}


@dataclass(frozen=True)
class IngestWorld:
    """Everything that ingest works with."""

    store: Store
    objects: Objects
    clock: Clock


@dataclass(frozen=True)
class _Job:
    """One file of one experiment, at the version that is to be read."""

    experiment_id: str
    key: str
    upload: Upload
    source_format: SourceFormat
    spec: ExperimentSpec
    items: tuple[DatasetItem, ...]


class _Refused(Exception):  # noqa: N818
    """Ends the uploads of a refused dataset, so that none of it is left."""


def ingest(key: str, world: IngestWorld) -> None:
    """Look at an uploaded file and bring its item up to date."""
    experiment_id, _, file = key.removeprefix(INBOX).partition("/")
    upload = world.objects.newest(key)
    if not key.startswith(INBOX) or not file or upload is None:
        return
    if file == SPEC_FILE:
        world.store.put_spec(experiment_id, _spec_item(key, upload, world))
        return
    refused = partial(_unusable, key, upload, world)
    problem = experiment_name_error(experiment_id) or _file_problem(file)
    if problem is not None:
        world.store.put_dataset(experiment_id, refused(file, problem))
        return
    _ingest_data(experiment_id, key, upload, world)


def _file_problem(file: str) -> str | None:
    stem = file.partition(".")[0]
    if stem in {*Role, SPLIT_STEM} and SourceFormat.of(file) is not None:
        return None
    return (
        "is not a file of an experiment; those are experiment.yaml and sft, rft and eval "
        "(or one data file with `split:`) as .csv or .jsonl, with or without .gz"
    )


def _spec_item(key: str, upload: Upload, world: IngestWorld) -> SpecItem:
    with world.objects.get(key, upload.version_id) as body:
        content = body.read()
    try:
        return SpecItem(upload.version_id, upload.uploaded_at, read_spec(content))
    except SpecRefused as refused:
        return SpecItem(upload.version_id, upload.uploaded_at, None, refused.errors)


def _ingest_data(experiment_id: str, key: str, upload: Upload, world: IngestWorld) -> None:
    file = key.rpartition("/")[2]
    stem = file.partition(".")[0]
    spec = _present_spec(experiment_id, world)
    if spec is None:
        roles = [Role(stem)] if stem != SPLIT_STEM else list(Role)
        for role in roles:
            waiting = _unusable(key, upload, world, role, "waits for a valid experiment.yaml")
            waiting = replace(waiting, status=DatasetStatus.INGESTING)
            world.store.put_dataset(experiment_id, waiting)
        return
    roles = list(spec.roles()) if stem == SPLIT_STEM else [Role(stem)]
    items = tuple(
        replace(
            _unusable(key, upload, world, role, ""),
            status=DatasetStatus.INGESTING,
            fingerprint=data_fingerprint(spec, role),
        )
        for role in roles
    )
    items = _claim(experiment_id, items, world)
    if not items:
        return
    source_format = SourceFormat.of(file) or SourceFormat.CSV
    _convert(_Job(experiment_id, key, upload, source_format, spec, items), world)


def _present_spec(experiment_id: str, world: IngestWorld) -> ExperimentSpec | None:
    """Read the spec where it was uploaded: its item may not have been written yet."""
    key = f"{INBOX}{experiment_id}/{SPEC_FILE}"
    upload = world.objects.newest(key)
    return ExperimentSpec() if upload is None else _spec_item(key, upload, world).spec


def _unusable(
    key: str, upload: Upload, world: IngestWorld, role: str, reason: str
) -> DatasetItem:
    return DatasetItem(
        role=role,
        status=DatasetStatus.REJECTED,
        source_key=key,
        version_id=upload.version_id,
        uploaded_at=upload.uploaded_at,
        fingerprint="",
        updated_at=world.clock.now(),
        reason=reason,
    )


def _claim(
    experiment_id: str, items: tuple[DatasetItem, ...], world: IngestWorld
) -> tuple[DatasetItem, ...]:
    """Mark the datasets as being converted; empty if that was done already or fails each time."""
    present = world.store.load(experiment_id).datasets
    before = [present.get(item.role) for item in items]
    same = [
        old is not None
        and (old.version_id, old.fingerprint) == (item.version_id, item.fingerprint)
        for old, item in zip(before, items, strict=True)
    ]
    if all(same) and all(old and old.status is not DatasetStatus.INGESTING for old in before):
        return ()
    attempts = 1 + max(
        (old.ingest_attempts for old, again in zip(before, same, strict=True) if old and again),
        default=0,
    )
    claimed = tuple(replace(item, ingest_attempts=attempts) for item in items)
    if attempts > MAX_ATTEMPTS:
        reason = f"could not be converted in {MAX_ATTEMPTS} attempts; see the ingest function's log"
        claimed = tuple(
            replace(item, status=DatasetStatus.REJECTED, reason=reason) for item in claimed
        )
    written = [world.store.put_dataset(experiment_id, item) for item in claimed]
    return claimed if all(written) and attempts <= MAX_ATTEMPTS else ()


def _convert(job: _Job, world: IngestWorld) -> None:
    rejects: list[bytes] = []
    results: Mapping[str, DatasetSummary] = {}
    reason = ""
    rejected_rows = 0
    try:
        with ExitStack() as uploads:
            results, reason, rejected_rows = _run(job, uploads, rejects, world)
            if reason:
                raise _Refused
    except _Refused:
        results = {}
    rejects_key = _put_rejects(job, rejects, world)
    for item in job.items:
        done = replace(
            item,
            updated_at=world.clock.now(),
            rejected_rows=rejected_rows,
            rejects_key=rejects_key,
            status=DatasetStatus.REJECTED if reason else DatasetStatus.ACCEPTED,
            reason=reason,
        )
        if not reason:
            done = _accepted(job, done, results[item.role])
        world.store.put_dataset(job.experiment_id, done)


def _run(
    job: _Job, uploads: ExitStack, rejects: list[bytes], world: IngestWorld
) -> tuple[Mapping[str, DatasetSummary], str, int]:
    """Convert the file; return the summary of each role, why it was refused, and its rejects."""
    options = dataset_options(job.spec, job.source_format)
    outputs = {item.role: _sinks(job, item, uploads, world) for item in job.items}
    open_source = partial(world.objects.get, job.key, job.upload.version_id)
    if job.key.rpartition("/")[2].partition(".")[0] != SPLIT_STEM:
        (role,) = outputs
        summary = convert(open_source(), outputs[role], options, rejects.append)
        rejected = sum(each.rows for each in summary.rejects.values())
        return {role: summary}, str(summary.refusal or ""), rejected
    if job.spec.split is None:
        return {}, "needs `split:` in experiment.yaml, or sft, rft and eval as files of their own", 0
    shares = {role: getattr(job.spec.split, role) for role in outputs}
    whole = {
        role: int(share) if float(share).is_integer() and share > 1 else share
        for role, share in shares.items()
    }
    split = Split(whole, job.spec.split.seed)
    result = convert_split(open_source, split, outputs, options, rejects.append)
    rejected = sum(each.rows for each in result.rejects.values())
    return result.datasets, str(result.refusal or ""), rejected


def dataset_options(spec: ExperimentSpec, source_format: SourceFormat) -> DatasetOptions:
    """Return what the spec says about reading a file."""
    reward = {"type": "label", "labels": list(spec.labels)} if spec.labels else None
    return DatasetOptions(
        source_format=source_format,
        columns=spec.columns,
        system_prompt=spec.system_prompt,
        labels=spec.labels,
        encoding=spec.encoding,
        delimiter=spec.delimiter,
        reward=reward,
        model=spec.model,
        max_rejects=spec.max_rejects,
    )


def row_formats(spec: ExperimentSpec, role: Role) -> tuple[RowFormat, ...]:
    """Return the formats that a role's rows are needed in."""
    also_rft = role is Role.SFT and wants_sft_in_rft(spec)
    return (FORMATS[role], RowFormat.RFT) if also_rft else (FORMATS[role],)


def _sinks(
    job: _Job, item: DatasetItem, uploads: ExitStack, world: IngestWorld
) -> dict[RowFormat, Sink]:
    return {
        each: uploads.enter_context(world.objects.writer(_output_key(job, item, each), JSON_LINES))
        for each in row_formats(job.spec, Role(item.role))
    }


def _folder(job: _Job, item: DatasetItem) -> str:
    """Return a key prefix of its own for every version of the file and of the settings."""
    version = f"{job.key}/{item.version_id}/{item.fingerprint}"
    name = hashlib.sha256(version.encode()).hexdigest()[:16]
    return f"datasets/{job.experiment_id}/{item.role}/{name}"


def _output_key(job: _Job, item: DatasetItem, row_format: RowFormat) -> str:
    return f"{_folder(job, item)}/{row_format.file_name}"


def _put_rejects(job: _Job, rejects: list[bytes], world: IngestWorld) -> str | None:
    if not rejects:
        return None
    key = f"{_folder(job, job.items[0])}/rejects.jsonl"
    world.objects.put(key, b"".join(rejects), JSON_LINES)
    return key


def _accepted(job: _Job, item: DatasetItem, summary: DatasetSummary) -> DatasetItem:
    own = summary.outputs[FORMATS[Role(item.role)]]
    outputs = {str(each): _output_key(job, item, each) for each in summary.outputs}
    return replace(
        item, rows=summary.rows_out, sha256=own.sha256, outputs=outputs, summary=_digest(summary)
    )


def _digest(summary: DatasetSummary) -> dict[str, Any]:
    """Return what a person wants to see of a dataset in its item."""
    return {
        "rows_in": summary.rows_in,
        "labels": dict(summary.label_counts or {}),
        "duplicate_rows": summary.duplicate_rows,
        "row_hash_sum": summary.row_hash_sum,
        "bytes": {str(name): output.size for name, output in summary.outputs.items()},
    }
