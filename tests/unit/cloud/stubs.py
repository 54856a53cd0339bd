"""The three services in which what runs is looked for, each answering what is expected of it.

What is called how there is read from the requests that the production code makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
from botocore.stub import Stubber

from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.planning import plan_experiment
from novaloop.experiment.record import DatasetRef, Record
from novaloop.experiment.stack import StackConfig
from novaloop.experiment.validation.reading import read_spec
from novaloop.recipes.jobs import Deployment

_PLANS = (
    "plan: [sft, deploy: {inference_component: true}]",
    "runtime: bedrock\nplan: [sft, deploy: {to: bedrock-on-demand}]",
    "plan: [sft, deploy: {to: bedrock-provisioned}]",
)
_NAMED = {
    "sagemaker:training-job": ("CreateTrainingJob", "TrainingJobName"),
    "sagemaker:model": ("CreateModel", "ModelName"),
    "sagemaker:endpoint-config": ("CreateEndpointConfig", "EndpointConfigName"),
    "sagemaker:endpoint": ("CreateEndpoint", "EndpointName"),
    "sagemaker:inference-component": ("CreateInferenceComponent", "InferenceComponentName"),
    "bedrock:model-customization-job": ("CreateModelCustomizationJob", "jobName"),
    "bedrock:custom-model": ("CreateCustomModel", "modelName"),
    "bedrock:custom-model-deployment": ("CreateCustomModelDeployment", "modelDeploymentName"),
    "bedrock:provisioned-model": (
        "CreateProvisionedModelThroughput",
        "provisionedModelName",
    ),
}


@cache
def requested_names() -> Mapping[str, str]:
    """Return how experiment `demo` calls what it makes, by the kinds of the index of tags."""
    role = "arn:aws:iam::123456789012:role/jobs"
    stack_config = StackConfig("bucket", Deployment("us-east-1", role), bedrock_role_arn=role)
    data = DatasetRef("v1", "0" * 64, 400, {"sft": "datasets/demo/sft.jsonl"})
    requests = [
        request
        for plan in _PLANS
        for stage in plan_experiment(
            Record(
                "demo",
                read_spec(plan.encode()),
                datetime(2026, 1, 5, tzinfo=UTC),
                datasets={"sft": data},
            ),
            stack_config,
            packaged_prices(),
        ).stages
        for request in stage.requests
    ]
    by_operation = {each.operation: each.parameters for each in requests}
    return {kind: str(by_operation[made][named]) for kind, (made, named) in _NAMED.items()}


class StubbedServices:
    """Their clients, and what stands behind each until the end of `stack`."""

    def __init__(self, stack: ExitStack, region: str = "us-east-1") -> None:
        self.clients: list[Any] = [
            boto3.client(
                name,
                region_name=region,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
            for name in ("resourcegroupstaggingapi", "sagemaker", "bedrock")
        ]
        self.tagging, self.sagemaker, self.bedrock = (
            stack.enter_context(Stubber(client)) for client in self.clients
        )
