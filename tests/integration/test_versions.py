"""What every release wrote is read; what a newer one wrote is left alone, and told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer

from novaloop.cloud.messages import IngestFunction
from novaloop.experiment.record import Snapshot
from novaloop.experiment.versions import (
    FIELD,
    PRESENT,
    Damaged,
    NewerVersion,
    Shape,
    current,
    mark_of,
    stamped,
)
from novaloop.store.table import ExperimentTable
from novaloop.typed import adapter
from novaloop.usecases.ingest_events import BigFile
from novaloop_cli.errors import explain
from tests.integration import rich_items
from tests.integration.application import CONTEXT, Application, Invocations, load, sample
from tests.integration.conftest import TABLE
from tests.integration.written import stored, written
from tests.simulation.twins import VirtualClock

STORED = Path(__file__).with_name("stored")
RELEASES = sorted(
    (each.name for each in STORED.iterdir() if each.is_dir()),
    key=lambda name: [*map(int, name.split("."))],
)
ITEMS = [shape for shape in Shape if shape not in {Shape.HINT, Shape.REQUEST, Shape.BIG_FILE}]
NEWER = max(PRESENT.values()) + 1


def of_release(release: str, shape: Shape) -> list[dict[str, Any]]:
    file = STORED / release / f"{shape.lower()}.json"
    content = json.loads(file.read_text()) if file.exists() else []
    return content if isinstance(content, list) else [content]


def put(table: str, item: Mapping[str, Any]) -> None:
    write = TypeSerializer().serialize
    exact = json.loads(json.dumps(item), parse_float=Decimal)
    wire = {name: write(value) for name, value in exact.items()}
    boto3.client("dynamodb").put_item(TableName=table, Item=wire)


def scanned(table: str) -> list[dict[str, Any]]:
    """Return what is stored of experiments, which the sweep's place, attempts and tries are not."""
    items = map(stored, boto3.client("dynamodb").scan(TableName=table)["Items"])
    return [item for item in items if item["kind"] not in {Shape.SWEEP, Shape.ATTEMPTS, Shape.TRY}]


def paths(value: Any, at: str = "") -> Iterator[str]:
    """Yield the fields of a value with their types; those of all entries of a list together."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name != FIELD:
                yield from paths(each, f"{at}.{name}")
    elif isinstance(value, list):
        for each in value:
            yield from paths(each, f"{at}[]")
    else:
        yield f"{at}: {'number' if isinstance(value, int | float) else type(value).__name__}"


def holds(read: Any, expected: Any) -> bool:
    """Whether what was read has all that was written; it may have newer fields."""
    if isinstance(expected, dict):
        return all(name in read and holds(read[name], each) for name, each in expected.items())
    if isinstance(expected, list):
        return len(read) == len(expected) and all(map(holds, read, expected))
    return bool(read == expected)


def test_everything_that_is_written_carries_the_present_version(table: str) -> None:
    found = written(table)
    assert found.keys() == set(Shape)
    for shape, values in found.items():
        assert [value[FIELD] for value in values] == [PRESENT[shape]] * len(values), shape


@pytest.mark.parametrize("shape", Shape)
def test_a_shape_that_changed_since_the_last_release_has_a_new_version(
    table: str, shape: Shape
) -> None:
    last = of_release(RELEASES[-1], shape)
    if not last:
        return  # it is new
    versions = {value.get(FIELD, 1) for value in last}
    assert len(versions) == 1
    if versions != {PRESENT[shape]}:
        return
    now = written(table)[shape]
    assert {*paths(now)} == {*paths(last)}, (
        f"what is written as {shape} differs from release {RELEASES[-1]}: raise its version in "
        "novaloop/experiment/versions.py, and say there how the old one is read, if defaults don't"
    )


@pytest.mark.parametrize("release", RELEASES)
def test_the_items_of_every_release_are_read(
    table: str, store: ExperimentTable, release: str
) -> None:
    for shape in ITEMS:
        for item in of_release(release, shape):
            put(table, item)
    snapshot = store.load("questions")
    values: dict[Shape, Any] = {
        Shape.RECORD: snapshot.record,
        Shape.SPEC: snapshot.spec,
        Shape.DATASET: snapshot.datasets["sft"],
        Shape.CHECKS: snapshot.checks,
        Shape.SCORE: snapshot.scores["baseline", 1],
        Shape.HISTORY: store.history("questions")[0],
    }
    own = {"item", "kind", "ttl", "experiment_id", FIELD}
    for kind, value in values.items():
        assert value is not None
        (item,) = of_release(release, kind)
        read = adapter(type(value)).dump_python(value, mode="json")
        for stage in read.get("stages", ()):  # among whose fields those of its attempt stand
            attempt = stage.pop("attempt")
            stage.update(attempt | {"attempt": attempt.pop("number")})
        expected = current(kind, {name: each for name, each in item.items() if name not in own})
        if kind is Shape.RECORD:  # where the metrics of all stages stand in one place
            metrics = expected.pop("metrics")
            assert metrics["sft"]["exact_match"] == {"value": 0.1 + 0.2}
            for stage in expected["stages"]:
                stage["metrics"] = metrics.get(stage["name"], {})
        assert holds(read, expected), kind
    assert snapshot.commands == (
        replace(rich_items.command("c1"), uid=None, spec=None, answers=None),
    )


@pytest.mark.parametrize("version", [1, 2])
def test_a_record_that_holds_its_spec_is_written_in_two_items_at_its_next_commit(
    store: ExperimentTable, table: str, version: int
) -> None:
    put(table, {**of_release("0.1.0", Shape.RECORD)[0], FIELD: version})
    record = store.load("questions").record
    assert record is not None
    assert record.spec == rich_items.SPEC
    assert record.spec_upload is None
    second = record.stages[1]
    assert second.attempt.previous_config == "novaloop-questions-2--deploy-1"
    assert second.attempt.second_step_at == rich_items.NOW
    committed = store.commit(replace(record, reason="another"), [])
    items = {item["item"]: item for item in scanned(table)}
    assert items.keys() == {Shape.RECORD, Shape.RESOLVED_SPEC}
    assert items[Shape.RECORD].keys().isdisjoint({"spec", "datasets"})
    assert items[Shape.RECORD][FIELD] == PRESENT[Shape.RECORD]
    assert store.load("questions").record == committed


def test_a_record_beside_a_newer_resolved_spec_is_left_alone(
    store: ExperimentTable, table: str
) -> None:
    store.commit(rich_items.record(), [])
    (item,) = (each for each in scanned(table) if each["item"] == Shape.RESOLVED_SPEC)
    put(table, {**item, FIELD: NEWER})
    with pytest.raises(NewerVersion):
        store.load("questions")


@pytest.mark.parametrize(
    ("notified", "mark"),
    [
        ("HELD: HOLD: too low", mark_of("HELD", "HOLD: too low")),
        ("LIVE: e serves until 2026-01-05", "LIVE"),
        ("", ""),
    ],
)
def test_what_0_1_0_told_people_is_not_told_again(notified: str, mark: str) -> None:
    (item,) = of_release("0.1.0", Shape.RECORD)
    assert current(Shape.RECORD, {**item, "notified": notified})["notified"] == mark


def test_what_0_1_0_said_of_late_uploads_is_said_anew(store: ExperimentTable, table: str) -> None:
    put(table, of_release("0.1.0", Shape.RECORD)[0])
    record = store.load("questions").record
    assert record is not None
    assert record.notices == ("near-duplicates: 2 rows of eval resemble one in sft",)
    assert record.handled_commands == ("c1", "c2")


@pytest.mark.parametrize("release", RELEASES)
def test_the_messages_of_every_release_are_read(release: str) -> None:
    for shape in (Shape.HINT, Shape.REQUEST, Shape.BIG_FILE):
        for message in of_release(release, shape):
            assert current(shape, message).items() <= message.items()
    for file in of_release(release, Shape.BIG_FILE):
        assert BigFile(**current(Shape.BIG_FILE, file)).role == "sft"


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("version", [NEWER, 10**9_999], ids=["next", "huge"])
def test_a_newer_version_is_not_read(shape: Shape, version: int) -> None:
    with pytest.raises(NewerVersion, match="was written by a newer Novaloop") as caught:
        current(shape, {FIELD: version})
    assert len(str(caught.value)) < 200
    assert current(shape, stamped(shape, {"a": 1})) == {"a": 1}


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize(
    "version",
    ["2", "my loop dont work" * 9_999, {"my": "loop"}, [1], True, 1.5, 1e300, 0, -7],
    ids=["2", "long", "mapping", "list", "true", "fraction", "float", "0", "negative"],
)
def test_what_is_no_version_is_damage_and_not_quoted(shape: Shape, version: object) -> None:
    with pytest.raises(Damaged, match="schema_version") as caught:
        current(shape, {FIELD: version})
    assert "loop" not in str(caught.value)
    assert len(str(caught.value)) < 200


# ------------------------------------------------------------------ an older release meets newer
@pytest.fixture
def newer(table: str, store: ExperimentTable) -> Callable[[Shape], list[dict[str, Any]]]:
    """Let an item of an experiment be of a newer version, with a status that only that knows."""

    def make(shape: Shape) -> list[dict[str, Any]]:
        for items in written(table).values():
            for item in items:
                if item.get("kind") == shape:
                    put(table, {**item, FIELD: NEWER, "status": "PAUSED", "more": {"a": 1}})
        return scanned(table)

    return make


def emitted(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line["NewerVersions"] for line in lines if "NewerVersions" in line]


def test_the_controller_leaves_a_newer_record_alone_and_sees_to_the_others(
    environment: Callable[[str], None],
    hint_queue: str,
    store: ExperimentTable,
    newer: Callable[[Shape], list[dict[str, Any]]],
    *,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    application = Application(environment, hint_queue)
    before = newer(Shape.RECORD)
    for name in ("a", "b"):
        store.put_dataset(name, rich_items.dataset("sft"))
    capsys.readouterr()
    names = ("questions", "a", "questions", "b")
    shaped = sample("hints.json")["Records"][0]
    batch = {
        "Records": [
            {**shaped, "messageId": f"m{n}", "body": json.dumps({"experiment_id": name})}
            for n, name in enumerate(names)
        ]
    }
    answer = application.controller.handler(batch, CONTEXT)
    assert answer == {"batchItemFailures": []}
    assert [each for each in scanned(TABLE) if each["experiment_id"] == "questions"] == before
    assert store.load("a").record is not None
    assert store.load("b").record is not None
    assert emitted(capsys) == [[1.0]]
    told = [entry.getMessage() for entry in caplog.records if "left alone" in entry.getMessage()]
    assert len(told) == 1
    assert f"this one knows version {PRESENT[Shape.RECORD]}" in told[0]


def test_the_sweep_asks_for_no_upload_of_a_newer_experiment_and_goes_on(
    environment: Callable[[str], None],
    bucket: str,
    newer: Callable[[Shape], list[dict[str, Any]]],
) -> None:
    environment("SweeperFunction")
    sweeper = load("sweeper")
    newer(Shape.RECORD)
    invoked: Any = Invocations()
    clock = VirtualClock()
    clock.time = datetime.now(UTC) + timedelta(minutes=10)
    world = replace(sweeper.world(), clock=clock, ingester=IngestFunction(invoked, "ingest"))
    sweeper.world = lambda: world  # type: ignore[attr-defined]
    for name in ("questions", "rest"):
        boto3.client("s3").put_object(
            Bucket=bucket, Key=f"inbox/{name}/validation.csv", Body=b"Id\n"
        )
    sweeper.handler({}, CONTEXT)
    assert [request["key"] for _, request in invoked.payloads] == ["inbox/rest/validation.csv"]


def test_a_newer_hint_is_left_alone(
    environment: Callable[[str], None], hint_queue: str, table: str
) -> None:
    controller = Application(environment, hint_queue).controller
    event = sample("hints.json")
    for record in event["Records"]:
        record["body"] = json.dumps({FIELD: NEWER, "experiments": ["questions"]})
    assert controller.handler(event, CONTEXT) == {"batchItemFailures": []}
    assert scanned(table) == []


@pytest.fixture(params=["ingest", "metrics"])
def function(request: pytest.FixtureRequest, environment: Callable[[str], None]) -> ModuleType:
    environment(f"{str(request.param).capitalize()}Function")
    return load(request.param)


def test_no_function_writes_beside_a_newer_record(
    function: ModuleType,
    bucket: str,
    newer: Callable[[Shape], list[dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = newer(Shape.RECORD)
    boto3.client("s3").put_object(Bucket=bucket, Key="inbox/questions/sft.csv", Body=b"Id,Body,Y\n")
    capsys.readouterr()
    request = {"experiment_id": "questions", "stage": "baseline", "attempt": 1}
    event = {"key": "inbox/questions/sft.csv"} if "ingest" in function.__name__ else request
    assert function.handler(event, CONTEXT) is None
    assert scanned(TABLE) == before
    assert emitted(capsys) == [[1.0]]


def test_newer_requests_and_executions_are_left_alone(
    function: ModuleType, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert function.handler({FIELD: NEWER, "what": "anything"}, CONTEXT) is None
    assert emitted(capsys) == [[1.0]]
    if "ingest" in function.__name__:
        for step in ("scan", "plan", "convert", "join"):
            file = {FIELD: NEWER, "files": []}
            event: Any = {"step": step, "file": file, "range": {}, "scans": [], "ranges": [{}]}
            assert function.handler(event, CONTEXT) is None


def test_nothing_is_written_over_a_newer_item(
    store: ExperimentTable, table: str, newer: Callable[[Shape], list[dict[str, Any]]]
) -> None:
    writes: dict[Shape, Callable[[], None]] = {
        Shape.SPEC: lambda: store.put_spec("questions", rich_items.SPEC_ITEM),
        Shape.CHECKS: lambda: store.put_checks("questions", rich_items.CHECKS),
        Shape.SCORE: lambda: store.put_score("questions", rich_items.score()),
    }
    for shape, write in writes.items():
        for item in scanned(table):
            key = {name: {"S": item[name]} for name in ("experiment_id", "item")}
            boto3.client("dynamodb").delete_item(TableName=table, Key=key)
        before = newer(shape)
        with pytest.raises(NewerVersion):
            write()
        assert scanned(table) == before


def test_an_item_of_an_earlier_version_is_replaced(store: ExperimentTable, table: str) -> None:
    put(table, of_release("0.1.0", Shape.SPEC)[0])
    store.put_spec("questions", replace(rich_items.SPEC_ITEM, version_id="v8"))
    assert store.load("questions").spec == replace(rich_items.SPEC_ITEM, version_id="v8")


def test_the_command_says_to_upgrade(
    store: ExperimentTable, newer: Callable[[Shape], list[dict[str, Any]]]
) -> None:
    newer(Shape.RECORD)
    with pytest.raises(NewerVersion) as caught:
        store.load("questions")
    told = explain(caught.value)
    assert told is not None
    assert "this record was written by a newer Novaloop" in told.message
    assert "upgrade" in told.message
    assert store.load("other") == Snapshot("other")
