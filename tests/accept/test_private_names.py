"""What LocalStack does not promise is as it was when `emulator.py` was written for it."""

from __future__ import annotations

import pytest

from tests.private_names import ROOT, differences, python_of, table, used

pytestmark = pytest.mark.accept

FILE = "tests/accept/emulator.py"


def test_what_the_second_emulator_does_not_promise_is_as_it_was() -> None:
    told = differences(table()[FILE], used(ROOT / FILE), python_of(FILE))
    assert not told, "\n".join(told)
