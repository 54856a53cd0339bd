"""The exact rows, and what the summary says about them."""

import hashlib
import json
from typing import Any

import numpy as np

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.profile.histogram import Histogram
from novaloop.datasets.profile.sketch import RowSketcher
from novaloop.datasets.profile.summary import DatasetSummary

CSV = b'Id,Body,Y,Sys\r\n1,"How?\n100%",HQ,Judge.\r\n2,plz,LQ,\r\n'
COLUMNS = {"question": "Body", "answer": "Y"}
ONE_ANSWER = (RowFormat.SFT, RowFormat.RFT, RowFormat.EVALUATION)


def run(
    data: bytes, *formats: RowFormat, **options: Any
) -> tuple[DatasetSummary, dict[RowFormat, bytes]]:
    blocks: dict[RowFormat, list[bytes]] = {each: [] for each in formats}
    sinks = {each: blocks[each].append for each in formats}
    summary = convert([data], sinks, DatasetOptions(**options), lambda _: None)
    return summary, {each: b"".join(written) for each, written in blocks.items()}


def rows(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def test_one_pass_feeds_several_formats() -> None:
    _, written = run(CSV, *ONE_ANSWER, columns=COLUMNS, reward={"type": "label", "labels": ["HQ"]})

    assert rows(written[RowFormat.SFT])[0] == {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [
            {"role": "user", "content": [{"text": "How?\n100%"}]},
            {"role": "assistant", "content": [{"text": "HQ"}]},
        ],
    }
    assert rows(written[RowFormat.RFT])[0] == {
        "messages": [
            {"role": "system", "content": "You are a helpful AI assistant."},
            {"role": "user", "content": "How?\n100%"},
        ],
        "reference_answer": "HQ",
        "reward": {"type": "label", "labels": ["HQ"]},
    }
    assert rows(written[RowFormat.EVALUATION])[0] == {"query": "How?\n100%", "response": "HQ"}


def test_system_prompt_stands_in_where_the_column_is_empty() -> None:
    columns = {**COLUMNS, "system": "Sys"}

    _, written = run(CSV, *ONE_ANSWER, columns=columns, system_prompt="100% strict")

    for row_format, expected in {
        RowFormat.SFT: [[{"text": "Judge."}], [{"text": "100% strict"}]],
        RowFormat.EVALUATION: ["Judge.", "100% strict"],
    }.items():
        assert [row["system"] for row in rows(written[row_format])] == expected
    prompts = [row["messages"][0]["content"] for row in rows(written[RowFormat.RFT])]
    assert prompts == ["Judge.", "100% strict"]


def test_system_prompt_alone_goes_into_every_row() -> None:
    _, written = run(CSV, RowFormat.SFT, columns=COLUMNS, system_prompt='100 %b "HQ"\nor not.')

    assert {row["system"][0]["text"] for row in rows(written[RowFormat.SFT])} == {
        '100 %b "HQ"\nor not.'
    }


def test_null_switches_a_column_off() -> None:
    data = b"question,answer,system\nq,a,s\n"

    assert b'"s"' in run(data, RowFormat.SFT)[1][RowFormat.SFT]
    assert b'"s"' not in run(data, RowFormat.SFT, columns={"system": None})[1][RowFormat.SFT]


def test_extra_columns_go_to_the_reward_function_only() -> None:
    columns = {**COLUMNS, "id": "Id", "difficulty": "Sys"}

    _, written = run(CSV, RowFormat.SFT, RowFormat.RFT, columns=columns)

    first = rows(written[RowFormat.RFT])[0]
    assert (first["id"], first["difficulty"]) == ("1", "Judge.")
    assert set(rows(written[RowFormat.SFT])[0]) == {"schemaVersion", "messages"}


def test_reasoning_precedes_the_answer() -> None:
    data = b"question,answer,reasoning_text\nq,a,because\n"

    answer = rows(run(data, RowFormat.SFT)[1][RowFormat.SFT])[0]["messages"][1]["content"]

    assert answer == [{"reasoningContent": {"reasoningText": {"text": "because"}}}, {"text": "a"}]


def test_conversations_can_feed_rft_too() -> None:
    turns = [("user", "u"), ("assistant", "a"), ("user", "u2"), ("assistant", "a2")]
    row = {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "s"}],
        "messages": [{"role": role, "content": [{"text": text}]} for role, text in turns],
    }

    _, written = run(
        json.dumps(row).encode(), RowFormat.SFT, RowFormat.RFT, source_format=SourceFormat.JSONL
    )

    assert rows(written[RowFormat.SFT]) == [row]
    assert rows(written[RowFormat.RFT]) == [
        {
            "messages": [
                {"role": "system", "content": "s"},
                *({"role": role, "content": text} for role, text in turns[:-1]),
            ],
            "reference_answer": "a2",
        }
    ]


def test_summary_counts_and_hashes_what_was_written() -> None:
    data = b"question,answer\n" + b"q1,A\nq2,B\nq1,A\nq1,B\n"

    summary, written = run(data, RowFormat.SFT, RowFormat.RFT)

    assert summary.rows_in == summary.rows_out == 4
    assert summary.label_counts == {"A": 2, "B": 2}
    assert summary.duplicate_rows == 1
    for row_format, output in summary.outputs.items():
        assert output.sha256 == hashlib.sha256(written[row_format]).hexdigest()
        assert (output.rows, output.size) == (4, len(written[row_format]))


def test_free_text_answers_are_not_counted_as_labels() -> None:
    data = b"question,answer\n" + b"".join(b"q,answer %d\n" % number for number in range(100))

    assert run(data, RowFormat.SFT)[0].label_counts is None


def test_row_hash_sum_depends_on_the_pairs_but_not_on_their_order() -> None:
    def hash_sum(body: bytes) -> str:
        return run(b"question,answer\n" + body, RowFormat.SFT)[0].row_hash_sum

    assert hash_sum(b"q1,A\nq2,B\n") == hash_sum(b"q2,B\nq1,A\n")
    assert hash_sum(b"q1,A\nq2,B\n") != hash_sum(b"q1,B\nq2,A\n")
    assert hash_sum(b"q1,A\n") != hash_sum(b"q1,A\nq1,A\n")


def test_percentiles_are_within_their_promise() -> None:
    sizes = [number * number for number in range(1_000)]
    histogram = Histogram()
    histogram.update(np.array(sizes[:500]))
    histogram.update(np.array(sizes[500:]))

    found = histogram.distribution()

    assert found.total == sum(sizes)
    assert found.max == sizes[-1]
    for percentile, exact in ((found.p50, sizes[499]), (found.p95, sizes[949])):
        assert exact * (1 - 1 / 64) <= percentile <= exact


def test_sketch_beyond_its_size_keeps_a_sample_that_two_files_share() -> None:
    hashes = np.array([hash_of(number) for number in range(40_000)], np.uint64)
    answers = np.ones(4_000, np.uint32)
    small, large = RowSketcher(max_rows=1_000), RowSketcher(max_rows=100_000)
    for batch in np.split(hashes, 10):
        small.update(batch, answers)
        small.update(batch, answers)
        large.update(batch, answers)

    sampled, complete = small.sketch(), large.sketch()

    assert complete.exact
    assert complete.duplicate_rows() == 0
    assert not sampled.exact
    assert len(sampled.questions) <= 1_000
    assert set(sampled.questions) <= set(complete.questions)
    assert abs(sampled.duplicate_rows() - 40_000) < 8_000


def hash_of(number: int) -> int:
    return int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:8])
