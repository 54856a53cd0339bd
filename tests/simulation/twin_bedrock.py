"""A strict in-memory twin of Bedrock's custom models, under a virtual clock.

The production adapters run over it unmodified, so every call of Bedrock may be the last one of a
process. Events tell of customization jobs, and of nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

from novaloop.cloud.bedrock import OnDemandDeployments, ProvisionedThroughputs
from novaloop.cloud.customization import CustomizationJobs
from tests.simulation.twin_service import Fate, Lag, Later, TwinService, refusal
from tests.simulation.twins import VirtualClock

CREATING = timedelta(minutes=40)
TRAINING = timedelta(hours=3)
STOPPING = timedelta(minutes=4)
DELETING = timedelta(minutes=3)
ARN = "arn:aws:bedrock:us-east-1:123456789012:"
JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9+.-])*")
"""botocore's model, `JobName` of CreateModelCustomizationJob, also for what its list filters by."""


@dataclass
class Resource:
    """A custom model, a deployment or provisioned throughput."""

    name: str
    arn: str
    model_arn: str
    tags: Mapping[str, str]
    created_at: Any
    status: str = "Creating"
    trained: str | None = None
    reason: str | None = None

    @property
    def is_being_made(self) -> bool:
        return self.status == "Creating"


class TwinBedrock(TwinService):
    """Bedrock's custom models. A fate belongs to the name of an attempt."""

    missing = "ResourceNotFoundException"

    def __init__(
        self,
        clock: VirtualClock,
        fate: Fate,
        later: Later,
        on_change: Callable[[str], None],
        lag: Lag | None = None,
    ) -> None:
        super().__init__(clock, fate, later, on_change, lag)
        self.jobs: dict[str, Resource] = {}
        self.models: dict[str, Resource] = {}
        self.deployments: dict[str, Resource] = {}
        self.throughputs: dict[str, Resource] = {}
        self._tokens: set[str] = set()

    def adapters(
        self, port: Callable[[object, str], Any]
    ) -> tuple[OnDemandDeployments, ProvisionedThroughputs]:
        """Return the production adapters over this twin, every call through `port`."""
        clients = port(self, "bedrock"), port(self, "bedrock_runtime")
        return OnDemandDeployments(*clients), ProvisionedThroughputs(*clients)

    def customizations(self, port: Callable[[object, str], Any]) -> CustomizationJobs:
        """Return the production adapter for jobs over this twin, every call through `port`."""
        return CustomizationJobs(port(self, "bedrock"))

    @property
    def running(self) -> list[str]:
        return [name for name, job in self.jobs.items() if job.status in {"InProgress", "Stopping"}]

    def left(
        self, experiment_id: str | None = None, stack: str | None = None, uid: str | None = None
    ) -> list[str]:
        """Return what is left; what was trained here is a checkpoint, which is kept."""
        kept = [f"model-customization-job {name}" for name in self.jobs]
        kept += [f"custom-model {name}" for name, model in self.models.items() if model.trained]
        return [each for each in super().left(experiment_id, stack, uid) if each not in kept]

    @property
    def meta(self) -> SimpleNamespace:
        """What a client of botocore tells of itself."""
        return SimpleNamespace(region_name="us-east-1")

    def indexed(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Yield the ARNs and tags of what the index of tags names, also of jobs that are over."""
        for kind, resources in self._kinds().items():
            for name, resource in resources.items():
                if not self.is_left_out(kind, name):
                    yield resource.arn, resource.tags

    def list_model_customization_jobs(self, **request: Any) -> Iterator[dict[str, Any]]:
        """Answer, a job on each page. Bedrock refuses what no job can be called."""
        assert JOB_NAME.fullmatch(request["nameContains"]), request
        for name, job in self.jobs.items():
            if job.status == request["statusEquals"] and request["nameContains"] in name:
                yield {"modelCustomizationJobSummaries": [{"jobName": name, "jobArn": job.arn}]}

    def _kinds(self) -> Mapping[str, dict[str, Resource]]:
        return {
            "model-customization-job": self.jobs,
            "custom-model": self.models,
            "custom-model-deployment": self.deployments,
            "provisioned-model": self.throughputs,
        }

    # ------------------------------------------------------------------ create
    def _add(self, kind: str, name: str, request: Mapping[str, Any], ready: str) -> Resource:
        """Register a resource, once for each token; it is ready, or failed, some time later."""
        resources, token = self._kinds()[kind], f"{kind} {request['clientRequestToken']}"
        if token in self._tokens:
            return resources[name]
        if name in resources:
            code = "ConflictException" if kind == "custom-model" else "ValidationException"
            raise refusal(code, f"{kind} {name} already exists")
        once = {f"{kind} quota": "ServiceQuotaExceededException"}
        self._strike(kind, name, once, {f"{kind} invalid": "AccessDeniedException"})
        tags = request.get("modelTags") or request.get("jobTags") or request["tags"]
        resource = Resource(
            name,
            f"{ARN}{kind}/{'imported/' if kind == 'custom-model' else ''}{len(self._tokens):012}",
            request.get("modelArn") or request.get("modelId", ""),
            {tag["key"]: tag["value"] for tag in tags},
            self._clock.now(),
        )
        resources[name] = resource
        self._tokens.add(token)
        self._tag(kind, name)
        self.launches.append(f"{kind} {name}")
        resource.reason = self._failure(name, kind, "The model's files can't be read.")
        settled = "Failed" if resource.reason else ready
        self._later(CREATING, partial(self._settle, kind, resource, settled))
        return resource

    def _settle(self, kind: str, resource: Resource, status: str) -> None:
        if resource.is_being_made:
            self._before_change(kind, resource.name)
            resource.status = status

    def _told(self, resource: Resource) -> dict[str, str]:
        """Return why it failed, once it has."""
        failed = resource.reason is not None and resource.status == "Failed"
        return {"failureMessage": str(resource.reason)} if failed else {}

    def create_model_customization_job(self, **request: Any) -> dict[str, str]:
        name, model = request["jobName"], request["customModelName"]
        assert name in self.jobs or self.claimed(name), f"no record claims {name}"
        assert name in self.jobs or model not in self.models
        if f"model-customization-job {request['clientRequestToken']}" in self._tokens:
            return {"jobArn": self.jobs[name].arn}
        job = self._add("model-customization-job", name, request, "")
        job.status = "InProgress"
        self._later(TRAINING, partial(self._trained, job, model))
        self._on_change(name)
        return {"jobArn": job.arn}

    def _trained(self, job: Resource, model: str) -> None:
        if job.status != "InProgress":
            return
        self._before_change("model-customization-job", job.name)
        job.reason = self._failure(job.name, "training", "The training data can't be read.")
        job.status = "Failed" if job.reason else "Completed"
        if job.status == "Completed":
            arn = f"{ARN}custom-model/amazon.nova-2-lite-v1:0:256k/{job.arn[-12:]}"
            made = Resource(model, arn, "", job.tags, self._clock.now(), "Active", trained=job.name)
            self.models[model] = made
            self._tag("custom-model", model)
        self._on_change(job.name)

    def stop_model_customization_job(self, jobIdentifier: str) -> None:  # noqa: N803
        job = self._permitted("model-customization-job", jobIdentifier)
        if job.status != "InProgress":
            raise refusal("ConflictException", f"The job is {job.status}.")
        self._before_change("model-customization-job", job.name)
        job.status = "Stopping"
        self._later(STOPPING, partial(self._stopped, job))

    def _stopped(self, job: Resource) -> None:
        self._before_change("model-customization-job", job.name)
        job.status = "Stopped"
        self._on_change(job.name)

    def get_model_customization_job(self, jobIdentifier: str) -> dict[str, Any]:  # noqa: N803
        job = self._looked_up("model-customization-job", jobIdentifier)
        made = next((each.arn for each in self.models.values() if each.trained == job.name), None)
        told = {"jobArn": job.arn, "status": job.status, "creationTime": job.created_at}
        return told | ({"outputModelArn": made} if made else {}) | self._told(job)

    def create_custom_model(self, **request: Any) -> dict[str, str]:
        return {"modelArn": self._add("custom-model", request["modelName"], request, "Active").arn}

    def create_custom_model_deployment(self, **request: Any) -> dict[str, str]:
        self._require_active(request["modelArn"])
        name = request["modelDeploymentName"]
        made = self._add("custom-model-deployment", name, request, "Active")
        return {"customModelDeploymentArn": made.arn}

    def create_provisioned_model_throughput(self, **request: Any) -> dict[str, str]:
        self._require_active(request["modelId"])
        name = request["provisionedModelName"]
        assert self.is_bounded(name), f"no schedule would end {name}"
        made = self._add("provisioned-model", name, request, "InService")
        return {"provisionedModelArn": made.arn}

    def _permitted(self, kind: str, name: str) -> Any:
        return super()._permitted(kind, self._called(kind, name))

    def _looked_up(self, kind: str, name: str) -> Any:
        return super()._looked_up(kind, self._called(kind, name))

    def _called(self, kind: str, identifier: str) -> str:
        """Return the name of what a call names, which takes ARNs, too."""
        resources = self._kinds()[kind].values()
        return next((each.name for each in resources if each.arn == identifier), identifier)

    def _require_active(self, arn: str) -> None:
        model = self._permitted("custom-model", arn)
        if model.status != "Active":
            raise refusal("ValidationException", f"The model is {model.status}.")

    # ------------------------------------------------------------------ look
    def get_custom_model(self, modelIdentifier: str) -> dict[str, Any]:  # noqa: N803
        model = self._looked_up("custom-model", modelIdentifier)
        told = {"modelArn": model.arn, "modelStatus": model.status}
        return {**told, "creationTime": model.created_at, **self._told(model)}

    def get_custom_model_deployment(
        self,
        customModelDeploymentIdentifier: str,  # noqa: N803
    ) -> dict[str, Any]:
        found = self._looked_up("custom-model-deployment", customModelDeploymentIdentifier)
        told = {"customModelDeploymentArn": found.arn, "status": found.status}
        return {**told, "createdAt": found.created_at, **self._told(found)}

    def get_provisioned_model_throughput(self, provisionedModelId: str) -> dict[str, Any]:  # noqa: N803
        found = self._looked_up("provisioned-model", provisionedModelId)
        told = {"provisionedModelName": found.name, "provisionedModelArn": found.arn}
        told |= {"status": found.status}
        return {**told, "creationTime": found.created_at, **self._told(found)}

    def list_tags_for_resource(self, resourceARN: str) -> dict[str, Any]:  # noqa: N803
        for kind, resources in self._kinds().items():
            for name, resource in resources.items():
                if resource.arn == resourceARN:
                    tags = self._shown_tags(kind, name)
                    return {"tags": [{"key": key, "value": tags[key]} for key in tags]}
        raise refusal("ResourceNotFoundException", f"no {resourceARN}")

    # ------------------------------------------------------------------ delete and ask
    def delete_custom_model(self, modelIdentifier: str) -> None:  # noqa: N803
        model = self._permitted("custom-model", modelIdentifier)
        serving = [*self.deployments.values(), *self.throughputs.values()]
        if model.is_being_made or any(each.model_arn == model.arn for each in serving):
            raise refusal("ConflictException", "The model is being created or in use.")
        self._before_change("custom-model", model.name)
        del self.models[model.name]

    def delete_custom_model_deployment(self, customModelDeploymentIdentifier: str) -> None:  # noqa: N803
        self._delete("custom-model-deployment", customModelDeploymentIdentifier)

    def delete_provisioned_model_throughput(self, provisionedModelId: str) -> None:  # noqa: N803
        self._delete("provisioned-model", provisionedModelId)

    def _delete(self, kind: str, name: str) -> None:
        resource = self._permitted(kind, name)
        if resource.is_being_made:
            raise refusal("ConflictException", f"{name} is being created.")
        self._later(DELETING, partial(self._deleted, kind, resource.name))

    def _deleted(self, kind: str, name: str) -> None:
        if name in self._kinds()[kind]:
            self._before_change(kind, name)
            del self._kinds()[kind][name]

    def invoke_model(self, modelId: str, body: str) -> dict[str, Any]:  # noqa: N803
        serving = [*self.deployments.values(), *self.throughputs.values()]
        (found,) = (each for each in serving if each.arn == modelId)
        assert found.status in {"Active", "InService"}
        assert json.loads(body)["messages"]
        content = [{"text": "HQ"}]
        answer = {"output": {"message": {"role": "assistant", "content": content}}}
        return {"body": self._answered(found.name, "ModelNotReadyException", answer)}
