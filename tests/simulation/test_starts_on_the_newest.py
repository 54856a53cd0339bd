"""Nothing starts by settings or files of which the bucket has a newer version, or none any more."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from novaloop.experiment.record import Status
from tests.simulation.faults import Fails
from tests.simulation.simulation import SPEC, Call, Crash, Simulation
from tests.simulation.twin_service import refusal
from tests.simulation.twins import questions_csv

DATA = {"sft": questions_csv(70, 0), "rft": questions_csv(20, 1), "eval": questions_csv(24, 2)}
CAREFUL = SPEC + b"approval: manual\nbudget_usd: 900\n"
DRY = SPEC + b"dry_run: true\n"


def lies(simulation: Simulation, file: str, body: bytes) -> None:
    """Upload a file whose event is lost."""
    simulation.objects.put(f"inbox/demo/{file}", body, "text/plain")


def data(simulation: Simulation) -> None:
    for role, rows in DATA.items():
        simulation.upload("demo", f"{role}.csv", rows)


def deleted(simulation: Simulation, file: str) -> None:
    simulation.objects.deleted.add(f"inbox/demo/{file}")


def told(simulation: Simulation) -> list[str]:
    return [subject for subject, _ in simulation.notifier.messages]


@pytest.mark.parametrize("before", [b"", SPEC], ids=["the first", "a second"])
def test_settings_whose_event_was_lost_are_read_before_the_start(before: bytes) -> None:
    simulation = Simulation()
    if before:
        simulation.upload("demo", "experiment.yaml", before)
        simulation.passes(timedelta(seconds=3))
    lies(simulation, "experiment.yaml", DRY)
    data(simulation)
    assert simulation.settles("demo") is Status.COMPLETED
    assert simulation.record("demo").reason.startswith("dry run")
    assert not simulation.jobs.launches


def test_a_dataset_whose_event_was_lost_is_read_before_the_start() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", SPEC)
    data(simulation)
    simulation.passes(timedelta(seconds=10))
    lies(simulation, "sft.csv", questions_csv(90, 7))
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.record("demo").datasets["sft"].rows == 90


@pytest.mark.parametrize("file", ["sft.jsonl", "sft.csv.gz", "sft.CSV"])
def test_a_dataset_of_another_name_whose_event_was_lost_is_read_before_the_start(
    file: str,
) -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", SPEC)
    data(simulation)
    simulation.passes(timedelta(seconds=10))
    rows = [{"Id": number, "Body": f"corrected {number}", "Y": "HQ"} for number in range(90)]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    csv = questions_csv(90, 7)
    bodies = {"sft.jsonl": lines, "sft.csv.gz": gzip.compress(csv), "sft.CSV": csv}
    lies(simulation, file, bodies[file])
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.store.load("demo").datasets["sft"].file == file
    assert simulation.record("demo").datasets["sft"].rows == 90


def test_an_older_one_of_another_name_and_what_is_no_dataset_are_left_alone() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", SPEC)
    lies(simulation, "sft.jsonl", b"not read")
    simulation.passes(timedelta(seconds=10))
    data(simulation)
    simulation.passes(timedelta(seconds=10))
    lies(simulation, "sft.md", b"not read")
    lies(simulation, "sft.csv.old/sft.csv", b"not read")
    asked = Asked()
    simulation.interposed.append(asked)
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.record("demo").datasets["sft"].rows == 70
    assert "inbox/demo/sft.jsonl" not in asked.at


class Dies:
    """Ends the process over the first readings of a file."""

    def __init__(self, file: str, times: int) -> None:
        self._key = f"inbox/demo/{file}"
        self.times = times

    def around(self, call: Call) -> Any:
        if call.name == "objects.get" and call.first == self._key and self.times:
            self.times -= 1
            raise Crash
        return call()


def test_a_file_that_is_deleted_after_its_conversion_died_is_told_as_deleted() -> None:
    simulation = Simulation()
    simulation.interposed.append(Dies("sft.csv", 3))
    simulation.upload("demo", "experiment.yaml", SPEC)
    data(simulation)
    simulation.passes(timedelta(minutes=10))
    deleted(simulation, "sft.csv")
    simulation.passes(timedelta(hours=1))
    record = simulation.record("demo")
    assert record.status is Status.REJECTED
    assert "sft.csv: deleted from the bucket before the start" in record.reason
    simulation.passes(timedelta(days=4))
    assert told(simulation) == ["Novaloop: demo is REJECTED"]
    simulation.upload("demo", "sft.csv", DATA["sft"])
    assert simulation.reaches("demo", Status.RUNNING)


@pytest.mark.parametrize("file", ["experiment.yml", "Experiment.YAML"])
def test_a_misnamed_experiment_file_that_is_deleted_again_keeps_nothing_from_starting(
    file: str,
) -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", SPEC)
    data(simulation)
    simulation.passes(timedelta(seconds=5))
    simulation.upload("demo", file, SPEC)
    simulation.passes(timedelta(minutes=2))
    assert simulation.is_in("demo", Status.REJECTED)
    deleted(simulation, file)
    assert simulation.reaches("demo", Status.RUNNING)


def test_the_only_experiment_file_misnamed_and_deleted_leaves_nothing_to_start() -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yml", SPEC)
    simulation.passes(timedelta(minutes=2))
    deleted(simulation, "experiment.yml")
    simulation.passes(timedelta(hours=3))
    assert simulation.is_in("demo", Status.COLLECTING)
    assert simulation.record("demo").reason.startswith("waiting for ")


class Throttled:
    """The table takes no settings for some minutes."""

    def __init__(self, simulation: Simulation, minutes: int) -> None:
        self._clock = simulation.clock
        self._until = simulation.clock.now() + timedelta(minutes=minutes)

    def around(self, call: Call) -> Any:
        if call.name == "store.put_spec" and self._clock.now() < self._until:
            raise refusal("ThrottlingException", "no")
        return call()


class Asked:
    """Counts how often the controller asks for ingest."""

    def __init__(self) -> None:
        self.at: list[object] = []

    def around(self, call: Call) -> Any:
        if call.name == "ingester.request_ingest":
            self.at.append(call.first)
        return call()


@pytest.mark.parametrize("minutes", [3, 40])
def test_settings_that_can_not_be_written_yet_are_waited_for(minutes: int) -> None:
    simulation = Simulation()
    simulation.failures = (*simulation.failures, ClientError)
    simulation.interposed.append(Throttled(simulation, minutes))
    simulation.upload("demo", "experiment.yaml", CAREFUL)
    data(simulation)
    assert simulation.reaches("demo", Status.AWAITING_APPROVAL)
    assert simulation.record("demo").spec.approval == "manual"


def test_what_is_waited_for_is_not_asked_for_at_each_look() -> None:
    """Each asking invokes ingest, which may be at it: whatever leads to a look must not."""
    simulation = Simulation()
    simulation.failures = (*simulation.failures, ClientError)
    simulation.interposed.append(Throttled(simulation, 60))
    asked = Asked()
    simulation.interposed.append(asked)
    simulation.upload("demo", "experiment.yaml", SPEC)
    data(simulation)
    for minute in range(1, 60):
        simulation.later(timedelta(minutes=minute), lambda: simulation.emit("demo"))
    simulation.passes(timedelta(minutes=59))
    assert simulation.is_in("demo", Status.COLLECTING)
    assert 2 <= len(asked.at) <= 60 // 5 + 2
    assert simulation.reaches("demo", Status.RUNNING)


@pytest.mark.parametrize("file", ["experiment.yaml", "sft.csv"])
def test_what_was_deleted_before_the_start_is_asked_for(file: str) -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", CAREFUL)
    data(simulation)
    simulation.passes(timedelta(seconds=10))
    deleted(simulation, file)
    assert simulation.reaches("demo", Status.REJECTED)
    simulation.passes(timedelta(days=3))
    record = simulation.record("demo")
    assert record.reason == (
        f"{file}: deleted from the bucket before the start; upload it again to go on"
    )
    assert told(simulation) == ["Novaloop: demo is REJECTED"]
    assert not simulation.jobs.launches
    simulation.upload("demo", file, CAREFUL if file == "experiment.yaml" else DATA["sft"])
    assert simulation.reaches("demo", Status.AWAITING_APPROVAL)


@pytest.mark.parametrize("file", ["experiment.yaml", "sft.csv"])
def test_what_was_deleted_before_it_could_be_converted_again_is_asked_for(file: str) -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", SPEC)
    simulation.upload("demo", "sft.csv", DATA["sft"])
    simulation.passes(timedelta(minutes=10))
    deleted(simulation, file)
    if file == "sft.csv":
        simulation.upload("demo", "experiment.yaml", SPEC + b"system_prompt: Sort.\n")
    simulation.passes(timedelta(minutes=30))
    simulation.upload("demo", "rft.csv", DATA["rft"])
    assert simulation.reaches("demo", Status.REJECTED)
    assert simulation.record("demo").reason.startswith(f"{file}: deleted from the bucket")


def test_nothing_starts_while_the_bucket_can_not_be_asked() -> None:
    simulation = Simulation()

    simulation.upload("demo", "experiment.yaml", SPEC)
    data(simulation)
    simulation.passes(timedelta(seconds=5))
    simulation.interposed.append(Fails(("objects.newest",)))
    simulation.passes(timedelta(hours=3))
    assert simulation.is_in("demo", Status.COLLECTING)
    assert any("can't be read" in text for _, text in simulation.notifier.messages)
    simulation.interposed.clear()
    assert simulation.reaches("demo", Status.RUNNING)
