"""What the controller is called with: messages of the hint queue, or records of the table's stream.

Whatever Lambda hands over comes in batches. What is wrong with one record of them is told of that
one, and the others are handled as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import from_json

from novaloop.experiment.record import Record, StageState
from novaloop.experiment.versions import Damaged, NewerVersion, Shape, current
from novaloop.typed import adapter, one_line
from novaloop.usecases.events import Event, Name, read_event
from novaloop.usecases.reconcile import MAX_DEPTH

_MAX_NAME_BYTES = 1024
"""Of an experiment: its name is part of a key in the bucket, which has no more
(docs.aws.amazon.com, "Naming Amazon S3 objects")."""


def _fits_a_key(name: str) -> str:
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise ValueError(f"should have at most {_MAX_NAME_BYTES} bytes")
    return name


def _or_once(value: object, read: ValidatorFunctionWrapHandler) -> int:
    """Take a count that can't be read for one: the others of the batch are not held up by it."""
    try:
        return int(read(value))
    except ValidationError:
        return 1


class Envelope(Event):
    """What Lambda says of a record, whatever it holds; the stream does not count its receives.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html shows the attributes of a message.
    """

    source: Literal["aws:sqs", "aws:dynamodb"] = Field(alias="eventSource")
    receives: Annotated[int, Field(ge=1), WrapValidator(_or_once)] = Field(
        1, validation_alias=AliasPath("attributes", "ApproximateReceiveCount")
    )


class Batch(Event):
    """Records of the queue or of the stream, never both."""

    records: list[Envelope] = Field(alias="Records", min_length=1)

    @property
    def is_of_queue(self) -> bool:
        """Whether the records are messages of the hint queue."""
        return self.records[0].source == "aws:sqs"


class QueueMessage(Event):
    """A message of the queue, with whatever its sender wrote."""

    body: str


class Change(Event):
    """A record of the table's stream: an experiment of which an item changed.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
    """

    experiment_id: Name = Field(
        validation_alias=AliasPath("dynamodb", "Keys", "experiment_id", "S")
    )


class Hint(BaseModel):
    """A message of the queue: the experiment to look at, or the job or endpoint that changed.

    `depth` counts the hints that led to this one. Whoever may send to the queue may send anything,
    and a message that fails comes again and then lies among the dead letters: so what is no hint is
    told apart here, before it can fail anywhere else.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    experiment_id: Annotated[str, Field(min_length=1), AfterValidator(_fits_a_key)] | None = None
    depth: int = Field(0, ge=0, le=MAX_DEPTH)
    job_name: str | None = None
    config_name: str | None = None
    status: str | None = None

    def is_ahead_of(self, seen: Record) -> bool:
        """Whether it tells an end that the look after it has not seen.

        That a service answers a look as before its own event is not known of AWS, nor is that it
        doesn't. The next look by itself would be ten minutes later.
        """
        stage = seen.active
        if stage is None or stage.state is not StageState.RUNNING:
            return False
        ended = self.status is not None and self.status.upper() in _ENDS
        return ended and stage.attempt.job_name in {self.job_name, self.config_name}


_ENDS = {"COMPLETED", "FAILED", "STOPPED", "IN_SERVICE", "OUT_OF_SERVICE"}
"""Of TrainingJobStatus, EndpointStatus (in events) and Bedrock's jobStatus, in capitals."""
LATE = timedelta(seconds=30)
"""How long after a look the next one follows where its event was ahead of it."""


class NoHint(Exception):  # noqa: N818 - a person's mistake
    """A message that says nothing, in words that quote none of it."""


def read_batch(event: object) -> Batch:
    """Read what the controller is called with, but for what the records hold. Raises Damaged."""
    return read_event(adapter(Batch), event)


def read_received(event: Mapping[str, Any], batch: Batch) -> Iterator[tuple[Hint, int]]:
    """Yield the hints of a batch that can be read, each with how often it was handed out."""
    for record, envelope in zip(event["Records"], batch.records, strict=True):
        with suppress(NoHint, NewerVersion):  # told when its turn comes
            yield read_record(record), envelope.receives


def read_record(record: Mapping[str, Any]) -> Hint:
    """Read what a record holds. Raises NoHint, and NewerVersion for a newer release's."""
    try:
        if "dynamodb" in record:
            return Hint(experiment_id=Change.model_validate(record).experiment_id)
        return _of_message(QueueMessage.model_validate(record).body)
    except ValidationError as error:
        raise NoHint(one_line(error)) from None


def _of_message(body: str) -> Hint:
    try:
        values = from_json(body)
    except (ValueError, TypeError):  # this one for half a surrogate pair
        raise NoHint("it is not JSON") from None
    if not isinstance(values, dict):
        raise NoHint("it is not an object")
    try:
        values = current(Shape.HINT, values)
    except Damaged as damaged:
        raise NoHint(str(damaged)) from None
    hint = Hint.model_validate(values)
    if hint.experiment_id is None and hint.job_name is None:
        raise NoHint("it names neither an experiment_id nor a job_name")
    return hint
