"""The conformance command: what it counts, and when it fails."""

from __future__ import annotations

import pytest

from tests import conformance
from tests.conformance import Verdict, verdict
from tests.unit.recipes import probe_jobs


@pytest.mark.parametrize(
    ("is_equal", "is_meant_to_differ", "expected"),
    [
        (True, False, Verdict.EQUAL),
        (False, True, Verdict.DIFFERENT),
        (False, False, Verdict.WRONG),
        (True, True, Verdict.WRONG),
    ],
)
def test_a_difference_must_be_listed_and_what_is_listed_must_differ(
    is_equal: bool, is_meant_to_differ: bool, expected: Verdict
) -> None:
    assert verdict(is_equal, is_meant_to_differ) is expected


def test_nothing_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance.main() == 0
    table = capsys.readouterr().out
    assert "captured requests" in table
    assert "validation probes" in table


def test_a_wrong_case_is_named_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(probe_jobs.PROBES, "lr>1", list)
    assert conformance.main() == 1
    assert "wrong: validation probes: lr>1" in capsys.readouterr().out
