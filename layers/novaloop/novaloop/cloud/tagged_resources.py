"""What carries an experiment's tag, whatever record or crash it comes from.

Checkpoints stay: escrow buckets and model packages are no kind that is deleted, nor are the custom
models that Bedrock trained; those that it imported are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from novaloop.cloud.errors import (
    end_if_possible,
    found,
    serving_of,
    settled,
    status_of,
    text_of,
)
from novaloop.cloud.running import Looks, may_have_nova, tags_by_arn
from novaloop.experiment.controller.observation import TaggedResource
from novaloop.experiment.names import experiment_at, experiment_of_job
from novaloop.experiment.stack import EXPERIMENT_TAG, is_of_stack
from novaloop.usecases.ports import Billing, EndRefused

if TYPE_CHECKING:
    from mypy_boto3_bedrock.client import BedrockClient
    from mypy_boto3_resourcegroupstaggingapi.client import ResourceGroupsTaggingAPIClient
    from mypy_boto3_sagemaker.client import SageMakerClient

_RUNNING = ("InProgress", "Stopping")
_ENDPOINT, _COMPONENT = "sagemaker:endpoint", "sagemaker:inference-component"
_SERVING = [_ENDPOINT, _COMPONENT, "bedrock:provisioned-model"]
_JOB, _BEDROCK_JOB = "sagemaker:training-job", "bedrock:model-customization-job"
MOST_AT_ONCE = 100
"""How many resources are looked at before some are deleted; and for the tags of how many jobs
GetResources is asked at once, the most that it takes."""


@dataclass(frozen=True)
class _Kind:
    """Which calls look at a resource of a kind and end it, and the parameter that names it."""

    describe: str
    end: str
    parameter: str


_KINDS = {
    _JOB: _Kind("describe_training_job", "stop_training_job", "TrainingJobName"),
    _COMPONENT: _Kind(
        "describe_inference_component", "delete_inference_component", "InferenceComponentName"
    ),
    _ENDPOINT: _Kind("describe_endpoint", "delete_endpoint", "EndpointName"),
    "sagemaker:endpoint-config": _Kind(
        "describe_endpoint_config", "delete_endpoint_config", "EndpointConfigName"
    ),
    "sagemaker:model": _Kind("describe_model", "delete_model", "ModelName"),
    _BEDROCK_JOB: _Kind(
        "get_model_customization_job", "stop_model_customization_job", "jobIdentifier"
    ),
    "bedrock:custom-model-deployment": _Kind(
        "get_custom_model_deployment",
        "delete_custom_model_deployment",
        "customModelDeploymentIdentifier",
    ),
    "bedrock:provisioned-model": _Kind(
        "get_provisioned_model_throughput",
        "delete_provisioned_model_throughput",
        "provisionedModelId",
    ),
    "bedrock:custom-model": _Kind("get_custom_model", "delete_custom_model", "modelIdentifier"),
}
"""In the order in which to delete; Bedrock's are named by their ARNs."""
_ORDER = list(_KINDS)
_IMPORTED = ":custom-model/imported/"
"""In the ARN of a custom model that Bedrock imported (botocore's model, CustomModelArn)."""


@dataclass(frozen=True)
class _JobList:
    """Which call lists jobs of a kind, how it is asked for some, and where its pages say which."""

    operation: str
    by_status: str
    by_name: str
    summaries: str
    name: str
    arn: str


_JOB_LISTS = {
    _JOB: _JobList(
        "list_training_jobs",
        "StatusEquals",
        "NameContains",
        "TrainingJobSummaries",
        "TrainingJobName",
        "TrainingJobArn",
    ),
    _BEDROCK_JOB: _JobList(
        "list_model_customization_jobs",
        "statusEquals",
        "nameContains",
        "modelCustomizationJobSummaries",
        "jobName",
        "jobArn",
    ),
}


@dataclass(frozen=True)
class _RunningJob:
    name: str
    arn: str
    experiment_id: str


class TaggedResources:
    """Resources of the account by their tags; implements the port `TaggedResources`.

    The tag index runs behind the services: each resource that it names is looked at.
    """

    def __init__(
        self,
        tagging: ResourceGroupsTaggingAPIClient,
        sagemaker: SageMakerClient,
        bedrock: BedrockClient,
        prefix: str,
        stack_name: str,
    ) -> None:
        self._tagging = tagging
        self._prefix, self._stack_name = prefix, stack_name
        self._clients: Mapping[str, Any] = {"sagemaker": sagemaker, "bedrock": bedrock}

    def find(self, experiment_id: str) -> tuple[TaggedResource, ...]:
        """Return what is there, in the order in which to delete it; of many things the first.

        What this costs follows from what is there, and not from what once was: jobs can't be
        deleted and keep their tags, so those that run are listed by status and name.
        """
        tagged = {each for each, _ in self._tagged([*_KINDS.keys() - {_JOB}], [experiment_id])}
        # Bedrock is asked only if a job ran there: an account may be denied that service.
        on_bedrock = any(each.kind == _BEDROCK_JOB for each in tagged)
        jobs = self._running_jobs(_JOB_LISTS if on_bedrock else (_JOB,), experiment_id)
        others = (each for each in tagged if each.kind != _BEDROCK_JOB)
        ordered = sorted([*jobs, *others], key=lambda each: (_ORDER.index(each.kind), each.name))
        left = (each for each in ordered if each in jobs or self._is_left(each, experiment_id))
        return tuple(islice(left, MOST_AT_ONCE))

    def _running_jobs(self, kinds: Iterable[str], experiment_id: str) -> Set[TaggedResource]:
        """Return an experiment's jobs of these kinds that have yet to end."""
        named = f"{self._prefix}-{experiment_id}--"
        running = [
            job
            for kind in kinds
            for status in _RUNNING
            for page in self._pages_of_jobs(kind, status, named)
            for job in self._jobs_on(page, kind)
            if job.experiment_id == experiment_id
        ]
        tags: dict[str, Mapping[str, str]] = {}
        for start in range(0, len(running), MOST_AT_ONCE):
            arns = [job.arn for job in running[start : start + MOST_AT_ONCE]]
            answer = self._tagging.get_resources(ResourceARNList=arns)
            tags |= dict(tags_by_arn(answer))
        return {
            _tagged_resource(job.arn)
            for job in running
            # What the index of tags, which runs behind, does not know yet, its name tells of.
            if is_of_stack(job.name, tags.get(job.arn, {}), self._prefix, self._stack_name)
        }

    def billing(self) -> tuple[Sequence[Billing], Sequence[str]]:
        """Return what is tagged and serves, and the jobs that run; and what can't be looked at.

        Jobs are listed by status and name, not by tag: those that ended keep theirs for ever. An
        account may be denied one service altogether: what the other has is returned all the same.
        """
        looks = Looks()
        return [*self._serving(looks), *self._running(looks)], looks.unseen

    def serves(self, billing: Billing) -> str | None:
        """Return the configuration that an endpoint serves, None if it is gone; of all else "".

        All else was looked at when it was listed.
        """
        if billing.kind != _ENDPOINT:
            return ""
        endpoint = self._describe(TaggedResource(_ENDPOINT, billing.name))
        return None if endpoint is None else serving_of(endpoint)

    def end(self, billing: Billing) -> None:
        """Delete what serves: an endpoint only once its component is gone. Raises EndRefused."""
        self._end(TaggedResource(_COMPONENT if billing.component else billing.kind, billing.name))

    def _serving(self, looks: Looks) -> Iterator[Billing]:
        tagged = [*looks.each("what is tagged", self._tagged(_SERVING))]
        components = {each.name for each, _ in tagged if each.kind == _COMPONENT}
        for resource, tags in tagged:
            experiment_id, name = tags[EXPERIMENT_TAG], resource.name
            if resource.kind == _ENDPOINT:
                component = name in components
                yield Billing(_ENDPOINT, name, experiment_id, "sagemaker", component)
            elif resource.kind == _COMPONENT:
                continue
            # Its ARN does not tell its name.
            elif described := looks.result(resource.name, partial(self._describe, resource)):
                name = described["provisionedModelName"]
                yield Billing(resource.kind, name, experiment_id, "bedrock-provisioned")

    def _running(self, looks: Looks) -> Iterator[Billing]:
        on_bedrock = may_have_nova(self._clients["bedrock"])
        for kind in _JOB_LISTS if on_bedrock else (_JOB,):
            pages = self._pages_of_jobs(kind, "InProgress", f"{self._prefix}-")
            for page in looks.each(f"every {kind}", pages):
                for job in self._jobs_on(page, kind):
                    yield Billing(kind, job.name, job.experiment_id)

    def _pages_of_jobs(self, kind: str, status: str, named: str) -> Iterable[Mapping[str, Any]]:
        listing, client = _JOB_LISTS[kind], self._clients[kind.partition(":")[0]]
        pages: Iterable[Mapping[str, Any]] = client.get_paginator(listing.operation).paginate(
            **{listing.by_status: status, listing.by_name: named}
        )
        return pages

    def _jobs_on(self, page: Mapping[str, Any], kind: str) -> Iterator[_RunningJob]:
        listing = _JOB_LISTS[kind]
        for each in page.get(listing.summaries, ()):
            name = each[listing.name]
            experiment_id = experiment_of_job(self._prefix, name)
            if experiment_id is not None:
                yield _RunningJob(name, each[listing.arn], experiment_id)

    def _tagged(
        self, kinds: Sequence[str], experiment_ids: Sequence[str] = ()
    ) -> Iterator[tuple[TaggedResource, Mapping[str, str]]]:
        """Yield what this stack made of these kinds, with its tags, for some experiments or all."""
        pages = self._tagging.get_paginator("get_resources").paginate(
            TagFilters=[{"Key": EXPERIMENT_TAG, "Values": experiment_ids}],
            ResourceTypeFilters=kinds,
        )
        for page in pages:
            for arn, tags in tags_by_arn(page):
                resource = _tagged_resource(arn)
                # Another stack may have an experiment of the same name.
                own = is_of_stack(resource.name, tags, self._prefix, self._stack_name)
                if resource.kind in kinds and own:
                    yield resource, tags

    def _is_left(self, resource: TaggedResource, experiment_id: str) -> bool:
        if resource.kind == "bedrock:custom-model" and _IMPORTED not in resource.name:
            return False  # a checkpoint: one for each training that ever was
        described = self._describe(resource)
        if described is None:
            return False
        if resource.kind == _ENDPOINT:
            # What another experiment serves under a lasting name is not this one's to delete,
            # whatever the tag says. An attempt's own is, whatever somebody made it serve.
            names = resource.name, serving_of(described)
            return experiment_id in {experiment_at(resource.name, name) for name in names}
        return True

    def _describe(self, resource: TaggedResource) -> Mapping[str, Any] | None:
        return found(lambda: self._call(_KINDS[resource.kind].describe, resource))

    def _call(self, operation: str, resource: TaggedResource) -> Mapping[str, Any]:
        client = self._clients[resource.kind.partition(":")[0]]
        called: Mapping[str, Any] = getattr(client, operation)(
            **{_KINDS[resource.kind].parameter: resource.name}
        )
        return called

    def delete(self, tagged: Sequence[TaggedResource]) -> None:
        """Delete those of the first kind that can be deleted now.

        Raises EndRefused in the end if some of them were refused, with what the service said.
        """
        refused = []
        for resource in tagged:
            if resource.kind == tagged[0].kind:
                try:
                    self._end(resource)
                except EndRefused as each:
                    refused.append(f"{resource}: {each}")
                except ClientError as error:  # throttled, for instance: the others can go
                    refused.append(f"{resource}: {text_of(error)}")
        if refused:
            raise EndRefused("; ".join(refused))

    def _end(self, resource: TaggedResource) -> None:
        end_if_possible(
            lambda: self._call(_KINDS[resource.kind].end, resource),
            lambda: self._unended(resource),
        )

    def _unended(self, resource: TaggedResource) -> object | None:
        """Return a resource that has yet to be asked to end, as described."""
        described = self._describe(resource)
        if described and resource.kind in _JOB_LISTS and status_of(described) != "InProgress":
            return None
        return settled(described)


def _tagged_resource(arn: str) -> TaggedResource:
    """Read kind and name from an ARN; Bedrock chooses the last word, so there the ARN names."""
    service, resource = arn.split(":")[2], arn.split(":", 5)[5]
    kind, _, name = resource.partition("/")
    return TaggedResource(f"{service}:{kind}", name if service == "sagemaker" else arn)
