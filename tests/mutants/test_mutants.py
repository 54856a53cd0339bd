"""The mutants of `make mutants` break what is there, and the tests that kill them exist."""

from __future__ import annotations

from collections import Counter

import pytest

from novaloop.experiment.controller.transitions import TABLE
from tests.edits import ROOT, edited, run
from tests.mutants.breaks import MUTANTS, ROWS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.fault)
def test_each_edit_applies_once_and_can_be_compiled(mutant: Mutant) -> None:
    for path, text in edited(mutant.edits).items():
        compile(text, str(path), "exec")


def test_each_test_is_there() -> None:
    names = sorted({each.test for each in MUTANTS})
    collected = run(ROOT, "-m", "pytest", "-q", "--collect-only", *names)
    assert collected.returncode == 0, collected.stdout + collected.stderr


def test_no_fault_is_there_twice_and_every_row_has_one() -> None:
    assert max(Counter(each.fault for each in MUTANTS).values()) == 1
    rows = {each.test.rpartition("[")[2].rstrip("]") for each in ROWS}
    assert rows == {f"{state}-{condition.name}" for state, condition in TABLE}
