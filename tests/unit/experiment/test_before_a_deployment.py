"""What stands before a deployment: first the gate, by the right score, and then a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Decision, Policy, StageCommand
from novaloop.experiment.controller.gate import judge
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.controller.transitions import Action
from novaloop.experiment.record import (
    Attempt,
    GateVerdict,
    Record,
    ScoreItem,
    Snapshot,
    Stage,
    StageState,
    Status,
    Unread,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind
from novaloop.metrics.results import Estimate, TaskScore

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PLAN = [
    {"evaluate": {"name": "before", "task": "mmlu"}},
    "sft",
    {"evaluate": {"name": "after", "task": "mmlu"}},
    "deploy",
]


def spec(*, gate: dict[str, Any] | None = None, **fields: Any) -> ExperimentSpec:
    wanted = {"metric": "accuracy", "at_least": 0.5, **(gate or {})}
    return ExperimentSpec.model_validate({"plan": PLAN, "gate": wanted, **fields})


def score(stage: str, attempt: int, accuracy: float | None) -> ScoreItem:
    metrics = {} if accuracy is None else {"accuracy": Estimate(accuracy, 0.01)}
    return ScoreItem(stage, attempt, NOW, score=TaskScore("mmlu", None, metrics, {}).to_dict())


GOOD, BAD = 0.9, 0.1
"""Accuracies, where the gate wants a half."""
RECORD = Record(
    "demo",
    spec(),
    NOW - timedelta(days=1),
    status=Status.RUNNING,
    stages=(
        Stage(StageKind.EVALUATE, "before", StageState.SUCCEEDED, Attempt(1, "before")),
        Stage(StageKind.SFT, "sft", StageState.SUCCEEDED, Attempt(1, "sft"), checkpoint="s3://c"),
        Stage(StageKind.EVALUATE, "after", StageState.SUCCEEDED, Attempt(2, "after")),
        Stage(StageKind.DEPLOY, "deploy"),
    ),
    uid="uid",
)
PASSED = (score("before", 1, BAD), score("after", 1, BAD), score("after", 2, GOOD))
FAILED = (score("before", 1, GOOD), score("after", 1, GOOD), score("after", 2, BAD))


def decided(record: Record, *scores: ScoreItem, **fields: Any) -> Decision:
    own = tuple(replace(each, uid=each.uid or record.uid) for each in scores)
    seen = Observation(Snapshot("demo", record, score_items=own, **fields))
    return decide(seen, NOW, Policy())


def asks(decision: Decision) -> list[Action]:
    return [each.action for each in decision.commands if isinstance(each, StageCommand)]


def test_the_gate_goes_by_the_last_evaluation_at_its_present_attempt() -> None:
    passed, failed = decided(RECORD, *PASSED), decided(RECORD, *FAILED)
    assert passed.record.status is Status.DEPLOYING
    assert failed.record.status is Status.HELD
    assert asks(passed) == asks(failed) == [], "nothing is launched before the verdict is kept"


def test_the_gate_goes_by_the_evaluation_that_it_names() -> None:
    named = replace(RECORD, spec=spec(gate={"evaluation": "before"}))
    assert decided(named, *PASSED).record.status is Status.HELD
    assert decided(named, *FAILED).record.status is Status.DEPLOYING


def test_a_score_of_a_former_experiment_of_the_name_passes_no_gate() -> None:
    former = replace(PASSED[-1], uid="former")
    assert decided(RECORD, *PASSED[:-1], former).record.status is Status.HELD


def test_without_a_score_nothing_is_deployed() -> None:
    after = decided(RECORD).record
    assert after.status is Status.HELD
    assert after.reason == "HOLD: a score to judge: there is none, not met"


def test_nobody_judges_by_scores_of_which_one_cannot_be_read() -> None:
    unread = (Unread("SCORE#before#1", "it is newer", is_newer=True),)
    decision = decided(RECORD, *PASSED[1:], unread=unread)
    assert decision.record.status is Status.RUNNING
    assert asks(decision) == []


@pytest.mark.parametrize(("when", "to"), [("hold", Status.HELD), ("promote", Status.DEPLOYING)])
def test_what_is_inconclusive_is_deployed_only_if_that_was_asked_for(when: str, to: Status) -> None:
    record = replace(RECORD, spec=spec(gate={"when_inconclusive": when}))
    unclear = score("after", 2, None)
    assert judge(record, {("after", 2): unclear}).verdict == "INCONCLUSIVE"
    assert decided(record, unclear).record.status is to


def test_a_person_is_asked_after_the_gate_has_let_it_through() -> None:
    asked = replace(RECORD, spec=spec(approval="manual"))
    assert decided(asked, *FAILED).record.status is Status.HELD
    waits = decided(asked, *PASSED)
    assert waits.record.status is Status.AWAITING_APPROVAL
    assert waits.record.gate is not None
    assert asks(waits) == []
    assert decided(replace(waits.record, due_at=None), *PASSED).record.status is (
        Status.AWAITING_APPROVAL
    )


def test_a_verdict_that_was_kept_is_not_judged_again() -> None:
    kept = decided(RECORD, *PASSED).record.gate
    assert kept is not None
    retried = replace(RECORD, gate=kept)
    assert decided(retried, *FAILED).record.status is Status.DEPLOYING


def test_once_it_may_go_on_it_is_launched() -> None:
    decision = decided(replace(RECORD, status=Status.DEPLOYING), *PASSED)
    assert asks(decision) == [Action.LAUNCH]
    stage = decision.record.stages[-1]
    assert stage.attempt.job_name == "novaloop-demo--uid-deploy-1"
    assert stage.backstop is not None, "the schedule that ends it is set with the launch"


def test_the_budget_holds_what_it_can_not_pay_for() -> None:
    poor = replace(RECORD, spec=spec(budget_usd=1), status=Status.DEPLOYING)
    decision = decided(poor, *PASSED)
    assert decision.record.status is Status.HELD
    assert decision.record.reason.startswith("budget: ")
    assert asks(decision) == []


def test_of_many_conditions_those_are_told_that_decide() -> None:
    def entry(condition: str, outcome: str) -> dict[str, str]:
        return {"condition": condition, "observed": "1", "needed": "2", "outcome": outcome}

    met = tuple(entry(name, "met") for name in "abc")
    assert GateVerdict("PROMOTE", promotes=True, ledger=met).why == (
        "a: 1, met; 2 other conditions met"
    )
    mixed = (*met[:1], entry("d", "not met"), entry("e", "undecided"))
    assert GateVerdict("HOLD", promotes=False, ledger=mixed).why == (
        "d: 1, not met; e: 1, undecided; 1 other condition met"
    )
