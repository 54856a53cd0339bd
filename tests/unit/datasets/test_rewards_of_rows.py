"""RFT rows whose reference can't earn the reward: refused with their line, at any entrance."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.policies import Check
from novaloop.datasets.profile.checks import check_datasets
from novaloop.datasets.profile.profile import DatasetProfile
from novaloop.datasets.rows import reward_trials
from novaloop.experiment.validation.reading import read_spec
from novaloop.rewards.custom import CUSTOM_SCORERS
from novaloop.usecases.conversion import dataset_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.datasets.profile.summary import DatasetSummary

NUMERIC = "reward: {type: numeric}\n"
PROMPT = [{"role": "user", "content": "q"}]
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:mine"


def of_csv(answers: list[str], spec: str, *formats: RowFormat) -> tuple[DatasetSummary, list[Any]]:
    data = "question,Y\n" + "".join(f"q{line},{each}\n" for line, each in enumerate(answers))
    spec += "columns: {answer: Y}\n"
    return run(data.encode(), dataset_options(read_spec(spec.encode()), SourceFormat.CSV), formats)


def of_json(rows: list[Mapping[str, Any]], spec: str) -> tuple[DatasetSummary, list[Any]]:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return run(data, dataset_options(read_spec(spec.encode()), SourceFormat.JSONL), ())


def run(
    data: bytes, options: DatasetOptions, formats: tuple[RowFormat, ...]
) -> tuple[DatasetSummary, list[Any]]:
    rejects: list[bytes] = []
    outputs = dict.fromkeys(formats or (RowFormat.RFT,), len)
    summary = convert([data], outputs, options, rejects.append)
    return summary, [json.loads(line) for line in rejects]


def test_each_row_that_can_not_earn_it_is_told_with_its_line() -> None:
    answers = [str(number) for number in range(3_000)]
    answers[17] = answers[2_500] = "forty two apples"
    summary, rejects = of_csv(answers, NUMERIC)
    assert [each["line"] for each in rejects] == [19, 2_502]
    told = str(summary.refusal)
    assert told.startswith("line 19: `Y` can never earn the reward: reference_answer holds no numb")
    assert "2 of 3000 rows rejected; correct them" in told
    assert "choose another `reward:` in experiment.yaml" in told
    assert "apples" not in json.dumps(rejects) + told
    assert of_csv(answers, NUMERIC + "max_rejects: 2\n")[0].ok


@pytest.mark.parametrize("formats", [(RowFormat.SFT,), (RowFormat.EVALUATION,)])
def test_rows_that_no_reward_is_asked_about_are_not_tried(formats: tuple[RowFormat, ...]) -> None:
    assert of_csv(["forty two"], NUMERIC, *formats)[0].ok
    assert not of_csv(["forty two"], NUMERIC, *formats, RowFormat.RFT)[0].ok


def test_rows_that_are_formatted_already_are_tried_too() -> None:
    good, bad = ({"messages": PROMPT, "reference_answer": each} for each in ("42", "many"))
    summary, rejects = of_json([good, bad, good], NUMERIC)
    assert [each["line"] for each in rejects] == [2]
    assert str(summary.refusal).startswith("line 2: `reference_answer` can never earn the reward")
    turns = [{"role": "user", "content": [{"text": "q"}]}]
    conversations = [
        {
            "schemaVersion": "bedrock-conversation-2024",
            "messages": [*turns, {"role": "assistant", "content": [{"text": text}]}],
        }
        for text in ("42", "many")
    ]
    assert [each["line"] for each in of_json(conversations, NUMERIC)[1]] == [2]


def test_a_row_without_reference_earns_nothing_by_equality() -> None:
    assert not of_json([{"messages": PROMPT}], "{}")[0].ok
    assert of_json([{"messages": PROMPT}], "reward: {type: json}\n")[0].ok


def test_a_reward_that_a_row_brings_is_the_one_that_it_is_tried_against() -> None:
    row = {"messages": PROMPT, "reference_answer": "many", "reward": {"type": "numeric"}}
    summary, _ = of_json([row], "{}")
    assert "its own `reward` can't be earned by its reference; correct it" in str(summary.refusal)
    assert of_json([row | {"reward": {"type": "exact"}}], "{}")[0].ok
    (reject,) = of_json([row | {"reward": "exact"}], "{}")[1]
    assert "its own `reward` can't be earned" in reject["message"]


def test_a_reward_that_a_row_brings_is_tried_where_no_other_is_known() -> None:
    row = {"messages": PROMPT, "reference_answer": "many", "reward": {"type": "numeric"}}
    unknown = f"reward: {{function: '{FUNCTION}'}}\n"
    assert not of_json([row], unknown)[0].ok
    assert of_json([row | {"reference_answer": "5"}], unknown)[0].ok
    assert of_json([row | {"reward": {"type": "mine", "of": ["a"]}}], unknown)[0].ok


def test_a_reward_that_a_row_brings_must_mean_something() -> None:
    row = {"messages": PROMPT, "reference_answer": "HQ"}
    for own in ({"type": "regex", "pattern": "."}, {"type": "json", "schema": {"enum": []}}):
        (reject,) = of_json([row | {"reward": own}], "{}")[1]
        assert "its own `reward` can't be earned" in reject["message"]


def told_apart(answers: list[str], spec: str) -> bool:
    summary, _ = of_csv(answers, spec)
    assert summary.ok
    profile = DatasetProfile.from_bytes(summary.profile.to_bytes())
    findings = check_datasets({"rft": profile.joined(DatasetProfile.empty())})
    return not any(each.check is Check.ANY_REFERENCE for each in findings)


def test_a_reward_that_any_other_rows_reference_earns_is_a_finding() -> None:
    numbers = [str(number) for number in range(3_000)]
    assert not told_apart(numbers, "reward: {type: numeric, tolerance: 5000}\n")
    assert told_apart(numbers, "reward: {type: numeric, tolerance: 1}\n")
    assert told_apart(numbers[:10], "reward: {type: numeric, tolerance: 50}\n")  # too few to tell
    assert not told_apart(["5", "5.0"] * 20, NUMERIC)
    assert told_apart(["5", "5.0"] * 20 + ["6"], NUMERIC)
    assert not told_apart(["caf\u00e9", "cafe\u0301"] * 20, "reward: {type: exact}\n")
    assert told_apart(["good", "bad"] * 20, "labels: [good, bad]\n")
    rows = [{"messages": PROMPT, "reference_answer": str(each)} for each in range(40)]
    summary, _ = of_json(rows, "reward: {type: numeric, tolerance: 5000}\n")
    assert summary.profile.pairs == (39, 39)


def test_a_reward_of_each_plain_row_is_refused_and_not_dropped() -> None:
    rows = [{"question": f"q{each}", "answer": "5", "reward": {"type": "numeric"}} for each in "ab"]
    told = str(of_json(rows, "{}")[0].refusal)
    assert told.startswith("line 1: has `reward` for each row, which only rows with `messages` can")
    assert of_json(rows, "columns: {reward: null}\n")[0].ok
    data = b"question,answer,reward\nq,5,1\n"
    options = dataset_options(read_spec(NUMERIC.encode()), SourceFormat.CSV)
    assert not run(data, options, (RowFormat.RFT,))[0].ok
    assert run(data, options, (RowFormat.EVALUATION,))[0].ok


@pytest.mark.parametrize("name", ["weight", "sample_weight", "train", "trainable", "loss", "mask"])
def test_a_weight_of_each_row_is_refused_and_not_dropped(name: str) -> None:
    data = f"question,answer,{name}\nq,a,0\nr,b,1\n".encode()
    for formats in ((RowFormat.SFT,), (RowFormat.RFT,), (RowFormat.SFT, RowFormat.RFT)):
        summary, _ = run(data, DatasetOptions(), formats)
        assert f"line 1: has `{name}` for each row, and Nova's jobs weigh" in str(summary.refusal)
        off = DatasetOptions(columns={name: None})
        assert run(data, off, formats)[0].ok
    assert run(data, DatasetOptions(), (RowFormat.EVALUATION,))[0].ok
    assert run(data, DatasetOptions(columns={"answer": name}), (RowFormat.SFT,))[0].ok


def test_rows_of_sft_that_rft_takes_too_are_told_how_to_leave_it() -> None:
    told = str(of_csv(["many"], NUMERIC, RowFormat.SFT, RowFormat.RFT)[0].refusal)
    assert "or leave the rows of sft out of rft by its `include_sft_rows: false`" in told
    assert "include_sft_rows" not in str(of_csv(["many"], NUMERIC)[0].refusal)


def test_what_a_function_of_ones_own_makes_of_a_row_only_it_knows() -> None:
    rows = [{"messages": PROMPT, "reference_answer": {"calls": ["a"], "limit": 2}}]
    assert not of_json(rows, "{}")[0].ok
    assert of_json(rows, f"reward: {{function: '{FUNCTION}'}}\n")[0].ok


def test_a_scorer_of_ones_own_is_tried_with_three_references(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def mine(answer: str, reference: object, _: object) -> tuple[float, bool]:
        asked.append(reference)
        return (1.0 if float(answer) else 0.0), True

    monkeypatch.setitem(CUSTOM_SCORERS, "mine", mine)
    own = "reward: {type: custom, name: mine}\n"
    assert of_csv([str(number) for number in range(2_000)], own)[0].ok
    assert len(asked) == reward_trials.OWN_TRIED
    summary, rejects = of_csv(["1", "two", "3", "four", "five"], own)
    assert [each["line"] for each in rejects] == [3]
    assert "the scorer mine raises ValueError" in str(summary.refusal)


def test_equal_references_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    why_never = reward_trials.RewardTrial.why_never

    def counted(trial: reward_trials.RewardTrial, reference: object) -> str | None:
        tried.append(reference)
        return why_never(trial, reference)

    monkeypatch.setattr(reward_trials.RewardTrial, "why_never", counted)
    labels = "labels: [good, bad]\n"
    assert of_csv(["good", "bad"] * 5_000, labels)[0].ok
    assert sorted(map(str, tried)) == ["bad", "good"]
