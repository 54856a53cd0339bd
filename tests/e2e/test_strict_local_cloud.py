"""The emulator refuses what AWS refuses: each rule once, through boto3 and the SAM CLI."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from novaloop_localcloud.cloud import LocalCloud, up
from novaloop_localcloud.emulator import LocalCloudError, Timing
from novaloop_localcloud.limits import MESSAGE_BYTES, REQUEST_BYTES, RESPONSE_BYTES
from novaloop_localcloud.sagemaker.faults import Fault
from tests.e2e.application import counted, wait_for
from tests.unit.cloud.test_big_file_machine import gives_a_name_once

pytestmark = pytest.mark.e2e

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/anything"
FAST = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
CODE = """\
from pathlib import Path
from time import sleep

def h(event, _):
    if "until" in event:
        Path(event["until"]).with_name("started").touch()
        while not Path(event["until"]).exists():
            sleep(0.05)
    return "x" * event.get("bytes", 0)
"""
TOPIC = "AWS::SNS::Topic"
LATE = Timing(resources_late=1.0, tags_late=2.0)
PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with up(tmp_path_factory.mktemp("cloud"), template=None, timing=LATE) as running:
        client = partial(running.session().client, config=FAST)
        trusted = ["lambda.amazonaws.com", "states.amazonaws.com"]
        _role(client("iam"), "anything", trusted, [{"Effect": "Allow", "Action": "*"}])
        client("s3").create_bucket(Bucket="bucket")
        _function(running, "f")
        yield running


def _function(cloud: LocalCloud, name: str) -> str:
    functions = cloud.session().client("lambda", config=FAST)
    made = functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="f.h",
        Timeout=900,
        Code={"ZipFile": _zipped(CODE)},
    )
    return str(made["FunctionArn"])


def _zipped(code: str) -> bytes:
    archived = io.BytesIO()
    with zipfile.ZipFile(archived, "w") as archive:
        archive.writestr("f.py", code)
    return archived.getvalue()


def _role(iam: Any, name: str, services: list[str], statements: list[dict[str, Any]]) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
    trust["Principal"]["AWS"] = f"arn:aws:iam::{ACCOUNT}:root"  # type: ignore[index]
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy([trust]))
    sound = [{"Resource": "*", **statement} for statement in statements]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=_policy(sound))


def _policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def table(cloud: LocalCloud) -> Any:
    dynamodb = cloud.session().client("dynamodb", config=FAST)
    names = ("key", "sort", "indexed")
    dynamodb.create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[
            {"AttributeName": "key", "KeyType": "HASH"},
            {"AttributeName": "sort", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "index",
                "KeySchema": [{"AttributeName": "indexed", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    return dynamodb


def _item(**attributes: Any) -> dict[str, Any]:
    return {"key": {"S": "k"}, "sort": {"S": "s"}, **attributes}


@pytest.mark.parametrize(
    "attributes",
    [
        {"data": {"S": "x" * 410_000}},
        {"data": {"N": "1" * 39}},
        {"data": {"M": {"deep": {"L": [{"N": "1" * 39}]}}}},
        {"data": {"N": "1E126"}},
        {"data": {"N": "1E-131"}},
        {"data": {"N": "NaN"}},
        {"key": {"S": ""}},
        {"sort": {"S": "s" * 1_025}},
        {"indexed": {"S": ""}},
        {"data": {"SS": []}},
    ],
    ids=str,
)
def test_dynamodb_refuses_an_item(table: Any, attributes: dict[str, Any]) -> None:
    code = _refused(table.put_item, TableName="table", Item=_item(**attributes))
    assert code == "ValidationException"


@pytest.mark.parametrize(
    ("index", "key", "filtered", "code"),
    [
        ({}, "key", "sort", "ValidationException"),
        ({"IndexName": "index"}, "indexed", "indexed", "ValidationException"),
        ({}, "key", "indexed", None),
        ({"IndexName": "index"}, "indexed", "sort", None),
    ],
)
def test_dynamodb_refuses_a_filter_on_a_key(
    table: Any, index: dict[str, str], key: str, filtered: str, code: str | None
) -> None:
    """Of the table or the index that is queried; a key of another one may be filtered by."""
    query = partial(
        table.query,
        TableName="table",
        **index,
        KeyConditionExpression=f"{key} = :x",
        FilterExpression="#0 IN (:x)",
        ExpressionAttributeNames={"#0": filtered},
        ExpressionAttributeValues={":x": {"S": "x"}},
    )
    if code is None:
        assert query()["Items"] == []
    else:
        assert _refused(query) == code


@pytest.mark.parametrize(("count", "size"), [(101, 1), (12, 390_000)])
def test_dynamodb_refuses_a_transaction(table: Any, count: int, size: int) -> None:
    items = [_item(sort={"S": str(number)}, data={"S": "x" * size}) for number in range(count)]
    puts = [{"Put": {"TableName": "table", "Item": item}} for item in items]
    code = _refused(table.transact_write_items, TransactItems=puts)
    assert code == "ValidationException"


def test_a_query_s_page_ends_at_one_megabyte(table: Any) -> None:
    for number in range(4):
        data = {"key": {"S": "big"}, "data": {"S": "x" * 390_000}}
        table.put_item(TableName="table", Item=_item(sort={"S": str(number)}, **data))
    page = table.query(
        TableName="table",
        KeyConditionExpression="#k = :k",
        ExpressionAttributeNames={"#k": "key"},
        ExpressionAttributeValues={":k": {"S": "big"}},
    )
    assert len(page["Items"]) < 4
    assert page["LastEvaluatedKey"]


def test_sqs_refuses_a_message(cloud: LocalCloud) -> None:
    sqs = cloud.session().client("sqs", config=FAST)
    queue = sqs.create_queue(QueueName="queue")["QueueUrl"]
    send = partial(sqs.send_message, QueueUrl=queue)
    assert _refused(send, MessageBody="x", DelaySeconds=901) == "InvalidParameterValue"
    assert _refused(send, MessageBody="x" * (1_048_576 + 1)) == "InvalidParameterValue"
    assert _refused(send, MessageBody="\x01") == "InvalidMessageContents"
    assert _refused(send, MessageBody="") == "MissingParameter"
    entries = [{"Id": "slow", "MessageBody": "x", "DelaySeconds": 901}]
    entries.append({"Id": "sound", "MessageBody": "x", "DelaySeconds": 900})
    answer = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert [each["Id"] for each in answer["Successful"]] == ["sound"]
    assert [each["Id"] for each in answer["Failed"]] == ["slow"]
    many = [{"Id": str(number), "MessageBody": "x"} for number in range(11)]
    code = _refused(sqs.send_message_batch, QueueUrl=queue, Entries=many)
    assert code.endswith("TooManyEntriesInBatchRequest")


def test_a_batch_of_messages_is_sent_by_who_may_send_one(cloud: LocalCloud) -> None:
    queue = cloud.session().client("sqs").create_queue(QueueName="batches")["QueueUrl"]
    batch = {"QueueUrl": queue, "Entries": [{"Id": "0", "MessageBody": "x"}]}
    sender = _client_of(cloud, "sqs", "sender", {"Effect": "Allow", "Action": "sqs:SendMessage"})
    assert sender.send_message_batch(**batch)["Successful"]
    receiver = _client_of(
        cloud, "sqs", "receiver", {"Effect": "Allow", "Action": "sqs:ReceiveMessage"}
    )
    assert _refused(receiver.send_message_batch, **batch) == "AccessDenied"


def test_sns_refuses_a_message(cloud: LocalCloud) -> None:
    sns = cloud.session().client("sns", config=FAST)
    publish = partial(sns.publish, TopicArn=sns.create_topic(Name="topic")["TopicArn"])
    assert publish(Message="m", Subject="s" * 100)["MessageId"]
    assert _refused(publish, Message="m", Subject="s" * 101) == "InvalidParameter"
    assert _refused(publish, Message="m", Subject="two\nlines") == "InvalidParameter"
    assert _refused(publish, Message="m" * (MESSAGE_BYTES + 1)) == "InvalidParameter"


def test_eventbridge_refuses_a_large_event(cloud: LocalCloud) -> None:
    events = cloud.session().client("events", config=FAST)
    entry = {"Source": "s", "DetailType": "d", "Detail": json.dumps("x" * MESSAGE_BYTES)}
    assert _refused(events.put_events, Entries=[entry]) == "ValidationException"


def test_lambda_refuses_a_large_payload_and_answer(cloud: LocalCloud) -> None:
    invoke = partial(cloud.session().client("lambda", config=FAST).invoke, FunctionName="f")
    for kind, longest in {"Event": MESSAGE_BYTES, "RequestResponse": REQUEST_BYTES}.items():
        payload = json.dumps("x" * longest)
        code = _refused(invoke, InvocationType=kind, Payload=payload)
        assert code == "RequestEntityTooLargeException"
    answer = invoke(Payload=json.dumps({"bytes": RESPONSE_BYTES}))
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorType"] == "Function.ResponseSizeTooLarge"


LOOPING = """\
import boto3

def h(event, _):
    number = int(event["Records"][0]["body"]) + 1
    boto3.client("s3").put_object(Bucket="bucket", Key=f"{QUEUE}/{number}")
    if number < 20:
        sqs = boto3.client("sqs")
        url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
"""


@pytest.mark.parametrize(("recursion", "most_calls"), [("Terminate", 16), ("Allow", 20)])
def test_lambda_ends_a_chain_of_calls_through_a_queue(
    cloud: LocalCloud, recursion: str, most_calls: int
) -> None:
    client = partial(cloud.session().client, config=FAST)
    functions, sqs, s3 = client("lambda"), client("sqs"), client("s3")
    name = f"loop-{recursion}"
    code = _zipped(f"QUEUE = {name!r}\n{LOOPING}")
    runs = {"Runtime": "python3.13", "Role": ROLE, "Handler": "f.h", "Timeout": 60}
    functions.create_function(FunctionName=name, **runs, Code={"ZipFile": code})
    functions.put_function_recursion_config(FunctionName=name, RecursiveLoop=recursion)
    queue = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    functions.create_event_source_mapping(FunctionName=name, EventSourceArn=arn["QueueArn"])
    sqs.send_message(QueueUrl=queue, MessageBody="0")

    def calls() -> int:
        return int(s3.list_objects_v2(Bucket="bucket", Prefix=f"{name}/")["KeyCount"])

    refused = 1 if recursion == "Terminate" else 0
    wait_for(lambda: counted(cloud, "RecursiveInvocationsDropped", name) >= refused)
    wait_for(lambda: calls() >= most_calls)
    assert calls() == most_calls


def test_a_held_invocation_meets_the_function_as_it_is_when_let_go(cloud: LocalCloud) -> None:
    functions, s3 = (cloud.session().client(each, config=FAST) for each in ("lambda", "s3"))

    def code(told: str) -> bytes:
        put = f'boto3.client("s3").put_object(Bucket="bucket", Key="told", Body="{told}")'
        return _zipped(f"import boto3\ndef h(event, _):\n    {put}\n")

    named = {"FunctionName": "queued"}
    runs = {"Runtime": "python3.13", "Role": ROLE, "Handler": "f.h", "Timeout": 60}
    functions.create_function(**named, **runs, Code={"ZipFile": code("old")})
    with cloud.under(Fault("asynchronous-invocation", "queued", outcome="Held")):
        functions.invoke(**named, InvocationType="Event")
        functions.update_function_code(**named, ZipFile=code("new"))
        assert _refused(s3.get_object, Bucket="bucket", Key="told") == "NoSuchKey"
    listed = partial(s3.list_objects_v2, Bucket="bucket", Prefix="told")
    wait_for(lambda: listed().get("Contents"))
    assert s3.get_object(Bucket="bucket", Key="told")["Body"].read() == b"new"


def _invoke(cloud: LocalCloud, function: str, **event: str) -> None:
    invoke = cloud.session().client("lambda", config=FAST).invoke
    invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event))


def _put_event(cloud: LocalCloud, function: str) -> None:
    events = cloud.session().client("events", config=FAST)
    events.put_rule(Name="throttled", EventPattern=json.dumps({"source": ["throttled"]}))
    events.put_targets(Rule="throttled", Targets=[{"Id": "f", "Arn": function}])
    events.put_events(Entries=[{"Source": "throttled", "DetailType": "d", "Detail": "{}"}])


def _send_message(cloud: LocalCloud, function: str) -> None:
    sqs = cloud.session().client("sqs", config=FAST)
    hour = {"VisibilityTimeout": "3600"}  # so that nobody but Lambda's poller tries it again
    queue = sqs.create_queue(QueueName="throttled", Attributes=hour)["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="{}")
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    cloud.session().client("lambda", config=FAST).create_event_source_mapping(
        FunctionName=function, EventSourceArn=arn["QueueArn"]
    )


_TRIED_MORE_THAN_A_FUNCTION_THAT_FAILS = 4
_CALLS = {"invoked": _invoke, "of-an-event": _put_event, "of-a-message": _send_message}


def test_what_is_throttled_is_called_as_soon_as_there_is_room(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    client = partial(cloud.session().client, config=FAST)
    functions, logs = client("lambda"), client("logs")
    assert functions.get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 1000

    def tried() -> dict[str, float]:
        return {name: counted(cloud, "Throttles", name) for name in _CALLS}

    def calls(name: str) -> int:
        group = f"/aws/lambda/{name}"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return 0
        found = logs.filter_log_events(logGroupName=group, filterPattern="START")
        return len(found["events"])

    for name, call in _CALLS.items():
        (tmp_path / name).mkdir()
        function = _function(cloud, name)
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
        _invoke(cloud, name, until=str(tmp_path / name / "end"))
        wait_for((tmp_path / name / "started").exists)
        call(cloud, function)
    wait_for(
        lambda: min(tried().values()) >= _TRIED_MORE_THAN_A_FUNCTION_THAT_FAILS,
        tried,
    )
    for name in _CALLS:
        (tmp_path / name / "end").touch()
    wait_for(
        lambda: all(calls(name) == len(["busy", "throttled"]) for name in _CALLS),
        lambda: {name: calls(name) for name in _CALLS},
    )


def _ended(cloud: LocalCloud, execution: str) -> Any:
    states = cloud.session().client("stepfunctions", config=FAST)

    def ended() -> Any:
        described = states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    return wait_for(ended)


def test_step_functions_names_what_is_throttled(cloud: LocalCloud) -> None:
    function = _function(cloud, "of-a-machine")
    functions = cloud.session().client("lambda", config=FAST)
    functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    states = cloud.session().client("stepfunctions", config=FAST)
    task = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
    call = {**task, "Parameters": {"FunctionName": function, "Payload": {}}}
    arn = states.create_state_machine(
        name="throttled",
        definition=json.dumps({"StartAt": "Call", "States": {"Call": call}}),
        roleArn=ROLE,
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=arn)["executionArn"]
    assert _ended(cloud, execution)["error"] == "Lambda.TooManyRequestsException"


def test_step_functions_bound_what_goes_between_states(cloud: LocalCloud) -> None:
    states = cloud.session().client("stepfunctions", config=FAST)
    call: dict[str, Any] = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke"}
    parameters = {"FunctionName": "f", "Payload": {"bytes": MESSAGE_BYTES}}
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "P"}]
    call |= {"Parameters": parameters, "Next": "P", "Catch": catch}
    machine = {"StartAt": "Call", "States": {"Call": call, **PASS["States"]}}  # type: ignore[dict-item]
    arn = states.create_state_machine(name="machine", definition=json.dumps(machine), roleArn=ROLE)[
        "stateMachineArn"
    ]
    start = partial(states.start_execution, stateMachineArn=arn)
    assert _refused(start, input=json.dumps("x" * MESSAGE_BYTES)) == "ValidationException"
    assert _refused(start, name="n" * 81) == "InvalidName"
    told = _ended(cloud, start()["executionArn"])
    assert (told["status"], told["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_step_functions_give_a_name_once(cloud: LocalCloud) -> None:
    gives_a_name_once(cloud.session().client("stepfunctions", config=FAST), ROLE)


def test_s3_refuses_a_key_metadata_and_small_parts(cloud: LocalCloud) -> None:
    s3 = cloud.session().client("s3", config=FAST)
    put = partial(s3.put_object, Bucket="bucket", Body=b"")
    assert _refused(put, Key="k" * 1_025) == "KeyTooLongError"
    assert _refused(put, Key="k", Metadata={"m": "v" * 2_048}) == "MetadataTooLarge"
    upload = {"Bucket": "bucket", "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**upload, PartNumber=number, Body=b"x")["ETag"],
        }
        for number in (1, 2)
    ]
    complete = partial(s3.complete_multipart_upload, **upload)
    assert _refused(complete, MultipartUpload={"Parts": parts}) == "EntityTooSmall"


def _change_set(cloud: LocalCloud, name: str, template: Mapping[str, Any], **values: str) -> Any:
    stacks = cloud.session().client("cloudformation", config=FAST)
    stacks.create_change_set(
        StackName=name,
        ChangeSetName="first",
        ChangeSetType="CREATE",
        Capabilities=["CAPABILITY_NAMED_IAM"],
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
    )
    return stacks


def _topic(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Resources": {"T": {"Type": TOPIC, "Properties": properties}}, **more}


_RULE = {"Assert": {"Fn::Equals": [{"Ref": "P"}, "x"]}, "AssertDescription": "P must be x."}


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (_topic({"DisplayName": None}), "'null' values are not allowed in templates"),
        (_topic({"DisplayName": {"Ref": "Nope"}}), "Unresolved resource dependencies [Nope]"),
        (_topic({}, Parameters={"P": {"Type": "String", "AllowedPattern": "a"}}), "pattern a"),
        (_topic({}, Parameters={"P": {"Type": "Number", "MinValue": 3}}), "not less than 3"),
        (_topic({}, Parameters={"P": {"Type": "Number", "AllowedValues": [3]}}), "AllowedValues"),
        (
            _topic({}, Parameters={"P": {"Type": "String"}}, Rules={"R": {"Assertions": [_RULE]}}),
            "P must be x.",
        ),
    ],
)
def test_cloudformation_refuses_a_change_set(
    cloud: LocalCloud, template: dict[str, Any], told: str
) -> None:
    values = {"P": "2"} if "Parameters" in template else {}
    with pytest.raises(ClientError) as caught:
        _change_set(cloud, "refused", template, **values)
    assert told in caught.value.response["Error"]["Message"]


def test_cloudformation_rolls_back_what_can_not_be_made(cloud: LocalCloud) -> None:
    resources = _topic({"DisplayName": "x" * 101})
    stacks = _change_set(cloud, "too-long", resources)
    stacks.execute_change_set(StackName="too-long", ChangeSetName="first")
    wait_for(lambda: not _status(stacks).endswith("IN_PROGRESS"))
    events = stacks.describe_stack_events(StackName="too-long")["StackEvents"]
    told = " ".join(event.get("ResourceStatusReason", "") for event in events)
    assert _status(stacks) == "ROLLBACK_COMPLETE"
    assert "#/DisplayName: expected maxLength: 100, actual: 101" in told


def _status(stacks: Any) -> str:
    return str(stacks.describe_stacks(StackName="too-long")["Stacks"][0]["StackStatus"])


def test_a_deployment_with_a_null_fails(cloud: LocalCloud, tmp_path: Path) -> None:
    definition = {"StartAt": "P", "States": {"P": {"Type": "Pass", "ResultPath": None}}}
    properties = {"RoleArn": ROLE, "Definition": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = tmp_path / "template.yaml"
    template.write_text(json.dumps({"Resources": {"M": machine}}), encoding="utf-8")
    with pytest.raises(LocalCloudError, match="'null' values are not allowed in templates"):
        cloud.deploy(template)


def test_what_is_substituted_in_a_definition_has_the_type_that_it_stands_for(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    """Substituted is text: in quotes, a number is none."""
    definition = '{"States": {"M": {"Type": "Map", "MaxConcurrency": "${Most}"}}}'
    (tmp_path / "machine.asl.json").write_text(definition, encoding="utf-8")
    properties = {
        "RoleArn": ROLE,
        "DefinitionS3Location": "machine.asl.json",
        "DefinitionSubstitutions": {"Most": 2},
    }
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = tmp_path / "template.yaml"
    template.write_text(json.dumps({"Resources": {"M": machine}}), encoding="utf-8")
    with pytest.raises(LocalCloudError) as refused:
        cloud.deploy(template)
    # In the table that the SAM CLI prints, it is broken into lines anywhere.
    assert "oftypeIntegerat/States/M/MaxConcurrency" in "".join(str(refused.value).split())


KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
UNDER_KEY = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}


def _client_of(cloud: LocalCloud, service: str, name: str, *statements: dict[str, Any]) -> Any:
    """A service as a new role sees it that may do no more than the statements say."""
    session = cloud.session()
    _role(session.client("iam"), name, ["sagemaker.amazonaws.com"], list(statements))
    told = session.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", RoleSessionName="test"
    )["Credentials"]
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=cloud.state.endpoint_url,
        verify=cloud.state.ca_bundle,
        aws_access_key_id=told["AccessKeyId"],
        aws_secret_access_key=told["SecretAccessKey"],
        aws_session_token=told["SessionToken"],
        config=FAST,
    )


def _s3_of(cloud: LocalCloud, name: str, *key_actions: str) -> Any:
    """S3 as a role sees it that may do anything with objects, and this with the key."""
    statements: list[dict[str, Any]] = [{"Effect": "Allow", "Action": "s3:*"}]
    if key_actions:
        statements.append({"Effect": "Allow", "Action": list(key_actions), "Resource": KEY})
    return _client_of(cloud, "s3", name, *statements)


def test_what_is_under_a_key_is_read_by_who_may_decrypt(cloud: LocalCloud) -> None:
    administrator = cloud.session().client("s3", config=FAST)
    administrator.put_object(Bucket="bucket", Key="secret", Body=b"secret", **UNDER_KEY)
    administrator.put_object(Bucket="bucket", Key="open", Body=b"open")
    reader = _s3_of(cloud, "key-reader", "kms:Decrypt")
    assert reader.get_object(Bucket="bucket", Key="secret")["Body"].read() == b"secret"
    stranger = _s3_of(cloud, "key-stranger", "kms:GenerateDataKey")
    assert stranger.get_object(Bucket="bucket", Key="open")["Body"].read() == b"open"
    assert stranger.head_object(Bucket="bucket", Key="secret")["SSEKMSKeyId"] == KEY
    for more in ({}, {"Range": "bytes=0-1"}):
        assert (
            _refused(stranger.get_object, Bucket="bucket", Key="secret", **more) == "AccessDenied"
        )
    source = {"Bucket": "bucket", "Key": "secret"}
    copy = partial(stranger.copy_object, Bucket="bucket", Key="copy", CopySource=source)
    assert _refused(copy) == "AccessDenied"


def test_what_is_under_a_key_is_written_by_who_may_generate_a_data_key(cloud: LocalCloud) -> None:
    writer = _s3_of(cloud, "key-writer", "kms:GenerateDataKey")
    assert writer.put_object(Bucket="bucket", Key="mine", Body=b"", **UNDER_KEY)
    stranger = _s3_of(cloud, "key-decrypter", "kms:Decrypt")
    assert stranger.put_object(Bucket="bucket", Key="mine", Body=b"")
    put = partial(stranger.put_object, Bucket="bucket", Key="mine", Body=b"")
    assert _refused(put, **UNDER_KEY) == "AccessDenied"
    begin = partial(stranger.create_multipart_upload, Bucket="bucket", Key="mine")
    assert _refused(begin, **UNDER_KEY) == "AccessDenied"
    # S3 decrypts the parts that are there before it takes another.
    upload = {"Bucket": "bucket", "Key": "mine"}
    upload["UploadId"] = writer.create_multipart_upload(**upload, **UNDER_KEY)["UploadId"]
    assert _refused(writer.upload_part, **upload, PartNumber=1, Body=b"") == "AccessDenied"
    both = _s3_of(cloud, "key-owner", "kms:GenerateDataKey", "kms:Decrypt")
    assert both.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]


def test_a_bucket_s_own_key_holds_for_what_names_none(cloud: LocalCloud) -> None:
    administrator = cloud.session().client("s3", config=FAST)
    administrator.create_bucket(Bucket="encrypted")
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    rules = [{"ApplyServerSideEncryptionByDefault": default}]
    administrator.put_bucket_encryption(
        Bucket="encrypted", ServerSideEncryptionConfiguration={"Rules": rules}
    )
    stranger = _s3_of(cloud, "bucket-stranger")
    assert _refused(stranger.put_object, Bucket="encrypted", Key="k", Body=b"") == "AccessDenied"
    administrator.put_object(Bucket="encrypted", Key="k", Body=b"")
    assert _refused(stranger.get_object, Bucket="encrypted", Key="k") == "AccessDenied"


def test_a_new_resource_shows_late_and_its_tags_later(cloud: LocalCloud) -> None:
    sagemaker = cloud.session().client("sagemaker", config=FAST)
    describe = partial(sagemaker.describe_model_package_group, ModelPackageGroupName="late")
    began = time.monotonic()
    arn = sagemaker.create_model_package_group(
        ModelPackageGroupName="late", Tags=[{"Key": "owner", "Value": "me"}]
    )["ModelPackageGroupArn"]
    _shown(describe, "ValidationException")
    assert time.monotonic() - began >= LATE.resources_late
    wait_for(lambda: sagemaker.list_tags(ResourceArn=arn)["Tags"])
    assert time.monotonic() - began >= LATE.tags_late


def _shown(describe: Callable[[], Any], until_then: str) -> Any:
    """What is described, once it shows; until then it is refused with a code.

    How soon a busy machine looks is not known, so a test says only that it can't have been sooner.
    """

    def look() -> Any:
        try:
            return describe()
        except ClientError as error:
            if error.response["Error"]["Code"] == until_then:
                return None
            raise

    return wait_for(look)


def test_a_new_model_on_bedrock_shows_late_and_its_tags_later(cloud: LocalCloud) -> None:
    session = cloud.session()
    harmless = [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets"}]
    _role(session.client("iam"), "import", ["bedrock.amazonaws.com"], harmless)
    bedrock = session.client("bedrock", config=FAST)
    tagging = session.client("resourcegroupstaggingapi", config=FAST)
    began = time.monotonic()
    arn = bedrock.create_custom_model(
        modelName="late",
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/import",
        modelSourceConfig={"s3DataSource": {"s3Uri": "s3://bucket/weights"}},
        modelTags=[{"key": "owner", "value": "me"}],
    )["modelArn"]
    describe = partial(bedrock.get_custom_model, modelIdentifier=arn)
    _shown(describe, "ResourceNotFoundException")
    assert time.monotonic() - began >= LATE.resources_late
    wait_for(lambda: tagging.get_resources()["ResourceTagMappingList"])
    assert time.monotonic() - began >= LATE.tags_late
    assert bedrock.list_tags_for_resource(resourceARN=arn)["tags"]
    wait_for(lambda: describe()["modelStatus"] == "Failed")
    assert "not authorized to perform: s3:GetObject" in describe()["failureMessage"]


@pytest.mark.parametrize(
    ("denied", "changes"),
    [
        ("logs:CreateLogStream", {}),
        ("ecr:BatchGetImage", {}),
        ("ec2:DescribeVpcs", {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["s-1"]}}),
    ],
)
def test_an_endpoint_can_do_no_more_than_its_role(
    cloud: LocalCloud, denied: str, changes: dict[str, Any]
) -> None:
    session, name = cloud.session(), f"without-{denied.partition(':')[0]}"
    statements = [{"Effect": "Allow", "Action": "*"}, {"Effect": "Deny", "Action": denied}]
    _role(session.client("iam"), name, ["sagemaker.amazonaws.com"], statements)
    sagemaker = session.client("sagemaker", config=FAST)
    image = "708977205387.dkr.ecr.us-east-1.amazonaws.com/nova-inference-repo:latest"
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}",
        PrimaryContainer={"Image": image},
        **changes,
    )
    variant = {"VariantName": "primary", "ModelName": name, "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant | {"InstanceType": "ml.g6.12xlarge"}]
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    describe = partial(sagemaker.describe_endpoint, EndpointName=name)
    wait_for(lambda: _shown(describe, "ValidationException")["EndpointStatus"] != "Creating")
    endpoint = describe()
    assert endpoint["EndpointStatus"] == "Failed"
    assert f"is not authorized to perform: {denied} on resource" in endpoint["FailureReason"]
