"""What an experiment may not ask of runtime `serverless`, with what to do instead."""

from __future__ import annotations

from collections.abc import Iterator

from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import validation_input_of
from novaloop.experiment.spec.stages import EvaluateStage, JobStage, Task
from novaloop.problem import Problem
from novaloop.recipes.checks import check_holdout
from novaloop.recipes.serverless import check_method, sent_settings, serverless
from novaloop.recipes.settings import listed

_ELSEWHERE = "remove it or use runtime training-job"


def check_plan(spec: ExperimentSpec) -> Iterator[Problem]:
    """Yield what can't be asked of the plan as a whole."""
    models = serverless().models
    if spec.model not in models:
        what = f"runtime serverless has {listed(models)}, not {spec.model}"
        yield Problem("model", what, "choose one of them or use runtime training-job")


def check_job(method: str, spec: ExperimentSpec, stage: JobStage, at: str) -> Iterator[Problem]:
    """Yield what this runtime has not, or would ignore, of what a stage asks for."""
    for machines in ("instance_type", "instances"):
        if machines in stage.model_fields_set:
            what = "runtime serverless chooses the machines"
            yield Problem(f"{at}.{machines}", what, _ELSEWHERE)
    for name in ("image", "subtask"):
        if getattr(stage, name, None):
            yield Problem(f"{at}.{name}", "runtime serverless would ignore it", _ELSEWHERE)
    if isinstance(stage, EvaluateStage) and stage.task is not Task.GEN_QA:
        what = f"no request is known that tells runtime serverless to run {stage.task}"
        yield Problem(f"{at}.task", what, "use runtime training-job")
        return
    if spec.model not in serverless().models:
        return  # told once, for the whole plan
    where = f"{at}.peft" if "peft" in stage.model_fields_set else at
    if problems := list(check_method(method, spec.model, where)):
        yield from problems
        return
    yield from sent_settings(method, spec.model, stage.overrides, f"{at}.overrides")[1]
    if validation_input_of(stage) is not None:
        yield from check_holdout(method, spec.model, stage.overrides, at=at)
