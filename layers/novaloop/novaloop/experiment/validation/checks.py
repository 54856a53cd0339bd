"""What is wrong with the settings of a plan, before anything is uploaded or launched."""

from __future__ import annotations

from collections.abc import Iterator

from novaloop.experiment.costs.budget import check_prices
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.experiment.runtimes.serving import check_deployment
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import EvaluateStage, JobStage, ServingStage, StagePlan
from novaloop.problem import Invalid, Problem
from novaloop.recipes.checks import check_evaluation, check_function


def check_settings(spec: ExperimentSpec) -> Iterator[Problem]:
    """Yield what is wrong with the overrides, machines and endpoint that the plan asks for."""
    for at, stage in spec.places:
        try:
            yield from _check_stage(spec, stage, at)
        except Invalid as invalid:  # a method that the model has not
            yield from invalid.under(at)
    if spec.reward_function is not None:
        yield from check_function(spec.reward_function, "reward.function")
    yield from runtime_of(spec).check_plan(spec)
    if spec.checkpoint is not None and spec.origin is None:
        yield from runtime_of(spec).check_checkpoint(spec.checkpoint, "checkpoint")
    yield from check_prices(spec)


def _check_stage(spec: ExperimentSpec, stage: StagePlan, at: str) -> Iterator[Problem]:
    if isinstance(stage, ServingStage):  # it has no job, so the runtime has no say
        yield from check_deployment(spec, stage, at)
        return
    if not isinstance(stage, JobStage):  # its answers were recorded
        return
    if isinstance(stage, EvaluateStage):  # which alone has a subtask
        yield from check_evaluation(stage.method, spec.model, stage.subtask, stage.processor, at)
    yield from runtime_of(spec).check_job(spec, stage, at)
