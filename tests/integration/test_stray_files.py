"""What an experiment's plan does not use, in any number, costs no look at the experiment anything.

Counted in the wire's own terms: calls of DynamoDB, items and bytes that a load reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from pynamodb.connection.base import Connection

from novaloop.experiment.record import MAX_STRAYS, MAX_STRAYS_LIKE_DATASETS, Strays
from novaloop.experiment.spec.stages import Role
from novaloop.experiment.versions import NewerVersion, Shape
from novaloop.store.table import ExperimentTable
from tests.integration import rich_items
from tests.integration.application import CONTEXT, load
from tests.integration.test_store_conformance import store as store  # noqa: PLC0414 - a fixture
from tests.integration.test_versions import of_release, put
from tests.simulation.twin_inbox import QUERIES_OF_A_LOAD

if TYPE_CHECKING:
    from tests.integration.test_store_conformance import Store

FLOOD = 300
NAMES = sorted(f"notes-{number:05}.txt" for number in range(FLOOD))


@dataclass
class Read:
    """What was read of the table."""

    calls: int = 0
    items: int = 0
    bytes: int = 0


@contextmanager
def counted() -> Iterator[Read]:
    read, real = Read(), Connection._make_api_call

    def call(self: Connection, name: str, *rest: Any, **more: Any) -> Any:
        answer = real(self, name, *rest, **more)
        if name == "Query":
            read.calls += 1
            read.items += len(answer["Items"])
            read.bytes += len(json.dumps(answer["Items"]))
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "_make_api_call", call)
        yield read


def whole(store: ExperimentTable) -> None:
    store.commit(rich_items.record(), [])
    store.put_spec("questions", rich_items.SPEC_ITEM)
    for role in Role:
        store.put_dataset("questions", rich_items.dataset(role))


def test_a_flood_is_told_of_by_ten_names_and_a_number(store: Store) -> None:
    for name in NAMES[:7]:
        store.put_stray("questions", name)
        store.put_stray("questions", name)
    assert store.load("questions").strays == Strays(tuple(NAMES[:7]))
    for name in NAMES[7:]:
        store.put_stray("questions", name)
    store.put_stray("questions", NAMES[0])  # it is named
    strays = store.load("questions").strays
    assert strays == Strays(tuple(NAMES[:MAX_STRAYS]), FLOOD - MAX_STRAYS)
    assert str(strays).endswith("notes-00009.txt, and 290 more")


def test_what_is_called_like_a_dataset_is_named_also_after_a_flood(store: Store) -> None:
    like_data = sorted(f"data.{number:02}.csv" for number in range(FLOOD))
    for name in (*NAMES, *like_data):
        store.put_stray("questions", name)
    places = MAX_STRAYS_LIKE_DATASETS - MAX_STRAYS
    strays = store.load("questions").strays
    named = tuple(sorted((*NAMES[:MAX_STRAYS], *like_data[:places])))
    assert strays == Strays(named, 2 * FLOOD - MAX_STRAYS_LIKE_DATASETS)
    assert all(strays.has_told_of(name) for name in (NAMES[-1], like_data[0], like_data[-1]))
    assert store.load("questions").has_uploads
    assert not store.load("others").has_uploads


def test_a_load_reads_the_same_after_a_flood(
    table: str, environment: Callable[[str], None]
) -> None:
    store = ExperimentTable(table, "us-east-1")
    whole(store)
    for name in NAMES[: MAX_STRAYS + 1]:
        store.put_stray("questions", name)
    with counted() as before:
        store.load("questions")
    environment("IngestFunction")
    ingest = load("ingest")
    for name in NAMES[MAX_STRAYS + 1 :]:
        key = f"inbox/questions/{name}"
        boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=b"what I did")
        ingest.handler({"key": key}, CONTEXT)
    with counted() as after:
        assert store.load("questions").strays.more == FLOOD - MAX_STRAYS
    assert (after.calls, after.items) == (before.calls, before.items) == (2, 3 + len(Role) + 2)
    assert after.bytes - before.bytes < 10


def test_the_flood_of_an_older_release_is_read_in_part_and_the_datasets_whole(table: str) -> None:
    """Release 0.1.0 wrote an item for each: they lie around those of the datasets."""
    store = ExperimentTable(table, "us-east-1")
    whole(store)
    (dataset,) = of_release("0.1.0", Shape.DATASET)
    for name in (f"{letter}{number:03}.txt" for letter in "afmz" for number in range(150)):
        put(table, {**dataset, "item": f"DATASET#{name}", "role": name})
    with counted() as read:
        snapshot = store.load("questions")
    assert set(Role) <= snapshot.datasets.keys()
    assert snapshot.spec == rich_items.SPEC_ITEM
    assert snapshot.datasets["a000.txt"].role == "a000.txt"
    assert read.calls <= 2 + len(Role) + 1
    assert read.items <= 220


def test_the_sweep_reads_what_it_needs(table: str) -> None:
    store = ExperimentTable(table, "us-east-1")
    whole(store)
    store.put_checks("questions", rich_items.CHECKS)
    for number in range(30):
        store.put_command("questions", rich_items.command(f"c{number}"))
    with counted() as records:
        (record,) = store.load_records(["questions"]).values()
    assert record is not None
    assert record.record is not None
    assert (records.calls, records.items) == (1, 2)
    with counted() as one:
        assert store.load_record("questions") == record.record
    assert (one.calls, one.items) == (1, 2)
    store.drop("questions", [rich_items.command("c3"), rich_items.command("none")])
    assert len(store.load("questions").commands) == 29
    with counted() as uploads:
        store.load_all(["questions"])
    assert (uploads.calls, uploads.items) == (QUERIES_OF_A_LOAD, 3 + len(Role))


def test_some_strays_of_an_older_release_are_read_as_they_are(table: str) -> None:
    store = ExperimentTable(table, "us-east-1")
    whole(store)
    (dataset,) = of_release("0.1.0", Shape.DATASET)
    for number in range(40):
        name = f"n{number}.txt"
        put(table, {**dataset, "item": f"DATASET#{name}", "role": name})
    assert len(store.load("questions").datasets) == 40 + len(Role)


def test_nothing_is_counted_over_what_a_newer_release_wrote(table: str) -> None:
    store = ExperimentTable(table, "us-east-1")
    for key in ("STRAYS", "STRAYS#MORE"):
        newer = {"experiment_id": "questions", "item": key, "kind": "STRAYS", "schema_version": 99}
        put(table, newer)
    before = boto3.client("dynamodb").scan(TableName=table)["Items"]
    with pytest.raises(NewerVersion):
        store.put_stray("questions", "notes.txt")
    assert boto3.client("dynamodb").scan(TableName=table)["Items"] == before
    assert {each.key for each in store.load("questions").unread} == {"STRAYS", "STRAYS#MORE"}
