"""What an experiment may not ask of runtime `serverless`, with what to do instead."""

from __future__ import annotations

from collections.abc import Iterator

from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import validation_input_of
from novaloop.experiment.spec.stages import EvaluateStage, JobStage, Task
from novaloop.recipes.checks import validate_holdout
from novaloop.recipes.errors import FieldError
from novaloop.recipes.serverless import problem_with_method, sent_settings, serverless
from novaloop.recipes.settings import listed


def plan_problems(spec: ExperimentSpec) -> Iterator[FieldError]:
    """Yield what can't be asked of the plan as a whole."""
    models = serverless().models
    if spec.model not in models:
        yield FieldError("model", f"runtime serverless has {listed(models)}, not {spec.model}")


def job_problems(
    method: str, spec: ExperimentSpec, stage: JobStage, at: str
) -> Iterator[FieldError]:
    """Yield what this runtime has not, or would ignore, of what a stage asks for."""
    for machines in ("instance_type", "instances"):
        if machines in stage.model_fields_set:
            message = "runtime serverless chooses the machines; remove it"
            yield FieldError(f"{at}.{machines}", f"{message} or use runtime training-job")
    for name in ("image", "subtask"):
        if getattr(stage, name, None):
            message = "runtime serverless would ignore it; remove it or use runtime training-job"
            yield FieldError(f"{at}.{name}", message)
    if isinstance(stage, EvaluateStage) and stage.task is not Task.GEN_QA:
        message = f"no request is known that tells runtime serverless to run {stage.task}"
        yield FieldError(f"{at}.task", f"{message}; use runtime training-job")
        return
    if spec.model not in serverless().models:
        return  # told once, for the whole plan
    problem = problem_with_method(method, spec.model)
    if problem is not None:
        yield FieldError(f"{at}.peft" if "peft" in stage.model_fields_set else at, problem)
        return
    yield from sent_settings(method, spec.model, stage.overrides, f"{at}.overrides")[1]
    if validation_input_of(stage) is not None:
        yield from validate_holdout(method, spec.model, stage.overrides, at=at)
