"""Reading `experiment.yaml`: every problem at once, each with the path of its field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from novaloop.experiment.spec.experiment import FIELDS_ONLY, ExperimentSpec
from novaloop.experiment.spec.messages import describe, meant_by
from novaloop.experiment.spec.yaml_file import NotSettings, read_settings
from novaloop.experiment.validation.checks import check_settings
from novaloop.typed import dotted

LARGEST = 10**15
"""The largest number that a setting may be. Sums, products and times of such numbers stay within
what floats, dates and DynamoDB hold, whoever calculates with them."""
MAX_ERRORS = 50
_LONGEST_ERROR = 2_000
"""Characters; together with MAX_ERRORS, what an item of the table holds."""
_FOLLOWERS: Mapping[int | str, tuple[str, ...]] = {
    "task": ("subtask", "processor", "overrides", "instance_type")
}
_LINKS = {"name", "task", "subtask", "processor", "peft"}
"""The settings of a stage that others refer to, or must agree with."""
_FOLLOWS: Mapping[str, set[str]] = {
    "gate": {"runtime", "labels", "plan", "gate.evaluation", "gate.metric"},
    "plan": {"runtime", "plan", "checkpoint"},
    "labels": {"labels"},
    "checks": {"split"},
    "reward": {"reward", "labels"},
}
"""The settings from which it follows whether a section contradicts others. Where one of them is
wrong, and so left out, nobody can tell."""


class SpecRefused(Exception):  # noqa: N818 - a verdict on the input, not a fault of the program
    """`experiment.yaml` can't be used; `errors` holds one line per problem."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def read_spec(content: bytes) -> ExperimentSpec:
    """Parse and check a spec. Raises SpecRefused with everything that is wrong with it.

    `content` is what a file begins with, up to one byte more than MAX_BYTES of settings_file.py.
    """
    raw = _parse(content)
    beyond = dict(_beyond(raw))
    try:
        spec = ExperimentSpec.model_validate(raw, context=FIELDS_ONLY)
    except ValidationError as error:
        found = _without_echoes(error.errors())
        told = {each["loc"][-1] for each in found if each["loc"]}
        rest = [line for field, line in beyond.items() if field[-1] not in told]
        rest = rest if beyond else [*_errors_in_the_rest(raw, found)]
        raise _refusal((*map(describe, found), *rest)) from None
    # Before anybody calculates with them, also with what was a text in the file, such as 1e300.
    if beyond := beyond or dict(_beyond(spec.model_dump())):
        raise _refusal(tuple(beyond.values()))
    errors = (*spec.contradictions(), *map(str, check_settings(spec)))
    if errors:
        raise _refusal(_of_what_was_written(spec, errors))
    return spec


def _of_what_was_written(spec: ExperimentSpec, errors: tuple[str, ...]) -> tuple[str, ...]:
    """Blame the model where the default plan does not suit it: nobody wrote that plan."""
    own = ExperimentSpec.model_fields["model"].default
    if "plan" in spec.model_fields_set or spec.model == own:
        return errors
    written = tuple(error for error in errors if not error.startswith("plan["))
    if len(written) == len(errors):
        return errors
    return (f"model: the default plan is for {own}; write a `plan:` for {spec.model}", *written)


def _beyond(value: Any, at: tuple[int | str, ...] = ()) -> Iterator[tuple[Any, str]]:
    """Yield, by its place, each number that is none to calculate with."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _beyond(inner, (*at, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _beyond(inner, (*at, index))
    elif isinstance(value, int | float) and not abs(value) <= LARGEST:  # or it is none at all
        yield at, f"{dotted(*at)}: is beyond {LARGEST:.0e}; write a smaller number"


def _refusal(errors: tuple[str, ...]) -> SpecRefused:
    told = tuple(
        error if len(error) <= _LONGEST_ERROR else f"{error[:_LONGEST_ERROR]}..."
        for error in errors[:MAX_ERRORS]
    )
    left = len(errors) - len(told)
    return SpecRefused((*told, f"and {left:,} more errors") if left else told)


def _without_echoes(found: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what only follows from what else is told.

    A list is too short if its items are wrong, the default plan is not made if anything is wrong,
    and what is neither a whole number nor a fraction is told as both.
    """
    inside = {error["loc"][:1] for error in found if len(error["loc"]) > 1}
    return [
        error
        for error in found
        if not (error["type"] == "too_short" and error["loc"] in inside)
        and error["type"] != "default_factory_not_called"
        and (error["loc"][:1], error["loc"][-1:]) != (("split",), ("int",))
    ]


def _errors_in_the_rest(raw: Mapping[str, Any], found: Sequence[ErrorDetails]) -> Iterator[str]:
    """Yield what is wrong, or contradicts itself, once the fields found wrong are left out.

    So a person need not mend one kind of error to be shown the next.
    """
    rest = deepcopy(dict(raw))
    for error in found:
        # A split goes as a whole: each share needs the others.
        _leave_out(rest, ("split",) if error["loc"][:1] == ("split",) else error["loc"])
    try:
        spec = ExperimentSpec.model_validate(rest, context=FIELDS_ONLY)
    except ValidationError:
        return
    left_out = set(map(_setting, found))
    for contradiction in spec.contradictions():
        section = re.split(r"[.:\[]", contradiction, maxsplit=1)[0]
        if not _FOLLOWS.get(section, set()) & left_out:
            yield contradiction
    yield from map(str, check_settings(spec))


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


def _parse(content: bytes) -> Mapping[str, Any]:
    try:
        return read_settings(content, example="model: nova-lite-2")
    except NotSettings as problem:
        raise SpecRefused((str(problem),)) from None
