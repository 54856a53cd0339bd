"""The uploaded `experiment.yaml`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TypeGuard

from novaloop.experiment.names import INBOX, SPEC_FILE
from novaloop.experiment.record import Record, SpecItem
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.yaml_file import MAX_BYTES
from novaloop.experiment.validation.defaults import left_out
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.usecases.attempts import is_given_up, is_told, noticing, why_given_up, why_not_yet
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.inbox import NOT_READ
from novaloop.usecases.ports import Upload


def spec_item(experiment_id: str, upload: Upload, world: IngestWorld) -> SpecItem:
    """Read an uploaded spec, or say why it can't be read."""
    key = f"{INBOX}{experiment_id}/{SPEC_FILE}"
    with world.objects.get(key, upload.version_id) as body:
        content = body.read(MAX_BYTES + 1)
    try:
        spec = read_spec(content, experiment_id)
    except Invalid as invalid:
        errors = tuple(map(str, invalid.problems))
        return SpecItem(upload.version_id, upload.uploaded_at, None, errors)
    return SpecItem(upload.version_id, upload.uploaded_at, spec, left_out=left_out(spec))


def ingest_spec(experiment_id: str, upload: Upload, world: IngestWorld) -> None:
    """Read an uploaded spec and write its item, marked if it came after the start.

    One that comes in the very moment of the start may stay without the mark; the record's
    `unused_uploads` names it all the same. One that was read, well or not, is not read again.
    Raises NewerVersion.
    """
    if _is_read(world.store.load(experiment_id).spec, upload):
        return
    version = f"{upload.version_id} {upload.uploaded_at.isoformat()}"

    def back(code: str) -> None:
        world.store.take_back(experiment_id, "SPEC", version)
        if is_told(upload.uploaded_at, world):
            errors = (why_not_yet("read", code),)
            world.store.put_spec(
                experiment_id, SpecItem(NOT_READ, upload.uploaded_at, None, errors)
            )

    if is_given_up(experiment_id, "SPEC", version, world):
        errors = (why_given_up("read"),)
        item = SpecItem(upload.version_id, upload.uploaded_at, None, errors)
        world.store.put_spec(experiment_id, item)
        return
    with noticing(back):
        not_used = _why_not_used(upload, world.store.load(experiment_id).record)
        item = replace(spec_item(experiment_id, upload, world), not_used=not_used)
        world.store.put_spec(experiment_id, item)


def _why_not_used(upload: Upload, record: Record | None) -> str:
    if record is None or record.started_at is None:
        return ""
    if record.spec_upload in {None, upload.version_id}:  # None: of an earlier release
        return ""
    used = f"version {record.spec_upload}" if record.spec_upload else "without any"
    return (
        f"version {upload.version_id} came after the start at {record.started_at:%Y-%m-%d %H:%M} "
        f"UTC: the experiment runs by {used}, as RESOLVED_SPEC has it; submit it under a new "
        "experiment name"
    )


def present_spec(
    experiment_id: str, world: IngestWorld
) -> tuple[ExperimentSpec | None, datetime | None]:
    """Return the newest spec, None if it is none, and when it was uploaded, if it was.

    It is read where it was uploaded as long as its item has not been written.
    """
    key = f"{INBOX}{experiment_id}/{SPEC_FILE}"
    upload = world.objects.newest(key)
    if upload is None:
        return ExperimentSpec(), None
    item = world.store.load(experiment_id).spec
    if not _is_read(item, upload):
        item = spec_item(experiment_id, upload, world)
    return item.spec, upload.uploaded_at


def _is_read(item: SpecItem | None, upload: Upload) -> TypeGuard[SpecItem]:
    return item is not None and (item.version_id, item.uploaded_at) == (
        upload.version_id,
        upload.uploaded_at,
    )
