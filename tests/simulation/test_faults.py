"""Faults strike every call, repeated ones twice; a copy of a simulation goes the original's way."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count

import pytest

from novaloop.experiment.record import CommandKind, Status
from tests.simulation.faults import ALIKE, PARTS, Calls, Scenario
from tests.simulation.simulation import ROUGH, SPEC, Chaos, Simulation

PLANS = {
    "on SageMaker": b"plan: [sft, evaluate: tuned, deploy: {inference_component: true}]\n",
    "on Bedrock": b"runtime: bedrock\nplan: [sft, deploy: {to: bedrock-on-demand}]\n",
}


def submitted(plan: bytes, chaos: Chaos) -> Simulation:
    simulation = Simulation(chaos=chaos)
    simulation.submit("demo", SPEC + plan, sft_rows=200)
    simulation.submit("other", SPEC + plan, sft_rows=200)
    return simulation


def end(simulation: Simulation) -> tuple[object, ...]:
    """Delete everything at the end, and return all that was seen on the way."""
    for experiment_id in ("demo", "other"):
        assert simulation.reaches(experiment_id, Status.LIVE)
        simulation.command(experiment_id, CommandKind.CLEANUP)
        assert simulation.reaches(experiment_id, Status.COMPLETED)
    entries = [simulation.store.history(each) for each in ("demo", "other")]
    return simulation.crashes.calls, simulation.store.snapshots, entries, simulation.objects.keys()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_copy_goes_the_way_of_the_original_and_leaves_it_alone(plan: bytes) -> None:
    expected = end(submitted(plan, ROUGH))
    simulation = submitted(plan, ROUGH)
    for number in count():
        if simulation.is_in("demo", Status.LIVE):
            break
        if number % 9 == 0:
            assert end(simulation.copied()) == expected
        simulation.step()
    assert end(simulation) == expected


def test_a_copy_refuses_to_share_what_is_to_come() -> None:
    simulation = submitted(PLANS["on SageMaker"], Chaos())
    simulation.later(timedelta(0), lambda: None)
    with pytest.raises(AssertionError, match="would act on the original"):
        simulation.copied()


def begin() -> Simulation:
    simulation = Simulation()
    simulation.submit("demo", SPEC + PLANS["on SageMaker"])
    return simulation


def is_live(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.LIVE)


@pytest.mark.parametrize("first", [None, "sagemaker.create_model"])
def test_every_call_is_struck_but_for_repetitions(first: str | None) -> None:
    scenario, struck = Scenario(begin, is_live, first), Counter[str]()

    def strike(simulation: Simulation) -> None:
        struck[simulation.crashes.calls[-1]] += 1

    for part in range(PARTS):
        yielded = [call for call, _ in scenario.struck(strike, Calls(part, after_effect=False))]
        assert yielded
    made = Counter(scenario.calls())
    assert struck.keys() == made.keys()
    assert struck < made
    assert all(struck[call] == times for call, times in made.items() if times <= ALIKE)
    assert first is None or scenario.calls()[0] == first


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_fault_strikes_before_or_after_the_effect(after_effect: bool) -> None:
    scenario, found = Scenario(begin, is_live), []

    def look(simulation: Simulation) -> None:
        if simulation.crashes.calls[-1] == "sagemaker.create_model":
            found.append(len(simulation.hosting.models))

    for part in range(PARTS):
        for _ in scenario.struck(look, Calls(part, after_effect)):
            pass
    assert found == [int(after_effect)]
