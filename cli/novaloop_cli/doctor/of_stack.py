"""Checks of a deployed stack: whether all that has to act, acts, and somebody hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from novaloop.cloud.errors import found
from novaloop.usecases.errors import code_of
from novaloop_cli.doctor.account import DeployedStack
from novaloop_cli.doctor.findings import Finding, fine, stops, warns

_ALARMS_AT_ONCE = 100
"""What DescribeAlarms takes names of."""


def status(stack: DeployedStack) -> Iterator[Finding]:
    """Whether CloudFormation has finished, and with what."""
    told = f"CloudFormation says {stack.status}"
    if stack.status.endswith("_IN_PROGRESS"):
        yield warns(f"{told}: the stack is being changed", "look again when it is done")
    elif stack.status == "UPDATE_ROLLBACK_COMPLETE":
        do = "`sam deploy` tells why it failed; what was deployed before runs on"
        yield warns(f"{told}: the last update has failed", do)
    elif stack.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        yield fine(told)
    else:
        do = "the stack's events in CloudFormation tell why; mend it, and deploy again"
        yield stops(f"{told}: the stack is not whole", do)
    if not stack.is_whole:
        what = f"{stack.name} has no outputs of Novaloop, so nothing of it can be looked at"
        yield stops(what, "finish its deployment, or name Novaloop's stack with --stack")


def functions(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether each function can run."""
    sound = 0
    for logical_id, name in stack.of_type("AWS::Lambda::Function"):
        answer = client.get_function_configuration(FunctionName=name)
        state, update = answer.get("State", "Active"), answer.get("LastUpdateStatus", "Successful")
        reserved = client.get_function_concurrency(FunctionName=name)
        if reserved.get("ReservedConcurrentExecutions") == 0:
            do = f"`aws lambda delete-function-concurrency --function-name {name}`"
            yield stops(f"{logical_id} is switched off: it may run no times at once", do)
        elif state in {"Active", "Inactive"} and update == "Successful":
            sound += 1
        else:
            why = answer.get("StateReason") or answer.get("LastUpdateStatusReason") or "no reason"
            yield stops(f"{logical_id} is {state}, its last update {update}: {why}", "deploy again")
    yield fine(f"{sound} functions can run")


def sources(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether the functions are called for what is in queue and stream."""
    kind, enabled = "AWS::Lambda::EventSourceMapping", 0
    for logical_id, uuid in stack.of_type(kind):
        state = client.get_event_source_mapping(UUID=uuid)["State"]
        if state == "Enabled":
            enabled += 1
        elif state in {"Creating", "Enabling", "Updating"}:
            yield warns(f"{logical_id} is {state}", "look again in a minute")
        else:
            do = f"`aws lambda update-event-source-mapping --uuid {uuid} --enabled`"
            yield stops(f"{logical_id} is {state}: the controller gets no hints from it", do)
    yield fine(f"{enabled} sources of hints are enabled")


def rules(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether EventBridge's rules are enabled."""
    enabled = 0
    for logical_id, physical_id in stack.of_type("AWS::Events::Rule"):
        name = physical_id.rpartition("|")[2]  # of a bus that has a name
        if client.describe_rule(Name=name)["State"].startswith("ENABLED"):
            enabled += 1
        else:
            do = f"`aws events enable-rule --name {name}`"
            yield stops(f"the rule {logical_id} is disabled: its events are not heard", do)
    yield fine(f"{enabled} rules are enabled")


def sweep(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether the schedule of the sweep is on: it makes up for every event that is lost."""
    for logical_id, name in stack.of_type("AWS::Scheduler::Schedule"):
        answer = client.get_schedule(Name=name)
        if answer["State"] == "ENABLED":
            yield fine(f"the sweep runs at {answer['ScheduleExpression']}")
        else:
            what = f"{logical_id} is disabled: what an event is lost of stands still"
            yield stops(what, f"enable the schedule {name} in EventBridge Scheduler")


def uploads(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether the bucket tells EventBridge of uploads."""
    bucket = stack.outputs["BucketName"]
    answer = client.get_bucket_notification_configuration(Bucket=bucket)
    if "EventBridgeConfiguration" in answer:
        yield fine("the bucket tells of uploads")
    else:
        what = "the bucket does not tell EventBridge of uploads: only the sweep finds them"
        yield stops(what, "switch EventBridge on in the bucket's properties, or deploy again")


def dead_letters(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether something was given up."""
    for logical_id, url in stack.of_type("AWS::SQS::Queue"):
        if "DeadLetter" not in logical_id:
            continue
        name = "ApproximateNumberOfMessages"
        answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        number = int(answer["Attributes"][name])
        if number:
            do = "read them (docs/operations.md, On call), and delete what is understood"
            yield warns(f"{number:,} dead letters: what was given up after several tries", do)
        else:
            yield fine("no dead letters")


def alarms(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Which alarms ring."""
    names = [name for _, name in stack.of_type("AWS::CloudWatch::Alarm")]
    ringing = [
        alarm
        for start in range(0, len(names), _ALARMS_AT_ONCE)
        for alarm in client.describe_alarms(AlarmNames=names[start : start + _ALARMS_AT_ONCE])[
            "MetricAlarms"
        ]
        if alarm["StateValue"] == "ALARM"
    ]
    for alarm in ringing:
        told = alarm.get("AlarmDescription", alarm["AlarmName"])
        yield warns(f"an alarm rings: {told}", "docs/operations.md, On call")
    if not ringing:
        yield fine(f"none of {len(names)} alarms rings")


def notifications(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether somebody is told."""
    topic = stack.outputs["TopicArn"]
    pages = client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    arns = [each["SubscriptionArn"] for page in pages for each in page["Subscriptions"]]
    waiting = sum(not arn.startswith("arn:") for arn in arns)
    if waiting:
        do = "follow the link in AWS's mail, which may lie in the spam"
        yield warns(f"{waiting} of {len(arns)} subscriptions are not confirmed", do)
    elif arns:
        yield fine(f"{len(arns)} subscribers are told what happens")
    else:
        what = "nobody is told when an experiment waits for a person, fails or serves"
        yield warns(what, f"deploy with NotificationEmail, or subscribe to {topic}")


def key(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether the key of the jobs' output can be used."""
    arn = stack.parameters.get("OutputKmsKeyArn")
    if not arn:
        return
    try:
        state = client.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
    except ClientError as error:
        if code_of(error) != "NotFoundException":
            raise
        state = "not there"
    if state == "Enabled":
        yield fine("the key of OutputKmsKeyArn is enabled")
    else:
        what = f"the key of OutputKmsKeyArn is {state}: no job can write its output"
        yield stops(what, "enable it, or deploy with another")


def own_functions(stack: DeployedStack, client: Any) -> Iterator[Finding]:
    """Whether the functions that experiments may name are there."""
    for parameter in ("RewardFunctionArns", "ProcessorFunctionArns"):
        for arn in filter(None, stack.parameters.get(parameter, "").split(",")):
            if found(partial(client.get_function_configuration, FunctionName=arn)) is None:
                what = f"{arn} of {parameter} does not exist: a job that calls it would fail"
                yield stops(what, "deploy the function, or the stack without it")
            else:
                yield fine(f"{arn} of {parameter} is there")
