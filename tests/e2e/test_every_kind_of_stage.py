"""Preferences, validation, benchmarks, judges and rewards, all in one plan."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from novaloop.experiment.record import Status
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from tests.e2e.application import reaches, run, scored

pytestmark = pytest.mark.e2e

NOVA_1 = f"""
model: nova-lite
columns: {{question: Body, answer: Y}}
labels: [HQ, LQ_EDIT, LQ_CLOSE]
system_prompt: {json.dumps(questions.SYSTEM_PROMPT)}
plan:
  - evaluate: baseline
  - sft: {{validation: true, overrides: {{global_batch_size: 16}}}}
  - dpo: {{overrides: {{global_batch_size: 16, max_epochs: 1}}}}
  - evaluate: after
  - evaluate: {{name: rewarded, task: rft_eval}}
  - evaluate: {{name: known, task: mmlu, subtask: anatomy}}
  - evaluate: {{name: judged, task: llm_judge}}
  - deploy
gate: {{evaluation: after, metric: exact_match, better_than: baseline}}
"""


def write_pairs(folder: Path) -> None:
    """Add the files of preference optimization, of validation and of a judge."""
    rows = questions.questions(120, seed=11)
    other = {"HQ": "LQ_EDIT", "LQ_EDIT": "LQ_CLOSE", "LQ_CLOSE": "HQ"}
    tables: dict[str, list[tuple[str, ...]]] = {
        "dpo": [
            ("Body", "preferred", "non_preferred"),
            *((row.body, row.label, other[row.label]) for row in rows[:60]),
        ],
        "validation": [("Body", "Y"), *((row.body, row.label) for row in rows[60:90])],
        "llm-judge": [
            ("Body", "response_A", "response_B"),
            *((row.body, other[row.label], row.label) for row in rows[90:]),
        ],
    }
    for name, table in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(table)


def test_preferences_benchmarks_judges_and_rewards_from_experiment_yaml(stack: Stack) -> None:
    folder = Path("nova-1")
    questions.write(folder, sft=300, rft=1, eval=90)
    write_pairs(folder)
    (folder / "experiment.yaml").write_text(NOVA_1, encoding="utf-8")

    assert run("submit", "nova-1", "--yes").exit_code == 0
    record = reaches(stack, "nova-1", Status.LIVE)
    assert scored(record, "after") > scored(record, "baseline")
    assert -1 <= record.stage("rewarded").metrics["lambda_reward_score"].value <= 1
    assert 0.1 < record.stage("known").metrics["accuracy"].value < 0.4
    judged = {name: each.value for name, each in record.stage("judged").metrics.items()}
    assert judged["a_scores"] + judged["b_scores"] + judged["ties"] == 30
    assert record.stage("dpo").attempt.progress is not None
    assert record.stage("dpo").checkpoint != record.stage("sft").checkpoint

    report = json.loads(run("report", "nova-1", "--json").stdout)
    assert [task["title"] for task in report["tasks"]] == [
        "rft_eval",
        "mmlu anatomy",
        "llm_judge",
    ]
    (accuracy,) = report["tasks"][1]["metrics"]
    assert accuracy["measurements"][0]["stderr"] > 0
    assert "mmlu accuracy" in run("show", "nova-1").stdout
    assert run("cleanup", "nova-1").exit_code == 0
