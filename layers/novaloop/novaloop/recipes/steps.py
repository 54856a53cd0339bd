"""How many steps a training takes."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any


def optimizer_steps(settings: Mapping[str, Any], rows: int) -> int | None:
    """Return the steps of a training on ``rows`` rows; None for an evaluation.

    ``settings`` are the recipe's, by leaf name. Nova 2 recipes set the steps, those of the first
    generation epochs, of which the last batch may be a short one.
    """
    if "max_steps" in settings:
        return int(settings["max_steps"])
    if "max_epochs" in settings:
        batches = ceil(rows / int(settings["global_batch_size"]))
        return batches * int(settings["max_epochs"])
    return None
