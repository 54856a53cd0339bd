"""How what a function is called with is read: into a type, before anything else sees it.

Most is sent by AWS or by another function, and has one shape. But whoever may invoke a function may
send it anything, and what fails comes again until it lies among the dead letters. So what is no
event of ours is told apart here, in words that quote none of it.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from novaloop.experiment.versions import Damaged, Shape, current
from novaloop.typed import one_line

T = TypeVar("T")
Name = Annotated[str, Field(min_length=1)]


class Event(BaseModel):
    """A part of an event, or all of it; what it has besides is ignored, as AWS adds to its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


def of_version(shape: Shape) -> BeforeValidator:
    """Return what brings a part of an event to the present version. Raises as `current`."""
    return BeforeValidator(
        lambda value: current(shape, value) if isinstance(value, dict) else value
    )


def read_event(kinds: TypeAdapter[T], event: object) -> T:
    """Read an event as one of its kinds. Raises Damaged, and NewerVersion for a newer release's."""
    try:
        return kinds.validate_python(event)
    except ValidationError as error:
        raise Damaged("event", one_line(error)) from None
