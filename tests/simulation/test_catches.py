"""The breaks of `make chaos-catches` take out what is there."""

from __future__ import annotations

import pytest

from tests.edits import ROOT, edited
from tests.simulation.catches import BREAKS, Break


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: each.fault)
def test_the_mend_stands_where_it_is_taken_out(each: Break) -> None:
    assert edited(each.edits)
    assert each.test is None or (ROOT / each.test).exists()
