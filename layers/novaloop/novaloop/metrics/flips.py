"""The rows that changed between two stages, with their texts: for the report's eyes only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from novaloop.metrics.prompts import read_prompt
from novaloop.metrics.rows import row_name
from novaloop.typed import adapter

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from novaloop.metrics.inferences import Inference
    from novaloop.metrics.results import Comparison

MAX_EXCERPT = 500
_OMISSION = " […] "


@dataclass(frozen=True)
class Answer:
    """Excerpts of one evaluated row."""

    question: str
    prediction: str
    gold: str
    system: str


@dataclass(frozen=True)
class Flip:
    """One row whose exact match changed, with both stages' answers.

    system: the system prompt; "" without one, and in what was kept when it stood in the question.
    """

    row: str
    question: str
    gold: str
    before: str
    after: str
    system: str = ""


@dataclass(frozen=True)
class Flips:
    """The listed rows of one comparison (see `comparison.MAX_LISTED_ROWS`)."""

    improved: tuple[Flip, ...]
    regressed: tuple[Flip, ...]


def listed_rows(comparison: Comparison) -> frozenset[str]:
    """The names of the rows that `pair_up` will need."""
    return frozenset(comparison.improved_rows + comparison.regressed_rows)


def read_answers(rows: Iterable[Inference], wanted: Container[str]) -> dict[str, Answer]:
    """The wanted rows' texts by row name."""
    return {name: _answer(row) for row in rows if (name := row_name(row.key)) in wanted}


def _answer(row: Inference) -> Answer:
    system, question = read_prompt(row.prompt)
    return Answer(*map(excerpt, (question, row.prediction, row.gold, system)))


def pair_up(
    comparison: Comparison, before: Mapping[str, Answer], after: Mapping[str, Answer]
) -> Flips:
    """Set both stages' answers side by side. Raises KeyError for a row that was not read."""
    return Flips(
        *(
            tuple(_flip(name, before[name], after[name]) for name in names)
            for names in (comparison.improved_rows, comparison.regressed_rows)
        )
    )


def _flip(name: str, before: Answer, after: Answer) -> Flip:
    return Flip(name, after.question, after.gold, before.prediction, after.prediction, after.system)


def excerpt(text: str) -> str:
    """The text, or its beginning and its end: what is asked for often comes last."""
    if len(text) <= MAX_EXCERPT:
        return text
    half = (MAX_EXCERPT - len(_OMISSION)) // 2
    return f"{text[:half]}{_OMISSION}{text[-half:]}"


def to_json(flips: Mapping[str, Flips]) -> bytes:
    """As JSON, by the name of the earlier stage; `from_json` reads it back."""
    return adapter(dict[str, Flips]).dump_json(dict(flips))


def from_json(content: bytes) -> dict[str, Flips]:
    """Read what `to_json` wrote; raises pydantic.ValidationError."""
    return adapter(dict[str, Flips]).validate_json(content)
