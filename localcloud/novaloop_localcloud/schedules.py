"""How long and how fast a supervised or preference training goes, by either kind of recipe."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novaloop_localcloud.container import Recipe


@dataclass(frozen=True)
class Schedule:
    """Steps, rows a step, learning rate and its warm-up."""

    steps: int
    batch_size: int
    rate: float
    warmup: int

    @classmethod
    def of(cls, recipe: Recipe, rows: int) -> Schedule:
        """Read a recipe; those of the first generation count epochs instead of steps."""
        batch_size = int(recipe.number("training_config.global_batch_size"))
        if recipe.get("training_config.trainer.max_epochs") is None:
            return cls(
                int(recipe.number("training_config.max_steps")),
                batch_size,
                recipe.number("training_config.optim_config.lr"),
                int(recipe.number("training_config.lr_scheduler.warmup_steps")),
            )
        epochs = int(recipe.number("training_config.trainer.max_epochs"))
        optim = "training_config.model.optim"
        return cls(
            epochs * ceil(rows / batch_size),
            batch_size,
            recipe.number(f"{optim}.lr"),
            int(recipe.number(f"{optim}.sched.warmup_steps")),
        )
