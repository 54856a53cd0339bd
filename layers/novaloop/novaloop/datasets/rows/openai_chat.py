"""OpenAI chat rows to the conversation schema.

What has no place in it is refused by name: a key that is dropped may change what is learned, as
`weight: 0` does, which OpenAI's fine-tuning takes to leave an answer out of the training. A key
without a value, and one whose value says what is done anyway, carry nothing.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from novaloop.datasets.reading.json_text import read_json
from novaloop.datasets.rows.schema import rejected, unknown_key
from novaloop.datasets.rows.templates import CONVERSE_SCHEMA

_TURN_KEYS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "reasoning", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
_WITHOUT_VALUE: tuple[object, ...] = (None, "", [], {})
# Equal to True and False, too: an assistant's turn is trained on, and no other is.
_SAID_ANYWAY: Mapping[str, Mapping[str, object]] = {
    role: dict.fromkeys(
        ("weight", "train", "trainable", "training", "loss"), int(role == "assistant")
    )
    for role in _TURN_KEYS
}


def to_conversation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row as an SFT row, not validated yet; raises RowRejected."""
    turns = _turns(row)
    _require_keys(row, {"messages", "tools"}, "")
    if any(turn["role"] == "system" for turn in turns[1:]):
        what = "the system message must be the first, and the only one"
        raise rejected("messages", what, "join them into one")
    converted: dict[str, Any] = {"schemaVersion": CONVERSE_SCHEMA, "messages": _messages(turns)}
    if turns and turns[0]["role"] == "system":
        converted["system"] = [{"text": _text(turns[0], "messages[0]")}]
    if "tools" in row:
        tools = _list(row["tools"], "tools")
        converted["toolConfig"] = {
            "tools": [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
        }
    return converted


def _require_keys(
    part: Mapping[str, Any],
    known: set[str],
    path: str,
    said_anyway: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Raise RowRejected for a key with a value that has no place in the conversation schema."""
    for key in part.keys() - known:
        value = part[key]
        if value not in _WITHOUT_VALUE and (key not in said_anyway or value != said_anyway[key]):
            raise unknown_key(path, key)


def _turns(row: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    turns = _list(row.get("messages"), "messages")
    for number, turn in enumerate(turns):
        path = f"messages[{number}]"
        role = turn.get("role") if isinstance(turn, dict) else None
        if role == "developer":
            what = "Nova's rows have no `developer`"
            raise rejected(f"{path}.role", what, "write it as `system`, before all others")
        if not isinstance(role, str) or role not in _TURN_KEYS:
            raise rejected(f"{path}.role", f"must be one of {', '.join(_TURN_KEYS)}")
        _require_keys(turn, _TURN_KEYS[role], path, _SAID_ANYWAY[role])
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
    calls = _list(turn.get("tool_calls") or [], f"{path}.tool_calls")
    if turn.get("content") is not None or not calls:
        parts.append({"text": _text(turn, path)})
    return parts + [_tool_use(call, path) for call in calls]


def _tool_use(call: Any, path: str) -> dict[str, Any]:
    path = f"{path}.tool_calls"
    try:
        function = call["function"]
        arguments, use = function["arguments"], {"toolUseId": call["id"], "name": function["name"]}
    except (KeyError, TypeError) as error:
        rule = "must have id, function.name and JSON arguments"
        raise rejected(path, rule) from error
    _require_keys(call, {"id", "type", "function"}, path)
    _require_keys(function, {"name", "arguments"}, path)
    if not isinstance(arguments, str):
        raise rejected(path, "the arguments must be the text of a JSON object")
    return {"toolUse": {**use, "input": read_json(arguments, path)}}


def _tool(tool: Any, path: str) -> dict[str, Any]:
    try:
        function = tool["function"]
        spec = {
            "name": function["name"],
            "description": function["description"],
            "inputSchema": {"json": function["parameters"]},
        }
    except (KeyError, TypeError) as error:
        rule = "must have function.name, function.description and function.parameters"
        raise rejected(path, rule) from error
    _require_keys(tool, {"type", "function"}, path)
    _require_keys(function, {"name", "description", "parameters"}, path, {"strict": False})
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
        _require_keys(part, {"type", "text"}, f"{path}.content")
        text: str = part["text"]
        return text
    do = "use the conversation schema with S3 locations"
    raise rejected(f"{path}.content", "holds something other than text", do)


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise rejected(path, "must be a list")
    return value
