"""A call that is never answered does not outlast the function that makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from novaloop.store.table import ExperimentTable
from novaloop.wiring import clients
from novaloop.wiring.controller import controller_world
from novaloop.wiring.guard import guard_world
from novaloop.wiring.ingest import ingest_world
from novaloop.wiring.metrics import score_world
from novaloop.wiring.sweeper import sweep_world
from tests.template.stack import sam_template

ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "TABLE_NAME": "table",
    "BUCKET_NAME": "bucket",
    "BIG_FILE_BYTES": "64000000",
    "BIG_FILES_ARN": "arn",
    "HINT_QUEUE_URL": "https://queue",
    "INGEST_FUNCTION_NAME": "ingest",
    "METRICS_FUNCTION_NAME": "metrics",
    "TOPIC_ARN": "arn",
    "ENDING_ROLE_ARN": "arn:aws:iam::123456789012:role/Ending",
    "EXECUTION_ROLE_ARN": "arn",
    "BEDROCK_ROLE_ARN": "arn",
    "REWARD_FUNCTION_ARN": "arn",
    "STACK_NAME": "stack",
    "JOB_NAME_PREFIX": "novaloop",
    "START_DELAY_SECONDS": "30",
    "LOOK_SECONDS": "270",
    "LAG_SECONDS": "300",
    "DEFAULT_APPROVAL": "auto",
    "DEFAULT_BUDGET_USD": "0",
    "DEFAULT_GATE": "none",
}
WORLDS: dict[str, Callable[[], object]] = {
    "ControllerFunction": controller_world,
    "SweeperFunction": lambda: sweep_world().orphans(),
    "IngestFunction": ingest_world,
    "MetricsFunction": score_world,
    "GuardFunction": guard_world,
}
WAITS = 20
"""The longest that botocore's standard mode waits between two attempts, in seconds."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def timeout_of(function: str) -> float:
    seconds: float = sam_template()["Resources"][function]["Properties"]["Timeout"]
    return seconds


@pytest.mark.parametrize("function", WORLDS)
def test_no_client_waits_for_longer_than_its_function_lives(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[tuple[str, Any]]()

    def client(name: str, config: Config) -> Any:
        made.append((name, config))
        return boto3.client(name, config=config)  # type: ignore[call-overload]

    monkeypatch.setattr(clients, "_OnFirstUse", client)
    WORLDS[function]()
    assert made
    for name, config in made:
        attempts = config.retries["total_max_attempts"]
        waits = sum(min(2**number, WAITS) for number in range(attempts - 1))
        longest = attempts * (config.connect_timeout + config.read_timeout) + waits
        assert longest < timeout_of(function), f"{name}: {longest} seconds"


def test_nor_does_the_table() -> None:
    config = ExperimentTable("table", "us-east-1")._table.connection.client.meta.config
    longest = config.connect_timeout + config.read_timeout
    attempts = config.retries["total_max_attempts"]
    assert attempts * longest < timeout_of("ControllerFunction") / 2
