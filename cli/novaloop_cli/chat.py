"""`novaloop invoke`: ask the live endpoint."""

from __future__ import annotations

import json
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError, EventStreamError

from novaloop.experiment.record import Endpoint, Record, Status
from novaloop.recipes.bedrock_serving import native_request
from novaloop.usecases.outcomes import chat_request
from novaloop_cli import bedrock_chat
from novaloop_cli.errors import Failed, Refused
from novaloop_cli.spoken import Piece, spoken
from novaloop_cli.sse import events
from novaloop_cli.stack import Stack, with_stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JSON = "application/json"


@click.command()
@click.argument("name")
@click.argument("prompt")
@click.option("--stream/--no-stream", default=True, help="Print the answer while it is written.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="The length at which the answer is cut off.",
)
@with_stack
def invoke(stack: Stack, name: str, prompt: str, stream: bool, max_tokens: int) -> None:
    """Ask the endpoint of experiment NAME.

    PROMPT `-` reads standard input.
    """
    question = _read_input() if prompt == "-" else prompt
    if not question.strip():
        raise Refused("the question is empty; write it after the name, or pipe it into `-`")
    _, record = stack.load(name)
    said = False
    for text in answer(stack, record, question, max_tokens, stream=stream):
        said = said or bool(text.strip())
        click.echo(text, nl=False)
    click.echo()
    if not said:
        click.echo("The answer is empty.", err=True)


def _read_input() -> str:
    """Return standard input. Raises Refused unless it is text."""
    try:
        return "" if sys.stdin is None else sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("standard input is no text in UTF-8") from None


def answer(
    stack: Stack, record: Record, question: str, max_tokens: int, *, stream: bool
) -> Iterator[str]:
    """Yield the answer's text as it arrives. Raises Refused, Failed."""
    if record.status is not Status.LIVE or record.endpoint is None:
        raise Refused(f"{record.experiment_id} is {record.status}: no endpoint is live")
    name, plan = record.endpoint.name, record.spec.deployment
    try:
        if plan is not None and plan.on_bedrock:
            request = native_request(question, record.spec.system_prompt, max_tokens)
            yield from bedrock_chat.answer(stack, name, plan.to, request, stream=stream)
            return
        body = chat_request(question, record.spec.system_prompt, max_tokens)
        yield from spoken((_streamed if stream else _whole)(stack, record.endpoint, body))
    except EventStreamError as error:
        # botocore raises what a stream tells of as an exception, by whichever service.
        message = error.response.get("Error", {}).get("Message") or "it does not say why"
        raise Failed(f"the answer broke off: {message}") from None
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ModelError", "ModelErrorException"}:
            message = error.response["Error"]["Message"]
            raise Failed(f"{name} could not answer: {message}") from None
        raise


def _target(endpoint: Endpoint) -> dict[str, Any]:
    """Return the parameters by which the runtime finds what serves."""
    component = {"InferenceComponentName": endpoint.component} if endpoint.component else {}
    return {"EndpointName": endpoint.name, **component}


def _streamed(stack: Stack, endpoint: Endpoint, body: dict[str, object]) -> Iterator[Piece]:
    request = json.dumps(body | {"stream": True})
    response = stack.runtime.invoke_endpoint_with_response_stream(
        **_target(endpoint), ContentType=JSON, Body=request
    )
    payloads = _payloads(response["Body"])
    beginning = _beginning(payloads)
    if not beginning.lstrip().startswith(_FIELDS):
        # A server may answer a stream's request by JSON alone, a proxy before it by a page.
        yield from _pieces(endpoint.name, b"".join((beginning, *payloads)), "message")
        return
    for data in events(chain((beginning,), payloads)):
        yield from _pieces(endpoint.name, data, "delta")


_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""How the lines of an event stream begin."""


def _beginning(payloads: Iterator[bytes]) -> bytes:
    """Take as much of a stream as tells whether it is one of events."""
    beginning = b""
    for payload in payloads:
        beginning += payload
        if len(beginning.lstrip()) >= max(map(len, _FIELDS)):
            break
    return beginning


def _payloads(stream: Any) -> Iterator[bytes]:
    for part in stream:
        for kind in ("ModelStreamError", "InternalStreamFailure"):
            if kind in part:
                raise Failed(f"the answer broke off: {part[kind].get('Message', kind)}")
        yield part["PayloadPart"]["Bytes"]


def _whole(stack: Stack, endpoint: Endpoint, body: dict[str, object]) -> Iterator[Piece]:
    response = stack.runtime.invoke_endpoint(
        **_target(endpoint), ContentType=JSON, Accept=JSON, Body=json.dumps(body)
    )
    yield from _pieces(endpoint.name, response["Body"].read(), "message")


def _pieces(endpoint: str, text: str | bytes, turn: str) -> Iterator[Piece]:
    """Yield what the choices of a chat completion say in their `turn`, the message or the delta.

    Raises Failed for an error and for whatever else it is. Source of the two forms of an error:
    what servers of the OpenAI protocol such as vLLM send, by themselves and within a stream.
    """
    try:
        parsed = json.loads(text)
        told = parsed.get("error") or (parsed if parsed.get("object") == "error" else None)
        choices = [] if told else parsed["choices"]
        said = [_piece(choice.get(turn) or {}) for choice in choices]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Failed(f"{endpoint} {_BROKEN}") from None
    if told:
        message = told.get("message") if isinstance(told, dict) else told
        raise Failed(f"{endpoint} answered with an error: {str(message)[:_LONGEST]}")
    yield from said


_BROKEN = "answered with something that is no chat completion"
_LONGEST = 300


def _piece(message: Mapping[str, Any]) -> Piece:
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return str(message.get("content") or ""), str(reasoning or "")
