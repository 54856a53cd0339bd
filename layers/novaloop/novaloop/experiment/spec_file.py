"""Reading `experiment.yaml`: every problem at once, each with the path of its field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from novaloop.experiment.plan import (
    BEDROCK_TARGETS,
    TARGETS,
    DeployStage,
    DpoStage,
    EvaluateStage,
    OnDemandStage,
    ProvisionedStage,
    RftStage,
    Runtime,
    SftStage,
)
from novaloop.experiment.reward import REWARD_TYPES, LengthPenalty, WeightedPart
from novaloop.experiment.spec import FIELDS_ONLY, ExperimentSpec, Gate, Split
from novaloop.experiment.stage_checks import check_settings

MAX_BYTES = 256 * 1024
NO_HYPERPOD = (
    "a job there is a set of Kubernetes resources that fit one cluster only, which nothing here "
    "can check; use runtime training-job, which runs the same recipes"
)
NO_MULTI_TURN = "its jobs can't be checked here; use rft, in which an answer is one turn"
_SECTIONS: Mapping[str, type[BaseModel]] = {
    "": ExperimentSpec,
    "split": Split,
    "gate": Gate,
    "evaluate": EvaluateStage,
    "sft": SftStage,
    "dpo": DpoStage,
    "rft": RftStage,
    "deploy": DeployStage,
    "bedrock-on-demand": OnDemandStage,
    "bedrock-provisioned": ProvisionedStage,
    **REWARD_TYPES,
    "parts": WeightedPart,
    "length_penalty": LengthPenalty,
}


_FOLLOWERS: Mapping[int | str, tuple[str, ...]] = {
    "task": ("subtask", "processor", "overrides", "instance_type")
}


class SpecRefused(Exception):  # noqa: N818 - a verdict on the input, not a fault of the program
    """`experiment.yaml` can't be used; `errors` holds one line per problem."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def read_spec(content: bytes) -> ExperimentSpec:
    """Parse and check a spec. Raises SpecRefused with everything that is wrong with it."""
    raw = _parse(content)
    try:
        spec = ExperimentSpec.model_validate(raw, context=FIELDS_ONLY)
    except ValidationError as error:
        found = _without_echoes(error.errors())
        raise SpecRefused((*map(_describe, found), *_errors_in_the_rest(raw, found))) from None
    errors = (*spec.contradictions(), *map(str, check_settings(spec)))
    if errors:
        raise SpecRefused(errors)
    return spec


def _without_echoes(found: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a list is too short because what is wrong with its items was told."""
    inside = {error["loc"][:1] for error in found if len(error["loc"]) > 1}
    return [e for e in found if not (e["type"] == "too_short" and e["loc"] in inside)]


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
        raw = yaml.safe_load(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SpecRefused((f"is not UTF-8 at byte {error.start}; save it as UTF-8",)) from None
    except yaml.YAMLError as error:
        raise SpecRefused((_yaml_problem(error),)) from None
    except RecursionError:
        raise SpecRefused(("is nested too deeply",)) from None
    if raw is not None and not isinstance(raw, dict):
        raise SpecRefused(("must hold `key: value` lines, such as `model: nova-lite-2`",))
    return raw or {}


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}is not YAML: {getattr(error, 'problem', None) or 'unreadable'}"


def _describe(error: Mapping[str, Any]) -> str:
    path = _path(error["loc"])
    message = _message(error)
    return f"{path}: {message}" if path else message


def _path(location: tuple[str | int, ...]) -> str:
    location = tuple("deploy" if part in BEDROCK_TARGETS else part for part in location)
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    written = [
        part for part, after in zip(parts, (None, *location), strict=False) if after != "reward"
    ]
    return "".join(written).removeprefix(".")


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown_key(error["loc"])
    if error["loc"][-1:] == ("reward",) and str(error["type"]).startswith("union_tag"):
        types = [each for each in REWARD_TYPES if each != "weighted" or "parts" not in error["loc"]]
        return f"type must be one of {', '.join(types)}"
    if error["loc"] == ("runtime",):
        return _no_runtime(error["input"])
    if error["loc"][-2:] == ("deploy", "to"):
        return f"must be one of {', '.join(TARGETS)}"
    if str(error["type"]).startswith("union_tag"):
        return _no_stage(error)
    text = str(error["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:] + _near_choice(error)


def _near_choice(error: Mapping[str, Any]) -> str:
    if error["type"] not in {"enum", "literal_error"}:
        return ""
    choices = re.findall(r"'([^']+)'", str(error["ctx"]["expected"]))
    near = get_close_matches(str(error["input"]), choices, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _no_stage(error: Mapping[str, Any]) -> str:
    if error["type"] == "union_tag_not_found":
        return "must be one stage, such as `- evaluate: baseline` or `- sft: {instances: 4}`"
    if "multi" in str(error["ctx"]["tag"]):
        return f"multi-turn reinforcement is refused: {NO_MULTI_TURN}"
    return "is no kind of stage; write evaluate, sft, dpo, rft or deploy"


def _no_runtime(asked: object) -> str:
    offered = ", ".join(Runtime)
    return (
        f"hyperpod is refused: {NO_HYPERPOD}"
        if asked == "hyperpod"
        else f"must be one of {offered}"
    )


def _unknown_key(location: tuple[str | int, ...]) -> str:
    *parents, key = location
    section = next((str(part) for part in reversed(parents) if isinstance(part, str)), "")
    fields = _SECTIONS.get(section, ExperimentSpec).model_fields
    known = sorted({field.alias or name for name, field in fields.items()} - {"kind"})
    near = get_close_matches(str(key), known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"is not a known setting; {hint}"
