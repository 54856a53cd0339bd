"""All that can serve a model, each by the adapter of its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novaloop.recipes.endpoints import EndpointPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.cloud.bedrock import OnDemandDeployments, ProvisionedThroughputs
    from novaloop.cloud.endpoints import SageMakerEndpoints
    from novaloop.experiment.deploying import EndpointRef
    from novaloop.experiment.observation import Work
    from novaloop.recipes.bedrock_serving import BedrockPlan


class Deployments:
    """Endpoints of SageMaker and deployments of Bedrock; implements the port `Endpoints`."""

    def __init__(
        self,
        sagemaker: SageMakerEndpoints,
        on_demand: OnDemandDeployments,
        provisioned: ProvisionedThroughputs,
    ) -> None:
        self._sagemaker = sagemaker
        self._on_demand = on_demand
        self._provisioned = provisioned

    def describe(self, ref: EndpointRef, owner: str | None) -> Work:
        """Say how it stands; ABSENT only if everything that was made for it is gone too."""
        return self._of(ref).describe(ref, owner)

    def launch(self, plan: EndpointPlan | BedrockPlan) -> None:
        """Create what can be created at once. Raises LaunchRefused."""
        if isinstance(plan, EndpointPlan):
            self._sagemaker.launch(plan)
        else:
            self._on_bedrock(plan).launch(plan)

    def proceed(self, plan: EndpointPlan | BedrockPlan) -> None:
        """Request what could not be requested before the launch was done. Raises LaunchRefused."""
        if isinstance(plan, EndpointPlan):
            self._sagemaker.proceed(plan)
        else:
            self._on_bedrock(plan).proceed(plan)

    def problem_with(self, endpoint: str) -> str | None:
        """Say why nothing of this stack may serve under that name of SageMaker's, or None."""
        return self._sagemaker.problem_with(endpoint)

    def hold(self, ref: EndpointRef, tags: Mapping[str, str]) -> str | None:
        """Let an endpoint belong to the experiment that it serves; return which it was before."""
        return self._sagemaker.hold(ref, tags)

    def delete(self, ref: EndpointRef) -> None:
        """Delete the next of what the attempt made that can be deleted now."""
        self._of(ref).delete(ref)

    def ask(self, ref: EndpointRef, body: Mapping[str, object]) -> str:
        """Send one request and return the answer's text. Raises NotServing."""
        return self._of(ref).ask(ref, body)

    def _of(
        self, ref: EndpointRef
    ) -> SageMakerEndpoints | OnDemandDeployments | ProvisionedThroughputs:
        match ref.to:
            case "sagemaker":
                return self._sagemaker
            case "bedrock-on-demand":
                return self._on_demand
            case "bedrock-provisioned":
                return self._provisioned

    def _on_bedrock(self, plan: BedrockPlan) -> OnDemandDeployments | ProvisionedThroughputs:
        return self._on_demand if plan.model_units is None else self._provisioned
