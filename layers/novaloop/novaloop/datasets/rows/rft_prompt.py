"""RFT rows that are formatted already."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from novaloop.datasets.reading.json_text import to_json
from novaloop.datasets.rows.schema import NonBlank, Strict, parse
from novaloop.problem import Invalid, Problem

ALL_OR_NONE = ("id", "reference_answer", "tools")
INSTRUCTING_ROLES = {"system", "developer"}
"""Who says what holds for the whole conversation: one of both, once, before all else."""


class PromptMessage(Strict):
    """One message of a prompt."""

    role: Literal["system", "user", "assistant", "tool", "bot", "developer"]
    content: NonBlank | Annotated[list[Any], Field(min_length=1)] | None = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _has_content(self) -> "PromptMessage":
        if self.content is None and not self.tool_calls:
            raise Invalid(Problem("", "needs content or tool_calls", "add one of them"))
        return self


class Parameters(Strict):
    """The JSON schema of a tool's arguments."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, defer_build=True)
    type: Literal["object"]


class PromptFunction(Strict):
    """A function."""

    name: NonBlank
    description: NonBlank
    parameters: Parameters


class PromptTool(Strict):
    """A tool."""

    type: Literal["function"]
    function: PromptFunction


def _unique(tools: list[PromptTool]) -> list[PromptTool]:
    names = [tool.function.name for tool in tools]
    if len(set(names)) < len(names):
        raise Invalid(Problem("", "two tools have the same name", "rename one"))
    return tools


Tools = Annotated[list[PromptTool], Field(min_length=1), AfterValidator(_unique)]


class Prompt(Strict):
    """One RFT row; further top-level fields go to the reward function."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, defer_build=True)
    id: NonBlank | None = None
    messages: Annotated[list[PromptMessage], Field(min_length=1)]
    reference_answer: NonBlank | Annotated[dict[str, Any], Field(min_length=1)] | None = None
    tools: Tools | None = None

    @model_validator(mode="after")
    def _roles(self) -> "Prompt":
        roles = [message.role for message in self.messages]
        for role in INSTRUCTING_ROLES & set(roles[1:]):
            rule = f"the {role} message must be the first, and the only one"
            raise Invalid(Problem("", rule))
        if "user" not in roles:
            raise Invalid(Problem("", "needs a user message", "add one"))
        return self


def read_prompt(row: dict[str, Any]) -> Prompt:
    """Return a valid RFT row; raises RowRejected with the path of what is wrong."""
    return parse(Prompt, row)


class _ToolsOnly(Strict):
    tools: Tools


def read_tools(tools: Any) -> list[Any]:
    """Return valid tools; raises RowRejected with the path of what is wrong."""
    parse(_ToolsOnly, {"tools": tools})
    checked: list[Any] = tools
    return checked


def used_features(prompt: Prompt) -> frozenset[str]:
    """Return the fields that all rows of a file must have if one has them."""
    return frozenset(name for name in ALL_OR_NONE if getattr(prompt, name) is not None)


def text_size(prompt: Prompt) -> int:
    """Return the bytes of all text that the model reads, tools included."""
    contents = [message.content for message in prompt.messages]
    tools = [tool.model_dump() for tool in prompt.tools or []]
    return sum(len(_as_text(each).encode()) for each in contents if each) + len(to_json(tools))


def question(prompt: Prompt) -> str:
    """Return all that is said, instructions for the whole conversation apart, which are no part of
    a plain row's question either; nor are the ids of tools' calls."""
    said = (each for each in prompt.messages if each.role not in INSTRUCTING_ROLES)
    return "\n".join(text for message in said for text in _said(message))


def _said(message: PromptMessage) -> Iterator[str]:
    if message.content is not None:
        yield _as_text(message.content)
    for call in message.tool_calls or []:
        function = call.get("function") if isinstance(call, dict) else None
        yield _as_text(call if function is None else function)


def _as_text(content: Any) -> str:
    return content if isinstance(content, str) else to_json(content).decode()
