"""The thresholds that `docs/training.md` names are those that the checks use."""

from __future__ import annotations

from pathlib import Path

import pytest

from novaloop.training import changes, curve, health
from novaloop.training.notes import HealthKind

PAGE = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
ROWS = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}


def test_every_kind_of_note_is_documented() -> None:
    assert set(ROWS) == set(HealthKind)


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [
        ("reward_collapse", f"at least {health.COLLAPSE_SHARE:.0%} of the usual range"),
        ("policy_instability", f"one update above {health.KL_SPIKE}"),
        ("policy_instability", f"of {health.UNSTABLE_STEPS} among the last"),
        ("policy_instability", f"{health.UNSTABLE_AMONG} updates above {health.KL_LIMIT}"),
        ("policy_instability", f"above {health.KL_NOTABLE} and {health.KL_JUMP:.0f} times"),
        ("policy_instability", f"from the start above {health.KL_FROM_START_LIMIT}"),
        ("policy_instability", f"entropy {health.ENTROPY_GROWTH:.0f} times its lowest"),
        ("policy_instability", f"{curve.SMOOTHED}-step mean, and {health.ENTROPY_NOTABLE} above"),
        ("entropy_collapse", f"below {health.ENTROPY_LEAST} and below {health.ENTROPY_LEFT:.0%}"),
        ("length_clipping", f"{health.CLIPPED_SHARE:.0%} of the responses"),
        ("length_clipping", f"last {health.CLIPPED_STEPS} steps"),
        ("length_clipping", f"{health.CLIPPED_LENGTH:.0%} of `max_new_tokens`"),
        ("length_growth", f"last {health.LASTING_STEPS} steps {health.GROWTH:.0f} times"),
        ("length_growth", f"{health.GROWTH_TOKENS} tokens above"),
        ("loss_divergence", f"at least {health.DIVERGENCE_SHARE:.0%} of what it was"),
        ("loss_divergence", f"by {health.DIVERGENCE_LEAST}"),
        ("no_learning", f"each of the last {health.SAME_STEPS} steps"),
        ("no_learning", f"{health.LEARNING_STEPS} steps and {health.LEARNING_PART:.0%} of all"),
        ("no_learning", f"{health.LEARNING_SHARE:.0%} below its first {curve.SMOOTHED} steps"),
        ("no_learning", f"nor {health.LEARNING_ERRORS:.0f} standard errors below"),
        ("stalled_training", f"{health.STALLED_LEAST.seconds // 60} minutes"),
        ("stalled_training", f"time of {health.STALLED_STEPS} steps"),
        ("stalled_training", f"{health.STALLED_FIRST.seconds // 3600} hours"),
    ],
)
def test_its_thresholds_are_as_documented(kind: str, phrase: str) -> None:
    assert phrase.replace("%", " %") in ROWS[kind]


def test_what_counts_as_a_fall_is_as_documented() -> None:
    text = " ".join(PAGE.split())
    widths = ", ".join(str(changes.SHORTEST * times) for times in (1, 2, 4))
    assert f"Each of the last {health.LASTING_STEPS} steps" in text
    assert f"the newest {widths}, … steps" in text
    assert f"a chance of {changes.ALPHA:.0%}".replace("%", " %") in text


def test_the_number_of_points_is_as_documented() -> None:
    assert f"at most {curve.MAX_POINTS} points" in PAGE
