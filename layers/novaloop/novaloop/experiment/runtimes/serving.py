"""From a stage of a record to the requests that deploy its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from novaloop.experiment.names import endpoint_name
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.spec.stages import DeployStage, ProvisionedStage, ServingPlan, Target
from novaloop.experiment.stack import Site, client_token, tags, tags_on_bedrock
from novaloop.recipes.bedrock_serving import BedrockPlan, BedrockServing, plan_bedrock_serving
from novaloop.recipes.endpoints import Endpoint, EndpointPlan, plan_endpoint
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


def endpoint_ref(record: Record, stage: Stage, plan: ServingPlan) -> EndpointRef:
    """Return what an attempt at a deployment goes by."""
    name = stage.claimed_name
    if not isinstance(plan, DeployStage):
        return EndpointRef(bedrock_name(name), bedrock_name(name), to=plan.to)
    return EndpointRef(
        name=name,
        endpoint=shared_endpoint(record, plan) or name,
        component=name if plan.inference_component else None,
        former=stage.previous_config,
    )


def shared_endpoint(record: Record, plan: DeployStage) -> str | None:
    """Return the name of the endpoint that serves one experiment after the other, if any."""
    return endpoint_name(record.prefix, plan.endpoint) if plan.endpoint else None


def plan_deployment(
    record: Record, stage: Stage, plan: ServingPlan, site: Site
) -> EndpointPlan | BedrockPlan:
    """Return the requests that deploy the newest checkpoint. Raises Invalid."""
    checkpoint = record.checkpoint_before(stage)
    if checkpoint is None:
        raise ValueError(f"stage {stage.name} has no checkpoint to deploy")
    if isinstance(plan, DeployStage):
        return _plan_endpoint(record, stage, plan, site, checkpoint)
    serving = BedrockServing(
        name=bedrock_name(stage.claimed_name),
        checkpoint=checkpoint,
        client_token=client_token(record, stage),
        model_units=plan.model_units if isinstance(plan, ProvisionedStage) else None,
        tags=tags_on_bedrock(record, stage, site),
    )
    return plan_bedrock_serving(serving, site.on_bedrock)


def _plan_endpoint(
    record: Record, stage: Stage, plan: DeployStage, site: Site, checkpoint: str
) -> EndpointPlan:
    endpoint = Endpoint(
        name=stage.claimed_name,
        served_as=shared_endpoint(record, plan),
        former=stage.previous_config,
        model=record.spec.model,
        checkpoint=checkpoint,
        instance_type=plan.instance_type,
        instance_count=plan.instances,
        context_length=plan.context_length,
        max_concurrency=plan.max_concurrency,
        environment=plan.environment,
        inference_component=plan.inference_component,
        tags=tags(record, stage, site),
    )
    return plan_endpoint(endpoint, site.deployment)
