"""What an experiment may not ask of runtime `bedrock`, with what to do instead."""

from __future__ import annotations

from collections.abc import Iterator

from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import (
    DeployStage,
    EvaluateStage,
    JobStage,
    TrainStage,
)
from novaloop.recipes.bedrock import problem_with_method, validate_overrides
from novaloop.recipes.errors import FieldError

ELSEWHERE = "use runtime training-job or serverless"
_CHOSEN_THERE = ("instance_type", "instances", "max_runtime_seconds", "image", "stop_on")


def plan_problems(spec: ExperimentSpec) -> Iterator[FieldError]:
    """Yield what can't be asked of the plan as a whole."""
    trained = False
    for index, plan in enumerate(spec.plan):
        at = f"plan[{index}].{plan.kind}"
        if isinstance(plan, DeployStage):
            message = "what Bedrock trained, only Bedrock serves: bedrock-on-demand or"
            yield FieldError(f"{at}.to", f"{message} bedrock-provisioned")
        if isinstance(plan, TrainStage):
            if trained:
                message = "Bedrock trains from the base model, so one training is all a plan has"
                yield FieldError(at, f"{message}; {ELSEWHERE}")
            trained = True
    if spec.checkpoint is not None:
        message = f"Bedrock trains from the base model; remove it or {ELSEWHERE}"
        yield FieldError("checkpoint", message)


def job_problems(
    method: str, spec: ExperimentSpec, stage: JobStage, at: str
) -> Iterator[FieldError]:
    """Yield what Bedrock has not, or would ignore, of what a stage asks for."""
    if isinstance(stage, EvaluateStage):
        yield FieldError(at, f"Bedrock has no evaluation of Nova models; remove it or {ELSEWHERE}")
        return
    for name in _CHOSEN_THERE:
        if name in stage.model_fields_set and getattr(stage, name) not in {None, ()}:
            yield FieldError(
                f"{at}.{name}", f"runtime bedrock would ignore it; remove it or {ELSEWHERE}"
            )
    if getattr(stage, "validation", False):
        yield FieldError(f"{at}.validation", f"is not sent to Bedrock; remove it or {ELSEWHERE}")
    problem = problem_with_method(method, spec.model)
    if problem is None:
        yield from validate_overrides(method, stage.overrides, f"{at}.overrides")
    else:
        yield FieldError(f"{at}.peft" if "peft" in stage.model_fields_set else at, problem)
