from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from novaloop_localcloud.learner import Model
from novaloop_localcloud.questions import SYSTEM_PROMPT
from novaloop_localcloud.sagemaker.errors import ServiceError
from novaloop_localcloud.sagemaker.inference import (
    Completion,
    InferenceServer,
    chat_completion,
    event_stream,
    parsed,
)

SERVER = InferenceServer(Model(), {"CONTEXT_LENGTH": "100"}, "primary")
COMPLETION = Completion("ein schöner “Text” — mit Zeichen", "stop", 12, 6)


def _chat(text: str = "why?", **settings: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}]
    return {"messages": messages, "temperature": 0, **settings}


def test_the_answer_has_the_documented_shape() -> None:
    body = json.loads(chat_completion(COMPLETION))
    assert body["object"] == "chat.completion"
    assert body["model"] == "novaloop-stand-in"
    message = {"role": "assistant", "content": COMPLETION.text, "refusal": None}
    assert body["choices"] == [{"index": 0, "message": message, "finish_reason": "stop"}]
    assert body["usage"] == {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18}


def _decoded(stream: bytes) -> list[bytes]:
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    events = list(buffer)
    headers: list[Any] = [event.headers for event in events]
    assert {each[":event-type"] for each in headers} == {"PayloadPart"}
    return [event.payload for event in events]


def test_the_stream_decodes_to_server_sent_events() -> None:
    parts = _decoded(event_stream(COMPLETION, include_usage=True))
    blocks = b"".join(parts).decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]
    told = [choice["delta"]["content"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(told) == COMPLETION.text
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"] == COMPLETION.usage


def test_the_stream_splits_lines_and_characters() -> None:
    parts = _decoded(event_stream(COMPLETION, include_usage=False))
    assert any(not part.endswith(b"\n\n") for part in parts)
    with pytest.raises(UnicodeDecodeError):
        [part.decode() for part in _decoded(event_stream(_umlauts(), include_usage=False))]


def _umlauts() -> Completion:
    return Completion("ü" * 200, "stop", 1, 1)


def test_an_answer_ends_at_its_limit() -> None:
    completion = SERVER.complete(_chat(max_tokens=1))
    whole = SERVER.complete(_chat())
    assert completion.completion_tokens == 1
    assert whole.text.startswith(completion.text)


def test_temperature_zero_repeats_itself() -> None:
    assert len({SERVER.complete(_chat()).text for _ in range(5)}) == 1


def test_the_container_settings_are_the_defaults() -> None:
    body = _chat()
    del body["temperature"]
    cold = InferenceServer(Model(), {"DEFAULT_TEMPERATURE": "0"}, "primary")
    assert {cold.complete(body).text for _ in range(5)} == {SERVER.complete(_chat()).text}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "role and text"),
        (_chat("word " * 200), "CONTEXT_LENGTH is 100"),
    ],
)
def test_what_the_container_refuses(body: dict[str, Any], problem: str) -> None:
    with pytest.raises(ServiceError, match=problem) as caught:
        SERVER.complete(body)
    assert (caught.value.code, caught.value.status) == ("ModelError", 424)


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_bodies_are_json_objects(body: bytes) -> None:
    with pytest.raises(ServiceError, match="JSON"):
        parsed(body)
