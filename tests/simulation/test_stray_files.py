"""Files that the plan does not use, in any number, hold nothing up and fill nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from novaloop.experiment.record import MAX_STRAYS, CommandKind, Status
from novaloop.usecases.reconcile import MOST_MISNAMED
from tests.simulation.simulation import SPEC, Simulation

PLAN = SPEC + b"plan: [sft, deploy: {ttl_hours: 2}]\n"
STRAYS = 150


def drop(simulation: Simulation, number: int) -> None:
    simulation.upload("demo", f"notes-{number}.txt", b"what I did")


def assert_told(simulation: Simulation) -> None:
    snapshot = simulation.store.load("demo")
    assert snapshot.datasets.keys() == {"sft", "rft", "eval"}
    assert len(snapshot.strays.names) == MAX_STRAYS
    assert str(snapshot.strays).startswith("notes-")
    assert str(snapshot.strays).endswith(f"and {STRAYS - MAX_STRAYS} more")


def late_lines(simulation: Simulation) -> list[str]:
    return [e.why for e in simulation.store.history("demo") if e.what == "late upload"]


def test_strays_beside_the_files_do_not_keep_it_from_starting() -> None:
    simulation = Simulation()
    for number in range(STRAYS):
        drop(simulation, number)
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.LIVE
    assert late_lines(simulation) == []
    unused = simulation.record("demo").unused_uploads
    assert unused == "eval.csv, rft.csv are there, but not used: no stage of the plan uses it"
    assert_told(simulation)
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


@pytest.mark.parametrize("ends", [Status.STOPPED, Status.EXPIRED])
def test_strays_while_it_is_live_keep_nobody_from_ending_it(ends: Status) -> None:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.LIVE
    simulation.chaos = type(simulation.chaos)(lost=1.0)  # no event: all of them come up at once
    for number in range(STRAYS):
        drop(simulation, number)
    simulation.chaos = type(simulation.chaos)()
    simulation.passes(timedelta(minutes=10))
    if ends is Status.STOPPED:
        simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", ends)
    assert simulation.record("demo").status is ends
    simulation.check("demo")


def test_the_same_file_over_and_over_does_not_fill_the_record() -> None:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.LIVE
    for _ in range(STRAYS):
        simulation.upload("demo", "sft.csv", b"Id,Body,Y\n1,other,HQ\n")
        simulation.passes(timedelta(seconds=30))
    record = simulation.record("demo")
    used = record.datasets["sft"].version_id
    last = simulation.store.load("demo").datasets["sft"].version_id
    assert f"sft.csv version {last} is not used" in record.unused_uploads
    assert f"started with version {used} in its place" in record.unused_uploads
    assert record.notices == ()
    assert len(late_lines(simulation)) == STRAYS


def test_folders_of_photos_are_no_experiments() -> None:
    simulation = Simulation()
    for number in range(20):
        for folder in (f"Photos {number}", f"photos-{number}"):
            simulation.upload(folder, "img.jpg", b"x")
            simulation.upload(folder, "trip/IMG_1.HEIC", b"x")
    simulation.passes(timedelta(days=3))
    assert simulation.notifier.messages == []
    assert not any(each.record for each in simulation.store.snapshots.values())


@pytest.mark.parametrize(
    "file",
    [
        *("sft.tgz", "sft.7z", "SFT.ods", "eval.csv.bz2", "rft", "data.sqlite", "trip/sft.heic"),
        *("rows.7z", "rows.ods", "rows.csv.zst", "rows.tar", "rows.avro", "experiment.toml"),
    ],
)
def test_what_is_called_or_packed_like_a_dataset_is_told_of(file: str) -> None:
    simulation = Simulation()
    simulation.upload("demo", "photo.jpg", b"x")
    simulation.passes(timedelta(minutes=1))
    assert simulation.store.load("demo").record is None
    simulation.upload("demo", file, b"x")
    simulation.passes(timedelta(minutes=1))
    record = simulation.record("demo")
    assert record.status is Status.COLLECTING
    assert file in f"{record.reason} {record.notices} {simulation.store.load('demo').strays}"


def test_among_more_strays_than_are_named_may_be_one_that_was_meant() -> None:
    simulation = Simulation()
    for number in range(MAX_STRAYS + 1):
        simulation.upload("Photos 1", f"img-{number:03}.jpg", b"x")
    simulation.upload("Photos 1", "sft.csv", b"x")
    simulation.passes(timedelta(hours=3))
    assert [subject for subject, _ in simulation.notifier.messages] == [
        "Novaloop: Photos 1 is REJECTED"
    ]


def test_of_many_misnamed_folders_people_are_told_a_few_times_an_hour_and_that_there_are_more() -> (
    None
):
    simulation: Any = Simulation()
    publish, simulation.notifier.publish = simulation.notifier.publish, fails
    for number in range(10):
        simulation.upload(f"Folder {number}", "sft.csv", b"x")
    simulation.passes(timedelta(minutes=1))
    simulation.notifier.publish = publish
    for number in range(10, 60):
        simulation.upload(f"Folder {number}", "sft.csv", b"x")
    simulation.passes(timedelta(hours=12))
    messages = simulation.notifier.messages
    assert len(messages) == MOST_MISNAMED, "all of it was within an hour"
    assert ["`novaloop list`" in text for _, text in messages] == [False] * 4 + [True]
    simulation.upload("Another one", "sft.csv", b"x")
    simulation.passes(timedelta(minutes=1))
    assert messages[-1][0] == "Novaloop: Another one is REJECTED"
    assert simulation.record("Folder 59").status is Status.REJECTED


def fails(*_: object) -> None:
    raise ConnectionError
