"""What an endpoint's container answers: chat completions, whole or streamed."""

from __future__ import annotations

import json
import struct
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from novaloop_localcloud.learner import (
    MODEL_ID,
    Model,
    Prompt,
    draw,
    hash_prompts,
    sampling_distribution,
)
from novaloop_localcloud.sagemaker.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STREAM_PIECE_BYTES = 61  # no multiple of anything, so clients meet split lines and characters


@dataclass(frozen=True)
class Completion:
    """One generated answer with what the client has to be told about it."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        """Token counts; a word counts as one token."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


@dataclass(frozen=True)
class InferenceServer:
    """A loaded model with its container's environment."""

    model: Model
    environment: Mapping[str, str]
    variant: str

    def complete(self, body: Mapping[str, Any]) -> Completion:
        """Answer a chat request; raise ModelError for one that the container refuses."""
        prompt = _prompt(body.get("messages"))
        context = int(self.environment.get("CONTEXT_LENGTH", "4000"))
        prompt_tokens = len(prompt.system.split()) + len(prompt.text.split())
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or context
        if prompt_tokens > context:
            raise model_error(f"the prompt has {prompt_tokens} tokens, CONTEXT_LENGTH is {context}")
        words = self._answer(prompt, body).split(" ")
        told = words[: int(limit)]
        reason = "stop" if len(told) == len(words) else "length"
        return Completion(" ".join(told), reason, prompt_tokens, len(told))

    def _answer(self, prompt: Prompt, body: Mapping[str, Any]) -> str:
        model = self.model.copy()
        model.read_labels([prompt])
        distribution = sampling_distribution(
            model.logits(hash_prompts([prompt])),
            temperature=float(self._setting(body, "temperature", "1.0")),
            top_k=int(self._setting(body, "top_k", "-1")),
            top_p=float(self._setting(body, "top_p", "1.0")),
        )
        drawn = draw(distribution, 1, np.random.default_rng())
        return model.answers[int(drawn[0, 0])]

    def _setting(self, body: Mapping[str, Any], name: str, default: str) -> Any:
        value = body.get(name)
        return self.environment.get(f"DEFAULT_{name.upper()}", default) if value is None else value


def _prompt(messages: Any) -> Prompt:
    if not isinstance(messages, list) or not messages:
        raise model_error("messages must be a non-empty list")
    try:
        told = [(turn["role"], _text(turn["content"])) for turn in messages]
    except (KeyError, TypeError) as error:
        raise model_error("each message needs a role and text content") from error
    system = "\n".join(text for role, text in told if role == "system")
    return Prompt(system, "\n".join(text for role, text in told if role != "system"))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def model_error(message: str) -> ServiceError:
    """The runtime's error for a container that answered 400."""
    told = json.dumps({"error": {"message": message, "type": "BadRequestError", "code": 400}})
    return ServiceError(
        "ModelError",
        f"Received client error (400) from primary with message '{told}'",
        424,
        OriginalStatusCode=400,
        OriginalMessage=told,
    )


def parsed(body: bytes) -> dict[str, Any]:
    """The request body; raise ModelError when it is no JSON object."""
    try:
        request = json.loads(body)
    except ValueError as error:
        raise model_error("the body is not JSON") from error
    if not isinstance(request, dict):
        raise model_error("the body must be a JSON object")
    return request


def chat_completion(completion: Completion) -> bytes:
    """The OpenAI-like answer to a request that does not stream."""
    message = {"role": "assistant", "content": completion.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason}
    return _json(_envelope("chat.completion") | {"choices": [choice], "usage": completion.usage})


def event_stream(completion: Completion, *, include_usage: bool) -> bytes:
    """Server-sent events in PayloadPart messages of Amazon's event-stream encoding."""
    events = b"".join(_server_sent_events(completion, include_usage))
    pieces = (
        events[start : start + _STREAM_PIECE_BYTES]
        for start in range(0, len(events), _STREAM_PIECE_BYTES)
    )
    return b"".join(
        event_message("PayloadPart", "application/octet-stream", piece) for piece in pieces
    )


def _server_sent_events(completion: Completion, include_usage: bool) -> Iterator[bytes]:
    envelope = _envelope("chat.completion.chunk")
    words = completion.text.split(" ")
    for number, word in enumerate(words):
        delta = {"content": word if number == 0 else f" {word}"}
        if number == 0:
            delta["role"] = "assistant"
        reason = completion.finish_reason if number == len(words) - 1 else None
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield _event(envelope | {"choices": [choice]})
    if include_usage:
        yield _event(envelope | {"choices": [], "usage": completion.usage})
    yield b"data: [DONE]\n\n"


def _envelope(kind: str) -> dict[str, Any]:
    identifier = f"chatcmpl-{uuid.uuid4().hex}"
    return {"id": identifier, "object": kind, "created": int(time.time()), "model": MODEL_ID}


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + _json(document) + b"\n\n"


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8")


def event_message(event_type: str, content_type: str, payload: bytes) -> bytes:
    """One message of an event stream.

    Prelude of two lengths and their CRC, headers, payload, CRC of it all.
    https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html
    """
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (":message-type", "event"),
            (":event-type", event_type),
            (":content-type", content_type),
        )
    )
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack("!I", crc32(lengths)) + headers + payload
    return message + struct.pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    told = value.encode("utf-8")
    return struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(told)) + told
