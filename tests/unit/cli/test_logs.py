from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest

from novaloop.experiment.record import Attempt, StageState, Status
from novaloop.experiment.validation.reading import read_spec
from novaloop_cli import logs
from novaloop_cli.errors import Failed, Refused
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from novaloop_cli.stack import Stack

JOB = f"novaloop-{example.NAME}--sft-1"


def write(stream: str, *messages: tuple[datetime, str], group: str = logs.JOB_LOGS) -> None:
    client = boto3.client("logs")
    names = [found["logGroupName"] for found in client.describe_log_groups()["logGroups"]]
    if group not in names:
        client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": int(at.timestamp() * 1000), "message": text} for at, text in messages]
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


@pytest.fixture
def logged(stack: Stack) -> Stack:
    now = datetime.now(UTC)
    stages = tuple(
        replace(stage, attempt=replace(stage.attempt, claimed_at=now - timedelta(hours=1)))
        for stage in example.stages()
    )
    stack.table.commit(replace(example.record(), stages=stages), ())
    write(f"{JOB}/algo-1-17", (now - timedelta(minutes=30), "step 1"), (now, "step 3"))
    write(f"{JOB}/algo-2-17", (now - timedelta(minutes=10), "step 2"))
    write(f"{JOB}0/algo-1-17", (now, "somebody else's"))
    return stack


def test_the_logs_of_every_machine_are_merged_by_time(logged: Stack) -> None:
    result = novaloop("logs", example.NAME, "--stage", "sft")
    lines = [line.split("  ")[1] for line in result.stdout.splitlines()]
    assert lines == ["step 1", "step 2", "step 3"]


def test_a_stage_that_waits_for_its_next_attempt_shows_the_log_of_the_one_that_was_lost(
    logged: Stack,
) -> None:
    _, record = logged.load(example.NAME)
    first, sft, *others = record.stages
    waits = replace(sft, state=StageState.WAITING, attempt=Attempt(2))
    later = [replace(each, state=StageState.PENDING, attempt=Attempt(2)) for each in others]
    logged.table.commit(replace(record, stages=(first, waits, *later)), ())
    for options in ([], ["--stage", "sft"], ["--follow"]):
        lines = novaloop("logs", example.NAME, *options).stdout.splitlines()
        assert [line.split("  ")[1] for line in lines] == ["step 1", "step 2", "step 3"]


def test_only_what_is_young_enough(logged: Stack) -> None:
    result = novaloop("logs", example.NAME, "--stage", "sft", "--since", "15m")
    assert "step 1" not in result.stdout
    assert "step 2" in result.stdout


def test_an_endpoint_has_a_log_group_of_its_own(logged: Stack) -> None:
    group = f"/aws/sagemaker/Endpoints/{example.ENDPOINT}"
    write("AllTraffic/i-1", (datetime.now(UTC), "serving"), group=group)
    assert "serving" in novaloop("logs", example.NAME).stdout


@pytest.mark.parametrize(
    ("deploy", "group"),
    [
        ("{endpoint: bot}", "/aws/sagemaker/Endpoints/novaloop-bot"),
        ("{inference_component: true}", f"/aws/sagemaker/InferenceComponents/{example.ENDPOINT}"),
    ],
)
def test_what_serves_writes_under_its_own_name(stack: Stack, deploy: str, group: str) -> None:
    spec = read_spec(f"plan: [sft, deploy: {deploy}]".encode())
    record = replace(example.record(), spec=spec)
    stages = [stage for stage in record.stages if stage.name in {"sft", "deploy"}]
    stack.table.commit(replace(record, stages=tuple(stages)), ())
    write("AllTraffic/i-1", (datetime.now(UTC), "serving"), group=group)
    assert "serving" in novaloop("logs", example.NAME, "--stage", "deploy").stdout


def test_a_job_that_writes_later_than_others_is_one_line(logged: Stack) -> None:
    result = novaloop("logs", example.NAME, "--stage", "baseline")
    assert result.exit_code == 1
    assert "has written no logs yet" in result.stderr


def test_following_prints_each_line_once_until_the_stage_is_over(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    _, sft, *_ = example.stages()
    under_way = replace(
        sft, attempt=replace(sft.attempt, claimed_at=now - timedelta(hours=1), ended_at=None)
    )
    record = replace(example.record(), status=Status.RUNNING, stages=(under_way,))
    stored = stack.table.commit(record, ())
    write(f"{JOB}/algo-1-17", (now, "first"))
    steps = iter(["second", "over"])

    def go_on(_: float) -> None:
        nonlocal stored
        if (text := next(steps)) == "over":
            ended = replace(under_way, attempt=replace(under_way.attempt, ended_at=now))
            stored = stack.table.commit(replace(stored, stages=(ended,)), ())
        else:
            write(f"{JOB}/algo-2-17", (datetime.now(UTC), text))

    monkeypatch.setattr(logs.time, "sleep", go_on)
    result = novaloop("logs", example.NAME, "--follow")
    assert [line.split("  ")[1] for line in result.stdout.splitlines()] == ["first", "second"]


def test_a_job_without_logs_is_one_line(stack: Stack) -> None:
    stack.table.commit(example.record(), ())
    result = novaloop("logs", example.NAME, "--stage", "sft")
    assert result.exit_code == 1
    assert "has written no logs yet" in result.stderr


def test_an_endpoint_of_the_local_cloud_never_has_a_log(stack: Stack) -> None:
    """To try again shortly is advice for AWS, where the container writes once it serves."""
    stack.table.commit(example.record(), ())
    _, record = stack.load(example.NAME)
    deploy = record.stages[-1]
    with pytest.raises(Failed, match="try again shortly"):
        list(logs.read(stack, record, deploy, None))
    with pytest.raises(Refused, match="in the local cloud, an endpoint writes no log"):
        list(logs.read(replace(stack, is_local=True), record, deploy, None))


@pytest.mark.parametrize(
    ("spec", "options", "says"),
    [
        ("plan: [sft, deploy: {to: bedrock-on-demand}]", ["--stage", "deploy"], "deploy runs on"),
        ("runtime: bedrock", [], "nothing runs but on Bedrock"),
    ],
)
def test_bedrock_keeps_no_log(stack: Stack, spec: str, options: list[str], says: str) -> None:
    record = replace(example.record(), spec=read_spec(spec.encode()))
    stages = [stage for stage in record.stages if stage.name in {"sft", "deploy"}]
    stack.table.commit(replace(record, stages=tuple(stages)), ())
    result = novaloop("logs", example.NAME, *options)
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_unknown_stage_names_those_that_have_logs(stack: Stack) -> None:
    stack.table.commit(example.record(), ())
    result = novaloop("logs", example.NAME, "--stage", "nothing")
    assert result.exit_code == 2
    assert "stages with logs: baseline, sft" in result.stderr


@pytest.mark.parametrize("span", ["10", "m", "-1m", "1w"])
def test_a_span_must_be_one(span: str) -> None:
    result = novaloop("logs", "x", f"--since={span}")
    assert result.exit_code == 2
    assert "write 90s, 10m, 2h or 1d" in result.stderr


def test_whose_log_it_is_is_said_where_no_stage_was_named(logged: Stack) -> None:
    group = f"/aws/sagemaker/Endpoints/{example.ENDPOINT}"
    write("AllTraffic/i-1", (datetime.now(UTC), "serving"), group=group)
    told = novaloop("logs", example.NAME, "--stack", "novaloop").stderr
    others = "baseline, sft, after-sft, rft, after-rft"
    command = f"novaloop logs {example.NAME} --stage after-rft --stack novaloop"
    assert told == f"This is deploy. Logs of {others}: {command}\n"
    assert novaloop("logs", example.NAME, "--stage", "sft").stderr == ""
