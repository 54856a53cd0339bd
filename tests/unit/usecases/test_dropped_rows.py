"""`drop` in `checks:` leaves out the rows that a finding counts, and says so, or it is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from novaloop.experiment.record import DatasetStatus, Snapshot
from novaloop.usecases import dataset_checks
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.dataset_checks import check_experiment
from novaloop.usecases.ingest import ingest
from tests.simulation.twins import TwinObjects, TwinStore, VirtualClock
from tests.unit.usecases.test_big_files import Machine

SPEC = "labels: [A, B]\nplan: [{evaluate: first}, {sft: {}}, {evaluate: last}]\nchecks: "
Rows = list[tuple[str, str]]


def distinct(role: str, rows: int = 40) -> Rows:
    return [
        (f"{role} asks {number} and {number * 7919}", "AB"[number % 2]) for number in range(rows)
    ]


def bucket(spec: str, files: dict[str, str]) -> IngestWorld:
    clock = VirtualClock()
    objects = TwinObjects(clock)
    world = IngestWorld(TwinStore(lambda _: None), objects, clock)
    objects.put("inbox/demo/experiment.yaml", spec.encode(), "application/yaml")
    for name, data in files.items():
        objects.put(f"inbox/demo/{name}", data.encode(), "text/plain")
        ingest(f"inbox/demo/{name}", world)
    return world


def csv(rows: Rows) -> str:
    return "question,answer\n" + "".join(f"{asked},{answer}\n" for asked, answer in rows)


def checked(checks: str, big: Machine | None = None, **rows: Rows) -> Snapshot:
    world = bucket(SPEC + checks, {f"{role}.csv": csv(each) for role, each in rows.items()})
    for _ in range(2):  # a second look finds the same
        check_experiment("demo", replace(world, big_files=big))
    return world.store.load("demo")


def questions(snapshot: Snapshot, role: str) -> int:
    return snapshot.datasets[role].rows


def messages(snapshot: Snapshot) -> list[str]:
    assert snapshot.checks is not None
    return [finding["message"] for finding in snapshot.checks.findings]


@pytest.mark.parametrize("role", ["sft", "eval"])
def test_contradictions_are_left_out_of_the_dataset_that_has_them(role: str) -> None:
    rows = {"sft": distinct("sft"), "eval": distinct("eval")}
    asked, answer = rows[role][0]
    rows[role].append((asked, "B" if answer == "A" else "A"))

    snapshot = checked("{contradictions: drop}", **rows)

    assert questions(snapshot, role) == 39
    assert sum(questions(snapshot, each) for each in rows) == 79
    assert messages(snapshot)[0] == (
        f"2 rows of {role} have another answer elsewhere; they are left out of {role} "
        f"({role}.csv, lines 2, 42)"
    )


def test_what_contradicts_across_files_is_left_out_of_both() -> None:
    sft, evaluation = distinct("sft"), distinct("eval")
    evaluation[3] = (sft[2][0], "B")

    snapshot = checked("{contradictions: drop, shared-questions: warn}", sft=sft, eval=evaluation)

    assert (questions(snapshot, "sft"), questions(snapshot, "eval")) == (39, 39)


def test_shared_questions_are_left_out_of_the_evaluation_alone() -> None:
    sft = distinct("sft")

    snapshot = checked("{shared-questions: drop}", sft=sft, eval=[*distinct("eval"), *sft[:5]])

    assert (questions(snapshot, "sft"), questions(snapshot, "eval")) == (40, 40)
    (told,) = messages(snapshot)
    assert told.startswith("5 rows of eval also stand in sft; they are left out of eval (eval.csv,")
    assert told.endswith(" lines 42, 43, 44 and others)")


def test_rows_that_are_only_told_stay() -> None:
    sft = [*distinct("sft"), (distinct("sft")[0][0], "B")]

    snapshot = checked("{contradictions: warn}", sft=sft, eval=distinct("eval"))

    assert questions(snapshot, "sft") == 41
    assert messages(snapshot) == [
        "2 rows of sft have another answer elsewhere (sft.csv, lines 2, 42)"
    ]


def test_lines_are_those_of_the_file_and_the_first_ones() -> None:
    """Cells of several lines, and rows that ask the same three times and more."""
    evaluation = [
        (f'"one,\nof {number}"' if number % 9 else '"the same\nagain"', "AB"[number % 2])
        for number in range(40)
    ]

    snapshot = checked("{contradictions: warn}", sft=distinct("sft"), eval=evaluation)

    told = {message.partition(" ")[2]: message for message in messages(snapshot)}
    assert all(
        message.endswith("(eval.csv, lines 2, 20, 38 and others)") for message in told.values()
    )
    assert len(told) == 2  # contradictions and repeated questions


def test_rows_that_are_too_long_are_told_with_their_lines() -> None:
    sft = distinct("sft", 70)
    sft[4] = ("word " * 8_000, "A")
    spec = SPEC.replace("{sft: {}}", "{sft: {overrides: {max_length: 8192}}}")

    world = bucket(f"{spec}{{}}", {"sft.csv": csv(sft), "eval.csv": csv(distinct("eval"))})
    check_experiment("demo", world)

    (told,) = messages(world.store.load("demo"))
    assert told.endswith("raise max_length (sft.csv, line 6)")


def test_a_large_file_is_not_read_again_for_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_checks, "MAX_READ_AGAIN", 100)
    sft = [*distinct("sft"), (distinct("sft")[0][0], "B")]

    snapshot = checked("{contradictions: warn}", sft=sft, eval=distinct("eval"))

    assert messages(snapshot) == ["2 rows of sft have another answer elsewhere"]


def test_a_dataset_of_which_nothing_is_left_says_that_it_was_dropped() -> None:
    evaluation = [("one", "A"), ("one", "B")]

    snapshot = checked("{contradictions: drop}", sft=distinct("sft"), eval=evaluation)

    item = snapshot.datasets["eval"]
    assert item.status is DatasetStatus.REJECTED
    assert item.reason == (
        "each row is left out by `drop` in `checks:` of experiment.yaml; correct the rows, or "
        "write warn there"
    )


def test_a_file_too_big_for_one_call_is_refused_and_none_is_converted() -> None:
    sft, evaluation = distinct("sft", 400), [*distinct("eval"), ("one", "A"), ("one", "B")]
    sft.append((sft[0][0], "B"))
    big = Machine(smallest=5_000)

    snapshot = checked("{contradictions: drop}", big, sft=sft, eval=evaluation)

    assert snapshot.checks is not None
    assert snapshot.checks.refusal == (
        "sft.csv is too big for rows to be left out of it. Remove them from the file, or write "
        "`warn` for `drop` in `checks:`."
    )
    assert (questions(snapshot, "sft"), questions(snapshot, "eval")) == (401, 42)


def test_pairs_of_answers_contradict_no_label() -> None:
    """Preferences are mostly about questions that the training before them has, too."""
    labelled = distinct("sft")
    pairs = "".join(
        json.dumps({"prompt": asked, "preferred": answer, "non_preferred": "C"}) + "\n"
        for asked, answer in labelled
    )
    files = {"sft.csv": csv(labelled), "dpo.jsonl": pairs}
    world = bucket("model: nova-lite\nplan: [{sft: {}}, {dpo: {}}]\n", files)

    check_experiment("demo", world)

    assert messages(world.store.load("demo")) == []


def test_one_row_is_told_as_one() -> None:
    sft = distinct("sft")

    snapshot = checked("{shared-questions: warn}", sft=sft, eval=[*distinct("eval"), sft[0]])

    assert messages(snapshot) == ["1 row of eval also stands in sft (eval.csv, line 42)"]
