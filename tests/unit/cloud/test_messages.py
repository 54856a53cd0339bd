"""What the adapters send stays within the services' limits, as the local cloud checks them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest

from novaloop.cloud.messages import HintQueue, IngestFunction, Topic
from novaloop_localcloud import limits


class TakenError(Exception):
    """A request that the service would take."""


def _client(service: str) -> Any:
    """A client that gets no further than the service's limits."""
    make: Any = boto3.client
    client = make(
        service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )

    def judge(request: AWSPreparedRequest, **_: Any) -> None:
        body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
        told = {str(name).lower(): str(value) for name, value in request.headers.items()}
        path = request.url.partition("amazonaws.com")[2]
        problem = limits.refusal(service, path, told, body)
        if service == "sqs":
            problem = limits.delay_problem(json.loads(body)["DelaySeconds"])
        raise problem or TakenError

    client.meta.events.register("before-send", judge)
    return client


@pytest.mark.parametrize("hours", [-1.0, 0.0, 0.0001, 0.25, 24.0])
def test_a_hint_s_delay_is_one_that_sqs_takes(hours: float) -> None:
    hints = HintQueue(_client("sqs"), "https://sqs.us-east-1.amazonaws.com/123456789012/hints")
    with pytest.raises(TakenError):
        hints.look_at("questions", timedelta(hours=hours))


@pytest.mark.parametrize(
    "subject",
    ["Novaloop: questions is LIVE", f"Novaloop: {'q' * 300} is LIVE"],
    ids=["short", "long"],
)
def test_a_notification_s_subject_is_one_that_sns_takes(subject: str) -> None:
    topic = Topic(_client("sns"), "arn:aws:sns:us-east-1:123456789012:topic")
    with pytest.raises(TakenError):
        topic.publish(subject, f"{subject}\n\nA reason of two\nlines: é\n", {"status": "LIVE"})


def test_a_call_for_later_is_small() -> None:
    with pytest.raises(TakenError):
        IngestFunction(_client("lambda"), "ingest").request_ingest("inbox/" + "k" * 1_000)
