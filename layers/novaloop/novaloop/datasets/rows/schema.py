"""What pydantic models of formatted rows share."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from novaloop.datasets.errors import Found, RowRejected
from novaloop.datasets.reading.text_column import is_blank
from novaloop.datasets.rows.columns import WEIGHTS
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
    if is_blank(text):
        raise Invalid(Problem("", "is empty", "fill it in or leave it out"))
    return text


NonBlank = Annotated[str, AfterValidator(_not_blank)]
Model = TypeVar("Model", bound=BaseModel)


_ELSEWHERE: Mapping[str, str] = {
    "function_call": "write it in `tool_calls`",
    "functions": "write them as `tools`",
    "reasoning_content": "call it `reasoning`",
    "thinking": "call it `reasoning`",
    **dict.fromkeys(
        ("name", "refusal", "audio", "annotations", "parallel_tool_calls", "tool_choice"), ""
    ),
    **dict.fromkeys(("response_format", "strict", "cache_control", "metadata"), ""),
}
"""Keys of other formats, with what to do: their names are public, and no text of a file."""


def unknown_key(path: str, key: str) -> RowRejected:
    """Return what to raise for a key that the format has no place for, of the part at `path`."""
    if key in WEIGHTS:
        left_out = "a turn" if path else "themselves"
        what = f"has `{key}`, and Nova's rows can't leave {left_out} out of the training"
        before = "end the conversation before that turn, or " if path else ""
        return rejected(path, what, f"{before}remove the row")
    if key in _ELSEWHERE:
        what = f"has `{key}`, which Nova's rows can't hold"
        return rejected(path, what, _ELSEWHERE[key] or "remove it")
    what = "has a key that its format doesn't know"
    return rejected(path, what, "remove or rename it", Found([key]))


def parse(model: type[Model], row: Any, at: tuple[str | int, ...] = ()) -> Model:
    """Validate a row, or the part of one that stands `at` a place.

    Raises RowRejected with the first wrong field's path, as far as the format declares its keys;
    what the file calls its own keys, and their values, are no part of the message.
    """
    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "extra_forbidden":
            # A key may be one of another object's.
            path = dotted(*at, *_declared(first["loc"][:-1]))
            raise unknown_key(path, str(first["loc"][-1])) from error
        path, problem = dotted(*at, *_declared(first["loc"])), next(problems_of(first, ""))
        raise rejected(path, problem.what, problem.do) from error


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
