import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from novaloop.rewards.reward import batch_summary, score_batch
from novaloop.rewards.schema import violations

if TYPE_CHECKING:
    from novaloop.rewards.reward import SampleScore

LABEL = {"type": "label", "labels": ["HQ", "LQ_EDIT", "LQ_CLOSE"]}
LAYER = Path(__file__).parents[3] / "layers" / "novaloop"


def sample(answer: object, reference: object = "HQ", **fields: object) -> dict[str, Any]:
    turns = [{"role": "user", "content": "q"}, {"role": "nova_assistant", "content": answer}]
    return {"id": "a", "messages": turns, "reference_answer": reference, **fields}


def reward(answer: object, reference: object = "HQ", **settings: object) -> float:
    (score,) = score_batch(sample(answer, reference, reward=settings or LABEL))
    return score["aggregate_reward_score"]


def metrics(score: "SampleScore") -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in score["metrics_list"]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("HQ", 1.0),
        ("HQ.", 1.0),
        ("The answer is HQ", 1.0),
        ("<|begin_of_solution|>HQ<|end_of_solution|>", 1.0),
        ([{"text": "H"}, {"text": "Q"}], 1.0),
        ("LQ_EDIT", -1.0),
        ("HQ LQ_EDIT LQ_CLOSE", -1.0),
        ("", -1.0),
    ],
)
def test_label_reward(answer: object, expected: float) -> None:
    assert reward(answer) == expected


def test_scores_come_back_in_order_and_by_id() -> None:
    answers = ["HQ", "LQ_EDIT", "HQ"]
    batch = [sample(answer, id=f"r{i}", reward=LABEL) for i, answer in enumerate(answers)]
    scores = score_batch(batch)
    assert [score["id"] for score in scores] == ["r0", "r1", "r2"]
    assert [score["aggregate_reward_score"] for score in scores] == [1.0, -1.0, 1.0]


def test_one_sample_gets_a_list_of_one() -> None:
    assert len(score_batch(sample("HQ"))) == 1
    assert score_batch([]) == []


def test_without_a_reward_the_answer_must_equal_the_reference() -> None:
    (right,) = score_batch(sample(" 42 ", "42"))
    (wrong,) = score_batch(sample("42.", "42"))
    assert (right["aggregate_reward_score"], wrong["aggregate_reward_score"]) == (1.0, -1.0)


def test_evaluation_payload() -> None:
    payload = {"id": "e", "model_response": "lq edit", "query": "q", "response": "LQ_EDIT"}
    (score,) = score_batch([{**payload, "reward": LABEL}])
    assert score["aggregate_reward_score"] == 1.0


@pytest.mark.parametrize(
    ("answer", "reference", "settings", "expected"),
    [
        ("lq edit", "LQ_EDIT", {**LABEL, "reading": "strict"}, -1.0),
        ("HQ", {"label": "HQ"}, LABEL, 1.0),
        ("HQ", {"anything": "HQ"}, LABEL, 1.0),
        ("It is 1,234.5", "1234.5", {"type": "numeric"}, 1.0),
        ("3 apples and 4 pears: 7", 7, {"type": "numeric"}, 1.0),
        ("3.15", "3.14159", {"type": "numeric", "tolerance": 0.01}, 1.0),
        ("3.16", "3.14159", {"type": "numeric", "tolerance": 0.01}, -1.0),
        ("none", "1", {"type": "numeric"}, -1.0),
        ("x = 5;", "5", {"type": "regex", "pattern": r"x = (\d+)"}, 1.0),
        ("x = 6;", "5", {"type": "regex", "pattern": r"x = (\d+)"}, -1.0),
        ("abc", "unused", {"type": "regex", "pattern": "^abc$"}, 1.0),
        ('{"a": 1}', "", {"type": "json", "schema": {"required": ["a"]}}, 1.0),
        ('```json\n{"a": 1}\n```', "", {"type": "json", "schema": {"type": "object"}}, 1.0),
        ('{"a": 1}', "", {"type": "json", "schema": {"required": ["b"]}}, -1.0),
        ("{", "", {"type": "json"}, -1.0),
        ("NaN", "", {"type": "json"}, -1.0),
        ('{"a": -Infinity}', "", {"type": "json"}, -1.0),
        ('{"a": 1, "a": 2}', "", {"type": "json"}, -1.0),
        ("<think>{</think>[1]", "", {"type": "json"}, 1.0),
        ("<think>4</think>5", "5", {"type": "numeric"}, 1.0),
        ("<think>5</think>", "5", {"type": "numeric"}, -1.0),
        ("<think>the dog</think>the cat", "the cat", {"type": "f1"}, 1.0),
        ("<think>so</think>42", "42", {"type": "exact"}, 1.0),
        ("b", ["a", "b"], {"type": "exact"}, 1.0),
        ("c", ["a", "b"], {"type": "exact"}, -1.0),
        ("x = 5, x = 6", "5", {"type": "regex", "pattern": r"x = (\d+)"}, 1.0),
        ("x = 5, x = 6", "6", {"type": "regex", "pattern": r"(?s).*x = (\d+)"}, 1.0),
        ("<think>x = 5</think>", "5", {"type": "regex", "pattern": r"x = (\d+)"}, 1.0),
        ("The cat sat", "the cat sat", {"type": "f1"}, 1.0),
        ("the dog", "the cat", {"type": "f1"}, 0.0),
        ("dog", "cat", {"type": "f1"}, -1.0),
    ],
)
def test_reward_types(answer: str, reference: object, settings: dict, expected: float) -> None:  # type: ignore[type-arg]
    assert reward(answer, reference, **settings) == pytest.approx(expected)


def test_weighted_reward_is_the_weighted_mean() -> None:
    parts = [{"weight": 3, "reward": LABEL}, {"weight": 1, "reward": {"type": "exact"}}]
    assert reward("HQ", "HQ", type="weighted", parts=parts) == 1.0
    assert reward("HQ.", "HQ", type="weighted", parts=parts) == 0.5


def test_length_penalty_grows_past_the_free_characters_up_to_its_ceiling() -> None:
    penalty = {"free": 4, "per_character": 0.1, "at_most": 0.5}
    settings = {**LABEL, "length_penalty": penalty}
    assert reward("HQ", "HQ", **settings) == 1.0
    assert reward("HQ" + "!" * 4, "HQ", **settings) == pytest.approx(0.8)
    assert reward("HQ" + "!" * 99, "HQ", **settings) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "unheard of"},
        {"type": ["label"]},
        {"type": "label"},
        {"type": "label", "labels": "HQ"},
        {"type": "label", "labels": ["LQ_EDIT", "LQ_CLOSE"]},
        {"type": "label", "labels": [["HQ"], 7]},
        {"type": "regex", "pattern": "("},
        {"type": "regex"},
        {"type": "json", "schema": {"oneOf": []}},
        {"type": "numeric"},
        {"type": "weighted", "parts": []},
        {"type": "weighted", "parts": [{"weight": -1, "reward": LABEL}]},
        {"type": "weighted", "parts": [{"reward": {"type": "weighted", "parts": []}}]},
        {**LABEL, "length_penalty": {"per_character": float("nan")}},
        {**LABEL, "length_penalty": 3},
        [],
        None,
    ],
)
def test_unusable_settings_are_counted_and_cost_the_reward(settings: object) -> None:
    answer = "[]" if isinstance(settings, dict) and settings.get("type") == "json" else "HQ"
    (score,) = score_batch(sample(answer, reward=settings))
    assert score["aggregate_reward_score"] == -1.0
    assert metrics(score)["unusable_sample"] == 1.0


def test_a_prompt_without_a_generated_turn_is_unusable() -> None:
    (score,) = score_batch({"id": "a", "messages": [{"role": "user", "content": "HQ"}]})
    assert metrics(score)["unusable_sample"] == 1.0


@pytest.mark.parametrize(
    ("value", "schema", "broken"),
    [
        ({"a": [1, 2]}, {"properties": {"a": {"items": {"type": "integer"}}}}, []),
        ({"a": [1, "b"]}, {"properties": {"a": {"items": {"type": "integer"}}}}, ["$.a[1]: type"]),
        (True, {"type": "integer"}, ["$: type"]),
        (True, {"enum": [1]}, ["$: enum"]),
        (None, {"type": ["string", "null"]}, []),
        ("abc", {"maxLength": 2}, ["$: maxLength"]),
        (3, {"minimum": 4}, ["$: minimum"]),
        ({"b": 1}, {"additionalProperties": False}, ["$: additionalProperties"]),
        ({}, {"required": ["a"], "const": {}}, ["$: required"]),
    ],
)
def test_schema(value: object, schema: object, broken: list[str]) -> None:
    assert violations(value, schema) == broken


def random_json(rng: random.Random, depth: int = 0) -> object:
    keys = ("id", "messages", "role", "content", "text", "reference_answer", "reward", "type")
    more = ("labels", "parts", "weight", "schema", "pattern", "length_penalty", "free", "items")
    leaves: list[object] = [
        *(None, True, -1, 10**400, 0.5, math.nan, math.inf, "", "HQ", "label", "weighted"),
        *("json", "regex", "numeric", "f1", "(", "\ud800", "1e999", "assistant", keys[0]),
    ]
    kind = rng.random()
    if depth > 4 or kind < 0.3:
        return rng.choice(leaves)
    if kind < 0.5:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    chosen = rng.choices(keys + more, k=rng.randrange(6))
    return {key: random_json(rng, depth + 1) for key in chosen}


def test_no_json_value_in_place_of_a_sample_raises() -> None:
    rng = random.Random(20)  # noqa: S311
    types = ("label", "exact", "numeric", "regex", "json", "f1", "weighted")
    for _ in range(20_000):
        value = random_json(rng)
        if rng.random() < 0.5:
            settings = {**LABEL, "type": rng.choice(types), rng.choice(types): value}
            value = sample(random_json(rng, 3), random_json(rng, 3), reward=settings)
        batch = [value, sample("HQ", reward=LABEL)]
        strange, ordinary = score_batch(batch)
        assert math.isfinite(strange["aggregate_reward_score"])
        assert ordinary["aggregate_reward_score"] == 1.0
        json.dumps(strange, allow_nan=False)


def test_deep_nesting_does_not_raise() -> None:
    deep: object = "HQ"
    for _ in range(100_000):
        deep = [deep]
    assert metrics(score_batch([sample(deep)])[0])["unusable_sample"] == 1.0
    assert reward("[" * 100_000, "", type="json") == -1.0


def test_batch_summary_takes_means() -> None:
    scores = score_batch([sample("HQ", reward=LABEL), sample("??", reward=LABEL), 7])
    summary = batch_summary(scores)
    assert summary["reward"] == pytest.approx(-1 / 3)
    assert summary["valid_answer"] == pytest.approx(1 / 3)
    assert summary["unusable_sample"] == pytest.approx(1 / 3)
    assert summary["response_characters"] == pytest.approx(4 / 3)
    assert batch_summary([]) == {}


def test_the_reward_room_loads_nothing_but_itself_and_little_of_the_standard_library() -> None:
    program = "import sys, novaloop.rewards.reward; print(*sys.modules)"
    environment = {"PYTHONPATH": str(LAYER)}
    command = [sys.executable, "-S", "-c", program]
    loaded = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    names = loaded.stdout.split()
    assert {name for name in names if "." not in name} <= {
        *sys.stdlib_module_names,
        "__main__",
        "novaloop",
    }
    ours = {name for name in names if name.startswith("novaloop.")}
    assert all(name.startswith("novaloop.rewards") for name in ours)
    heavy = {"typing", "dataclasses", "inspect", "datetime", "decimal", "logging", "asyncio"}
    assert not heavy & set(names)
