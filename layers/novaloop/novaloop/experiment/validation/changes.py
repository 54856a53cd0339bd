"""Other settings for the stages that a retry runs again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from novaloop.experiment.costs.budget import is_unpriced
from novaloop.experiment.record import Record
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.experiment.spec.experiment import ExperimentSpec, Gate
from novaloop.experiment.spec.stages import StagePlan
from novaloop.experiment.validation.checks import check_settings
from novaloop.experiment.validation.defaults import left_out
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid, Problem, joined, shown

_MAY_CHANGE = {"plan", "gate", "approval", "budget_usd", "report_rows"}
"""All else is what the datasets were converted by, or what finished stages were run by."""
_SETTLED = ("image", "processor", "endpoint", "recorded")
"""What of a stage is checked against the stack, others' endpoints, or the evaluation rows, before
the start alone."""
_BY_ORIGIN = ("peft", "to")
"""What of a stage is checked against another experiment's checkpoint, when that is looked up."""
_ANEW = "leave it as it is, or submit it under a new name"


def changed_spec(record: Record, content: str, start: str) -> ExperimentSpec:
    """Read other settings for what runs from the stage `start` on. Raises Invalid.

    `content` is an experiment.yaml; of approval, budget and gate that it leaves out, the present
    ones hold. What has run keeps what it ran by.
    """
    spec = read_spec(content.encode(), record.experiment_id)
    kept = {name: getattr(record.spec, name) for name in left_out(spec)}
    spec = spec.model_copy(update=kept)
    if problems := list(_check(record, spec, start)):
        raise Invalid(*problems)
    return spec


def changes(before: ExperimentSpec, after: ExperimentSpec) -> tuple[str, ...]:
    """Say what changes, a line for each setting, such as `sft.overrides.lr: 1e-05 to 5e-06`."""
    old, new = dict(_flat(_by_stage(before))), dict(_flat(_by_stage(after)))
    return tuple(
        f"{path}: {_shown(path, old.get(path))} to {_shown(path, new.get(path))}"
        for path in dict.fromkeys((*old, *new))
        if old.get(path) != new.get(path)
    )


def _by_stage(spec: ExperimentSpec) -> dict[str, Any]:
    content = spec.model_dump(mode="json")
    return {**content, "plan": {stage["name"]: stage for stage in content["plan"]}}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for name, inner in value.items():
        yield from _flat(inner, name if path in {"", "plan"} else joined(path, name))


def _shown(path: str, value: object) -> str:
    if value is not None:
        return shown(value)
    return "the recipe's default" if ".overrides." in path else "none"


def _check(record: Record, spec: ExperimentSpec, start: str) -> Iterator[Problem]:
    before = record.spec
    for name in type(spec).model_fields:
        if name not in _MAY_CHANGE and getattr(spec, name) != getattr(before, name):
            yield Problem(name, "can't be changed after the start", _ANEW)
    stages = [(stage.kind, stage.name) for stage in before.plan]
    if [(stage.kind, stage.name) for stage in spec.plan] != stages:
        names = ", ".join(name for _, name in stages)
        what = "has other stages than the experiment was started with"
        yield Problem("plan", what, f"keep {names}, in this order, or submit it under a new name")
        return
    kept: list[str] = []
    runs = False
    for (at, plan), old in zip(spec.places, before.plan, strict=True):
        runs = runs or plan.name == start
        kept += [] if runs else [plan.name]
        if plan == old:
            continue
        if not runs:
            do = f"leave it as it is, or retry from it, with --from {plan.name}"
            yield Problem(at, f"{plan.name} has run, and keeps its settings", do)
        else:
            yield from _check_stage(record, spec, plan, old, at)
    yield from _check_scores(before, spec, kept)
    yield from _check_budget(record, spec)
    # With what was kept of the present settings.
    yield from spec.check_consistency()
    yield from check_settings(spec)


def _check_budget(record: Record, spec: ExperimentSpec) -> Iterator[Problem]:
    """Yield that no budget can be kept, where nobody knows what of it is spent."""
    unpriced = [stage.name for stage in record.stages if is_unpriced(record, stage)]
    if spec.budget_usd is not None and unpriced:
        what = f"can't be kept: what {unpriced[0]} was billed so far is not known"
        yield Problem("budget_usd", what, "set budget_usd: null, or submit it under a new name")


def _check_scores(
    before: ExperimentSpec, spec: ExperimentSpec, kept: Collection[str]
) -> Iterator[Problem]:
    """Yield what the gate asks that scores of evaluations which have run can't tell."""
    if spec.gate is None:
        return
    had, asked = (before.gate or Gate()).level, spec.gate.level
    for name in dict.fromkeys(name for _, name, _ in spec.judged() if name in kept):
        do = f"leave it as it is, or retry from it, with --from {name}"
        if asked != had:
            at = "gate.tries" if spec.gate.tries else "gate.confidence"
            yield Problem(at, f"{name} was scored with intervals at another confidence", do)
        elif spec.compared_by_class(name) - before.compared_by_class(name):
            what = f"{name} was not compared class by class when it was scored"
            yield Problem("gate.each_class", what, do)


def _check_stage(
    record: Record, spec: ExperimentSpec, plan: StagePlan, old: StagePlan, at: str
) -> Iterator[Problem]:
    """Yield what a stage can't be given any more."""
    for name in (*_SETTLED, *(_BY_ORIGIN if spec.origin is not None else ())):
        if getattr(plan, name, None) != getattr(old, name, None):
            yield Problem(f"{at}.{name}", "can't be changed after the start", _ANEW)
    inputs = [*plan.inputs, *filter(None, (plan.validation_input,))]
    for role, row_format in inputs:
        if row_format not in getattr(record.datasets.get(role), "outputs", {}):
            what = f"needs rows of {role} as {row_format}, to which none were converted"
            yield Problem(at, what, _ANEW)
            return
    for training in spec.trainings:
        if training is plan:
            rows = sum(record.datasets[role].rows for role, _ in plan.inputs)
            yield from runtime_of(spec).check_rows(spec, training, rows, at)
