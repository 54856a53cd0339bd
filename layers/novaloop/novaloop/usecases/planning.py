"""The plan of a dry run: made with what the stack runs with, and written beside the reports."""

from __future__ import annotations

import json

from novaloop.experiment.costs.prices import CostRange, packaged_prices
from novaloop.experiment.names import plan_key
from novaloop.experiment.planning import plan_experiment
from novaloop.experiment.record import Record
from novaloop.experiment.stack import StackConfig
from novaloop.usecases.ports import Objects


def write_plan(record: Record, stack_config: StackConfig, objects: Objects) -> str:
    """Write `plan.json` and return what it comes to. Raises Invalid."""
    plan = plan_experiment(record, stack_config, packaged_prices())
    key = plan_key(record.experiment_id)
    content = {"experiment": record.experiment_id, **plan.to_dict()}
    objects.put(key, json.dumps(content, indent=2).encode(), "application/json")
    return (
        f"{len(plan.stages)} stages for {_summary(plan.cost)} are planned in {key}, none launched"
    )


def _summary(cost: CostRange | None) -> str:
    if cost is None:
        return "an unknown price"
    return f"about {cost.expected:,.0f} USD, {cost.most:,.0f} USD at the most,"
