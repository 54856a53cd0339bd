"""Answers after public bug reports, with what a careful reader would give them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from novaloop.rewards.reward import score_batch

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "field_cases.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_careful_reader_agrees(case: dict[str, Any]) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": case["answer"]}]
    sample = {"id": "1", "messages": turns, "reference_answer": case["reference"]}
    (score,) = score_batch([{**sample, "reward": case["reward"]}])
    assert score["aggregate_reward_score"] == case["score"]
