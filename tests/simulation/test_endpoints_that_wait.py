"""An endpoint bills while its component is refused or lost: that is bounded, told and counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from novaloop.experiment.controller.transitions import MAX_LOST
from novaloop.experiment.costs.budget import spent_usd
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.record import StageState, Status
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.twin_service import LOSSES

COMPONENT = SPEC + b"plan: [sft, deploy: {inference_component: true, ttl_hours: 2}]\n"
AGAIN_AND_AGAIN = "component throttled again and again"
NO_CAPACITY = f"component {LOSSES['no capacity']}"
P5 = packaged_prices().usd_per_instance_hour["ml.p5.48xlarge"]


OVER = (Status.FAILED, Status.HELD)


def submitted(fate: Callable[[str], str], budget: float | None = None) -> Simulation:
    simulation = Simulation(fate=lambda name: fate(name) if "deploy" in name else "completes")
    spec = COMPONENT if budget is None else COMPONENT + f"budget_usd: {budget}\n".encode()
    simulation.submit("demo", spec)
    return simulation


def billed(simulation: Simulation) -> timedelta:
    """Let time pass until nothing is left of the experiment; say how long an endpoint was there."""
    total, end = timedelta(0), simulation.clock.now() + timedelta(days=2)
    while not (simulation.is_in("demo", *OVER) or simulation.clock.now() > end):
        before, there = simulation.clock.now(), bool(simulation.hosting.endpoints)
        simulation.step()
        total += (simulation.clock.now() - before) * there
    return total


@pytest.mark.parametrize("fate", [AGAIN_AND_AGAIN, NO_CAPACITY])
def test_a_component_that_is_refused_again_and_again_is_given_up_and_its_endpoint_ended(
    fate: str,
) -> None:
    simulation = submitted(lambda _: fate)
    time = billed(simulation)
    assert simulation.record("demo").status is Status.FAILED
    tries = simulation.crashes.calls.count("sagemaker.create_inference_component")
    assert tries == MAX_LOST
    assert time < timedelta(hours=2)
    assert fate in simulation.record("demo").reason
    told = [text for subject, text in simulation.notifier.messages if "demo is FAILED" in subject]
    assert len(told) == 1
    assert fate in told[0]
    simulation.check("demo")


def test_refusals_before_the_endpoint_do_not_count_against_its_component() -> None:
    fates = {"novaloop-demo--0000-deploy-1": "quota"}
    simulation = submitted(lambda name: fates.get(name, "completes"))
    assert simulation.run(
        lambda: (
            simulation.is_in("demo", Status.DEPLOYING)
            and simulation.record("demo").stage("deploy").state is StageState.WAITING
        )
    )
    fates["novaloop-demo--0000-deploy-1"] = "component throttled"
    assert simulation.settles("demo") is Status.LIVE


def test_what_lost_components_cost_counts_against_the_budget() -> None:
    budget = 300.0
    attempts = ("deploy-1", "deploy-2")
    lost = "component no capacity"
    simulation = submitted(lambda name: lost if name.endswith(attempts) else "completes", budget)
    assert simulation.settles("demo") is Status.LIVE
    stage = simulation.record("demo").stage("deploy")
    assert stage.earlier_seconds >= 2 * 30 * 60, "an endpoint takes 20 minutes, a component 10"
    assert spent_usd(simulation.record("demo")) > P5


@pytest.mark.parametrize("second", [AGAIN_AND_AGAIN, "component no capacity"])
def test_an_endpoint_that_waits_for_its_component_is_ended_when_the_budget_is_used_up(
    second: str,
) -> None:
    """The first attempt's component is lost after 30 minutes, the second never comes."""
    left = P5
    fates = {"novaloop-demo--0000-deploy-1": "component no capacity"}
    simulation = submitted(lambda name: fates.get(name, second), 4 * P5 / 60 + left)
    time = billed(simulation)
    record = simulation.record("demo")
    assert record.status is Status.FAILED
    assert record.stage("deploy").attempt.number == 2
    assert "the budget" in record.reason
    # Each takes five minutes to delete, which the first attempt is charged, and then some looks.
    assert P5 * (time - timedelta(minutes=7)) / timedelta(hours=1) < left
    simulation.check("demo")
