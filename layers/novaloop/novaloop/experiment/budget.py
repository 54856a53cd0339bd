"""`budget_usd`: what was spent so far, and how long the next stage may run within the budget.

The packaged prices are taken as they are, for every region. Storage, requests and the controller's
own functions are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

from novaloop.experiment.costs import packaged_prices
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.spec import DeployStage, ExperimentSpec, Runtime, StagePlan
from novaloop.recipes.errors import FieldError

MINIMUM_SECONDS = 600
"""A stage that may run no longer than this is not worth its start."""


def price_problems(spec: ExperimentSpec) -> Iterator[FieldError]:
    """Yield the stages whose cost can't be told, so that no budget can hold them."""
    if spec.budget_usd is None:
        return
    if spec.runtime is Runtime.SERVERLESS:
        message = "can't be kept: serverless jobs are billed by tokens, whose price is not known"
        yield FieldError("budget_usd", f"{message}; remove it or use runtime training-job")
    for index, plan in enumerate(spec.plan):
        if has_machines(spec, plan) and usd(spec, plan, 1) is None:
            message = f"budget_usd can't be kept: no price of {plan.instance_type} is known"
            yield FieldError(f"plan[{index}].{plan.kind}.instance_type", message)


def has_machines(spec: ExperimentSpec, plan: StagePlan) -> bool:
    """Whether a stage runs on machines that the experiment chooses and pays by the hour."""
    return spec.runtime is Runtime.TRAINING_JOB or isinstance(plan, DeployStage)


def usd(spec: ExperimentSpec, plan: StagePlan, seconds: float) -> float | None:
    """Return what a stage costs that is billed for so long; None if no price is known."""
    if not has_machines(spec, plan):
        return None
    return packaged_prices().usd(plan.instance_type, plan.instances, seconds)


def spent_usd(record: Record) -> float:
    """Return what all attempts at all stages were billed so far."""
    return sum(
        usd(
            record.spec,
            record.plan_of(stage),
            stage.billable_seconds + stage.earlier_seconds,
        )
        or 0
        for stage in record.stages
    )


def affordable_seconds(record: Record, plan: StagePlan) -> float:
    """Return how long `plan` may run within what is left of the budget; infinity without one."""
    price = usd(record.spec, plan, 1)
    if record.spec.budget_usd is None or record.budget_lifted_by is not None or price is None:
        return math.inf
    return max(0.0, record.spec.budget_usd - spent_usd(record)) / price


def shortfall(record: Record, stage: Stage) -> str | None:
    """Say why the budget does not allow to launch `stage`, or None if it does."""
    plan = record.plan_of(stage)
    if affordable_seconds(record, plan) >= MINIMUM_SECONDS:
        return None
    return (
        f"budget: {spent_usd(record):,.2f} of {record.spec.budget_usd:,.2f} USD are spent, and the "
        f"rest pays for less than {MINIMUM_SECONDS // 60} minutes of {stage.name} on "
        f"{plan.instances} {plan.instance_type}; approve to go on without a budget"
    )


def runtime_limit(record: Record, plan: StagePlan, longest_seconds: int) -> int:
    """Return after how many seconds a job must end, so that the budget can't be passed."""
    return int(min(longest_seconds, affordable_seconds(record, plan)))


def last_moment(record: Record, stage: Stage) -> datetime | None:
    """Return when the endpoint of `stage` will have used up the budget; None if never."""
    seconds = affordable_seconds(record, record.plan_of(stage))
    if not isinstance(record.plan_of(stage), DeployStage) or seconds == math.inf:
        return None
    return (stage.started_at or record.created_at) + timedelta(seconds=seconds)
