"""What is still to run of an experiment will cost, before it runs."""

from __future__ import annotations

from novaloop.experiment.costs.budget import machines, runtime_limit, spent_usd
from novaloop.experiment.costs.prices import CostRange, PriceTable, job_cost, packaged_prices
from novaloop.experiment.record import Record, StageState
from novaloop.experiment.runtimes.jobs import rows_of
from novaloop.experiment.runtimes.registry import steps_of
from novaloop.experiment.spec.stages import JobStage


def cost_of_job(record: Record, plan: JobStage, prices: PriceTable) -> CostRange | None:
    """Estimate a stage's job within the budget; None if it has no machines, or these no price."""
    chosen = machines(record.spec, plan)
    if chosen is None:
        return None
    return job_cost(
        prices,
        plan.method,
        *chosen,
        steps=steps_of(record, plan) or 0,
        rows=rows_of(record, plan) if plan.kind.is_scored else 0,
        max_runtime_seconds=runtime_limit(record, plan, plan.max_runtime_seconds),
    )


def cost_of_jobs(record: Record) -> str | None:
    """Say which jobs are still to be run, and what they cost; None if no job is."""
    plans = {
        stage.name: record.plan_of(stage)
        for stage in record.stages
        if stage.state is StageState.PENDING
    }
    jobs = {name: plan for name, plan in plans.items() if isinstance(plan, JobStage)}
    if not jobs:
        return None
    prices = packaged_prices()
    costs = [cost_of_job(record, plan, prices) for plan in jobs.values()]
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return f"{', '.join(jobs)}: no price is known"
    most, likely = sum(cost.most for cost in known), sum(cost.expected for cost in known)
    if record.spec.budget_usd is not None and record.budget_lifted_by is None:
        left = max(0.0, record.spec.budget_usd - spent_usd(record))
        most, likely = min(most, left), min(likely, left)
    return f"{', '.join(jobs)}: about {likely:,.2f} USD, {most:,.2f} USD at the most"
