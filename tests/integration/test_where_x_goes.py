"""Whoever adds a kind of something finds its places: docs/architecture.md names them.

What asks what kind something is, instead of asking the thing itself, is one more place to find. So
those that are left stand in a list, each with its reason, and what is not in it fails.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.rows.columns import FIELDS
from novaloop.datasets.rows.templates import compile_template
from novaloop.datasets.rows.text_sizes import TextSizes
from novaloop.experiment.controller.notifications import TOLD
from novaloop.experiment.controller.requeue import LOOK_AGAIN
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.record import Status
from novaloop.experiment.runtimes.registry import RUNTIMES
from novaloop.experiment.spec import stages
from novaloop.experiment.spec.stages import STAGES, Runtime, StageKind, StageSpec
from novaloop.experiment.summary import next_steps
from novaloop_cli.watch import AT_REST
from tests.unit.reports import finished_experiment as example

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers/novaloop/novaloop"
OWN_ROOMS = {"experiment/spec/stages.py"}
"""Where the kinds of stage and the runtimes are said to be what they are."""
ASKED: Mapping[tuple[str, str], str] = {
    ("experiment/spec/experiment.py", "TrainStage"): "a plan's trainings are found by their type",
    ("experiment/spec/experiment.py", "ServingStage"): "and so is its deployment",
    ("experiment/spec/experiment.py", "StageKind.SFT"): "a rule of AWS's about these two",
    ("experiment/spec/experiment.py", "StageKind.RFT"): "a rule of AWS's about these two",
    ("experiment/spec/experiment.py", "Runtime.TRAINING_JOB"): "the default",
    ("experiment/lineage.py", "StageKind.RFT"): "a rule of AWS's about RFT alone",
    ("experiment/controller/transitions.py", "JobStage"): "it alone says how long it may run",
    ("experiment/runtimes/estimates.py", "JobStage"): "it alone says how long it may run",
    ("experiment/runtimes/jobs.py", "JobStage"): "of a stage, what the spec asks of its job",
    ("experiment/runtimes/serving.py", "ServingStage"): "of a stage, what is asked of what serves",
    ("experiment/runtimes/serving.py", "DeployStage"): "it alone has machines, so another request",
    ("experiment/runtimes/serving.py", "ProvisionedStage"): "it alone has model units",
    ("experiment/runtimes/serverless.py", "StageKind.RFT"): "it alone has a reward function",
    ("experiment/runtimes/training_job.py", "EvaluateStage"): "it alone has a subtask",
    ("experiment/validation/checks.py", "ServingStage"): "no job, so the runtime has no say",
    ("experiment/validation/checks.py", "JobStage"): "else its answers were recorded",
    ("experiment/validation/checks.py", "EvaluateStage"): "it alone has a subtask",
    ("usecases/score.py", "EvaluateStage"): "it alone has a task",
    **{
        (file, f"Runtime.{runtime}"): "what answers for it, and what its jobs are reached by"
        for file in ("experiment/runtimes/registry.py", "wiring/controller.py")
        for runtime in Runtime.__members__
    },
}
KINDS = {name for name, each in vars(stages).items() if isinstance(each, type)} & {
    each.__name__ for stage in STAGES.values() for each in stage.__mro__
}


def asked(tree: ast.AST) -> Iterator[str]:
    """Yield each kind of stage and each runtime that code asks for by name."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name("isinstance" | "issubclass"), args=[_, kinds]):
                names = {each.id for each in ast.walk(kinds) if isinstance(each, ast.Name)}
                yield from names & KINDS
            case ast.MatchClass(cls=ast.Name(name)) if name in KINDS:
                yield name
            case ast.Attribute(value=ast.Name("Runtime" | "StageKind" as enum), attr=name):
                yield from {f"{enum}.{name}"} if name.isupper() else ()


def all_asked() -> set[tuple[str, str]]:
    files = [*LAYER.rglob("*.py"), *(ROOT / "cli/novaloop_cli").rglob("*.py")]
    return {
        (str(file.relative_to(LAYER) if file.is_relative_to(LAYER) else file.name), name)
        for file in files
        if str(file.relative_to(ROOT)).removeprefix("layers/novaloop/novaloop/") not in OWN_ROOMS
        for name in asked(ast.parse(file.read_text(encoding="utf-8")))
    }


def test_nobody_but_who_is_listed_asks_what_kind_or_runtime_it_is() -> None:
    assert all_asked() == set(ASKED)


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(plan, SftStage)",
        "isinstance(plan, int | OnBedrock)",
        "isinstance(plan, (DpoStage, str))",
        "match plan:\n    case RftStage(): pass",
        "runtime is Runtime.BEDROCK",
        "kind in {StageKind.DEPLOY}",
    ],
)
def test_each_way_to_ask_is_seen(code: str) -> None:
    assert len(list(asked(ast.parse(code)))) == 1


def test_what_asks_something_else_is_left_alone() -> None:
    code = "isinstance(plan, Mapping); Runtime(text); runtime.has_machines; Status.LIVE"
    assert list(asked(ast.parse(code))) == []


def test_every_place_that_the_table_names_is_there() -> None:
    table = (ROOT / "docs/architecture.md").read_text().partition("## Where does X go?")[2]
    named = re.findall(r"`([\w./]+(?:\.\w+|/))`", table)
    roots = (LAYER, ROOT)
    assert len(named) > 30
    assert [path for path in named if not any((root / path).exists() for root in roots)] == []


def test_each_kind_of_stage_has_a_class_that_says_what_it_does() -> None:
    assert {stage.model_fields["kind"].default for stage in STAGES.values()} == set(StageKind)
    assert all(vars(StageSpec)["method"] is not stage.method for stage in STAGES.values())


@pytest.mark.parametrize("kind", [kind for kind in StageKind if kind.trains])
def test_each_training_has_an_assumed_time(kind: StageKind) -> None:
    assert kind in packaged_prices().run_times


def test_each_runtime_has_an_object_that_answers_for_it() -> None:
    assert set(RUNTIMES) == set(Runtime)
    documented = (ROOT / "docs/runtimes.md").read_text(encoding="utf-8")
    assert [runtime for runtime in Runtime if f"`{runtime}`" not in documented] == []


@pytest.mark.parametrize("row_format", RowFormat)
def test_each_row_format_has_fields_a_size_and_a_template(row_format: RowFormat) -> None:
    fields = FIELDS[row_format].all
    assert TextSizes(fields, [row_format], DatasetOptions()).of([[b'""']] * len(fields)) == [0]
    indexes = {name: index for index, name in enumerate(fields)}
    assert compile_template(row_format, indexes, {}).holes


@pytest.mark.parametrize("status", Status)
def test_each_status_is_told_or_looked_at_and_says_what_helps(status: Status) -> None:
    assert (status in AT_REST) == (status in TOLD)
    assert (status in LOOK_AGAIN) != status.is_final
    assert next_steps(replace(example.record(), status=status))


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
    "terminal": list(_metrics(score).columns[0].cells),
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
