"""An experiment's own endpoint that somebody points at another configuration is still its own."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest

from novaloop.experiment.record import CommandKind, Status
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.twin_sagemaker import Resource

OWN = "novaloop-demo--0000-deploy-1"
PLANS = [b"deploy", b"deploy: {inference_component: true}"]


def changed(deploy: bytes, *, tidied: bool) -> Simulation:
    """Return a stack whose live endpoint serves `by-hand`; with `tidied`, its own is deleted."""
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"plan: [sft, " + deploy + b"]\n")
    assert simulation.settles("demo") is Status.LIVE
    simulation.hosting.configs["by-hand"] = Resource({})
    simulation.hosting.updated(EndpointName=OWN, EndpointConfigName="by-hand")
    simulation.passes(timedelta(minutes=15))
    if tidied:
        del simulation.hosting.configs[OWN]
    return simulation


@pytest.mark.parametrize("tidied", [False, True])
@pytest.mark.parametrize("deploy", PLANS)
def test_the_record_says_that_it_was_changed_and_when_it_ends(
    deploy: bytes, *, tidied: bool
) -> None:
    simulation = changed(deploy, tidied=tidied)
    simulation.passes(timedelta(hours=2))
    record = simulation.record("demo")
    assert record.status is Status.LIVE
    assert "updated from outside: it serves the configuration by-hand now" in record.reason
    assert any("by-hand" in body for _, body in simulation.notifier.messages)
    assert simulation.reaches("demo", Status.EXPIRED)
    assert OWN not in simulation.hosting.endpoints
    assert simulation.scheduler.schedules == {}


@pytest.mark.parametrize("tidied", [False, True])
@pytest.mark.parametrize("kind", [CommandKind.STOP, CommandKind.CLEANUP])
@pytest.mark.parametrize("deploy", PLANS)
def test_a_stop_and_a_cleanup_end_it(deploy: bytes, kind: CommandKind, *, tidied: bool) -> None:
    simulation = changed(deploy, tidied=tidied)
    simulation.command("demo", kind)
    simulation.passes(timedelta(hours=1))
    assert simulation.record("demo").status.is_final
    assert OWN not in simulation.hosting.endpoints
    assert simulation.scheduler.schedules == {}


def test_what_is_put_back_serves_again() -> None:
    simulation = changed(b"deploy", tidied=False)
    simulation.passes(timedelta(hours=1))
    simulation.hosting.updated(EndpointName=OWN, EndpointConfigName=OWN)
    simulation.passes(timedelta(hours=2))
    record = simulation.record("demo")
    assert (record.status, "serves again" in record.reason) == (Status.LIVE, True)


def test_a_cleanup_finds_one_that_came_back_to_life_after_the_end() -> None:
    simulation = changed(b"deploy", tidied=False)
    endpoint = copy.deepcopy(simulation.hosting.endpoints[OWN])
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(hours=1))
    simulation.hosting.endpoints[OWN] = endpoint
    simulation.command("demo", CommandKind.CLEANUP)
    simulation.passes(timedelta(hours=1))
    assert OWN not in simulation.hosting.endpoints


def test_a_lasting_endpoint_that_serves_something_else_is_not_called_deleted() -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"plan: [sft, deploy: {endpoint: bot}]\n")
    assert simulation.settles("demo") is Status.LIVE
    simulation.hosting.configs["by-hand"] = Resource({})
    simulation.hosting.updated(EndpointName="novaloop-bot", EndpointConfigName="by-hand")
    del simulation.hosting.configs[OWN]
    assert simulation.reaches("demo", Status.COMPLETED)
    assert "updated from outside and serves by-hand now" in simulation.record("demo").reason
    assert simulation.hosting.serving("novaloop-bot") == "by-hand"
