"""Ingest dies over a file, without a word, each time: that ends as REJECTED, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from novaloop.experiment.record import Status
from novaloop.usecases import dataset_checks, ingest, spec_upload
from tests.simulation.simulation import SPEC, Crash, Simulation

HOURS = timedelta(hours=3)


def dies(*_: object, **__: object) -> None:
    """End as a function does that is out of memory or time."""
    raise Crash


def is_wrong(*_: object, **__: object) -> None:
    """End as a function does that meets what it was not written for."""
    raise UnicodeError("a row of text")


@pytest.mark.parametrize("ends", [dies, is_wrong])
@pytest.mark.parametrize(
    ("module", "step", "reason"),
    [
        (spec_upload, "read_spec", "experiment.yaml: could not be read in 6 attempts"),
        (dataset_checks, "check_datasets", "could not be checked against each other in 6 attempts"),
        (
            ingest,
            "convert_file",
            "sft.csv, rft.csv, eval.csv: could not be converted in 6 attempts",
        ),
    ],
)
def test_what_dies_each_time_is_given_up_with_a_reason(
    module: object,
    step: str,
    reason: str,
    ends: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, step, ends)
    simulation = Simulation()
    simulation.failures = (Crash, UnicodeError)
    simulation.submit("demo", SPEC)
    simulation.passes(HOURS)
    record = simulation.record("demo")
    assert record.status is Status.REJECTED
    assert reason in record.reason
    assert "perhaps for want of memory or time, or by a fault of its own" in record.reason


def test_what_is_given_up_is_read_again_once_it_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = Simulation()
    with monkeypatch.context() as patch:
        patch.setattr(spec_upload, "read_spec", dies)
        simulation.submit("demo", SPEC)
        simulation.passes(HOURS)
    assert simulation.record("demo").status is Status.REJECTED
    simulation.upload("demo", "experiment.yaml", SPEC)
    assert simulation.reaches("demo", Status.LIVE)


@pytest.mark.parametrize("settings", [SPEC, b"plan: sft\n"], ids=["valid", "not valid"])
def test_what_was_read_is_not_given_up_however_often_and_long_it_is_asked_for(
    settings: bytes,
) -> None:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", settings)
    simulation.passes(timedelta(minutes=1))
    read = simulation.store.load("demo").spec
    for _ in range(10):
        simulation.passes(timedelta(minutes=5))
        simulation.request_ingest("inbox/demo/experiment.yaml")
    simulation.passes(timedelta(minutes=1))
    assert simulation.store.load("demo").spec == read


def test_events_that_come_often_at_once_give_nothing_up() -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC)
    for _ in range(20):
        simulation.request_ingest("inbox/demo/experiment.yaml")
    assert simulation.settles("demo") is Status.LIVE
