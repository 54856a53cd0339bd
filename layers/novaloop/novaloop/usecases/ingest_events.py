"""What the ingest function is called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AliasPath, ConfigDict, Discriminator, Field, Tag, TypeAdapter

from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.datasets.reading.ranges import RangeScan
from novaloop.experiment.versions import Shape
from novaloop.usecases.events import Event, Name, of_version, read_event


class UploadEvent(Event):
    """S3's event "Object Created", from EventBridge, which has the key as it is, not encoded.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """

    key: Name = Field(validation_alias=AliasPath("detail", "object", "key"))


class FileRequest(Event):
    """Look at an uploaded file once more: the controller and the sweep ask so."""

    key: Name


class ChecksRequest(Event):
    """Check an experiment's datasets against each other: the controller asks so."""

    experiment_id: Name


@dataclass(frozen=True)
class BigFile:
    """One version of an uploaded file, and the settings that its role wants it converted with."""

    experiment_id: str
    role: str
    source_key: str
    version_id: str
    fingerprint: str
    size: int


class StepOfFile(Event):
    """A step of the state machine `BigFiles`, which `template.yaml` defines.

    One that can't be read does nothing: the file is asked for again once it took too long.
    """

    file: Annotated[BigFile, of_version(Shape.BIG_FILE)]


class ScanStep(StepOfFile):
    """Scan one of equal ranges; answered with its RangeScan."""

    step: Literal["scan"]
    range: ByteRange


class Plan(StepOfFile):
    """Find out where to cut from the scans of all ranges; answered with the ranges to convert."""

    step: Literal["plan"]
    scans: list[RangeScan]


class Convert(StepOfFile):
    """Convert one range of whole records."""

    step: Literal["convert"]
    range: ByteRange


class Join(StepOfFile):
    """Join the parts of all ranges; without ranges, the plan found the file no longer wanted."""

    step: Literal["join"]
    ranges: list[ByteRange]


class Reject(StepOfFile):
    """Say of the file that a step failed for good; `error` is the name that Step Functions has."""

    step: Literal["reject"]
    error: str


Step = ScanStep | Plan | Convert | Join | Reject
_REQUESTS = ("detail", "experiment_id", "key")


def _kind(event: object) -> str | None:
    """Return by what an event is told apart: its step, or which of _REQUESTS it has."""
    if not isinstance(event, Mapping):
        return None
    step = event.get("step")
    if step is not None:
        return f"step {step}" if isinstance(step, str) else None
    return next((name for name in _REQUESTS if name in event), None)


IngestEvent = Annotated[
    Annotated[UploadEvent, Tag("detail")]
    | Annotated[FileRequest, Tag("key")]
    | Annotated[ChecksRequest, Tag("experiment_id")]
    | Annotated[ScanStep, Tag("step scan")]
    | Annotated[Plan, Tag("step plan")]
    | Annotated[Convert, Tag("step convert")]
    | Annotated[Join, Tag("step join")]
    | Annotated[Reject, Tag("step reject")],
    # Pydantic's own message quotes the tag, which may be anything.
    Discriminator(
        _kind,
        custom_error_type="no_event_of_ingest",
        custom_error_message="should have a detail, a key, an experiment_id or a known step",
    ),
    of_version(Shape.REQUEST),
]
_EVENTS: TypeAdapter[IngestEvent] = TypeAdapter(IngestEvent, config=ConfigDict(defer_build=True))


def read_ingest_event(event: object) -> IngestEvent:
    """Read what the ingest function is called with. Raises Damaged and NewerVersion."""
    return read_event(_EVENTS, event)
