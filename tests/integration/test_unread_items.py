"""An item that can't be read is left alone and told once, and keeps nothing else from being done.

Newer than the code knows, damaged, or of a kind that nobody knows: each item of an experiment's
collection, one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from novaloop.experiment import versions
from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Policy, StageCommand
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.controller.transitions import Action
from novaloop.experiment.record import (
    Attempt,
    CommandItem,
    CommandKind,
    DatasetStatus,
    Endpoint,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
    Unread,
)
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.versions import FIELD, PRESENT, Shape
from novaloop.store.table import ExperimentTable
from novaloop.usecases.ports import Round
from tests.integration import rich_items
from tests.integration.application import CONTEXT, Application, load
from tests.integration.rich_items import LATER, NOW, UID
from tests.integration.test_handlers import hints
from tests.integration.test_versions import put
from tests.integration.written import stored

NAME = "questions"
KEYS = {"experiment_id", "item", "kind", FIELD}
REQUIRED = (
    "version_id",
    "versions",
    "command",
    "scored_at",
    "status",
    "at",
    "number",
    "started",
)
DAMAGES: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "newer": lambda item: item.update({FIELD: PRESENT[Shape(item["kind"])] + 1}),
    "newer-of-other-types": lambda item: item.update(
        {FIELD: 99} | {name: [1] for name in item if name not in KEYS}
    ),
    "without-an-attribute": lambda item: item.pop(
        next(name for name in REQUIRED if name in item), None
    ),
    "of-wrong-types": lambda item: item.update({name: {"a": 1} for name in REQUIRED}),
    "of-an-unknown-kind": lambda item: item.update({"kind": "ROLLOUT"}),
    "without-a-kind": lambda item: item.pop("kind"),
    "of-another-kind": lambda item: item.update(
        {"kind": "SCORE" if item["kind"] != "SCORE" else "COMMAND"}
    ),
    "nothing-but-keys": lambda item: [item.pop(name) for name in list(item) if name not in KEYS],
}
WITH_COPIES: Mapping[str, Callable[[dict[str, Any]], object]] = {
    **DAMAGES,
    "under-another-key": lambda item: item.update(item=f"{item['item']}#copy"),
}
BESIDE_THE_RECORD = (Shape.SPEC, Shape.DATASET, Shape.CHECKS, Shape.SCORE, Shape.COMMAND)


def of_every_kind(store: ExperimentTable, table: str) -> dict[Shape, dict[str, Any]]:
    """Write one of each item that a look reads, and take them away again."""
    store.put_spec(NAME, rich_items.SPEC_ITEM)
    store.put_dataset(NAME, rich_items.dataset("sft"))
    store.put_checks(NAME, rich_items.CHECKS)
    store.put_score(NAME, rich_items.score())
    store.put_command(NAME, rich_items.command("c1"))
    items = {Shape(item["kind"]): item for item in scanned(table)}
    for item in items.values():
        delete(table, item)
    return items


def scanned(table: str) -> Iterator[dict[str, Any]]:
    return map(stored, boto3.client("dynamodb").scan(TableName=table)["Items"])


def delete(table: str, item: Mapping[str, Any]) -> None:
    key = {name: {"S": item[name]} for name in ("experiment_id", "item")}
    boto3.client("dynamodb").delete_item(TableName=table, Key=key)


def live(until: datetime) -> Record:
    """An experiment that serves; whatever it reads was used already."""
    names = ("baseline", "sft", "after-sft")
    kinds = (StageKind.EVALUATE, StageKind.SFT, StageKind.EVALUATE)
    done = [
        Stage(
            kind, name, StageState.SUCCEEDED, attempt=Attempt(job_name=f"novaloop-{NAME}--{name}-1")
        )
        for kind, name in zip(kinds, names, strict=True)
    ]
    at = until - timedelta(hours=2)
    deployed = Stage(
        StageKind.DEPLOY,
        "deploy",
        StageState.SUCCEEDED,
        attempt=Attempt(job_name=f"novaloop-{NAME}--deploy-1", job_arn="arn", started_at=at),
    )
    return Record(
        NAME,
        rich_items.SPEC,
        at,
        status=Status.LIVE,
        reason="it serves",
        stages=(*done, deployed),
        endpoint=Endpoint(f"novaloop-{NAME}--deploy-1", at, until),
        started_at=at,
        uid=UID,
    )


def looks(application: Application, times: int = 1) -> None:
    for _ in range(times):
        batch = hints(json.dumps({"experiment_id": NAME}))
        assert application.controller.handler(batch, CONTEXT) == {"batchItemFailures": []}


every_damage = pytest.mark.parametrize("damage", DAMAGES)


@pytest.mark.parametrize("damage", WITH_COPIES)
@pytest.mark.parametrize("shape", BESIDE_THE_RECORD)
def test_it_is_left_alone_and_told_once_while_stop_and_expiry_go_on(
    application: Application, store: ExperimentTable, table: str, shape: Shape, damage: str
) -> None:
    item = of_every_kind(store, table)[shape]
    WITH_COPIES[damage](item)
    put(table, item)
    store.commit(live(datetime.now(UTC) + timedelta(hours=1)), [])

    looks(application, 3)
    record = store.load(NAME).record
    assert record is not None
    assert record.status is Status.LIVE
    assert record.unread.startswith(f"{item['item']} is left alone: this {shape.lower()} ")
    told = [message for _, message in application.notifier.messages if item["item"] in message]
    assert len(told) == 1
    assert "jane" not in told[0] + record.unread  # of the item itself, nothing is quoted
    lines = [entry for entry in store.history(NAME) if entry.what == "left alone"]
    assert len(lines) == 1
    assert "newer" in record.unread or "newer" not in damage

    # Another command is applied, and so is the end of its time.
    command = CommandItem("c2", CommandKind.KEEP, "joe", NOW, hours=-1, uid=UID)
    store.put_command(NAME, command)
    looks(application)
    assert [each.what for each in store.history(NAME) if each.what.startswith("keep")] == [
        "keep by joe"
    ]
    application.clock.time += timedelta(hours=2)
    looks(application)
    assert status(store) is Status.STOPPING
    assert [each for each in scanned(table) if each["item"] == item["item"]] == [item]


def status(store: ExperimentTable) -> Status:
    record = store.load(NAME).record
    assert record is not None
    return record.status


@every_damage
@pytest.mark.parametrize("shape", BESIDE_THE_RECORD)
def test_a_person_can_stop_all_the_same(
    application: Application, store: ExperimentTable, table: str, shape: Shape, damage: str
) -> None:
    item = of_every_kind(store, table)[shape]
    DAMAGES[damage](item)
    put(table, item)
    waiting = replace(live(LATER), status=Status.HELD, stages=(), endpoint=None)
    store.commit(waiting, [])
    store.put_command(NAME, CommandItem("c2", CommandKind.STOP, "joe", NOW, uid=UID))
    looks(application)
    assert status(store) is Status.STOPPED
    record = store.load(NAME).record
    assert record is not None
    looks(application)
    assert record.due_at is None or store.load(NAME).record == replace(record, due_at=None)


@every_damage
def test_nothing_starts_without_a_spec_that_can_not_be_read(
    application: Application, store: ExperimentTable, table: str, damage: str
) -> None:
    item = of_every_kind(store, table)[Shape.SPEC]
    DAMAGES[damage](item)
    put(table, item)
    for role in ("sft", "rft", "eval"):
        store.put_dataset(NAME, rich_items.dataset(role, status=DatasetStatus.ACCEPTED))
    looks(application, 3)
    assert status(store) is Status.COLLECTING
    assert application.jobs.launches == []
    assert application.invoked.payloads == []
    # A new upload is written over what is damaged, and not over what is newer.
    if "newer" not in damage:
        store.put_spec(NAME, rich_items.SPEC_ITEM)
        looks(application)
        record = store.load(NAME).record
        assert record is not None
        assert record.unread == ""


@every_damage
def test_a_record_that_can_not_be_read_is_left_alone_and_comes_to_no_dead_letter(
    application: Application,
    store: ExperimentTable,
    table: str,
    damage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store.commit(live(LATER), [])
    store.put_dataset("rest", rich_items.dataset("sft"))
    (item,) = (each for each in scanned(table) if each["item"] == "RECORD")
    DAMAGES[damage](item)
    put(table, item)
    before = [each for each in scanned(table) if each["experiment_id"] == NAME]
    capsys.readouterr()
    batch = hints(json.dumps({"experiment_id": NAME}), '{"experiment_id": "rest"}')
    assert application.controller.handler(batch, CONTEXT) == {"batchItemFailures": []}
    assert [each for each in scanned(table) if each["experiment_id"] == NAME] == before
    assert store.load("rest").record is not None
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    metric = "NewerVersions" if "newer" in damage else "Defects"
    assert [line[metric] for line in lines if metric in line] == [[1.0]]
    assert store.load_all([NAME]) == ({NAME: None} if "newer" in damage else {})


@every_damage
def test_history_is_shown_without_the_line(store: ExperimentTable, table: str, damage: str) -> None:
    store.commit(live(LATER), rich_items.ENTRIES)
    item = min((each for each in scanned(table) if "at" in each), key=lambda each: each["item"])
    DAMAGES[damage](item)
    put(table, item)
    assert store.history(NAME) == rich_items.ENTRIES[1:]


ATTEMPTS = [each for each in DAMAGES if not each.startswith("newer")]


@pytest.mark.parametrize("damage", ATTEMPTS)
def test_attempts_that_can_not_be_read_are_counted_anew(
    store: ExperimentTable, table: str, damage: str
) -> None:
    store.begin(NAME, "SPEC", "v1", NOW)
    (item,) = scanned(table)
    DAMAGES[damage](item)
    put(table, item)
    begun = [store.begin(NAME, "SPEC", "v1", at) for at in (NOW, LATER)]
    assert [(each.number, each.since) for each in begun] == [(1, NOW), (2, NOW)]
    assert store.load(NAME).unread == ()


@pytest.mark.parametrize("damage", ATTEMPTS)
def test_a_sweep_begins_anew_where_its_place_can_not_be_read(
    store: ExperimentTable, table: str, damage: str
) -> None:
    store.put_sweep_round(Round("inbox/a", NOW, NOW, NOW))
    (item,) = scanned(table)
    DAMAGES[damage](item)
    put(table, item)
    assert store.sweep_round() is None
    store.put_sweep_round(Round("inbox/b", NOW, NOW, NOW))
    assert store.sweep_round() == Round("inbox/b", NOW, NOW, NOW)


def test_two_releases_keep_their_counts_and_places_apart(
    store: ExperimentTable, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = {**PRESENT, Shape.SWEEP: 2, Shape.ATTEMPTS: 2}
    theirs, ours = Round("inbox/theirs", NOW, NOW, NOW), Round("inbox/ours", NOW, NOW, NOW)
    with monkeypatch.context() as patch:
        patch.setattr(versions, "PRESENT", newer)
        store.put_sweep_round(theirs)
        assert store.begin(NAME, "SPEC", "v1", NOW).number == 1
    before = list(scanned(table))
    assert store.sweep_round() is None
    store.put_sweep_round(ours)
    assert store.begin(NAME, "SPEC", "v1", LATER).number == 1
    assert store.sweep_round() == ours
    assert [each for each in scanned(table) if each[FIELD] == 2] == before
    with monkeypatch.context() as patch:
        patch.setattr(versions, "PRESENT", newer)
        assert store.sweep_round() == theirs
        assert store.begin(NAME, "SPEC", "v1", NOW).number == 2


@pytest.mark.parametrize(
    ("is_newer", "after", "state", "asks"),
    [
        (True, timedelta(hours=23), StageState.SCORING, False),
        (True, timedelta(hours=25), StageState.FAILED, False),
        (False, timedelta(hours=1), StageState.SCORING, True),
    ],
)
def test_a_score_that_can_not_be_read_is_waited_for_or_asked_for_again(
    *, is_newer: bool, after: timedelta, state: StageState, asks: bool
) -> None:
    stage = Stage(
        StageKind.EVALUATE,
        "baseline",
        StageState.SCORING,
        attempt=Attempt(
            job_name=f"novaloop-{NAME}--baseline-1", ended_at=NOW, checked_at=NOW, checks=1
        ),
    )
    record = Record(NAME, rich_items.SPEC, NOW, status=Status.RUNNING, stages=(stage,))
    unread = Unread("SCORE#baseline#1", "this score was written by a newer Novaloop", is_newer)
    asked: list[Action] = []
    for minutes in (0, 2, 5):
        seen = Observation(Snapshot(NAME, record, unread=(unread,)))
        decision = decide(seen, NOW + after + timedelta(minutes=minutes), Policy())
        record = decision.record
        asked += [each.action for each in decision.commands if isinstance(each, StageCommand)]
    assert record.stages[0].state is state
    assert asked == [Action.CHECK] * asks


def test_metrics_scores_nothing_beside_a_score_that_can_not_be_read(
    environment: Callable[[str], None], store: ExperimentTable, table: str, bucket: str
) -> None:
    item = of_every_kind(store, table)[Shape.SCORE]
    put(table, {**item, FIELD: 99})
    assert bucket
    store.commit(live(LATER), [])
    environment("MetricsFunction")
    request = {"experiment_id": NAME, "stage": "after-sft", "attempt": 1}
    assert load("metrics").handler(request, CONTEXT) is None
    assert [each for each in scanned(table) if each["kind"] == "SCORE"] == [{**item, FIELD: 99}]
