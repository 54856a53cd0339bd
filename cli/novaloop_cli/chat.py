"""`novaloop invoke`: ask the live endpoint."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError

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
    question = sys.stdin.read() if prompt == "-" else prompt
    _, record = stack.load(name)
    for text in answer(stack, record, question, max_tokens, stream=stream):
        click.echo(text, nl=False)
    click.echo()


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
    for data in events(_payloads(response["Body"])):
        for choice in _parse(endpoint.name, data).get("choices", []):
            yield _piece(choice.get("delta", {}))


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
    reply = _parse(endpoint.name, response["Body"].read())
    for choice in reply.get("choices", []):
        yield _piece(choice.get("message", {}))


def _piece(message: Mapping[str, Any]) -> Piece:
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return message.get("content") or "", reasoning or ""


def _parse(endpoint: str, text: str | bytes) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(text)
    except ValueError:
        raise Failed(f"{endpoint} answered with something other than JSON") from None
    return parsed
