"""Custom models, and what serves them: deployments on demand and provisioned throughput."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from novaloop_localcloud import service_acts
from novaloop_localcloud.container import JobError
from novaloop_localcloud.host import emulator
from novaloop_localcloud.job_io import load_checkpoint
from novaloop_localcloud.learner import Model
from novaloop_localcloud.sagemaker.errors import ServiceError
from novaloop_localcloud.sagemaker.training_jobs import in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from novaloop_localcloud.sagemaker.faults import Faults

SERVICE = "bedrock.amazonaws.com"


@dataclass
class Resource:
    """A custom model, a deployment or provisioned throughput."""

    name: str
    arn: str
    described: dict[str, Any]
    tags: dict[str, str]
    model: Model = field(default_factory=Model)

    @property
    def status(self) -> str:
        """Where it stands, under whichever name its kind tells that."""
        return str(self.described.get("modelStatus") or self.described.get("status"))


class Catalogue:
    """Resources of one kind by name and ARN, with AWS's refusals."""

    def __init__(self, kind: str, words: str, taken: str) -> None:
        self.kind = kind
        self._words, self._taken = words, taken
        self._resources: dict[str, Resource] = {}
        self._by_token: dict[str, Resource] = {}
        self._lock = threading.Lock()

    def add(
        self, name: str, request: Mapping[str, Any], path: str = "", **described: Any
    ) -> tuple[Resource, bool]:
        """Register a resource; say False if the request's token has registered it before."""
        token = request.get("clientRequestToken", "")
        with self._lock:
            if token in self._by_token:
                return self._by_token[token], False
            if name in self._resources:
                raise ServiceError(
                    self._taken, f"A {self._words} with the name {name} already exists."
                )
            resource = Resource(
                name, arn_of(self.kind, path + uuid.uuid4().hex[:12]), {}, tags_of(request)
            )
            resource.described |= described
            self._resources[name] = self._by_token[token] = resource
        return resource, True

    def find(self, identifier: str) -> Resource | None:
        """The resource of this name or ARN, if there is one."""
        by_arn = (each for each in self._resources.values() if each.arn == identifier)
        return self._resources.get(identifier) or next(by_arn, None)

    def resources(self) -> list[Resource]:
        """Every resource, oldest first."""
        return list(self._resources.values())

    def named(self, identifier: str) -> Resource:
        """The resource of this name or ARN."""
        found = self.find(identifier)
        if found is None:
            raise self.missing(identifier)
        return found

    def missing(self, identifier: str) -> ServiceError:
        """The error for a resource that is not there."""
        message = f"Could not find the {self._words} {identifier}."
        return ServiceError("ResourceNotFoundException", message, 404)

    def remove(self, resource: Resource) -> None:
        """Forget a resource; harmless when repeated."""
        self._resources.pop(resource.name, None)

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._resources.values()))


def arn_of(kind: str, identifier: str) -> str:
    """The ARN of a Bedrock resource of the current account and region."""
    return f"arn:aws:bedrock:{emulator.region()}:{emulator.account_id()}:{kind}/{identifier}"


def tags_of(request: Mapping[str, Any]) -> dict[str, str]:
    """A request's tags as a mapping."""
    for name in ("modelTags", "jobTags", "tags"):
        if name in request:
            return {tag["key"]: tag["value"] for tag in request[name]}
    return {}


def now() -> str:
    """The time as the API tells it."""
    return datetime.now(UTC).isoformat()


def invalid(message: str) -> ServiceError:
    """The error for a request that can't be meant."""
    return ServiceError("ValidationException", message)


def in_use(message: str) -> ServiceError:
    """The error for what can't be done as things stand."""
    return ServiceError("ConflictException", message)


def _summaries(
    resources: Catalogue, keys: tuple[str, ...], request: Mapping[str, Any]
) -> list[dict[str, Any]]:
    wanted = (each for each in resources if request.get("nameContains", "") in each.name)
    return [{key: each.described.get(key, each.name) for key in keys} for each in wanted]


def require_assumable(role_arn: str) -> None:
    """Raise as AWS does unless Bedrock may assume the role."""
    if not emulator.role_trusts(role_arn, SERVICE):
        raise invalid(f"Bedrock can't assume the role {role_arn}; check its trust policy.")


def require(role_arn: str, acts: Iterable[service_acts.Act]) -> None:
    """Raise JobError unless Bedrock may do these acts as the role."""
    denied = service_acts.problem(role_arn, acts, emulator.denial_of_role)
    if denied is not None:
        raise JobError(denied)


class CustomModels:
    """Custom models and what serves them."""

    def __init__(self, faults: Faults, seconds: float, package_uri: Callable[[str], str]) -> None:
        self._faults, self._seconds, self._package_uri = faults, seconds, package_uri
        self.models = Catalogue("custom-model", "custom model", "ConflictException")
        self.deployments = Catalogue(
            "custom-model-deployment", "custom model deployment", "ValidationException"
        )
        self.throughputs = Catalogue(
            "provisioned-model", "provisioned model", "ValidationException"
        )

    def tagged(self) -> list[tuple[str, dict[str, str]]]:
        """ARN and tags of everything."""
        kinds = (self.models, self.deployments, self.throughputs)
        return [(each.arn, each.tags) for kind in kinds for each in kind.resources()]

    def create_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateCustomModel: the checkpoint is read with the role's credentials."""
        require_assumable(request["roleArn"])
        uri = self._source(request)
        name = request["modelName"]
        model, is_new = self.models.add(
            name,
            request,
            "imported/",
            modelName=name,
            customizationType="IMPORTED",
            modelStatus="Creating",
            creationTime=now(),
        )
        model.described["modelArn"] = model.arn
        if is_new:
            self._settle(model, "modelStatus", "Active", lambda: self._load(request, uri))
        return {"modelArn": model.arn}

    def _source(self, request: Mapping[str, Any]) -> str:
        match request.get("modelSourceConfig"), request.get("customModelDataSource"):
            case {"s3DataSource": {"s3Uri": uri}}, None:
                return str(uri)
            case None, {"modelPackageArnDataSource": {"modelPackageArn": arn}}:
                return self._package_uri(arn)
        raise invalid("Give either modelSourceConfig or customModelDataSource.")

    def _load(self, request: Mapping[str, Any], uri: str) -> Model:
        require(request["roleArn"], service_acts.of_import(request))
        credentials = emulator.role_credentials(request["roleArn"], "Bedrock")
        return load_checkpoint(credentials.session().client("s3"), uri)

    def get_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """GetCustomModel."""
        return self.models.named(request["modelIdentifier"]).described

    def list_models(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListCustomModels, in one page."""
        keys = ("modelArn", "modelName", "creationTime", "modelStatus", "customizationType")
        return {"modelSummaries": _summaries(self.models, keys, request)}

    def list_deployments(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListCustomModelDeployments, in one page."""
        names = ("customModelDeploymentArn", "customModelDeploymentName", "modelArn")
        keys = (*names, "createdAt", "status")
        return {"modelDeploymentSummaries": _summaries(self.deployments, keys, request)}

    def list_throughputs(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListProvisionedModelThroughputs, in one page."""
        names = ("provisionedModelName", "provisionedModelArn", "modelArn", "desiredModelArn")
        units = ("foundationModelArn", "modelUnits", "desiredModelUnits")
        keys = (*names, *units, "status", "creationTime", "lastModifiedTime")
        return {"provisionedModelSummaries": _summaries(self.throughputs, keys, request)}

    def delete_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteCustomModel, not while it is being created or serves."""
        model = self.models.named(request["modelIdentifier"])
        serving = [
            each
            for each in (*self.deployments, *self.throughputs)
            if each.described["modelArn"] == model.arn
        ]
        if serving or model.status == "Creating":
            raise in_use(f"The model {model.name} is being created or in use.")
        self.models.remove(model)
        return {}

    def create_deployment(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateCustomModelDeployment."""
        model = self._active(request["modelArn"])
        name = request["modelDeploymentName"]
        deployment, is_new = self.deployments.add(
            name,
            request,
            modelDeploymentName=name,
            modelArn=model.arn,
            status="Creating",
            createdAt=now(),
        )
        deployment.described["customModelDeploymentArn"] = deployment.arn
        if is_new:
            self._settle(deployment, "status", "Active", lambda: model.model)
        return {"customModelDeploymentArn": deployment.arn}

    def get_deployment(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """GetCustomModelDeployment."""
        return self.deployments.named(request["customModelDeploymentIdentifier"]).described

    def delete_deployment(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteCustomModelDeployment."""
        identifier = request["customModelDeploymentIdentifier"]
        return self._stop_serving(self.deployments, identifier)

    def provision(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateProvisionedModelThroughput."""
        model = self._active(request["modelId"])
        name, units = request["provisionedModelName"], request["modelUnits"]
        throughput, is_new = self.throughputs.add(
            name,
            request,
            provisionedModelName=name,
            modelUnits=units,
            desiredModelUnits=units,
            modelArn=model.arn,
            desiredModelArn=model.arn,
            status="Creating",
            creationTime=now(),
            lastModifiedTime=now(),
        )
        throughput.described["provisionedModelArn"] = throughput.arn
        base = f"arn:aws:bedrock:{emulator.region()}::foundation-model/amazon.nova-2-lite-v1:0:256k"
        throughput.described["foundationModelArn"] = base
        if is_new:
            self._settle(throughput, "status", "InService", lambda: model.model)
        return {"provisionedModelArn": throughput.arn}

    def get_throughput(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """GetProvisionedModelThroughput."""
        return self.throughputs.named(request["provisionedModelId"]).described

    def delete_throughput(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteProvisionedModelThroughput."""
        return self._stop_serving(self.throughputs, request["provisionedModelId"])

    def serving(self, arn: str) -> Resource:
        """What serves under this ARN; raise as the runtime does."""
        resource = self.deployments.find(arn) or self.throughputs.named(arn)
        if resource.status not in {"Active", "InService"}:
            raise ServiceError("ModelNotReadyException", f"{arn} is {resource.status}.", 429)
        return resource

    def _active(self, identifier: str) -> Resource:
        model = self.models.named(identifier)
        if model.status != "Active":
            raise invalid(f"The model {model.name} is {model.status}, not Active.")
        return model

    def _stop_serving(self, catalogue: Catalogue, identifier: str) -> dict[str, Any]:
        resource = catalogue.named(identifier)
        if resource.status == "Creating":
            raise in_use(f"{resource.name} is being created.")

        def finish() -> None:
            time.sleep(self._seconds / 2)
            catalogue.remove(resource)

        in_background(finish)
        return {}

    def _settle(self, resource: Resource, key: str, ready: str, load: Callable[[], Model]) -> None:
        kind = resource.arn.rpartition(":")[2].partition("/")[0]

        def finish() -> None:
            time.sleep(self._seconds)
            fault = self._faults.strike(kind, resource.name)
            if fault is not None:
                resource.described |= {key: "Failed", "failureMessage": fault.told}
                return
            try:
                resource.model = load()
            except JobError as failure:
                resource.described |= {key: "Failed", "failureMessage": str(failure)}
            else:
                resource.described[key] = ready

        in_background(finish)
