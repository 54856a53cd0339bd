"""Models, endpoint configurations and endpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud import ministack_hooks as emulator
from localcloud.container import JobError
from localcloud.learner import Model
from localcloud.sagemaker.errors import ServiceError, invalid
from localcloud.sagemaker.inference import InferenceServer
from localcloud.sagemaker.training_jobs import (
    arn_of,
    emit,
    in_background,
    in_milliseconds,
    require_assumable,
    tags_of,
)
from localcloud.worker import load_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.credentials import Credentials
    from localcloud.sagemaker.faults import Fault, Faults

_EVENT_STATUS = {"Creating": "CREATING", "InService": "IN_SERVICE", "Failed": "FAILED"} | {
    "Updating": "UPDATING",
    "Deleting": "DELETING",
}


@dataclass
class Resource:
    """A model, an endpoint configuration or an endpoint."""

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
            raise invalid(f'Could not find {self._words} "{arn_of(self.kind, name)}".') from None

    def find(self, name: str) -> Resource | None:
        """The resource of this name, if there is one."""
        return self._resources.get(name)

    def remove(self, name: str) -> None:
        """Delete a resource."""
        self.named(name)
        del self._resources[name]

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

    def create_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateModel."""
        require_assumable(request["ExecutionRoleArn"])
        package = request["PrimaryContainer"].get("ModelPackageName")
        if package is not None:
            self._require_package(package, request["ExecutionRoleArn"])
        model = self.models.add(request["ModelName"], request)
        model.described["ModelArn"] = model.arn
        return {"ModelArn": model.arn}

    def _require_package(self, package: str, role: str) -> None:
        self._package_uri(package)
        denial = emulator.denial_of_role(role, "sagemaker:AccessModelPackage", package)
        if denial is not None:
            raise invalid(denial)

    def create_configuration(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateEndpointConfig."""
        for variant in request["ProductionVariants"]:
            self.models.named(variant["ModelName"])
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
        self._deploy(name, endpoint, "Creating")
        return {"EndpointArn": endpoint.arn}

    def update_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateEndpoint: the old model serves until the new one is loaded."""
        name = request["EndpointName"]
        endpoint = self.endpoints.named(name)
        self.configurations.named(request["EndpointConfigName"])
        if endpoint.described["EndpointStatus"] in {"Creating", "Updating", "Deleting"}:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.described["EndpointConfigName"] = request["EndpointConfigName"]
        self._deploy(name, endpoint, "Updating")
        return {"EndpointArn": endpoint.arn}

    def delete_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteEndpoint; the endpoint is gone a moment later."""
        name = request["EndpointName"]
        endpoint = self.endpoints.named(name)
        endpoint.server = None
        self._move(name, endpoint, "Deleting")

        def finish() -> None:
            time.sleep(self._endpoint_seconds / 2)
            self.endpoints.remove(name)

        in_background(finish)
        return {}

    def serving(self, name: str) -> InferenceServer:
        """The server behind an endpoint that is in service; raise as the runtime does."""
        endpoint = self.endpoints.find(name)
        if endpoint is None or endpoint.server is None:
            raise ServiceError(
                "ValidationError", f"Endpoint {name} of account {emulator.account_id()} not found."
            )
        return endpoint.server

    def _deploy(self, name: str, endpoint: Resource, status: str) -> None:
        self._move(name, endpoint, status)

        def finish() -> None:
            time.sleep(self._endpoint_seconds)
            fault = self._faults.strike("endpoint", name)
            try:
                server = self._load(endpoint.described["EndpointConfigName"], fault)
            except (JobError, ServiceError) as failure:
                endpoint.described["FailureReason"] = str(failure)
                self._move(name, endpoint, "Failed")
                return
            if endpoint.described["EndpointStatus"] == status:
                endpoint.server = server
                self._move(name, endpoint, "InService")

        in_background(finish)

    def _load(self, configuration: str, fault: Fault | None) -> InferenceServer:
        if fault is not None:
            raise JobError(fault.reason)
        variant = self.configurations.named(configuration).described["ProductionVariants"][0]
        model = self.models.named(variant["ModelName"]).described
        container = model["PrimaryContainer"]
        weights = self._weights(container, model["ExecutionRoleArn"])
        return InferenceServer(weights, container.get("Environment", {}), variant["VariantName"])

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
