"""What `make` prints and removes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_help_lists_every_command_in_80_columns() -> None:
    printed = subprocess.run(
        ["make", "--silent", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert max(map(len, printed)) <= 80
    (phony,) = re.findall(r"(?m)^\.PHONY: (.+)$", (ROOT / "Makefile").read_text())
    assert {line.split()[0] for line in printed} == set(phony.split())
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
