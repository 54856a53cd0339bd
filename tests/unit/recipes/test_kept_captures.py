"""The kept part of the captures says what the full captures say."""

from __future__ import annotations

import pytest

from tests.unit.recipes.captures import FULL, KEPT, load, verdicts

pytestmark = pytest.mark.skipif(
    not FULL.exists(), reason=f"no full captures at {FULL}; set NOVALOOP_SHARED"
)


@pytest.mark.parametrize("name", sorted(path.name for path in KEPT.glob("0*.json")))
def test_requests_are_those_of_the_full_capture(name: str) -> None:
    full = load(FULL / "requests" / name)
    for key, kept in load(KEPT / name).items():
        if key == "requests":
            assert all(request in full[key] for request in kept)
        else:
            assert kept == full[key]


def test_verdicts_are_those_of_the_full_capture() -> None:
    full = load(FULL / "09_validation_probes.json")["probes"]

    assert verdicts() == {
        probe["probe"]: probe["sdk_1_4_10_result"].partition(" ")[0] for probe in full
    }
