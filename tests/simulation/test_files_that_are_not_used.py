"""While a file is awaited, it is said which are there and not used, and what to do about it."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from itertools import permutations

import pytest

from novaloop.experiment.record import Status
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.twins import questions_csv

PLAN = SPEC + b"plan: [sft, evaluate: {name: ev}]\n"
SPLIT = PLAN + b"split: {sft: 0.7, rft: 0.1, eval: 0.2}\n"
ROWS = questions_csv(400, 0)


def reason(simulation: Simulation) -> str:
    simulation.passes(timedelta(seconds=20))
    assert simulation.is_in("demo", Status.COLLECTING)
    return simulation.record("demo").reason


@pytest.mark.parametrize("first", ["experiment.yaml", "data.csv"])
@pytest.mark.parametrize("file", ["data.csv", "data.csv.gz", "data.jsonl"])
def test_data_without_a_split_is_told_with_what_to_do(first: str, file: str) -> None:
    simulation = Simulation()
    bodies = {"experiment.yaml": PLAN, "data.csv": ROWS}
    for each in sorted(bodies, reverse=first == "experiment.yaml"):
        name = file if each == "data.csv" else each
        simulation.upload("demo", name, bodies[each])
        simulation.passes(timedelta(seconds=20))
    told = reason(simulation)
    assert "waiting for sft.csv, eval.csv" in told
    assert f"{file} is there, but not used" in told
    assert "write `split: {sft: 0.75, eval: 0.25}` in experiment.yaml" in told
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    assert "waiting for eval.csv" in reason(simulation)
    simulation.upload("demo", "eval.csv", questions_csv(24, 1))
    assert simulation.reaches("demo", Status.COMPLETED)


def test_data_is_used_soon_once_there_is_a_split() -> None:
    simulation = Simulation()
    simulation.upload("demo", "data.csv", ROWS)
    simulation.passes(timedelta(seconds=20))
    simulation.upload("demo", "experiment.yaml", PLAN)
    assert "data.csv is there, but not used" in reason(simulation)
    simulation.upload("demo", "experiment.yaml", SPLIT)
    begun = simulation.clock.now()
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.clock.now() - begun < timedelta(minutes=2)
    assert simulation.reaches("demo", Status.COMPLETED)


def test_data_that_waited_for_valid_settings_without_a_split_is_told_too() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", b"plan: [nothing]\n")
    simulation.upload("demo", "data.csv", ROWS)
    simulation.passes(timedelta(seconds=20))
    simulation.upload("demo", "experiment.yaml", PLAN)
    simulation.passes(timedelta(minutes=1))
    assert (
        "write `split: {sft: 0.75, eval: 0.25}` in experiment.yaml"
        in simulation.record("demo").reason
    )
    simulation.upload("demo", "experiment.yaml", SPLIT)
    assert simulation.reaches("demo", Status.COMPLETED)


OWN = questions_csv(90, 5)
MADE = "sft.csv is there, but not used: `split:` makes it from data.csv"


@pytest.mark.parametrize("lost", ["", "data.csv", "sft.csv"])
@pytest.mark.parametrize("order", list(permutations(["experiment.yaml", "data.csv", "sft.csv"])))
def test_what_split_makes_is_made_by_it_in_whatever_order_files_come(
    order: tuple[str, ...], lost: str
) -> None:
    """Without settings, each file is a dataset of its own, also if it is replaced later."""
    simulation = Simulation()
    bodies = {"experiment.yaml": SPLIT, "data.csv": ROWS, "sft.csv": OWN}
    for file in order:
        if file == lost:
            simulation.objects.put(f"inbox/demo/{file}", bodies[file], "text/csv")
        else:
            simulation.upload("demo", file, bodies[file])
        simulation.passes(timedelta(seconds=15))
    assert simulation.reaches("demo", Status.RUNNING)
    record = simulation.record("demo")
    datasets = simulation.store.load("demo").datasets
    assert {item.file for item in datasets.values()} == {"data.csv"}
    assert record.datasets["sft"].rows == 280
    if lost != "sft.csv":
        assert MADE in record.unused_uploads
        assert record.unused_uploads in record.remarks
    simulation.passes(timedelta(days=3))
    assert not told_of_uploads(simulation)


def told_of_uploads(simulation: Simulation) -> list[str]:
    return [subject for subject, _ in simulation.notifier.messages if "could not be" in subject]


@pytest.mark.parametrize("order", [("sft.csv", "data.csv"), ("data.csv", "sft.csv")])
def test_once_there_is_no_split_any_more_the_files_of_their_own_are_used(
    order: tuple[str, ...],
) -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", SPLIT + b"dry_run: true\n")
    bodies = {"data.csv": ROWS, "sft.csv": OWN}
    for file in order:
        simulation.upload("demo", file, bodies[file])
        simulation.passes(timedelta(seconds=8))
    simulation.upload("demo", "eval.csv", questions_csv(24, 1))
    simulation.upload("demo", "experiment.yaml", PLAN)
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.record("demo").datasets["sft"].rows == 90
    assert simulation.record("demo").datasets["eval"].rows == 24


LINES = b"".join(
    json.dumps({"Id": n, "Body": f"q{n}", "Y": "HQ"}).encode() + b"\n" for n in range(80)
)


@pytest.mark.parametrize("order", [("sft.csv", "sft.jsonl"), ("sft.jsonl", "sft.csv")])
@pytest.mark.parametrize("apart", [0, 20])
@pytest.mark.parametrize("settings", [PLAN, PLAN + b"dry_run: true\n"])
def test_two_files_of_one_dataset_are_told_with_the_one_that_is_used(
    order: tuple[str, ...], apart: int, settings: bytes
) -> None:
    simulation = Simulation()
    bodies = {"sft.csv": questions_csv(70, 0), "sft.jsonl": LINES}
    simulation.upload("demo", "experiment.yaml", settings)
    for file in order:
        simulation.upload("demo", file, bodies[file])
        simulation.passes(timedelta(seconds=apart))
    simulation.upload("demo", "eval.csv", questions_csv(24, 1))
    assert simulation.reaches("demo", Status.COMPLETED)
    used = simulation.store.load("demo").datasets["sft"].file
    (other,) = {*order} - {used}
    told = f"{other} is there, but not used: {used} is the same dataset and came last"
    record = simulation.record("demo")
    assert sum(told in notice for notice in record.notices) == 1
    if record.spec.dry_run:
        return
    if apart:
        assert used == order[1]
    assert any(told in entry.why for entry in simulation.store.history("demo"))
    assert any(told in message for _, message in simulation.notifier.starts)


def test_two_files_that_are_divided_are_told_once_and_a_deleted_one_is_not() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", SPLIT)
    simulation.upload("demo", "data.csv.gz", gzip.compress(ROWS))
    simulation.upload("demo", "data.jsonl", LINES)
    simulation.passes(timedelta(seconds=8))
    simulation.objects.deleted.add("inbox/demo/data.jsonl")
    simulation.upload("demo", "data.csv", ROWS)
    assert simulation.reaches("demo", Status.RUNNING)
    told = "data.csv.gz is there, but not used: data.csv is the same dataset and came last"
    assert sum(told in notice for notice in simulation.record("demo").notices) == 1


def test_what_no_stage_uses_is_no_late_upload() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", PLAN)
    for file in ("dpo.csv", "SFT.csv", "notes.csv"):
        simulation.upload("demo", file, ROWS)
    simulation.upload("demo", "sft.csv", OWN)
    simulation.upload("demo", "eval.csv", questions_csv(24, 1))
    assert simulation.reaches("demo", Status.COMPLETED)
    unused = simulation.record("demo").unused_uploads
    assert "dpo.csv is there, but not used: no stage of the plan uses it" in unused
    assert "SFT.csv is there, but not used: names are in lower case" in unused
    assert "experiment name" not in unused
    assert "late upload" not in {line.what for line in simulation.store.history("demo")}


def test_files_of_other_names_or_of_other_stages_are_told() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", PLAN)
    for file in ("SFT.csv", "train.jsonl", "README.md"):
        simulation.upload("demo", file, ROWS)
    simulation.upload("demo", "dpo.csv", ROWS)
    told = reason(simulation)
    assert "waiting for sft.csv, eval.csv" in told
    for each in TOLD:
        assert each in told
    assert "README.md" not in told
    assert not simulation.dead_letters


TOLD = (
    "SFT.csv is there, but not used: names are in lower case: call it sft.csv",
    "train.jsonl is there, but not used: no data of the plan is called so, but sft.csv, eval.csv",
    "dpo.csv is there, but not used: no stage of the plan uses it",
)


def test_any_number_of_them_is_told_in_a_few_words() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", PLAN)
    for number in range(50):
        simulation.upload("demo", f"{number:03}{'x' * 200}.csv", ROWS)
    told = reason(simulation)
    assert len(told) < 900
    assert "more" in told


def test_what_nothing_is_awaited_for_is_not_told() -> None:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    simulation.upload("demo", "train.csv", ROWS)
    simulation.passes(timedelta(seconds=20))
    assert "train.csv" not in simulation.record("demo").reason
    assert simulation.reaches("demo", Status.COMPLETED)
