"""Several experiment.yaml soon after each other: the files are converted by the last, and soon.

What the table knows may be behind what ingest reads, and clocks of hosts differ by minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from novaloop.experiment.record import Status
from tests.simulation.simulation import SPEC, Call, Simulation
from tests.simulation.twins import questions_csv

SHORT = SPEC + b"plan: [sft]\n"
OTHER = SHORT + b"system_prompt: Sort it.\n"
INVALID = b"plan: [nothing]\n"
SKEWS = [timedelta(minutes=minutes) for minutes in (-3, 0, 3)]
any_skew = pytest.mark.parametrize("skew", SKEWS, ids=["behind", "right", "ahead"])


@dataclass
class Asked:
    """Counts what ingest is asked for, and how often a dataset's item is written."""

    asks: int = 0
    writes: int = 0

    def around(self, call: Call) -> Any:
        self.asks += call.name == "ingester.request_ingest"
        self.writes += call.name == "store.put_dataset"
        return call()


def behind(skew: timedelta) -> tuple[Simulation, Asked]:
    """Return a stack whose hosts' clocks are behind, or ahead, by that much."""
    simulation, asked = Simulation(), Asked()
    simulation.host.skew = skew
    simulation.interposed.append(asked)
    return simulation, asked


def uploaded_unseen(simulation: Simulation, spec: bytes) -> None:
    """Upload an experiment.yaml whose event is lost: the table knows the one before."""
    simulation.objects.put("inbox/demo/experiment.yaml", spec, "application/yaml")


@any_skew
@pytest.mark.parametrize("last", [INVALID, OTHER], ids=["invalid", "valid"])
@pytest.mark.parametrize("apart", [0, 1, 20])
def test_settings_that_the_table_does_not_know_yet_start_no_loop(
    skew: timedelta, last: bytes, apart: int
) -> None:
    """The controller asked for what is not of its settings, and the answer was a new ask."""
    simulation, asked = behind(skew)
    simulation.upload("demo", "experiment.yaml", SHORT)
    simulation.passes(timedelta(seconds=2))
    simulation.clock.time += timedelta(seconds=apart)
    uploaded_unseen(simulation, last)
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    simulation.passes(timedelta(minutes=1, seconds=50))  # then the sweep finds it
    assert asked.asks <= 5
    assert asked.writes <= 5
    simulation.passes(timedelta(minutes=10))
    simulation.upload("demo", "experiment.yaml", OTHER)
    assert simulation.reaches("demo", Status.COMPLETED)
    assert asked.asks <= 15


@pytest.mark.parametrize(
    ("skew", "apart"),
    # A host ahead of the bucket's time finds at once that nothing has come for long.
    [(skew, apart) for skew in SKEWS for apart in (0, 1, 20) if skew <= timedelta(0) or apart < 2],
)
def test_files_are_converted_again_soon_by_settings_that_came_after_them(
    skew: timedelta, apart: int
) -> None:
    simulation, asked = behind(skew)
    for spec in (SHORT, SHORT + b"labels: [HQ]\n", OTHER):
        simulation.upload("demo", "experiment.yaml", spec)
        simulation.upload("demo", "sft.csv", questions_csv(70, 0))
        simulation.passes(timedelta(seconds=apart))
    begun = simulation.clock.now()
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.clock.now() - begun < timedelta(minutes=5)
    assert simulation.record("demo").spec.system_prompt == "Sort it."
    assert asked.asks <= 20


@any_skew
def test_a_file_that_came_before_any_settings_is_converted_again_by_the_first(
    skew: timedelta,
) -> None:
    simulation, _ = behind(skew)
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    simulation.passes(timedelta(seconds=20))
    simulation.upload("demo", "experiment.yaml", SHORT)
    begun = simulation.clock.now()
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.clock.now() - begun < timedelta(minutes=5)
