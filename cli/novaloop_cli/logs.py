"""`novaloop logs`: what an experiment's jobs and endpoint wrote to CloudWatch."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError

from novaloop.experiment.names import job_name
from novaloop.experiment.record import Attempt, Record, Stage, StageState
from novaloop.experiment.runtimes.serving import endpoint_ref
from novaloop_cli.errors import Failed, Refused
from novaloop_cli.stack import Stack, with_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from novaloop.experiment.runtimes.serving import EndpointRef

JOB_LOGS = "/aws/sagemaker/TrainingJobs"
ENDPOINT_LOGS = "/aws/sagemaker/Endpoints"
COMPONENT_LOGS = "/aws/sagemaker/InferenceComponents"
POLL_SECONDS = 2.0
LATE = timedelta(seconds=10)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType[timedelta]):
    """A span of time such as 90s, 10m, 2h or 1d."""

    name = "span"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read a span."""
        match = re.fullmatch(r"(\d+)([smhd])", value)
        if match is None:
            self.fail(f"{value} is no span of time; write 90s, 10m, 2h or 1d", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.command()
@click.argument("name")
@click.option("--stage", "stage_name", help="The stage; else the newest that has begun.")
@click.option("--follow", "-f", is_flag=True, help="Wait for more until the stage is over.")
@click.option("--since", type=Since(), help="Only what is younger, such as 10m.")
@with_stack
def logs(
    stack: Stack, name: str, stage_name: str | None, follow: bool, since: timedelta | None
) -> None:
    """Print the logs of one stage of experiment NAME."""
    _, record = stack.load(name)
    stage = pick_stage(record, stage_name)
    begun = stage.attempt.claimed_at or stage.attempt.started_at
    begin = datetime.now(UTC) - since if since else begun
    others = [each.name for each in logged_stages(record) if each.name != stage.name]
    if stage_name is None and others:
        other = stack.command("logs", name, "--stage", others[-1])
        click.echo(f"This is {stage.name}. Logs of {', '.join(others)}: {other}", err=True)
    lines = _follow(stack, record, stage, begin) if follow else read(stack, record, stage, begin)
    for line in lines:
        click.echo(line)


def pick_stage(record: Record, name: str | None) -> Stage:
    """Return the stage of that name, or the newest that has a log. Raises Refused."""
    begun, logged = begun_stages(record), logged_stages(record)
    if name is None and logged:
        return logged[-1]
    stage = next((stage for stage in logged if stage.name == name), None)
    if stage is None:
        names = ", ".join(stage.name for stage in logged) or "none yet"
        which = _why_no_log(name, record, begun)
        raise Refused(f"{record.experiment_id}: {which}; stages with logs: {names}")
    return stage


def begun_stages(record: Record) -> list[Stage]:
    """Return the stages that have begun, each at its last attempt that has."""
    return [last for stage in record.stages if (last := _last_begun(record, stage))]


def logged_stages(record: Record) -> list[Stage]:
    """Return those of them that run where logs are kept."""
    return [stage for stage in begun_stages(record) if not _is_on_bedrock(record, stage)]


def _last_begun(record: Record, stage: Stage) -> Stage | None:
    """Return the stage at its last attempt that was claimed; None if there is none.

    While it waits for its next one, that is the attempt that was lost.
    """
    number = stage.attempt.number
    if stage.attempt.job_name or stage.state is not StageState.WAITING or number == 1:
        return stage if stage.attempt.job_name else None
    of = record.prefix, record.experiment_id, record.uid
    return replace(stage, attempt=Attempt(number - 1, job_name(*of, stage.name, number - 1)))


def _is_on_bedrock(record: Record, stage: Stage) -> bool:
    if stage.kind.serves:
        return record.plan_of(stage).on_bedrock
    return not record.spec.runtime.keeps_log


def _why_no_log(name: str | None, record: Record, begun: list[Stage]) -> str:
    if name is None:
        return "nothing runs but on Bedrock, which keeps no log" if begun else "no stage has begun"
    if any(plan.name == name and plan.recorded_as is not None for plan in record.spec.plan):
        return f"stage {name} has no job: its answers were recorded"
    if any(stage.name == name for stage in begun):
        return f"stage {name} runs on Bedrock, which keeps no log"
    return f"stage {name} has not begun"


def read(
    stack: Stack,
    record: Record,
    stage: Stage,
    begin: datetime | None,
    seen: set[str] | None = None,
) -> Iterator[str]:
    """Yield the lines of every machine of a stage's job, in the order of their times.

    Raises Failed if there is no log yet.
    """
    seen = set() if seen is None else seen
    try:
        for event in _events(stack, _where(stack, record, stage), begin):
            if event["eventId"] not in seen:
                seen.add(event["eventId"])
                at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                yield f"{at:%H:%M:%S}  {event['message'].rstrip()}"
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise _no_logs(stack, stage) from None


def _no_logs(stack: Stack, stage: Stage) -> Failed | Refused:
    if stack.is_local and stage.kind.serves:
        return Refused(f"{stage.attempt.job_name}: in the local cloud, an endpoint writes no log")
    return Failed(f"{stage.attempt.job_name} has written no logs yet; try again shortly")


def _events(stack: Stack, where: Any, begin: datetime | None) -> Iterator[Any]:
    start = int(begin.timestamp() * 1000) if begin else 0
    pages = stack.logs.get_paginator("filter_log_events")
    for page in pages.paginate(startTime=start, **where):
        yield from sorted(page["events"], key=lambda event: event["timestamp"])


def _where(stack: Stack, record: Record, stage: Stage) -> Any:
    """Return the log group, and which of its streams: a job has one for each machine."""
    if stage.kind.serves:
        return {"logGroupName": _group_of(endpoint_ref(record, stage))}
    found = stack.logs.describe_log_streams(
        logGroupName=JOB_LOGS, logStreamNamePrefix=f"{stage.attempt.job_name}/"
    )
    streams = [stream["logStreamName"] for stream in found["logStreams"]]
    if not streams:
        raise _no_logs(stack, stage)
    return {"logGroupName": JOB_LOGS, "logStreamNames": streams}


def _group_of(ref: EndpointRef) -> str:
    """Return where the containers of an endpoint write, those of a component by its name."""
    if ref.component is not None:
        return f"{COMPONENT_LOGS}/{ref.component}"
    return f"{ENDPOINT_LOGS}/{ref.endpoint}"


def _follow(stack: Stack, record: Record, stage: Stage, begin: datetime | None) -> Iterator[str]:
    seen: set[str] = set()
    while True:
        _, record = stack.load(record.experiment_id)
        now = record.stage(stage.name)
        over = now.attempt.ended_at is not None or now.attempt.job_name != stage.attempt.job_name
        looked_at = datetime.now(UTC)
        try:
            yield from read(stack, record, stage, begin, seen)
        except Failed:
            if over:
                raise
        if over:
            return
        # Lines of several machines arrive out of order; what was printed is not printed again.
        begin = max(filter(None, (begin, looked_at - LATE)))
        time.sleep(POLL_SECONDS)
