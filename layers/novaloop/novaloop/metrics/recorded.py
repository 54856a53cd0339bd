"""Answers that were recorded, laid beside the evaluation rows that they answer."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from novaloop.metrics.given import Columns, in_words
from novaloop.metrics.inferences import InferenceError
from novaloop.metrics.prompts import write_prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from novaloop.metrics.given import Rows

FIELDS = ("id", "question", "answer")


@dataclass(frozen=True)
class Recorded:
    """Answers in the order of their file, with the line of each.

    ids, questions: None where the file has no such field. An answer that is missing is None.
    """

    lines: tuple[int, ...]
    ids: tuple[str, ...] | None
    questions: tuple[str, ...] | None
    answers: tuple[str | None, ...]

    def to_lines(self) -> Iterator[bytes]:
        """As JSON lines, an answer each."""
        for index, line in enumerate(self.lines):
            row: dict[str, object] = {"line": line, "answer": self.answers[index]}
            if self.ids is not None:
                row["id"] = self.ids[index]
            if self.questions is not None:
                row["question"] = self.questions[index]
            yield json.dumps(row).encode() + b"\n"

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> Recorded:
        """Read what `to_lines` wrote of at least one answer."""
        rows = [json.loads(line) for line in lines]
        return cls(
            tuple(row["line"] for row in rows),
            tuple(row["id"] for row in rows) if "id" in rows[0] else None,
            tuple(row["question"] for row in rows) if "question" in rows[0] else None,
            tuple(row["answer"] for row in rows),
        )


def read_recorded(rows: Rows) -> Recorded:
    """Read rows, each with its line and its FIELDS; raises InferenceError, which quotes no text.

    The first row tells which fields there are. A null answer is one that was not given.
    """
    if not rows:
        raise InferenceError("holds no answers")
    fields, columns = rows[0][1].keys(), Columns(rows)
    if "answer" not in fields:
        raise InferenceError("has no field answer; give each row one, null where nothing came")
    if not {"id", "question"} & fields:
        what = "has neither a field id nor a field question to find the evaluation rows by"
        raise InferenceError(f"{what}; give each row one of them")
    ids = columns.ids() if "id" in fields else None
    questions = columns.texts("question") if "question" in fields else None
    answers = columns.texts("answer", is_needed=False)
    for line, each in rows:
        if "answer" not in each:
            columns.note("no field answer; write null where nothing came", line)
    columns.require_sound()
    given = (
        None if each.get("answer") is None else answer
        for (_, each), answer in zip(rows, answers, strict=True)
    )
    return Recorded(tuple(line for line, _ in rows), ids, questions, tuple(given))


@dataclass(frozen=True)
class _Row:
    """An evaluation row: what was asked, the reference, and what it is known by."""

    question: str
    answer: str
    system: str = ""
    id: str | None = None


def lay_beside(references: Iterable[str], recorded: Recorded) -> tuple[list[bytes], int]:
    """Return lines as those of an `inference_output.jsonl`, and how many answers are none of them.

    A line for each evaluation row, in their order, whatever that of the answers is: an answer is
    found by its id, where both have ids, else by its question. Rows that ask the same take the
    answers to it in the order of the file. Answers to what no row asks are left out.

    references: rows in the format REFERENCE. Raises InferenceError, which quotes no text, unless
    each row has exactly one answer.
    """
    rows = list(_rows(references))
    by_id = recorded.ids is not None and all(row.id is not None for row in rows)
    if not by_id and recorded.questions is None:
        what = "finds the evaluation rows by id, and these have none"
        do = "give the evaluation rows a column id, or the answers a field question"
        raise InferenceError(f"{what}; {do}")
    names = recorded.ids if by_id else recorded.questions
    found: dict[str, deque[int]] = {}
    for index, name in enumerate(names or ()):
        found.setdefault(name.strip(), deque()).append(index)
    asked = [((row.id or "") if by_id else row.question).strip() for row in rows]
    taken = [left.popleft() if (left := found.get(name)) else None for name in asked]
    missing = [number for number, index in enumerate(taken, 1) if index is None]
    surplus = [index for name in found.keys() & asked for index in found[name]]
    others = _of_other_questions(rows, taken, recorded) if by_id else []
    _require_one_each(missing, sorted(surplus), others, recorded, "id" if by_id else "question")
    lines = [
        _line(row, recorded.answers[index])
        for row, index in zip(rows, taken, strict=True)
        if index is not None
    ]
    return lines, len(recorded.lines) - len(lines)


def _rows(references: Iterable[str]) -> Iterator[_Row]:
    for line in references:
        row = json.loads(line)
        if "images" in row:
            what = "can't be laid beside evaluation rows with images"
            raise InferenceError(f"{what}; leave images out, or the recorded answers")
        yield _Row(row["question"], row["answer"], row.get("system", ""), row.get("id"))


def _of_other_questions(
    rows: Sequence[_Row], taken: Sequence[int | None], recorded: Recorded
) -> list[int]:
    """Return which answers have a row's id and not its question, where they have one."""
    questions = recorded.questions
    if questions is None:
        return []
    return [
        index
        for row, index in zip(rows, taken, strict=True)
        if index is not None and questions[index].strip() != row.question.strip()
    ]


def _require_one_each(
    missing: Sequence[int],
    surplus: Sequence[int],
    others: Sequence[int],
    recorded: Recorded,
    by: str,
) -> None:
    told = []
    if missing:
        which = in_words("row", [f"{number:,}" for number in missing])
        what = f"has no answer with the {by} of {which} of the evaluation set"
        told.append(f"{what}; add one, with a null answer where nothing came")
    if surplus:
        lines = in_words("line", [recorded.lines[index] for index in surplus])
        what = f"{lines}: field {by}: more answers than evaluation rows that ask this"
        told.append(f"{what}; leave one for each row")
    if others:
        lines = in_words("line", [recorded.lines[index] for index in others])
        what = f"{lines}: field question: not that of the evaluation row with this id"
        told.append(f"{what}; correct the id or the question, or leave the field out")
    if told:
        raise InferenceError("; ".join(told))


def _line(row: _Row, answer: str | None) -> bytes:
    prompt = write_prompt(row.system, row.question)
    line = {"prompt": prompt, "inference": [answer], "gold": row.answer}
    return json.dumps(line).encode() + b"\n"
