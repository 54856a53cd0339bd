"""Whoever adds a kind of something finds its places: docs/architecture.md names them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers/novaloop/novaloop"
NEW_METRIC = """METRICS = (
    Metric("toy", "Starts alike", function=lambda answer, gold: float(answer[:1] == gold[:1])),
"""
PROGRAM = """
import json
from novaloop.experiment.spec.experiment import FIELDS_ONLY, ExperimentSpec
from novaloop.metrics.score import score_lines
from novaloop.reports import html, report
from novaloop.usecases.outcomes import headlines
from novaloop_cli.score import _metrics
from tests.unit.cli import test_generated_docs
from tests.unit.reports import finished_experiment as example

SPEC = {"plan": [{"evaluate": "baseline"}], "gate": {"metric": "toy", "at_least": 2}}
asked = ExperimentSpec.model_validate(SPEC, context=FIELDS_ONLY)
answers = [{"prompt": str(row), "inference": ["ab"], "gold": "ac"} for row in range(3)]
score, _ = score_lines([json.dumps(answer).encode() for answer in answers])
content = report(example.record(), example.scores(), example.HISTORY, {}, flips={})
try:
    test_generated_docs.test_the_reference_names_every_metric_that_a_gate_may_ask_for()
except AssertionError:
    documented = False
else:
    documented = True
print(json.dumps({
    "score": score.metrics["toy"].value,
    "change": list(example.scores()["after-sft", 1].score["comparisons"]["baseline"]["metrics"]),
    "titles": [row["title"] for row in content["metrics"]],
    "tasks": content["tasks"],
    "page": "Starts alike" in html(content),
    "record": list(headlines(score.to_dict())),
    "asked": headlines(score.to_dict(), {"toy"})["toy"].value,
    "terminal": list(_metrics(score, None).columns[0].cells),
    "refused": [str(each) for each in asked.check_consistency()],
    "documented": documented,
}))
"""


@pytest.fixture(scope="module")
def with_a_new_metric(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the application says of a metric for which one line was written."""
    layer = tmp_path_factory.mktemp("layer")
    shutil.copytree(LAYER, layer / "novaloop", ignore=shutil.ignore_patterns("__pycache__"))
    registry = layer / "novaloop/metrics/registry.py"
    registry.write_text(registry.read_text().replace("METRICS = (\n", NEW_METRIC, 1))
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (layer, ROOT / "cli", ROOT)))}
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(
        command, cwd=layer, env={**os.environ, **paths}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_a_new_metric_is_measured_and_compared(with_a_new_metric: dict[str, Any]) -> None:
    assert with_a_new_metric["score"] == 1
    assert "toy" in with_a_new_metric["change"]


def test_a_new_metric_has_its_title_wherever_people_read(with_a_new_metric: dict[str, Any]) -> None:
    assert "Starts alike" in with_a_new_metric["titles"]
    assert with_a_new_metric["tasks"] == []  # where a processor function's own numbers stand
    assert with_a_new_metric["page"]
    assert "Starts alike" in with_a_new_metric["terminal"]


def test_a_new_metric_is_recorded_only_where_it_is_asked_for(
    with_a_new_metric: dict[str, Any],
) -> None:
    assert with_a_new_metric["record"] == ["exact_match"]
    assert with_a_new_metric["asked"] == 1


def test_a_gate_on_a_new_metric_knows_its_range(with_a_new_metric: dict[str, Any]) -> None:
    assert with_a_new_metric["refused"] == [
        "gate.at_least: toy lies between 0 and 1, and 2 does not; write a level between them"
    ]


def test_a_new_metric_that_the_reference_leaves_out_is_noticed(
    with_a_new_metric: dict[str, Any],
) -> None:
    assert not with_a_new_metric["documented"]
