"""What the README says that one experiment costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import control_plane, live

MOST_CENTS = 0.31
"""For one experiment of the default plan."""
README = Path(__file__).parents[2] / "README.md"


def test_the_readme_tells_what_the_benchmark_counts(capsys: pytest.CaptureFixture[str]) -> None:
    control_plane.main()
    counted = re.search(r"together +([\d.]+)", capsys.readouterr().out)
    assert counted is not None
    told = re.search(r"costs about ([\d.]+) US cents", README.read_text(encoding="utf-8"))
    assert told is not None
    assert float(told[1]) == round(float(counted[1]), 1)
    assert float(counted[1]) <= MOST_CENTS


def test_the_readme_tells_what_an_idle_stack_costs(capsys: pytest.CaptureFixture[str]) -> None:
    control_plane.print_idle()
    counted = re.search(r"idle, together +([\d.]+)", capsys.readouterr().out)
    assert counted is not None
    told = re.search(r"nothing runs costs about ([\d.]+) US dollars", README.read_text("utf-8"))
    assert told is not None
    assert float(told[1]) == round(float(counted[1]), 1)


@pytest.mark.parametrize(("experiments", "days"), [(1, 12), (6, 4)])
def test_what_a_live_experiment_takes_is_the_same_each_day(experiments: int, days: int) -> None:
    counted = live.days(live.live(experiments), days)
    assert live.is_flat(counted), counted
    assert counted[-1].hints <= 40 * experiments
