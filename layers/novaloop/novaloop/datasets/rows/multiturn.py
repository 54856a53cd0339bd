"""Rows of RFT in which an agent or an environment takes several turns."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from novaloop.datasets.errors import RowRejected
from novaloop.datasets.options import RowFormat
from novaloop.datasets.reading.json_text import read_json, to_json
from novaloop.datasets.reading.text_column import is_blank
from novaloop.datasets.rows.schema import NonBlank, Strict, parse
from novaloop.problem import Invalid, Problem
from novaloop.typed import dotted

FORMATS = {RowFormat.RFT_MULTITURN, RowFormat.RFT_MULTITURN_SERVERLESS}


class CalledFunction(Strict):
    """What a tool call calls."""

    name: str
    arguments: str | dict[str, Any]


class ToolCall(Strict):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class TurnMessage(Strict):
    """One message of a prompt, as in OpenAI's chat API."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _has_content(self) -> "TurnMessage":
        if self.role == "tool" and self.tool_call_id is None:
            raise Invalid(Problem("", "a tool message needs tool_call_id", "add it"))
        if not self.tool_calls and is_blank(self.content or ""):
            what = f"content of the {self.role} message is empty"
            raise Invalid(Problem("", what, "fill it in"))
        return self


class Metadata(Strict):
    """What the environment gets."""

    prompt: Any
    answer: str | None = None
    task: str | None = None
    info: Any = None


class MultiturnRow(Strict):
    """One row for HyperPod."""

    id: NonBlank
    metadata: Metadata


def require_row(row: dict[str, Any]) -> None:
    """Raise RowRejected with the path of what is wrong with a row for HyperPod."""
    metadata = parse(MultiturnRow, row).metadata
    _require_prompt(metadata.prompt, "metadata", "prompt")
    if metadata.info is not None:
        read_info(metadata.info, "metadata.info")


def read_prompt(prompt: Any, formats: Sequence[RowFormat]) -> Any:
    """Return a text or messages, for the serverless runtime as one text; raises RowRejected."""
    _require_prompt(prompt, "prompt")
    return prompt if RowFormat.RFT_MULTITURN in formats else serverless_prompt(prompt)


def serverless_prompt(prompt: Any) -> str:
    """Return a prompt as the text that the agent gets, messages as their JSON."""
    if isinstance(prompt, str):
        return prompt
    try:
        return json.dumps(prompt, ensure_ascii=False)
    except TypeError:  # a number that only to_json can write
        return to_json(prompt).decode()


def read_info(info: Any, field: str = "info") -> Any:
    """Return an object or the JSON of something; raises RowRejected for anything else."""
    if isinstance(info, dict):
        return info
    if not isinstance(info, str):
        what = f"`{field}` must be a JSON object, or a text that is valid JSON"
        raise RowRejected("schema", what, field=field)
    read_json(info, field)
    return info


def _require_prompt(prompt: Any, *at: str | int) -> None:
    if not prompt or not isinstance(prompt, str | list) or is_blank(str(prompt)):
        what = f"`{dotted(*at)}` must be a text or a list of messages, and not be empty"
        raise RowRejected("empty-text", what, field=dotted(*at))
    if isinstance(prompt, list):
        for number, message in enumerate(prompt):
            parse(TurnMessage, message, (*at, number))
