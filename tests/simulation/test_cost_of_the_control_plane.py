"""What the README says that one experiment costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import control_plane

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_tells_what_the_benchmark_counts(capsys: pytest.CaptureFixture[str]) -> None:
    control_plane.main()
    counted = re.search(r"together +([\d.]+)", capsys.readouterr().out)
    assert counted is not None
    told = re.search(r"costs about ([\d.]+) US cents", README.read_text(encoding="utf-8"))
    assert told is not None
    assert float(told[1]) == round(float(counted[1]), 1)
