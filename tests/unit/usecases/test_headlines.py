"""What a record keeps of a score: enough to tell whether the model is any good, by full names."""

from __future__ import annotations

from typing import Any

from novaloop.experiment.record import Measured
from novaloop.usecases.outcomes import headlines

SCORE: dict[str, Any] = {
    "n": 50,
    "metrics": {
        "em": {"value": 0.7, "stderr": 0.06},
        "qem": {"value": 0.75, "stderr": 0.05},
        "f1": {"value": 0.72, "stderr": None},
        "strict_accuracy": {"value": 0.6, "stderr": 0.07},
        "lenient_accuracy": {"value": 0.8, "stderr": None},
        "politeness": {"value": 0.9, "stderr": 0.01},
    },
}


def test_exact_match_and_what_the_jobs_own_function_measured_are_kept() -> None:
    assert headlines(SCORE) == {
        "exact_match": Measured(0.7, 0.06, 50),
        "politeness": Measured(0.9, 0.01, 50),
    }


def test_what_the_gate_asks_for_is_kept_by_whichever_name() -> None:
    assert headlines(SCORE, {"qem"})["quasi_exact_match"] == Measured(0.75, 0.05, 50)
    assert headlines(SCORE, {"quasi_exact_match"}).keys() == headlines(SCORE, {"qem"}).keys()
    assert headlines(SCORE, {"f1"})["f1"] == Measured(0.72, None, 50)
    assert headlines(SCORE, {"lenient_accuracy"})["lenient_accuracy"] == Measured(0.8, None, 50)


def test_without_labels_there_is_no_accuracy() -> None:
    bare = {**SCORE, "metrics": {"em": SCORE["metrics"]["em"]}}
    assert "lenient_accuracy" not in headlines(bare, {"lenient_accuracy"})


def test_of_a_task_all_is_kept_and_first_what_its_recipe_asks_for() -> None:
    metrics = {
        "brier": {"value": 0.1, "stderr": None},
        "accuracy": {"value": 0.6, "stderr": 0.1},
    }
    found = headlines({"task": "mmlu", "metrics": metrics})
    assert [*found.items()] == [("accuracy", Measured(0.6, 0.1)), ("brier", Measured(0.1))]
