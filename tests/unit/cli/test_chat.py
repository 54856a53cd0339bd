from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import given
from hypothesis import strategies as st

from novaloop.experiment.record import Status
from novaloop_cli.sse import events
from novaloop_cli.stack import Stack
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from collections.abc import Iterator


def chunk(text: str) -> str:
    choice = {"index": 0, "delta": {"content": text}}
    body = {"object": "chat.completion.chunk", "choices": [choice]}
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


TEXTS = ["Grüße ", "aus ", "München 🎉", "\n"]
STREAM = "".join(map(chunk, TEXTS)).encode() + b"data: [DONE]\n\ndata: never\n\n"


class Runtime:
    """A sagemaker-runtime client whose endpoint answers in pieces of a given size."""

    def __init__(self, size: int = 7) -> None:
        self.size = size
        self.requests: list[dict[str, object]] = []

    def invoke_endpoint_with_response_stream(self, **request: object) -> dict[str, object]:
        self.requests.append(request)
        return {"Body": self.pieces()}

    def pieces(self) -> Iterator[dict[str, dict[str, bytes]]]:
        for start in range(0, len(STREAM), self.size):
            yield {"PayloadPart": {"Bytes": STREAM[start : start + self.size]}}

    def invoke_endpoint(self, **request: object) -> dict[str, object]:
        self.requests.append(request)
        reply = {"choices": [{"message": {"content": "Grüße"}}]}
        return {"Body": io.BytesIO(json.dumps(reply).encode())}


@pytest.fixture
def live(stack: Stack) -> Stack:
    stack.table.commit(example.record(), ())
    return stack


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    runtime = Runtime()
    monkeypatch.setattr(Stack, "runtime", runtime)
    return runtime


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_the_answer_streams_in_however_it_is_cut(live: Stack, runtime: Runtime, size: int) -> None:
    runtime.size = size
    result = novaloop("invoke", example.NAME, "hello")
    assert result.exit_code == 0
    assert result.stdout == "".join(TEXTS) + "\n"


def test_the_request_is_the_chat_that_the_model_was_trained_for(
    stack: Stack, runtime: Runtime
) -> None:
    spec = example.record().spec.model_copy(update={"system_prompt": "Classify."})
    stack.table.commit(replace(example.record(), spec=spec), ())
    novaloop("invoke", example.NAME, "-", "--max-tokens", "9", input="from stdin")
    (request,) = runtime.requests
    body = json.loads(str(request["Body"]))
    assert request["EndpointName"] == example.ENDPOINT
    assert (body["stream"], body["max_tokens"]) == (True, 9)
    assert [message["content"] for message in body["messages"]] == ["Classify.", "from stdin"]


def test_wherever_two_parts_meet_the_answer_is_the_same() -> None:
    whole = list(events([STREAM]))
    assert len(whole) == len(TEXTS)
    for cut in range(len(STREAM) + 1):
        assert list(events([STREAM[:cut], STREAM[cut:]])) == whole, cut


@pytest.mark.parametrize("option", ["--stream", "--no-stream"])
def test_a_component_is_asked_by_its_name(stack: Stack, runtime: Runtime, option: str) -> None:
    record = example.record()
    assert record.endpoint is not None
    served = replace(record.endpoint, component="novaloop-quality--deploy-1")
    stack.table.commit(replace(record, endpoint=served), ())
    assert novaloop("invoke", example.NAME, "hello", option).exit_code == 0
    (request,) = runtime.requests
    assert request["EndpointName"] == example.ENDPOINT
    assert request["InferenceComponentName"] == "novaloop-quality--deploy-1"


def test_without_streaming_the_other_call_is_used(live: Stack, runtime: Runtime) -> None:
    result = novaloop("invoke", example.NAME, "hello", "--no-stream")
    assert result.stdout == "Grüße\n"
    assert "stream" not in json.loads(str(runtime.requests[0]["Body"]))


@pytest.mark.parametrize("content", [None, ""])
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_where_reasoning_used_up_all_tokens_it_is_the_answer(
    live: Stack,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    content: str | None,
) -> None:
    def delta(text: str, more: str | None) -> dict[str, object]:
        choice = {"delta": {field: text, "content": more}, "message": {field: text}}
        return {"PayloadPart": {"Bytes": f"data: {json.dumps({'choices': [choice]})}\n\n".encode()}}

    thoughts = [delta("The user ", content), delta("greets.", content)]
    monkeypatch.setattr(runtime, "pieces", lambda: iter(thoughts))
    assert novaloop("invoke", example.NAME, "hello").stdout == "The user greets.\n"
    answered = [*thoughts, delta("", "Grüße")]
    monkeypatch.setattr(runtime, "pieces", lambda: iter(answered))
    assert novaloop("invoke", example.NAME, "hello").stdout == "Grüße\n"
    reply = {"choices": [{"message": {"content": content, field: "The user greets."}}]}
    body = {"Body": io.BytesIO(json.dumps(reply).encode())}
    monkeypatch.setattr(runtime, "invoke_endpoint", lambda **_: body)
    result = novaloop("invoke", example.NAME, "hello", "--no-stream")
    assert result.stdout == "The user greets.\n"


def test_what_is_not_live_is_not_asked(stack: Stack, runtime: Runtime) -> None:
    stack.table.commit(replace(example.record(), status=Status.EXPIRED), ())
    result = novaloop("invoke", example.NAME, "hello")
    assert result.exit_code == 2
    assert "quality is EXPIRED: no endpoint is live" in result.stderr
    assert runtime.requests == []


def test_a_stream_that_breaks_off_says_so(
    live: Stack, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [
        {"PayloadPart": {"Bytes": chunk("so far").encode()}},
        {"ModelStreamError": {"Message": "out of memory", "ErrorCode": "x"}},
    ]
    monkeypatch.setattr(runtime, "pieces", lambda: iter(broken))
    result = novaloop("invoke", example.NAME, "hello")
    assert result.exit_code == 1
    assert result.stdout == "so far"
    assert "the answer broke off: out of memory" in result.stderr


ERROR = {"object": "error", "message": "the context is too long", "code": 400}
NO_STREAMS = {
    b'{"choices": [{"message": {"content": "all at once"}}]}': (0, "all at once"),
    json.dumps(ERROR).encode(): (1, "answered with an error: the context is too long"),
    json.dumps({"error": ERROR}).encode(): (1, "answered with an error: the context is too long"),
    b'{"error": "no model"}': (1, "answered with an error: no model"),
    b"<html><body>502 Bad Gateway": (1, "something that is no chat completion"),
    b'{"generated_text": "hello"}': (1, "something that is no chat completion"),
    b"[]": (1, "something that is no chat completion"),
    b'"hello"': (1, "something that is no chat completion"),
    b'{"choices": [1]}': (1, "something that is no chat completion"),
    b'{"choices": null}': (1, "something that is no chat completion"),
    b"": (1, "something that is no chat completion"),
    b'{"choices": [{"message": {"content": ""}}]}': (0, "The answer is empty."),
    b'{"choices": [{"message": null}]}': (0, "The answer is empty."),
}


@pytest.mark.parametrize("option", ["--stream", "--no-stream"])
@pytest.mark.parametrize("body", NO_STREAMS)
def test_what_is_no_answer_is_told(
    live: Stack, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, body: bytes, option: str
) -> None:
    each = [{"PayloadPart": {"Bytes": body[at : at + 1]}} for at in range(len(body))]
    monkeypatch.setattr(runtime, "pieces", lambda: iter(each))
    monkeypatch.setattr(runtime, "invoke_endpoint", lambda **_: {"Body": io.BytesIO(body)})
    result = novaloop("invoke", example.NAME, "hello", option)
    code, told = NO_STREAMS[body]
    assert (result.exit_code, told in result.output) == (code, True), result.output


@pytest.mark.parametrize("error", [{"error": ERROR}, ERROR, {"error": "the context is too long"}])
def test_an_error_inside_a_stream_is_told(
    live: Stack, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, error: dict[str, object]
) -> None:
    sent = chunk("so far") + f"data: {json.dumps(error)}\n\ndata: [DONE]\n\n"
    broken = [{"PayloadPart": {"Bytes": sent.encode()}}]
    monkeypatch.setattr(runtime, "pieces", lambda: iter(broken))
    result = novaloop("invoke", example.NAME, "hello")
    assert (result.exit_code, result.stdout) == (1, "so far")
    assert "answered with an error: the context is too long" in result.stderr


def test_an_exception_that_a_stream_tells_of_is_told(
    live: Stack, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pieces() -> Iterator[dict[str, dict[str, bytes]]]:
        yield {"PayloadPart": {"Bytes": chunk("so far").encode()}}
        told = {"Error": {"Code": "ModelStreamError", "Message": "out of memory"}}
        raise EventStreamError(told, "InvokeEndpointWithResponseStream")

    monkeypatch.setattr(runtime, "pieces", pieces)
    result = novaloop("invoke", example.NAME, "hello")
    assert (result.exit_code, result.stdout) == (1, "so far")
    assert "the answer broke off: out of memory" in result.stderr


@pytest.mark.parametrize("question", ["", " \n", "-"])
def test_nothing_is_not_asked(live: Stack, runtime: Runtime, question: str) -> None:
    result = novaloop("invoke", example.NAME, question, input="\n")
    assert (result.exit_code, "the question is empty" in result.stderr) == (2, True)
    assert runtime.requests == []


def test_a_question_is_text(live: Stack, runtime: Runtime) -> None:
    result = novaloop("invoke", example.NAME, "-", input=b"caf\xe9")
    assert (result.exit_code, "no text in UTF-8" in result.stderr) == (2, True)
    assert runtime.requests == []


def test_a_model_that_fails_is_one_line(
    live: Stack, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        error = {"Code": "ModelError", "Message": "too long"}
        raise ClientError({"Error": error}, "InvokeEndpointWithResponseStream")

    monkeypatch.setattr(runtime, "invoke_endpoint_with_response_stream", fail)
    result = novaloop("invoke", example.NAME, "hello")
    assert result.exit_code == 1
    assert result.stderr == f"novaloop: {example.ENDPOINT} could not answer: too long\n"


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)


EVENTS = st.lists(LINES, min_size=1, max_size=3).filter(
    lambda lines: "\n".join(lines).strip() not in {"", "[DONE]"}
)


@given(
    sent=st.lists(EVENTS, max_size=4),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    data=st.data(),
)
def test_events_are_the_same_wherever_the_bytes_are_cut(
    sent: list[list[str]], line_end: str, data: st.DataObject
) -> None:
    lines = [line for event in sent for line in (*(f"data: {text}" for text in event), "")]
    stream = "".join(line + line_end for line in lines).encode()
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[low:high] for low, high in pairwise(edges)]
    assert list(events(pieces)) == ["\n".join(event) for event in sent]


def test_comments_fields_and_several_data_lines_are_read_as_the_standard_says() -> None:
    stream = b": ping\n\nevent: x\nid: 1\ndata: one\ndata:two\n\ndata: last without an end"
    assert list(events([stream])) == ["one\ntwo", "last without an end"]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_a_line_end_that_is_cut_in_two_is_one_line_end(line_end: bytes) -> None:
    stream = line_end.join((b"data: one", b"data: two", b"", b"data: three", b"", b""))
    pieces = [stream[at : at + 1] for at in range(len(stream))]
    assert list(events(pieces)) == ["one\ntwo", "three"]
