"""A user's own reward, as docs/rewards.md describes it."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from novaloop.experiment.spec.reward import reward_settings
from novaloop.experiment.validation.reading import read_spec
from novaloop.rewards.custom import CUSTOM_SCORERS
from novaloop.rewards.reward import score_batch, why_unusable
from novaloop.rewards.schema import require_schema, violations
from novaloop_cli.reward_function import read_reply

DOCS = (Path(__file__).parents[3] / "docs" / "rewards.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.S)


def rollout(answer: str, reference: object, settings: object) -> dict[str, Any]:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]
    return {"id": "1", "messages": turns, "reference_answer": reference, "reward": settings}


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch) -> None:
    code, *_ = blocks("python")
    defined: dict[str, Any] = {}
    exec(code, defined)  # noqa: S102 - the documentation's own example
    for name, scorer in defined["CUSTOM_SCORERS"].items():
        monkeypatch.setitem(CUSTOM_SCORERS, name, scorer)


@pytest.mark.usefixtures("documented")
def test_the_documented_example_scores() -> None:
    settings = yaml.safe_load(blocks("yaml")[1])["reward"]
    scores = score_batch([rollout("hurry", "curry", settings), rollout("hurry", "tally", settings)])
    assert [score["aggregate_reward_score"] for score in scores] == [1.0, -1.0]
    assert why_unusable(rollout("hurry", {"a": 1}, settings)) == "reference_answer must be a text"


@pytest.mark.usefixtures("documented")
def test_the_documented_settings_are_accepted() -> None:
    settings = [block for block in blocks("yaml") if "Resources:" not in block]
    for block in settings:
        spec = read_spec(block.encode())
        assert spec.reward_function or reward_settings(spec.reward, spec.labels)


def test_the_documented_function_keeps_the_contract() -> None:
    defined: dict[str, Any] = {}
    exec(blocks("python")[1], defined)  # noqa: S102 - the documentation's own example
    handler = defined["handler"]
    samples = [
        rollout("red and Blue", "red, blue", None),
        rollout("red", "red, blue", None),
        rollout("none", "red", None),
        rollout("none", {"a": 1}, None),
        {"query": "q", "model_response": "red", "response": "Red"},
        rollout([{"text": "re"}, {"text": "d"}], "red", None),  # type: ignore[arg-type]
    ]
    for number, sample in enumerate(samples):
        sample["id"] = str(number)
    scores, problems = read_reply(json.dumps(handler(samples, None)).encode(), samples)
    assert not problems
    assert scores == (1.0, 0.0, -1.0, -1.0, 1.0, 1.0)
    assert handler(samples[0], None) == handler(samples[:1], None)


@pytest.mark.parametrize("returned", [1, (1.0,), (2.0, True), (math.nan, True), ("a", True), None])
def test_what_is_no_score_is_unusable(returned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CUSTOM_SCORERS, "own", lambda *_: returned)
    sample = rollout("a", "a", {"type": "custom", "name": "own"})
    (score,) = score_batch(sample)
    metrics = {metric["name"]: metric["value"] for metric in score["metrics_list"]}
    assert score["aggregate_reward_score"] == -1.0
    assert metrics["unusable_sample"] == 1.0
    assert why_unusable(sample)


def test_a_reward_without_reference_needs_none() -> None:
    sample = rollout("[1]", "", {"type": "json", "schema": {"type": "array"}})
    del sample["reference_answer"]
    assert score_batch(sample)[0]["aggregate_reward_score"] == 1.0
    assert why_unusable({**sample, "reward": {"type": "exact"}}) is not None


@pytest.mark.parametrize(
    "schema",
    [
        3,
        {"oneOf": []},
        {"type": ["null", "strin"]},
        {"minimum": "3"},
        {"required": [["a"]]},
        {"additionalProperties": {}},
        {"properties": []},
        {"properties": {"a": {"items": {"type": "x"}}}},
    ],
)
def test_a_schema_that_can_go_wrong_is_refused_before_it_does(schema: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        require_schema(schema)


def test_a_schema_that_is_fine_is_fine() -> None:
    schema = {"type": ["object", "null"], "properties": {"a": {"items": {"minimum": 1}}}}
    require_schema(schema)
    assert violations({"a": [0]}, schema) == ["$.a[0]: minimum"]
