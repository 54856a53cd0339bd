"""What serverless jobs refer to by ARN, and the requests that register it.

The base model lies in SageMaker's public hub; trained models become versions of a model package
group; a reward function becomes an evaluator, a document in a hub of one's own. The form of that
document is the one that AWS's SageMaker SDK 3.27 writes; no account has confirmed it.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from novaloop.recipes import facts
from novaloop.recipes.requests import sagemaker_tags, without_none

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.recipes.jobs import Deployment

PUBLIC_HUB = "SageMakerPublicHub"
EVALUATOR_VERSION = "0.0.1"
_DOCUMENT_SCHEMA = "2.0.0"


def base_model_arn(model: str, region: str) -> str:
    """Return the hub content ARN of a base model, without a version: the hub knows the newest."""
    content = facts.model(model).hub_content
    return f"arn:aws:sagemaker:{region}:aws:hub-content/{PUBLIC_HUB}/Model/{content}"


def group_arn(name: str, deployment: Deployment) -> str:
    """Return the ARN of the model package group called ``name``."""
    return f"{_own(deployment)}:model-package-group/{name}"


def create_group(name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the CreateModelPackageGroup request."""
    return without_none(ModelPackageGroupName=name, Tags=sagemaker_tags(tags))


def evaluator_arn(hub: str, function_arn: str, deployment: Deployment) -> str:
    """Return the ARN of the evaluator that wraps the Lambda function."""
    name = _evaluator_name(function_arn)
    return f"{_own(deployment)}:hub-content/{hub}/JsonDoc/{name}/{EVALUATOR_VERSION}"


def create_hub(name: str) -> dict[str, Any]:
    """Return the CreateHub request."""
    return {"HubName": name, "HubDescription": "Reward functions of Novaloop's experiments"}


def import_evaluator(hub: str, function_arn: str) -> dict[str, Any]:
    """Return the ImportHubContent request of the evaluator that wraps the Lambda function.

    Its name comes from its content, so that a version of it never needs to change.
    """
    return {
        "HubName": hub,
        "HubContentName": _evaluator_name(function_arn),
        "HubContentType": "JsonDoc",
        "HubContentVersion": EVALUATOR_VERSION,
        "DocumentSchemaVersion": _DOCUMENT_SCHEMA,
        "HubContentDocument": _document(function_arn),
        "HubContentSearchKeywords": [
            "@subtype:aws/evaluator",
            "@evaluatortype:rewardfunction",
            "@contenttype:byolambda",
        ],
    }


def _document(function_arn: str) -> str:
    content = {"Reference": function_arn, "EvaluatorType": "RewardFunction"}
    return json.dumps({"SubType": "AWS/Evaluator", "JsonContent": json.dumps(content)})


def _evaluator_name(function_arn: str) -> str:
    return f"reward-{sha256(_document(function_arn).encode()).hexdigest()[:16]}"


def _own(deployment: Deployment) -> str:
    return f"arn:aws:sagemaker:{deployment.region}:{deployment.account_id}"
