"""What a controller did stays known when another one commits first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from novaloop.experiment.record import StageState, Status
from novaloop.usecases.reconcile import reconcile
from tests.simulation.faults import second_controller
from tests.simulation.simulation import SPEC, Chaos, Crashes, Simulation
from tests.simulation.test_absence import JOB
from tests.simulation.test_updates_in_place import BOT, NEW, OLD, both


class AfterTheUpdate(Crashes):
    """Once the update of an endpoint is requested, something happens, once."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self.happens: Callable[[], None] | None = happens

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        result = super().around(name, call)
        if name == "sagemaker.update_endpoint" and self.happens:
            happens, self.happens = self.happens, None
            happens()
        return result


def test_an_update_is_requested_once_though_another_controller_saw_it_first() -> None:
    simulation = both("update fails")
    seen: list[StageState] = []

    def look() -> None:
        seen.append(reconcile("demo", simulation.undisturbed).stages[-1].state)

    simulation.world = simulation.world_with(AfterTheUpdate(look))
    assert simulation.settles("demo") is Status.FAILED
    assert seen == [StageState.RUNNING]
    assert simulation.hosting.updates == [(BOT, NEW)]
    assert simulation.hosting.serving(BOT) == OLD


class Before(Crashes):
    """Something happens before a call takes effect, once the experiment is RUNNING; once."""

    def __init__(self, simulation: Simulation, name: str, happens: Callable[[], None]) -> None:
        super().__init__()
        self.simulation, self.name = simulation, name
        self.happens: Callable[[], None] | None = happens

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        running = self.simulation.is_in("demo", Status.RUNNING)
        if name == self.name and running and self.happens:
            happens, self.happens = self.happens, None
            happens()
        return super().around(name, call)


def test_whoever_loses_a_commit_does_nothing_about_it() -> None:
    """What it decided on was decided by another one: a second launch is never sent."""
    simulation = complete()
    lost = Before(simulation, "store.commit", lambda: second_controller(simulation))
    assert reconcile("demo", simulation.world_with(lost)) == simulation.record("demo")
    assert lost.happens is None
    assert simulation.jobs.launches == [JOB]
    assert "jobs.create_training_job" not in lost.calls


def test_a_launch_is_committed_before_it_is_sent() -> None:
    simulation = complete()
    found: list[StageState] = []
    launch = Before(
        simulation,
        "jobs.create_training_job",
        lambda: found.append(simulation.record("demo").stages[0].state),
    )
    assert reconcile("demo", simulation.world_with(launch)) == simulation.record("demo")
    assert found == [StageState.CLAIMED]
    assert simulation.jobs.launches == [JOB]


def complete() -> Simulation:
    """Return a simulation whose experiment has all that it needs, and starts at the next look."""
    simulation = Simulation(chaos=Chaos(sweeps=False))
    simulation.submit("demo", SPEC + b"plan: [sft]\n", sft_rows=200)
    assert simulation.run(lambda: simulation.store.load("demo").checks is not None)
    simulation.clock.time += timedelta(minutes=5)
    return simulation
