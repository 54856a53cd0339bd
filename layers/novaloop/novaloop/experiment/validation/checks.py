"""What is wrong with the settings of a plan, before anything is uploaded or launched."""

from __future__ import annotations

from collections.abc import Iterator

from novaloop.experiment.costs.budget import price_problems
from novaloop.experiment.lineage import named_origin
from novaloop.experiment.runtimes import bedrock as on_bedrock
from novaloop.experiment.runtimes import serverless as on_serverless
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import validation_input_of
from novaloop.experiment.spec.stages import (
    DeployStage,
    EvaluateStage,
    JobStage,
    OnBedrock,
    Runtime,
    StagePlan,
    TrainStage,
    method_of,
)
from novaloop.recipes.bedrock import problem_with_peft
from novaloop.recipes.checks import (
    problem_with_checkpoint,
    problem_with_image,
    validate_evaluation,
    validate_holdout,
    validate_infrastructure,
    validate_overrides,
)
from novaloop.recipes.endpoints import validate_endpoint
from novaloop.recipes.errors import FieldError
from novaloop.recipes.serverless import problem_with_package


def check_settings(spec: ExperimentSpec) -> Iterator[FieldError]:
    """Yield what is wrong with the overrides, machines and endpoint that the plan asks for."""
    for index, stage in enumerate(spec.plan):
        at = f"plan[{index}].{stage.kind}"
        try:
            yield from _check_stage(spec, stage, at)
        except ValueError as problem:
            yield FieldError(at, str(problem))
    if spec.runtime is Runtime.SERVERLESS:
        yield from on_serverless.plan_problems(spec)
    if spec.runtime is Runtime.BEDROCK:
        yield from on_bedrock.plan_problems(spec)
    elif refused := _problem_with_checkpoint(spec):
        yield FieldError("checkpoint", refused)
    yield from price_problems(spec)


def _problem_with_checkpoint(spec: ExperimentSpec) -> str | None:
    if spec.checkpoint is None or named_origin(spec) is not None:
        return None
    if spec.runtime is Runtime.SERVERLESS:
        return problem_with_package(spec.checkpoint)
    refused = problem_with_checkpoint(spec.checkpoint)
    return refused and f"{refused}, a model package's ARN or experiment/stage"


def _check_stage(spec: ExperimentSpec, stage: StagePlan, at: str) -> Iterator[FieldError]:
    if isinstance(stage, OnBedrock):
        yield from _check_on_bedrock(spec, stage, at)
        return
    if isinstance(stage, DeployStage):
        yield from _check_endpoint(spec, stage, at)
        return
    method = method_of(stage)
    if isinstance(stage, EvaluateStage):
        yield from validate_evaluation(method, spec.model, stage.subtask, stage.processor, at)
    match spec.runtime:
        case Runtime.TRAINING_JOB:
            yield from _check_training_job(method, spec, stage, at)
        case Runtime.SERVERLESS:
            yield from on_serverless.job_problems(method, spec, stage, at)
        case Runtime.BEDROCK:
            yield from on_bedrock.job_problems(method, spec, stage, at)


def _check_on_bedrock(spec: ExperimentSpec, stage: OnBedrock, at: str) -> Iterator[FieldError]:
    """Yield that Bedrock can't serve what the newest training before a deployment makes.

    Of a `checkpoint` from outside nobody knows how it was trained; of another experiment's stage
    it is checked when that is looked up.
    """
    before = spec.plan[: spec.plan.index(stage)]
    newest = next((each for each in reversed(before) if isinstance(each, TrainStage)), None)
    if newest is not None and (problem := problem_with_peft(stage.to, newest.peft)):
        yield FieldError(f"{at}.to", problem)


def _check_endpoint(spec: ExperimentSpec, stage: DeployStage, at: str) -> Iterator[FieldError]:
    yield from validate_endpoint(
        spec.model,
        stage.instance_type,
        stage.context_length,
        stage.max_concurrency,
        stage.environment,
        inference_component=stage.inference_component,
        at=at,
    )


def _check_training_job(
    method: str, spec: ExperimentSpec, stage: JobStage, at: str
) -> Iterator[FieldError]:
    model, machine, overrides = spec.model, stage.instance_type, stage.overrides
    image = problem_with_image(stage.image)
    if image is not None:
        yield FieldError(f"{at}.image", image)
    yield from validate_infrastructure(method, model, machine, stage.instances, at)
    yield from validate_overrides(
        method, model, overrides, instance_type=machine, at=f"{at}.overrides"
    )
    if validation_input_of(stage) is not None:
        yield from validate_holdout(method, model, overrides, instance_type=machine, at=at)
