"""All that can serve a model, each by the adapter of its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novaloop.recipes.endpoints import EndpointPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from novaloop.cloud.bedrock import OnDemandDeployments, ProvisionedThroughputs
    from novaloop.cloud.endpoints import SageMakerEndpoints
    from novaloop.experiment.controller.observation import End, ResourceStatus
    from novaloop.experiment.record import Owner
    from novaloop.experiment.runtimes.serving import EndpointRef
    from novaloop.problem import Problem
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

    def describe(self, ref: EndpointRef, owner: Owner | None) -> ResourceStatus:
        """Say how it stands; ABSENT only if everything that was made for it is gone too."""
        return self._of(ref).describe(ref, owner)

    def launch(self, plan: EndpointPlan | BedrockPlan) -> str | None:
        """Create what can be created at once, and return its ARN. Raises LaunchRefused."""
        if isinstance(plan, EndpointPlan):
            return self._sagemaker.launch(plan)
        return self._on_bedrock(plan).launch(plan)

    def proceed(self, plan: EndpointPlan | BedrockPlan, *, is_tried: bool = False) -> None:
        """Request what could not be requested before the launch was done. Raises LaunchRefused."""
        if isinstance(plan, EndpointPlan):
            self._sagemaker.proceed(plan, is_tried=is_tried)
        else:
            self._on_bedrock(plan).proceed(plan)

    def check_endpoint(self, endpoint: str, at: str) -> Iterator[Problem]:
        """Give the reason why nothing may serve under that name of SageMaker's, if nothing may."""
        return self._sagemaker.check_endpoint(endpoint, at)

    def set_owner(self, ref: EndpointRef, tags: Mapping[str, str]) -> str | None:
        """Let an endpoint belong to the experiment that it serves; return which it was before."""
        return self._sagemaker.set_owner(ref, tags) if ref.to == "sagemaker" else None

    def delete(self, ref: EndpointRef, owner: Owner | None, *, gone: bool) -> End:
        """Delete the next of what the attempt made that can be deleted now. Raises EndRefused."""
        if ref.to == "sagemaker":
            return self._sagemaker.delete(ref, owner, gone=gone)
        return self._of_bedrock(ref).delete(ref)

    def ask(self, ref: EndpointRef, body: Mapping[str, object]) -> str:
        """Send one request and return the answer's text. Raises NotServing."""
        return self._of(ref).ask(ref, body)

    def _of(
        self, ref: EndpointRef
    ) -> SageMakerEndpoints | OnDemandDeployments | ProvisionedThroughputs:
        return self._sagemaker if ref.to == "sagemaker" else self._of_bedrock(ref)

    def _of_bedrock(self, ref: EndpointRef) -> OnDemandDeployments | ProvisionedThroughputs:
        return self._on_demand if ref.to == "bedrock-on-demand" else self._provisioned

    def _on_bedrock(self, plan: BedrockPlan) -> OnDemandDeployments | ProvisionedThroughputs:
        return self._on_demand if plan.model_units is None else self._provisioned
