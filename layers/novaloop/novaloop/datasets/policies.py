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


class Policy(StrEnum):
    """What a finding leads to; dropping means the evaluation rows concerned."""

    REFUSE = "refuse"
    DROP = "drop"
    WARN = "warn"


DEFAULT_POLICIES: Mapping[Check, Policy] = {
    Check.SHARED_QUESTIONS: Policy.REFUSE,
    Check.NEAR_DUPLICATES: Policy.WARN,
    Check.CONTRADICTIONS: Policy.WARN,
    Check.IMBALANCE: Policy.WARN,
    Check.LABEL_LEAK: Policy.WARN,
    Check.LONG_ROWS: Policy.WARN,
}
DROPPABLE = {Check.SHARED_QUESTIONS, Check.NEAR_DUPLICATES, Check.CONTRADICTIONS}
