"""`checkpoint: experiment/stage`: where an experiment goes on from another one's training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from novaloop.experiment.record import Record, StageState
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind, TrainStage
from novaloop.problem import Problem
from novaloop.recipes.bedrock import check_peft
from novaloop.recipes.bedrock_serving import CUSTOM_MODEL_ARN

_ANOTHER = "name another checkpoint"
_SUCCEEDED = StageState.SUCCEEDED


@dataclass(frozen=True)
class Origin:
    """The checkpoint of another experiment's stage, or why there is none; `for_now`: not yet.

    `ended_at` is when that experiment ended without one.
    """

    checkpoint: str | None = None
    problem: Problem | None = None
    for_now: bool = False
    ended_at: datetime | None = None


def check_origin(spec: ExperimentSpec, experiment_id: str) -> Iterator[Problem]:
    """Yield that an experiment can't go on from itself, if it is to."""
    if spec.origin is not None and spec.origin[0] == experiment_id:
        what = f"{experiment_id} is this very experiment, which has no checkpoint before it starts"
        yield Problem("checkpoint", what, "leave it out, or name another experiment's")


def circle_of(experiments: Sequence[str]) -> Origin:
    """Return why none of these ever starts: each waits for the next, and the last for the first."""
    first, second, *others = experiments
    each = [f"{first} waits for {second}"]
    each += [f"{one} for {two}" for one, two in pairwise((second, *others, first))]
    what = f"{', '.join(each)}: they wait for each other, so none of them ever starts"
    return Origin(problem=Problem("checkpoint", what, "name another checkpoint in one of them"))


def origin_of(spec: ExperimentSpec, source: Record | None) -> Origin:
    """Return what `checkpoint` names in the record of its experiment."""
    experiment, name = spec.origin or ("", "")
    if source is None:
        what = f"no experiment is called {experiment}"
        return Origin(problem=Problem("checkpoint", what, "correct its name"))
    if source.status.takes_uploads and not source.spec_upload:
        # Its experiment.yaml may come, or is not valid yet: till then nobody knows its plan.
        return _not_yet(source, name)
    plan = next((plan for plan in source.spec.trainings if plan.name == name), None)
    problems = (
        iter((_no_training(source.spec, experiment, name),))
        if plan is None
        else _check_stage(spec, source.spec, plan, f"{experiment}/{name}")
    )
    if problem := next(problems, None):
        return Origin(problem=problem)
    stage = next((stage for stage in source.stages if stage.name == name), None)
    if stage is None or stage.checkpoint is None:
        return _not_yet(source, name, is_over=stage is not None and stage.state is _SUCCEEDED)
    if problem := next(_check_runtime(spec, stage.checkpoint, experiment, name), None):
        return Origin(problem=problem)
    return Origin(stage.checkpoint)


def _not_yet(source: Record, name: str, *, is_over: bool = False) -> Origin:
    """Return that there is no checkpoint, and whether one may still come."""
    for_now = not (source.status.is_final or is_over)
    what = f"{source.experiment_id} is {source.status} and {name} has no checkpoint"
    do = "it is looked for again" if for_now else _ANOTHER
    return Origin(None, Problem("checkpoint", what, do), for_now, source.ended_at)


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
