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
from novaloop.problem import Problem
from novaloop.recipes.bedrock import check_method, check_overrides

ELSEWHERE = "use runtime training-job or serverless"
_CHOSEN_THERE = ("instance_type", "instances", "max_runtime_seconds", "image", "stop_on")


def check_plan(spec: ExperimentSpec) -> Iterator[Problem]:
    """Yield what can't be asked of the plan as a whole."""
    trained = False
    for index, plan in enumerate(spec.plan):
        at = f"plan[{index}].{plan.kind}"
        if isinstance(plan, DeployStage):
            do = "use to: bedrock-on-demand or bedrock-provisioned"
            yield Problem(f"{at}.to", "what Bedrock trained, only Bedrock serves", do)
        if isinstance(plan, TrainStage):
            if trained:
                what = "Bedrock trains from the base model, so one training is all a plan has"
                yield Problem(at, what, ELSEWHERE)
            trained = True
    if spec.checkpoint is not None:
        yield Problem(
            "checkpoint", "Bedrock trains from the base model", f"remove it or {ELSEWHERE}"
        )


def check_job(method: str, spec: ExperimentSpec, stage: JobStage, at: str) -> Iterator[Problem]:
    """Yield what Bedrock has not, or would ignore, of what a stage asks for."""
    if isinstance(stage, EvaluateStage):
        yield Problem(at, "Bedrock has no evaluation of Nova models", f"remove it or {ELSEWHERE}")
        return
    for name in _CHOSEN_THERE:
        if name in stage.model_fields_set and getattr(stage, name) not in {None, ()}:
            do = f"remove it or {ELSEWHERE}"
            yield Problem(f"{at}.{name}", "runtime bedrock would ignore it", do)
    if getattr(stage, "validation", False):
        yield Problem(f"{at}.validation", "is not sent to Bedrock", f"remove it or {ELSEWHERE}")
    where = f"{at}.peft" if "peft" in stage.model_fields_set else at
    problems = list(check_method(method, spec.model, where))
    yield from problems or check_overrides(method, stage.overrides, f"{at}.overrides")
