"""What pydantic models of formatted rows share."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from novaloop.datasets.errors import RowRejected


class Strict(BaseModel):
    """A JSON object without unknown keys and without type conversions."""

    # Most files never need them: they are built when the first row is validated.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


NonBlank = Annotated[str, AfterValidator(_not_blank)]
Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], row: Any, at: tuple[str | int, ...] = ()) -> Model:
    """Validate a row, or the part of one that stands `at` a place.

    Raises RowRejected with the first wrong field's path, never its value.
    """
    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = dotted(*at, *first["loc"])
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        raise RowRejected("schema", f"{path or 'the row'}: {message}", path or None) from error


def dotted(*location: str | int) -> str:
    """Return a path such as messages[0].content."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")
