"""S3, DynamoDB and SQS by moto, with the table and the bucket that the template describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.loaders import create_loader
from moto import mock_aws
from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.models import DynamoDBBackend

from novaloop.store.table import ExperimentTable
from novaloop_localcloud.limits import query_problem
from tests.dynamodb import ValidationException, check_item, check_transaction
from tests.integration.application import Application
from tests.template.stack import REGION, deployed, physical_name

STACK = deployed()
TABLE = physical_name("Table", "AWS::DynamoDB::Table")
BUCKET = "bucket"
_TABLE_SETTINGS = (
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "BillingMode",
)


@pytest.fixture(scope="session", autouse=True)
def service_models() -> Iterator[None]:
    """Parse each service's model once, and not for each empty account."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(create_loader))
        yield


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account in memory: no credentials, profile or endpoint of the machine is used."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_REGION", REGION)
    real = (
        DynamoDBBackend.put_item,
        DynamoDBBackend.transact_write_items,
        DynamoDBBackend.query,
    )

    def put_item(backend: DynamoDBBackend, table: str, item: Any, *rest: Any, **more: Any) -> Any:
        refused(lambda: check_item(values(item)))
        return real[0](backend, table, item, *rest, **more)

    def transact_write_items(backend: DynamoDBBackend, actions: list[dict[str, Any]]) -> Any:
        puts = [values(action["Put"]["Item"]) for action in actions if "Put" in action]
        refused(lambda: check_transaction(puts, len(actions) - len(puts)))
        return real[1](backend, actions)

    def query(backend: DynamoDBBackend, name: str, *rest: Any, **more: Any) -> Any:
        queried: Any = backend.get_table(name)
        index = more.get("index_name")
        schema = queried.get_index(index).schema if index else queried.schema
        told = {
            "FilterExpression": more.get("filter_expression"),
            "ExpressionAttributeNames": more.get("expr_names"),
        }
        problem = query_problem({each["AttributeName"] for each in schema}, told)
        if problem is not None:
            raise MockValidationException(problem.message)
        return real[2](backend, name, *rest, **more)

    # moto's own limits are fewer and vaguer than DynamoDB's.
    monkeypatch.setattr(DynamoDBBackend, "put_item", put_item)
    monkeypatch.setattr(DynamoDBBackend, "transact_write_items", transact_write_items)
    monkeypatch.setattr(DynamoDBBackend, "query", query)
    with mock_aws():
        yield


def values(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item that came over the wire as Python's own values."""
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}


def refused(check: Callable[[], object]) -> None:
    """Answer as DynamoDB does where it refuses."""
    try:
        check()
    except ValidationException as error:
        raise MockValidationException(str(error)) from None


@pytest.fixture
def table(account: None) -> str:
    """The experiments table; its name."""
    boto3.client("dynamodb").create_table(TableName=TABLE, **table_settings())
    return TABLE


def table_settings() -> dict[str, Any]:
    """Return how the template makes the table, as far as moto knows."""
    properties = STACK.properties("Table")
    return {name: properties[name] for name in _TABLE_SETTINGS}


@pytest.fixture
def hint_queue(account: None) -> str:
    """The queue of hints; its URL."""
    created = boto3.client("sqs").create_queue(QueueName="hints")
    return str(created["QueueUrl"])


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, table: str, bucket: str, hint_queue: str
) -> Callable[[str], None]:
    """Take on the environment that the template gives to a function."""

    def enter(function: str) -> None:
        given = STACK.properties(function)["Environment"]["Variables"]
        own = {"TABLE_NAME": table, "BUCKET_NAME": bucket, "HINT_QUEUE_URL": hint_queue}
        for name, value in given.items():
            monkeypatch.setenv(name, own.get(name, str(value)))
        monkeypatch.setenv("START_DELAY_SECONDS", "0")

    return enter


@pytest.fixture
def bucket(account: None) -> str:
    """The application's bucket; its name."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration=STACK.properties("Bucket")["VersioningConfiguration"]
    )
    return BUCKET


@pytest.fixture
def store(table: str) -> ExperimentTable:
    return ExperimentTable(table, REGION)


@pytest.fixture
def application(environment: Callable[[str], None], hint_queue: str) -> Application:
    return Application(environment, hint_queue)
