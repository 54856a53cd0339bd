"""Reading `experiment.yaml`: every problem at once, each with the path of its field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from novaloop.experiment.spec import FIELDS_ONLY, ExperimentSpec
from novaloop.experiment.spec_errors import describe
from novaloop.experiment.stage_checks import check_settings

MAX_BYTES = 256 * 1024
MAX_ERRORS = 50
_LONGEST_ERROR = 2_000
"""Characters; together with MAX_ERRORS, what an item of the table holds."""
_FOLLOWERS: Mapping[int | str, tuple[str, ...]] = {
    "task": ("subtask", "processor", "overrides", "instance_type")
}
_YAML_ADVICE = {
    "mapping values are not allowed": "put a text with a colon in quotes",
    "expected ',' or": "close what was opened with [ or {",
    "'\\t'": "indent with spaces",
    "constructor for the tag": "put a text that begins with ! in quotes",
    "another document": "write one experiment only, without a line of dashes",
    "cannot start any token": "put a text that begins with it in quotes",
}
"""What to do, by a part of PyYAML's message."""


class SpecRefused(Exception):  # noqa: N818 - a verdict on the input, not a fault of the program
    """`experiment.yaml` can't be used; `errors` holds one line per problem."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class _Loader(yaml.SafeLoader):
    """Refuses what PyYAML takes without a word, and says where what PyYAML trips over."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"`{key.value}` stands twice; keep one of them"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            problem = f"this is no {node.tag.rpartition(':')[2]}; put a text in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def read_spec(content: bytes) -> ExperimentSpec:
    """Parse and check a spec. Raises SpecRefused with everything that is wrong with it."""
    raw = _parse(content)
    try:
        spec = ExperimentSpec.model_validate(raw, context=FIELDS_ONLY)
    except ValidationError as error:
        found = _without_echoes(error.errors())
        raise _refusal((*map(describe, found), *_errors_in_the_rest(raw, found))) from None
    errors = (*spec.contradictions(), *map(str, check_settings(spec)))
    if errors:
        raise _refusal(errors)
    return spec


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
    """Yield what is wrong with the stages' settings once the fields found wrong are left out."""
    rest = deepcopy(dict(raw))
    for error in found:
        _leave_out(rest, error["loc"])
    try:
        spec = ExperimentSpec.model_validate(rest, context=FIELDS_ONLY)
    except ValidationError:
        return
    yield from map(str, check_settings(spec))


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
    if len(content) > MAX_BYTES:
        raise SpecRefused((f"has {len(content):,} bytes; at most {MAX_BYTES:,} are read",))
    try:
        text = content.decode("utf-8-sig")
        raw = _Loader(text).get_single_data()
    except UnicodeDecodeError as error:
        raise SpecRefused((f"is not UTF-8 at byte {error.start}; save it as UTF-8",)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"line {line}: the character U+{error.character:04X} is not allowed; remove it"
        raise SpecRefused((problem,)) from None
    except yaml.MarkedYAMLError as error:
        raise SpecRefused((_yaml_problem(error),)) from None
    except RecursionError:
        raise SpecRefused(("is nested too deeply",)) from None
    if raw is not None and not isinstance(raw, dict):
        raise SpecRefused(("must hold `key: value` lines, such as `model: nova-lite-2`",))
    return raw or {}


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    mark, problem = error.problem_mark, error.problem or "unreadable"
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    advice = next((f"; {do}" for part, do in _YAML_ADVICE.items() if part in problem), "")
    return f"{where}is not YAML: {problem}{advice}"
