"""A call that took effect and answered an error: nothing twice, left over, or told wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Never

import pytest

from novaloop.experiment.record import CommandKind, StageState, Status
from novaloop.usecases.ports import VersionConflict
from tests.simulation.faults import Calls, Scenario
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.twin_service import UNANSWERED

PLANS = {
    "endpoint": b"plan: [sft, deploy]\n",
    "component": b"runtime: serverless\nplan: [{rft: {}}, deploy: {inference_component: true}]\n",
    "lasting": b"plan: [sft, deploy: {endpoint: bot}]\n",
    "bedrock": b"runtime: bedrock\nplan: [sft, deploy: {to: bedrock-on-demand}]\n",
    "throughput": b"plan: [sft, deploy: {to: bedrock-provisioned}]\n",
}
JOB = "novaloop-demo--0000-sft-1"


def submitted(plan: bytes) -> Simulation:
    simulation = Simulation()
    simulation.unseen = True
    simulation.submit("demo", SPEC + plan, sft_rows=240)
    return simulation


def is_live(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.LIVE)


def stopping(plan: bytes) -> Simulation:
    simulation = submitted(plan)
    assert simulation.settles("demo") is Status.LIVE
    simulation.command("demo", CommandKind.STOP)
    return simulation


def is_stopped(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.STOPPED)


def answers(code: str) -> Callable[[Simulation], Never]:
    """Let a call answer an error."""

    def answer(_: Simulation) -> Never:
        raise UNANSWERED[code]

    return answer


after_its_effect = pytest.mark.parametrize(
    "calls", [Calls(part, after_effect=True) for part in range(4)], ids=lambda calls: calls.part
)


@after_its_effect
@pytest.mark.parametrize(("plan", "code"), [*zip(PLANS, UNANSWERED, strict=True)])
def test_it_goes_live_whatever_call_took_effect_and_answered_an_error(
    plan: str, code: str, calls: Calls
) -> None:
    scenario = Scenario(partial(submitted, PLANS[plan]), is_live)
    for call, simulation in scenario.struck(answers(code), calls):
        assert simulation.settles("demo") is Status.LIVE, call
        simulation.check("demo")
        assert simulation.dead_letters == []
        assert not any("goes on waiting" in text for _, text in simulation.notifier.messages)


@after_its_effect
@pytest.mark.parametrize("plan", ["component", "lasting", "throughput"])
def test_it_ends_whatever_call_took_effect_and_answered_an_error(plan: str, calls: Calls) -> None:
    scenario = Scenario(partial(stopping, PLANS[plan]), is_stopped)
    for call, simulation in scenario.struck(answers("InternalFailure"), calls):
        assert simulation.reaches("demo", Status.STOPPED), call
        simulation.passes(timedelta(hours=1))
        simulation.check("demo")


@pytest.mark.parametrize("code", UNANSWERED)
@pytest.mark.parametrize("runtime", ["training-job", "serverless", "bedrock"])
def test_a_job_that_was_created_though_it_was_refused_is_found_and_ended(
    runtime: str, code: str
) -> None:
    simulation: Any = Simulation()
    simulation.submit("demo", SPEC + f"runtime: {runtime}\nplan: [sft]\n".encode(), sft_rows=240)
    twin = simulation.bedrock if runtime == "bedrock" else simulation.jobs
    create = "create_model_customization_job" if runtime == "bedrock" else "create_training_job"
    made = getattr(twin, create)

    def create_and_fail(**request: Any) -> Never:
        made(**request)
        simulation.lag.stale = 1.0
        raise UNANSWERED[code]

    setattr(twin, create, create_and_fail)
    assert simulation.run(lambda: bool(twin.running))
    simulation.command("demo", CommandKind.STOP)
    simulation.passes(timedelta(minutes=3))
    simulation.lag.stale = 0.0
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.passes(timedelta(minutes=10))
    simulation.check("demo")


def test_a_job_that_was_created_though_it_was_refused_is_followed_at_the_next_look() -> None:
    simulation: Any = submitted(b"plan: [sft]\n")
    made = simulation.jobs.create_training_job

    def create_and_fail(**request: Any) -> Never:
        made(**request)
        raise UNANSWERED["ResourceLimitExceeded"]

    simulation.jobs.create_training_job = create_and_fail
    assert simulation.run(lambda: bool(simulation.jobs.running))
    simulation.jobs.create_training_job = made
    simulation.passes(timedelta(seconds=20))
    assert simulation.record("demo").stage("sft").state is StageState.RUNNING
    assert simulation.settles("demo") is Status.COMPLETED
    assert simulation.jobs.launches == [JOB]


class Store:
    """A store whose commits take effect and answer a conflict, as a repeated request does."""

    def __init__(self, store: Any, dice: Any) -> None:
        self.store, self.dice, self.struck = store, dice, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def commit(self, *arguments: Any) -> Any:
        record = self.store.commit(*arguments)
        if self.dice.random() < 0.3:
            self.struck += 1
            raise VersionConflict(record.experiment_id)
        return record


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("plan", ["endpoint", "bedrock"])
def test_a_commit_that_met_itself_changes_nothing(plan: str, seed: int) -> None:
    simulation: Any = Simulation(seed)
    store = Store(simulation.world.store, simulation.random)
    simulation.world = replace(simulation.world, store=store)
    simulation.submit("demo", SPEC + PLANS[plan], sft_rows=240)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.passes(timedelta(hours=1))
    simulation.check("demo")
    assert store.struck > 3
