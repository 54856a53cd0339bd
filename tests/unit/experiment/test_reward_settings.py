"""`reward:` of experiment.yaml: what is refused, and what every RFT row carries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.options import RowFormat, SourceFormat
from novaloop.experiment.controller.intake import data_fingerprint
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.reward import REWARD_TYPES
from novaloop.experiment.spec.stages import Role
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.rewards.custom import CUSTOM_SCORERS
from novaloop.rewards.reward import score_batch, why_unusable
from novaloop.rewards.scorers import SCORERS
from novaloop.usecases.conversion import dataset_options

if TYPE_CHECKING:
    from collections.abc import Sequence

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:mine"
LABELS = "labels: [HQ, LQ_EDIT]\n"


def rows(text: str, answers: Sequence[str]) -> list[dict[str, Any]]:
    """Return the RFT rows of an experiment, as ingest writes them."""
    csv = "question,answer\n" + "".join(f"q,{answer}\n" for answer in answers)
    written: list[bytes] = []
    options = dataset_options(read_spec(text.encode()), SourceFormat.CSV)
    summary = convert(iter([csv.encode()]), {RowFormat.RFT: written.append}, options, print)
    assert summary.refusal is None
    return [json.loads(line) for line in b"".join(written).splitlines()]


def carried(text: str) -> Any:
    (row,) = rows(text, ["HQ"])
    return row.get("reward")


def errors(text: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as refused:
        read_spec(text.encode())
    return map(str, refused.value.problems)


def test_every_type_that_scores_can_be_asked_for() -> None:
    assert set(REWARD_TYPES) == {*SCORERS, "function"}


def test_without_a_reward_labels_are_scored_by_label() -> None:
    assert carried(LABELS) == {"type": "label", "labels": ["HQ", "LQ_EDIT"]}
    assert carried("{}") is None


def test_every_row_carries_the_reward_that_was_asked_for() -> None:
    text = "reward: {type: numeric, tolerance: 0.5}"
    scored = [{"type": "numeric", "tolerance": 0.5}] * 2
    assert [row["reward"] for row in rows(text, ["1", "2"])] == scored
    (row,) = rows("reward: {type: json, schema: {type: object}}", ["{}"])
    assert row["reward"] == {"type": "json", "schema": {"type": "object"}}


def test_labels_reach_the_parts_of_a_weighted_reward() -> None:
    parts = "[{weight: 3, reward: {type: label, reading: strict}}, {reward: {type: f1}}]"
    reward = carried(f"{LABELS}reward: {{type: weighted, parts: {parts}}}")
    strict = {"type": "label", "reading": "strict", "labels": ["HQ", "LQ_EDIT"]}
    assert [part["reward"] for part in reward["parts"]] == [strict, {"type": "f1"}]
    assert [part["weight"] for part in reward["parts"]] == [3, 1]


REWARDS = [
    "{type: label}",
    "{type: label, reading: strict}",
    "{type: exact, length_penalty: {free: 2, per_character: 0.1}}",
    "{type: numeric, tolerance: 0.01}",
    "{type: regex, pattern: 'x = (.+)'}",
    "{type: json, schema: {type: object, required: [a], properties: {a: {type: integer}}}}",
    "{type: f1}",
    "{type: weighted, parts: [{weight: 2, reward: {type: label}}, {reward: {type: exact}}]}",
    "{type: custom, name: mine}",
]


@pytest.mark.parametrize("reward", REWARDS)
def test_what_is_accepted_is_what_the_reward_function_can_use(
    reward: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CUSTOM_SCORERS, "mine", lambda *_: (1.0, True))
    label = "7" if "numeric" in reward else "HQ"
    labels = 'labels: ["7", "8"]\n' if label == "7" else LABELS
    (row,) = rows(f"{labels}reward: {reward}", [label])
    answer = '{"a": 1}' if "json" in reward else f"x = {label}" if "regex" in reward else label
    turn = {"role": "assistant", "content": answer}
    rollout = {**row, "id": "1", "messages": [*row["messages"], turn]}
    assert why_unusable(rollout) is None
    assert score_batch(rollout)[0]["aggregate_reward_score"] == 1.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reward: {type: lable}", "reward: type must be one of label, exact, numeric, regex"),
        ("reward: {}", "reward: type must be one of"),
        ("reward: 3", "reward: "),
        ("reward: {function: mine}", "reward.function: 'mine' must be a Lambda function's ARN"),
        (f"reward: {{function: '{FUNCTION}:live'}}", "ARN without version or alias"),
        (f"reward: {{function: '{FUNCTION}', type: f1}}", "reward.function: is not a known sett"),
        ("reward: {type: function}", "reward.function: "),
        ("reward: {funktion: x}", "reward: type must be one of"),
        (
            f"reward: {{type: weighted, parts: [{{reward: {{function: '{FUNCTION}'}}}}]}}",
            "reward.parts[0].reward: type must be one of label, exact, numeric, regex, json, f1, c",
        ),
        ("reward: {type: label}", "reward: type label needs `labels:`"),
        ("reward: {type: label, labels: [a, b]}", "reward.labels: is not a known setting"),
        ("reward: {type: numeric, tolerence: 3}", "reward.tolerence: is not a known setting; did"),
        ("reward: {type: numeric, tolerance: .nan}", "reward.tolerance: "),
        ("reward: {type: numeric, tolerance: -1}", "reward.tolerance: "),
        ("reward: {type: regex, pattern: '('}", "reward.pattern: is no regular expression"),
        ("reward: {type: json, schema: {oneOf: []}}", "reward.schema: $ must be an object of"),
        (
            "reward: {type: json, schema: {properties: {a: {items: {type: [string, strin]}}}}}",
            "reward.schema: type must be one of object, array",
        ),
        (
            "reward: {type: json, schema: {properties: {a: {minimum: x}}}}",
            "reward.schema: $.a: min",
        ),
        ("reward: {type: json, schema: {required: [[a]]}}", "reward.schema: $: required must be"),
        ("reward: {type: json, schema: {additionalProperties: {}}}", "additionalProperties must"),
        ("reward: {type: json, schema: {const: 2001-01-01}}", "reward.schema: has a date"),
        ("reward: {type: json, schema: {const: .inf}}", "reward.schema: has a number beyond"),
        ("reward: {type: json, schema: {maximum: 1.0e+40}}", "reward.schema: has a number beyond"),
        ("reward: {type: json, schema: {properties: {1: {}}}}", "reward.schema: has a key that is"),
        ("reward: {type: weighted, parts: []}", "reward.parts: "),
        (
            "reward: {type: weighted, parts: [{wieght: 1, reward: {type: f1}}]}",
            "reward.parts[0].wieght: is not a known setting; did you mean weight?",
        ),
        (
            "reward: {type: weighted, parts: [{reward: {type: weighted, parts: []}}]}",
            "reward.parts[0].reward: type must be one of label, exact, numeric, regex, json, f1",
        ),
        ("reward: {type: f1, length_penalty: {free: 1}}", "reward.length_penalty.per_character: "),
        ("reward: {type: custom, name: x}", "reward.name: is not in rewards/custom.py"),
        (f"reward: {{type: regex, pattern: {'x' * 1001}}}", "reward.pattern: has 1,001 characters"),
        (
            f"reward: {{type: json, schema: {{required: [{'x' * 9000}]}}}}",
            "at most 8,192 are taken",
        ),
    ],
)
def test_what_cannot_be_scored_by_is_refused_with_its_path(text: str, says: str) -> None:
    assert any(says in error for error in errors(text))


def test_another_reward_makes_another_dataset() -> None:
    one, other = (
        ExperimentSpec.model_validate({"reward": {"type": kind}}) for kind in ("f1", "exact")
    )
    assert data_fingerprint(one, Role.RFT) != data_fingerprint(other, Role.RFT)


def test_rows_for_a_function_of_ones_own_carry_no_reward() -> None:
    assert carried(f"{LABELS}reward: {{function: '{FUNCTION}'}}") is None


@pytest.mark.parametrize(
    "text", ["reward: {type: json, schema: {type: object}}", f"reward: {{function: '{FUNCTION}'}}"]
)
def test_a_spec_with_a_reward_survives_being_stored(text: str) -> None:
    spec = read_spec(text.encode())
    assert ExperimentSpec.model_validate(spec.model_dump(mode="json")) == spec
