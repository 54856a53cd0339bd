"""`novaloop invoke` where Bedrock serves."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from novaloop.experiment.record import Endpoint
from novaloop.experiment.validation.reading import read_spec
from novaloop_cli.stack import Stack
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

NAME = "novaloop-quality_deploy-1"
ARN = "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/0123456789ab"
TEXTS = ["Grüße ", "aus ", "München 🎉"]
CHUNKS: list[dict[str, Any]] = [
    {"messageStart": {"role": "assistant"}},
    *({"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}} for text in TEXTS),
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 3}}},
]


class Bedrock:
    """Control plane and runtime: one deployment, one provisioned model, one answer."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.looked_up: list[str] = []
        self.events = [{"chunk": {"bytes": json.dumps(chunk).encode()}} for chunk in CHUNKS]
        self.answer: bytes = json.dumps(
            {"output": {"message": {"role": "assistant", "content": [{"text": "Grüße"}]}}}
        ).encode()

    def get_custom_model_deployment(
        self,
        customModelDeploymentIdentifier: str,  # noqa: N803
    ) -> dict[str, str]:
        self.looked_up.append(customModelDeploymentIdentifier)
        return {"customModelDeploymentArn": ARN}

    def get_provisioned_model_throughput(self, provisionedModelId: str) -> dict[str, str]:  # noqa: N803
        self.looked_up.append(provisionedModelId)
        return {"provisionedModelArn": ARN.replace("custom-model-deployment", "provisioned-model")}

    def invoke_model_with_response_stream(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"body": iter(self.events)}

    def invoke_model(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"body": io.BytesIO(self.answer)}


@pytest.fixture
def bedrock(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Bedrock:
    bedrock = Bedrock()
    monkeypatch.setattr(Stack, "bedrock", bedrock)
    monkeypatch.setattr(Stack, "bedrock_runtime", bedrock)
    serve(stack, "bedrock-on-demand")
    return bedrock


def serve(stack: Stack, to: str) -> None:
    record = example.record()
    spec = read_spec(f"system_prompt: Classify.\nplan: [sft, deploy: {{to: {to}}}]".encode())
    assert record.endpoint is not None
    endpoint = Endpoint(NAME, record.endpoint.live_at, record.endpoint.expires_at)
    found = stack.table.load(example.NAME).record
    version = found.version if found else record.version
    stages = tuple(stage for stage in record.stages if stage.name in {"sft", "deploy"})
    served = replace(record, spec=spec, stages=stages, endpoint=endpoint, version=version)
    stack.table.commit(served, ())


def test_the_answer_streams_in_from_the_deployment_of_that_name(bedrock: Bedrock) -> None:
    result = novaloop("invoke", example.NAME, "hello", "--max-tokens", "9")
    assert result.stdout == "".join(TEXTS) + "\n"
    (request,) = bedrock.requests
    assert bedrock.looked_up == [NAME]
    assert request["modelId"] == ARN
    assert json.loads(request["body"]) == {
        "system": [{"text": "Classify."}],
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
        "inferenceConfig": {"maxTokens": 9, "topK": 1},
    }


def test_provisioned_throughput_is_asked_by_its_own_arn(bedrock: Bedrock, stack: Stack) -> None:
    serve(stack, "bedrock-provisioned")
    result = novaloop("invoke", example.NAME, "hello", "--no-stream")
    assert result.stdout == "Grüße\n"
    assert ":provisioned-model/" in bedrock.requests[0]["modelId"]


def test_a_stream_that_breaks_off_says_so(bedrock: Bedrock) -> None:
    broken: Any = {"modelStreamErrorException": {"message": "out of memory"}}
    bedrock.events = [*bedrock.events[:2], broken]
    result = novaloop("invoke", example.NAME, "hello")
    assert result.exit_code == 1
    assert result.stdout == TEXTS[0]
    assert "the answer broke off: out of memory" in result.stderr


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]", b'{"output": {"message": {}}}'])
def test_what_is_no_answer_is_one_line(bedrock: Bedrock, answer: bytes) -> None:
    bedrock.answer = answer
    result = novaloop("invoke", example.NAME, "hello", "--no-stream")
    assert result.exit_code == 1
    assert "answered with something that is none of a Nova model's answers" in result.stderr


def test_where_reasoning_used_up_all_tokens_it_is_the_answer(bedrock: Bedrock) -> None:
    thought = {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "The user greets."}}}}
    thinking = {"chunk": {"bytes": json.dumps(thought).encode()}}
    answered, bedrock.events = [thinking, *bedrock.events], [thinking]
    assert novaloop("invoke", example.NAME, "hello").stdout == "The user greets.\n"
    bedrock.events = answered
    assert novaloop("invoke", example.NAME, "hello").stdout == "".join(TEXTS) + "\n"
