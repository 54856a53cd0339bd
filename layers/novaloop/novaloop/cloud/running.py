"""What of the stack's runs or serves in the account, by name and by tag.

Each service lists what there is now, so that nothing is missed that was made a moment ago; the
index of tags, which runs behind, is only asked whose it is. Names tell of what the index does not
know yet, tags of what was made under a prefix that the stack had before.

What is being stopped or deleted is left out: it ends by itself. So is what Bedrock has in regions
where nothing of Nova can be on Bedrock, and its calls may not be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from novaloop.cloud.errors import found, serving_of, text_of
from novaloop.experiment.names import experiment_of_job
from novaloop.experiment.stack import EXPERIMENT_TAG, is_of_stack
from novaloop.recipes.names import sagemaker_name
from novaloop.usecases.ports import Billing

if TYPE_CHECKING:
    from mypy_boto3_bedrock.client import BedrockClient
    from mypy_boto3_resourcegroupstaggingapi.client import ResourceGroupsTaggingAPIClient
    from mypy_boto3_sagemaker.client import SageMakerClient

T = TypeVar("T")
ARNS_AT_ONCE = 100
"""As many as GetResources takes. Those that it does not know are no error: it leaves them out."""


@dataclass(frozen=True)
class _Listing:
    """A call that lists resources of a kind, and where its pages say what."""

    operation: str
    summaries: str
    name: str
    arn: str
    status: str
    only: Mapping[str, str] = field(default_factory=dict)


_LISTINGS = {
    "sagemaker:endpoint": _Listing(
        "list_endpoints", "Endpoints", "EndpointName", "EndpointArn", "EndpointStatus"
    ),
    "sagemaker:inference-component": _Listing(
        "list_inference_components",
        "InferenceComponents",
        "InferenceComponentName",
        "InferenceComponentArn",
        "InferenceComponentStatus",
    ),
    "sagemaker:training-job": _Listing(
        "list_training_jobs",
        "TrainingJobSummaries",
        "TrainingJobName",
        "TrainingJobArn",
        "TrainingJobStatus",
        {"StatusEquals": "InProgress"},
    ),
    "bedrock:provisioned-model": _Listing(
        "list_provisioned_model_throughputs",
        "provisionedModelSummaries",
        "provisionedModelName",
        "provisionedModelArn",
        "status",
    ),
    "bedrock:custom-model-deployment": _Listing(
        "list_custom_model_deployments",
        "modelDeploymentSummaries",
        "customModelDeploymentName",
        "customModelDeploymentArn",
        "status",
    ),
    "bedrock:model-customization-job": _Listing(
        "list_model_customization_jobs",
        "modelCustomizationJobSummaries",
        "jobName",
        "jobArn",
        "status",
        {"statusEquals": "InProgress"},
    ),
}
"""Evaluations and serverless jobs are training jobs."""


def may_have_nova(client: BedrockClient) -> bool:
    """Whether anything of Nova can be on Bedrock in the client's region.

    Where nothing can, its calls may not be known, and no plan is accepted that needs them.
    """
    # Asked once a day by the sweep, whose other calls need no recipes.
    from novaloop.recipes.bedrock import bedrock  # noqa: PLC0415

    facts = bedrock()
    regions = {region for target in facts.targets.values() for region in target.regions}
    regions |= {region for method in facts.methods.values() for region in method.regions}
    return client.meta.region_name in regions


def tags_by_arn(answer: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the ARNs and tags of what an answer of GetResources names."""
    for resource in answer.get("ResourceTagMappingList", ()):
        if "ResourceARN" in resource:
            tags = {tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())}
            yield resource["ResourceARN"], tags


@dataclass(frozen=True)
class _Resource:
    kind: str
    name: str
    arn: str


class Looks:
    """Calls that may fail or come too late, and what is not seen therefore."""

    def __init__(self, in_time: Callable[[], bool] = lambda: True) -> None:
        self._in_time = in_time
        self.unseen: list[str] = []

    def result(self, what: str, call: Callable[[], T]) -> T | None:
        """Return what `call` returns; None, and note why, if it can't be had."""
        if not self._in_time():
            self.unseen.append(f"{what} can't be looked at: the function's time is up")
            return None
        try:
            return call()
        except (ClientError, BotoCoreError) as error:
            why = text_of(error) if isinstance(error, ClientError) else str(error)
            self.unseen.append(f"{what} can't be looked at: {why}")
            return None

    def each(self, what: str, pages: Iterable[T]) -> Iterator[T]:
        """Yield what `pages` do, up to a call that fails."""
        rest = iter(pages)
        while page := self.result(what, partial(next, rest, None)):
            yield page


class RunningInAccount:
    """Resources of the account as the services list them; implements `RunningResources`."""

    def __init__(
        self,
        tagging: ResourceGroupsTaggingAPIClient,
        sagemaker: SageMakerClient,
        on_bedrock: BedrockClient,
        prefix: str,
        stack_name: str,
    ) -> None:
        self._tagging = tagging
        self._prefix, self._stack_name = prefix, stack_name
        self._clients: Mapping[str, Any] = {"sagemaker": sagemaker, "bedrock": on_bedrock}

    def find(self, in_time: Callable[[], bool]) -> tuple[Sequence[Billing], Sequence[str]]:
        """Return what serves and the jobs that run; and what can't be looked at, with why."""
        looks = Looks(in_time)
        on_bedrock = may_have_nova(self._clients["bedrock"])
        kinds = [kind for kind in _LISTINGS if on_bedrock or not kind.startswith("bedrock")]
        there = [each for kind in kinds for each in self._listed(kind, looks)]
        tags = self._tags_of([each.arn for each in there], looks)
        own = []
        for each in there:
            known = tags.get(each.arn, {})
            if not is_of_stack(each.name, known, self._prefix, self._stack_name):
                continue
            # Known tags decide: without ours, somebody took it over.
            owner = known.get(EXPERIMENT_TAG)
            experiment_id = owner if known else self._owner_by_name(each, looks)
            if experiment_id is not None:
                own.append(Billing(each.kind, each.name, experiment_id))
        return own, looks.unseen

    def _listed(self, kind: str, looks: Looks) -> Iterator[_Resource]:
        listing, client = _LISTINGS[kind], self._clients[kind.partition(":")[0]]
        pages = client.get_paginator(listing.operation).paginate(**listing.only)
        for page in looks.each(f"every {kind}", pages):
            for each in page.get(listing.summaries, ()):
                if each.get(listing.status) != "Deleting":
                    yield _Resource(kind, each[listing.name], each[listing.arn])

    def _tags_of(self, arns: Sequence[str], looks: Looks) -> Mapping[str, Mapping[str, str]]:
        """Return the tags that the index knows, by ARN."""
        tags: dict[str, Mapping[str, str]] = {}
        for start in range(0, len(arns), ARNS_AT_ONCE):
            some = list(arns[start : start + ARNS_AT_ONCE])
            ask = partial(self._tagging.get_resources, ResourceARNList=some)
            answer = looks.result("tags", ask)
            tags |= dict(tags_by_arn(answer or {}))
        return tags

    def _owner_by_name(self, resource: _Resource, looks: Looks) -> str | None:
        """Return whose an attempt's name is, or what an endpoint of a lasting name serves."""
        experiment_id = self._experiment(resource.name)
        if experiment_id is not None or resource.kind != "sagemaker:endpoint":
            return experiment_id
        describe = partial(self._clients["sagemaker"].describe_endpoint, EndpointName=resource.name)
        described = looks.result(f"endpoint {resource.name}", lambda: found(describe))
        return self._experiment(serving_of(described)) if described else None

    def _experiment(self, name: str) -> str | None:
        return experiment_of_job(self._prefix, sagemaker_name(name))
