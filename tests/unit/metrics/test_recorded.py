"""Recorded answers are laid beside the rows that they answer, each to one of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from novaloop.metrics.inferences import InferenceError, read_inferences
from novaloop.metrics.recorded import Recorded, lay_beside, read_recorded

ROWS = [
    {"id": "a", "question": "one?", "answer": "1", "system": "Be brief."},
    {"id": "b", "question": "two?", "answer": "2", "system": "Be brief."},
    {"id": "c", "question": "two?", "answer": "zwei", "system": "Be brief."},
]


def laid(answers: list[dict[str, Any]], rows: list[dict[str, Any]] = ROWS) -> list[Any]:
    """Return what each row was answered, after the way through the file between."""
    recorded = read_recorded(list(enumerate(answers, 1)))
    recorded = Recorded.from_lines(line.decode() for line in recorded.to_lines())
    lines, _ = lay_beside(map(json.dumps, rows), recorded)
    documents = [json.loads(line) for line in lines]
    assert [each["gold"] for each in documents] == [row["answer"] for row in rows]
    return [each["inference"][0] for each in documents]


def test_answers_are_found_by_id_in_any_order() -> None:
    answers = [{"id": "c", "answer": "C"}, {"id": " a", "answer": "A"}, {"id": "b", "answer": None}]
    assert laid(answers) == ["A", None, "C"]


def test_rows_that_ask_the_same_take_the_answers_in_order() -> None:
    answers = [
        {"question": "two?", "answer": "first"},
        {"question": "one? ", "answer": "A"},
        {"question": "two?", "answer": "second"},
    ]
    assert laid(answers) == ["A", "first", "second"]


def test_by_question_where_the_rows_have_no_ids() -> None:
    rows = [{name: row[name] for name in ("question", "answer")} for row in ROWS[:2]]
    answers = [
        {"id": 7, "question": "two?", "answer": 2},
        {"id": 8, "question": "one?", "answer": 1},
    ]
    assert laid(answers, rows) == ["1", "2"]


def test_the_lines_are_those_of_a_job_however_it_writes_prompts() -> None:
    recorded = read_recorded([(1, {"question": "one?", "answer": "<|begin_of_solution|>1"})])
    (line,), _ = lay_beside([json.dumps(ROWS[0])], recorded)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one?"}]
    written = [str(turns), json.dumps(turns, indent=1)]
    of_job = [json.dumps({"prompt": each, "inference": ["x"], "gold": "1"}) for each in written]
    keys = {
        inference.key
        for each in (line, *map(str.encode, of_job))
        for inference in read_inferences([each], however_written=True)
    }
    assert len(keys) == 1


def test_answers_to_what_is_not_asked_are_counted() -> None:
    answers = [{"id": each, "answer": "x"} for each in "zabyc"]
    recorded = read_recorded(list(enumerate(answers, 1)))
    lines, unasked = lay_beside(map(json.dumps, ROWS), recorded)
    assert (len(lines), unasked) == (3, 2)


A, B, C = ({"id": row["id"], "question": row["question"], "answer": "x"} for row in ROWS)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([], "holds no answers"),
        ([{"id": "a"}], "has no field answer"),
        ([{"answer": "a"}], "has neither a field id nor a field question"),
        ([A, {"id": "b", "question": "two?"}], "line 2: no field answer; write null"),
        ([A, A, B, C], "line 2: the id of an earlier row"),
        ([A, {**B, "id": None}, C], "line 2: no id"),
        ([A, {**B, "answer": {"text": "x"}}, C], "line 2: a list or an object as answer; write a"),
        ([A, C], "has no answer with the id of row 2 of the evaluation set; add one"),
        ([A, {**B, "question": "three?"}, C], "line 2: field question: not that of the evaluation"),
        (
            [
                {"question": each, "answer": "x"}
                for each in ("one?", "one?", "two?", "one?", "two?")
            ],
            "lines 2, 4: field question: more answers than evaluation rows",
        ),
        (
            [{"question": "secret", "answer": "x"}],
            "has no answer with the question of rows 1, 2, 3 of the evaluation set",
        ),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field_and_without_text(
    answers: list[dict[str, Any]], says: str
) -> None:
    with pytest.raises(InferenceError) as told:
        laid(answers)
    assert says in str(told.value)
    assert not any(text in str(told.value) for text in ("secret", "three?", "two?"))


def test_ids_alone_need_ids() -> None:
    rows = [{name: row[name] for name in ("question", "answer")} for row in ROWS[:1]]
    with pytest.raises(InferenceError, match="give the evaluation rows a column id"):
        laid([{"id": "a", "answer": "x"}], rows)


def test_of_many_rows_without_an_answer_the_first_are_named() -> None:
    rows = [{"id": str(each), "question": f"q{each}", "answer": "1"} for each in range(9)]
    with pytest.raises(InferenceError, match="of rows 2, 3, 4, 5, 6 and 3 more of the evaluation"):
        laid([{"id": "0", "answer": "x"}], rows)


def test_rows_with_images_have_none() -> None:
    rows = [{**ROWS[0], "images": [{"data": "data:"}]}]
    with pytest.raises(InferenceError, match="with images"):
        laid([{"id": "a", "answer": "x"}], rows)
