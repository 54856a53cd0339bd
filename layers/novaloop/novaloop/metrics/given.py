"""Rows of evaluations that other programs or people made: a score of each, or an answer of each."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.inferences import Inference, InferenceError, hash_of, key_of
from novaloop.metrics.rows import GivenScores
from novaloop.rewards.answers import strip_solution_markers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rows = Sequence[tuple[int, Mapping[str, object]]]

FIELDS = ("id", "question", "score", "answer", "reference")
MAX_LINES = 5
"""How many lines a message names."""
_REPEATED = (
    "the id of an earlier row; give each its own, and rows that ask the same an equal question"
)
_LEAVE_OUT = "score it, as by 0, or leave the row out of all files"
_UNSCORED = f"no score; {_LEAVE_OUT}"
_NO_NUMBER = f"a score that is no finite number; {_LEAVE_OUT}"
_COMMA = "a score with a decimal comma; write a point"
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
_WORDS = {"true": 1.0, "false": 0.0}


class FieldsMissing(InferenceError):  # noqa: N818 - whoever read the file knows what it has instead
    """A file lacks fields without which nothing can be made of its rows."""


@dataclass(frozen=True)
class Given:
    """What a file holds: `scores`, or else `answers`.

    ids, questions: of each row; None where the file has no such field. keys: (n,), of each row.
    """

    ids: tuple[str, ...] | None
    questions: tuple[str, ...] | None
    keys: tuple[int, ...]
    scores: GivenScores | None
    answers: tuple[Inference, ...]


def read_given(rows: Rows) -> Given:
    """Read rows, each with its line and its FIELDS; raises InferenceError, which quotes no text.

    The first row tells which fields there are. A row is found in another file by its id, else by
    its question. Rows with the same question are one case. Where there is a score, answers are not
    looked at. A row without an answer counts as an empty one.
    """
    if not rows:
        raise InferenceError("the evaluation holds no rows")
    fields, columns = rows[0][1].keys(), Columns(rows)
    if "score" not in fields and not {"answer", "reference"} <= fields:
        raise FieldsMissing("has neither a field score nor the fields answer and reference")
    if not {"id", "question"} & fields:
        raise FieldsMissing("has neither a field id nor a field question to find its rows by")
    ids = columns.ids() if "id" in fields else None
    questions = columns.texts("question") if "question" in fields else None
    scores = columns.scores() if "score" in fields else None
    references = columns.texts("reference") if scores is None else ("",) * len(rows)
    answers = columns.texts("answer", is_needed=False) if scores is None else ()
    columns.require_sound()
    asked = questions or ids or ()
    keys = _keys(ids, asked, references)
    if scores is not None:
        hashes = np.array(list(map(hash_of, asked)), dtype=np.uint64)
        given = GivenScores(np.array(keys, dtype=np.uint64), hashes, np.array(scores))
        return Given(ids, questions, keys, given, ())
    inferences = (
        Inference(
            line=line,
            key=key,
            prompt=prompt,
            prediction=strip_solution_markers(answer),
            gold=reference,
            question=hash_of(prompt),
            is_missing=fields.get("answer") is None,
        )
        for (line, fields), key, prompt, answer, reference in zip(
            rows, keys, asked, answers, references, strict=True
        )
    )
    return Given(ids, questions, keys, None, tuple(inferences))


def _keys(
    ids: Sequence[str] | None, asked: Sequence[str], references: Sequence[str]
) -> tuple[int, ...]:
    occurrences: Counter[bytes] = Counter()
    if ids is None:
        return tuple(key_of(*each, occurrences) for each in zip(asked, references, strict=True))
    return tuple(hash_of("id", *each) for each in zip(ids, asked, references, strict=True))


class Columns:
    """The fields of all rows, column by column, with all that is wrong with them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._wrong: dict[str, list[int]] = {}

    def texts(self, name: str, *, is_needed: bool = True) -> tuple[str, ...]:
        """Return a field's texts, "" where there is none."""
        texts = []
        for line, fields in self._rows:
            value = fields.get(name)
            if isinstance(value, list | dict):
                self.note(f"a list or an object as {name}; write a text", line)
            elif is_needed and (value is None or value == ""):
                self.note(f"no {name}", line)
            texts.append(_text(value))
        return tuple(texts)

    def ids(self) -> tuple[str, ...]:
        """Return the ids, each of which stands once."""
        ids, first = tuple(each.strip() for each in self.texts("id")), dict[str, int]()
        for (line, _), each in zip(self._rows, ids, strict=True):
            if each and first.setdefault(each, line) != line:
                self.note(_REPEATED, line)
        return ids

    def scores(self) -> list[float]:
        """Return the scores."""
        scores = []
        for line, fields in self._rows:
            score = _number(fields.get("score"))
            if score is None:
                self.note(_UNSCORED, line)
            elif not math.isfinite(score):
                has_comma = _DECIMAL_COMMA.fullmatch(str(fields.get("score")).strip())
                self.note(_COMMA if has_comma else _NO_NUMBER, line)
            scores.append(score or 0.0)
        return scores

    def note(self, what: str, line: int) -> None:
        """Note what is wrong with a row."""
        self._wrong.setdefault(what, []).append(line)

    def require_sound(self) -> None:
        """Raise InferenceError if something is wrong with some row."""
        if self._wrong:
            told = (f"{in_words('line', lines)}: {what}" for what, lines in self._wrong.items())
            raise InferenceError("; ".join(told))


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _number(value: object) -> float | None:
    """Return a score, NaN for what is none; None without one."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        word = value.strip().lower()
        value = _WORDS.get(word, word)
    if not isinstance(value, str | int | float):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def in_words(what: str, numbers: Sequence[object]) -> str:
    """Name the first of some lines or rows, and how many more there are."""
    listed = ", ".join(map(str, numbers[:MAX_LINES]))
    more = len(numbers) - MAX_LINES
    told = f"{listed} and {more:,} more" if more > 0 else listed
    return f"{what if len(numbers) == 1 else f'{what}s'} {told}"
