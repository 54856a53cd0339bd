"""Scores of tasks without rows: the job's numbers, their errors, the changes between jobs."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest

from novaloop.experiment.spec.experiment import GateCondition
from novaloop.metrics.archive import ArchiveError, Member
from novaloop.metrics.gate import GateDecision, GateResult, Outcome, judge
from novaloop.metrics.results import Score, TaskScore, Verdict, read_score
from novaloop.metrics.score import score_lines
from novaloop.metrics.tasks import estimates, score_task


def member(name: str, document: object) -> Member:
    content = json.dumps(document).encode()
    return Member(name, len(content), io.BytesIO(content))


def results(**tasks: dict[str, float]) -> dict[str, Any]:
    return {"results": tasks}


def score(value: float, stderr: float | None, earlier: dict[str, TaskScore] | None = None) -> Any:
    metrics = {"accuracy": value} | ({} if stderr is None else {"accuracy_stderr": stderr})
    document = {"results": {"custom|mmlu_zs_cot|0": metrics, "all": metrics}}
    return score_task([member("r/results_1.json", document)], "mmlu", None, earlier or {})


def test_the_newest_results_count_wherever_they_lie() -> None:
    members = [
        member("job/eval_results/results_2026-02.json", results(all={"accuracy": 0.2})),
        member("job/eval_results/results_2026-01.json", results(all={"accuracy": 0.1})),
        member("job/other.json", {}),
    ]
    found = score_task(members, "mmlu", "anatomy", {})
    assert (found.task, found.subtask) == ("mmlu", "anatomy")
    assert found.metrics["accuracy"].value == 0.2
    assert found.metrics["accuracy"].stderr is None


@pytest.mark.parametrize(
    "members",
    [
        [],
        [member("results_1.json", {})],
        [member("results_1.json", results(all={}))],
        [member("results_1.json", results(all={"accuracy": float("nan")}))],
        [member("results_1.json", results(one={"accuracy": 0.1}, two={"accuracy": 0.2}))],
    ],
)
def test_results_without_numbers_are_no_score(members: list[Member]) -> None:
    with pytest.raises(ArchiveError):
        score_task(members, "mmlu", None, {})


def test_the_error_of_a_mean_of_parts_is_that_of_the_mean() -> None:
    parts = {
        "mmlu:a": {"accuracy": 0.4, "accuracy_stderr": 0.03},
        "mmlu:b": {"accuracy": 0.6, "accuracy_stderr": 0.04},
        "mmlu:_average": {"accuracy": 0.5, "accuracy_stderr": 0.035},
        "all": {"accuracy": 0.5, "accuracy_stderr": 0.035},
    }
    assert estimates(parts)["accuracy"].stderr == pytest.approx(0.025)
    other_mean = {**parts, "all": {"accuracy": 0.55, "accuracy_stderr": 0.035}}
    assert estimates(other_mean)["accuracy"].stderr == 0.035


def test_a_change_is_tested_as_that_of_unrelated_rows() -> None:
    before = score(0.50, 0.03)
    after = score(0.60, 0.04, {"base": before})
    change = after.changes["base"]["accuracy"]
    assert change.difference == pytest.approx(0.1)
    assert change.high - change.difference == pytest.approx(1.96 * 0.05, rel=1e-3)
    assert change.p_value == pytest.approx(2 * (1 - 0.97725), abs=1e-4)
    assert change.verdict is Verdict.BETTER
    assert score(0.54, 0.04, {"base": before}).changes["base"]["accuracy"].verdict is (
        Verdict.NO_EVIDENCE
    )


def test_without_errors_no_change_is_tested() -> None:
    assert score(0.9, None, {"base": score(0.1, 0.01)}).changes == {"base": {}}
    assert score(0.9, 0.0, {"base": score(0.1, 0.0)}).changes == {"base": {}}


def test_scores_of_both_kinds_are_read_back() -> None:
    after = score(0.6, 0.04, {"base": score(0.5, 0.03)})
    assert read_score(json.loads(json.dumps(after.to_dict()))) == after
    line = json.dumps({"prompt": "q", "inference": ["a"], "gold": "a"}).encode()
    of_rows, _ = score_lines([line, line])
    assert read_score(of_rows.to_dict()) == of_rows


def judged(found: Score | TaskScore, **asked: Any) -> GateResult:
    return judge([("after", GateCondition(**{"metric": "accuracy", **asked}), found)])


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        ({"at_least": 0.52}, GateDecision.PROMOTE),
        ({"at_least": 0.53}, GateDecision.INCONCLUSIVE),
        ({"at_least": 0.68}, GateDecision.HOLD),
        ({"at_least": 0.1, "metric": "exact_match"}, GateDecision.INCONCLUSIVE),
        ({"better_than": "base"}, GateDecision.PROMOTE),
        ({"better_than": "other"}, GateDecision.INCONCLUSIVE),
        ({"max_truncated": 0.5}, GateDecision.INCONCLUSIVE),
        ({"class_floors": {"HQ": 0.1}}, GateDecision.INCONCLUSIVE),
    ],
)
def test_the_gate_judges_a_task(asked: dict[str, object], verdict: GateDecision) -> None:
    assert judged(score(0.6, 0.04, {"base": score(0.5, 0.03)}), **asked).verdict is (verdict)


def test_the_ledger_names_the_test_that_was_possible() -> None:
    after = score(0.6, 0.04, {"base": score(0.5, 0.03)})
    (entry,) = judged(after, better_than="base").ledger
    assert entry.outcome is Outcome.MET
    assert "unpaired z-test on the jobs' standard errors" in entry.observed
    assert entry.needed == "a change above 0 at 95 % confidence, two-sided"


def test_what_a_processor_function_measures_is_kept_and_can_be_gated_on() -> None:
    line = json.dumps({"prompt": "q", "inference": ["a"], "gold": "a"}).encode()
    reported = {"em": 1.0, "politeness": 0.7, "politeness_stderr": 0.1}
    found, _ = score_lines([line, line], reported=reported)
    assert found.metrics["politeness"].value == 0.7
    assert math.isclose(found.metrics["politeness"].stderr or 0, 0.1)
    assert found.metrics["em"].value == 1
    for level, verdict in ((0.5, "PROMOTE"), (0.8, "INCONCLUSIVE"), (0.9, "HOLD")):
        assert judged(found, metric="politeness", at_least=level).verdict == verdict
    bare, _ = score_lines([line, line], reported={"em": 1.0, "politeness": 0.7})
    for level, verdict in ((0.7, "PROMOTE"), (0.71, "HOLD")):
        (entry,) = judged(bare, metric="politeness", at_least=level).ledger
        assert entry.observed == "0.7000, without an error"
        assert judged(bare, metric="politeness", at_least=level).verdict == verdict


def test_a_gain_is_asked_for_at_the_confidence_of_the_comparison() -> None:
    before = score(0.5, 0.03)
    members = [member("results_1.json", results(all={"accuracy": 0.6, "accuracy_stderr": 0.04}))]
    sure = score_task(members, "mmlu", None, {"base": before}, confidence=0.99)
    (entry,) = judged(sure, better_than="base").ledger
    assert (entry.outcome, entry.needed) == (
        Outcome.UNDECIDED,
        "a change above 0 at 99 % confidence, two-sided",
    )
