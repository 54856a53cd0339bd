"""What the README says that one experiment costs."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks import control_plane, live
from novaloop.experiment.record import CommandKind, Status
from tests.simulation.simulation import SPEC, Simulation

MOST_CENTS = 0.25
"""For one experiment of the default plan."""
MOST_WRITE_UNITS = 900
MOST_BYTES = 3 * 1024
"""Of the record's item at any time: one screen of the table's console."""
README = Path(__file__).parents[2] / "README.md"


def test_the_readme_tells_what_the_benchmark_counts(capsys: pytest.CaptureFixture[str]) -> None:
    control_plane.main()
    printed = capsys.readouterr().out
    counted = re.search(r"together +([\d.]+)", printed)
    assert counted is not None
    told = re.search(r"costs about ([\d.]+) US cents", README.read_text(encoding="utf-8"))
    assert told is not None
    assert float(told[1]) == round(float(counted[1]), 1)
    assert float(counted[1]) <= MOST_CENTS
    units = re.search(r"write unit +([\d,]+)", printed)
    largest = re.search(r"record has up to ([\d,]+) bytes", printed)
    assert units is not None
    assert largest is not None
    assert int(units[1].replace(",", "")) <= MOST_WRITE_UNITS
    assert int(largest[1].replace(",", "")) <= MOST_BYTES


def test_the_readme_tells_what_an_idle_stack_costs(capsys: pytest.CaptureFixture[str]) -> None:
    control_plane.print_idle()
    counted = re.search(r"idle, together +([\d.]+)", capsys.readouterr().out)
    assert counted is not None
    told = re.search(r"nothing runs costs about ([\d.]+) US dollars", README.read_text("utf-8"))
    assert told is not None
    assert float(told[1]) == round(float(counted[1]), 1)


@pytest.mark.parametrize(
    ("settings", "status"),
    [(b"budget_usd: 0.01\n", Status.HELD), (b"approval: manual\n", Status.AWAITING_APPROVAL)],
)
def test_what_waits_for_a_person_is_looked_at_less_and_less_often_and_obeyed_at_once(
    settings: bytes, status: Status
) -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + settings + b"plan: [sft, deploy]\n")
    assert simulation.settles("demo") is status
    before = simulation.hints_delivered
    simulation.passes(timedelta(days=60))
    assert simulation.is_in("demo", status)
    assert simulation.hints_delivered - before < 120
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(minutes=5))
    assert simulation.is_in("demo", Status.STOPPED)


@pytest.mark.parametrize(("experiments", "days"), [(1, 12), (6, 4)])
def test_what_a_live_experiment_takes_is_the_same_each_day(experiments: int, days: int) -> None:
    counted = live.days(live.live(experiments), days)
    assert live.is_flat(counted), counted
    assert counted[-1].hints <= 40 * experiments
