"""What an SFT row in the conversation schema may hold."""

import copy
from typing import Any

import pytest

from novaloop.datasets.errors import RowRejected
from novaloop.datasets.rows.converse import read_conversation

TOOL = {
    "toolSpec": {
        "name": "clock",
        "description": "tells the time",
        "inputSchema": {"json": {"type": "object"}},
    }
}
USE = {"toolUse": {"toolUseId": "1", "name": "clock", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "1", "content": [{"text": "noon"}]}}
LOCATION = {"s3Location": {"uri": "s3://bucket/a.png", "bucketOwner": "111122223333"}}
IMAGE = {"image": {"format": "png", "source": LOCATION}}
VIDEO = {"video": {"format": "mp4", "source": LOCATION}}
DOCUMENT = {"document": {"format": "pdf", "source": LOCATION}}
REASONING = {"reasoningContent": {"reasoningText": {"text": "because"}}}
RESULTS = "messages[2].content[0].toolResult.content"
QUESTION, ANSWER = {"text": "q"}, {"text": "a"}


def row(*turns: list[dict[str, Any]], **top: object) -> dict[str, Any]:
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": copy.deepcopy(content)}
        for number, content in enumerate(turns)
    ]
    return {"schemaVersion": "bedrock-conversation-2024", "messages": messages, **top}


def tools(*turns: list[dict[str, Any]]) -> dict[str, Any]:
    return row(*turns, toolConfig={"tools": [TOOL]})


def result(*content: dict[str, Any]) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": "1", "content": list(content)}}


def bad_uri() -> dict[str, Any]:
    bad = row([IMAGE, QUESTION], [ANSWER])
    bad["messages"][0]["content"][0]["image"]["source"]["s3Location"]["uri"] = "s3://b/a b.png"
    return bad


@pytest.mark.parametrize(
    "good",
    [
        row([QUESTION], [ANSWER]),
        row([QUESTION], [ANSWER], [QUESTION], [ANSWER], system=[{"text": "s"}]),
        row([QUESTION], [REASONING, ANSWER]),
        row([*[IMAGE] * 10, QUESTION], [ANSWER]),
        row([VIDEO, QUESTION], [ANSWER]),
        row([DOCUMENT, QUESTION], [ANSWER]),
        tools([QUESTION], [ANSWER, USE], [RESULT], [ANSWER]),
    ],
)
def test_valid_conversation_is_accepted(good: dict[str, Any]) -> None:
    read_conversation(good, "nova-lite-2")


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        (row([QUESTION]), "messages"),
        (row([QUESTION], [ANSWER], [QUESTION]), "messages"),
        (row([], [ANSWER]), "messages[0].content"),
        (row([{"text": " "}], [ANSWER]), "messages[0].content[0].text"),
        (row([{"text": "q", **IMAGE}], [ANSWER]), "messages[0].content[0]"),
        (row([QUESTION], [ANSWER, IMAGE]), "messages[1]"),
        (row([QUESTION, REASONING], [ANSWER]), "messages[0]"),
        (row([*[IMAGE] * 11], [ANSWER]), "messages[0]"),
        (row([VIDEO, VIDEO], [ANSWER]), "messages[0]"),
        (row([IMAGE, VIDEO], [ANSWER]), "messages[0]"),
        (row([IMAGE, QUESTION], [REASONING, ANSWER]), "messages"),
        (bad_uri(), "messages[0].content[0].image.source.s3Location.uri"),
        (row([QUESTION], [USE], [RESULT], [ANSWER]), "messages[1].content[0]"),
        (tools([QUESTION], [USE]), "messages"),
        (tools([QUESTION], [USE], [RESULT, RESULT], [ANSWER]), "messages[2].content[1]"),
        (tools([QUESTION], [USE, USE], [RESULT], [ANSWER]), "messages[1].content[1]"),
        (tools([QUESTION, RESULT], [ANSWER]), "messages[0].content[1]"),
        (row([QUESTION], [ANSWER], toolConfig={"tools": [TOOL, TOOL]}), "toolConfig"),
        (tools([QUESTION], [USE], [result()], [ANSWER]), RESULTS),
        (tools([QUESTION], [USE], [result({})], [ANSWER]), f"{RESULTS}[0]"),
        (tools([QUESTION], [USE], [result({"text": "a", "json": 1})], [ANSWER]), f"{RESULTS}[0]"),
    ],
)
def test_invalid_conversation_is_rejected_with_its_path(bad: dict[str, Any], path: str) -> None:
    with pytest.raises(RowRejected) as caught:
        read_conversation(bad, "nova-lite-2")

    assert caught.value.field == path
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ([{"role": "user"}], "messages[0].content: is missing; add it"),
        ([{"role": "usr", "content": [QUESTION]}], "did you mean user?"),
        ([{"role": "SECRET", "content": [QUESTION]}], "must be one of user, assistant"),
        ([{"role": "user", "content": "SECRET"}], "must be a list, such as `[a, b]`"),
        ([{"role": "user", "content": [{"text": 7}]}], "must be a text; put it in quotes"),
        ([{"role": "user", "content": [{"text": None}]}], "must hold exactly one of text,"),
        ([{"role": "user", "content": [{"text": ""}]}], "is empty; fill it in or leave it out"),
    ],
)
def test_a_row_of_a_wrong_form_is_told_what_to_do(turns: list[Any], says: str) -> None:
    answer = {"role": "assistant", "content": [ANSWER]}
    with pytest.raises(RowRejected) as caught:
        read_conversation({**row([QUESTION]), "messages": [*turns, answer]}, "nova-lite-2")

    assert says in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "model"),
    [
        (row([QUESTION], [REASONING, ANSWER]), "nova-pro"),
        (row([DOCUMENT, QUESTION], [ANSWER]), "nova-lite"),
        (tools([QUESTION], [ANSWER]), "nova-lite"),
        (row([IMAGE, QUESTION], [ANSWER]), "nova-micro"),
    ],
)
def test_feature_that_the_model_lacks_is_rejected(wanted: dict[str, Any], model: str) -> None:
    read_conversation(wanted, "nova-lite-2")
    with pytest.raises(RowRejected, match="model"):
        read_conversation(wanted, model)
