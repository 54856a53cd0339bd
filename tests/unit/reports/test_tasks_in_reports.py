"""Reports show benchmarks and judges beside, and also without, evaluations by rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from novaloop import reports
from novaloop.experiment.record import Attempt, Record, ScoreItem, Stage, StageState
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import EvaluateStage, StageKind, Task
from novaloop.metrics.results import Estimate, Score, TaskScore
from novaloop.metrics.tasks import estimates, score_task
from novaloop.reports.schema import Report
from novaloop_cli import views
from novaloop_cli.reporting import print_results
from tests.unit.metrics.test_task_scores import member
from tests.unit.reports.finished_experiment import scores

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PLAN = (
    EvaluateStage(name="baseline"),
    EvaluateStage(name="mmlu-1", task=Task.MMLU, subtask="anatomy"),
    EvaluateStage(name="mmlu-2", task=Task.MMLU, subtask="anatomy"),
    EvaluateStage(name="judged", task=Task.RUBRIC_LLM_JUDGE),
)


def stages() -> tuple[Stage, ...]:
    return tuple(
        Stage(
            StageKind.EVALUATE,
            plan.name,
            StageState.SUCCEEDED,
            attempt=Attempt(started_at=NOW, ended_at=NOW),
        )
        for plan in PLAN
    )


def task_score(plan: EvaluateStage, metrics: dict[str, float], **earlier: TaskScore) -> TaskScore:
    results = {"results": {"all": metrics}}
    return score_task([member("results_1.json", results)], plan.task, plan.subtask, earlier)


def record() -> Record:
    return Record("demo", ExperimentSpec(plan=PLAN), created_at=NOW, stages=stages())


def items() -> dict[tuple[str, int], ScoreItem]:
    first = task_score(PLAN[1], {"accuracy": 0.5, "accuracy_stderr": 0.01})
    later = {"accuracy": 0.6, "accuracy_stderr": 0.01}
    found = {
        "mmlu-1": first,
        "mmlu-2": task_score(PLAN[2], later, **{"mmlu-1": first}),
        "judged": task_score(PLAN[3], {"a_scores": 3, "winrate": 0.7, "lower_rate": 0.4}),
    }
    return {(name, 1): ScoreItem(name, 1, NOW, score=s.to_dict()) for name, s in found.items()}


@pytest.fixture
def content() -> Report:
    baseline = scores()["baseline", 1]
    return reports.report(record(), {**items(), ("baseline", 1): baseline})


def test_each_task_has_its_metrics_and_their_changes(content: Report) -> None:
    anatomy, judged = content["tasks"]
    assert (anatomy["title"], anatomy["stages"]) == ("mmlu anatomy", ["mmlu-1", "mmlu-2"])
    first, second = anatomy["metrics"][0]["measurements"]
    assert (first["value"], first["stderr"], first["delta"]) == (0.5, 0.01, None)
    assert second["delta"] == pytest.approx(0.1)
    assert second["verdict"] == "better"
    assert [metric["name"] for metric in judged["metrics"]] == ["a_scores", "winrate", "lower_rate"]
    assert {m["stage"] for metric in content["metrics"] for m in metric["measurements"]} == {
        "baseline"
    }


def test_the_page_names_interval_and_test(content: Report) -> None:
    page = reports.html(content)
    assert "<h3>mmlu anatomy</h3>" in page
    assert "0.580 to 0.620" in page
    assert "an unpaired z-test on the jobs&#39; standard errors" in page
    assert '<td class="number change good">+0.100</td>' in page
    lines = reports.markdown(content).splitlines()
    assert "| accuracy | mmlu-2 | 0.600 ±0.010 | 0.580 to 0.620 | +0.100 |" in lines


def test_a_report_of_benchmarks_alone_is_whole() -> None:
    plan = PLAN[1:]
    alone = replace(record(), spec=ExperimentSpec(plan=plan), stages=stages()[1:])
    content = reports.report(alone, items())
    assert content["metrics"] == []
    page = reports.html(content)
    assert "Nothing has been measured yet" not in page
    json.dumps(content, allow_nan=False)


def test_the_lineage_begins_with_the_checkpoint_that_it_started_from(content: Report) -> None:
    assert "starts from" not in reports.html(content)
    started = replace(record(), base_checkpoint="s3://customer-escrow-1-smtj-x/earlier/40")
    page = reports.html(reports.report(started, items()))
    assert "starts from s3://customer-escrow-1-smtj-x/earlier/40" in page


def test_the_terminal_shows_tasks(content: Report) -> None:
    out = Console(width=80, record=True, file=StringIO())
    print_results(content, out)
    text = out.export_text()
    assert "mmlu anatomy" in text
    assert "0.600 ±0.010" in text
    out.print(views.stages(record(), items(), NOW))
    assert "mmlu accuracy 0.600 ±0.010" in out.export_text()


def test_what_a_processor_measures_is_a_task_of_its_own() -> None:
    item = scores()["baseline", 1]
    score = Score.from_dict(item.score)
    metrics = {**score.metrics, "politeness": Estimate(0.7, 0.1)}
    scored = replace(item, score=replace(score, metrics=metrics).to_dict())
    (task,) = reports.report(record(), {("baseline", 1): scored})["tasks"]
    assert task["title"] == "processor function"
    assert [metric["name"] for metric in task["metrics"]] == ["politeness"]


def test_estimates_of_the_only_task_need_no_all() -> None:
    assert estimates({"custom|rft_eval_rft_eval|0": {"lambda_reward_score": 0.2}}) == {
        "lambda_reward_score": Estimate(0.2, None)
    }
