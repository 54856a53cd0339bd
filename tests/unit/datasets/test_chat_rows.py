"""What OpenAI chat rows say and Nova's rows can't is refused by name, and never dropped."""

import json
from typing import Any

import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.errors import DatasetRefused, Wording
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat

SYSTEM = {"role": "system", "content": "s"}
USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TURNS = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "x"},
    ANSWER,
]


def converted(
    row: dict[str, Any], row_format: RowFormat = RowFormat.SFT, **options: Any
) -> tuple[DatasetRefused | None, list[Any]]:
    written: list[bytes] = []
    options = {"source_format": SourceFormat.JSONL, **options}
    data = json.dumps(row).encode()
    summary = convert([data], {row_format: written.append}, DatasetOptions(**options), len)
    return summary.refusal, [json.loads(line) for line in b"".join(written).splitlines()]


def with_key(turn: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    return {"messages": [each | {key: value} if each is turn else each for each in TURNS_OF_TEXT]}


TURNS_OF_TEXT = [SYSTEM, USER, ANSWER, {**USER}, {**ANSWER}]
REFUSED = [
    (with_key(ANSWER, "weight", 0), "messages[2]: has `weight`, and Nova's rows can't leave a"),
    (with_key(ANSWER, "weight", 0.5), "end the conversation before that turn, or remove the row"),
    (with_key(ANSWER, "weight", "1"), "has `weight`"),
    (with_key(ANSWER, "train", False), "messages[2]: has `train`"),
    (with_key(ANSWER, "loss", False), "messages[2]: has `loss`"),
    (with_key(ANSWER, "loss", 0), "messages[2]: has `loss`"),
    (with_key(ANSWER, "mask", True), "messages[2]: has `mask`"),
    (with_key(USER, "weight", 1), "messages[1]: has `weight`"),
    (with_key(USER, "name", "Ann"), "messages[1]: has `name`, which Nova's rows can't hold"),
    (with_key(ANSWER, "refusal", "No."), "messages[2]: has `refusal`"),
    (with_key(ANSWER, "audio", {"id": "x"}), "messages[2]: has `audio`"),
    (with_key(ANSWER, "annotations", [1]), "messages[2]: has `annotations`"),
    (with_key(ANSWER, "function_call", {"name": "f"}), "write it in `tool_calls`"),
    (with_key(ANSWER, "reasoning_content", "hm"), "call it `reasoning`"),
    (with_key(SYSTEM, "cache_control", {"type": "x"}), "messages[0]: has `cache_control`"),
    (with_key(USER, "tool_calls", [CALL]), "messages[1]: has a key that its format doesn't know"),
    (with_key(ANSWER, "SECRET", "v"), "messages[2]: has a key that its format doesn't know"),
    ({"messages": TURNS_OF_TEXT, "parallel_tool_calls": False}, "has `parallel_tool_calls`"),
    ({"messages": TURNS_OF_TEXT, "functions": [FUNCTION]}, "write them as `tools`"),
    ({"messages": TURNS_OF_TEXT, "SECRET": 1}, "the row: has a key that its format doesn't know"),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "q", "x": 1}]},
                ANSWER,
            ]
        },
        "messages[0].content: has a key",
    ),
    ({"messages": TURNS, "tools": [{**TOOL, "x": 1}]}, "tools[0]: has a key"),
    ({"messages": TURNS, "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0]: "),
    (
        {"messages": TURNS, "tools": [{**TOOL, "function": {**FUNCTION, "strict": True}}]},
        "tools[0]: has `strict`",
    ),
    (
        {"messages": TURNS, "tools": [{**TOOL, "function": {**FUNCTION, "description": "\u200b"}}]},
        "description: is empty",
    ),
    (
        {"messages": TURNS, "tools": [{**TOOL, "function": {**FUNCTION, "name": ""}}]},
        "name: is empty",
    ),
    ({"messages": [USER, SYSTEM, ANSWER]}, "must be the first, and the only one"),
    (
        {"messages": [{"role": "developer", "content": "d"}, USER, ANSWER]},
        "messages[0].role: Nova's rows have no `developer`; write it as `system`",
    ),
    ({"messages": [USER, {"role": ["x"], "content": "d"}]}, "messages[1].role: must be one of"),
]


@pytest.mark.parametrize(("row", "says"), REFUSED)
def test_what_has_no_place_is_refused_with_its_line_and_key(row: dict[str, Any], says: str) -> None:
    refusal, rows = converted(row)
    assert str(refusal).startswith("line 1: ")
    assert says in str(refusal)
    assert "SECRET" not in str(refusal)
    assert not rows


def test_an_unknown_key_is_shown_to_the_files_owner_only() -> None:
    refusal, _ = converted({"messages": TURNS_OF_TEXT, "SECRET": 1})
    assert refusal is not None
    assert Wording(shows_found=True).told(refusal).endswith("found: 'SECRET'")


@pytest.mark.parametrize(
    ("turn", "key", "value"),
    [
        (ANSWER, "weight", 1),
        (ANSWER, "weight", 1.0),
        (ANSWER, "weight", None),
        (ANSWER, "train", True),
        (ANSWER, "loss", True),
        (USER, "weight", 0),
        (USER, "train", False),
        (SYSTEM, "loss", False),
        (ANSWER, "refusal", None),
        (ANSWER, "audio", None),
        (ANSWER, "function_call", None),
        (ANSWER, "tool_calls", None),
        (ANSWER, "annotations", []),
        (USER, "name", None),
    ],
)
def test_a_key_that_says_nothing_is_no_hindrance(
    turn: dict[str, Any], key: str, value: object
) -> None:
    """As `model_dump()` of OpenAI's library writes it, and as what is done anyway."""
    assert converted(with_key(turn, key, value)) == converted({"messages": TURNS_OF_TEXT})
    assert converted(with_key(turn, key, value))[0] is None


def test_a_key_of_the_row_that_columns_switch_off_is_left_out() -> None:
    row = {"messages": TURNS_OF_TEXT, "source": "x", "parallel_tool_calls": False}
    off = {"source": None, "parallel_tool_calls": None}
    assert converted(row, columns=off) == converted({"messages": TURNS_OF_TEXT})


def test_tools_with_all_they_need_are_taken() -> None:
    refusal, (row,) = converted({"messages": TURNS, "tools": [TOOL]})
    assert refusal is None
    assert row["toolConfig"]["tools"][0]["toolSpec"]["description"] == "d"


@pytest.mark.parametrize("description", ["", " ", "\u3164", None])
def test_a_tool_without_description_is_refused_in_all_formats(description: str | None) -> None:
    function = {**FUNCTION, "description": description}
    if description is None:
        del function["description"]
    spec = {"name": "f", "inputSchema": {"json": {"type": "object"}}, "description": description}
    if description is None:
        del spec["description"]
    converse = {
        "schemaVersion": "bedrock-conversation-2024",
        "toolConfig": {"tools": [{"toolSpec": spec}]},
        "messages": [
            {"role": "user", "content": [{"text": "q"}]},
            {"role": "assistant", "content": [{"text": "a"}]},
        ],
    }
    tools = [{"type": "function", "function": function}]
    for row, row_format in (
        (converse, RowFormat.SFT),
        ({"messages": [USER, ANSWER], "tools": tools}, RowFormat.SFT),
        ({"messages": [USER], "tools": tools}, RowFormat.RFT),
    ):
        assert "description" in str(converted(row, row_format)[0])


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_stand_first_and_once_in_a_prompt(role: str) -> None:
    first = {"role": role, "content": "d"}
    row = {"messages": [first, USER]}
    assert converted(row, RowFormat.RFT, system_prompt="own") == (None, [row])
    for turns in ([USER, first], [SYSTEM, first, USER], [first, first, USER]):
        refusal, _ = converted({"messages": turns}, RowFormat.RFT)
        assert f"the {role} message must be the first, and the only one" in str(refusal)


def test_a_masked_turn_of_the_conversation_schema_is_named_too() -> None:
    turns = [
        {"role": "user", "content": [{"text": "q"}]},
        {"role": "assistant", "content": [{"text": "a"}], "weight": 0},
    ]
    row = {"schemaVersion": "bedrock-conversation-2024", "messages": turns}
    assert "messages[1]: has `weight`, and Nova's rows can't" in str(converted(row)[0])


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"Messages": [{"role": "user", "content": "q"}], "source": "web"},
        {
            "prompt": [{"role": "user", "content": "q"}],
            "completion": [{"role": "assistant", "content": "a"}],
        },
    ],
)
@pytest.mark.parametrize("row_format", [RowFormat.SFT, RowFormat.RFT, RowFormat.EVALUATION])
def test_a_conversation_under_another_name_is_told_as_one(
    row: dict[str, Any], row_format: RowFormat
) -> None:
    data = json.dumps(row).encode()
    options = DatasetOptions(source_format=SourceFormat.JSONL)
    refusal = convert([data], {row_format: lambda _: None}, options, lambda _: None).refusal
    assert str(refusal) == (
        "line 1: the rows hold a conversation that is not called `messages`; call it so, one list "
        "for each row, and write its turns as `role` and `content`"
    )


def test_a_tool_of_a_plain_row_is_no_conversation() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    row = {"question": "q", "answer": "a", "tools": [{"type": "function", "function": function}]}
    data = json.dumps(row).encode()
    options = DatasetOptions(source_format=SourceFormat.JSONL)
    assert convert([data], {RowFormat.RFT: lambda _: None}, options, lambda _: None).ok
