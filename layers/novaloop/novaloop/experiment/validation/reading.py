"""Reading `experiment.yaml`: every problem at once, each with the path of its field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from novaloop.experiment.lineage import check_origin
from novaloop.experiment.spec.experiment import FIELDS_ONLY, ExperimentSpec
from novaloop.experiment.spec.messages import meant_by, problems_of
from novaloop.experiment.spec.yaml_file import read_settings
from novaloop.experiment.validation.checks import check_settings
from novaloop.problem import Invalid, Problem
from novaloop.typed import dotted

LARGEST = 10**15
"""The largest number that a setting may be. Sums, products and times of such numbers stay within
what floats, dates and DynamoDB hold, whoever calculates with them."""
MAX_PROBLEMS = 50
_FOLLOWERS: Mapping[int | str, tuple[str, ...]] = {
    "task": ("subtask", "processor", "overrides", "instance_type")
}
_LINKS = {"name", "task", "subtask", "processor", "peft"}
"""The settings of a stage that others refer to, or must agree with."""
_FOLLOWS: Mapping[str, set[str]] = {
    "gate": {
        *("runtime", "labels", "plan", "gate.evaluation", "gate.metric", "gate.conditions"),
        *("gate.not_worse_than", "gate.margin", "gate.each_class"),
    },
    "plan": {"runtime", "plan", "checkpoint"},
    "labels": {"labels"},
    "checks": {"split"},
    "reward": {"reward", "labels"},
}
"""The settings from which it follows whether a section contradicts others. Where one of them is
wrong, and so left out, nobody can tell."""


def read_spec(content: bytes, experiment_id: str | None = None) -> ExperimentSpec:
    """Parse and check a spec. Raises Invalid with everything that is wrong with it.

    `experiment_id` is whose spec it is, where that is known.

    `content` is what a file begins with, up to one byte more than MAX_BYTES of yaml_file.py.
    """
    raw = read_settings(content, example="model: nova-lite-2")
    beyond = dict(_beyond(raw))
    try:
        spec = ExperimentSpec.model_validate(raw, context=FIELDS_ONLY)
    except ValidationError as error:
        found = _without_echoes(error.errors())
        told = {each["loc"][-1] for each in found if each["loc"]}
        rest = [problem for field, problem in beyond.items() if field[-1] not in told]
        rest = rest if beyond else [*_check_the_rest(raw, found)]
        raise _invalid([*chain.from_iterable(map(problems_of, found)), *rest]) from None
    # Before anybody calculates with them, also with what was a text in the file, such as 1e300.
    if beyond := beyond or dict(_beyond(spec.model_dump())):
        raise _invalid(beyond.values())
    problems = [*spec.check_consistency(), *check_settings(spec)]
    if experiment_id is not None:
        problems += check_origin(spec, experiment_id)
    if problems:
        raise _invalid(_of_what_was_written(spec, problems))
    return spec


def read_what_holds(content: bytes) -> tuple[ExperimentSpec, set[str]] | None:
    """Return a spec without the fields that are wrong, and which settings these are.

    So what else a person gave can be looked at in the same round. None if nothing can be told.
    """
    try:
        raw = read_settings(content, example="model: nova-lite-2")
    except Invalid:
        return None
    try:
        return ExperimentSpec.model_validate(raw, context=FIELDS_ONLY), set()
    except ValidationError as error:
        found = _without_echoes(error.errors())
    spec = _without(raw, found)
    return None if spec is None else (spec, set(map(_setting, found)))


def _of_what_was_written(spec: ExperimentSpec, problems: Sequence[Problem]) -> Sequence[Problem]:
    """Blame the model where the default plan does not suit it: nobody wrote that plan."""
    own = ExperimentSpec.model_fields["model"].default
    if "plan" in spec.model_fields_set or spec.model == own:
        return problems
    written = [problem for problem in problems if not problem.where.startswith("plan[")]
    if len(written) == len(problems):
        return problems
    do = f"write a `plan:` for {spec.model}"
    return [Problem("model", f"the default plan is for {own}", do), *written]


def _beyond(value: Any, at: tuple[int | str, ...] = ()) -> Iterator[tuple[Any, Problem]]:
    """Yield, by its place, each number that is none to calculate with."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _beyond(inner, (*at, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _beyond(inner, (*at, index))
    elif isinstance(value, int | float) and not abs(value) <= LARGEST:  # or it is none at all
        what = f"is beyond {LARGEST:.0e}"
        yield at, Problem(dotted(*at), what, "write a smaller number")


def _invalid(problems: Iterable[Problem]) -> Invalid:
    """Return what to raise, with no more problems than a person can go through at once."""
    found = list(problems)
    more = len(found) - MAX_PROBLEMS
    rest = [Problem("", f"and {more:,} more problems", "mend these first")] if more > 0 else []
    return Invalid(*found[:MAX_PROBLEMS], *rest)


def _without_echoes(found: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what only follows from what else is told.

    A list is too short if its items are wrong, the default plan is not made if anything is wrong,
    and what is neither a whole number nor a fraction is told as both.
    """
    inside = {error["loc"][:end] for error in found for end in range(1, len(error["loc"]))}
    return [
        error
        for error in found
        if not (error["type"] == "too_short" and error["loc"] in inside)
        and error["type"] != "default_factory_not_called"
        and (error["loc"][:1], error["loc"][-1:]) != (("split",), ("int",))
    ]


def _check_the_rest(raw: Mapping[str, Any], found: Sequence[ErrorDetails]) -> Iterator[Problem]:
    """Yield what is wrong, or contradicts itself, once the fields found wrong are left out.

    So a person need not mend one kind of error to be shown the next.
    """
    spec = _without(raw, found)
    if spec is None:
        return
    left_out = set(map(_setting, found))
    for problem in spec.check_consistency():
        section = re.split(r"[.\[]", problem.where, maxsplit=1)[0]
        if not _FOLLOWS.get(section, set()) & left_out:
            yield problem
    yield from check_settings(spec)


def _without(raw: Mapping[str, Any], found: Sequence[ErrorDetails]) -> ExperimentSpec | None:
    rest = deepcopy(dict(raw))
    for error in found:
        # A split goes as a whole: each share needs the others.
        _leave_out(rest, ("split",) if error["loc"][:1] == ("split",) else error["loc"])
    try:
        return ExperimentSpec.model_validate(rest, context=FIELDS_ONLY)
    except ValidationError:
        return None


def _setting(error: ErrorDetails) -> str:
    """Return which setting a wrong field is, or was probably meant to be, as `_FOLLOWS` has it."""
    location = error["loc"]
    if error["type"] == "extra_forbidden" and (meant := meant_by(location)):
        location = (*location[:-1], meant)
    match location:
        case ("plan", int(), _, field, *_) if field not in _LINKS:
            return "plan, without a link"
        case ("gate", field, *_):
            return f"gate.{field}"
    return str(location[0]) if location else ""


def _leave_out(section: Any, location: tuple[int | str, ...]) -> None:
    """Remove the field at `location`, if the file has it there, and what means nothing without."""
    *parents, field = location
    for part in parents:
        try:
            section = section[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(section, dict):
        for name in (field, *_FOLLOWERS.get(field, ())):
            section.pop(name, None)
