"""The thresholds that `docs/training.md` names are those that the checks use."""

from __future__ import annotations

from pathlib import Path

import pytest

from novaloop.training import curve, health

PAGE = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
ROWS = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}


def test_every_kind_of_note_is_documented() -> None:
    assert set(ROWS) == set(health.HealthKind)


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [
        ("reward_collapse", f"last {health.COLLAPSE_STEPS} steps"),
        ("reward_collapse", f"best {curve.SMOOTHED}-step mean by {health.COLLAPSE_SHARE:.0%}"),
        ("policy_instability", f"last {health.UNSTABLE_STEPS} updates above {health.KL_LIMIT}"),
        ("policy_instability", f"above {health.KL_NOTABLE} and {health.KL_JUMP:.0f} times"),
        ("policy_instability", f"from the start above {health.KL_FROM_START_LIMIT}"),
        ("length_clipping", f"{health.CLIPPED_SHARE:.0%} of the responses"),
        ("length_clipping", f"last {health.CLIPPED_STEPS} steps"),
        ("length_clipping", f"{health.CLIPPED_LENGTH:.0%} of `max_new_tokens`"),
        ("loss_divergence", f"last {health.DIVERGENCE_STEPS} steps"),
        ("loss_divergence", f"by {health.DIVERGENCE_LEAST}"),
        ("stalled_training", f"{health.STALLED_LEAST.seconds // 60} minutes"),
        ("stalled_training", f"time of {health.STALLED_STEPS} steps"),
        ("stalled_training", f"{health.STALLED_FIRST.seconds // 3600} hours"),
    ],
)
def test_its_thresholds_are_as_documented(kind: str, phrase: str) -> None:
    assert phrase.replace("%", " %") in ROWS[kind]


def test_the_number_of_points_is_as_documented() -> None:
    assert f"at most {curve.MAX_POINTS} points" in PAGE
