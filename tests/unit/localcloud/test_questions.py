from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING

from novaloop_localcloud.questions import LABELS, questions, write

if TYPE_CHECKING:
    from pathlib import Path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_have_the_asked_sizes_and_share_nothing(tmp_path: Path) -> None:
    write(tmp_path, sft=70, rft=20, eval=15)
    files = {name: _rows(tmp_path / f"{name}.csv") for name in ("sft", "rft", "eval")}
    assert {name: len(rows) for name, rows in files.items()} == {"sft": 70, "rft": 20, "eval": 15}
    rows = [row for each in files.values() for row in each]
    assert len({row["Id"] for row in rows}) == len({row["Body"] for row in rows}) == 105
    assert {row["Y"] for row in rows} == set(LABELS)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a", seed=3)
    write(tmp_path / "b", seed=3)
    write(tmp_path / "c", seed=4)
    first = (tmp_path / "a" / "sft.csv").read_bytes()
    assert (tmp_path / "b" / "sft.csv").read_bytes() == first
    assert (tmp_path / "c" / "sft.csv").read_bytes() != first


def test_cells_survive_the_round_trip(tmp_path: Path) -> None:
    write(tmp_path, sft=70, rft=20, eval=15, seed=9)
    made = questions(105, seed=9)
    assert [row["Body"] for row in _rows(tmp_path / "sft.csv")] == [q.body for q in made[:70]]


def test_the_classes_are_balanced() -> None:
    counts = Counter(question.label for question in questions(3000, seed=1))
    assert all(900 < count < 1100 for count in counts.values())


def test_line_ends_say_nothing_about_the_class() -> None:
    made = questions(3000, seed=1)
    for label in LABELS:
        bodies = [question.body for question in made if question.label == label]
        share = sum("\r\n" in body for body in bodies) / len(bodies)
        assert 0.44 < share < 0.56


def test_the_text_is_as_awkward_as_real_text() -> None:
    text = "".join(question.body for question in questions(300, seed=1))
    for awkward in ('"', "'", ",", "\t", "```", "ï", "“", "→", "\r\n"):
        assert awkward in text
    assert all("\n" in question.body for question in questions(300, seed=1))
