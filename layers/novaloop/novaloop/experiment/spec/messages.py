"""What pydantic finds wrong with `experiment.yaml`, in words for whoever wrote the file."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from novaloop.experiment.spec.experiment import ExperimentSpec, Gate, Split
from novaloop.experiment.spec.reward import REWARD_TYPES, LengthPenalty, WeightedPart
from novaloop.experiment.spec.stages import (
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
from novaloop.experiment.spec.wording import in_words
from novaloop.typed import dotted

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


def describe(error: Mapping[str, Any]) -> str:
    """Return one of a ValidationError's errors with the path of its field."""
    path = _path(error["loc"])
    message = _message(error)
    return f"{path}: {message}" if path else message


def _path(location: tuple[str | int, ...]) -> str:
    if location[-1:] == ("[key]",) or (location[:1], location[-1:]) == (("split",), ("float",)):
        location = location[:-1]
    location = tuple("deploy" if part in BEDROCK_TARGETS else part for part in location)
    kept = zip(location, (None, *location), strict=False)
    return dotted(*(part for part, before in kept if before != "reward"))


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown_key(error["loc"])
    return _message_of_field(error) or in_words(error)


def _message_of_field(error: Mapping[str, Any]) -> str | None:
    """Return what is to be said of this field in particular."""
    is_union = str(error["type"]).startswith("union_tag")
    if error["loc"][-1:] == ("reward",) and is_union:
        types = [each for each in REWARD_TYPES if each != "weighted" or "parts" not in error["loc"]]
        return f"type must be one of {', '.join(types)}"
    if error["loc"] == ("runtime",):
        return _no_runtime(error["input"])
    if error["loc"][-2:] == ("deploy", "to"):
        return f"must be one of {', '.join(TARGETS)}"
    return _no_stage(error) if is_union else None


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
    meant = meant_by(location)
    hint = f"did you mean {meant}?" if meant else f"known: {', '.join(_known(location))}"
    return f"is not a known setting; {hint}"


def meant_by(location: tuple[str | int, ...]) -> str | None:
    """Return the setting that is probably meant by one that is unknown, or None."""
    return next(iter(get_close_matches(str(location[-1]), _known(location), 1)), None)


def _known(location: tuple[str | int, ...]) -> list[str]:
    """Return the settings that the section of this location has."""
    section = next((str(part) for part in reversed(location[:-1]) if isinstance(part, str)), "")
    fields = _SECTIONS.get(section, ExperimentSpec).model_fields
    return sorted({field.alias or name for name, field in fields.items()} - {"kind"})
