"""One of every shape that the present code stores or sends, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer

from novaloop.cloud.messages import HintQueue, IngestFunction, MetricsFunction
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.versions import Shape
from novaloop.store.table import ExperimentTable
from novaloop.usecases.big_files import hand_over
from novaloop.usecases.conversion import Conversion
from novaloop.usecases.ports import Round
from tests.integration import rich_items
from tests.template.stack import REGION, deployed


class Sent:
    """SQS, Lambda and Step Functions as far as the application sends by them."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.smallest = 1_000_000

    def send_message(self, **call: Any) -> None:
        self.bodies.append(json.loads(call["MessageBody"]))

    def invoke(self, **call: Any) -> None:
        self.bodies.append(json.loads(call["Payload"]))

    def start(self, name: str, request: Mapping[str, object]) -> bool:
        assert name
        self.bodies.append(request["file"])
        return True


def written(table: str) -> dict[Shape, list[dict[str, Any]]]:
    """Write everything, the items into an empty table, and return it by shape."""
    return {**_items(table), **_messages()}


def _items(table: str) -> dict[Shape, list[dict[str, Any]]]:
    store = ExperimentTable(table, REGION)
    store.commit(rich_items.record(), rich_items.ENTRIES[:1])
    store.put_spec("questions", rich_items.SPEC_ITEM)
    store.put_dataset("questions", rich_items.dataset("sft"))
    store.put_stray("questions", "notes.txt")
    store.put_checks("questions", rich_items.CHECKS)
    store.put_score("questions", rich_items.score())
    store.put_command("questions", rich_items.command("c1"))
    store.put_sweep_round(
        Round(
            "inbox/questions/sft.csv",
            rich_items.NOW,
            rich_items.LATER,
            rich_items.LATER,
            told=("9f86d081884c",),
        )
    )
    store.begin("questions", "SPEC", "v1", rich_items.NOW)
    store.count_tries("9f86d081884c", rich_items.TRY)
    items = map(stored, boto3.client("dynamodb").scan(TableName=table)["Items"])
    return {Shape(item["kind"]): [item] for item in items}


def _messages() -> dict[Shape, list[dict[str, Any]]]:
    hints, requests, started = Sent(), Sent(), Sent()
    sqs: Any = hints
    big: Any = started
    HintQueue(sqs, "url").look_at("questions", timedelta(0))
    stack = deployed()
    for rule in ("TrainingJobRule", "EndpointRule"):
        (target,) = stack.properties(rule)["Targets"]
        hints.bodies.append(json.loads(target["InputTransformer"]["InputTemplate"]))
    functions: Any = requests
    IngestFunction(functions, "ingest").request_ingest("inbox/questions/sft.csv")
    IngestFunction(functions, "ingest").request_checks("questions")
    MetricsFunction(functions, "metrics").request_score("questions", "baseline", 1)
    job = Conversion("questions", ExperimentSpec(), (rich_items.dataset("sft"),))
    hand_over(job, 1_000_000, big)
    return {
        Shape.HINT: hints.bodies,
        Shape.REQUEST: requests.bodies,
        Shape.BIG_FILE: started.bodies,
    }


def stored(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item that came over the wire as JSON has it."""
    read = TypeDeserializer().deserialize
    return {name: _plain(read(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, set):
        value = sorted(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value
