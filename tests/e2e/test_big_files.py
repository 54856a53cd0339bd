"""A file past the threshold goes through the state machine, and comes out as from one call."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stackoverflow_like import LABELS, generate
from novaloop.cloud.objects import Bucket
from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.experiment.controller.intake import data_fingerprint
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Role
from novaloop.usecases.ingest_events import BigFile
from novaloop_cli.stack import Stack
from novaloop_localcloud.cloud import LocalCloud
from tests.e2e.application import BIG_FILE_BYTES, wait_for

pytestmark = pytest.mark.e2e

SPEC = """
columns: {question: Body, answer: Y}
labels: [HQ, LQ_EDIT, LQ_CLOSE]
plan: [evaluate: baseline]
dry_run: true
"""


def converted(stack: Stack, name: str, data: bytes) -> DatasetItem:
    stack.s3.put_object(
        Bucket=stack.bucket, Key=f"inbox/{name}/experiment.yaml", Body=SPEC.encode()
    )
    stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{name}/eval.csv", Body=data)

    def look() -> DatasetItem | None:
        item = stack.table.load(name).datasets.get("eval")
        return item if item and item.status is not DatasetStatus.INGESTING else None

    item = wait_for(look, lambda: stack.table.load(name).datasets)
    assert item is not None
    return item


def executions(cloud: LocalCloud, name: str) -> list[Any]:
    states = cloud.session().client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    found = states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    return [each for each in found if each["name"].startswith(f"{name}-eval-")]


def in_one_stream(data: bytes) -> tuple[str, bytes]:
    options = DatasetOptions(columns={"question": "Body", "answer": "Y"}, labels=LABELS)
    rows = bytearray()
    summary = convert([data], {RowFormat.EVALUATION: rows.extend}, options, lambda _: None)
    assert summary.ok
    return summary.row_hash_sum, bytes(rows)


def rows_of(stack: Stack, item: DatasetItem) -> bytes:
    body = stack.s3.get_object(Bucket=stack.bucket, Key=item.outputs["evaluation"])["Body"]
    return body.read()


def test_a_big_file_comes_out_as_from_one_stream(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    generate(tmp_path / "eval.csv", BIG_FILE_BYTES * 5 // 4)
    data = (tmp_path / "eval.csv").read_bytes()
    item = converted(stack, "big", data)
    (execution,) = executions(cloud, "big")
    assert execution["status"] in {"RUNNING", "SUCCEEDED"}
    assert item.status is DatasetStatus.ACCEPTED, item.reason
    row_hash_sum, rows = in_one_stream(data)
    assert item.summary["row_hash_sum"] == row_hash_sum
    assert rows_of(stack, item) == rows
    assert int(item.sha256.partition("-")[2]) > 8
    assert item.profile_key
    assert item.card_key


def test_stray_quotes_send_a_big_file_through_one_stream(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    generate(tmp_path / "eval.csv", BIG_FILE_BYTES * 5 // 4)
    header, _, records = (tmp_path / "eval.csv").read_bytes().partition(b"\r\n")
    stray = b'1,5" disk,body,tags,2020-01-01 00:00:00,HQ'
    data = b"\r\n".join([header, stray, records])
    item = converted(stack, "stray", data)
    assert executions(cloud, "stray")
    assert item.status is DatasetStatus.ACCEPTED, item.reason
    row_hash_sum, rows = in_one_stream(data)
    assert item.summary["row_hash_sum"] == row_hash_sum
    assert rows_of(stack, item) == rows


def test_a_reject_far_into_a_big_file_is_named_by_its_line(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    generate(tmp_path / "eval.csv", BIG_FILE_BYTES * 5 // 4)
    data = (tmp_path / "eval.csv").read_bytes()
    line = data.count(b"\n") + 1
    item = converted(stack, "bad-row", data + b"1,t,body,tags,2020,LQ_CLOSED\r\n")
    assert executions(cloud, "bad-row")
    assert item.status is DatasetStatus.REJECTED
    assert item.reason.startswith(f"line {line}: ")


def test_large_parts_are_copied_inside_of_the_bucket(stack: Stack) -> None:
    parts = {f"parts/copied/{number}": bytes([number]) * (6 << 20) for number in range(3)}
    for key, body in parts.items():
        stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=body)
    requests: list[str] = []
    stack.s3.meta.events.register("before-call.s3", lambda model, **_: requests.append(model.name))
    Bucket(stack.s3, stack.bucket).concatenate([*parts], "parts/copied/whole")
    assert requests.count("UploadPartCopy") == 3
    assert "GetObject" not in requests
    found = stack.s3.get_object(Bucket=stack.bucket, Key="parts/copied/whole")
    assert found["Body"].read() == b"".join(parts.values())


def test_a_small_file_needs_no_state_machine(stack: Stack, cloud: LocalCloud) -> None:
    item = converted(stack, "small", b"Body,Y\nwhat?,HQ\n")
    assert item.status is DatasetStatus.ACCEPTED
    assert executions(cloud, "small") == []


def test_a_step_that_fails_each_time_rejects_the_file_at_once(
    stack: Stack, cloud: LocalCloud
) -> None:
    """Its upload is gone, of which neither range nor plan can make anything."""
    now = datetime.now(UTC)
    name, key = "gone", "inbox/gone/eval.csv"
    fingerprint = data_fingerprint(ExperimentSpec(), Role.EVAL)
    item = DatasetItem("eval", DatasetStatus.INGESTING, key, "v", now, fingerprint, now)
    stack.table.put_dataset(name, item)
    file = BigFile(name, "eval", key, "v", fingerprint, BIG_FILE_BYTES)
    request = {"file": asdict(file), "ranges": [{"start": 0, "end": BIG_FILE_BYTES}]}
    states = cloud.session().client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    arn = machine["stateMachineArn"]
    states.start_execution(stateMachineArn=arn, name="gone-eval-1", input=json.dumps(request))

    def look() -> DatasetItem | None:
        found = stack.table.load(name).datasets["eval"]
        return found if found.status is not DatasetStatus.INGESTING else None

    rejected = wait_for(look, lambda: stack.table.load(name).datasets)
    assert rejected is not None
    assert rejected.status is DatasetStatus.REJECTED
    assert "failed in each of four attempts" in rejected.reason
    wait_for(lambda: executions(cloud, name)[0]["status"] == "FAILED", lambda: "it goes on")
    assert len(executions(cloud, name)) == 1
