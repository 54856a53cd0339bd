"""An evaluation's outcome is the score of its present attempt, and of no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from novaloop.experiment.controller.observation import Outcome
from novaloop.experiment.record import (
    Attempt,
    Measured,
    Record,
    ScoreItem,
    Snapshot,
    Stage,
    StageState,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind
from novaloop.usecases.outcomes import outcome_of

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ATTEMPT = Attempt(2, "novaloop-demo--baseline-2")
STAGE = Stage(StageKind.EVALUATE, "baseline", StageState.SCORING, ATTEMPT)
RECORD = Record(
    "demo",
    ExperimentSpec.model_validate({"plan": [{"evaluate": {"name": "baseline"}}]}),
    NOW,
    stages=(STAGE,),
)


def score(attempt: int, value: float, error: str | None = None) -> ScoreItem:
    content = {"n": 500, "metrics": {"em": {"value": value, "stderr": 0.02}}}
    return ScoreItem("baseline", attempt, NOW, error=error, score=content)


def outcome(*items: ScoreItem) -> Outcome:
    unused = cast("Any", None)
    snapshot = Snapshot("demo", RECORD, score_items=items)
    return outcome_of(RECORD, STAGE, snapshot, objects=unused, jobs=unused, endpoints=unused)


def test_it_is_the_score_of_the_present_attempt() -> None:
    found = outcome(score(1, 0.1), score(2, 0.9), score(3, 0.5))
    assert found.metrics == {"exact_match": Measured(0.9, 0.02, 500)}


def test_a_score_of_another_attempt_is_none() -> None:
    assert outcome(score(1, 0.1), score(3, 0.5)).ok is None


def test_what_could_not_be_scored_is_not_usable() -> None:
    assert outcome(replace(score(2, 0.9), error="no answers")).ok is False
