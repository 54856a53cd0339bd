"""Which datasets a plan's stages read, and in which row formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from novaloop.datasets.options import RowFormat
from novaloop.experiment.names import SPLIT_STEM
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Input, Role

FORMATS: Mapping[str, RowFormat] = {
    Role.EVAL: RowFormat.EVALUATION,
    **{
        str(each): each
        for each in RowFormat
        if each not in {RowFormat.EVALUATION, RowFormat.REFERENCE}
    },
}
"""The row format of each role; all roles but `eval` are called like theirs."""


def roles(spec: ExperimentSpec) -> tuple[str, ...]:
    """Return which datasets the plan needs, and last the answers that were recorded."""
    needed = {role for role, _ in _all_inputs(spec)}
    return (*(role for role in Role if role in needed), *recorded_files(spec))


def roles_called(spec: ExperimentSpec, stem: str) -> list[str]:
    """Return the datasets, needed or not, that a file of this name without extensions makes."""
    return [each for each in (*Role, *recorded_files(spec)) if source_stem(spec, each) == stem]


def recorded_files(spec: ExperimentSpec) -> dict[str, str]:
    """Return the files of recorded answers that the plan scores, by what they are called."""
    files = ((each.recorded_as, getattr(each, "recorded", "")) for each in spec.plan)
    return {role: file for role, file in files if role is not None}


def file_for(spec: ExperimentSpec, role: str) -> str:
    """Return the name of the file that a dataset comes from, as people are asked for it."""
    return recorded_files(spec).get(role) or f"{source_stem(spec, role)}.csv"


def row_formats(spec: ExperimentSpec, role: str) -> tuple[RowFormat, ...]:
    """Return the formats that a dataset is needed in, the first one its own if it is needed."""
    needed = {each for read, each in _all_inputs(spec) if read == role}
    own = FORMATS.get(role, RowFormat.SFT)
    others = tuple(each for each in RowFormat if each in needed and each is not own)
    return (own, *others) if own in needed or not others else others


def split_roles(spec: ExperimentSpec) -> tuple[Role, ...]:
    """Return which of the datasets that the plan needs come from `data.csv`."""
    shared = spec.split.shares if spec.split else {}
    return tuple(Role(role) for role in roles(spec) if role in shared)


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
