"""Which object answers for which runtime, and what is asked of any of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from novaloop.experiment.record import Record, Stage
from novaloop.experiment.runtimes import serving
from novaloop.experiment.runtimes.bedrock import BedrockRuntime
from novaloop.experiment.runtimes.jobs import JobRuntime, Launch, rows_of
from novaloop.experiment.runtimes.serverless import ServerlessRuntime
from novaloop.experiment.runtimes.training_job import TrainingJobRuntime
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import JobStage, Runtime, StageSpec
from novaloop.experiment.stack import StackConfig
from novaloop.problem import Problem
from novaloop.recipes.checks import check_callable, check_repository
from novaloop.recipes.steps import optimizer_steps

RUNTIMES: Mapping[Runtime, JobRuntime] = {
    Runtime.TRAINING_JOB: TrainingJobRuntime(),
    Runtime.SERVERLESS: ServerlessRuntime(),
    Runtime.BEDROCK: BedrockRuntime(),
}


def runtime_of(spec: ExperimentSpec) -> JobRuntime:
    """Return what answers for the runtime of an experiment."""
    return RUNTIMES[spec.runtime]


def launch_of(record: Record, stage: Stage, stack_config: StackConfig) -> Launch:
    """Return what starts a stage's job; a function of the user's own scores if the spec names one.

    Raises Invalid.
    """
    scored = stack_config.scored_by(record.spec.reward_function)
    return runtime_of(record.spec).launch(record, stage, scored)


def check_region(spec: ExperimentSpec, plan: StageSpec, region: str, at: str) -> Iterator[Problem]:
    """Give the reason why a stage can't run in the stack's region, if it can't."""
    if plan.kind.serves:
        return serving.check_region(plan, region, at)
    if plan.recorded_as is not None:
        return iter(())
    return runtime_of(spec).check_region(plan.method, region, at)


def check_image(plan: StageSpec, stack_config: StackConfig, at: str) -> Iterator[Problem]:
    """Give the reason why the image of a stage may not run in the stack, if it may not."""
    return check_repository(getattr(plan, "image", None), stack_config.deployment, f"{at}.image")


def check_functions(spec: ExperimentSpec, stack_config: StackConfig) -> Iterator[Problem]:
    """Give the reasons why the stack's jobs can't call the user's own functions, if they can't."""
    here = stack_config.deployment
    for at, plan in spec.places:
        yield from check_callable(
            plan.processor_function,
            here.processor_functions,
            "ProcessorFunctionArns",
            here,
            f"{at}.processor",
        )
    yield from check_callable(
        spec.reward_function,
        here.reward_functions,
        "RewardFunctionArns",
        here,
        "reward.function",
    )


def steps_of(record: Record, plan: JobStage) -> int | None:
    """Return how many steps a stage's training takes; None for an evaluation."""
    return optimizer_steps(
        runtime_of(record.spec).settings(record.spec, plan), rows_of(record, plan)
    )
