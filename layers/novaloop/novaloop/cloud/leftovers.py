"""What carries an experiment's tag, whatever record or crash it comes from.

Checkpoints stay: escrow buckets and model packages are no kind of leftover, nor are the custom
models that Bedrock trained; those that it imported are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from novaloop.cloud.errors import code_of, found, is_missing
from novaloop.experiment.names import experiment_of_job
from novaloop.experiment.observation import Leftover
from novaloop.experiment.site import EXPERIMENT_TAG, PREFIX_TAG

if TYPE_CHECKING:
    from mypy_boto3_bedrock.client import BedrockClient
    from mypy_boto3_resourcegroupstaggingapi.client import ResourceGroupsTaggingAPIClient
    from mypy_boto3_sagemaker.client import SageMakerClient

_NOT_NOW = {"ValidationException", "ConflictException"}
"""What is being created, changed or deleted answers so; the next look sees to it."""
_RUNNING = {"InProgress", "Stopping"}


@dataclass(frozen=True)
class _Kind:
    """How to look at a resource of a kind by its name, and how to end it."""

    describe: Callable[[str], Mapping[str, Any]]
    end: Callable[[str], object]


class TaggedResources:
    """Resources of the account by their tags; implements the port `Leftovers`.

    The tag index runs behind the services: each resource that it names is looked at.
    """

    def __init__(
        self,
        tagging: ResourceGroupsTaggingAPIClient,
        sagemaker: SageMakerClient,
        bedrock: BedrockClient,
        prefix: str,
    ) -> None:
        self._tagging = tagging
        self._prefix = prefix
        self._kinds = {**_on_sagemaker(sagemaker), **_on_bedrock(bedrock)}
        self._order = list(self._kinds)

    def find(self, experiment_id: str) -> tuple[Leftover, ...]:
        """Return what is there, in the order in which to delete it."""
        leftovers = [
            each for each in self._tagged(experiment_id) if self._is_left(each, experiment_id)
        ]
        return tuple(sorted(leftovers, key=lambda each: (self._order.index(each.kind), each.name)))

    def _tagged(self, experiment_id: str) -> Iterator[Leftover]:
        pages = self._tagging.get_paginator("get_resources").paginate(
            TagFilters=[{"Key": EXPERIMENT_TAG, "Values": [experiment_id]}],
            ResourceTypeFilters=self._order,
        )
        for page in pages:
            for resource in page["ResourceTagMappingList"]:
                leftover = _leftover(resource["ResourceARN"])
                tags = {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}
                if leftover.kind in self._kinds and self._is_own(leftover, tags):
                    yield leftover

    def _is_own(self, leftover: Leftover, tags: Mapping[str, str]) -> bool:
        """Whether this stack made it: another one may have an experiment of the same name."""
        named = leftover.name.startswith(f"{self._prefix}-")
        return named or tags.get(PREFIX_TAG) == self._prefix

    def _is_left(self, leftover: Leftover, experiment_id: str) -> bool:
        described = found(lambda: self._kinds[leftover.kind].describe(leftover.name))
        if described is None:
            return False
        if leftover.kind == "sagemaker:training-job":
            return described["TrainingJobStatus"] in _RUNNING
        if leftover.kind == "bedrock:model-customization-job":
            return described["status"] in _RUNNING
        if leftover.kind == "bedrock:custom-model":
            return described.get("customizationType") == "IMPORTED"
        if leftover.kind == "sagemaker:endpoint":
            # What another experiment serves is not this one's to delete, whatever the tag says.
            return experiment_of_job(self._prefix, described["EndpointConfigName"]) == experiment_id
        return True

    def delete(self, leftovers: Sequence[Leftover]) -> None:
        """Delete those of the first kind that can be deleted now."""
        for leftover in leftovers:
            if leftover.kind == leftovers[0].kind:
                _attempt(self._kinds[leftover.kind].end, leftover.name)


def _on_sagemaker(sagemaker: SageMakerClient) -> dict[str, _Kind]:
    """Return SageMaker's kinds, in the order in which to delete."""
    return {
        "sagemaker:training-job": _Kind(
            lambda name: sagemaker.describe_training_job(TrainingJobName=name),
            lambda name: sagemaker.stop_training_job(TrainingJobName=name),
        ),
        "sagemaker:inference-component": _Kind(
            lambda name: sagemaker.describe_inference_component(InferenceComponentName=name),
            lambda name: sagemaker.delete_inference_component(InferenceComponentName=name),
        ),
        "sagemaker:endpoint": _Kind(
            lambda name: sagemaker.describe_endpoint(EndpointName=name),
            lambda name: sagemaker.delete_endpoint(EndpointName=name),
        ),
        "sagemaker:endpoint-config": _Kind(
            lambda name: sagemaker.describe_endpoint_config(EndpointConfigName=name),
            lambda name: sagemaker.delete_endpoint_config(EndpointConfigName=name),
        ),
        "sagemaker:model": _Kind(
            lambda name: sagemaker.describe_model(ModelName=name),
            lambda name: sagemaker.delete_model(ModelName=name),
        ),
    }


def _on_bedrock(bedrock: BedrockClient) -> dict[str, _Kind]:
    """Return Bedrock's kinds, in the order in which to delete; their names are ARNs."""
    return {
        "bedrock:model-customization-job": _Kind(
            lambda arn: bedrock.get_model_customization_job(jobIdentifier=arn),
            lambda arn: bedrock.stop_model_customization_job(jobIdentifier=arn),
        ),
        "bedrock:custom-model-deployment": _Kind(
            lambda arn: bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn),
            lambda arn: bedrock.delete_custom_model_deployment(customModelDeploymentIdentifier=arn),
        ),
        "bedrock:provisioned-model": _Kind(
            lambda arn: bedrock.get_provisioned_model_throughput(provisionedModelId=arn),
            lambda arn: bedrock.delete_provisioned_model_throughput(provisionedModelId=arn),
        ),
        "bedrock:custom-model": _Kind(
            lambda arn: bedrock.get_custom_model(modelIdentifier=arn),
            lambda arn: bedrock.delete_custom_model(modelIdentifier=arn),
        ),
    }


def _leftover(arn: str) -> Leftover:
    """Read kind and name from an ARN; Bedrock chooses the last word, so there the ARN names."""
    service, resource = arn.split(":")[2], arn.split(":", 5)[5]
    kind, _, name = resource.partition("/")
    return Leftover(f"{service}:{kind}", name if service == "sagemaker" else arn)


def _attempt(end: Callable[[str], object], name: str) -> None:
    try:
        end(name)
    except ClientError as error:
        if not is_missing(error) and code_of(error) not in _NOT_NOW:
            raise
