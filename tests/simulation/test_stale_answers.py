"""A look may answer as if a change had not been made, for up to a minute: it is not believed."""

from __future__ import annotations

import copy
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from novaloop.experiment.record import CommandKind, Status
from tests.simulation.faults import (
    Calls,
    Scenario,
    at_any_call,
    goes_live,
    leaves_nothing,
    stop,
)
from tests.simulation.simulation import SPEC, Chaos, Simulation, crash
from tests.simulation.test_updates_in_place import BOT, NEW, OLD, both, has_taken_over
from tests.simulation.twin_sagemaker import Resource
from tests.simulation.twin_service import refusal
from tests.simulation.weather import LOOKS

STALE = Chaos(former=1.0)
PLANS = {
    "endpoint": b"plan: [sft, deploy]\n",
    "component": b"plan: [sft, deploy: {inference_component: true}]\n",
    "imported model": b"plan: [sft, deploy: {to: bedrock-on-demand}]\n",
    "throughput": b"plan: [sft, deploy: {to: bedrock-provisioned}]\n",
    "customized": b"runtime: bedrock\nplan: [sft, deploy: {to: bedrock-on-demand}]\n",
}
"""Ways to serve, each with jobs and resources that change by themselves."""

DEPLOYING = {
    "component": "sagemaker.create_model",
    "throughput": "bedrock.create_custom_model",
    "customized": "bedrock.create_custom_model_deployment",
}
"""The first call of a deployment of each service; other files disturb the jobs before it."""


def submitted(plan: str, **settings: Any) -> Simulation:
    simulation = Simulation(**{"chaos": STALE, **settings})
    simulation.submit("demo", SPEC + PLANS[plan], sft_rows=200)
    return simulation


def is_live(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.LIVE)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", range(3))
def test_it_goes_live_and_expires_though_every_change_shows_late(plan: str, seed: int) -> None:
    simulation = submitted(plan, seed=seed)
    assert simulation.settles("demo") is Status.LIVE
    simulation.check("demo")
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.passes(timedelta(minutes=10))
    simulation.check("demo")


@pytest.mark.parametrize("plan", DEPLOYING)
@at_any_call
def test_a_stop_at_any_call_leaves_nothing_though_changes_show_late(
    plan: str, calls: Calls
) -> None:
    leaves_nothing(Scenario(partial(submitted, plan), is_live, DEPLOYING[plan]), calls)


# ---------------------------------------------------------------------- updates of endpoints
TAKES_OVER = Scenario(partial(both, chaos=STALE), has_taken_over, "sagemaker.create_model")


@at_any_call
def test_a_crash_at_any_call_of_an_update_heals(calls: Calls) -> None:
    goes_live(TAKES_OVER, crash, calls)


@at_any_call
def test_a_stop_at_any_call_of_an_update_leaves_nothing_of_it(calls: Calls) -> None:
    """The twin asserts that nothing is deleted which serves or is being rolled out."""
    for call, simulation in TAKES_OVER.struck(stop, calls):
        assert simulation.reaches("demo", Status.STOPPED), call
        simulation.passes(timedelta(hours=6))
        simulation.check("demo")
        old = simulation.record("old").status
        serving = {OLD} if old is Status.LIVE else set()
        assert {simulation.hosting.serving(BOT) for _ in simulation.hosting.endpoints} == serving, (
            call
        )


@pytest.mark.parametrize("seconds", [0, 10, 31, 45])
def test_an_update_is_not_given_up_for_looks_that_show_the_former_configuration(
    seconds: int,
) -> None:
    """Just after UpdateEndpoint was accepted, and once more half a minute later."""
    simulation = both()
    assert simulation.run(lambda: simulation.hosting.updates == [(BOT, NEW)])
    told = simulation.hosting.describe_endpoint(BOT)
    simulation.passes(timedelta(seconds=seconds))
    simulation.hosting._former[f"endpoint {BOT}"] = (
        as_before(simulation),
        simulation.clock.now() + timedelta(seconds=40),
    )
    simulation.lag.shows_former = lambda shows_at, now: now < shows_at  # type: ignore[method-assign]
    simulation.emit("demo")
    assert told["EndpointStatus"] == "Updating"
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.hosting.updates == [(BOT, NEW)]


def as_before(simulation: Simulation) -> Any:
    """Return the endpoint as it was before the update that goes on."""
    endpoint = copy.deepcopy(simulation.hosting.endpoints[BOT])
    endpoint.described["EndpointStatus"] = "InService"
    endpoint.target = None
    return endpoint


def test_a_stopped_update_that_seems_not_to_go_on_keeps_what_is_rolled_out() -> None:
    simulation = both()
    assert simulation.run(lambda: simulation.hosting.updates == [(BOT, NEW)])
    simulation.hosting._former[f"endpoint {BOT}"] = (
        as_before(simulation),
        simulation.clock.now() + timedelta(minutes=3),
    )
    simulation.lag.shows_former = lambda shows_at, now: now < shows_at  # type: ignore[method-assign]
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.passes(timedelta(hours=1))
    assert simulation.hosting.serving(BOT) == OLD
    assert simulation.record("old").status is Status.LIVE
    simulation.check("demo")


# ---------------------------------------------------------------------- what does not show at all
FIRST = {
    "endpoint": "sagemaker.create_model",
    "imported model": "bedrock.create_custom_model",
    **DEPLOYING,
}


@pytest.mark.parametrize("plan", PLANS)
@at_any_call
def test_one_look_that_does_not_find_it_fails_no_deployment(plan: str, calls: Calls) -> None:
    scenario = Scenario(partial(submitted, plan, chaos=Chaos()), is_live, FIRST[plan])
    for call, simulation in scenario.struck(does_not_show, calls):
        if call.startswith(LOOKS):
            assert simulation.settles("demo") is Status.LIVE, call
            assert simulation.record("demo").stages[-1].attempt.number == 1, call


def does_not_show(simulation: Simulation) -> None:
    call = simulation.crashes.calls[-1]
    if call.startswith(LOOKS):
        code = "ResourceNotFound" if call.startswith("bedrock") else "Validation"
        raise refusal(f"{code}Exception", f"Could not find what {call} looks for")


@pytest.mark.parametrize("plan", PLANS)
def test_what_serves_and_never_shows_is_asked_to_end_before_the_experiment_rests(plan: str) -> None:
    simulation = submitted(plan, chaos=Chaos())
    assert simulation.settles("demo") is Status.LIVE
    simulation.lag.stale = 1.0
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(hours=2))
    assert simulation.record("demo").status is Status.STOPPED
    bills = [*simulation.hosting.components, *simulation.hosting.endpoints]
    bills += [*simulation.bedrock.deployments, *simulation.bedrock.throughputs]
    assert bills == []


# ---------------------------------------------------------------------- a live endpoint
def shown_by_hand(simulation: Simulation, endpoint: str, time: timedelta) -> None:
    """Let looks say for a while that the endpoint serves what a person had put there once."""
    former = copy.deepcopy(simulation.hosting.endpoints[endpoint])
    former.described["EndpointConfigName"] = "by-hand"
    told = former, simulation.clock.now() + time
    simulation.hosting._former[f"endpoint {endpoint}"] = told
    simulation.lag.shows_former = lambda shows_at, now: now < shows_at  # type: ignore[method-assign]
    simulation.emit("demo")


@pytest.mark.parametrize("shared", [False, True])
def test_a_live_endpoint_is_not_let_go_for_one_look(*, shared: bool) -> None:
    simulation = both() if shared else submitted("endpoint", chaos=Chaos())
    assert simulation.settles("demo") is Status.LIVE
    endpoint = BOT if shared else "novaloop-demo--0000-deploy-1"
    shown_by_hand(simulation, endpoint, timedelta(minutes=2))
    simulation.passes(timedelta(hours=1))
    assert simulation.record("demo").status is Status.LIVE
    simulation.hosting.configs["by-hand"] = Resource({})
    simulation.hosting.updated(EndpointName=endpoint, EndpointConfigName="by-hand")
    if shared:
        assert simulation.reaches("demo", Status.COMPLETED)
        assert "updated from outside and serves by-hand" in simulation.record("demo").reason
    else:
        simulation.passes(timedelta(hours=2))
        assert simulation.record("demo").status is Status.LIVE
        assert "updated from outside: it serves" in simulation.record("demo").reason
