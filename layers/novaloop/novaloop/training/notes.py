"""What is told of a training's health: apart from how it is found, since a record holds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HealthKind(StrEnum):
    """The kinds of trouble."""

    REWARD_COLLAPSE = "reward_collapse"
    POLICY_INSTABILITY = "policy_instability"
    ENTROPY_COLLAPSE = "entropy_collapse"
    LENGTH_CLIPPING = "length_clipping"
    LENGTH_GROWTH = "length_growth"
    LOSS_DIVERGENCE = "loss_divergence"
    NO_LEARNING = "no_learning"
    STALLED_TRAINING = "stalled_training"


@dataclass(frozen=True)
class HealthNote:
    """One kind of trouble, the step at which it was first seen, and what was seen."""

    kind: HealthKind
    step: int
    message: str
