"""A stack that got another prefix while something served, past the guard that refuses it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from novaloop.experiment.record import CommandKind
from tests.simulation.simulation import SPEC, Call, Crashes, Simulation
from tests.simulation.twin_service import refusal


class DeniedSchedules:
    """The stack's roles go by the present prefix where schedules are concerned."""

    def around(self, call: Call) -> Any:
        if call.name.startswith("scheduler."):
            raise refusal("AccessDeniedException", "is not authorized to perform this")
        return call()


@pytest.fixture
def simulation() -> Simulation:
    simulation = Simulation(1)
    simulation.submit("demo", SPEC + b"plan: [sft, deploy: {ttl_hours: 96}]\n")
    assert simulation.settles("demo") == "LIVE"
    simulation.prefix = "fresh"
    simulation.world = simulation.world_with(simulation.crashes)
    simulation.undisturbed = simulation.world_with(Crashes())
    simulation.interposed.append(DeniedSchedules())
    return simulation


def test_a_cleanup_finds_and_ends_what_serves_under_the_former_prefix(
    simulation: Simulation,
) -> None:
    found = {each.kind for each in simulation.world.tagged.find("demo")}
    assert found == {"sagemaker:endpoint", "sagemaker:endpoint-config", "sagemaker:model"}
    simulation.command("demo", CommandKind.CLEANUP)
    simulation.passes(timedelta(hours=2))
    assert not simulation.hosting.endpoints


def test_the_daily_search_tells_of_what_no_record_knows(simulation: Simulation) -> None:
    (name,) = simulation.hosting.endpoints
    simulation.forget("demo")
    simulation.passes(timedelta(days=2))
    told = [text for subject, text in simulation.notifier.messages if "without an" in subject]
    assert told
    assert f"{name} (experiment demo) serves, and nothing is known to end it" in told[0]
