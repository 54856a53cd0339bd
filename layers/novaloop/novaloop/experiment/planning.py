"""The plan of an experiment: everything that would be written, requested and paid for.

Built by the same functions that launch. What only a run can tell stands as a placeholder: the
checkpoints, whose names the service chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from typing import Any

from novaloop.experiment.controller.intake import pending_stages
from novaloop.experiment.costs.budget import machines, serving_hours
from novaloop.experiment.costs.prices import CostRange, PriceTable, endpoint_cost
from novaloop.experiment.names import job_name
from novaloop.experiment.record import Record, Stage, StageState
from novaloop.experiment.runtimes.bedrock import PLACEHOLDER_MODEL
from novaloop.experiment.runtimes.estimates import cost_of_job
from novaloop.experiment.runtimes.jobs import (
    PlannedRequest,
    PlannedUpload,
    job_plan,
)
from novaloop.experiment.runtimes.registry import check_functions, launch_of, runtime_of, steps_of
from novaloop.experiment.runtimes.serving import plan_deployment, serving_plan
from novaloop.experiment.stack import StackConfig
from novaloop.problem import Invalid
from novaloop.recipes.bedrock_serving import BedrockPlan
from novaloop.recipes.endpoints import EndpointPlan

PLACEHOLDER_UID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class PlannedStage:
    """One stage: its machines, its limits (`hours` at the most), its cost, and what is sent.

    A serverless job has no machines: `instance_type` is None, `instances` 0. Where answers were
    recorded there is no job either: nothing is sent.
    """

    name: str
    method: str
    instance_type: str | None
    instances: int
    steps: int
    hours: float
    cost: CostRange | None
    uploads: tuple[PlannedUpload, ...]
    requests: tuple[PlannedRequest, ...]


@dataclass(frozen=True)
class Quota:
    """A SageMaker quota in Service Quotas, and the value that the plan needs at one time.

    `needed_to_update` is what it needs instead if a lasting endpoint serves already, on as many
    machines: UpdateEndpoint starts the new ones beside them. None where nothing is updated.
    """

    name: str
    needed: int
    needed_to_update: int | None = None


@dataclass(frozen=True)
class ExperimentPlan:
    """What an experiment would do. `cost` is None if any stage's price is unknown."""

    stages: tuple[PlannedStage, ...]
    quotas: tuple[Quota, ...]
    cost: CostRange | None
    prices: str

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return asdict(self)


def plan_experiment(
    record: Record, stack_config: StackConfig, prices: PriceTable
) -> ExperimentPlan:
    """Return the plan of a record whose datasets are known. Raises Invalid."""
    if unnamed := list(check_functions(record.spec, stack_config)):
        raise Invalid(*unnamed)
    origin = record.base_checkpoint or _origin(record, stack_config)
    record = replace(record, stages=pending_stages(record.spec), base_checkpoint=origin)
    stages = tuple(_planned_stages(record, stack_config, prices))
    costs = [stage.cost for stage in stages if stage.cost is not None]
    total = reduce(add, costs) if len(costs) == len(stages) else None
    source = f"{prices.as_of}, {prices.region}, not verified"
    return ExperimentPlan(stages, _quotas(stages), _within(total, record.spec.budget_usd), source)


def _origin(record: Record, stack_config: StackConfig) -> str | None:
    """Return what the plan starts from; a placeholder for another experiment's checkpoint."""
    named = record.spec.origin
    if named is None:
        return record.spec.checkpoint
    source = replace(record, experiment_id=named[0], stages=())
    name = job_name(record.prefix, named[0], PLACEHOLDER_UID, named[1], 1)
    return runtime_of(record.spec).placeholder(source, name, stack_config)


def _within(cost: CostRange | None, budget: float | None) -> CostRange | None:
    if cost is None or budget is None:
        return cost
    return CostRange(*(min(usd, budget) for usd in (cost.low, cost.expected, cost.most)))


def _planned_stages(
    record: Record, stack_config: StackConfig, prices: PriceTable
) -> Iterator[PlannedStage]:
    """Yield the stages, each with the names and the checkpoint that it would have."""
    for index, pending in enumerate(record.stages):
        named = record.prefix, record.experiment_id, record.uid or PLACEHOLDER_UID
        name = job_name(*named, pending.name, pending.attempt.number)
        stage = replace(pending, attempt=replace(pending.attempt, job_name=name))
        record = _with_stage(record, index, stage)
        if stage.kind.serves:
            yield _planned_deployment(record, stage, stack_config, prices)
            continue
        if record.plan_of(stage).recorded_as is not None:
            yield _without_a_job(record, stage)
            continue
        yield _planned_job(record, stage, stack_config, prices)
        runtime = runtime_of(record.spec)
        checkpoint = runtime.placeholder(record, name, stack_config) if stage.kind.trains else None
        done = replace(stage, state=StageState.SUCCEEDED, checkpoint=checkpoint)
        record = _with_stage(record, index, done)


def _with_stage(record: Record, index: int, stage: Stage) -> Record:
    return replace(record, stages=(*record.stages[:index], stage, *record.stages[index + 1 :]))


def _planned_job(
    record: Record, stage: Stage, stack_config: StackConfig, prices: PriceTable
) -> PlannedStage:
    plan, launch = job_plan(record, stage), launch_of(record, stage, stack_config)
    steps = steps_of(record, plan) or 0
    chosen = machines(record.spec, plan)
    instance_type, instances = chosen or (None, 0)
    return PlannedStage(
        name=stage.name,
        method=plan.method,
        instance_type=instance_type,
        instances=instances,
        steps=steps,
        hours=launch.max_runtime_seconds / 3600,
        cost=cost_of_job(record, plan, prices),
        uploads=launch.uploads,
        requests=launch.requests,
    )


def _without_a_job(record: Record, stage: Stage) -> PlannedStage:
    """Return the evaluation of recorded answers, for which nothing is sent."""
    method, free = record.plan_of(stage).method, CostRange(0, 0, 0)
    return PlannedStage(stage.name, method, None, 0, 0, 0, free, (), ())


def _planned_deployment(
    record: Record, stage: Stage, stack_config: StackConfig, prices: PriceTable
) -> PlannedStage:
    plan, planned = serving_plan(record, stage), plan_deployment(record, stage, stack_config)
    hours = serving_hours(record, plan)
    chosen = machines(record.spec, plan)
    instance_type, instances = chosen or (None, 0)
    return PlannedStage(
        name=stage.name,
        method=plan.method,
        instance_type=instance_type,
        instances=instances,
        steps=0,
        hours=hours,
        cost=endpoint_cost(prices, *chosen, hours) if chosen else None,
        uploads=(),
        requests=tuple(
            _of_endpoint(planned)
            if isinstance(planned, EndpointPlan)
            else _of_bedrock(planned, stack_config)
        ),
    )


def _of_bedrock(plan: BedrockPlan, stack_config: StackConfig) -> Iterator[PlannedRequest]:
    if plan.create_model is not None:
        yield PlannedRequest("CreateCustomModel", plan.create_model)
    provisioned = plan.model_units is not None
    operation = "CreateProvisionedModelThroughput" if provisioned else "CreateCustomModelDeployment"
    model_arn = plan.model_arn or PLACEHOLDER_MODEL.format(stack_config.deployment.region)
    yield PlannedRequest(operation, plan.create_deployment(model_arn))


def _of_endpoint(endpoint: EndpointPlan) -> Iterator[PlannedRequest]:
    yield PlannedRequest("CreateModel", endpoint.create_model)
    yield PlannedRequest("CreateEndpointConfig", endpoint.create_endpoint_config)
    yield PlannedRequest("CreateEndpoint", endpoint.create_endpoint)
    if endpoint.create_inference_component is not None:
        yield PlannedRequest("CreateInferenceComponent", endpoint.create_inference_component)
    if endpoint.update_endpoint is not None:
        yield PlannedRequest("UpdateEndpoint", endpoint.update_endpoint)


def _quotas(stages: tuple[PlannedStage, ...]) -> tuple[Quota, ...]:
    """Return the quotas by name. Stages run one after the other, so the largest one counts."""
    needed: dict[str, int] = {}
    to_update: dict[str, int] = {}
    for stage in stages:
        if stage.instance_type is None:
            continue
        usage = "endpoint usage" if stage.method == "endpoint" else "training job usage"
        name = f"{stage.instance_type} for {usage}"
        needed[name] = max(needed.get(name, 0), stage.instances)
        if any(request.operation == "UpdateEndpoint" for request in stage.requests):
            to_update[name] = max(to_update.get(name, 0), 2 * stage.instances)
    return tuple(Quota(name, value, to_update.get(name)) for name, value in needed.items())
