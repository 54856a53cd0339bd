"""`budget_usd`: what was spent so far, and how long the next stage may run within the budget.

The packaged prices are taken as they are, for every region. Storage, requests and the controller's
own functions are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from novaloop.experiment.bounds import MOST_SECONDS
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.record import Record, Stage, Status
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import ServingPlan, StageSpec
from novaloop.problem import Problem

MINIMUM_SECONDS = 600
"""A stage that may run no longer than this is not worth its start."""


def check_prices(spec: ExperimentSpec) -> Iterator[Problem]:
    """Yield the stages whose cost can't be told, so that no budget can hold them."""
    if spec.budget_usd is None:
        return
    if not spec.runtime.has_machines:
        jobs = f"jobs of runtime {spec.runtime}"
        what = f"can't be kept: {jobs} are billed by tokens, whose price is not known"
        yield Problem("budget_usd", what, "remove it or use runtime training-job")
    for at, plan in spec.places:
        what, do = "budget_usd can't be kept: no price of {} is known", "leave budget_usd out"
        chosen = machines(spec, plan)
        if chosen is None and plan.kind.serves:
            yield Problem(f"{at}.to", what.format(plan.method), do)
        elif chosen is not None and usd(spec, plan, 1) is None:
            yield Problem(f"{at}.instance_type", what.format(chosen[0]), do)


def machines(spec: ExperimentSpec, plan: StageSpec) -> tuple[str, int] | None:
    """Return the type and number of machines that a stage chooses and pays by the hour."""
    return plan.machines if plan.kind.serves or spec.runtime.has_machines else None


def usd(spec: ExperimentSpec, plan: StageSpec, seconds: float) -> float | None:
    """Return what a stage costs that is billed for so long; None if no price is known."""
    chosen = machines(spec, plan)
    return packaged_prices().usd(*chosen, seconds) if chosen else None


def spent_usd(record: Record) -> float:
    """Return what all attempts at all stages were billed so far."""
    return sum(
        stage.earlier_usd
        + (
            usd(
                record.spec,
                record.plan_of(stage),
                stage.attempt.billable_seconds + stage.earlier_seconds,
            )
            or 0
        )
        for stage in record.stages
    )


def is_unpriced(record: Record, stage: Stage) -> bool:
    """Whether a stage was, or is being, billed at a price that is not known."""
    is_billed = stage.attempt.started_at is not None or stage.earlier_seconds > 0
    return stage.unpriced or (is_billed and usd(record.spec, record.plan_of(stage), 1) is None)


@dataclass(frozen=True)
class Cost:
    """US dollars: `spent` by a certain time, and `committed` to what serves from then to its end.

    What is committed is not spent if it ends earlier, as by `novaloop stop`.
    """

    spent: float
    committed: float


def cost_usd(record: Record, now: datetime) -> Cost | None:
    """Return what an experiment has cost, and will by what it has decided; None if no price of
    something billed is known.

    A job counts by what its service says that it bills, and until then by the time since it began.
    """
    spent = committed = 0.0
    for stage in record.stages:
        if is_unpriced(record, stage):
            return None
        per_second = usd(record.spec, record.plan_of(stage), 1)
        spent += stage.earlier_usd
        spent += (per_second or 0) * (stage.earlier_seconds + _seconds_so_far(record, stage, now))
        committed += (per_second or 0) * _seconds_to_come(record, stage, now)
    return Cost(round(spent, 2), round(committed, 2))


def _seconds_so_far(record: Record, stage: Stage, now: datetime) -> float:
    """Return for how long the present attempt was billed: an endpoint from its start until it was
    gone, which is when its experiment was over."""
    is_told = bool(stage.attempt.billable_seconds) or stage.attempt.ended_at is not None
    if stage.attempt.started_at is None or (is_told and not stage.kind.serves):
        return stage.attempt.billable_seconds
    failed_at = None if record.endpoint is not None else stage.attempt.ended_at
    until = failed_at or record.ended_at or now
    return max(0.0, (until - stage.attempt.started_at).total_seconds())


def _seconds_to_come(record: Record, stage: Stage, now: datetime) -> float:
    """Return for how long what serves, or is about to, has been promised to go on."""
    plan = record.spec.deployment
    if plan is None or not stage.kind.serves or stage.attempt.started_at is None:
        return 0
    if record.status is Status.DEPLOYING:
        return serving_hours(record, plan) * 3600
    expires_at = record.endpoint.expires_at if record.endpoint else None
    if record.status is not Status.LIVE or expires_at is None:
        return 0
    return max(0.0, (expires_at - now).total_seconds())


def serving_hours(record: Record, plan: ServingPlan) -> float:
    """Return how long a deployment may serve: as long as it is to, within the budget."""
    return min(plan.ttl_hours, affordable_seconds(record, plan) / 3600)


def commitment(record: Record, hours: float | None = None) -> str:
    """Say what a deployment commits to: how long, on which machines, for how much; or nothing.

    Without `hours`, that is as long as it may serve.
    """
    plan = record.spec.deployment
    if plan is None:
        return "no deployment"
    hours = serving_hours(record, plan) if hours is None else hours
    chosen = machines(record.spec, plan)
    price = usd(record.spec, plan, hours * 3600)
    on = f"{chosen[1]} {chosen[0]}" if chosen else f"{plan.to} on Bedrock"
    cost = f"{price:,.2f} USD" if price is not None else "whose price is not known"
    return f"{hours:g} h of {on}, {cost}"


def affordable_seconds(record: Record, plan: StageSpec) -> float:
    """Return how long `plan` may run within what is left of the budget; infinity without one."""
    price = usd(record.spec, plan, 1)
    if record.spec.budget_usd is None or record.budget_lifted_by is not None or price is None:
        return math.inf
    return max(0.0, record.spec.budget_usd - spent_usd(record)) / price


def shortfall(record: Record, stage: Stage) -> str | None:
    """Say why the budget does not allow to launch `stage`, or None if it does."""
    plan = record.plan_of(stage)
    chosen = machines(record.spec, plan)
    if chosen is None or affordable_seconds(record, plan) >= MINIMUM_SECONDS:
        return None
    instance_type, instances = chosen
    return (
        f"budget: {spent_usd(record):,.2f} of {record.spec.budget_usd:,.2f} USD are spent, and the "
        f"rest pays for less than {MINIMUM_SECONDS // 60} minutes of {stage.name} on "
        f"{instances} {instance_type}; approve to go on without a budget"
    )


def runtime_limit(record: Record, plan: StageSpec, longest_seconds: int) -> int:
    """Return after how many seconds a job must end, so that the budget can't be passed."""
    return int(min(longest_seconds, affordable_seconds(record, plan)))


def is_used_up(record: Record, stage: Stage, now: datetime) -> bool:
    """Whether what an attempt at a deployment serves with has used up the budget."""
    limit = last_moment(record, stage) if stage.attempt.started_at else None
    return limit is not None and now >= limit


def last_moment(record: Record, stage: Stage) -> datetime | None:
    """Return when the endpoint of `stage` will have used up the budget; None if never.

    It is given an end long before ten years are over.
    """
    seconds = affordable_seconds(record, record.plan_of(stage))
    if not stage.kind.serves or seconds > MOST_SECONDS:
        return None
    return (stage.attempt.started_at or record.created_at) + timedelta(seconds=seconds)
