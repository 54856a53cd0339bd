"""What pydantic models of formatted rows share."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from novaloop.datasets.errors import Found, RowRejected
from novaloop.problem import Invalid, Problem
from novaloop.typed import dotted
from novaloop.wording import problems_of


class Strict(BaseModel):
    """A JSON object without unknown keys and without type conversions."""

    # Most files never need them: they are built when the first row is validated.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)
    declared: ClassVar[set[str]] = set()
    """The keys of all formats: what else stands in a path comes from the file."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        Strict.declared.update(
            field.alias or name for name, field in cls.__pydantic_fields__.items()
        )


def _not_blank(text: str) -> str:
    if not text.strip():
        raise Invalid(Problem("", "is empty", "fill it in or leave it out"))
    return text


NonBlank = Annotated[str, AfterValidator(_not_blank)]
Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], row: Any, at: tuple[str | int, ...] = ()) -> Model:
    """Validate a row, or the part of one that stands `at` a place.

    Raises RowRejected with the first wrong field's path, as far as the format declares its keys;
    what the file calls its own keys, and their values, are no part of the message.
    """
    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = dotted(*at, *_declared(first["loc"]))
        problem, found = next(problems_of(first, "")), None
        if first["type"] == "extra_forbidden":
            what = "has a key that its format doesn't know"
            problem = Problem("", what, "remove or rename it")
            found = Found([str(first["loc"][-1])])
            # A key may be one of another object's.
            path = dotted(*at, *_declared(first["loc"][:-1]))
        raise rejected(path, problem.what, problem.do, found) from error


def rejected(path: str, what: str, do: str = "", found: Found | None = None) -> RowRejected:
    """Return what to raise for the part of a row that stands at `path`: the whole row, if empty."""
    where = path or "the row"
    return RowRejected("schema", what, do, field=path or None, where=where, found=found)


def _declared(location: Sequence[str | int]) -> list[str | int]:
    """Return a place up to the first key that no format declares, or the name of a type."""
    parts: list[str | int] = []
    for part in location:
        if isinstance(part, str) and part not in Strict.declared:
            break
        parts.append(part)
    return parts
