"""What is never completed is looked at less and less, and wakes at an upload whatever is lost."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from novaloop.experiment.record import Status
from tests.simulation.simulation import SPEC, Chaos, Simulation
from tests.simulation.twins import questions_csv

FILES = {"sft.csv": 70, "rft.csv": 20, "eval.csv": 24}
DAY = timedelta(days=1)


def abandoned(*, wrong: bool = False) -> Simulation:
    """Submit an experiment that lacks its data, or whose spec is wrong."""
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", b"plan: [nothing]\n" if wrong else SPEC)
    assert simulation.run(lambda: simulation.store.load("demo").record is not None)
    return simulation


def looks_in(simulation: Simulation, time: timedelta) -> int:
    before = simulation.hints_delivered
    simulation.passes(time)
    return simulation.hints_delivered - before


@pytest.mark.parametrize("wrong", [False, True])
def test_it_is_looked_at_less_and_less_and_in_the_end_not_at_all(*, wrong: bool) -> None:
    simulation = abandoned(wrong=wrong)
    assert simulation.record("demo").status is (Status.REJECTED if wrong else Status.COLLECTING)
    looks = [looks_in(simulation, DAY), looks_in(simulation, DAY), looks_in(simulation, 30 * DAY)]
    assert looks[0] < 20
    assert looks[1] <= 4
    # The sweep compares an upload with its item once a day for four weeks, then ever more seldom.
    assert looks[2] <= 60
    assert looks_in(simulation, 60 * DAY) <= 2
    assert simulation.record("demo").due_at is None


@pytest.mark.parametrize("after", [timedelta(hours=3), 10 * DAY, 60 * DAY])
@pytest.mark.parametrize("lost", [0.0, 1.0])
def test_an_upload_wakes_it_also_when_every_event_is_lost(after: timedelta, lost: float) -> None:
    simulation = abandoned()
    simulation.passes(after)
    simulation.chaos = Chaos(lost=lost)
    for seed, (file, rows) in enumerate(FILES.items()):
        simulation.upload("demo", file, questions_csv(rows, seed))
    started = partial(simulation.is_in, "demo", Status.RUNNING)
    assert simulation.run(started, timedelta(hours=1))


def test_what_waits_for_another_experiment_is_looked_at_each_hour() -> None:
    simulation = Simulation(fate=lambda name: "hangs" if "-first-" in name else "completes")
    simulation.submit("first")
    simulation.submit("second", SPEC + b"checkpoint: first/sft\n")
    simulation.passes(timedelta(hours=12))
    record = simulation.record("second")
    assert record.status is Status.COLLECTING
    assert record.due_at is not None
    assert record.due_at - simulation.clock.now() <= timedelta(hours=1)
