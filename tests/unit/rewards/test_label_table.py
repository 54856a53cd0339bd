"""What `make bench-labels` prints: the reading of labels over answers from many styles."""

from __future__ import annotations

import json

import pytest

from benchmarks.labels import (
    FIRST_READ,
    HOSTILE,
    HOSTILE_FIRST_READ,
    REQUIRED,
    TABLE,
    Counts,
    counts,
)

ROWS = [json.loads(line) for line in TABLE.read_text(encoding="utf-8").splitlines()]
STYLES = {row["style"] for row in ROWS}


@pytest.fixture(scope="module")
def found() -> dict[str, Counts]:
    return dict(counts())


def test_nearly_every_label_that_is_read_is_right_and_most_are_read(
    found: dict[str, Counts],
) -> None:
    assert found["all"].precision >= REQUIRED == 0.99
    assert found["all"].recall >= 0.98


@pytest.mark.parametrize("style", sorted(STYLES))
def test_no_style_is_read_much_worse(found: dict[str, Counts], style: str) -> None:
    assert found[style].precision >= 0.95
    assert found[style].recall >= 0.9


def test_the_table_is_large_varied_and_has_no_answer_twice() -> None:
    assert len(ROWS) >= 300
    assert len(STYLES) >= 30
    assert len({(*row["labels"], row["answer"]) for row in ROWS}) == len(ROWS)
    assert all(row["label"] is None or row["label"] in row["labels"] for row in ROWS)
    later = [row for row in ROWS if row["part"] > 1]
    assert len(later) >= len(ROWS) / 3
    for part in (2, 3, 4, 5):
        own = [row for row in later if row["part"] == part and row["label"]]
        assert abs(len(own) - FIRST_READ[f"part {part}"][2]) <= 1


def test_what_is_counted() -> None:
    each = Counts()
    for label, read in (("a", "a"), ("a", "b"), ("a", None), (None, "a"), (None, None)):
        each.add(label, read)
    assert (each.rows, each.precision, each.recall) == (5, 1 / 3, 1 / 3)


def test_the_page_shows_these_figures(found: dict[str, Counts]) -> None:
    page = (TABLE.parents[1] / "docs" / "rewards.md").read_text(encoding="utf-8")
    assert f"the {len(ROWS):,} answers" in page
    assert f"in {len(STYLES)} styles" in page
    for part in (1, 2, 3, 4, 5):
        each = found[f"part {part}"]
        figures = f" {each.readable} | {each.precision:.3f} | {each.recall:.3f} |"
        assert any(f"| part {part}, " in line and figures in line for line in page.splitlines())
    for part, (right, read, readable) in FIRST_READ.items():
        figures = f" {readable} | {right / read:.3f} | {right / readable:.3f} |"
        assert f"| {part} when it was read for the first time |{figures}" in page


def test_hostile_answers_are_a_table_apart_that_the_page_shows_too() -> None:
    rows = [json.loads(line) for line in HOSTILE.read_text(encoding="utf-8").splitlines()]
    answers = {(*row["labels"], row["answer"]) for row in rows}
    assert len(answers) == len(rows) >= 60
    assert answers.isdisjoint((*row["labels"], row["answer"]) for row in ROWS)
    assert all(row["label"] is None or row["label"] in row["labels"] for row in rows)
    found = counts(HOSTILE)
    assert found["part 1"].precision >= 0.94
    page = (TABLE.parents[1] / "docs" / "rewards.md").read_text(encoding="utf-8")
    assert f"{len(rows):,} hostile answers" in page
    for part, (right, read, readable) in HOSTILE_FIRST_READ.items():
        each = found[part]
        assert each.readable == readable
        first = f"{right / read:.3f} | {right / readable:.3f}"
        now = f"{each.precision:.3f} | {each.recall:.3f}"
        assert f"| hostile {part} | {readable} | {first} | {now} |" in page
