"""What `make` prints and removes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import metrics
from tests.edits import ROOT, copy_sources, run

(PHONY,) = re.findall(r"(?m)^\.PHONY: (.+)$", (ROOT / "Makefile").read_text())


def test_help_lists_every_command_in_80_columns() -> None:
    printed = subprocess.run(
        ["make", "--silent", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert max(map(len, printed)) <= 80
    assert {line.split()[0] for line in printed} == set(PHONY.split())
    assert all("  " in line for line in printed)


@pytest.mark.skipif(not (ROOT / ".gitignore").exists(), reason="an archive without .gitignore")
def test_clean_removes_all_that_git_ignores(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    for name in ignored:
        (tmp_path / name.replace("*", "some") / "inner").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    subprocess.run(["make", "--silent", "clean"], cwd=tmp_path, check=True)
    assert {file.name for file in tmp_path.iterdir()} == {"Makefile", "kept"}


def test_the_layer_is_built_for_the_machine_that_it_names() -> None:
    """Otherwise the SAM CLI warns at each build that it is built for x86_64, its default."""
    template = (ROOT / "template.yaml").read_text()
    (built,) = re.findall(r"BuildArchitecture: (\w+)", template)
    assert re.findall(r"CompatibleArchitectures: \[(.+)\]", template) == [built]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources alone, as in a fresh clone."""
    root = tmp_path_factory.mktemp("fresh")
    copy_sources(root)
    return root


@pytest.mark.parametrize("target", PHONY.split())
def test_what_a_target_needs_is_there_or_made_in_a_fresh_clone(target: str, fresh: Path) -> None:
    """As far as `make --dry-run` tells: rules, and what of the project their commands run."""
    asked = subprocess.run(
        ["make", "--dry-run", target], cwd=fresh, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    for script in re.findall(r"bin/python3? (?!-)(\S+)", asked.stdout):
        assert (fresh / script).is_file(), script
    for module in re.findall(r"-m ((?:tests|benchmarks)\.[\w.]+)", asked.stdout):
        path = fresh / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
    for tests in re.findall(r"bin/pytest .*?(tests(?:/\w+)*)$", asked.stdout, re.MULTILINE):
        assert (fresh / tests).is_dir(), tests


@pytest.mark.parametrize(
    "script",
    [
        "benchmarks/ingest.py",
        "benchmarks/ingest_cloud.py",
        "benchmarks/metrics.py",
    ],
)
def test_a_benchmark_says_what_it_can_be_told(script: str, fresh: Path) -> None:
    told = run(fresh, script, "--help")
    assert (told.returncode, "usage" in told.stdout) == (0, True), told.stderr


@pytest.mark.parametrize(
    "module",
    ["benchmarks.live", "tests.mutants", "tests.simulation.chaos", "tests.simulation.catches"],
)
def test_a_long_test_says_what_it_can_be_told(module: str, fresh: Path) -> None:
    told = run(fresh, "-m", module, "--help")
    assert (told.returncode, "usage" in told.stdout) == (0, True), told.stderr


def test_the_peers_of_the_metrics_are_installed_by_a_python_without_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`make bench-metrics` begins with PYTHON, and compares under the project's own."""
    asked = [sys.executable, "-S", "-E", "benchmarks/metrics.py", "--help"]
    assert subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode == 0
    done: list[str] = []
    monkeypatch.setattr(metrics, "install", lambda: done.append("install"))
    monkeypatch.setattr(metrics, "compare", lambda *_: done.append("compare"))
    monkeypatch.setattr(sys, "argv", ["metrics.py", "--install"])
    metrics.main()
    assert done == ["install"]


def test_a_folder_that_is_not_there_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    asked = subprocess.run(
        ["make", "demo", "DATA=no such folder"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 2
    assert asked.stderr.startswith("DATA=no such folder: there is no such folder\n")
    assert {file.name for file in tmp_path.iterdir()} == {"Makefile"}
