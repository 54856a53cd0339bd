"""Which references a reward can be earned with, by type."""

import json
import re
from typing import Any

import pytest

from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.rewards.custom import CUSTOM_SCORERS
from novaloop.rewards.outcome import UnusableSampleError
from novaloop.rewards.trial import RewardTrial

LABEL = {"type": "label", "labels": ["HQ", "LQ_EDIT"]}
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
JSON = {"type": "json", "schema": SCHEMA}
ANSWER_TAG = {"type": "regex", "pattern": r"<answer>(.*?)</answer>"}
CHOICE = {"type": "regex", "pattern": r"\b(A|B|C|D)\b"}
NUMERIC = {"type": "numeric"}
LAZY = {"type": "regex", "pattern": r"(\d+?)"}
HASHES = {"type": "regex", "pattern": r"####\s*(-?[\d,]+)"}
BOXED = {"type": "regex", "pattern": r"(?i)\\BOXED\{([^{}]+)\}"}


def weighted(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "weighted", "parts": [{"reward": each} for each in parts]}


def only(**properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"type": "json", "schema": {**schema, "additionalProperties": False}}


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
    (LAZY, "7"),
    ({"type": "regex", "pattern": r".+\b(\d+)"}, "42"),
    ({"type": "regex", "pattern": r"^(yes|no)\b"}, "no"),
    (weighted(JSON, NUMERIC), "12.5"),
    (weighted(only(a={"type": "number"}), NUMERIC), "12.5"),
    (weighted(only(a=only(b={"type": "string"})["schema"]), LABEL), "HQ"),
    (weighted(only(a={"enum": ["HQ", "LQ_EDIT"]}, why={"minLength": 5}), LABEL), "LQ_EDIT"),
    (weighted({"type": "regex", "pattern": "(?s)^<think>.*</think>"}, ANSWER_TAG, NUMERIC), "12"),
    (weighted({"type": "regex", "pattern": "(?s)^<think>.*</think>"}, {"type": "exact"}), "HQ"),
    (weighted({"type": "regex", "pattern": "^[a-z]+$"}, {"type": "exact"}), "word"),
    (weighted({"type": "json"}, {"type": "exact"}), "12"),
    (weighted({"type": "f1"}, {"type": "regex", "pattern": "[.!?]$"}), "words without a stop"),
    (weighted(only(a={"type": "string"}), {"type": "f1"}), "a good many words"),
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
    (LAZY, "10", "first match is never the whole reference"),
    ({"type": "regex", "pattern": "(?s)(.*?)"}, "some words", "never the whole reference"),
    ({"type": "regex", "pattern": r"(\w{1,9})x?"}, "ten letters", "can't be the reference"),
    (weighted({"type": "regex", "pattern": "^[a-z]+$"}, {"type": "exact"}), "HQ", "contradict"),
    (weighted({"type": "json"}, {"type": "exact"}), "some words", "contradict one another"),
    (weighted(only(a={"type": "number"}), {"type": "f1"}), "some words", "contradict one another"),
    (weighted({"type": "regex", "pattern": r"^\d+$"}, HASHES), "12", "contradict one another"),
    (weighted(only(a={"type": "boolean"}), LABEL), "HQ", "contradict one another"),
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


MEANINGLESS: list[tuple[dict[str, Any], str]] = [
    ({"type": "regex", "pattern": "a$b"}, "the pattern is found in no answer"),
    ({"type": "regex", "pattern": r"(\d+)$a"}, "found in no answer with a text in group 1"),
    ({"type": "regex", "pattern": "x$y(HQ|LQ)"}, "found in no answer"),
    ({"type": "regex", "pattern": r"\d+^"}, "found in no answer"),
    ({"type": "regex", "pattern": r"x\b(\d)"}, "found in no answer"),
    ({"type": "regex", "pattern": r"\Z(?:a|b)"}, "found in no answer"),
    ({"type": "regex", "pattern": "."}, "any answer earns the full reward regex"),
    ({"type": "regex", "pattern": r"\S+"}, "any answer earns"),
    ({"type": "json", "schema": {"enum": []}}, "no JSON fits the schema"),
    ({"type": "json", "schema": {"type": "integer", "minimum": 5.2, "maximum": 5.8}}, "no JSON"),
    ({"type": "json", "schema": {"type": "string", "minLength": 5, "maxLength": 2}}, "no JSON"),
    ({"type": "json", "schema": {"const": 3, "type": "string"}}, "no JSON"),
    (
        {"type": "json", "schema": {"minItems": 1, "items": {"enum": []}, "type": "array"}},
        "no JSON",
    ),
    (only(a={"enum": []}), "no JSON"),
    (
        {
            "type": "json",
            "schema": {"required": "a", "type": "object", "additionalProperties": False},
        },
        "no JSON",
    ),
]


@pytest.mark.parametrize(("settings", "why"), MEANINGLESS)
def test_a_form_that_no_answer_has_or_any_is_told_without_a_reference(
    settings: dict[str, Any], why: str
) -> None:
    penalty = {"length_penalty": {"per_character": 0.5}}
    for each in (settings, settings | penalty, weighted(LABEL, settings)):
        told = RewardTrial(each).why_meaningless()
        assert told is not None
        assert why in told
    with pytest.raises(Invalid, match=re.escape(why)):
        read_spec(json.dumps({"reward": settings}).encode())
    parts = json.dumps({"labels": ["a", "b"], "reward": weighted({"type": "label"}, settings)})
    with pytest.raises(Invalid, match=r"reward\.parts\[1\]\.reward: "):
        read_spec(parts.encode())


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            r"[\u4e00-\u9fff]+",
            r"[\U0001F600-\U0001F64F](\d)",
            "[\u03b1-\u03c9]+",
            r"(?m)^a$\n^(b)",
        ),
        *(r"\w\b\W\b(\w)", r"(?:a|b|c)\b(?:x|-)(\d)", r"(?i)ANSWER\s*[:=]\s*(\d+(?:\.\d+)?)"),
        *(r"[^\W\d_]{3,8}:\s(\w+)\Z", r"\A\B\W(x)", r"(HQ|LQ)?", r"a{300}(b)", r"\$(\d)"),
    ],
)
def test_a_pattern_that_is_found_somewhere_passes(pattern: str) -> None:
    assert RewardTrial({"type": "regex", "pattern": pattern}).why_meaningless() is None


def test_a_schema_that_some_value_fits_passes() -> None:
    fitted: list[dict[str, Any]] = [
        *({}, {"type": ["string", "null"], "minLength": 9, "maxLength": 9}, {"const": None}),
        *({"type": "object", "minimum": 5, "maximum": 2}, {"minimum": 5, "maximum": 2}),
        *({"type": "array", "minItems": 3, "maxItems": 3, "items": SCHEMA}, {"maximum": -7}),
    ]
    for schema in fitted:
        assert RewardTrial({"type": "json", "schema": schema}).why_meaningless() is None


def test_whether_a_row_is_told_from_another_is_said_of_what_compares() -> None:
    close = {"type": "numeric", "tolerance": 2}
    assert RewardTrial(close).earns_with("5", "7") is True
    assert RewardTrial(close).earns_with("5", "7.5") is False
    assert RewardTrial(None).earns_with("caf\u00e9", "cafe\u0301") is True
    assert RewardTrial(HASHES).earns_with("5", "6") is False
    assert RewardTrial({"type": "regex", "pattern": r"\d%"}).earns_with("5%", "6%") is None
    assert RewardTrial(weighted(JSON, NUMERIC)).earns_with("5", "6") is False


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
