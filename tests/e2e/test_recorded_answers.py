"""Answers of another model, recorded, beside a new one: the built template, IAM enforced."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from novaloop.experiment.record import Status
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from tests.e2e.application import SPEC, reaches, run, scored

pytestmark = pytest.mark.e2e

PLAN = """
plan:
  - evaluate: {name: old, recorded: old.jsonl}
  - sft
  - evaluate: new
"""


def test_a_model_is_judged_against_answers_of_another_one(stack: Stack) -> None:
    folder = Path("moved")
    questions.write(folder, sft=300, rft=1, eval=90)
    spec = SPEC.replace("better_than: baseline", "better_than: old") + PLAN
    (folder / "experiment.yaml").write_text(spec, encoding="utf-8")
    (folder / "old.jsonl").write_text('{"question": "nobody asked this", "answer": "HQ"}\n')

    refused = run("submit", "moved", "--yes")
    assert refused.exit_code == 2
    assert "has no answer with the question of rows 1, 2, 3" in " ".join(refused.output.split())

    with (folder / "eval.csv").open(encoding="utf-8", newline="") as file:
        asked = [row["Body"] for row in csv.DictReader(file)]
    lines = [json.dumps({"question": each, "answer": "HQ"}) for each in reversed(asked)]
    (folder / "old.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert run("submit", "moved", "--yes").exit_code == 0
    record = reaches(stack, "moved", Status.COMPLETED)
    assert 0.1 < scored(record, "old") < 0.6
    assert record.stage("old").attempt.job_name is None

    report = json.loads(run("report", "moved", "--json").stdout)
    assert [each["stage"] for each in report["evaluations"]] == ["old", "new"]
    assert "old" in run("show", "moved").stdout
    assert "no job" in run("logs", "moved", "--stage", "old").output
