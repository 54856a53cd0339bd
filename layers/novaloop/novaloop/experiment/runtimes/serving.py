"""From a stage of a record to the requests that deploy its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from novaloop.experiment.names import endpoint_name
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import (
    DeployStage,
    ProvisionedStage,
    ServingPlan,
    ServingStage,
    StageSpec,
    Target,
)
from novaloop.experiment.stack import StackConfig, client_token, tags, tags_on_bedrock
from novaloop.problem import Problem
from novaloop.recipes import facts
from novaloop.recipes.bedrock import check_peft, check_serving_region
from novaloop.recipes.bedrock_serving import BedrockPlan, BedrockServing, plan_bedrock_serving
from novaloop.recipes.endpoints import Endpoint, EndpointPlan, check_endpoint, plan_endpoint
from novaloop.recipes.names import bedrock_name


@dataclass(frozen=True)
class EndpointRef:
    """What an attempt at a deployment goes by: `name` names all that it creates for itself.

    `endpoint` differs from it if it serves one experiment after the other; `former` is then the
    configuration that it goes back to if this one does not answer.
    """

    name: str
    endpoint: str
    component: str | None = None
    former: str | None = None
    to: Target = "sagemaker"

    @property
    def is_shared(self) -> bool:
        """Whether the endpoint serves one experiment after the other."""
        return self.endpoint != self.name


def serving_plan(record: Record, stage: Stage) -> ServingPlan:
    """Return what the spec asks of a deployment. Raises TypeError for any other stage."""
    plan = record.plan_of(stage)
    if not isinstance(plan, ServingStage):
        raise TypeError(f"stage {stage.name} serves nothing")
    return plan


def endpoint_ref(record: Record, stage: Stage) -> EndpointRef:
    """Return what an attempt at a deployment goes by."""
    plan, name = serving_plan(record, stage), stage.attempt.claimed_name
    if plan.on_bedrock:
        return EndpointRef(bedrock_name(name), bedrock_name(name), to=plan.to)
    return EndpointRef(
        name=name,
        endpoint=shared_endpoint(record, plan) or name,
        component=name if plan.has_component else None,
        former=stage.attempt.previous_config,
    )


def shared_endpoint(record: Record, plan: StageSpec) -> str | None:
    """Return the name of the endpoint that serves one experiment after the other, if any."""
    return endpoint_name(record.prefix, plan.lasting_name) if plan.lasting_name else None


def check_region(plan: StageSpec, region: str, at: str) -> Iterator[Problem]:
    """Give the reason why a deployment can't serve in the stack's region, if it can't."""
    if plan.on_bedrock:
        return check_serving_region(plan.method, region, at)
    return facts.check_region(region, at)


def check_deployment(spec: ExperimentSpec, plan: ServingPlan, at: str) -> Iterator[Problem]:
    """Yield why the model, or what the newest training before it makes, can't be served so.

    Of a `checkpoint` from outside nobody knows how it was trained; of another experiment's stage
    it is checked when that is looked up.
    """
    if isinstance(plan, DeployStage):  # the others have no machines to check
        yield from check_endpoint(
            spec.model,
            plan.instance_type,
            plan.context_length,
            plan.max_concurrency,
            plan.environment,
            inference_component=plan.inference_component,
            at=at,
        )
        return
    before = spec.plan[: spec.plan.index(plan)]
    newest = next((each for each in reversed(spec.trainings) if each in before), None)
    if newest is not None:
        yield from check_peft(plan.to, newest.peft, f"{at}.to")


def plan_deployment(
    record: Record, stage: Stage, stack_config: StackConfig
) -> EndpointPlan | BedrockPlan:
    """Return the requests that deploy the newest checkpoint. Raises Invalid."""
    plan, checkpoint = serving_plan(record, stage), record.checkpoint_before(stage)
    if checkpoint is None:
        raise ValueError(f"stage {stage.name} has no checkpoint to deploy")
    if isinstance(plan, DeployStage):  # what else it asks for, no other has
        return _plan_endpoint(record, stage, plan, stack_config, checkpoint)
    serving = BedrockServing(
        name=bedrock_name(stage.attempt.claimed_name),
        checkpoint=checkpoint,
        client_token=client_token(record, stage),
        model_units=plan.model_units if isinstance(plan, ProvisionedStage) else None,
        tags=tags_on_bedrock(record, stage, stack_config),
    )
    return plan_bedrock_serving(serving, stack_config.on_bedrock)


def _plan_endpoint(
    record: Record, stage: Stage, plan: DeployStage, stack_config: StackConfig, checkpoint: str
) -> EndpointPlan:
    endpoint = Endpoint(
        name=stage.attempt.claimed_name,
        served_as=shared_endpoint(record, plan),
        former=stage.attempt.previous_config,
        model=record.spec.model,
        checkpoint=checkpoint,
        instance_type=plan.instance_type,
        instance_count=plan.instances,
        context_length=plan.context_length,
        max_concurrency=plan.max_concurrency,
        environment=plan.environment,
        inference_component=plan.inference_component,
        tags=tags(record, stage, stack_config),
    )
    return plan_endpoint(endpoint, stack_config.deployment)
