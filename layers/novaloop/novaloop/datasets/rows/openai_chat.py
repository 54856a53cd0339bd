"""OpenAI chat rows to the conversation schema."""

from collections.abc import Sequence
from typing import Any

import orjson

from novaloop.datasets.rows.schema import rejected
from novaloop.datasets.rows.templates import CONVERSE_SCHEMA

_ROLES = ("system", "user", "assistant", "tool")


def to_conversation(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row as an SFT row, not validated yet; raises RowRejected."""
    turns = _turns(row)
    system = [turn for turn in turns if turn["role"] == "system"]
    if len(system) > 1:
        raise rejected("messages", "two system messages", "join them into one")
    converted: dict[str, Any] = {"schemaVersion": CONVERSE_SCHEMA, "messages": _messages(turns)}
    if system:
        converted["system"] = [{"text": _text(system[0], "messages[0]")}]
    if "tools" in row:
        converted["toolConfig"] = {"tools": [_tool(tool) for tool in _list(row["tools"], "tools")]}
    return converted


def _turns(row: dict[str, Any]) -> Sequence[dict[str, Any]]:
    turns = _list(row.get("messages"), "messages")
    for number, turn in enumerate(turns):
        if not isinstance(turn, dict) or turn.get("role") not in _ROLES:
            raise rejected(f"messages[{number}].role", f"must be one of {', '.join(_ROLES)}")
    return turns


def _messages(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, turn in enumerate(turns):
        path = f"messages[{number}]"
        if turn["role"] == "system":
            continue
        if turn["role"] == "tool":
            # Results of parallel calls belong to one user turn.
            if not results:
                messages.append({"role": "user", "content": results})
            content = [{"text": _text(turn, path)}]
            answered = {"toolUseId": turn.get("tool_call_id"), "content": content}
            results.append({"toolResult": answered})
            continue
        results = []
        content = _assistant(turn, path) if turn["role"] == "assistant" else _user(turn, path)
        messages.append({"role": turn["role"], "content": content})
    return messages


def _user(turn: dict[str, Any], path: str) -> list[dict[str, Any]]:
    content = turn.get("content")
    if isinstance(content, str):
        return [{"text": content}]
    return [{"text": _part_text(part, path)} for part in _list(content, f"{path}.content")]


def _assistant(turn: dict[str, Any], path: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if turn.get("reasoning") is not None:
        parts.append({"reasoningContent": {"reasoningText": {"text": turn["reasoning"]}}})
    calls = _list(turn.get("tool_calls", []), f"{path}.tool_calls")
    if turn.get("content") is not None or not calls:
        parts.append({"text": _text(turn, path)})
    return parts + [_tool_use(call, path) for call in calls]


def _tool_use(call: Any, path: str) -> dict[str, Any]:
    try:
        function = call["function"]
        arguments = orjson.loads(function["arguments"])
        use = {"toolUseId": call["id"], "name": function["name"], "input": arguments}
    except (KeyError, TypeError, orjson.JSONDecodeError) as error:
        rule = "must have id, function.name and JSON arguments"
        raise rejected(f"{path}.tool_calls", rule) from error
    return {"toolUse": use}


def _tool(tool: Any) -> dict[str, Any]:
    try:
        function = tool["function"]
        spec = {"name": function["name"], "inputSchema": {"json": function["parameters"]}}
    except (KeyError, TypeError) as error:
        raise rejected("tools", "must have function.name and function.parameters") from error
    if "description" in function:
        spec["description"] = function["description"]
    return {"toolSpec": spec}


def _text(turn: dict[str, Any], path: str) -> str:
    content = turn.get("content")
    if isinstance(content, list):
        content = "".join(_part_text(part, path) for part in content)
    if not isinstance(content, str):
        raise rejected(f"{path}.content", "must be text")
    return content


def _part_text(part: Any, path: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        text: str = part["text"]
        return text
    do = "use the conversation schema with S3 locations"
    raise rejected(f"{path}.content", "holds something other than text", do)


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise rejected(path, "must be a list")
    return value
