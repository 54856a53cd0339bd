from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from novaloop.cloud.job_logs import LATE_MS, LOG_GROUP, MAX_PAGES, MAX_STREAMS, TrainingJobLogs

JOB = "novaloop-demo--rft-1"
STREAMS = [f"{JOB}/algo-1-1770000000", f"{JOB}/algo-2-1770000000"]
T = 1_770_000_000_000


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.client(
        "logs",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def expect_streams(stub: Stubber, names: list[str]) -> None:
    answer = {"logStreams": [{"logStreamName": name} for name in names]}
    asked = {"logGroupName": LOG_GROUP, "logStreamNamePrefix": f"{JOB}/", "limit": MAX_STREAMS}
    stub.add_response("describe_log_streams", answer, asked)


def page(*times: int, token: str | None = None) -> dict[str, Any]:
    events = [{"timestamp": T + time, "message": f"line {time}"} for time in times]
    return {"events": events, **({"nextToken": token} if token else {})}


def expect_page(stub: Stubber, answer: dict[str, Any], begin: int, token: str = "") -> None:
    asked = {"logGroupName": LOG_GROUP, "logStreamNames": STREAMS, "startTime": begin}
    stub.add_response("filter_log_events", answer, asked | ({"nextToken": token} if token else {}))


def test_lines_of_all_machines_come_in_the_order_of_their_times(stub: Stubber) -> None:
    expect_streams(stub, STREAMS)
    expect_page(stub, page(5, 3, 4), begin=0)
    found = TrainingJobLogs(stub.client).read(JOB, None)
    assert [line.text for line in found.lines] == ["line 3", "line 4", "line 5"]
    assert found.lines[0].at == datetime.fromtimestamp((T + 3) / 1000, UTC)


def test_the_next_look_begins_a_little_before_the_newest_line(stub: Stubber) -> None:
    expect_streams(stub, STREAMS)
    expect_page(stub, page(50_000), begin=0)
    first = TrainingJobLogs(stub.client).read(JOB, None)
    expect_streams(stub, STREAMS)
    expect_page(stub, page(), begin=T + 50_000 - LATE_MS)
    second = TrainingJobLogs(stub.client).read(JOB, first.cursor)
    assert second.cursor == first.cursor


def test_a_long_log_takes_several_looks(stub: Stubber) -> None:
    expect_streams(stub, STREAMS)
    for number in range(MAX_PAGES):
        token = f"token/{number}" if number else ""
        expect_page(stub, page(number, token=f"token/{number + 1}"), begin=0, token=token)
    first = TrainingJobLogs(stub.client).read(JOB, None)
    assert len(first.lines) == MAX_PAGES
    expect_streams(stub, STREAMS)
    expect_page(stub, page(), begin=0, token=f"token/{MAX_PAGES}")
    second = TrainingJobLogs(stub.client).read(JOB, first.cursor)
    expect_streams(stub, STREAMS)
    expect_page(stub, page(), begin=T + MAX_PAGES - 1 - LATE_MS)
    TrainingJobLogs(stub.client).read(JOB, second.cursor)


def test_a_token_that_no_longer_holds_costs_reading_the_time_again(stub: Stubber) -> None:
    expect_streams(stub, STREAMS)
    stub.add_client_error("filter_log_events", "InvalidParameterException")
    expect_page(stub, page(1), begin=7)
    found = TrainingJobLogs(stub.client).read(JOB, "7/9/expired")
    assert [line.text for line in found.lines] == ["line 1"]


def test_a_job_that_has_not_logged_yet_has_no_lines(stub: Stubber) -> None:
    expect_streams(stub, [])
    found = TrainingJobLogs(stub.client).read(JOB, None)
    assert not found.lines
    stub.add_client_error("describe_log_streams", "ResourceNotFoundException")
    assert TrainingJobLogs(stub.client).read(JOB, found.cursor) == found


def test_other_errors_are_the_callers(stub: Stubber) -> None:
    expect_streams(stub, STREAMS)
    stub.add_client_error("filter_log_events", "ThrottlingException")
    with pytest.raises(ClientError):
        TrainingJobLogs(stub.client).read(JOB, None)
