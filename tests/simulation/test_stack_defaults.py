"""A stack's defaults hold from the start of an experiment to its end, and are told there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from novaloop.experiment.record import Record, Status
from novaloop.experiment.spec.defaults import SpecDefaults
from novaloop.experiment.spec.experiment import Gate
from tests.simulation.simulation import Simulation
from tests.simulation.test_messages_that_fail import Refuses

STRICT = SpecDefaults("manual", 2_500.0, Gate(better_than="baseline"))
OTHER = SpecDefaults("auto", None, None)


def has(simulation: Simulation, defaults: SpecDefaults | None) -> None:
    """Deploy the stack with these defaults."""
    for each in ("world", "undisturbed"):
        world = getattr(simulation, each)
        policy = replace(world.policy, defaults=defaults)
        setattr(simulation, each, replace(world, policy=policy))


def submitted(settings: str | None, defaults: SpecDefaults | None) -> Simulation:
    """Return a simulation of a stack with these defaults, after three files were uploaded."""
    simulation = Simulation()
    has(simulation, defaults)
    if settings is not None:
        simulation.upload("demo", "experiment.yaml", settings.encode())
    for role in ("sft", "rft", "eval"):
        rows = "".join(f"{role} {number},HQ\n" for number in range(300))
        simulation.upload("demo", f"{role}.csv", f"question,answer\n{rows}".encode())
    return simulation


def settings_of(record: Record) -> tuple[object, ...]:
    return record.spec.approval, record.spec.budget_usd, record.spec.gate


@pytest.mark.parametrize("settings", [None, "model: nova-lite-2\n"])
def test_they_hold_for_what_the_settings_leave_out(settings: str | None) -> None:
    simulation = submitted(settings, STRICT)
    assert simulation.reaches("demo", Status.RUNNING)
    assert settings_of(simulation.record("demo")) == ("manual", 2_500, STRICT.gate)
    (line,) = [each for each in simulation.store.history("demo") if each.what == "RUNNING"]
    assert "gate: {better_than: baseline}" in line.why


def test_what_the_settings_say_holds() -> None:
    said = "approval: auto\nbudget_usd: null\ngate: null\n"
    simulation = submitted(said, STRICT)
    assert simulation.reaches("demo", Status.RUNNING)
    assert settings_of(simulation.record("demo")) == ("auto", None, None)


def test_a_later_change_of_the_parameters_changes_no_experiment_that_has_started() -> None:
    simulation = submitted(None, STRICT)
    assert simulation.reaches("demo", Status.RUNNING)
    has(simulation, OTHER)
    assert simulation.settles("demo") in {Status.HELD, Status.AWAITING_APPROVAL}
    assert settings_of(simulation.record("demo")) == ("manual", 2_500, STRICT.gate)


def test_the_start_is_told_once_with_what_it_may_cost() -> None:
    simulation = submitted(None, STRICT)
    simulation.settles("demo")
    ((subject, message),) = simulation.notifier.starts
    assert subject == "Novaloop: demo has started"
    for expected in (
        "by the default plan, since no experiment.yaml was there",
        "baseline, sft, after-sft, rft, after-rft: about ",
        "2,500.00 USD at the most",
        "a deployment: ",
        "by the stack's defaults: approval: manual, budget_usd: 2500",
        "End it: novaloop stop demo",
    ):
        assert expected in message


def test_a_start_that_cannot_be_told_is_told_later() -> None:
    simulation = submitted(None, STRICT)
    topic = Refuses(takes=False)
    simulation.interposed.append(topic)
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.notifier.starts == []
    assert simulation.record("demo").untold_start
    topic.on = False
    simulation.passes(timedelta(hours=1))
    assert len(simulation.notifier.starts) == 1
    assert not simulation.record("demo").untold_start


def test_a_deployment_without_a_gate_is_told_at_the_start() -> None:
    simulation = submitted("gate: null\n", None)
    simulation.settles("demo")
    ((_, message),) = simulation.notifier.starts
    assert "no gate is set: it is deployed whatever the evaluations show" in message


def test_settings_of_an_earlier_release_are_as_they_were() -> None:
    """It resolved all of them when it read the file, and did not note what the file left out."""
    simulation = submitted("model: nova-lite-2\n", None)
    simulation.passes(timedelta(seconds=10))
    item = simulation.store.load("demo").spec
    assert item is not None
    simulation.store.put_spec("demo", replace(item, left_out=()))
    has(simulation, STRICT)
    assert simulation.reaches("demo", Status.RUNNING)
    assert settings_of(simulation.record("demo")) == ("auto", None, None)
