"""What `pip install .` makes works by itself, away from this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("layers/novaloop/novaloop", "cli/novaloop_cli", "localcloud/novaloop_localcloud")
SPEC = "plan: [evaluate: baseline]\nlabels: [A, B]\ncolumns: {question: q, answer: a}\n"
ROWS = "q,a\n" + "".join(f"what is {number}?,{'AB'[number % 2]}\n" for number in range(4))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it; what it depends on is this environment's.

    From a copy, since setuptools writes beside what it builds.
    """
    source, built, site = (tmp_path_factory.mktemp(name) for name in ("source", "built", "site"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    for root in PACKAGES:
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / root, source / root, ignore=unwanted)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", built, source], check=True)
    (wheel,) = built.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    return site


def run(installed: Path, folder: Path, *arguments: str) -> str:
    """Run the command from the wheel in `folder`; what is missing in it is found nowhere else."""
    code = (
        "import novaloop, novaloop_cli.main as m, sys; "
        f"assert novaloop.__file__.startswith({str(installed)!r}); "
        f"assert m.__file__.startswith({str(installed)!r}); m.main()"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_it_takes_no_names_but_its_own(installed: Path) -> None:
    taken = {path.name.partition("-")[0] for path in installed.iterdir()} - {"bin"}
    assert taken == {"novaloop", "novaloop_cli", "novaloop_localcloud"}


def test_the_command_plans_and_lists_recipes(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "sorted").mkdir()
    (tmp_path / "sorted/experiment.yaml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "sorted/eval.csv").write_text(ROWS, encoding="utf-8")
    assert "version" in run(installed, tmp_path, "--version")
    assert "baseline" in run(installed, tmp_path, "plan", "sorted")
    assert "sft-lora" in run(installed, tmp_path, "recipes", "list")


def test_every_module_is_there(installed: Path) -> None:
    for root in PACKAGES:
        source = ROOT / root
        files = {
            path.relative_to(source.parent)
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        missing = {str(file) for file in files if not (installed / file).exists()}
        assert missing == set()
