"""What is wrong with the settings of a plan, before anything is uploaded or launched."""

from __future__ import annotations

from collections.abc import Iterator

from novaloop.experiment.costs.budget import check_prices
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
from novaloop.problem import Invalid, Problem
from novaloop.recipes.bedrock import check_peft
from novaloop.recipes.checks import (
    check_checkpoint,
    check_evaluation,
    check_holdout,
    check_image,
    check_infrastructure,
    check_overrides,
)
from novaloop.recipes.endpoints import check_endpoint
from novaloop.recipes.serverless import check_package


def check_settings(spec: ExperimentSpec) -> Iterator[Problem]:
    """Yield what is wrong with the overrides, machines and endpoint that the plan asks for."""
    for index, stage in enumerate(spec.plan):
        at = f"plan[{index}].{stage.kind}"
        try:
            yield from _check_stage(spec, stage, at)
        except Invalid as invalid:  # a method that the model has not
            yield from invalid.under(at)
    if spec.runtime is Runtime.SERVERLESS:
        yield from on_serverless.check_plan(spec)
    if spec.runtime is Runtime.BEDROCK:
        yield from on_bedrock.check_plan(spec)
    elif named_origin(spec) is None:
        check = check_package if spec.runtime is Runtime.SERVERLESS else check_checkpoint
        yield from check(spec.checkpoint, "checkpoint")
    yield from check_prices(spec)


def _check_stage(spec: ExperimentSpec, stage: StagePlan, at: str) -> Iterator[Problem]:
    if isinstance(stage, OnBedrock):
        yield from _check_on_bedrock(spec, stage, at)
        return
    if isinstance(stage, DeployStage):
        yield from check_endpoint(
            spec.model,
            stage.instance_type,
            stage.context_length,
            stage.max_concurrency,
            stage.environment,
            inference_component=stage.inference_component,
            at=at,
        )
        return
    method = method_of(stage)
    if isinstance(stage, EvaluateStage):
        yield from check_evaluation(method, spec.model, stage.subtask, stage.processor, at)
    match spec.runtime:
        case Runtime.TRAINING_JOB:
            yield from _check_training_job(method, spec, stage, at)
        case Runtime.SERVERLESS:
            yield from on_serverless.check_job(method, spec, stage, at)
        case Runtime.BEDROCK:
            yield from on_bedrock.check_job(method, spec, stage, at)


def _check_on_bedrock(spec: ExperimentSpec, stage: OnBedrock, at: str) -> Iterator[Problem]:
    """Yield that Bedrock can't serve what the newest training before a deployment makes.

    Of a `checkpoint` from outside nobody knows how it was trained; of another experiment's stage
    it is checked when that is looked up.
    """
    before = spec.plan[: spec.plan.index(stage)]
    newest = next((each for each in reversed(before) if isinstance(each, TrainStage)), None)
    if newest is not None:
        yield from check_peft(stage.to, newest.peft, f"{at}.to")


def _check_training_job(
    method: str, spec: ExperimentSpec, stage: JobStage, at: str
) -> Iterator[Problem]:
    model, machine, overrides = spec.model, stage.instance_type, stage.overrides
    yield from check_image(stage.image, f"{at}.image")
    yield from check_infrastructure(method, model, machine, stage.instances, at)
    yield from check_overrides(
        method, model, overrides, instance_type=machine, at=f"{at}.overrides"
    )
    if validation_input_of(stage) is not None:
        yield from check_holdout(method, model, overrides, instance_type=machine, at=at)
