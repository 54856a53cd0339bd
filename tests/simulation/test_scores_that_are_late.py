"""A score is waited for as long as any other outcome: a day, with people told early, and once.

The metrics function may be throttled, for which Lambda keeps an asynchronous event for six hours
(AWS Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation"),
or may not read the output: neither makes an evaluation worthless that is paid for.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from novaloop.experiment.record import Status
from novaloop.usecases.score import ScoreWorld, score
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.test_what_cannot_be_read import failing, submitted, told
from tests.simulation.test_what_passes_while_nobody_looks import Interposed
from tests.simulation.twin_service import refusal

EVALUATION = SPEC + b"plan: [evaluate: baseline, sft]\n"
MOST_ASKED = 12


class Asked:
    """The metrics function, which takes its time; None: it dies each time."""

    def __init__(self, simulation: Simulation, takes: timedelta | None) -> None:
        self.simulation, self.takes = simulation, takes
        self.times = 0
        simulation.request_score = self  # type: ignore[method-assign]
        simulation.world = simulation.world_with(simulation.crashes)

    def __call__(self, experiment_id: str, stage: str, attempt: int) -> None:
        self.times += 1
        if self.takes is not None:
            world = self.simulation._score_world()
            self.simulation.later(self.takes, lambda: _scored(experiment_id, stage, attempt, world))


def _scored(experiment_id: str, stage: str, attempt: int, world: ScoreWorld) -> None:
    score(experiment_id, stage, attempt, world)


@pytest.mark.parametrize("minutes", [24, 35, 60, 359])
def test_a_score_that_is_late_is_used(minutes: int) -> None:
    simulation = submitted(EVALUATION)
    asked = Asked(simulation, timedelta(minutes=minutes))
    assert simulation.settles("demo") is Status.COMPLETED
    assert asked.times <= MOST_ASKED
    assert len(told(simulation, "baseline: the metrics function has not delivered a score")) == 1


def test_a_score_that_takes_some_minutes_is_no_news() -> None:
    simulation = submitted(EVALUATION)
    Asked(simulation, timedelta(minutes=8))
    assert simulation.settles("demo") is Status.COMPLETED
    assert not told(simulation, "has not delivered")


@pytest.mark.parametrize("stage", ["baseline", "sft"])
@pytest.mark.parametrize("minutes", [20, 60, 600])
def test_an_output_that_can_not_be_read_for_a_while_is_used(stage: str, minutes: int) -> None:
    """Whoever reads it: the metrics function an evaluation's, the controller a training's."""
    simulation = submitted(EVALUATION)
    simulation.failures = (*simulation.failures, ClientError)
    denied: list[Any] = []

    def before(call: Any) -> None:
        if call.name == "objects.get" and f"-{stage}-" in str(call.first):
            denied.append(simulation.clock.now())
            if simulation.clock.now() < denied[0] + timedelta(minutes=minutes):
                raise refusal("AccessDenied", "no")

    Interposed(simulation, before)
    assert simulation.settles("demo") is Status.COMPLETED
    assert denied
    problem = {"baseline": "has not delivered a score", "sft": "can't be read"}[stage]
    assert len(told(simulation, problem)) == 1


def test_a_score_that_never_comes_fails_its_stage_in_a_day() -> None:
    simulation = submitted(EVALUATION)
    asked = Asked(simulation, None)
    assert simulation.run(lambda: asked.times > 0)
    since = simulation.clock.now()
    simulation.passes(timedelta(hours=1))
    assert len(told(simulation, "has not delivered a score")) == 1, "nobody was told early"
    simulation.passes(timedelta(hours=22))
    assert simulation.record("demo").status is Status.RUNNING
    assert simulation.settles("demo") is Status.FAILED
    assert simulation.clock.now() - since < timedelta(hours=26)
    assert "has not delivered a score" in simulation.record("demo").reason
    assert asked.times <= MOST_ASKED
    assert len(told(simulation, "it is asked again")) == 1


def test_the_controllers_absence_is_not_the_metrics_functions() -> None:
    """Its first event was lost with the function; the controller is away for over a day then."""
    simulation = submitted(EVALUATION)
    asked = Asked(simulation, None)
    assert simulation.run(lambda: asked.times > 0)
    with failing(simulation.store, "load", error=MemoryError()):
        simulation.failures = (*simulation.failures, MemoryError)
        simulation.passes(timedelta(hours=30))
    asked.takes = timedelta(minutes=8)
    assert simulation.settles("demo") is Status.COMPLETED


def test_a_model_that_is_named_late_is_used() -> None:
    simulation = submitted(SPEC + b"runtime: serverless\nplan: [sft]\n")
    describe = simulation.jobs.describe_training_job
    ended: list[datetime] = []

    def nameless(TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        answer = describe(TrainingJobName)
        if answer["TrainingJobStatus"] == "Completed":
            ended.append(simulation.clock.now())
            if simulation.clock.now() < ended[0] + timedelta(hours=1):
                answer.pop("OutputModelPackageArn", None)
        return answer

    simulation.jobs.describe_training_job = nameless  # type: ignore[method-assign]
    assert simulation.settles("demo") is Status.COMPLETED
    assert ended
    assert len(told(simulation, "names no model")) == 1
