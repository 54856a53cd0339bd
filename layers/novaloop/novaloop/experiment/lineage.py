"""`checkpoint: experiment/stage`: where an experiment goes on from another one's training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from novaloop.experiment import names
from novaloop.experiment.record import Record
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind, TrainStage
from novaloop.problem import Problem
from novaloop.recipes.bedrock import check_peft
from novaloop.recipes.bedrock_serving import CUSTOM_MODEL_ARN

_ANOTHER = "name another checkpoint"


@dataclass(frozen=True)
class Origin:
    """The checkpoint of another experiment's stage, or why there is none; `for_now`: not yet.

    `ended_at` is when that experiment ended without one.
    """

    checkpoint: str | None = None
    problem: Problem | None = None
    for_now: bool = False
    ended_at: datetime | None = None


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
        what = f"no experiment is called {experiment}"
        return Origin(problem=Problem("checkpoint", what, "correct its name"))
    plan = next((plan for plan in source.spec.trainings if plan.name == name), None)
    if plan is None:
        return Origin(problem=_no_training(source.spec, experiment, name))
    if problem := next(_check_stage(spec, source.spec, plan, f"{experiment}/{name}"), None):
        return Origin(problem=problem)
    stage = next((stage for stage in source.stages if stage.name == name), None)
    if stage is None or stage.checkpoint is None:
        for_now = not source.status.is_final
        what = f"{experiment} is {source.status} and {name} has no checkpoint"
        do = "it is looked for again" if for_now else _ANOTHER
        return Origin(None, Problem("checkpoint", what, do), for_now, source.ended_at)
    if problem := next(_check_runtime(spec, stage.checkpoint, experiment, name), None):
        return Origin(problem=problem)
    return Origin(stage.checkpoint)


def _check_runtime(
    spec: ExperimentSpec, checkpoint: str, experiment: str, name: str
) -> Iterator[Problem]:
    """Yield why a plan can't go on from what the other experiment's runtime left."""
    for problem in runtime_of(spec).check_origin(checkpoint, experiment, name):
        yield replace(problem, do=f"{problem.do}, or {_ANOTHER}")
    to_bedrock = all(each.on_bedrock for each in spec.plan)
    if CUSTOM_MODEL_ARN.fullmatch(checkpoint) and not to_bedrock:
        what = f"{experiment} ran on Bedrock, so {name} can only be deployed there"
        yield Problem("checkpoint", what, f"leave out the other stages, or {_ANOTHER}")


def _no_training(source: ExperimentSpec, experiment: str, name: str) -> Problem:
    """Say that a name is none of those of an experiment's trainings, and which are."""
    what = f"{experiment} has no stage {name}"
    if any(stage.name == name for stage in source.plan):
        what = f"{experiment}/{name} is no training"
    trainings = [stage.name for stage in source.trainings]
    if not trainings:
        return Problem("checkpoint", f"{what}, and none of its stages trains", _ANOTHER)
    are = "those that train are" if len(trainings) > 1 else "the one that trains is"
    return Problem("checkpoint", what, f"{are} {', '.join(trainings)}")


def _check_stage(
    spec: ExperimentSpec, source: ExperimentSpec, plan: TrainStage, stage: str
) -> Iterator[Problem]:
    """Yield why a plan can't go on from a stage, by what the service documents."""
    at = "checkpoint"
    if source.model != spec.model:
        what = f"{stage} trained {source.model}, not {spec.model}"
        yield Problem(at, what, f"set model: {source.model}, or {_ANOTHER}")
    first = next(iter(spec.trainings), None)
    for deployed in spec.plan if first is None else ():
        if deployed.on_bedrock:
            told = f"{stage} was trained with peft {plan.peft}: {deployed.method}"
            for problem in check_peft(deployed.method, plan.peft, at):
                yield replace(problem, what=f"{told} {problem.what}")
    if first is not None and first.peft != plan.peft:
        what = f"{stage} trained with peft {plan.peft}, {first.name} is to with {first.peft}"
        yield Problem(at, what, f"set peft: {plan.peft}, or {_ANOTHER}")
    if plan.kind is StageKind.RFT and first is not None and first.kind is not StageKind.RFT:
        what = f"{stage} was reinforcement, which only reinforcement can follow"
        yield Problem(at, what, f"leave out {first.name}, or {_ANOTHER}")
