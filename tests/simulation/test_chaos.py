"""A few of the runs of `make chaos`."""

from __future__ import annotations

import pytest

from tests.simulation import chaos


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_launched_twice_stuck_or_left(seed: int) -> None:
    assert chaos.run(seed).problem is None
