"""What a function loads at its cold start, counted in modules: seconds differ by machine."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
PROGRAM = """
import json, runpy, sys
before = set(sys.modules)
sys.path.insert(0, "layers/novaloop")
runpy.run_path(sys.argv[1], run_name="app")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@cache
def loaded_by(function: str) -> list[str]:
    """Return the modules that a fresh interpreter loads with a function's module."""
    command = [sys.executable, "-c", PROGRAM, f"functions/{function}/app.py"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names: list[str] = json.loads(ran.stdout)
    return names


def test_the_reward_function_needs_only_the_standard_library() -> None:
    foreign = {
        name
        for name in loaded_by("reward")
        if name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert foreign - {"novaloop", "novaloop.rewards"} == {
        name for name in foreign if name.startswith("novaloop.rewards.")
    }
    assert "novaloop.rewards.reward" in foreign


BUDGETS = {
    "controller": 660,
    "ingest": 770,
    "metrics": 830,
    "reward": 50,
    "sweeper": 535,
    "guard": 110,
}
"""On the functions' own Python 3.13, whose standard library has some 25 more than 3.11's."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_stays_within_its_budget_of_modules(function: str) -> None:
    assert len(loaded_by(function)) <= BUDGETS[function]


DATA_PLANE = {"numpy", "jinja2", "orjson", "rensa", "rapidfuzz", "pygal"}


@pytest.mark.parametrize("function", ["controller", "sweeper", "guard"])
def test_what_only_decides_loads_no_data_plane(function: str) -> None:
    assert DATA_PLANE.isdisjoint(loaded_by(function))


def test_the_sweep_loads_neither_recipes_nor_what_reads_them() -> None:
    loaded = set(loaded_by("sweeper"))
    light = {"novaloop.recipes.jobs", "novaloop.recipes.names"}
    assert {name for name in loaded if name.startswith("novaloop.recipes.")} <= light
    assert loaded.isdisjoint({"yaml", "novaloop.experiment.validation"})


def test_most_looks_load_neither_archives_nor_metrics() -> None:
    loaded = set(loaded_by("controller"))
    assert loaded.isdisjoint({"tarfile", "yaml", "novaloop.metrics.results"})


def test_a_score_loads_no_conversion() -> None:
    assert set(loaded_by("metrics")).isdisjoint({"novaloop.usecases.conversion"})


def test_what_only_the_daily_search_needs_is_loaded_for_it() -> None:
    searches = {f"novaloop.cloud.{name}" for name in ("tagged_resources", "running", "schedules")}
    assert searches.isdisjoint(loaded_by("sweeper"))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_calls_use_cases_and_leaves_the_rest_to_the_wiring(function: str) -> None:
    tree = ast.parse((ROOT / "functions" / function / "app.py").read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    adapters = ("boto3", "botocore", "pynamodb", "novaloop.store", "novaloop.cloud")
    assert not {module for module in modules if module.startswith(adapters)}


def test_the_command_loads_what_it_runs_and_no_more() -> None:
    program = "import sys, novaloop_cli.main; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert loaded.isdisjoint({"boto3", "botocore", "pydantic", "pynamodb", "rich", *DATA_PLANE})


DOMAIN = ("datasets", "experiment", "metrics", "recipes", "reports", "rewards", "training")


def test_the_domain_asks_no_clock() -> None:
    asked = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in DOMAIN
        for path in (ROOT / "layers/novaloop/novaloop" / room).glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"now", "utcnow", "today"}
        and ast.unparse(node.value) in {"datetime", "date", "datetime.datetime", "datetime.date"}
    ]
    assert asked == []
