"""Models, endpoint configurations, endpoints and inference components."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from novaloop_localcloud import service_acts
from novaloop_localcloud.container import JobError
from novaloop_localcloud.host import emulator
from novaloop_localcloud.job_io import load_checkpoint
from novaloop_localcloud.learner import Model
from novaloop_localcloud.sagemaker.errors import ServiceError, invalid
from novaloop_localcloud.sagemaker.inference import InferenceServer
from novaloop_localcloud.sagemaker.training_jobs import (
    arn_of,
    emit,
    here,
    in_background,
    in_milliseconds,
    require_assumable,
    tags_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from novaloop_localcloud.credentials import Credentials
    from novaloop_localcloud.sagemaker.faults import Fault, Faults

_EVENT_STATUS = {"Creating": "CREATING", "InService": "IN_SERVICE", "Failed": "FAILED"} | {
    "Updating": "UPDATING",
    "RollingBack": "ROLLING_BACK",
    "Deleting": "DELETING",
}
_CHANGING = {"Creating", "Updating", "RollingBack", "Deleting"}


@dataclass
class Resource:
    """A model, an endpoint configuration, an endpoint or an inference component."""

    arn: str
    described: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    server: InferenceServer | None = None


class Catalogue:
    """Resources of one kind by name, with AWS's refusals."""

    def __init__(self, kind: str, words: str) -> None:
        self.kind = kind
        self._words = words
        self._resources: dict[str, Resource] = {}

    def add(self, name: str, request: Mapping[str, Any], **described: Any) -> Resource:
        """Register a new resource."""
        arn = arn_of(self.kind, name)
        if name in self._resources:
            raise invalid(f'Cannot create already existing {self._words} "{arn}".')
        told = {key: value for key, value in request.items() if key != "Tags"}
        resource = Resource(
            arn, {**told, "CreationTime": time.time(), **described}, tags_of(request)
        )
        self._resources[name] = resource
        return resource

    def named(self, name: str) -> Resource:
        """The resource of this name."""
        try:
            return self._resources[name]
        except KeyError:
            raise self.missing(name) from None

    def missing(self, name: str) -> ServiceError:
        """The error for a resource that is not there."""
        return invalid(f'Could not find {self._words} "{arn_of(self.kind, name)}".')

    def find(self, name: str) -> Resource | None:
        """The resource of this name, if there is one."""
        return self._resources.get(name)

    def remove(self, name: str) -> None:
        """Delete a resource."""
        self.named(name)
        del self._resources[name]

    def resources(self) -> list[Resource]:
        """Every resource, oldest first."""
        return list(self._resources.values())

    def names(self) -> list[str]:
        """Every name, oldest first."""
        return list(self._resources)


class Hosting:
    """The hosting half of SageMaker's control plane, and a door to its runtime."""

    def __init__(
        self,
        faults: Faults,
        endpoint_seconds: float,
        package_uri: Callable[[str], str],
        service: Credentials,
    ) -> None:
        self._package_uri = package_uri
        self._service = service
        self._faults = faults
        self._endpoint_seconds = endpoint_seconds
        self.models = Catalogue("model", "model")
        self.configurations = Catalogue("endpoint-config", "endpoint configuration")
        self.endpoints = Catalogue("endpoint", "endpoint")
        self.components = Catalogue("inference-component", "inference component")

    def tagged(self) -> list[tuple[str, dict[str, str]]]:
        """ARN and tags of everything."""
        return [(each.arn, each.tags) for kind in self.catalogues for each in kind.resources()]

    @property
    def catalogues(self) -> tuple[Catalogue, ...]:
        """Every kind of resource."""
        return (self.models, self.configurations, self.endpoints, self.components)

    def create_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateModel."""
        require_assumable(request["ExecutionRoleArn"])
        package = request["PrimaryContainer"].get("ModelPackageName")
        if package is not None:
            self._package_uri(package)
            role, right = request["ExecutionRoleArn"], "sagemaker:AccessModelPackage"
            if denial := emulator.denial_of_role(role, right, package):
                raise invalid(denial)
        model = self.models.add(request["ModelName"], request)
        model.described["ModelArn"] = model.arn
        return {"ModelArn": model.arn}

    def create_configuration(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateEndpointConfig."""
        for variant in request["ProductionVariants"]:
            if "ModelName" in variant:
                self.models.named(variant["ModelName"])
            else:
                require_assumable(request["ExecutionRoleArn"])
        name = request["EndpointConfigName"]
        configuration = self.configurations.add(name, request)
        configuration.described["EndpointConfigArn"] = configuration.arn
        return {"EndpointConfigArn": configuration.arn}

    def create_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateEndpoint."""
        self.configurations.named(request["EndpointConfigName"])
        name = request["EndpointName"]
        endpoint = self.endpoints.add(name, request, EndpointStatus="Creating")
        endpoint.described["EndpointArn"] = endpoint.arn
        self._deploy(name, endpoint)
        return {"EndpointArn": endpoint.arn}

    def update_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateEndpoint: the old model serves until the new one is loaded, or for good."""
        name, configuration = request["EndpointName"], request["EndpointConfigName"]
        endpoint = self.endpoints.named(name)
        self.configurations.named(configuration)
        if endpoint.described["EndpointStatus"] in _CHANGING:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.described["PendingDeploymentSummary"] = {"EndpointConfigName": configuration}
        self._move(name, endpoint, "Updating")
        in_background(lambda: self._update(name, endpoint, configuration))
        return {"EndpointArn": endpoint.arn}

    def _update(self, name: str, endpoint: Resource, configuration: str) -> None:
        time.sleep(self._endpoint_seconds)
        fault = self._faults.strike("endpoint", name)
        try:
            server = self._load(name, configuration, fault)
        except (JobError, ServiceError) as failure:
            self._move(name, endpoint, "RollingBack")
            endpoint.described["FailureReason"] = str(failure)
        else:
            endpoint.server = server
            endpoint.described["EndpointConfigName"] = configuration
            endpoint.described.pop("FailureReason", None)
        del endpoint.described["PendingDeploymentSummary"]
        self._move(name, endpoint, "InService")

    def create_component(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateInferenceComponent, on an endpoint whose variants name no model."""
        endpoint = self.endpoints.named(request["EndpointName"])
        self.models.named(request["Specification"]["ModelName"])
        if endpoint.described["EndpointStatus"] != "InService":
            raise invalid(f'The endpoint "{endpoint.arn}" must be in service.')
        component = self.components.add(
            request["InferenceComponentName"],
            request,
            InferenceComponentStatus="Creating",
            EndpointArn=endpoint.arn,
        )
        component.described["InferenceComponentArn"] = component.arn
        in_background(lambda: self._place(component))
        return {"InferenceComponentArn": component.arn}

    def _place(self, component: Resource) -> None:
        time.sleep(self._endpoint_seconds)
        name = component.described["InferenceComponentName"]
        try:
            fault = self._faults.strike("inference-component", name)
            model = component.described["Specification"]["ModelName"]
            component.server = self._server(model, f"InferenceComponents/{name}", fault)
        except (JobError, ServiceError) as failure:
            told = {"InferenceComponentStatus": "Failed", "FailureReason": str(failure)}
        else:
            told = {"InferenceComponentStatus": "InService"}
        component.described |= told

    def describe_component(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeInferenceComponent."""
        described = dict(self.components.named(request["InferenceComponentName"]).described)
        copies = described["RuntimeConfig"]["CopyCount"]
        described["RuntimeConfig"] = {"DesiredCopyCount": copies, "CurrentCopyCount": copies}
        return {"LastModifiedTime": described["CreationTime"], **described}

    def delete_component(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteInferenceComponent; the component is gone a moment later."""
        name = request["InferenceComponentName"]
        component = self.components.named(name)
        if component.described["InferenceComponentStatus"] in _CHANGING:
            raise invalid(f'The inference component "{component.arn}" is being changed.')
        component.described["InferenceComponentStatus"] = "Deleting"
        component.server = None

        def finish() -> None:
            time.sleep(self._endpoint_seconds / 2)
            self._faults.wait("inference-component", name)
            self.components.remove(name)

        in_background(finish)
        return {}

    def delete_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteEndpoint; the endpoint is gone a moment later."""
        name = request["EndpointName"]
        endpoint = self.endpoints.named(name)
        if endpoint.described["EndpointStatus"] in _CHANGING:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        if any(name == part.described["EndpointName"] for part in self.components.resources()):
            raise invalid(f'The endpoint "{endpoint.arn}" has inference components.')
        endpoint.server = None
        self._move(name, endpoint, "Deleting")

        def finish() -> None:
            time.sleep(self._endpoint_seconds / 2)
            self._faults.wait("endpoint", name)
            self.endpoints.remove(name)

        in_background(finish)
        return {}

    def serving(self, name: str, component: str | None) -> InferenceServer:
        """The server behind an endpoint that is in service; raise as the runtime does."""
        found = self.components.find(component) if component else self.endpoints.find(name)
        if found is None or found.server is None or found.described["EndpointName"] != name:
            raise ServiceError(
                "ValidationError", f"Endpoint {name} of account {emulator.account_id()} not found."
            )
        return found.server

    def _deploy(self, name: str, endpoint: Resource) -> None:
        self._move(name, endpoint, "Creating")

        def finish() -> None:
            time.sleep(self._endpoint_seconds)
            fault = self._faults.strike("endpoint", name)
            try:
                server = self._load(name, endpoint.described["EndpointConfigName"], fault)
            except (JobError, ServiceError) as failure:
                endpoint.described["FailureReason"] = str(failure)
                self._move(name, endpoint, "Failed")
                return
            endpoint.server = server
            self._move(name, endpoint, "InService")

        in_background(finish)

    def _load(
        self, endpoint: str, configuration: str, fault: Fault | None
    ) -> InferenceServer | None:
        """The server of a configuration's model; None where components bring their own."""
        if fault is not None:
            raise JobError(fault.told)
        variant = self.configurations.named(configuration).described["ProductionVariants"][0]
        if "ModelName" not in variant:
            return None
        server = self._server(variant["ModelName"], f"Endpoints/{endpoint}", fault)
        return replace(server, variant=variant["VariantName"])

    def _server(self, name: str, log: str, fault: Fault | None) -> InferenceServer:
        if fault is not None:
            raise JobError(fault.told)
        model = self.models.named(name).described
        container = model["PrimaryContainer"]
        role, acts = model["ExecutionRoleArn"], service_acts.of_model(model, log, here())
        denied = service_acts.problem(role, acts, emulator.denial_of_role)
        if denied is not None:
            raise JobError(denied)
        weights = self._weights(container, role)
        return InferenceServer(weights, container.get("Environment", {}), "primary")

    def _weights(self, container: Mapping[str, Any], role: str) -> Model:
        if "ModelPackageName" in container:  # the service's own: no role of the account reads it
            s3 = self._service.session().client("s3")
            return load_checkpoint(s3, self._package_uri(container["ModelPackageName"]))
        source = container.get("ModelDataSource", {}).get("S3DataSource", {})
        if not source:
            return Model()
        s3 = emulator.role_credentials(role, "SageMaker").session().client("s3")
        return load_checkpoint(s3, source["S3Uri"])

    def _move(self, name: str, endpoint: Resource, status: str) -> None:
        endpoint.described |= {"EndpointStatus": status, "LastModifiedTime": time.time()}
        detail = in_milliseconds(endpoint.described) | {
            "EndpointStatus": _EVENT_STATUS[status],
            "Tags": dict(endpoint.tags),
        }
        detail_type = "SageMaker Endpoint State Change"
        in_background(lambda: emit(self._faults, detail_type, name, endpoint.arn, detail))

    def describe_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeEndpoint."""
        described = dict(self.endpoints.named(request["EndpointName"]).described)
        described.setdefault("LastModifiedTime", described["CreationTime"])
        configuration = self.configurations.find(described["EndpointConfigName"])
        if configuration is not None:
            described["ProductionVariants"] = [
                {
                    "VariantName": variant["VariantName"],
                    "CurrentInstanceCount": variant["InitialInstanceCount"],
                }
                for variant in configuration.described["ProductionVariants"]
            ]
        return described
