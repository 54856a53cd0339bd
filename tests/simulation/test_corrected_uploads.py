"""Settings and files that are corrected and uploaded again, however they were read before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from novaloop.experiment.record import Status
from tests.simulation.simulation import SPEC, Call, Simulation
from tests.simulation.test_what_cannot_be_read import told
from tests.simulation.twins import questions_csv

PLAN = SPEC + b"plan: [sft, evaluate: e]\n"
DIVIDED = PLAN + b"split: {sft: 70, eval: 24}\n"
TYPO = SPEC + b"plan: [sft, evalute: e]\n"
VALIDATED = (
    SPEC + b"plan: [sft: {validation: true, overrides: {val_check_interval: 5}}, evaluate: e]\n"
    b"split: {sft: 40, eval: 24, validation: 20}\n"
)
WRONG_ROW = b"1,too,many,cells\n"


class Asked:
    """Counts what ingest is asked for."""

    def __init__(self, simulation: Simulation) -> None:
        self.files: Counter[object] = Counter()
        simulation.interposed.append(self)

    def around(self, call: Call) -> Any:
        if call.name == "ingester.request_ingest":
            self.files[call.first] += 1
        return call()


Uploads = Sequence[tuple[str, bytes]]
SMALLER: tuple[Uploads, Uploads] = (
    [("experiment.yaml", VALIDATED), ("data.csv", questions_csv(100, 0) + WRONG_ROW)],
    [("experiment.yaml", DIVIDED), ("data.csv", questions_csv(100, 1))],
)
MISSPELT: tuple[Uploads, Uploads] = (
    [
        ("experiment.yaml", TYPO + b"split: {sft: 70, eval: 24}\n"),
        ("data.csv", questions_csv(100, 0)),
    ],
    [("experiment.yaml", DIVIDED), ("data.csv", questions_csv(100, 1))],
)


@pytest.mark.parametrize(("first", "then"), [SMALLER, MISSPELT], ids=["fewer sets", "a typo"])
def test_what_one_file_makes_no_more_does_not_keep_it_waiting(
    first: Uploads, then: Uploads
) -> None:
    """What the plan needs no more stays of the file's former version."""
    simulation = Simulation()
    for file, body in first:
        simulation.upload("demo", file, body)
    simulation.passes(timedelta(minutes=10))
    assert simulation.is_in("demo", Status.REJECTED)
    asked = Asked(simulation)
    for file, body in then:
        simulation.upload("demo", file, body)
    assert simulation.run(lambda: simulation.is_in("demo", Status.RUNNING), timedelta(minutes=5)), (
        simulation.record("demo").reason
    )
    assert asked.files["inbox/demo/data.csv"] < 5


def test_all_that_one_file_makes_is_of_its_newest_version() -> None:
    """One set is of a former version, since the plan in between did not need it."""
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", VALIDATED + b"approval: manual\n")
    simulation.upload("demo", "data.csv", questions_csv(100, 0))
    simulation.passes(timedelta(seconds=5))
    less = VALIDATED.replace(b"sft: {validation: true, overrides: {val_check_interval: 5}}", b"sft")
    simulation.upload("demo", "experiment.yaml", less)
    simulation.passes(timedelta(seconds=5))
    simulation.upload("demo", "data.csv", questions_csv(100, 1))
    simulation.passes(timedelta(seconds=5))
    of = {role: item.version_id for role, item in simulation.store.load("demo").datasets.items()}
    assert of["sft"] != of["validation"]
    simulation.upload("demo", "experiment.yaml", VALIDATED)
    assert simulation.reaches("demo", Status.RUNNING)
    used = simulation.record("demo").datasets.values()
    assert {each.version_id for each in used} == {
        simulation.objects.versions("inbox/demo/data.csv")[-1]
    }


def test_settings_that_are_never_read_are_looked_for_less_and_less_often() -> None:
    """As where ingest is switched off by a reserved concurrency of 0."""
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", PLAN)
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    simulation.passes(timedelta(minutes=5))
    ingests = simulation.request_ingest
    simulation.request_ingest = lambda source_key: None  # type: ignore[method-assign]
    simulation.objects.put("inbox/demo/experiment.yaml", SPEC + b"plan: [sft]\n", "text/yaml")
    simulation.passes(timedelta(days=1))
    assert simulation.record("demo").version < 100
    simulation.passes(timedelta(days=39))
    assert simulation.record("demo").version < 200
    assert not simulation.dead_letters
    assert len(told(simulation, "the ingest of experiment.yaml")) == 1
    simulation.request_ingest = ingests  # type: ignore[method-assign]
    assert simulation.run(
        lambda: simulation.is_in("demo", Status.RUNNING), timedelta(days=1, hours=3)
    )


@pytest.mark.parametrize("gap", [0, 2, 600], ids=str)
def test_data_that_comes_while_settings_are_invalid_takes_no_place_of_files_of_their_own(
    gap: int,
) -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", TYPO)
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    simulation.upload("demo", "eval.csv", questions_csv(24, 1))
    simulation.passes(timedelta(seconds=gap))
    simulation.clock.time += timedelta(seconds=1)
    simulation.upload("demo", "data.csv", questions_csv(100, 2))
    simulation.passes(timedelta(minutes=10))
    simulation.upload("demo", "experiment.yaml", PLAN)
    assert simulation.run(lambda: simulation.is_in("demo", Status.RUNNING), timedelta(minutes=5)), (
        simulation.record("demo").reason
    )


def test_data_that_lies_there_without_valid_settings_is_no_lost_upload() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", TYPO)
    simulation.upload("demo", "data.csv", questions_csv(100, 0))
    simulation.passes(timedelta(minutes=10))
    asked = Asked(simulation)
    simulation.passes(timedelta(days=4))
    assert not asked.files
    assert [subject for subject, _ in simulation.notifier.messages] == [
        "Novaloop: demo is REJECTED"
    ]


@pytest.mark.parametrize("strays", [3, 10, 30])
def test_data_is_used_as_soon_as_settings_divide_it_whatever_came_before(strays: int) -> None:
    simulation = Simulation()
    for number in range(strays):
        simulation.upload("demo", f"photo{number:02}.png", b"x")
    simulation.passes(timedelta(seconds=10))
    simulation.upload("demo", "data.csv", questions_csv(100, 0))
    simulation.passes(timedelta(hours=17))
    simulation.upload("demo", "experiment.yaml", DIVIDED)
    assert simulation.run(lambda: simulation.is_in("demo", Status.RUNNING), timedelta(minutes=5)), (
        simulation.record("demo").reason
    )


@pytest.mark.parametrize("files", [("sft.a.csv", "sft.csv"), ("sft.csv", "sft.a.csv")])
@pytest.mark.parametrize("lost", ["", "sft.a.csv", "sft.csv"])
def test_of_two_files_of_one_second_the_last_by_its_name_is_used(
    files: Sequence[str], lost: str
) -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", SPEC + b"plan: [sft]\n")
    asked = Asked(simulation)
    simulation.clock.time = simulation.clock.time.replace(microsecond=100_000)
    for number, file in enumerate(files):
        simulation.objects.put(f"inbox/demo/{file}", questions_csv(70, number), "text/csv")
        if file != lost:
            simulation.request_ingest(f"inbox/demo/{file}")
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.store.load("demo").datasets["sft"].file == max(files)
    assert sum(asked.files.values()) < 4
