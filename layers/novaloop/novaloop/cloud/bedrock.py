"""Bedrock's custom models and what serves them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from novaloop.cloud.errors import CHANGING, asking, create_unless_taken, end_if_possible, found
from novaloop.cloud.failures import judged, told
from novaloop.experiment.controller.observation import End, Phase, ResourceStatus
from novaloop.experiment.record import Obstacle, Owner, Progress
from novaloop.experiment.stack import owner_of
from novaloop.recipes.bedrock_serving import BedrockPlan, native_text
from novaloop.usecases.ports import LaunchRefused, NotServing

if TYPE_CHECKING:
    from mypy_boto3_bedrock.client import BedrockClient
    from mypy_boto3_bedrock_runtime.client import BedrockRuntimeClient

    from novaloop.experiment.runtimes.serving import EndpointRef

_MODEL_PHASES: Mapping[str, Phase] = {"Active": Phase.HALFWAY, "Failed": Phase.FAILED}
_DEPLOYMENT_PHASES: Mapping[str, Phase] = {
    "Active": Phase.READY,
    "InService": Phase.READY,
    "Updating": Phase.READY,
    "Failed": Phase.FAILED,
}


@dataclass(frozen=True)
class _Resource:
    """A custom model or what serves it; `owner` is whose it is by its tags."""

    arn: str
    status: str
    reason: str | None
    created_at: datetime
    owner: Owner | None

    def resource(
        self, phases: Mapping[str, Phase], kind: str, owner: Owner | None
    ) -> ResourceStatus:
        """Say how it stands; with an `owner`, say too whether it is theirs."""
        return judged(
            ResourceStatus(
                phase=phases.get(self.status, Phase.ACTIVE),
                ours=owner is None or owner.owns(self.owner),
                arn=self.arn,
                progress=Progress(f"{kind} {self.status}"),
                reason=self.reason,
                started_at=self.created_at,
            )
        )


def _settled(resource: _Resource | None) -> _Resource | None:
    return None if resource and resource.status in CHANGING else resource


class BedrockEndpoints(ABC):
    """Custom models and what serves them, each under the same name.

    Where the checkpoint is a custom model already, there is none of the deployment's name.
    """

    def __init__(self, bedrock: BedrockClient, runtime: BedrockRuntimeClient) -> None:
        self._bedrock = bedrock
        self._runtime = runtime

    @abstractmethod
    def _deployment(self, name: str) -> _Resource | None:
        """Return what serves under this name."""

    @abstractmethod
    def _create(self, **request: Any) -> Mapping[str, Any]:
        """Request what serves."""

    @abstractmethod
    def _delete(self, name: str) -> object:
        """Delete what serves."""

    def describe(self, ref: EndpointRef, owner: Owner | None) -> ResourceStatus:
        """Say how model and deployment stand; ABSENT only if both are gone.

        HALFWAY: the model is there, its deployment has to be requested. A deployment that is
        somebody else's does not count as that of our model.
        """
        name = ref.endpoint
        deployment, model = self._deployment(name), None
        if deployment is None or deployment.owner is None:
            model = self._model(name)
        if model is not None:
            return model.resource(_MODEL_PHASES, "model", owner)
        if deployment is not None:
            return deployment.resource(_DEPLOYMENT_PHASES, "deployment", owner)
        return ResourceStatus()

    def launch(self, plan: BedrockPlan) -> str | None:
        """Create the model, or the deployment of one that exists. Raises LaunchRefused.

        Returns the ARN of what it created.
        """
        if plan.create_model is not None:
            create: Callable[..., Any] = self._bedrock.create_custom_model
            made = create_unless_taken(create, plan.create_model)
        else:
            made = self._deploy(plan, plan.model_arn or "")
        # Each of these answers holds one ARN: modelArn, customModelDeploymentArn and so on.
        return next((arn for name, arn in (made or {}).items() if name.endswith("Arn")), None)

    def _deploy(self, plan: BedrockPlan, model_arn: str) -> Mapping[str, Any] | None:
        return create_unless_taken(self._create, plan.create_deployment(model_arn), by_tag=True)

    def proceed(self, plan: BedrockPlan) -> None:
        """Create the deployment of the model, now active. Raises LaunchRefused."""
        model = self._model(plan.name)
        if model is None:  # the look before saw it
            raise LaunchRefused(f"the custom model {plan.name} does not show", Obstacle.NOT_FOUND)
        self._deploy(plan, model.arn)

    def delete(self, ref: EndpointRef) -> End:
        """Delete the deployment or, once it is gone, the model; nothing without our tag.

        What a look does not find is asked to end by its name: it may bill and only not show. The
        right to delete hangs on our tag, and Bedrock deletes no model that serves.
        """
        name = ref.endpoint
        deployment = self._deployment(name)
        if deployment is None or deployment.owner is not None:
            end = end_if_possible(
                lambda: self._delete(name), lambda: _settled(self._deployment(name))
            )
            if deployment is not None or end is End.REQUESTED:
                return end
        model = self._model(name)
        if model is not None and model.owner is None:
            return End.NOT_NOW
        end = end_if_possible(
            lambda: self._bedrock.delete_custom_model(modelIdentifier=model.arn if model else name),
            lambda: _settled(self._model(name)),
        )
        return End.DONE if model is not None and end is End.REQUESTED else end

    def ask(self, ref: EndpointRef, body: Mapping[str, object]) -> str:
        """Send one request and return the answer's text. Raises NotServing."""
        deployment = self._deployment(ref.endpoint)
        if deployment is None:
            # One look that does not find it says nothing yet.
            raise NotServing("the deployment does not exist", for_now=True)
        with asking("an answer of a Nova model"):
            response = self._runtime.invoke_model(modelId=deployment.arn, body=json.dumps(body))
            return native_text(json.loads(response["body"].read()))

    def _model(self, name: str) -> _Resource | None:
        model = found(lambda: self._bedrock.get_custom_model(modelIdentifier=name))
        if model is None:
            return None
        return self._resource(model["modelArn"], model.get("modelStatus", "Active"), model)

    def _resource(self, arn: str, status: str, described: Mapping[str, Any]) -> _Resource | None:
        """Return what was described with its owner; None if it is gone meanwhile."""
        listed = found(lambda: self._bedrock.list_tags_for_resource(resourceARN=arn))
        if listed is None:
            return None
        tags = {tag["key"]: tag["value"] for tag in listed.get("tags", [])}
        created_at = described.get("creationTime") or described["createdAt"]
        reason = told(described.get("failureMessage"))
        return _Resource(arn, status, reason, created_at, owner_of(tags))


class OnDemandDeployments(BedrockEndpoints):
    """Custom models deployed on demand."""

    def _deployment(self, name: str) -> _Resource | None:
        described = found(
            lambda: self._bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=name)
        )
        if described is None:
            return None
        arn, status = described["customModelDeploymentArn"], described["status"]
        return self._resource(arn, status, described)

    def _create(self, **request: Any) -> Mapping[str, Any]:
        return self._bedrock.create_custom_model_deployment(**request)

    def _delete(self, name: str) -> object:
        return self._bedrock.delete_custom_model_deployment(customModelDeploymentIdentifier=name)


class ProvisionedThroughputs(BedrockEndpoints):
    """Custom models with throughput provisioned for them, without a commitment."""

    def _deployment(self, name: str) -> _Resource | None:
        described = found(
            lambda: self._bedrock.get_provisioned_model_throughput(provisionedModelId=name)
        )
        if described is None:
            return None
        return self._resource(described["provisionedModelArn"], described["status"], described)

    def _create(self, **request: Any) -> Mapping[str, Any]:
        return self._bedrock.create_provisioned_model_throughput(**request)

    def _delete(self, name: str) -> object:
        return self._bedrock.delete_provisioned_model_throughput(provisionedModelId=name)
