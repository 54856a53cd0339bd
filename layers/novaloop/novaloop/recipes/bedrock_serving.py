"""What serves a checkpoint on Bedrock: an imported custom model, and a deployment of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from novaloop.problem import Invalid
from novaloop.recipes.bedrock import (
    check_name,
    check_serving_region,
    custom_model,
    on_demand_deployment,
    provisioned_throughput,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.recipes.jobs import Deployment

CUSTOM_MODEL_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:[a-z0-9-]+:[0-9]{12}:custom-model/\S+")


@dataclass(frozen=True)
class BedrockServing:
    """A checkpoint to serve: an escrow URI, a model package's ARN or a custom model's.

    ``model_units`` of throughput are provisioned; without, requests are paid by the token. Whoever
    repeats a request with the same ``client_token`` gets what the first one made.
    """

    name: str
    checkpoint: str
    client_token: str
    model_units: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BedrockPlan:
    """The requests that serve a checkpoint, in the order in which to send them.

    ``create_model`` is None where ``model_arn`` names the model that exists already.
    """

    name: str
    client_token: str
    create_model: dict[str, Any] | None
    model_arn: str | None
    model_units: int | None
    tags: Mapping[str, str]

    def create_deployment(self, model_arn: str) -> dict[str, Any]:
        """Return CreateCustomModelDeployment, or with units CreateProvisionedModelThroughput."""
        if self.model_units is None:
            request = on_demand_deployment(self.name, model_arn, self.tags)
        else:
            request = provisioned_throughput(self.name, model_arn, self.model_units, self.tags)
        return {**request, "clientRequestToken": self.client_token}


def plan_bedrock_serving(serving: BedrockServing, deployment: Deployment) -> BedrockPlan:
    """Return the requests that serve a checkpoint. Raises Invalid with all that is wrong."""
    to = "bedrock-on-demand" if serving.model_units is None else "bedrock-provisioned"
    problems = [
        *check_name(serving.name, "name"),
        *check_serving_region(to, deployment.region, "region"),
    ]
    if problems:
        raise Invalid(*problems)
    if not CUSTOM_MODEL_ARN.fullmatch(serving.checkpoint):
        model = custom_model(serving.name, serving.checkpoint, deployment, serving.tags)
        create, model_arn = {**model, "clientRequestToken": serving.client_token}, None
    else:
        create, model_arn = None, serving.checkpoint
    return BedrockPlan(
        serving.name, serving.client_token, create, model_arn, serving.model_units, serving.tags
    )


def native_request(question: str, system_prompt: str | None, max_tokens: int) -> dict[str, object]:
    """Return the body of a request to a Nova model on Bedrock.

    A ``topK`` of 1 always takes the likeliest token; a ``temperature`` of 0 is out of bounds.
    Source: https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
    """
    system = {"system": [{"text": system_prompt}]} if system_prompt else {}
    messages = [{"role": "user", "content": [{"text": question}]}]
    return {
        **system,
        "messages": messages,
        "inferenceConfig": {"maxTokens": max_tokens, "topK": 1},
    }


def native_text(answer: Any) -> str:
    """Return the text of a model's answer, or else its reasoning, on which it may have spent all
    its tokens; LookupError or TypeError if it is none.

    Source: `ReasoningContentBlock` of the Converse API, whose blocks Nova's own schema shares.
    """
    blocks = answer["output"]["message"]["content"]
    thoughts = [block.get("reasoningContent", {}).get("reasoningText", {}) for block in blocks]
    text = "".join(block.get("text", "") for block in blocks)
    return text or "".join(thought.get("text", "") for thought in thoughts)
