"""`checkpoint: experiment/stage`: where an experiment goes on from another one's training."""

from __future__ import annotations

from dataclasses import dataclass

from novaloop.experiment import names
from novaloop.experiment.record import Record
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import OnBedrock, RftStage, Runtime, StagePlan, TrainStage
from novaloop.recipes.bedrock import check_peft
from novaloop.recipes.bedrock_serving import CUSTOM_MODEL_ARN
from novaloop.recipes.jobs import MODEL_PACKAGE_ARN


@dataclass(frozen=True)
class Origin:
    """The checkpoint of another experiment's stage, or why there is none; `for_now`: not yet."""

    checkpoint: str | None = None
    problem: str = ""
    for_now: bool = False


def named_origin(spec: ExperimentSpec) -> tuple[str, str] | None:
    """Return the experiment and the stage that `checkpoint` names; None if it names none."""
    experiment, mark, stage = (spec.checkpoint or "").partition("/")
    named = names.is_name(experiment, names.MAX_EXPERIMENT_WITHOUT_UID) and names.is_name(
        stage, names.MAX_STAGE
    )
    return (experiment, stage) if mark and named else None


def origin_of(spec: ExperimentSpec, source: Record | None) -> Origin:
    """Return what `checkpoint` names in the record of its experiment."""
    experiment, name = named_origin(spec) or ("", "")
    if source is None:
        return Origin(problem=f"no experiment is called {experiment}")
    plan = next((plan for plan in source.spec.plan if plan.name == name), None)
    problem = _problem_with(spec, source.spec, plan, f"{experiment}/{name}")
    if problem is not None:
        return Origin(problem=problem)
    stage = next((stage for stage in source.stages if stage.name == name), None)
    if stage is None or stage.checkpoint is None:
        problem = f"{experiment} is {source.status} and {name} has no checkpoint"
        return Origin(problem=problem, for_now=not source.status.is_final)
    if spec.runtime is Runtime.SERVERLESS and not MODEL_PACKAGE_ARN.fullmatch(stage.checkpoint):
        return Origin(problem=f"{experiment} did not run serverless, so {name} left no package")
    to_bedrock = all(isinstance(each, OnBedrock) for each in spec.plan)
    if CUSTOM_MODEL_ARN.fullmatch(stage.checkpoint) and not to_bedrock:
        return Origin(problem=f"{experiment} ran on Bedrock, so {name} can only be deployed there")
    return Origin(stage.checkpoint)


def _problem_with(
    spec: ExperimentSpec, source: ExperimentSpec, plan: StagePlan | None, where: str
) -> str | None:
    """Say why a plan can't go on from a stage, by what the service documents."""
    if not isinstance(plan, TrainStage):
        return f"{where} is no training"
    if source.model != spec.model:
        return f"{where} trained {source.model}, not {spec.model}"
    first = next((stage for stage in spec.plan if isinstance(stage, TrainStage)), None)
    for deployed in spec.plan if first is None else ():
        if isinstance(deployed, OnBedrock):
            for problem in check_peft(deployed.to, plan.peft, ""):
                return f"{where} was trained with peft {plan.peft}: {deployed.to} {problem}"
    if first is not None and first.peft != plan.peft:
        return f"{where} trained with peft {plan.peft}, {first.name} is to with {first.peft}"
    if isinstance(plan, RftStage) and first is not None and not isinstance(first, RftStage):
        return f"{where} was reinforcement, which only reinforcement can follow"
    return None
