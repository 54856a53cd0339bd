"""A service may answer otherwise each time that it is asked: a look comes to rest all the same.

No source says that SageMaker does so within seconds, and none that it does not: billed seconds and
steps grow, and one that lags may answer by turns.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from novaloop.experiment.record import CommandKind, Status
from tests.simulation.simulation import SPEC, Call, Simulation

Change = Callable[[dict[str, Any], int], object]
OF_A_JOB: dict[str, Change] = {
    "seconds": lambda told, n: told.update(BillableTimeInSeconds=n),
    "phase": lambda told, n: told.update(SecondaryStatus=("Training", "Uploading")[n % 2]),
}
OF_AN_ENDPOINT: dict[str, Change] = {
    "changed by turns": lambda told, n: told.update(
        EndpointStatus=("Updating", "InService")[n % 2]
    ),
    "failing by turns": lambda told, n: told.update(EndpointStatus=("Failed", "InService")[n % 2]),
    "why it fails": lambda told, n: told.update(EndpointStatus="Failed", FailureReason=f"try {n}"),
}


class Ticking:
    """Answers a Describe otherwise each time."""

    def __init__(self, simulation: Simulation, operation: str, change: Change) -> None:
        self.operation, self.change, self.times = operation, change, 0
        simulation.failures = (*simulation.failures, RuntimeError)
        simulation.interposed.append(self)

    def around(self, call: Call) -> Any:
        told = call()
        if call.name == self.operation:
            self.times += 1
            self.change(told, self.times)
        return told


@pytest.mark.parametrize("change", OF_A_JOB.values(), ids=OF_A_JOB)
def test_a_job_that_is_told_otherwise_each_time(change: Change) -> None:
    simulation = Simulation(fate=lambda _: "hangs")
    Ticking(simulation, "jobs.describe_training_job", change)
    simulation.submit("demo", SPEC + b"plan: [sft]\n")
    simulation.passes(timedelta(hours=3))
    record = simulation.record("demo")
    assert record.status is Status.RUNNING
    assert record.stages[0].attempt.progress is not None
    assert record.version < 3 * simulation.hints_delivered
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    assert simulation.dead_letters == []


@pytest.mark.parametrize("change", OF_AN_ENDPOINT.values(), ids=OF_AN_ENDPOINT)
def test_an_endpoint_that_is_told_otherwise_each_time(change: Change) -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"plan: [sft, deploy]\n")
    assert simulation.reaches("demo", Status.LIVE)
    simulation.passes(timedelta(minutes=1))
    looks, version = simulation.hints_delivered, simulation.record("demo").version
    Ticking(simulation, "sagemaker.describe_endpoint", change)
    simulation.passes(timedelta(hours=10))
    record = simulation.record("demo")
    assert record.status is Status.LIVE
    assert record.version - version < 3 * (simulation.hints_delivered - looks)
    assert simulation.dead_letters == []
