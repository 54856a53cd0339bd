"""No adapter needs what AWS need not tell: answers hold what botocore's model requires, no more.

What a service adds to its answers, and what it leaves out of them, is its own: a list without
elements, or a setting that somebody removed.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime
from functools import cache, wraps
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, Shape, StringShape, StructureShape

import novaloop.cloud
from novaloop.cloud.bedrock import OnDemandDeployments, ProvisionedThroughputs
from novaloop.cloud.big_files import BigFileMachine
from novaloop.cloud.customization import CustomizationJobs
from novaloop.cloud.endpoints import SageMakerEndpoints
from novaloop.cloud.job_logs import TrainingJobLogs
from novaloop.cloud.jobs import TrainingJobs
from novaloop.cloud.messages import HintQueue, MetricsFunction
from novaloop.cloud.objects import Bucket
from novaloop.cloud.running import RunningInAccount
from novaloop.cloud.schedules import EndingSchedules
from novaloop.cloud.stacks import Stacks
from novaloop.cloud.tagged_resources import TaggedResources
from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.experiment.controller.observation import TaggedResource
from novaloop.experiment.record import Backstop, Owner
from novaloop.experiment.runtimes.jobs import PlannedRequest
from novaloop.experiment.runtimes.serving import EndpointRef
from novaloop.recipes.bedrock_serving import BedrockServing, plan_bedrock_serving
from novaloop.recipes.endpoints import Endpoint, plan_endpoint
from novaloop.recipes.jobs import Deployment
from novaloop.usecases.ports import Billing, EndRefused, LaunchRefused, NotServing
from tests.unit.cloud.stubs import requested_names

NOW = datetime(2026, 1, 5, tzinfo=UTC)
NAME = requested_names()["sagemaker:endpoint"]
ROLE = "arn:aws:iam::123456789012:role/jobs"
SAGEMAKER, BEDROCK = (f"arn:aws:{name}:us-east-1:123456789012" for name in ("sagemaker", "bedrock"))
MODEL = f"{BEDROCK}:custom-model/imported/aaaaaaaaaaaa"
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "HQ"}}],
    "output": {"message": {"role": "assistant", "content": [{"text": "HQ"}]}},
}
ALWAYS_TOLD = {
    *("HeadObject.LastModified", "HeadObject.ContentLength", "HeadObject.ETag"),
    *("HeadObject.Metadata", "GetObject.Body", "GetObject.ContentLength"),
    *("ListObjectsV2.Contents.Key", "ListObjectsV2.Contents.LastModified"),
    *("ListObjectsV2.Contents.Size", "CreateMultipartUpload.UploadId", "UploadPart.ETag"),
    *("UploadPartCopy.CopyPartResult", "UploadPartCopy.CopyPartResult.ETag"),
}
"""Members without which S3 has not answered at all: its model requires none of any answer, and
botocore makes an empty mapping of metadata that there are not."""


@cache
def client_of(service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@dataclass(frozen=True)
class Least:
    """A client whose answers hold what must be there; with `filled`, each list one element."""

    service: str
    filled: bool

    def __getattr__(self, name: str) -> Any:
        client = client_of(self.service)
        if name in {"meta", "exceptions"}:
            return getattr(client, name)
        operation = client.meta.method_to_api_mapping[name]
        shape = client.meta.service_model.operation_model(operation).output_shape
        return lambda **_: self._least(shape, operation) if shape else {}

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: [getattr(self, operation)()])

    def _least(self, shape: Shape, path: str) -> Any:
        if isinstance(shape, StructureShape):
            return {
                name: self._least(member, f"{path}.{name}")
                for name, member in shape.members.items()
                if name in shape.required_members
                or f"{path}.{name}" in ALWAYS_TOLD
                or (self.filled and member.type_name == "list")
            }
        if isinstance(shape, ListShape):
            return [self._least(shape.member, path)] if self.filled else []
        if isinstance(shape, StringShape):
            return self._text(shape, path.rpartition(".")[2])
        if shape.type_name == "blob":
            return io.BytesIO(json.dumps(ANSWER).encode())
        return {"map": {}, "timestamp": NOW, "boolean": False}.get(shape.type_name, 0)

    def _text(self, shape: Shape, name: str) -> str:
        if shape.metadata.get("enum"):
            return str(shape.metadata["enum"][0])
        if name.lower().endswith("arn"):
            return f"{SAGEMAKER if name[0].isupper() else BEDROCK}:endpoint/{NAME}"
        return "0" if name == "Id" else NAME  # of a message, as it was given


class Clients:
    """A client of each service, by its name."""

    def __init__(self, *, filled: bool) -> None:
        self.filled = filled

    def __getattr__(self, service: str) -> Any:
        return Least(service.replace("_", "-"), self.filled)


class Conflicting:
    """Scheduler, in which each schedule exists that is to be created."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler

    def create_schedule(self, **_: object) -> None:
        raise ClientError({"Error": {"Code": "ConflictException"}}, "CreateSchedule")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)


OWNER = Owner("demo", "0000")
BACKSTOPS = [
    Backstop(NAME, "sagemaker", 1, NOW, component=True, lasting=lasting)
    for lasting in (True, False)
]
DEPLOYMENT = Deployment("us-east-1", ROLE)
REFS = [
    EndpointRef(NAME, NAME, component=NAME),
    EndpointRef(NAME, "novaloop-bot", former="novaloop-demo--0000-deploy-0"),
    EndpointRef("novaloop-demo--0000-deploy-2", NAME, former=NAME),
]
PLAN = plan_endpoint(
    Endpoint(
        name="novaloop-demo--0000-deploy-2",
        served_as="novaloop-bot",
        former=NAME,
        model="nova-lite-2",
        checkpoint="s3://escrow/checkpoint/",
        instance_type="ml.p5.48xlarge",
        context_length=8000,
        max_concurrency=8,
        tags={"novaloop:experiment": "demo"},
    ),
    DEPLOYMENT,
)
ON_BEDROCK = EndpointRef("model", "model", to="bedrock-on-demand")
SERVINGS = [
    plan_bedrock_serving(BedrockServing("model", checkpoint, "token", units), DEPLOYMENT)
    for checkpoint in ("s3://escrow/checkpoint/", MODEL)
    for units in (None, 1)
]
TAGGED = [
    TaggedResource("sagemaker:endpoint", NAME),
    TaggedResource("sagemaker:training-job", NAME),
    TaggedResource("bedrock:model-customization-job", "arn"),
]
JOB = {"TrainingJobName": NAME, "Tags": [{"Key": "novaloop:experiment", "Value": "demo"}]}
HUB = f"{SAGEMAKER}:hub-content/hub/Model/base"
REQUESTS = [
    PlannedRequest("CreateTrainingJob", JOB),
    PlannedRequest("CreateTrainingJob", {**JOB, "ServerlessJobConfig": {"BaseModelArn": HUB}}),
    PlannedRequest("CreateModelPackageGroup", {**JOB, "ModelPackageGroupName": NAME}),
    PlannedRequest("CreateHub", {"HubName": "hub"}),
    PlannedRequest("ImportHubContent", {"HubName": "hub"}),
]


def calls(c: Clients) -> Iterator[tuple[Callable[..., Any], list[Any]]]:
    """Yield every public method of every adapter, as it stands here bound, with its calls."""
    jobs, customizations = TrainingJobs(c.sagemaker), CustomizationJobs(c.bedrock)
    for adapter, requests in (
        (jobs, REQUESTS),
        (customizations, [PlannedRequest("CreateModelCustomizationJob", {})]),
    ):
        yield adapter.describe, [(NAME, None), (NAME, OWNER)]
        yield adapter.create, [(each,) for each in requests]
        yield adapter.stop, [(NAME,)]
    bedrocks = [
        each(c.bedrock, c.bedrock_runtime) for each in (OnDemandDeployments, ProvisionedThroughputs)
    ]
    endpoints = SageMakerEndpoints(c.sagemaker, c.sagemaker_runtime)
    yield endpoints.check_endpoint, [("novaloop-bot", "at")]
    yield endpoints.set_owner, [(ref, {}) for ref in REFS]
    for serving, refs, plans in (
        (endpoints, REFS, [PLAN]),
        *((each, [ON_BEDROCK], SERVINGS) for each in bedrocks),
    ):
        yield serving.describe, [(ref, owner) for ref in refs for owner in (None, OWNER)]
        yield serving.launch, [(plan,) for plan in plans]
        yield serving.proceed, [(plan,) for plan in plans]
        yield serving.ask, [(ref, {}) for ref in refs]

    @wraps(endpoints.delete)
    def delete(ref: EndpointRef, gone: bool) -> object:
        return endpoints.delete(ref, OWNER, gone=gone)

    yield delete, [(ref, gone) for ref in REFS for gone in (True, False)]
    for on_bedrock in bedrocks:
        yield on_bedrock.delete, [(ON_BEDROCK,)]
    services = (c.resourcegroupstaggingapi, c.sagemaker, c.bedrock, "novaloop", "stack")
    tagged = TaggedResources(*services)
    yield tagged.find, [("demo",)]
    yield tagged.billing, [()]
    for method in (tagged.serves, tagged.end):
        yield method, [(Billing(each.kind, each.name, "demo"),) for each in TAGGED]
    yield tagged.delete, [([each],) for each in TAGGED]
    yield RunningInAccount(*services).find, [(lambda: True,)]
    for schedules in (
        EndingSchedules(c.scheduler, ROLE),
        EndingSchedules(Conflicting(c.scheduler), ROLE),
    ):
        for looks in (schedules.put, schedules.unset):
            yield looks, [(each, NOW) for each in BACKSTOPS]
        for looks in (schedules.standing, schedules.remove):
            yield looks, [(each,) for each in BACKSTOPS]
    machine = BigFileMachine(c.stepfunctions, "arn", 1)
    yield machine.start, [("name", {})]
    yield machine.runs, [("name",)]
    yield Stacks(c.cloudformation).status, [("id",)]
    yield TrainingJobLogs(c.logs).read, [(NAME, None), (NAME, "0/0/token")]
    bucket = Bucket(c.s3, "bucket")
    yield bucket.newest, [("key",)]
    yield bucket.uploads, [("prefix",)]
    yield bucket.put, [("key", b"", "text/csv")]
    yield bucket.get, [("key",), ("key", "version", ByteRange(0, 0))]
    yield bucket.concatenate, [(["key"], "target")]
    hints = HintQueue(c.sqs, "queue")
    yield hints.look_at, [("demo",)]
    yield hints.look_at_all, [(["demo"],)]
    yield MetricsFunction(c.__getattr__("lambda"), "metrics").request_report, [("demo",)]


@pytest.mark.parametrize("filled", [False, True], ids=["no lists", "lists of the least"])
def test_no_adapter_needs_what_an_answer_need_not_hold(*, filled: bool) -> None:
    needed = []
    for method, requests in calls(Clients(filled=filled)):
        for request in requests:
            try:
                told = method(*request)
                list(told if isinstance(told, Iterator) else ())
            except (EndRefused, LaunchRefused, NotServing):
                pass
            except Exception as error:
                if type(error) is not LookupError:  # what a port says where there is nothing
                    needed.append(f"{method.__qualname__}: {error!r}")
    assert list(dict.fromkeys(needed)) == []


ASKS_NOTHING = {"Deployments", "Topic", "IngestFunction", "UtcClock", "Looks"}
"""What reads nothing of an answer, and what hands calls on to other adapters."""


def test_every_adapter_is_asked_all_that_it_can_do() -> None:
    asked = {method.__qualname__ for method, _ in calls(Clients(filled=False))}
    modules = pkgutil.iter_modules(novaloop.cloud.__path__, "novaloop.cloud.")
    adapters = {
        each
        for module in modules
        for _, each in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if each.__module__ == module.name and each.__name__[0] != "_"
        if each.__name__ not in ASKS_NOTHING and not is_dataclass(each)
    }
    can = {
        method.__qualname__
        for each in adapters
        for name, method in inspect.getmembers(each, inspect.isfunction)
        if name[0] != "_"
    }
    assert can - asked == {"Bucket.writer", "MetricsFunction.request_score"}
