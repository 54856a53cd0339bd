"""What is looked for in datasets beyond their rows, and what a finding leads to."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Check(StrEnum):
    """What is looked for."""

    SHARED_QUESTIONS = "shared-questions"
    NEAR_DUPLICATES = "near-duplicates"
    CONTRADICTIONS = "contradictions"
    IMBALANCE = "imbalance"
    LABEL_LEAK = "label-leak"
    LONG_ROWS = "long-rows"
    REPEATED_QUESTIONS = "repeated-questions"
    REPEATED_ROWS = "repeated-rows"
    SAME_REFERENCES = "same-references"
    ANY_REFERENCE = "any-reference"
    SHARED_ROWS = "shared-rows"
    SPLIT_ROWS = "split-rows"


class FindingPolicy(StrEnum):
    """What a finding leads to; dropping means the rows that it counts."""

    REFUSE = "refuse"
    DROP = "drop"
    WARN = "warn"


DEFAULT_POLICIES: Mapping[Check, FindingPolicy] = {
    **dict.fromkeys(Check, FindingPolicy.WARN),
    Check.SHARED_QUESTIONS: FindingPolicy.REFUSE,
    Check.ANY_REFERENCE: FindingPolicy.REFUSE,
}
DROPPABLE = {Check.SHARED_QUESTIONS, Check.NEAR_DUPLICATES, Check.CONTRADICTIONS}
