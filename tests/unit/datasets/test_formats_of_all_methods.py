"""The rows of every method, from CSV, from JSON Lines and from rows that are formatted already."""

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.profile.summary import DatasetSummary

SCHEMA = "bedrock-conversation-2024"
LOCATION = {"uri": "s3://bucket/a/b-1.png", "bucketOwner": "111122223333"}
MEDIUM = {"s3_uri": LOCATION["uri"], "bucket_owner": LOCATION["bucketOwner"]}
CALL = {"id": "c", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
TURNS = [
    {"role": "user", "content": "the time?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "noon"},
]
CHAT_USER = {"role": "user", "content": "q"}
CHAT_ANSWER = {"role": "assistant", "content": "a"}
CHAT_IMAGE = {
    "role": "user",
    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
}
USER = {"role": "user", "content": [{"text": "q"}]}
ASSISTANT = {"role": "assistant", "content": [{"text": "a"}]}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "clock", "description": "tells", "parameters": {"type": "object"}},
    }
]


VIDEO = {"video": {"format": "mp4", "source": {"s3Location": LOCATION}}}
IMAGE = {"image": {"format": "png", "source": {"s3Location": LOCATION}}}


def candidate(text: str, label: str) -> dict[str, Any]:
    return {"content": [{"text": text}], "preferenceLabel": label}


def preference(
    *candidates: dict[str, Any], media: Sequence[dict[str, Any]] = (), **top: Any
) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": [*media, {"text": "How\nso?"}]},
        {"role": "assistant", "candidates": list(candidates)},
    ]
    return {"schemaVersion": SCHEMA, **top, "messages": turns}


PAIR = (candidate("good", "preferred"), candidate("bad", "non-preferred"))


def converted(
    row_format: RowFormat, data: bytes, source_format: SourceFormat, **options: Any
) -> tuple[DatasetSummary, list[Any]]:
    settings = {"model": "nova-lite"} if row_format is RowFormat.DPO else {}
    written: list[bytes] = []
    summary = convert(
        [data],
        {row_format: written.append},
        DatasetOptions(source_format=source_format, **{**settings, **options}),
        lambda _: None,
    )
    return summary, [json.loads(line) for line in b"".join(written).splitlines()]


def as_csv(row: Mapping[str, str]) -> bytes:
    cells = ('"' + value.replace('"', '""') + '"' for value in row.values())
    return f"{','.join(row)}\r\n{','.join(cells)}\r\n".encode()


def as_jsonl(*rows: Mapping[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


CASES: Mapping[str, tuple[RowFormat, dict[str, str], dict[str, Any]]] = {
    "preference": (
        RowFormat.DPO,
        {"prompt": "How\nso?", "preferred": "good", "non_preferred": "bad"},
        preference(*PAIR),
    ),
    "preference in the words of other libraries": (
        RowFormat.DPO,
        {"question": "How\nso?", "chosen": "good", "rejected": "bad", "system": "s"},
        preference(*PAIR, system=[{"text": "s"}]),
    ),
    "text": (RowFormat.CPT, {"text": "a\nb"}, {"text": "a\nb"}),
    "two responses": (
        RowFormat.LLM_JUDGE,
        {"prompt": "q", "response_A": "a", "response_B": "b"},
        {"prompt": "q", "response_A": "a", "response_B": "b"},
    ),
    "image": (
        RowFormat.SFT,
        {"question": "q", "answer": "a", "image_format": "png", **MEDIUM},
        {
            "schemaVersion": SCHEMA,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"image": {"format": "png", "source": {"s3Location": LOCATION}}},
                        {"text": "q"},
                    ],
                },
                {"role": "assistant", "content": [{"text": "a"}]},
            ],
        },
    ),
    "video": (
        RowFormat.SFT,
        {"question": "q", "answer": "a", "video_format": "mp4", **MEDIUM},
        {
            "schemaVersion": SCHEMA,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"video": {"format": "mp4", "source": {"s3Location": LOCATION}}},
                        {"text": "q"},
                    ],
                },
                {"role": "assistant", "content": [{"text": "a"}]},
            ],
        },
    ),
    "several turns on HyperPod": (
        RowFormat.RFT_MULTITURN,
        {"id": "1", "prompt": "q", "answer": "a", "task": "t", "info": '{"x": 1}'},
        {"id": "1", "metadata": {"prompt": "q", "answer": "a", "task": "t", "info": '{"x": 1}'}},
    ),
    "several turns on serverless": (
        RowFormat.RFT_MULTITURN_SERVERLESS,
        {"id": "1", "prompt": "q"},
        {"prompt": "q"},
    ),
    "evaluation with everything": (
        RowFormat.EVALUATION,
        {
            "query": "q",
            "response": "a",
            "system": "s",
            "images": "data:image/png;base64,AAAA",
            "metadata": "m",
        },
        {
            "query": "q",
            "response": "a",
            "system": "s",
            "images": [{"data": "data:image/png;base64,AAAA"}],
            "metadata": "m",
        },
    ),
    "tools in a cell": (
        RowFormat.RFT,
        {"question": "q", "answer": "a", "id": "1", "tools": json.dumps(TOOLS)},
        {
            "id": "1",
            "messages": [
                {"role": "system", "content": "You are a helpful AI assistant."},
                {"role": "user", "content": "q"},
            ],
            "reference_answer": "a",
            "tools": TOOLS,
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("source_format", SourceFormat)
def test_plain_rows_become_the_rows_of_the_method(
    name: str, source_format: SourceFormat, zipped: bool
) -> None:
    row_format, row, expected = CASES[name]
    data = as_csv(row) if source_format is SourceFormat.CSV else as_jsonl(row)
    summary, rows = converted(row_format, gzip.compress(data) if zipped else data, source_format)
    assert summary.refusal is None
    assert rows == [expected]


@pytest.mark.parametrize(
    ("row_format", "row"),
    [
        (RowFormat.DPO, preference(*PAIR)),
        (RowFormat.DPO, preference(*reversed(PAIR), system=[{"text": "s"}])),
        (RowFormat.DPO, {"messages": preference(*PAIR)["messages"]}),
        (RowFormat.DPO, preference(*PAIR, media=[IMAGE, IMAGE])),
        (RowFormat.CPT, {"text": "t"}),
        (RowFormat.LLM_JUDGE, {"prompt": "q", "response_A": "a", "response_B": "b"}),
        (RowFormat.RFT_MULTITURN, {"id": "1", "metadata": {"prompt": TURNS}}),
        (RowFormat.RFT_MULTITURN, {"id": "1", "metadata": {"prompt": "q", "info": {"x": 1}}}),
        (RowFormat.RFT, {"messages": TURNS, "tools": TOOLS, "level": 3}),
        (
            RowFormat.EVALUATION,
            {"query": "q", "response": "a", "images": [{"data": "data:image/png;base64,AAAA"}]},
        ),
    ],
)
def test_formatted_rows_are_kept(row_format: RowFormat, row: dict[str, Any]) -> None:
    summary, rows = converted(row_format, as_jsonl(row), SourceFormat.JSONL)
    assert summary.refusal is None
    assert rows == [row]


def test_messages_reach_a_serverless_agent_as_one_text() -> None:
    for row in ({"prompt": TURNS}, {"id": "1", "metadata": {"prompt": TURNS}}):
        _, rows = converted(RowFormat.RFT_MULTITURN_SERVERLESS, as_jsonl(row), SourceFormat.JSONL)
        assert rows == [{"prompt": json.dumps(TURNS)}]


@pytest.mark.parametrize(
    ("row_format", "row", "complaint"),
    [
        (RowFormat.DPO, preference(PAIR[0]), "messages[1].candidates"),
        (RowFormat.DPO, preference(PAIR[0], PAIR[0]), "the other one non-preferred"),
        (RowFormat.DPO, preference(*PAIR, candidate("c", "preferred")), "messages[1].candidates"),
        (RowFormat.DPO, preference(PAIR[0], candidate("good", "non-preferred")), "the same"),
        (RowFormat.DPO, preference(PAIR[0], candidate("bad", "worse")), "preferenceLabel"),
        (RowFormat.DPO, preference(PAIR[0], candidate("User: x", "non-preferred")), "'User:'"),
        (RowFormat.DPO, preference(*PAIR, extra=1), "the row: has a key"),
        (RowFormat.DPO, preference(*PAIR, media=[VIDEO]), "texts and images only"),
        (RowFormat.DPO, {"messages": []}, "messages"),
        (RowFormat.DPO, {"prompt": "q", "preferred": "a", "non_preferred": "a"}, "the same"),
        (RowFormat.DPO, {"prompt": "User: q", "preferred": "a", "non_preferred": "b"}, "'User:'"),
        (RowFormat.DPO, {"prompt": "q", "preferred": "a"}, "no column 'non_preferred'"),
        (RowFormat.CPT, {"text": " \n"}, "`text` is empty"),
        (RowFormat.CPT, {"messages": TURNS}, "cpt rows must have plain fields `text`"),
        (RowFormat.LLM_JUDGE, {"prompt": "q", "response": "a"}, "no column 'response_A'"),
        (RowFormat.RFT_MULTITURN, {"prompt": "q"}, "no column 'id'"),
        (RowFormat.RFT_MULTITURN, {"id": "", "metadata": {"prompt": "q"}}, "id: is empty"),
        (RowFormat.RFT_MULTITURN, {"id": "1", "metadata": {"prompt": ""}}, "metadata.prompt"),
        (RowFormat.RFT_MULTITURN, {"id": "1", "metadata": {"prompt": 3}}, "metadata.prompt"),
        (
            RowFormat.RFT_MULTITURN,
            {"id": "1", "metadata": {"prompt": [{"role": "tool", "content": "x"}]}},
            "metadata.prompt[0]: a tool message needs tool_call_id",
        ),
        (
            RowFormat.RFT_MULTITURN,
            {"id": "1", "metadata": {"prompt": [{"role": "assistant"}]}},
            "content of the assistant message is empty",
        ),
        (
            RowFormat.RFT_MULTITURN,
            {"id": "1", "metadata": {"prompt": "q", "info": "{"}},
            "metadata.info: not valid JSON at character 2",
        ),
        (
            RowFormat.RFT_MULTITURN,
            {"id": "1", "metadata": {"prompt": "q", "more": 1}},
            "metadata: has a key",
        ),
        (
            RowFormat.SFT,
            {"question": "q", "answer": "a", "image_format": "bmp", **MEDIUM},
            "must be one of gif, jpeg, png, webp",
        ),
        (
            RowFormat.SFT,
            {"question": "q", "answer": "a", "image_format": "png", "s3_uri": "s3://b/a"},
            "no column 'bucket_owner'",
        ),
        (
            RowFormat.SFT,
            {
                "question": "q",
                "answer": "a",
                "image_format": "png",
                "s3_uri": "https://b/a",
                "bucket_owner": "1",
            },
            "must be s3://",
        ),
        (
            RowFormat.SFT,
            {
                "question": "q",
                "answer": "a",
                "image_format": "png",
                "s3_uri": "s3://b/a\n",
                "bucket_owner": "1",
            },
            "must be s3://",
        ),
        (
            RowFormat.SFT,
            {
                "question": "q",
                "answer": "a",
                "image_format": "png",
                "video_format": "mp4",
                **MEDIUM,
            },
            "images or videos",
        ),
        (RowFormat.SFT, {"messages": [CHAT_IMAGE, CHAT_ANSWER]}, "with S3 locations"),
        (RowFormat.RFT, {"messages": [{"role": "user"}]}, "needs content or tool_calls"),
        (
            RowFormat.EVALUATION,
            {"messages": TURNS},
            "must have plain fields `question` and `answer`",
        ),
        (RowFormat.RFT, {"question": "q", "answer": "a", "tools": "[{"}, "not valid JSON"),
        (RowFormat.RFT, {"question": "q", "answer": "a", "tools": TOOLS * 2}, "same name"),
    ],
)
def test_a_bad_row_is_refused_with_the_reason(
    row_format: RowFormat, row: dict[str, Any], complaint: str
) -> None:
    summary, _ = converted(row_format, as_jsonl(row), SourceFormat.JSONL)
    assert complaint in str(summary.refusal)


@pytest.mark.parametrize(
    ("row_format", "model", "row"),
    [
        (RowFormat.DPO, "nova-lite-2", CASES["preference"][1]),
        (RowFormat.DPO, "nova-lite-2", preference(*PAIR)),
        (RowFormat.SFT, "nova-micro", CASES["image"][1]),
        (RowFormat.RFT_MULTITURN, "nova-lite", CASES["several turns on HyperPod"][1]),
        (RowFormat.SFT, "nova-lite", {"question": "q", "answer": "a", "reasoning_text": "r"}),
    ],
)
def test_a_model_that_can_not_use_the_rows_is_refused(
    row_format: RowFormat, model: str, row: dict[str, Any]
) -> None:
    summary, _ = converted(row_format, as_jsonl(row), SourceFormat.JSONL, model=model)
    assert summary.refusal is not None
    assert summary.refusal.rule == "model"


def test_a_medium_without_its_kind_is_refused_only_if_it_was_asked_for() -> None:
    row = {"question": "q", "answer": "a", "s3_uri": "no URI", "bucket_owner": ""}
    ignored, _ = converted(RowFormat.SFT, as_csv(row), SourceFormat.CSV)
    asked, _ = converted(RowFormat.SFT, as_csv(row), SourceFormat.CSV, columns={"s3_uri": "s3_uri"})
    assert ignored.ok
    assert "needs `image_format`" in str(asked.refusal)


@pytest.mark.parametrize("blank", ['" "', '""', "  "])
def test_white_space_in_a_file_of_one_column_is_a_row_but_an_empty_line_is_none(
    blank: str,
) -> None:
    summary, _ = converted(RowFormat.CPT, b"text\n\na\n\nb\n", SourceFormat.CSV)
    assert (summary.ok, summary.rows_in) == (True, 2)
    data = f"text\n\na\n{blank}\nb\n".encode()
    summary, _ = converted(RowFormat.CPT, data, SourceFormat.CSV)
    assert str(summary.refusal).startswith("line 4: `text` is empty")


def test_one_file_can_feed_dpo_and_sft() -> None:
    written: dict[RowFormat, list[bytes]] = {RowFormat.DPO: [], RowFormat.SFT: []}
    columns = {"prompt": "Q", "question": "Q", "answer": "good", "preferred": "good"}
    options = DatasetOptions(
        columns={**columns, "non_preferred": "bad"}, model="nova-lite", labels=("A", "B")
    )
    sinks = {each: lines.append for each, lines in written.items()}
    summary = convert([b"Q,good,bad\nq,A,B\n"], sinks, options, lambda _: None)
    assert summary.label_counts == {"A": 1}
    for lines in written.values():
        (row,) = map(json.loads, lines)
        assert row["messages"][0] == {"role": "user", "content": [{"text": "q"}]}


@pytest.mark.parametrize(
    ("row_format", "name"),
    [
        (RowFormat.CPT, "text"),
        (RowFormat.DPO, "preference"),
        (RowFormat.LLM_JUDGE, "two responses"),
    ],
)
def test_texts_without_one_answer_have_no_labels(row_format: RowFormat, name: str) -> None:
    summary, _ = converted(row_format, as_csv(CASES[name][1]), SourceFormat.CSV)
    assert summary.label_counts is None


def test_two_preferences_that_differ_in_the_worse_answer_are_not_duplicates() -> None:
    first = {"prompt": "q", "preferred": "a", "non_preferred": "b"}
    rows = as_jsonl(first, {**first, "non_preferred": "c"}, first)
    summary, _ = converted(RowFormat.DPO, rows, SourceFormat.JSONL)
    assert summary.duplicate_rows == 1


@pytest.mark.parametrize(
    ("row_format", "row", "size"),
    [
        (RowFormat.SFT, {"question": "q" * 35, "answer": "a" * 35}, 70),
        (RowFormat.SFT, {"question": "q", "answer": "a", "reasoning_text": "r" * 68}, 70),
        (RowFormat.SFT, {"question": "q", "answer": "a", "system": "s" * 68}, 70),
        (RowFormat.CPT, {"text": "t" * 70}, 70),
        (RowFormat.DPO, {"prompt": "p" * 35, "preferred": "a", "non_preferred": "b" * 35}, 70),
        (RowFormat.DPO, preference(*PAIR, system=[{"text": "s" * 59}]), 7 + 59 + 4),
        (RowFormat.RFT, {"question": "q" * 70, "answer": "a" * 99}, 70),
        (RowFormat.EVALUATION, {"query": "q" * 60, "response": "a" * 99, "system": "s" * 10}, 70),
        (RowFormat.LLM_JUDGE, {"prompt": "p", "response_A": "a" * 34, "response_B": "b" * 35}, 70),
        (RowFormat.RFT_MULTITURN, {"prompt": "p" * 70, "id": "1", "answer": "a"}, 70),
        (RowFormat.RFT, {"messages": [{"role": "user", "content": "q" * 68}]}, 70),
    ],
)
def test_tokens_are_estimated_from_all_text_of_a_row(
    row_format: RowFormat, row: dict[str, Any], size: int
) -> None:
    summary, _ = converted(row_format, as_jsonl(row), SourceFormat.JSONL)
    assert summary.tokens.total == int(size / 3.5) + 1


def test_the_system_prompt_counts_in_every_row() -> None:
    data = b"question,answer\nq,a\nq,a\n"
    summary, _ = converted(RowFormat.SFT, data, SourceFormat.CSV, system_prompt="s" * 68)
    assert summary.tokens.total == 2 * 21


@pytest.mark.parametrize(
    ("row_format", "turns"),
    [
        (RowFormat.SFT, {"schemaVersion": SCHEMA, "messages": [USER, ASSISTANT]}),
        (RowFormat.SFT, {"messages": [CHAT_USER, {"role": "assistant", "content": "a"}]}),
        (RowFormat.DPO, preference(*PAIR)),
        (RowFormat.RFT, {"messages": [CHAT_USER], "reference_answer": "a"}),
        (RowFormat.RFT, {"schemaVersion": SCHEMA, "messages": [USER, ASSISTANT]}),
    ],
)
def test_the_system_prompt_stands_in_formatted_rows_that_have_none(
    row_format: RowFormat, turns: dict[str, Any]
) -> None:
    data = as_jsonl(turns)
    _, (row,) = converted(row_format, data, SourceFormat.JSONL, system_prompt="Judge.")
    own = row["messages"][0] if row_format is RowFormat.RFT else row["system"][0]
    assert own in ({"role": "system", "content": "Judge."}, {"text": "Judge."})
    _, (same,) = converted(row_format, as_jsonl(row), SourceFormat.JSONL, system_prompt="Other.")
    assert same == row


@pytest.mark.parametrize("field", ["system", "images"])
def test_what_the_first_row_lacks_no_other_row_may_have(field: str) -> None:
    row = {"question": "q", "answer": "a"}
    data = as_jsonl(row, {**row, field: "data:image/png;base64,AAAA"}, row)
    summary, _ = converted(RowFormat.EVALUATION, data, SourceFormat.JSONL)
    assert str(summary.refusal).startswith(f"line 2: the first row lacks '{field}'")
    off, _ = converted(RowFormat.EVALUATION, data, SourceFormat.JSONL, columns={field: None})
    assert off.ok
