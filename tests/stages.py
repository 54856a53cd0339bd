"""Stages as a test wants them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from novaloop.experiment.record import Attempt, Stage

OF_ATTEMPT = {each.name for each in fields(Attempt)}


def changed(stage: Stage, **changes: Any) -> Stage:
    """Return the stage with these fields changed, its own or its attempt's."""
    of_attempt = {name: changes.pop(name) for name in OF_ATTEMPT & changes.keys()}
    return replace(stage, attempt=replace(stage.attempt, **of_attempt), **changes)
