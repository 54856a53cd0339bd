"""`novaloop invoke` where Bedrock serves: Nova's native schema, streamed or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from novaloop.recipes.bedrock_serving import native_text
from novaloop_cli.errors import Failed
from novaloop_cli.spoken import Piece, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from novaloop.experiment.spec.stages import Target
    from novaloop_cli.stack import Stack

_BROKEN = "answered with something that is none of a Nova model's answers"


def answer(
    stack: Stack, name: str, to: Target, request: dict[str, object], *, stream: bool
) -> Iterator[str]:
    """Yield the text that what is called `name` answers, as it arrives. Raises Failed."""
    model, body = _arn(stack, name, to), json.dumps(request)
    if stream:
        response = stack.bedrock_runtime.invoke_model_with_response_stream(modelId=model, body=body)
        yield from spoken(_deltas(name, response["body"]))
        return
    reply = stack.bedrock_runtime.invoke_model(modelId=model, body=body)["body"].read()
    try:
        yield native_text(json.loads(reply))
    except (ValueError, LookupError, TypeError):
        raise Failed(f"{name} {_BROKEN}") from None


def _arn(stack: Stack, name: str, to: Target) -> str:
    """Return what to ask: Bedrock chose its ARN."""
    if to == "bedrock-provisioned":
        throughput = stack.bedrock.get_provisioned_model_throughput(provisionedModelId=name)
        return str(throughput["provisionedModelArn"])
    deployment = stack.bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=name)
    return str(deployment["customModelDeploymentArn"])


def _deltas(name: str, events: Any) -> Iterator[Piece]:
    for event in events:
        if "chunk" not in event:
            ((kind, told),) = event.items()
            raise Failed(f"the answer broke off: {told.get('message', kind)}")
        try:
            chunk = json.loads(event["chunk"]["bytes"])
            delta = chunk.get("contentBlockDelta", {}).get("delta", {})
            yield delta.get("text", ""), delta.get("reasoningContent", {}).get("text", "")
        except (ValueError, AttributeError):
            raise Failed(f"{name} {_BROKEN}") from None
