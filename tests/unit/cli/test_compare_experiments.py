"""`novaloop compare` on experiments of a stack: settings, tests on the same rows, and cost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from novaloop.experiment.costs.budget import cost_usd
from novaloop.experiment.spec.experiment import Gate
from novaloop.metrics.comparison import compare
from novaloop.metrics.results import Score
from novaloop.metrics.score import score_lines
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from pathlib import Path

    from novaloop.metrics.rows import RowScores
    from novaloop_cli.stack import Stack

OTHER = "quality-2"
LAST = "after-rft"


def answers(stage: str, rows: int, seed: int) -> list[bytes]:
    return example.answers(stage, seed)[:rows]


def store(stack: Stack, name: str, rows: int = 300, seed: int = 3, **settings: object) -> RowScores:
    """Store an experiment with two evaluations, whose rows are kept as the function keeps them."""
    record = example.record()
    spec = record.spec.model_copy(update=settings)
    stack.table.commit(replace(record, experiment_id=name, spec=spec), ())
    _, before = score_lines(answers("baseline", rows, seed), labels=example.LABELS)
    found, after = score_lines(
        answers(LAST, rows, seed), labels=example.LABELS, earlier={"baseline": before}
    )
    first = example.scores()["baseline", 1]
    stack.table.put_score(name, first)
    key = f"scores/{name}/{LAST}-1.jsonl"
    stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=b"".join(after.to_lines()))
    item = example.scores()[LAST, 1]
    stack.table.put_score(name, replace(item, score=found.to_dict(), rows_key=key))
    return after


def test_settings_rows_and_cost_are_compared_in_80_columns(stack: Stack) -> None:
    first = store(stack, example.NAME)
    second = store(stack, OTHER, seed=7, budget_usd=900.0, gate=Gate(better_than="baseline"))
    result = novaloop("compare", example.NAME, OTHER)
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "  budget_usd: none to 900.0" in result.stdout
    expected = compare(first, second).summary
    assert f"{OTHER} against {example.NAME}: {expected}." in " ".join(result.stdout.split())
    content = json.loads(novaloop("compare", example.NAME, OTHER, "--json").stdout)
    told = content["experiments"][1]
    jobs = tuple(stage for stage in example.record().stages if not stage.kind.serves)
    cost = cost_usd(replace(example.record(), stages=jobs), example.START)
    gained = Score.from_dict(content["evaluations"][1]["score"]).metrics["em"].value
    assert cost
    assert told["evaluation"] == LAST
    assert told["jobs_usd"] == cost.spent
    assert told["usd"] > cost.spent
    assert told["verdict"] == "better"
    assert 0 < told["gain"] < gained
    assert told["usd_per_point"] == pytest.approx(told["jobs_usd"] / (100 * told["gain"]))
    assert content["experiments"][0]["settings"] == []


def test_a_folder_of_an_experiments_name_is_no_file_to_compare(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / example.NAME).mkdir()
    monkeypatch.chdir(tmp_path)
    store(stack, example.NAME)
    store(stack, OTHER)
    assert novaloop("compare", example.NAME, OTHER).exit_code == 0


def test_other_rows_are_not_compared_and_it_is_said_why(stack: Stack) -> None:
    store(stack, example.NAME)
    store(stack, OTHER, rows=200)
    content = json.loads(novaloop("compare", example.NAME, OTHER, "--json").stdout)
    assert content["comparisons"] == []
    why = content["experiments"][1]["not_compared"]
    assert "they are about 300 rows, these about 200, and 200 have the same prompt" in why
    exact = content["metrics"][0]["measurements"]
    assert [each["delta"] for each in exact] == [None, None]
    assert "against" not in novaloop("compare", example.NAME, OTHER).stdout


def test_an_experiment_without_scored_rows_is_told_as_that(stack: Stack) -> None:
    store(stack, example.NAME)
    stack.table.commit(replace(example.record(), experiment_id=OTHER), ())
    told = " ".join(novaloop("compare", example.NAME, OTHER).stdout.split())
    assert f"{OTHER}: it has no evaluation whose rows are scored." in told
    told = " ".join(novaloop("compare", OTHER, example.NAME).stdout.split())
    assert f"{OTHER}: it has no evaluation whose rows are scored." in told


def test_row_scores_that_are_gone_are_told(stack: Stack) -> None:
    store(stack, example.NAME)
    store(stack, OTHER)
    stack.s3.delete_object(Bucket=stack.bucket, Key=f"scores/{OTHER}/{LAST}-1.jsonl")
    told = " ".join(novaloop("compare", example.NAME, OTHER).stdout.split())
    assert f"{OTHER}: its row scores can't be read: " in told


def test_names_that_can_not_be_compared_are_refused(stack: Stack) -> None:
    store(stack, example.NAME)
    result = novaloop("compare", example.NAME, example.NAME)
    assert result.exit_code == 2
    assert "is named twice" in result.stderr
    result = novaloop("compare", example.NAME, "nobody")
    assert result.exit_code == 2
    assert "no experiment is called nobody" in result.stderr
