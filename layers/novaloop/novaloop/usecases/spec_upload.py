"""The uploaded `experiment.yaml`."""

from __future__ import annotations

from novaloop.experiment.record import SpecItem
from novaloop.experiment.settings_file import MAX_BYTES
from novaloop.experiment.spec import ExperimentSpec
from novaloop.experiment.spec_file import SPEC_FILE, SpecRefused, read_spec
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.inbox import INBOX
from novaloop.usecases.ports import Upload


def spec_item(key: str, upload: Upload, world: IngestWorld) -> SpecItem:
    """Read an uploaded spec."""
    with world.objects.get(key, upload.version_id) as body:
        content = body.read(MAX_BYTES + 1)
    try:
        return SpecItem(upload.version_id, upload.uploaded_at, read_spec(content))
    except SpecRefused as refused:
        return SpecItem(upload.version_id, upload.uploaded_at, None, refused.errors)


def present_spec(experiment_id: str, world: IngestWorld) -> ExperimentSpec | None:
    """Read the spec where it was uploaded: its item may not have been written yet."""
    key = f"{INBOX}{experiment_id}/{SPEC_FILE}"
    upload = world.objects.newest(key)
    return ExperimentSpec() if upload is None else spec_item(key, upload, world).spec
