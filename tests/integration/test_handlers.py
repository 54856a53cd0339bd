"""The functions' handlers, called with the sample events."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest

from novaloop.cloud.messages import IngestFunction
from novaloop.experiment.record import DatasetStatus, Snapshot, StageState, Status
from novaloop.store.table import ExperimentTable
from tests.integration import rich_items
from tests.integration.application import CONTEXT, Application, Invocations, load, sample
from tests.simulation.twins import VirtualClock, questions_csv

SPEC = b"columns: {question: Body, answer: Y}\nlabels: [HQ, LQ_EDIT, LQ_CLOSE]\n"
FILES = {
    "experiment.yaml": SPEC,
    "sft.csv": questions_csv(80, seed=1),
    "rft.csv": questions_csv(40, seed=2),
    "eval.csv": questions_csv(30, seed=3),
}


@pytest.fixture
def controller(application: Application) -> ModuleType:
    return application.controller


def put(key: str, body: bytes) -> None:
    boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=body)


def hints(*bodies: str) -> dict[str, Any]:
    shape = sample("hints.json")["Records"][0]
    records = [{**shape, "messageId": f"m{n}", "body": body} for n, body in enumerate(bodies)]
    return {"Records": records}


def uploaded(store: ExperimentTable, *names: str) -> None:
    """Leave of each experiment what ingest does: without an upload there is none."""
    for name in names:
        store.put_dataset(name, rich_items.dataset("sft"))


def let_one_fail(controller: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each look at the experiment `broken` fail."""
    real = controller.reconcile

    def fails_for_one(experiment_id: str, *rest: Any) -> Any:
        if experiment_id == "broken":
            raise RuntimeError("experiment broken does not come to rest")
        return real(experiment_id, *rest)

    monkeypatch.setattr(controller, "reconcile", fails_for_one)


def failures(answer: dict[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def test_a_batch_of_hints_is_one_look_at_the_experiment(
    controller: ModuleType, store: ExperimentTable, caplog: pytest.LogCaptureFixture
) -> None:
    uploaded(store, "questions")
    assert failures(controller.handler(sample("hints.json"), CONTEXT)) == []
    record = store.load("questions").record
    assert record is not None
    assert record.status is Status.REJECTED  # its file is not in the bucket
    looks = [vars(entry) for entry in caplog.records if entry.message == "looked"]
    assert [look["status"] for look in looks] == ["REJECTED"]


LONG = "x" * 1025
BAD_HINTS = (
    "not json",
    "[]",
    "null",
    '"questions"',
    "{}",
    '{"job_name": null, "x": 1',
    "[" * 100_000,
    '{"experiment_id": null}',
    '{"experiment_id": ""}',
    '{"experiment_id": 7}',
    '{"experiment_id": ["a"]}',
    '{"experiment_id": {"a": 1}, "job_name": "novaloop-a--sft-1"}',
    f'{{"experiment_id": "{LONG}"}}',
    f'{{"experiment_id": "{"ß" * 513}"}}',
    '{"experiment_id": "\\ud800"}',
    '{"experiment_id": "\ud800"}',
    '{"job_name": 7}',
    '{"experiment_id": "a", "depth": null}',
    '{"experiment_id": "a", "depth": "deep"}',
    '{"experiment_id": "a", "depth": [1]}',
    '{"experiment_id": "a", "depth": true}',
    '{"experiment_id": "a", "depth": 1.5}',
    '{"experiment_id": "a", "depth": -1}',
    '{"experiment_id": "a", "depth": -1e9}',
    '{"experiment_id": "a", "depth": -1000000000}',
    '{"experiment_id": "a", "depth": 501}',
    '{"experiment_id": "a", "depth": 1e400}',
    '{"experiment_id": "a", "depth": ' + "9" * 5000 + "}",
)


@pytest.mark.parametrize("bad", BAD_HINTS, ids=lambda bad: bad[:40])
def test_what_is_no_hint_is_dropped_with_one_line_and_holds_nobody_up(
    controller: ModuleType, store: ExperimentTable, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    uploaded(store, "a", "b")
    batch = hints('{"experiment_id": "a"}', bad, '{"job_name": "novaloop-b--sft-1"}')
    assert failures(controller.handler(batch, CONTEXT)) == []
    assert store.load("a").record is not None
    assert store.load("b").record is not None
    told = [each.getMessage() for each in caplog.records if each.levelname != "INFO"]
    assert len(told) == 1
    assert told[0].startswith("a message is no hint, and dropped: ")
    assert len(told[0]) < 200
    assert "\n" not in told[0]


@pytest.mark.parametrize("version", [-1_000_000_000, "my loop dont work", 1e300, ["my loop"]])
def test_a_hint_of_an_impossible_version_is_none(
    controller: ModuleType, table: str, version: object, caplog: pytest.LogCaptureFixture
) -> None:
    bad = json.dumps({"schema_version": version, "experiment_id": "a"})
    assert failures(controller.handler(hints(bad), CONTEXT)) == []
    assert boto3.client("dynamodb").scan(TableName=table)["Count"] == 0
    (told,) = [each.getMessage() for each in caplog.records if each.levelname != "INFO"]
    assert told.startswith("a message is no hint, and dropped: ")
    assert "my loop" not in caplog.text


def test_what_a_hint_has_besides_is_ignored(controller: ModuleType, store: ExperimentTable) -> None:
    uploaded(store, "a")
    told = {"experiment_id": "a", "depth": 0, "more": [1], "job_name": None}
    assert failures(controller.handler(hints(json.dumps(told)), CONTEXT)) == []
    assert store.load("a").record is not None


def test_a_hint_makes_no_experiment_nor_does_a_command(
    controller: ModuleType, store: ExperimentTable, table: str
) -> None:
    store.put_command("mistyped", rich_items.command("c", datetime.now(UTC)))
    batch = hints(*(json.dumps({"experiment_id": name}) for name in ("questoins", "mistyped")))
    assert failures(controller.handler(batch, CONTEXT)) == []
    items = boto3.client("dynamodb").scan(TableName=table)["Items"]
    assert [item["kind"]["S"] for item in items] == ["COMMAND"]
    uploaded(store, "mistyped")
    assert failures(controller.handler(batch, CONTEXT)) == []
    assert store.load("mistyped").record is not None


def test_one_experiment_that_fails_does_not_hold_up_the_others(
    controller: ModuleType, store: ExperimentTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_one_fail(controller, monkeypatch)
    uploaded(store, "a", "b")
    names = ("a", "broken", "b", "broken")
    batch = hints(*(json.dumps({"experiment_id": name}) for name in names))
    assert failures(controller.handler(batch, CONTEXT)) == ["m1", "m3"]
    assert store.load("b").record is not None


@pytest.mark.parametrize(
    ("told", "depth"),
    [
        ({"experiment_id": "a"}, 0),
        ({"experiment_id": "a", "depth": 7}, 7),
        ({"job_name": "novaloop-a--sft-1"}, 0),
    ],
)
def test_the_depth_of_a_hint_is_told(
    controller: ModuleType, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], depth: int
) -> None:
    real, depths = controller.reconcile, []

    def noted(experiment_id: str, world: Any, depth: int, receives: int) -> Any:
        depths.append(depth)
        return real(experiment_id, world, depth, receives)

    monkeypatch.setattr(controller, "reconcile", noted)
    assert failures(controller.handler(hints(json.dumps(told)), CONTEXT)) == []
    assert depths == [depth]


@pytest.mark.parametrize(
    ("counts", "receives"),
    [
        ("a1", {"a": 1}),
        ("a3", {"a": 3}),
        ("a1 b5 c2", {"a": 1, "b": 5, "c": 2}),
        ("a1 b2 a4 a3", {"a": 4, "b": 2}),
        ("a", {"a": 1}),
    ],
)
def test_an_experiment_is_looked_at_as_its_own_most_received_hint(
    controller: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    counts: str,
    receives: dict[str, int],
) -> None:
    told: dict[str, int] = {}
    monkeypatch.setattr(
        controller, "reconcile", lambda name, *given: told.update({name: given[-1]})
    )
    batch = hints(*(json.dumps({"experiment_id": each[0]}) for each in counts.split()))
    for record, each in zip(batch["Records"], counts.split(), strict=True):
        record["attributes"] = {"ApproximateReceiveCount": each[1:]} if each[1:] else {}
    assert failures(controller.handler(batch, CONTEXT)) == []
    assert told == receives


def test_what_is_no_hint_does_not_keep_the_others_from_being_counted(
    controller: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(controller, "reconcile", lambda *given: told.append(given[-1]))
    newer = json.dumps({"experiment_id": "b", "schema_version": 99})
    batch = hints("no JSON", newer, json.dumps({"experiment_id": "a"}))
    for record in batch["Records"]:
        record["attributes"] = {"ApproximateReceiveCount": "3"}
    controller.handler(batch, CONTEXT)
    assert told == [3]


@pytest.mark.parametrize(
    ("told", "delays"),
    [
        ([{"job_name": "novaloop-questions--sft-2", "status": "Completed"}], [30]),
        ([{"job_name": "novaloop-bot", "config_name": "JOB", "status": "IN_SERVICE"}], [30]),
        ([{"experiment_id": "questions"}, {"job_name": "JOB", "status": "Stopped"}], [30]),
        ([{"job_name": "JOB", "status": "Downloading"}], []),
        ([{"job_name": "JOB"}], []),  # by a rule of the release before
        ([{"job_name": "novaloop-questions--sft-1", "status": "Failed"}], []),
    ],
)
def test_an_end_that_the_look_after_its_event_has_not_seen_is_looked_for_again(
    controller: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    told: list[dict[str, str]],
    delays: list[int],
) -> None:
    running = rich_items.record(status=Status.RUNNING, stages=(rich_items.stage(),))
    assert running.active is not None
    asked: list[Any] = []
    hint_queue = SimpleNamespace(look_at=lambda *given: asked.append(given))
    world = replace(controller.world(), hints=hint_queue)
    monkeypatch.setattr(controller, "world", lambda: world)
    monkeypatch.setattr(controller, "reconcile", lambda *_: running)
    name = str(running.active.attempt.job_name)
    bodies = [json.dumps(each).replace("JOB", name) for each in told]
    assert failures(controller.handler(hints(*bodies), CONTEXT)) == []
    assert asked == [("questions", timedelta(seconds=delay), 1) for delay in delays]


def test_an_end_that_was_seen_is_not_looked_for_again(
    controller: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = rich_items.record(status=Status.COMPLETED)
    over = replace(over, stages=tuple(replace(e, state=StageState.SUCCEEDED) for e in over.stages))
    asked: list[Any] = []
    hint_queue = SimpleNamespace(look_at=lambda *given: asked.append(given))
    world = replace(controller.world(), hints=hint_queue)
    monkeypatch.setattr(controller, "world", lambda: world)
    monkeypatch.setattr(controller, "reconcile", lambda *_: over)
    hint = {"job_name": "novaloop-questions--sft-2", "status": "Completed"}
    assert failures(controller.handler(hints(json.dumps(hint)), CONTEXT)) == []
    assert asked == []


@pytest.mark.parametrize(
    "name", ["other-questions--sft-1", "novaloop-questions", "novaloop-", "novaloop-UP--sft-1", ""]
)
def test_jobs_that_are_not_ours_are_ignored(controller: ModuleType, table: str, name: str) -> None:
    batch = hints(json.dumps({"job_name": name}))
    assert failures(controller.handler(batch, CONTEXT)) == []
    assert boto3.client("dynamodb").scan(TableName=table)["Count"] == 0


def test_an_endpoint_of_several_experiments_is_told_by_its_configuration(
    controller: ModuleType, store: ExperimentTable
) -> None:
    uploaded(store, "questions")
    hint = {"job_name": "novaloop-bot", "config_name": "novaloop-questions--deploy-1"}
    assert failures(controller.handler(hints(json.dumps(hint)), CONTEXT)) == []
    assert store.load("questions").record is not None


def test_the_stream_is_handled_and_the_record_that_fails_is_named(
    controller: ModuleType, store: ExperimentTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded(store, "questions")
    event = sample("table-stream.json")
    assert failures(controller.handler(event, CONTEXT)) == []
    assert store.load("questions").record is not None
    let_one_fail(controller, monkeypatch)
    change = event["Records"][1]["dynamodb"]
    change["Keys"]["experiment_id"]["S"] = "broken"
    bad = change["SequenceNumber"]
    assert failures(controller.handler(event, CONTEXT)) == [bad]


def test_an_upload_becomes_a_dataset(
    environment: Callable[[str], None], store: ExperimentTable
) -> None:
    environment("IngestFunction")
    put("inbox/questions/experiment.yaml", SPEC)
    put("inbox/questions/sft.csv", FILES["sft.csv"])
    load("ingest").handler(sample("s3-object-created.json"), CONTEXT)
    item = store.load("questions").datasets["sft"]
    assert (item.status, item.rows, item.reason) == (DatasetStatus.ACCEPTED, 80, "")
    body = boto3.client("s3").get_object(Bucket="bucket", Key=item.outputs["sft"])["Body"].read()
    assert body.count(b"\n") == 80


def test_a_replaced_upload_is_read_at_its_newest_version(
    environment: Callable[[str], None], store: ExperimentTable
) -> None:
    environment("IngestFunction")
    put("inbox/questions/experiment.yaml", SPEC)
    put("inbox/questions/sft.csv", b"Id,Body,Y\n")
    put("inbox/questions/sft.csv", FILES["sft.csv"])
    ingest = load("ingest")
    ingest.handler(sample("s3-object-created.json"), CONTEXT)
    ingest.handler({"key": "inbox/questions/sft.csv"}, CONTEXT)
    item = store.load("questions").datasets["sft"]
    assert (item.rows, item.ingest_attempts) == (80, 1)


def test_an_upload_that_is_gone_leaves_no_item(
    environment: Callable[[str], None], store: ExperimentTable
) -> None:
    environment("IngestFunction")
    load("ingest").handler(sample("s3-object-created.json"), CONTEXT)
    assert store.load("questions") == Snapshot("questions")


def test_a_rejected_upload_says_why_without_its_text(
    environment: Callable[[str], None],
    store: ExperimentTable,
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment("IngestFunction")
    put("inbox/questions/sft.csv", b"Title,Y\nsecret text,HQ\n")
    load("ingest").handler(sample("s3-object-created.json"), CONTEXT)
    item = store.load("questions").datasets["sft"]
    assert item.status is DatasetStatus.REJECTED
    assert item.reason
    logged = [vars(entry) for entry in caplog.records]
    assert logged
    assert "secret" not in f"{item.reason} {logged}"


def test_a_request_for_an_unknown_score_is_harmless(
    environment: Callable[[str], None], store: ExperimentTable
) -> None:
    environment("MetricsFunction")
    load("metrics").handler(sample("metrics-request.json"), CONTEXT)
    assert store.load("questions") == Snapshot("questions")


def test_the_reward_function_scores_the_sample() -> None:
    scores = load("reward").handler(sample("reward-batch.json"), CONTEXT)
    assert [each["id"] for each in scores] == ["0-0", "0-1", "0-2", "0-3"]
    assert [each["aggregate_reward_score"] for each in scores] == [1, -1, -1, -1]


@pytest.fixture
def sweeper(environment: Callable[[str], None]) -> tuple[ModuleType, Invocations]:
    """The sweeper, ten minutes from now."""
    environment("SweeperFunction")
    module, invoked = load("sweeper"), Invocations()
    clock = VirtualClock()
    clock.time = datetime.now(UTC) + timedelta(minutes=10)
    functions: Any = invoked
    world = replace(module.world(), clock=clock, ingester=IngestFunction(functions, "ingest"))
    module.world = lambda: world  # type: ignore[attr-defined]
    return module, invoked


def test_the_sweep_finds_a_lost_upload_and_counts_it(
    sweeper: tuple[ModuleType, Invocations], capsys: pytest.CaptureFixture[str]
) -> None:
    module, invoked = sweeper
    put("inbox/questions/sft.csv", FILES["sft.csv"])
    module.handler(sample("sweep-schedule.json"), CONTEXT)
    assert invoked.payloads == [("ingest", {"schema_version": 1, "key": "inbox/questions/sft.csv"})]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (emitted,) = [line for line in lines if "_aws" in line]
    assert emitted["UploadsWithoutItem"] == [1.0]
    assert emitted["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Novaloop"
    assert emitted["service"] == "novaloop"


def test_a_sweep_that_finds_nothing_writes_no_metric(
    sweeper: tuple[ModuleType, Invocations],
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    module, _ = sweeper
    module.handler(sample("sweep-schedule.json"), CONTEXT)
    assert "_aws" not in capsys.readouterr().out, "each metric costs as long as it is written"
    assert not [each for each in recwarn if "metrics" in str(each.message)], "a line in the log"


def test_the_sweep_hints_at_what_is_due(
    application: Application,
    sweeper: tuple[ModuleType, Invocations],
    hint_queue: str,
    store: ExperimentTable,
) -> None:
    uploaded(store, "questions")
    application.controller.handler(hints('{"experiment_id": "questions"}'), CONTEXT)
    record = store.load("questions").record
    assert record is not None
    store.commit(replace(record, due_at=datetime.now(UTC)), [])
    module, _ = sweeper
    module.handler(sample("sweep-schedule.json"), CONTEXT)
    found = boto3.client("sqs").receive_message(QueueUrl=hint_queue)["Messages"]
    assert [json.loads(message["Body"]) for message in found] == [
        {"schema_version": 2, "experiment_id": "questions", "depth": 0}
    ]


STRAY = ("inbox//sft.csv", "inbox/sft.csv", "inbox/folder/", "inbox/", "inbox/Größe/a\nb")


def test_stray_keys_are_counted_and_keep_no_other_upload_from_being_found(
    sweeper: tuple[ModuleType, Invocations], capsys: pytest.CaptureFixture[str]
) -> None:
    module, invoked = sweeper
    for key in (*STRAY, "inbox/questions/sft.csv"):
        put(key, FILES["sft.csv"])
    module.handler(sample("sweep-schedule.json"), CONTEXT)
    keys = [payload["key"] for _, payload in invoked.payloads]
    assert keys == ["inbox/Größe/a\nb", "inbox/questions/sft.csv"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (emitted,) = [line for line in lines if "_aws" in line]
    assert emitted["UnusableKeys"] == [2.0]


@pytest.mark.parametrize("key", STRAY)
def test_ingest_leaves_a_key_of_no_experiment_alone(
    environment: Callable[[str], None], table: str, key: str
) -> None:
    environment("IngestFunction")
    put(key, FILES["sft.csv"])
    load("ingest").handler({"key": key}, CONTEXT)
    items = boto3.client("dynamodb").scan(TableName=table)["Items"]
    assert [item["experiment_id"]["S"] for item in items] == ["Größe"] * ("Größe" in key)


def test_a_file_in_a_folder_of_the_folder_takes_the_place_of_no_other(
    environment: Callable[[str], None], store: ExperimentTable
) -> None:
    environment("IngestFunction")
    for file in ("sft.csv", "old/sft.csv"):
        put(f"inbox/questions/{file}", FILES["sft.csv"])
        load("ingest").handler({"key": f"inbox/questions/{file}"}, CONTEXT)
    found = store.load("questions")
    assert found.datasets["sft"].source_key == "inbox/questions/sft.csv"
    assert found.strays.names == ("old/sft.csv",)


def test_what_the_sweep_could_not_do_is_an_error_when_the_rest_is_done(
    sweeper: tuple[ModuleType, Invocations], table: str, hint_queue: str
) -> None:
    module, invoked = sweeper
    put("inbox/questions/sft.csv", FILES["sft.csv"])
    put("inbox/rest/sft.csv", FILES["sft.csv"])
    boto3.client("dynamodb").put_item(
        TableName=table,
        Item={name: {"S": name} for name in ("experiment_id", "item")}
        | {"experiment_id": {"S": "questions"}, "item": {"S": "RECORD"}, "kind": {"S": "RECORD"}},
    )
    with pytest.raises(RuntimeError, match="1 failures: the items of questions can't be read"):
        module.handler(sample("sweep-schedule.json"), CONTEXT)
    assert [payload["key"] for _, payload in invoked.payloads] == ["inbox/rest/sft.csv"]
    found = boto3.client("sqs").receive_message(QueueUrl=hint_queue)["Messages"]
    assert [json.loads(message["Body"]) for message in found] == [
        {"schema_version": 2, "experiment_id": "rest", "depth": 0}
    ]


def test_from_three_files_to_a_live_endpoint(
    application: Application, store: ExperimentTable
) -> None:
    for name, body in FILES.items():
        application.upload(f"inbox/questions/{name}", body)
    application.run()
    snapshot = store.load("questions")
    assert snapshot.record is not None
    assert snapshot.record.status is Status.LIVE, snapshot.record.reason
    own = f"novaloop-questions--{(snapshot.record.uid or '')[:4]}"
    assert own != "novaloop-questions--"
    assert application.jobs.launches == [
        f"{own}-{stage}-1" for stage in ("baseline", "sft", "after-sft", "rft", "after-rft")
    ]
    assert application.hosting.launches == [f"{own}-deploy-1"]
    assert snapshot.scores.keys() == {("baseline", 1), ("after-sft", 1), ("after-rft", 1)}
    reports = boto3.client("s3").list_objects_v2(Bucket="bucket", Prefix="reports/questions/")
    assert reports["KeyCount"] == 3
    assert [subject for subject, _ in application.notifier.messages] == [
        "Novaloop: questions is LIVE"
    ]
