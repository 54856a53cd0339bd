"""`reward:` of experiment.yaml: how the answers of reinforcement fine-tuning are scored.

These models say what a person may write; `novaloop.rewards` scores by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from novaloop.problem import Invalid, Problem
from novaloop.rewards.custom import CUSTOM_SCORERS
from novaloop.rewards.patterns import compile_pattern
from novaloop.rewards.schema import MAX_DEPTH, require_schema
from novaloop.rewards.scorers import MAX_PARTS
from novaloop.rewards.trial import why_meaningless

MAX_CHARACTERS = 8_192
"""Of the settings as JSON, since every row carries them."""
_LARGEST = 1e9
_NUMBERS = (1e-15, 1e15)
"""What JSON, DynamoDB and floats all hold alike."""


def _plain_json(value: Any, depth: int = 0) -> Any:
    """Return `value` if YAML gave what JSON has too; raise Invalid otherwise."""
    smallest, largest = _NUMBERS
    if depth > MAX_DEPTH:
        raise Invalid(Problem("", f"is deeper than {MAX_DEPTH} levels", "use fewer"))
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise Invalid(Problem("", "has a key that is no text", "put it in quotes"))
        value = {key: _plain_json(each, depth + 1) for key, each in value.items()}
    elif isinstance(value, list):
        value = [_plain_json(each, depth + 1) for each in value]
    elif isinstance(value, int | float):
        if value != 0 and not smallest <= abs(value) <= largest:
            what = f"has a number beyond {smallest:g} to {largest:g}"
            raise Invalid(Problem("", what, "write another, or put it in quotes"))
    elif not isinstance(value, str | None):
        what = f"has a {type(value).__name__}, which JSON hasn't"
        raise Invalid(Problem("", what, "put it in quotes"))
    return value


JsonObject = Annotated[Mapping[str, Any], AfterValidator(_plain_json)]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, serialize_by_alias=True, defer_build=True
    )


class LengthPenalty(_Model):
    """Takes `per_character` off the score past `free` characters of the answer."""

    free: float = Field(default=0, ge=0, le=_LARGEST)
    per_character: float = Field(gt=0, le=_LARGEST)
    at_most: float = Field(default=1, gt=0, le=2)


class _Reward(_Model):
    length_penalty: LengthPenalty | None = None


class LabelReward(_Reward):
    """1 if the answer names the reference's label, else -1; the labels are the experiment's."""

    type: Literal["label"]
    reading: Literal["lenient", "strict"] = "lenient"


class ExactReward(_Reward):
    """1 if the answer is the reference, else -1."""

    type: Literal["exact"]


class NumericReward(_Reward):
    """1 if the answer's number is within `tolerance` of the reference's, else -1."""

    type: Literal["numeric"]
    tolerance: float = Field(default=0, ge=0, le=_LARGEST)


class RegexReward(_Reward):
    """1 if `pattern` is found and its group 1, if any, equals the reference, else -1."""

    type: Literal["regex"]
    pattern: str = Field(min_length=1)

    @field_validator("pattern")
    @classmethod
    def _takes_bounded_time(cls, pattern: str) -> str:
        compile_pattern(pattern)
        return pattern


class JsonReward(_Reward):
    """1 if the answer is JSON that fits `schema`, else -1."""

    type: Literal["json"]
    json_schema: JsonObject = Field(default_factory=dict, alias="schema")

    @field_validator("json_schema")
    @classmethod
    def _can_be_checked(cls, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        require_schema(schema)
        return schema


class F1Reward(_Reward):
    """2 * F1 - 1, with F1 over the answer's and the reference's lower-case words."""

    type: Literal["f1"]


class CustomReward(_Reward):
    """What a scorer in `novaloop/rewards/custom.py` says."""

    type: Literal["custom"]
    name: str
    settings: JsonObject = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _is_there(cls, name: str) -> str:
        if name not in CUSTOM_SCORERS:
            there = ", ".join(sorted(CUSTOM_SCORERS)) or "none"
            what = f"is not in rewards/custom.py, which has {there}"
            raise Invalid(Problem("", what, "add it and deploy"))
        return name


class FunctionReward(_Model):
    """What a Lambda function of the user's own says: the ARN, without version or alias.

    `type` may be left out, as `function` says it.
    """

    type: Literal["function"] = "function"
    function: str


_Single = LabelReward | ExactReward | NumericReward | RegexReward | JsonReward | F1Reward
SingleReward = Annotated[_Single | CustomReward, Field(discriminator="type")]


class WeightedPart(_Model):
    """One reward of a weighted mean."""

    weight: float = Field(default=1, gt=0, le=_LARGEST)
    reward: SingleReward


class WeightedReward(_Reward):
    """The weighted mean of several rewards."""

    type: Literal["weighted"]
    parts: tuple[WeightedPart, ...] = Field(min_length=1, max_length=MAX_PARTS)


Reward = Annotated[
    _Single | CustomReward | WeightedReward | FunctionReward, Field(discriminator="type")
]
REWARD_TYPES: Mapping[str, type[BaseModel]] = {
    "label": LabelReward,
    "exact": ExactReward,
    "numeric": NumericReward,
    "regex": RegexReward,
    "json": JsonReward,
    "f1": F1Reward,
    "weighted": WeightedReward,
    "custom": CustomReward,
    "function": FunctionReward,
}


def reward_settings(reward: Reward | None, labels: Sequence[str]) -> dict[str, Any] | None:
    """Return the `reward` of every RFT row; without one asked for, labels are scored by label.

    None if equality decides, or a function of the user's, which gets the rows as they are.
    """
    if isinstance(reward, FunctionReward):
        return None
    if reward is not None:
        return _with_labels(reward.model_dump(mode="json", exclude_none=True), labels)
    return _with_labels({"type": "label"}, labels) if labels else None


def _with_labels(settings: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    if settings["type"] == "label":
        return {**settings, "labels": list(labels)}
    if settings["type"] == "weighted":
        parts = [{**p, "reward": _with_labels(p["reward"], labels)} for p in settings["parts"]]
        return {**settings, "parts": parts}
    return settings


def check_reward(reward: Reward | None, labels: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with a reward together with the experiment's labels."""
    if reward is None:
        return
    singles: dict[str, BaseModel] = {"reward": reward}
    if isinstance(reward, WeightedReward):
        singles = {
            f"reward.parts[{at}].reward": each.reward for at, each in enumerate(reward.parts)
        }
    if any(isinstance(each, LabelReward) for each in singles.values()) and not labels:
        yield Problem("reward", "type label needs `labels:`", "list them")
    for where, single in singles.items():
        if why := why_meaningless(single.model_dump(mode="json", exclude_none=True)):
            yield Problem(where, why, "so a training would learn nothing; write another")
    size = len(json.dumps(reward_settings(reward, labels)))
    if size > MAX_CHARACTERS:
        most = f"every row carries it, so at most {MAX_CHARACTERS:,} are taken"
        yield Problem("reward", f"has {size:,} characters as JSON; {most}", "shorten it")
