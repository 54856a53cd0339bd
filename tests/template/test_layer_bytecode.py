"""The layer brings its bytecode: a cold start compiles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.accept.machine import python

LAYER = Path(__file__).parents[2] / "layers" / "novaloop"
SOURCE = "def fail():\n    raise ValueError('told')\n"


def compiled(artifacts: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Let the layer's own Makefile compile a module; return what it said."""
    package = artifacts / "python" / "novaloop"
    package.mkdir(parents=True)
    (package / "failing.py").write_text(SOURCE, encoding="utf-8")
    given = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        ["make", "--silent", "-C", LAYER, "bytecode", f"ARTIFACTS_DIR={artifacts}", *given],
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.skipif(not python(), reason="needs the functions' Python, 3.13")
def test_bytecode_is_read_whatever_the_time_of_its_source(tmp_path: Path) -> None:
    compiled(tmp_path)
    source = tmp_path / "python/novaloop/failing.py"
    source.write_text(SOURCE.replace("told", "compiled anew"), encoding="utf-8")
    os.utime(source, (0, 0))
    failed = subprocess.run(
        [python(), "-c", "import novaloop.failing as module; module.fail()"],
        env={"PYTHONPATH": str(tmp_path / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.stderr.endswith("ValueError: told\n")


@pytest.mark.skipif(not python(), reason="needs the functions' Python, 3.13")
def test_the_same_source_gives_the_same_bytecode_wherever_it_is_built(tmp_path: Path) -> None:
    for place in ("here", "there"):
        compiled(tmp_path / place)
    here, there = (path.read_bytes() for path in tmp_path.rglob("*.pyc"))
    assert here == there
    assert b"/opt/python/novaloop/failing.py" in here


def test_a_machine_without_that_python_says_so_in_one_line(tmp_path: Path) -> None:
    said = compiled(tmp_path, BYTECODE="").stderr
    assert said.count("\n") == 1
    assert "no Python 3.13" in said
    assert not list(tmp_path.rglob("*.pyc"))


def test_for_this_machine_it_is_compiled_by_its_python(tmp_path: Path) -> None:
    compiled(tmp_path, NOVALOOP_LAYER_TARGET="host", PYTHON=sys.executable)
    tag = sys.implementation.cache_tag
    assert [path.name for path in tmp_path.rglob("*.pyc")] == [f"failing.{tag}.pyc"]
