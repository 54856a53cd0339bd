"""What Bedrock's runtime answers for a Nova model: its native schema, whole or streamed.

Source: https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from novaloop_localcloud.sagemaker.errors import ServiceError
from novaloop_localcloud.sagemaker.inference import Completion, InferenceServer, event_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from novaloop_localcloud.learner import Model

_ENVIRONMENT = {"CONTEXT_LENGTH": "256000"}
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens"}
_SETTINGS = {"maxTokens": "max_tokens", "topK": "top_k", "topP": "top_p"}


def complete(model: Model, body: bytes) -> Completion:
    """Answer a request in the native schema; raise ValidationException for any other."""
    return InferenceServer(model, _ENVIRONMENT, "bedrock").complete(_chat(body))


def _chat(body: bytes) -> dict[str, Any]:
    """The same request as a chat completion's."""
    try:
        request = json.loads(body)
        settings = dict(request.get("inferenceConfig", {}))
        system = [{"role": "system", "content": _text(request.get("system", []))}]
        turns = [
            {"role": turn["role"], "content": _text(turn["content"])}
            for turn in request["messages"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed("the body is no request of a Nova model") from error
    temperature = settings.pop("temperature", None)
    if temperature is not None and not 0 < temperature < 1:
        raise _malformed("inferenceConfig.temperature must be above 0 and below 1")
    if set(settings) - {*_SETTINGS, "stopSequences"}:
        raise _malformed("inferenceConfig has unknown keys")
    if not turns or turns[0]["role"] != "user":
        raise _malformed("messages must begin with the user's turn")
    chat = {_SETTINGS[key]: value for key, value in settings.items() if key in _SETTINGS}
    return {**chat, "temperature": temperature, "messages": [*system, *turns]}


def _text(blocks: list[dict[str, str]]) -> str:
    return "\n".join(block["text"] for block in blocks)


def _malformed(reason: str) -> ServiceError:
    message = f"Malformed input request: {reason}, please reformat your input and try again."
    return ServiceError("ValidationException", message)


def message(completion: Completion) -> bytes:
    """The answer to a request that does not stream."""
    content = {"content": [{"text": completion.text}], "role": "assistant"}
    reason = _STOP_REASONS[completion.finish_reason]
    return _json(
        {"output": {"message": content}, "stopReason": reason, "usage": _usage(completion)}
    )


def stream(completion: Completion) -> bytes:
    """The answer's chunks in Amazon's event-stream encoding."""
    return b"".join(
        event_message(
            "chunk",
            "application/json",
            _json({"bytes": base64.b64encode(_json(chunk)).decode("ascii")}),
        )
        for chunk in _chunks(completion)
    )


def _chunks(completion: Completion) -> Iterator[dict[str, Any]]:
    yield {"messageStart": {"role": "assistant"}}
    for number, word in enumerate(completion.text.split(" ")):
        delta = {"text": word if number == 0 else f" {word}"}
        yield {"contentBlockDelta": {"delta": delta, "contentBlockIndex": 0}}
    yield {"contentBlockStop": {"contentBlockIndex": 0}}
    yield {"messageStop": {"stopReason": _STOP_REASONS[completion.finish_reason]}}
    yield {"metadata": {"usage": _usage(completion), "metrics": {}, "trace": {}}}


def _usage(completion: Completion) -> dict[str, int]:
    return {
        "inputTokens": completion.prompt_tokens,
        "outputTokens": completion.completion_tokens,
        "totalTokens": completion.prompt_tokens + completion.completion_tokens,
    }


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8")
