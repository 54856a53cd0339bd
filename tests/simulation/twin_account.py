"""What lists across an account tell: of SageMaker's and Bedrock's twins, under their clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulation.twin_bedrock import TwinBedrock
from tests.simulation.twin_sagemaker import Pages, TwinSageMaker
from tests.simulation.twin_training import TwinJobs

SAGEMAKER = "arn:aws:sagemaker:us-east-1:123456789012:"


@dataclass(frozen=True)
class TwinAccount:
    """The Tagging API and the lists of both services, a thing on each page."""

    hosting: TwinSageMaker
    bedrock: TwinBedrock
    jobs: TwinJobs

    @property
    def meta(self) -> TwinAccount:
        """What botocore's clients tell of themselves."""
        return self

    @property
    def region_name(self) -> str:
        return "us-east-1"

    def get_paginator(self, operation: str) -> Pages:
        return Pages(getattr(self, operation))

    def get_resources(self, **request: Any) -> Iterator[dict[str, Any]]:
        (wanted,) = request["TagFilters"]
        kinds = {"endpoint": self.hosting.endpoints, "inference-component": self.hosting.components}
        wanted_kinds = [*(f"sagemaker:{kind}" for kind in kinds), "bedrock:provisioned-model"]
        assert request["ResourceTypeFilters"] == wanted_kinds
        tagged = {
            f"{SAGEMAKER}{kind}/{name}": each.tags
            for kind, resources in kinds.items()
            for name, each in resources.items()
        }
        tagged |= {each.arn: dict(each.tags) for each in self.bedrock.throughputs.values()}
        for arn, tags in tagged.items():
            if wanted["Key"] in tags:
                told = [{"Key": key, "Value": value} for key, value in tags.items()]
                yield {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": told}]}

    def list_training_jobs(self, **request: Any) -> Iterator[dict[str, Any]]:
        return self.jobs.list_training_jobs(**request)

    def list_model_customization_jobs(self, **request: Any) -> Iterator[dict[str, Any]]:
        for name, job in self.bedrock.jobs.items():
            if job.status == request["statusEquals"] and request["nameContains"] in name:
                yield {"modelCustomizationJobSummaries": [{"jobName": name, "jobArn": job.arn}]}

    def delete_endpoint(self, EndpointName: str) -> None:  # noqa: N803
        self.hosting.delete_endpoint(EndpointName)

    def delete_inference_component(self, InferenceComponentName: str) -> None:  # noqa: N803
        self.hosting.delete_inference_component(InferenceComponentName)

    def delete_provisioned_model_throughput(self, provisionedModelId: str) -> None:  # noqa: N803
        self.bedrock.delete_provisioned_model_throughput(provisionedModelId)

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        return self.hosting.describe_endpoint(EndpointName)

    def get_provisioned_model_throughput(self, provisionedModelId: str) -> dict[str, Any]:  # noqa: N803
        (found,) = (n for n, e in self.bedrock.throughputs.items() if e.arn == provisionedModelId)
        told = self.bedrock.get_provisioned_model_throughput(found)
        return {**told, "provisionedModelName": found}
