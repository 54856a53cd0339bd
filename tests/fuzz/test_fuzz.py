"""Replays seeds and finds; fuzzes for some seconds where the fuzzer is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.checks import CHECKS

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".tools" / "fuzz"
SECONDS = 5


@pytest.mark.parametrize("name", CHECKS)
def test_seeds_and_finds_hold(name: str) -> None:
    cases = [*(HERE / "seeds" / name).iterdir(), *HERE.glob(f"finds/{name}-*")]
    assert cases
    for case in cases:
        CHECKS[name](case.read_bytes())


@pytest.mark.parametrize("name", CHECKS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path) -> None:
    has_fuzzer = importlib.util.find_spec("atheris")
    if not has_fuzzer and not (ENVIRONMENT / ".ready").exists():
        pytest.skip("there is no fuzzer for this machine, or nobody ran `make unit` yet")
    command = [
        sys.executable if has_fuzzer else str(ENVIRONMENT / "bin" / "python"),
        str(HERE / "fuzz.py"),
        name,
        f"-max_total_time={SECONDS}",
        str(tmp_path),
        str(HERE / "seeds" / name),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
