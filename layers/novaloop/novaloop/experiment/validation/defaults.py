"""What holds where `experiment.yaml` is silent about money and approval: the stack's defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from novaloop.experiment.costs.budget import check_prices
from novaloop.experiment.spec.defaults import SpecDefaults
from novaloop.experiment.spec.experiment import ExperimentSpec, Gate
from novaloop.problem import Problem

OF_STACK = ("approval", "budget_usd", "gate")
"""The settings for which a stack may have defaults of its own."""


@dataclass(frozen=True)
class Resolved:
    """The settings that hold: `taken` of them, in words, are the stack's defaults.

    `impossible` are defaults that can't hold for this plan, each with the reason.
    """

    spec: ExperimentSpec
    taken: Mapping[str, str] = field(default_factory=dict)
    impossible: tuple[Problem, ...] = ()


def left_out(spec: ExperimentSpec) -> tuple[str, ...]:
    """Return which of OF_STACK a spec that was just read says nothing of.

    `budget_usd: null` and `gate: null` do say something: that there is none.
    """
    return tuple(name for name in OF_STACK if name not in spec.model_fields_set)


def resolve(
    spec: ExperimentSpec, silent: Collection[str], defaults: SpecDefaults | None
) -> Resolved:
    """Return a spec with the stack's defaults for what it is `silent` about.

    A default that can't hold for its plan is left out: a budget over what has no price, a gate
    over evaluations that are not there. A gate is for what is deployed.
    """
    if defaults is None:
        return Resolved(spec)
    values: dict[str, Any] = {}
    impossible: list[Problem] = []
    if "approval" in silent:
        values["approval"] = defaults.approval
    if "budget_usd" in silent and defaults.budget_usd is not None:
        wanted = {"budget_usd": defaults.budget_usd}
        problems = list(check_prices(spec.model_copy(update=wanted)))
        values |= {} if problems else wanted
        impossible += problems[:1]
    if "gate" in silent and defaults.gate is not None and spec.deployment is not None:
        gated = spec.model_copy(update={"gate": defaults.gate})
        problems = [each for each in gated.check_consistency() if each.where.startswith("gate")]
        values |= {} if problems else {"gate": defaults.gate}
        impossible += problems[:1]
    taken = {name: _written(value) for name, value in values.items()}
    return Resolved(spec.model_copy(update=values), taken, tuple(impossible))


def told_of_defaults(resolved: Resolved) -> str:
    """Say which settings are the stack's defaults, and which of these can't hold; empty if none."""
    taken = ", ".join(f"{name}: {value}" for name, value in resolved.taken.items())
    told = [f"by the stack's defaults: {taken}"] if taken else []
    told += [f"the stack's default can't hold: {each}" for each in resolved.impossible]
    return "; ".join(told)


def told_of_gate(spec: ExperimentSpec) -> str:
    """Say that nothing is asked of what is deployed; empty if a gate is, or nothing is deployed."""
    if spec.deployment is None or spec.gate is not None:
        return ""
    approved = ", once it is approved" if spec.approval == "manual" else ""
    return f"no gate is set: it is deployed whatever the evaluations show{approved}"


def _written(value: object) -> str:
    if isinstance(value, Gate):
        told = value.model_dump(exclude_defaults=True)
        return f"{{{', '.join(f'{name}: {each}' for name, each in told.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)
