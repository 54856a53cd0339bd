"""What a stack says of settings that `experiment.yaml` leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from novaloop.experiment.spec.experiment import Gate


@dataclass(frozen=True)
class SpecDefaults:
    """A stack's defaults. `budget_usd` and `gate` are None where it has none."""

    approval: Literal["auto", "manual"] = "auto"
    budget_usd: float | None = None
    gate: Gate | None = None

    @classmethod
    def of_parameters(
        cls,
        approval: Literal["auto", "manual"],
        budget_usd: float,
        gate: Literal["none", "better-than-baseline"],
    ) -> Self:
        """Return what the parameters of a stack come to. A budget of 0 is none."""
        asked = None if gate == "none" else Gate(better_than="baseline")
        return cls(approval, budget_usd or None, asked)
