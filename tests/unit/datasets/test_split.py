"""One file into disjoint roles: exact counts, no shared question, no dependence on file order."""

import json
import random
from collections.abc import Mapping

import pytest

from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.split import Split, SplitSummary, convert_split

ROLES = {
    "sft": (RowFormat.SFT, RowFormat.RFT),
    "eval": (RowFormat.EVALUATION,),
    "rft": (RowFormat.RFT,),
}


def table(questions: list[str]) -> bytes:
    lines = ["question,answer", *(f"{question},a" for question in questions)]
    return "\n".join(lines).encode()


def run(
    data: bytes, shares: Mapping[str, int | float], seed: int = 7, **options: int
) -> tuple[SplitSummary, dict[str, list[str]]]:
    blocks: dict[str, dict[RowFormat, list[bytes]]] = {
        role: {each: [] for each in ROLES[role]} for role in shares
    }
    outputs = {
        role: {each: written.append for each, written in formats.items()}
        for role, formats in blocks.items()
    }
    summary = convert_split(
        lambda: [data],
        Split(shares, seed),
        outputs,
        DatasetOptions(**options),  # type: ignore[arg-type]
        lambda _: None,
    )
    return summary, {
        role: [question(line) for line in b"".join(formats[ROLES[role][0]]).splitlines()]
        for role, formats in blocks.items()
    }


def question(line: bytes) -> str:
    row = json.loads(line)
    text: str = row["query"] if "query" in row else row["messages"][-1]["content"]
    if "schemaVersion" in row:
        text = row["messages"][0]["content"][0]["text"]
    return text


QUESTIONS = [f"question {number}" for number in range(1_000)]


def test_counts_are_exact_and_roles_disjoint() -> None:
    summary, got = run(table(QUESTIONS), {"sft": 600, "eval": 50, "rft": 250})

    assert {role: len(rows) for role, rows in got.items()} == {"sft": 600, "eval": 50, "rft": 250}
    assert len({text for rows in got.values() for text in rows}) == 900
    assert (summary.rows_in, summary.rows_left_out) == (1_000, 100)
    assert summary.datasets["sft"].outputs[RowFormat.RFT].rows == 600


def test_fractions_share_out_all_rows() -> None:
    summary, got = run(table(QUESTIONS), {"sft": 0.7, "eval": 0.1, "rft": 0.2})

    assert {role: len(rows) for role, rows in got.items()} == {"sft": 700, "eval": 100, "rft": 200}
    assert summary.rows_left_out == 0


def test_split_depends_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    shuffled = random.Random(1).sample(QUESTIONS, len(QUESTIONS))  # noqa: S311
    shares = {"sft": 500, "eval": 100}

    first = run(table(QUESTIONS), shares)[1]

    assert {role: set(rows) for role, rows in run(table(shuffled), shares)[1].items()} == {
        role: set(rows) for role, rows in first.items()
    }
    assert set(run(table(QUESTIONS), shares, seed=8)[1]["eval"]) != set(first["eval"])
    assert first["sft"] == sorted(first["sft"], key=QUESTIONS.index)


@pytest.mark.parametrize("seed", range(20))
def test_repeated_questions_never_stand_in_two_roles(seed: int) -> None:
    repeated = [f"question {number % 90}" for number in range(1_000)]

    _, got = run(table(repeated), {"sft": 500, "eval": 100, "rft": 200}, seed)

    assert {role: len(rows) for role, rows in got.items()} == {"sft": 500, "eval": 100, "rft": 200}
    sets = [set(rows) for rows in got.values()]
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]


def test_rejected_rows_take_no_place() -> None:
    data = table(QUESTIONS) + b"\nonly one cell"

    summary, got = run(data, {"sft": 500, "eval": 500}, max_rejects=1)

    assert summary.refusal is None
    assert summary.rows_in == 1_001
    assert summary.rejects["ragged-row"].rows == 1
    assert len(got["sft"]) == len(got["eval"]) == 500


@pytest.mark.parametrize("shares", [{"sft": 999, "eval": 2}, {"sft": 0}, {"sft": 0.0001}])
def test_impossible_split_is_refused(shares: dict[str, int | float]) -> None:
    summary, got = run(table(QUESTIONS), shares)

    assert summary.refusal is not None
    assert summary.refusal.rule == "split"
    assert not summary.datasets
    assert not any(got.values())


def test_bad_file_is_refused_as_a_whole() -> None:
    summary, _ = run(table(QUESTIONS) + b"\nragged", {"sft": 10, "eval": 10})

    assert summary.refusal is not None
    assert summary.refusal.line == 1_002
