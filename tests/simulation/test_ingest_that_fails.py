"""An upload is never lost for a fault of a service, however long that lasts, and people know."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from novaloop.experiment.record import Record, SpecItem, Status
from tests.simulation.faults import DENIED, Fails, Profiles
from tests.simulation.simulation import SPEC, Call, Crash, Simulation
from tests.simulation.twin_service import Unanswered
from tests.simulation.twins import questions_csv

SHORT = SPEC + b"plan: [sft]\n"
HOURS = (0.1, 0.3, 1.1, 10, 12, 20, 40)
DAYS = timedelta(days=3)


def submitted(fault: Fails, *, with_spec: bool = True) -> Simulation:
    simulation = Simulation()
    simulation.failures = (Crash, Unanswered, ClientError, KeyError)
    simulation.unseen = True
    simulation.interposed.append(fault)
    if with_spec:
        simulation.submit("demo", SHORT)
    else:
        text = questions_csv(70, 0).replace(b"Id,Body,Y", b"Id,question,answer")
        simulation.upload("demo", "sft.csv", text)
    return simulation


class Datasets(Fails):
    """Only the datasets' files can't be read."""

    def around(self, call: Call) -> Any:
        return super().around(call) if str(call.first).endswith(".csv") else call()


@pytest.mark.parametrize("deleted", [False, True])
def test_nobody_asks_at_each_look_for_what_ingest_reads_by_other_settings(deleted: bool) -> None:
    """Each ask would bring two looks about, and each of these an ask: thousands within an hour.

    The experiment.yaml in the bucket is not that of the table: its item can't be written, or it
    was deleted since.
    """
    simulation = submitted(Datasets(("objects.get",)))
    unwritten = Fails(("store.put_spec",), on=not deleted)
    simulation.interposed.append(unwritten)
    if deleted:
        simulation.passes(timedelta(minutes=1))
        del simulation.objects._versions["inbox/demo/experiment.yaml"]
        simulation.upload("demo", "sft.csv", questions_csv(71, 0))
    for _ in range(24):  # from the second day on, the item says why nothing could be read
        hints = simulation.hints_delivered
        often = partial(lambda before: simulation.hints_delivered > before + 150, hints)
        assert not simulation.run(often, timedelta(hours=2))


def rejected_after_a_day(simulation: Simulation) -> Record:
    """Let a week go by, in which people are told once, and not on the first day."""
    simulation.passes(timedelta(hours=23))
    assert not simulation.notifier.messages
    simulation.passes(timedelta(days=6))
    record = simulation.record("demo")
    assert record.status is Status.REJECTED
    assert len(simulation.notifier.messages) == 1
    return record


def heals(simulation: Simulation, fault: Fails) -> None:
    """Let the fault be over: within a day it is tried again, and all goes on."""
    fault.on = False
    simulation.passes(timedelta(days=1, hours=1))
    assert simulation.settles("demo") is Status.COMPLETED


def told(simulation: Simulation, what: str) -> list[str]:
    return [text for _, text in simulation.notifier.messages if what in text]


def is_ingested(simulation: Simulation, *, with_spec: bool = True) -> bool:
    snapshot = simulation.store.load("demo")
    data = snapshot.datasets.get("sft")
    is_read = snapshot.spec is not None and snapshot.spec.spec is not None
    return data is not None and data.status == "ACCEPTED" and is_read is with_spec


FAULTS = {
    "what is newest": ("objects.newest",),
    "reading": ("objects.get",),
    "reading anything": ("objects.newest", "objects.get"),
    "items": ("store.put_spec", "store.put_dataset"),
    "asking": ("ingester.", "objects.newest"),
    "writing rows": ("objects.put", "objects.writer"),
}


@pytest.mark.parametrize("with_spec", [True, False], ids=["experiment.yaml", "data only"])
@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("calls", FAULTS.values(), ids=FAULTS)
def test_once_a_fault_is_over_the_upload_is_ingested_within_a_day(
    calls: tuple[str, ...], hours: float, with_spec: bool
) -> None:
    fault = Fails(calls)
    simulation = submitted(fault, with_spec=with_spec)
    simulation.passes(timedelta(hours=hours))
    fault.on = False
    simulation.passes(timedelta(days=1, hours=1))
    assert fault.struck
    assert is_ingested(simulation, with_spec=with_spec)
    if with_spec:
        assert simulation.settles("demo") is Status.COMPLETED


@pytest.mark.parametrize("error", [DENIED, Crash()], ids=["error", "death"])
def test_an_upload_that_gets_no_item_in_two_days_is_told_once(error: BaseException) -> None:
    fault = Fails(("objects.newest",), error)
    simulation = submitted(fault)
    simulation.passes(timedelta(hours=40))
    assert not simulation.notifier.messages
    simulation.passes(timedelta(days=5))
    (text,) = told(simulation, "inbox/demo/experiment.yaml")
    assert "inbox/demo/sft.csv" in text
    assert len(simulation.notifier.messages) == 1
    heals(simulation, fault)


@pytest.mark.parametrize(
    ("calls", "file"),
    [(("objects.get",), "experiment.yaml"), (("objects.writer",), "sft.csv")],
)
def test_an_error_is_told_with_its_code_after_a_day_and_once(
    calls: tuple[str, ...], file: str
) -> None:
    fault = Fails(calls)
    simulation = submitted(fault)
    record = rejected_after_a_day(simulation)
    assert f"{file}: could not be" in record.reason
    assert "AccessDenied" in record.reason
    assert not told(simulation, "a row of text")
    assert fault.struck < 400
    heals(simulation, fault)


def test_checks_that_raise_are_made_again() -> None:
    fault = Fails(("store.put_checks",))
    simulation = submitted(fault)
    simulation.passes(timedelta(hours=2))
    fault.on = False
    assert simulation.settles("demo") is Status.COMPLETED


def test_checks_whose_profiles_can_not_be_read_are_told_after_a_day_and_once() -> None:
    fault = Profiles(("objects.get",))
    simulation = submitted(fault)
    record = rejected_after_a_day(simulation)
    assert "could not be checked against each other yet: AccessDenied" in record.reason
    assert fault.struck < 150
    heals(simulation, fault)


def test_deaths_are_counted_after_errors_too() -> None:
    fault = Fails(("objects.writer",))
    simulation = submitted(fault)
    simulation.passes(timedelta(days=2))
    fault.error = Crash()
    simulation.passes(timedelta(days=7))
    record = simulation.record("demo")
    assert record.status is Status.REJECTED
    assert "could not be converted in 6 attempts" in record.reason
    struck = fault.struck
    simulation.passes(timedelta(days=7))
    assert fault.struck == struck


def test_a_spec_that_is_written_late_does_not_replace_a_newer_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = Simulation(fate=lambda _: "hangs")
    held: list[tuple[str, SpecItem]] = []
    put_spec = simulation.store.put_spec

    def slowly(experiment_id: str, item: SpecItem) -> None:
        held.append((experiment_id, item))

    monkeypatch.setattr(simulation.store, "put_spec", slowly)
    simulation.submit("demo", SPEC + b"plan: [sft]\n")
    assert simulation.run(lambda: bool(held))
    monkeypatch.undo()
    simulation.passes(timedelta(seconds=1))
    simulation.upload("demo", "experiment.yaml", SPEC + b"plan: [sft]\ndry_run: true\n")
    simulation.passes(timedelta(seconds=5))
    put_spec(*held[0])
    simulation.passes(timedelta(hours=1))
    record = simulation.record("demo")
    assert record.spec.dry_run
    assert record.status is Status.COMPLETED
    assert simulation.jobs.jobs == {}
