"""The breaks of `make chaos-catches` take out what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.catches import BREAKS, LAYER, ROOT, Break, broken


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: each.fault)
def test_the_mend_stands_where_it_is_taken_out(each: Break, tmp_path: Path) -> None:
    broken(LAYER, tmp_path, each)
    assert each.test is None or (ROOT / each.test).exists()
