"""Which references a reward can be earned with, by type."""

import json
from typing import Any

import pytest

from novaloop.rewards.custom import CUSTOM_SCORERS
from novaloop.rewards.outcome import UnusableSampleError
from novaloop.rewards.trial import RewardTrial

LABEL = {"type": "label", "labels": ["HQ", "LQ_EDIT"]}
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
JSON = {"type": "json", "schema": SCHEMA}
ANSWER_TAG = {"type": "regex", "pattern": r"<answer>(.*?)</answer>"}
CHOICE = {"type": "regex", "pattern": r"\b(A|B|C|D)\b"}
HASHES = {"type": "regex", "pattern": r"####\s*(-?[\d,]+)"}
BOXED = {"type": "regex", "pattern": r"(?i)\\BOXED\{([^{}]+)\}"}


def weighted(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "weighted", "parts": [{"reward": each} for each in parts]}


EARNED: list[tuple[Any, Any]] = [
    (None, "anything at all"),
    (None, 42),
    (None, True),
    (None, ["a", "b"]),
    ({"type": "exact"}, {"text": " padded "}),
    ({"type": "numeric"}, "42 apples"),
    ({"type": "numeric"}, "-1.5e3"),
    ({"type": "numeric"}, 7),
    ({"type": "f1"}, "some words, and Some words"),
    (LABEL, "HQ"),
    ({**LABEL, "reading": "strict"}, "LQ_EDIT"),
    (JSON, '{"a": 1}'),
    (JSON, {"a": 1}),
    (JSON, None),
    (ANSWER_TAG, "42"),
    (ANSWER_TAG, "two\twords"),
    (CHOICE, "C"),
    (HASHES, "1,200"),
    (BOXED, "x + y"),
    ({"type": "regex", "pattern": r"x = (\s\d+)"}, "7"),
    ({"type": "regex", "pattern": r"(?:is|was) (?P<last>(a|b)+)$"}, "abba"),
    ({"type": "regex", "pattern": r"\d+ ?%"}, "12 %"),
    ({"type": "regex", "pattern": r"\d+ ?%"}, None),
    (weighted(JSON, LABEL), "HQ"),
    (weighted(ANSWER_TAG, {"type": "exact"}), "42"),
    ({"type": "exact", "length_penalty": {"free": 5, "per_character": 0.01}}, "a little longer"),
]


@pytest.mark.parametrize(("settings", "reference"), EARNED)
def test_a_reference_that_earns_the_reward_passes(settings: object, reference: object) -> None:
    assert RewardTrial(settings).why_never(reference) is None


NEVER: list[tuple[Any, Any, str]] = [
    (None, None, "no text"),
    (None, {"a": 1, "b": 2}, "no text"),
    (None, "<|begin_of_solution|>42<|end_of_solution|>", "earns less than the full reward exact"),
    ({"type": "numeric"}, "forty two apples", "holds no number"),
    ({"type": "f1"}, "<|begin_of_solution|> a b", "earns less than the full reward f1"),
    (LABEL, "good", "none of reward.labels"),
    (LABEL, "HQ, mostly", "none of reward.labels"),
    ({"type": "label"}, "HQ", "reward.labels must be"),
    (JSON, "no JSON", "full reward json"),
    (JSON, '{"a": 1', "full reward json"),
    (JSON, '{"a": "1"}', "full reward json"),
    (JSON, '{"a": 1} and more', "full reward json"),
    (JSON, {"b": 1}, "full reward json"),
    (CHOICE, "E", "group 1 of the pattern can't be the reference"),
    (CHOICE, "A or B", "group 1"),
    (CHOICE, "a", "group 1"),
    (HASHES, "forty two", "group 1"),
    (HASHES, "42 apples", "group 1"),
    (BOXED, r"\frac{1}{2}", "group 1"),
    (ANSWER_TAG, "two\nlines", "group 1"),
    (ANSWER_TAG, "x" * 5_001, "longer than the 2,500 characters"),
    ({"type": "regex", "pattern": r"\d+ ?%"}, "a third", "full reward regex"),
    ({"type": "regex", "pattern": r"\d*"}, "7", "an empty answer earns the full reward regex"),
    (weighted(LABEL, {"type": "numeric"}), "HQ", "holds no number"),
    (weighted(LABEL, CHOICE), "HQ", "group 1"),
    ({"type": "weighted", "parts": []}, "HQ", "reward.parts must be"),
    ({"type": "weighted", "parts": [{"reward": {"type": []}}]}, "HQ", "reward.type must be"),
    ({"type": "exactly"}, "HQ", "reward.type must be"),
    ("exact", "HQ", "reward must be an object"),
    ({"type": "regex", "pattern": "("}, "HQ", "reward.pattern"),
    (
        {"type": "exact", "length_penalty": {"per_character": 1, "at_most": 2}},
        "longer",
        "no more than an empty answer",
    ),
]


@pytest.mark.parametrize(("settings", "reference", "why"), NEVER)
def test_a_reference_that_never_earns_it_is_told_without_its_text(
    settings: object, reference: object, why: str
) -> None:
    trial = RewardTrial(settings)
    for _ in range(2):  # the second time, too, where something is tried once for a file
        told = trial.why_never(reference)
        assert told is not None
        assert why in told
        text = reference if isinstance(reference, str) else json.dumps(reference)
        assert len(text) < 3 or text not in told


def test_references_that_are_labels_need_not_have_the_form_that_is_asked_for() -> None:
    assert RewardTrial(JSON, of_labels=True).why_never("HQ") is None
    assert RewardTrial(CHOICE, of_labels=True).why_never("HQ") is not None


def test_a_scorer_of_ones_own_is_only_asked_whether_it_can_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def half(answer: str, reference: object, settings: Any) -> tuple[float, bool]:
        if "secret" in answer:
            raise UnusableSampleError(f"can't do with {answer}")
        return float(settings.get("score", 0.5)), True

    monkeypatch.setitem(CUSTOM_SCORERS, "half", half)
    trial = RewardTrial(weighted({"type": "exact"}, {"type": "custom", "name": "half"}))
    assert trial.asks_own
    assert trial.why_never("word") is None
    assert trial.why_own_fails("word") is None
    assert trial.why_own_fails("secret") == "the scorer half raises UnusableSampleError"
    beyond = {"type": "custom", "name": "half", "settings": {"score": 3}}
    assert RewardTrial(beyond).why_own_fails({"any": ["object"]}) is not None
