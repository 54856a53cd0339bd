"""What `novaloop mlflow` logs, through a client that is as strict as MLflow's own."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from novaloop.reports import Report, report
from novaloop_cli.mlflow import MAX_PARAMETER, log, parameters
from novaloop_cli.stack import Stack
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example


@dataclass
class Run:
    name: str
    tags: dict[str, str]
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    status: str | None = None


class Tracking:
    """`MlflowClient` as far as it is used; a parameter can be logged only once."""

    def __init__(self) -> None:
        self.experiments: list[str] = []
        self.runs: dict[str, Run] = {}

    def get_experiment_by_name(self, name: str) -> Any:
        if name not in self.experiments:
            return None
        return SimpleNamespace(experiment_id=str(self.experiments.index(name)))

    def create_experiment(self, name: str) -> str:
        assert name not in self.experiments
        self.experiments.append(name)
        return str(len(self.experiments) - 1)

    def create_run(
        self, experiment_id: str, run_name: str, tags: dict[str, str] | None = None
    ) -> Any:
        assert int(experiment_id) < len(self.experiments)
        run_id = f"run-{len(self.runs)}"
        self.runs[run_id] = Run(run_name, dict(tags or {}))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        assert isinstance(value, str)
        self.runs[run_id].tags[key] = value

    def log_param(self, run_id: str, key: str, value: str) -> None:
        assert key not in self.runs[run_id].parameters
        assert len(value) <= MAX_PARAMETER
        self.runs[run_id].parameters[key] = value

    def log_metric(self, run_id: str, key: str, value: float) -> None:
        assert isinstance(value, float)
        self.runs[run_id].metrics[key] = value

    def log_artifacts(self, run_id: str, folder: str) -> None:
        files = {file.name: file.read_text(encoding="utf-8") for file in Path(folder).iterdir()}
        self.runs[run_id].files = files

    def set_terminated(self, run_id: str, status: str = "FINISHED") -> None:
        assert self.runs[run_id].status is None
        self.runs[run_id].status = status


@pytest.fixture(scope="module")
def content() -> Report:
    datasets = {"sft": example.dataset("sft", 3500)}
    return report(example.record(), example.scores(), example.HISTORY, datasets)


@pytest.fixture
def tracking(content: Report) -> Tracking:
    tracking = Tracking()
    log(tracking, content, parameters(example.record()))
    return tracking


def test_each_stage_is_a_run_inside_that_of_the_experiment(tracking: Tracking) -> None:
    assert tracking.experiments == ["novaloop/quality"]
    parent, *stages = tracking.runs.values()
    assert parent.name == "quality"
    assert [run.name for run in stages] == [stage.name for stage in example.stages()]
    assert {run.tags["mlflow.parentRunId"] for run in stages} == {"run-0"}
    assert {run.status for run in tracking.runs.values()} == {"FINISHED"}


def test_metrics_parameters_and_lineage_are_logged(tracking: Tracking, content: Report) -> None:
    runs = {run.name: run for run in tracking.runs.values()}
    exact = next(row["measurements"] for row in content["metrics"] if row["name"] == "em")
    for measured in exact:
        logged = runs[measured["stage"]].metrics
        assert (logged["em"], logged["em_stderr"]) == (measured["value"], measured["stderr"])
    assert runs["sft"].parameters["instances"] == "4"
    assert runs["sft"].tags["novaloop.checkpoint"] == "s3://escrow/sft/40"
    assert runs["sft"].tags["novaloop.recipe_key"].endswith("--sft-1/recipe.yaml")
    assert runs["quality"].parameters["sft.sha256"] == "0f" * 32


def test_the_report_is_an_artifact(tracking: Tracking) -> None:
    files = tracking.runs["run-0"].files
    assert set(files) == {"report.html", "report.md", "report.json"}
    assert json.loads(files["report.json"])["experiment"] == "quality"


def test_a_second_time_adds_runs_to_the_same_experiment(
    tracking: Tracking, content: Report
) -> None:
    before = len(tracking.runs)
    log(tracking, content, parameters(example.record()))
    assert len(tracking.experiments) == 1
    assert len(tracking.runs) == 2 * before


def test_without_mlflow_the_command_says_what_to_install(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    result = novaloop("mlflow", "quality", "--tracking-uri", "sqlite:///x.db")
    assert result.exit_code == 2
    assert "pip install mlflow-skinny" in result.output


def test_a_server_that_can_not_be_reached_is_one_line(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    class MlflowException(Exception):  # noqa: N818 - the library's name
        pass

    def refuse(uri: str) -> None:
        raise MlflowException(f"no route to {uri}\nwith many details")

    library = SimpleNamespace(MlflowClient=refuse, MlflowException=MlflowException)
    monkeypatch.setitem(sys.modules, "mlflow", library)
    stack.table.commit(example.record(), ())
    result = novaloop("mlflow", "quality", "--tracking-uri", "https://tracking.example")
    assert result.exit_code == 1
    assert result.output.strip().endswith("no route to https://tracking.example")
