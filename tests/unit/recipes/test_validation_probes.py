"""Each probe of the other implementation's validation, against ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.recipes.captures import verdicts
from tests.unit.recipes.probe_jobs import ACCEPTED_ON_PURPOSE, PROBES, REFUSED_ON_PURPOSE


def test_every_probe_is_covered() -> None:
    assert set(verdicts()) == set(PROBES)


@pytest.mark.parametrize("name", PROBES)
def test_verdict_is_the_same_or_different_on_purpose(name: str) -> None:
    theirs_refuses = verdicts()[name] == "ERR"
    ours_refuses = bool(PROBES[name]())

    if name in REFUSED_ON_PURPOSE:
        assert (theirs_refuses, ours_refuses) == (False, True)
    elif name in ACCEPTED_ON_PURPOSE:
        assert (theirs_refuses, ours_refuses) == (True, False)
    else:
        assert ours_refuses == theirs_refuses


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("lr>1", {"overrides.lr"}),
        ("max_steps 3", {"overrides.max_steps", "overrides.save_steps"}),
        ("unknown key", {"overrides.learning_rte"}),
        ("instance_count 3", {"instances"}),
        ("bad instance", {"instance_type"}),
        ("bad name", {"job_name"}),
        ("RFT no lambda", {"reward_function_arn"}),
        ("RFT alias arn", {"reward_function_arn"}),
        ("RFT hp ckpt on smtj", {"checkpoint"}),
        ("EVAL no data", {"data_uri"}),
        ("EVAL mmlu subtask bad", {"subtask"}),
    ],
)
def test_errors_carry_the_path_of_their_field(name: str, paths: set[str]) -> None:
    assert {error.where for error in PROBES[name]()} == paths


def test_every_deliberate_difference_is_documented() -> None:
    document = Path(__file__).resolve().parents[3] / "docs" / "recipes.md"
    table = (
        document.read_text(encoding="utf-8").partition("| probe | SDK |")[2].partition("\n\n")[0]
    )

    assert set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == (
        REFUSED_ON_PURPOSE | ACCEPTED_ON_PURPOSE
    )
