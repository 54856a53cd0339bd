"""Which datasets a plan's stages read, and in which row formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from novaloop.datasets.options import RowFormat
from novaloop.experiment.names import SPLIT_STEM
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Input, Role

FORMATS: Mapping[str, RowFormat] = {
    Role.EVAL: RowFormat.EVALUATION,
    **{str(each): each for each in RowFormat if each is not RowFormat.EVALUATION},
}
"""The row format of each role; all roles but `eval` are called like theirs."""


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


def source_stem(spec: ExperimentSpec, role: str) -> str:
    """Return what the file of a role's dataset is called, without its extensions."""
    return SPLIT_STEM if role in split_roles(spec) else role


def question_column(spec: ExperimentSpec) -> str:
    """Return what the settings call the column of the questions."""
    return spec.columns.get("question") or "question"


def _all_inputs(spec: ExperimentSpec) -> Iterator[Input]:
    for plan in spec.plan:
        yield from plan.inputs
        if plan.validation_input is not None:
            yield plan.validation_input
