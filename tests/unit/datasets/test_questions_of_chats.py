"""What one row asks: the whole conversation before its last answer, and what is shown in it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.policies import Check
from novaloop.datasets.profile.checks import check_datasets
from novaloop.datasets.profile.profile import DatasetProfile
from novaloop.datasets.split import Split, convert_split

CONFIRMED = "Yes, please."
Chat = Callable[[list[str], str], dict[str, Any]]


def openai(said: list[str], answer: str) -> dict[str, Any]:
    turns = [
        {"role": ("user", "assistant")[number % 2], "content": text}
        for number, text in enumerate([*said, answer])
    ]
    return {"messages": turns}


def converse(said: list[str], answer: str) -> dict[str, Any]:
    turns = openai(said, answer)["messages"]
    messages = [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in turns]
    return {"schemaVersion": "bedrock-conversation-2024", "messages": messages}


def prompt(said: list[str], answer: str) -> dict[str, Any]:
    return {"messages": openai(said, answer)["messages"][:-1], "reference_answer": answer}


def profile(
    rows: list[dict[str, Any]], row_format: RowFormat = RowFormat.SFT, **options: Any
) -> DatasetProfile:
    data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    chosen = DatasetOptions(source_format=SourceFormat.JSONL, **options)
    converted = convert([data], {row_format: lambda _: None}, chosen, lambda _: None)
    assert converted.ok, converted.refusal
    return converted.profile


def plain(*rows: tuple[str, str]) -> DatasetProfile:
    return profile([{"question": each, "answer": answer} for each, answer in rows])


def checks(**profiles: DatasetProfile) -> set[Check]:
    return {finding.check for finding in check_datasets(profiles)}


CHATS = [(openai, RowFormat.SFT), (converse, RowFormat.SFT), (prompt, RowFormat.RFT)]


@pytest.mark.parametrize(("chat", "row_format"), CHATS)
def test_conversations_that_end_alike_are_not_the_same_question(
    chat: Chat, row_format: RowFormat
) -> None:
    rows = [
        chat([f"Case {number} of {number % 7}", "Shall I sort it?", CONFIRMED], "AB"[number % 2])
        for number in range(40)
    ]

    found = checks(
        **{row_format: profile(rows, row_format), "eval": plain((CONFIRMED, "A"), ("Why?", "B"))}
    )

    assert found == set()


@pytest.mark.parametrize(("chat", "row_format"), CHATS)
def test_one_conversation_with_two_answers_is_a_contradiction(
    chat: Chat, row_format: RowFormat
) -> None:
    said = ["A case", "Shall I sort it?", CONFIRMED]

    found = checks(**{row_format: profile([chat(said, "A"), chat(said, "B")], row_format)})

    assert found == {Check.CONTRADICTIONS}


@pytest.mark.parametrize(("chat", "row_format"), CHATS)
def test_a_conversation_of_one_question_asks_what_a_plain_row_asks(
    chat: Chat, row_format: RowFormat
) -> None:
    instructed = chat(["Where is it?"], "A")
    if row_format is RowFormat.RFT:
        instructed["messages"].insert(0, {"role": "system", "content": "Sort it."})

    found = checks(
        **{row_format: profile([instructed], row_format), "eval": plain(("Where is it?", "A"))}
    )

    assert Check.SHARED_QUESTIONS in found


def called(result: str, identity: str, answer: str) -> dict[str, Any]:
    call = {"toolUseId": identity, "name": "look", "input": {"at": 1}}
    returned = {"toolUseId": identity, "content": [{"json": {"found": result}}]}
    tool = {"name": "look", "description": "Looks.", "inputSchema": {"json": {"type": "object"}}}
    return {
        "schemaVersion": "bedrock-conversation-2024",
        "toolConfig": {"tools": [{"toolSpec": tool}]},
        "messages": [
            {"role": "user", "content": [{"text": "Look."}]},
            {"role": "assistant", "content": [{"toolUse": call}]},
            {"role": "user", "content": [{"toolResult": returned}]},
            {"role": "assistant", "content": [{"text": answer}]},
        ],
    }


def test_what_a_tool_returns_is_part_of_a_question_and_its_id_is_not() -> None:
    unlike = profile([called("one", "t1", "A"), called("two", "t2", "B")])
    same = profile([called("one", "t1", "A"), called("one", "t2", "B")])

    assert checks(sft=unlike) == set()
    assert checks(sft=same) == {Check.CONTRADICTIONS}


def asked_by_call(result: str, identity: str, answer: str) -> dict[str, Any]:
    function = {"name": "look", "arguments": '{"at": 1}'}
    calls = [{"id": identity, "type": "function", "function": function}]
    return {
        "messages": [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": identity, "content": result},
        ],
        "reference_answer": answer,
    }


def test_rewarded_rows_differ_by_what_their_tools_return() -> None:
    unlike = [asked_by_call("one", "t1", "A"), asked_by_call("two", "t2", "B")]
    same = [asked_by_call("one", "t1", "A"), asked_by_call("one", "t2", "B")]

    assert checks(rft=profile(unlike, RowFormat.RFT)) == set()
    assert checks(rft=profile(same, RowFormat.RFT)) == {Check.CONTRADICTIONS}


SEEN = "What is seen in this picture, of all that there is?"


def shown(place: str, answer: str) -> dict[str, Any]:
    source = {"s3Location": {"uri": f"s3://b/{place}.png", "bucketOwner": "123456789012"}}
    row = converse([SEEN], answer)
    row["messages"][0]["content"].insert(0, {"image": {"format": "png", "source": source}})
    return row


def shown_plainly(place: str, answer: str) -> dict[str, Any]:
    where = {"s3_uri": f"s3://b/{place}.png", "bucket_owner": "123456789012"}
    return {"question": SEEN, "answer": answer, "image_format": "png", **where}


def evaluated(place: str, answer: str) -> dict[str, Any]:
    return {"question": SEEN, "answer": answer, "images": f"data:image/png;base64,{place}"}


@pytest.mark.parametrize(
    ("row", "row_format"),
    [
        (shown, RowFormat.SFT),
        (shown_plainly, RowFormat.SFT),
        (evaluated, RowFormat.EVALUATION),
    ],
)
def test_the_same_words_about_other_images_are_other_questions(
    row: Callable[[str, str], dict[str, Any]], row_format: RowFormat
) -> None:
    role = "eval" if row_format is RowFormat.EVALUATION else "sft"
    unlike = [row(f"{number:04}", "AB"[number % 2]) for number in range(20)]
    same = [row("0001", "A"), row("0001", "B")]

    assert checks(**{role: profile(unlike, row_format)}) == set()
    assert Check.CONTRADICTIONS in checks(**{role: profile(same, row_format)})


def test_the_same_words_about_images_elsewhere_are_no_near_duplicates() -> None:
    trained = profile([shown_plainly(str(number), "AB"[number % 2]) for number in range(20)])
    measured = [evaluated(f"{number:04}", "AB"[number % 2]) for number in range(20)]

    assert checks(sft=trained, eval=profile(measured, RowFormat.EVALUATION)) == set()


def test_rows_of_the_same_words_about_many_images_are_divided() -> None:
    rows = [shown_plainly(str(number), "AB"[number % 2]) for number in range(40)]
    data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    options = DatasetOptions(source_format=SourceFormat.JSONL)
    outputs = {role: {RowFormat.SFT: lambda _: None} for role in ("sft", "later")}

    divided = convert_split(
        lambda: [data], Split({"sft": 30, "later": 10}), outputs, options, lambda _: None
    )

    assert {role: each.rows_out for role, each in divided.datasets.items()} == {
        "sft": 30,
        "later": 10,
    }
