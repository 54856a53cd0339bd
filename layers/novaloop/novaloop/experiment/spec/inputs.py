"""Which datasets a plan's stages read, and in which row formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from novaloop.datasets.options import RowFormat
from novaloop.experiment.spec.experiment import ExperimentSpec, Role
from novaloop.experiment.spec.stages import (
    JUDGES,
    DpoStage,
    EvaluateStage,
    JobStage,
    RftStage,
    SftStage,
    Task,
)

Input = tuple[Role, RowFormat]

FORMATS: Mapping[str, RowFormat] = {
    Role.EVAL: RowFormat.EVALUATION,
    **{str(each): each for each in RowFormat if each is not RowFormat.EVALUATION},
}
"""The row format of each role; all roles but `eval` are called like theirs."""


def inputs_of(plan: JobStage) -> tuple[Input, ...]:
    """Return what a stage's job reads, one after the other; nothing for a benchmark."""
    match plan:
        case SftStage():
            return ((Role.SFT, RowFormat.SFT),)
        case DpoStage():
            return ((Role.DPO, RowFormat.DPO),)
        case RftStage():
            own = (Role.RFT, RowFormat.RFT)
            return (own, (Role.SFT, RowFormat.RFT)) if plan.include_sft_rows else (own,)
        case EvaluateStage():
            return _questions_of(plan.task)


def _questions_of(task: Task) -> tuple[Input, ...]:
    if task is Task.GEN_QA:
        return ((Role.EVAL, RowFormat.EVALUATION),)
    if task is Task.RFT_EVAL:
        return ((Role.EVAL, RowFormat.RFT),)
    return ((Role.LLM_JUDGE, RowFormat.LLM_JUDGE),) if task in JUDGES else ()


def validation_input_of(plan: JobStage) -> Input | None:
    """Return what a stage's job validates by, in the format that it trains on."""
    if isinstance(plan, SftStage | DpoStage) and plan.validation:
        return Role.VALIDATION, inputs_of(plan)[0][1]
    return None


def roles(spec: ExperimentSpec) -> tuple[Role, ...]:
    """Return which datasets the plan needs."""
    needed = {role for role, _ in _all_inputs(spec)}
    return tuple(role for role in Role if role in needed)


def row_formats(spec: ExperimentSpec, role: str) -> tuple[RowFormat, ...]:
    """Return the formats that a dataset is needed in, the first one its own if it is needed."""
    needed = {each for read, each in _all_inputs(spec) if read == role}
    own = FORMATS.get(role, RowFormat.SFT)
    others = tuple(each for each in RowFormat if each in needed and each is not own)
    return (own, *others) if own in needed or not others else others


def split_roles(spec: ExperimentSpec) -> tuple[Role, ...]:
    """Return which of the datasets that the plan needs come from `data.csv`."""
    shared = spec.split.shares if spec.split else {}
    return tuple(role for role in roles(spec) if role in shared)


def _all_inputs(spec: ExperimentSpec) -> Iterator[Input]:
    for plan in spec.plan:
        if isinstance(plan, JobStage):
            yield from inputs_of(plan)
            validation = validation_input_of(plan)
            if validation is not None:
                yield validation
