"""What pydantic finds wrong with `experiment.yaml`, in words for whoever wrote the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from novaloop import wording
from novaloop.experiment.spec.experiment import ExperimentSpec, Gate, GateCondition, SplitSettings
from novaloop.experiment.spec.reward import REWARD_TYPES, LengthPenalty, WeightedPart
from novaloop.experiment.spec.stages import (
    BEDROCK_TARGETS,
    RECORDED,
    STAGES,
    TARGETS,
    Runtime,
    StageKind,
)
from novaloop.problem import Problem
from novaloop.typed import dotted

NO_HYPERPOD = (
    "a job there is a set of Kubernetes resources that fit one cluster only, which nothing here "
    "can check"
)
_SECTIONS: Mapping[str, type[BaseModel]] = {
    "": ExperimentSpec,
    "split": SplitSettings,
    "gate": Gate,
    "conditions": GateCondition,
    **STAGES,
    **REWARD_TYPES,
    "parts": WeightedPart,
    "length_penalty": LengthPenalty,
}


_KINDS: Mapping[str | int, str] = {**dict.fromkeys(BEDROCK_TARGETS, "deploy"), RECORDED: "evaluate"}


def problems_of(error: Mapping[str, Any]) -> list[Problem]:
    """Return what one of a ValidationError's errors tells, with the path of its field."""
    where = _path(error["loc"])
    return [*_of_this_field(error, where)] or [*wording.problems_of(error, where)]


def _path(location: tuple[str | int, ...]) -> str:
    if location[-1:] == ("[key]",) or (location[:1], location[-1:]) == (("split",), ("float",)):
        location = location[:-1]
    if location[:1] == ("plan",) and location[2:]:
        location = (*location[:2], _KINDS.get(location[2], location[2]), *location[3:])
    kept = zip(location, (None, *location), strict=False)
    return dotted(*(part for part, before in kept if before != "reward"))


def _of_this_field(error: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Yield what is to be said of this field in particular."""
    is_union = str(error["type"]).startswith("union_tag")
    if error["type"] == "extra_forbidden":
        meant = meant_by(error["loc"])
        do = f"did you mean {meant}?" if meant else f"known: {', '.join(_known(error['loc']))}"
        yield Problem(where, "is not a known setting", do)
    elif error["loc"][-1:] == ("reward",) and is_union:
        whole = {"weighted", "function"} if "parts" in error["loc"] else set[str]()
        types = [each for each in REWARD_TYPES if each not in whole]
        yield Problem(where, f"type must be one of {', '.join(types)}")
    elif error["loc"] == ("runtime",) and error["input"] == "hyperpod":
        do = "use runtime training-job, which runs the same recipes"
        yield Problem(where, f"hyperpod is refused: {NO_HYPERPOD}", do)
    elif error["loc"] == ("runtime",):
        yield Problem(where, f"must be one of {', '.join(Runtime)}")
    elif error["loc"][-2:] == ("deploy", "to"):
        yield Problem(where, f"must be one of {', '.join(TARGETS)}")
    elif error["type"] == "union_tag_not_found":
        examples = "`- evaluate: baseline` or `- sft: {instances: 4}`"
        yield Problem(where, f"must be one stage, such as {examples}")
    elif is_union and "multi" in str(error["ctx"]["tag"]):
        what = "multi-turn reinforcement is refused: its jobs can't be checked here"
        yield Problem(where, what, "use rft, in which an answer is one turn")
    elif is_union:
        *others, last = StageKind
        yield Problem(where, "is no kind of stage", f"write {', '.join(others)} or {last}")


def meant_by(location: tuple[str | int, ...]) -> str | None:
    """Return the setting that is probably meant by one that is unknown, or None."""
    return next(iter(get_close_matches(str(location[-1]), _known(location), 1)), None)


def _known(location: tuple[str | int, ...]) -> list[str]:
    """Return the settings that the section of this location has."""
    section = next((str(part) for part in reversed(location[:-1]) if isinstance(part, str)), "")
    fields = _SECTIONS.get(section, ExperimentSpec).model_fields
    return sorted({field.alias or name for name, field in fields.items()} - {"kind"})
