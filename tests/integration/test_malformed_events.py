"""An event that nothing of the application sends is told in one line, and holds nobody up."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from novaloop.store.table import ExperimentTable
from tests.integration import rich_items
from tests.integration.application import CONTEXT, ROOT, Application, load, sample

TEXT = "my loop dont work, why"
"""What must stand in no log: an event may quote a dataset."""
FILE = {
    "experiment_id": "a",
    "role": "sft",
    "source_key": "inbox/a/sft.csv",
    "version_id": "v",
    "fingerprint": "f",
    "size": 9,
}
ANYWHERE: tuple[Any, ...] = (None, 7, TEXT, [], [{}], {}, {"rows": TEXT}, {"schema_version": 1})
INGEST: dict[str, Any] = {
    "detail.detail.object.key: Field": {"detail": TEXT},
    "detail.detail.object.key: Field required": {"detail": {"bucket": {}, "text": TEXT}},
    "detail.detail.object.key: ": {"detail": {"object": {"key": [TEXT]}}},
    "key.key: ": {"key": {"rows": TEXT}},
    "experiment_id.experiment_id: ": {"experiment_id": ""},
    "should have a detail, a key, an experiment_id or a known step": {"step": TEXT, "file": FILE},
    "should have a detail, a key, an experiment_id or a known step ": {"step": [], "file": FILE},
    "step scan.file: ": {"step": "scan", "range": {"start": 0, "end": 9}},
    "step scan.file.size: ": {"step": "scan", "file": {**FILE, "size": TEXT}},
    "step scan.range.end: ": {"step": "scan", "file": FILE, "range": {"start": 0, "end": TEXT}},
    "step plan.scans[0]: ": {"step": "plan", "file": FILE, "scans": [None] * 400},
    "step convert.range: ": {"step": "convert", "file": FILE, "range": TEXT},
    "step join.ranges: ": {"step": "join", "file": FILE, "ranges": {"rows": TEXT}},
    "step reject.error: ": {"step": "reject", "file": FILE, "error": {"Cause": TEXT}},
}
METRICS: dict[str, Any] = {
    "report.experiment_id: ": {"experiment_id": [TEXT]},
    "score.experiment_id: ": {"stage": "baseline", "attempt": 1},
    "score.stage: ": {"experiment_id": "a", "attempt": 1},
    "score.attempt: ": {"experiment_id": "a", "stage": "baseline", "attempt": TEXT},
    "score.attempt: Input should be greater": {"experiment_id": "a", "stage": "b", "attempt": 0},
}
CONTROLLER: dict[str, Any] = {
    "Records: ": {"Records": []},
    "Records: Input should be": {"Records": {"rows": TEXT}},
    "Records[0]: ": {"Records": [TEXT]},
    "Records[0].eventSource: ": {"Records": [{"body": TEXT}]},
    "Records[0].eventSource: Input": {"Records": [{"eventSource": TEXT}]},
}
VERSIONS: tuple[Any, ...] = (TEXT, {"rows": TEXT}, [TEXT], -1, 1.5, True)
CASES = [
    *(
        (function, "", {"schema_version": version, "experiment_id": "a"})
        for function in ("ingest", "metrics")
        for version in VERSIONS
    ),
    *(("controller", "", event) for event in ANYWHERE),
    *(("ingest", "", event) for event in ANYWHERE),
    *(("metrics", "", event) for event in ANYWHERE),
    *(("controller", where, event) for where, event in CONTROLLER.items()),
    *(("ingest", where, event) for where, event in INGEST.items()),
    *(("metrics", where, event) for where, event in METRICS.items()),
]


@pytest.mark.parametrize("function", ["controller", "ingest", "metrics", "sweeper"])
def test_a_handler_only_hands_its_event_to_what_reads_it(function: str) -> None:
    tree = ast.parse((ROOT / "functions" / function / "app.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    read = [
        arg
        for call in calls
        if ast.unparse(call.func).startswith(("read_", "process_partial_response"))
        for arg in call.args
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "event":
            assert node in read, f"line {node.lineno}"


@pytest.mark.parametrize(("function", "where", "event"), CASES)
def test_a_malformed_event_is_told_in_one_line_that_quotes_nothing_of_it(
    environment: Callable[[str], None],
    table: str,
    *,
    function: str,
    where: str,
    event: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment(f"{function.capitalize()}Function")
    assert load(function).handler(event, CONTEXT) is None
    (line,) = [each.getMessage() for each in caplog.records if each.levelname != "INFO"]
    has_version = isinstance(event, dict) and event.get("schema_version") in VERSIONS
    what = "request" if has_version and event not in ANYWHERE else "event"
    assert line.startswith(f"left alone: this {what} is damaged: {where.strip()}")
    assert len(line) < 300
    out, err = capsys.readouterr()
    counted = [json.loads(each) for each in out.splitlines()]
    assert [each["Defects"] for each in counted if "Defects" in each] == [[1.0]]
    assert TEXT not in out + err + caplog.text
    assert "Traceback" not in out + caplog.text
    assert boto3.client("dynamodb").scan(TableName=table)["Count"] == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"dynamodb": None},
        {"dynamodb": {"Keys": {}}},
        {"dynamodb": {"Keys": {"experiment_id": {"N": "7"}}}},
        {"dynamodb": {"Keys": {"experiment_id": {"S": ""}}}, "text": TEXT},
    ],
)
def test_a_broken_record_of_the_stream_holds_up_none_of_its_batch(
    application: Application,
    store: ExperimentTable,
    broken: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.put_dataset("questions", rich_items.dataset("sft"))
    event = sample("table-stream.json")
    event["Records"].insert(0, {**event["Records"][0], **broken})
    assert application.controller.handler(event, CONTEXT) == {"batchItemFailures": []}
    assert store.load("questions").record is not None
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert line.startswith("a message is no hint, and dropped: dynamodb")
    assert TEXT not in caplog.text


@pytest.mark.parametrize(
    "attributes", [None, [], {"ApproximateReceiveCount": TEXT}, {"ApproximateReceiveCount": -1}]
)
def test_a_count_that_cannot_be_read_holds_up_none_of_its_batch(
    application: Application, store: ExperimentTable, attributes: Any
) -> None:
    store.put_dataset("questions", rich_items.dataset("sft"))
    event = sample("hints.json")
    event["Records"][0]["attributes"] = attributes
    assert application.controller.handler(event, CONTEXT) == {"batchItemFailures": []}
    assert store.load("questions").record is not None
