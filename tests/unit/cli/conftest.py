from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import boto3
import click
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from moto import mock_aws

from novaloop_cli.main import main
from novaloop_cli.stack import Stack, find_stack
from tests.integration.conftest import table_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK = "novaloop"
OUTPUTS = {"BucketName": "application-bucket", "TableName": "experiments"}
STACKS: dict[str, dict[str, str]] = {STACK: OUTPUTS, "other": {}}
PARAMETERS: dict[str, dict[str, str]] = {}


def describe_stacks(name: str) -> dict[str, object]:
    """Answer as CloudFormation does; moto's needs packages that nothing else here needs."""
    if name not in STACKS:
        error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
        raise ClientError({"Error": error}, "DescribeStacks")
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in STACKS[name].items()]
    given = PARAMETERS.get(name, {}).items()
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given]
    stack = {"StackName": name, "StackStatus": "CREATE_COMPLETE"}
    return {"Stacks": [{**stack, "Outputs": outputs, "Parameters": parameters}]}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "NOVALOOP_STACK", "NOVALOOP_LOCAL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("COLUMNS", "80")
    call = BaseClient._make_api_call

    def answer(client: BaseClient, operation: str, parameters: dict[str, str]) -> object:
        if operation == "DescribeStacks":
            return describe_stacks(parameters["StackName"])
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    monkeypatch.setattr("pynamodb.connection.base.get_session", lambda: session()._session)
    with mock_aws():
        boto3.DEFAULT_SESSION = session()
        yield
    boto3.DEFAULT_SESSION = None


@cache
def session() -> boto3.Session:
    """Return the one session of all tests: each session reads the service models anew."""
    return boto3.Session()


@pytest.fixture
def stack(aws: None) -> Stack:
    found = find_stack(STACK)
    found.s3.create_bucket(Bucket=found.bucket)
    assert found.table
    boto3.client("dynamodb").create_table(TableName=found.table_name, **table_settings())
    return found


def commands_of(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a group and all that is below it, each with its words."""
    yield words, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands_of(command, *words, name)
        else:
            yield (*words, name), command


def novaloop(*arguments: str, **options: object) -> Result:
    """Run the command; whatever it prints must fit in 80 columns and be no traceback."""
    result = CliRunner().invoke(main, arguments, **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
