"""What a message of the hint queue may say, whoever sent it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from novaloop.experiment.versions import Shape, current
from novaloop.usecases.reconcile import MAX_DEPTH

_MAX_NAME_BYTES = 1024
"""Of an experiment: its name is part of a key in the bucket, which has no more
(docs.aws.amazon.com, "Naming Amazon S3 objects")."""


def _fits_a_key(name: str) -> str:
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise ValueError(f"should have at most {_MAX_NAME_BYTES} bytes")
    return name


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


class NoHint(Exception):  # noqa: N818 - a person's mistake
    """A message that says nothing, in words that quote none of it."""


def read_hint(body: str) -> Hint:
    """Read a message of the queue. Raises NoHint, and NewerVersion for a newer release's."""
    try:
        values = from_json(body)
    except ValueError:
        raise NoHint("it is not JSON") from None
    if not isinstance(values, dict):
        raise NoHint("it is not an object")
    try:
        hint = Hint.model_validate(current(Shape.HINT, values))
    except ValidationError as error:
        wrong = (f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_input=False))
        raise NoHint("; ".join(wrong)) from None
    if hint.experiment_id is None and hint.job_name is None:
        raise NoHint("it names neither an experiment_id nor a job_name")
    return hint
