"""The table and its in-memory twin keep the same promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.dynamodb.exceptions import TransactionCanceledException
from moto.dynamodb.models import DynamoDBBackend
from pynamodb.connection import Connection
from pynamodb.exceptions import TransactWriteError

from novaloop.experiment.controller.queue import QueuePlace, followers_of
from novaloop.experiment.record import (
    DatasetItem,
    DatasetStatus,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.summary import Summary
from novaloop.experiment.versions import Damaged
from novaloop.store.items import FOR_PEOPLE, StoredItem
from novaloop.store.serialisation import SMALLEST_NUMBER
from novaloop.store.table import ExperimentTable
from novaloop.usecases.inbox import NOT_READ
from novaloop.usecases.ports import Round, VersionConflict
from tests.integration import rich_items
from tests.integration.conftest import table_settings
from tests.integration.rich_items import ENTRIES, LATER, NOW, complete
from tests.simulation.twins import TwinStore
from tests.template.stack import REGION

if TYPE_CHECKING:
    Store = ExperimentTable | TwinStore


@pytest.fixture(params=["table", "twin"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "twin":
        return TwinStore(on_item=lambda _: None)
    return ExperimentTable(request.getfixturevalue("table"), REGION)


@pytest.fixture
def experiments(table: str) -> ExperimentTable:
    return ExperimentTable(table, REGION)


def test_an_unknown_experiment_is_an_empty_snapshot(store: Store) -> None:
    assert store.load("nobody") == Snapshot("nobody")
    assert list(store.history("nobody")) == []


def test_a_record_comes_back_as_it_was_committed(store: Store) -> None:
    committed = store.commit(rich_items.record(), ENTRIES)
    assert committed == replace(rich_items.record(), version=1)
    assert store.load("questions").record == committed


def test_an_empty_record_comes_back_too(store: Store) -> None:
    committed = store.commit(Record("questions", rich_items.SPEC, NOW), [])
    assert store.load("questions").record == committed


def test_what_becomes_none_is_none_afterwards(store: Store) -> None:
    first = store.commit(rich_items.record(), [])
    bare = replace(first, gate=None, endpoint=None, due_at=None, stopping_to=None, stages=())
    assert store.load("questions").record == first
    assert store.commit(bare, []) == store.load("questions").record


def test_every_item_is_in_the_snapshot(store: Store) -> None:
    committed = store.commit(rich_items.record(), ENTRIES)
    store.put_spec("questions", complete(rich_items.SPEC_ITEM))
    store.put_dataset("questions", complete(rich_items.dataset("sft")))
    store.put_dataset("questions", rich_items.dataset("eval"))
    store.put_checks("questions", complete(rich_items.CHECKS))
    store.put_score("questions", rich_items.score())
    store.put_score("questions", rich_items.score(attempt=2))
    store.put_command("questions", complete(rich_items.command("c")))
    store.put_dataset("questions-2", rich_items.dataset("rft"))
    snapshot = store.load("questions")
    assert snapshot.record == committed
    assert snapshot.spec == rich_items.SPEC_ITEM
    assert snapshot.datasets == {role: rich_items.dataset(role) for role in ("sft", "eval")}
    assert snapshot.checks == rich_items.CHECKS
    assert snapshot.scores.keys() == {("baseline", 1), ("baseline", 2)}
    assert snapshot.commands == (rich_items.command("c"),)


def test_attempts_are_counted_for_one_version_and_are_no_part_of_the_experiment(
    store: Store,
) -> None:
    begun = [store.begin("questions", "SPEC", "v1", at) for at in (NOW, LATER)]
    assert [(each.number, each.since) for each in begun] == [(1, NOW), (2, NOW)]
    assert store.begin("questions", "CHECKS", "v1", LATER).number == 1
    assert store.begin("others", "SPEC", "v1", LATER).number == 1
    other = store.begin("questions", "SPEC", "v2", LATER)
    assert (other.number, other.since) == (1, LATER)
    assert store.load("questions") == Snapshot("questions")


def test_an_attempt_is_taken_back_of_its_own_version_only(store: Store) -> None:
    store.take_back("questions", "SPEC", "v1")
    for at in (NOW, LATER):
        store.begin("questions", "SPEC", "v1", at)
    store.take_back("questions", "SPEC", "v2")
    store.take_back("questions", "CHECKS", "v1")
    store.take_back("questions", "SPEC", "v1")
    begun = store.begin("questions", "SPEC", "v1", LATER)
    assert (begun.number, begun.since) == (2, NOW)


def test_a_try_on_evaluation_rows_counts_once_over_all_experiments(store: Store) -> None:
    first = rich_items.TRY
    again = replace(first, at=LATER)
    others = (
        replace(first, attempt=2),
        replace(first, uid="later", at=LATER),
        replace(first, experiment_id="others", uid="theirs"),
        replace(first, experiment_id="old", uid=None),
        replace(first, experiment_id="older", uid=None),
    )
    assert store.count_tries("rows", first) == store.count_tries("rows", again) == 1
    assert [store.count_tries("rows", each) for each in others] == [2, 3, 4, 5, 6]
    assert store.count_tries("other rows", first) == 1
    assert store.load("questions") == Snapshot("questions")


def test_a_score_keeps_its_numbers(store: Store) -> None:
    item = complete(rich_items.score(attempt=2))
    store.put_score("questions", item)
    stored = store.load("questions").scores["baseline", 2]
    assert replace(stored, score={}) == replace(item, score={})
    assert stored.score["metrics"] == item.score["metrics"]
    assert stored.score["confusion"] == [[1, 2], [3, 0]]
    difference = stored.score["comparisons"]["baseline"]["metrics"]["exact_match"]
    assert difference["p_value"] < SMALLEST_NUMBER
    assert difference["low"] is None


def test_a_commit_needs_the_version_that_it_read(store: Store) -> None:
    first = store.commit(rich_items.record(), [])
    second = store.commit(replace(first, status=Status.STOPPED), ENTRIES[:1])
    assert (first.version, second.version) == (1, 2)
    with pytest.raises(VersionConflict):
        store.commit(replace(first, status=Status.LIVE), ENTRIES[1:])
    assert store.load("questions").record == second
    assert list(store.history("questions")) == ENTRIES[:1]


def test_a_record_is_created_once(store: Store) -> None:
    first = store.commit(rich_items.record(), ENTRIES[:1])
    with pytest.raises(VersionConflict):
        store.commit(rich_items.record(status=Status.LIVE), ENTRIES[1:])
    assert store.load("questions").record == first
    assert list(store.history("questions")) == ENTRIES[:1]


def test_two_tables_in_one_process_keep_apart(table: str) -> None:
    boto3.client("dynamodb").create_table(TableName="another", **table_settings())
    first, second = ExperimentTable(table, REGION), ExperimentTable("another", REGION)
    committed = first.commit(rich_items.record(), ENTRIES)
    assert second.load("questions") == Snapshot("questions")
    assert not [*second.experiments(), *second.history("questions")]
    assert first.load("questions").record == committed
    assert [each.experiment_id for each in first.experiments()] == ["questions"]
    dataset = rich_items.dataset("sft")
    assert second.put_dataset("questions", dataset)
    second.put_stray("questions", "notes.txt")
    assert not first.load("questions").datasets
    assert second.load("questions").datasets == {"sft": dataset}
    command = rich_items.command("c", NOW)
    for each in (first, second):
        each.put_command("questions", command)
    first.drop("questions", [command])
    assert list(second.due(LATER)) == ["questions"]
    assert [each.commands for each in (first.load("questions"), second.load("questions"))] == [
        (),
        (command,),
    ]


def test_an_update_needs_a_record(store: Store) -> None:
    with pytest.raises(VersionConflict):
        store.commit(rich_items.record(version=3), [])
    assert store.load("questions").record is None


def test_history_keeps_its_order_over_commits(store: Store) -> None:
    first = store.commit(rich_items.record(), ENTRIES)
    late = [replace(ENTRIES[0], at=LATER, what="later")]
    store.commit(first, late)
    assert list(store.history("questions")) == [*ENTRIES, *late]


def test_experiments_do_not_see_each_other(store: Store) -> None:
    store.commit(rich_items.record("questions"), ENTRIES)
    store.commit(rich_items.record("questions-2"), [])
    assert list(store.history("questions-2")) == []
    assert store.load("question") == Snapshot("question")


def test_the_newest_upload_wins_whenever_it_arrives(store: Store) -> None:
    old, new = rich_items.dataset(rows=1), rich_items.dataset(uploaded_at=LATER, rows=2)
    assert store.put_dataset("questions", new) is True
    assert store.put_dataset("questions", old) is False
    assert store.load("questions").datasets == {"sft": new}
    again = replace(new, rows=3)
    assert store.put_dataset("questions", again) is True
    assert store.load("questions").datasets == {"sft": again}


def test_of_one_second_a_result_replaces_its_own_versions_items_alone(store: Store) -> None:
    """Their times don't tell which is newer: whoever begins with one has asked the bucket."""
    begun = rich_items.dataset(status=DatasetStatus.INGESTING)
    done = replace(begun, status=DatasetStatus.ACCEPTED, rows=1)
    other = replace(begun, version_id="another")
    assert store.put_dataset("questions", begun)
    assert store.put_dataset("questions", done)
    assert store.put_dataset("questions", other)
    assert not store.put_dataset("questions", done)
    assert not store.put_dataset("questions", replace(done, status=DatasetStatus.REJECTED))
    assert store.load("questions").datasets == {"sft": other}
    untold = replace(other, status=DatasetStatus.REJECTED, version_id=NOT_READ)
    assert store.put_dataset("questions", untold)
    assert store.put_dataset("questions", replace(done, version_id="another"))


def test_of_two_files_of_one_second_the_last_by_its_key_wins(store: Store) -> None:
    """By turns they would replace each other without end."""
    first, last = (
        rich_items.dataset(source_key=f"inbox/questions/{file}", status=DatasetStatus.INGESTING)
        for file in ("sft.csv", "sft.jsonl")
    )
    assert store.put_dataset("questions", first)
    assert store.put_dataset("questions", replace(last, version_id="another"))
    assert not store.put_dataset("questions", first)
    later = replace(first, uploaded_at=first.uploaded_at + timedelta(seconds=1))
    assert store.put_dataset("questions", later)


def test_datasets_come_in_the_order_of_their_roles(store: Store) -> None:
    for role in ("validation", "sft", "eval"):
        store.put_dataset("questions", rich_items.dataset(role=role))
    assert list(store.load("questions").datasets) == ["eval", "sft", "validation"]


def test_a_spec_is_not_written_over_that_of_a_later_upload(store: Store) -> None:
    old = rich_items.SPEC_ITEM
    new = replace(old, version_id="v9", uploaded_at=old.uploaded_at + timedelta(microseconds=1))
    for item, present in ((new, new), (old, new), (replace(new, version_id="v10"), None)):
        store.put_spec("questions", item)
        assert store.load("questions").spec == (present or item)


def test_uploads_are_told_apart_by_less_than_a_second(store: Store) -> None:
    whole = NOW.replace(microsecond=0)
    store.put_dataset("questions", rich_items.dataset(uploaded_at=whole))
    later = rich_items.dataset(uploaded_at=whole + timedelta(microseconds=1))
    assert store.put_dataset("questions", later) is True
    assert store.put_dataset("questions", rich_items.dataset(uploaded_at=whole)) is False


def test_commands_come_in_the_order_in_which_they_were_given(store: Store) -> None:
    given = [rich_items.command(name, NOW + timedelta(seconds=n)) for n, name in enumerate("cab")]
    for each in given:
        store.put_command("questions", each)
    assert list(store.load("questions").commands) == given


def test_an_obeyed_command_goes_with_the_commit(store: Store) -> None:
    first, second = (rich_items.command(name, NOW) for name in "ab")
    for each in (first, second):
        store.put_command("questions", each)
    record = store.commit(rich_items.record(), ENTRIES[:1], [first])
    assert store.load("questions").commands == (second,)
    with pytest.raises(VersionConflict):
        store.commit(record, ENTRIES[1:], [first])
    assert store.load("questions").record == record
    assert list(store.history("questions")) == ENTRIES[:1]


def test_a_commit_that_comes_too_late_deletes_no_command(store: Store) -> None:
    late = store.commit(rich_items.record(), [])
    store.commit(late, [])
    store.put_command("questions", rich_items.command("a"))
    with pytest.raises(VersionConflict):
        store.commit(late, [], [rich_items.command("a")])
    assert store.load("questions").commands == (rich_items.command("a"),)


def test_due_are_those_whose_time_has_come(store: Store) -> None:
    for name, due_at in {"a": LATER, "b": NOW, "c": None, "d": LATER + timedelta(1)}.items():
        store.commit(rich_items.record(name, due_at=due_at), [])
    assert sorted(store.due(LATER)) == ["a", "b"]
    settled = store.load("b").record
    assert settled is not None
    store.commit(replace(settled, due_at=None), [])
    assert list(store.due(LATER)) == ["a"]


def test_a_command_is_due_until_it_is_obeyed_whatever_its_clock_says(store: Store) -> None:
    record = store.commit(rich_items.record(due_at=None), [])
    given = [rich_items.command(name, NOW + timedelta(days=n)) for n, name in enumerate("ab")]
    for each in given:
        store.put_command("questions", each)
    assert list(store.due(NOW - timedelta(days=1))) == ["questions"]
    assert store.load("questions").commands == tuple(given)
    record = store.commit(record, [], given[:1])
    assert list(store.due(NOW)) == ["questions"]
    store.commit(record, [], given[1:])
    assert list(store.due(LATER)) == []


def test_a_sign_of_life_changes_nothing_but_its_time_and_no_result(store: Store) -> None:
    begun = rich_items.dataset("sft", status=DatasetStatus.INGESTING)
    alive = replace(begun, updated_at=begun.updated_at + timedelta(hours=1), reason="", rows=0)
    assert store.put_dataset("questions", begun)
    store.put_alive("questions", replace(alive, version_id="another"))
    store.put_alive("questions", replace(alive, fingerprint="another"))
    assert store.load("questions").datasets["sft"] == begun
    store.put_alive("questions", alive)
    expected = replace(begun, updated_at=alive.updated_at)
    assert store.load("questions").datasets["sft"] == expected
    done = replace(begun, status=DatasetStatus.ACCEPTED)
    assert store.put_dataset("questions", done)
    store.put_alive("questions", alive)
    store.put_alive("questions", replace(alive, role="eval"))
    assert store.load("questions").datasets == {"sft": done}


def test_who_has_waited_longest_for_a_quota_stands_first(store: Store) -> None:
    p5, p4d = "ml.p5.48xlarge for training job usage", "ml.p4d.24xlarge for training job usage"
    small = ExperimentSpec.model_validate(
        {"plan": [{"evaluate": {"name": "baseline", "instance_type": "ml.p4d.24xlarge"}}]}
    )
    waits = {"a": 2, "b": 0, "c": 1, "d": None}
    records = {name: queued(name, ExperimentSpec(), hours) for name, hours in waits.items()}
    for record in (*records.values(), queued("other", small, 3)):
        store.commit(record, [])
    assert [place.experiment_id for place in store.queue(p5)] == ["b", "c", "a"]
    assert list(store.queue(p4d)) == [QueuePlace("other", p4d, NOW + timedelta(hours=3))]
    first = store.load("b").record
    assert first is not None
    store.commit(replace(first, status=Status.STOPPING), [])
    assert [place.experiment_id for place in store.queue(p5)] == ["c", "a"]


def test_who_goes_on_from_an_experiment_stands_in_its_queue_until_it_starts(store: Store) -> None:
    spec = ExperimentSpec(checkpoint="first/sft")
    for name, hours in (("a", 2), ("b", 1)):
        at = NOW + timedelta(hours=hours)
        store.commit(Record(name, spec, at, status=Status.REJECTED), [])
    store.commit(Record("first", ExperimentSpec(), NOW), [])
    queue = followers_of("first")
    assert [place.experiment_id for place in store.queue(queue)] == ["b", "a"]
    assert list(store.queue(followers_of("b"))) == []
    waiting = store.load("b").record
    assert waiting is not None
    store.commit(replace(waiting, status=Status.RUNNING), [])
    assert [place.experiment_id for place in store.queue(queue)] == ["a"]


def queued(name: str, spec: ExperimentSpec, hours: int | None) -> Record:
    at = None if hours is None else NOW + timedelta(hours=hours)
    stage = Stage(StageKind.EVALUATE, "baseline", StageState.WAITING, queued_at=at)
    return Record(name, spec, NOW, status=Status.RUNNING, stages=(stage,))


def test_the_longest_overdue_comes_first(experiments: ExperimentTable) -> None:
    for name, hours in {"a": 1, "b": 3, "c": 2}.items():
        experiments.commit(rich_items.record(name, due_at=NOW - timedelta(hours=hours)), [])
    assert list(experiments.due(NOW)) == ["b", "c", "a"]


def test_the_list_shows_the_newest_experiment_first(experiments: ExperimentTable) -> None:
    for name, hours in {"a": 1, "b": 3, "c": 2}.items():
        experiments.commit(rich_items.record(name, created_at=NOW + timedelta(hours=hours)), [])
    experiments.put_dataset("a", rich_items.dataset())
    listed = list(experiments.experiments())
    assert [summary.experiment_id for summary in listed] == ["b", "c", "a"]
    assert listed[0].status == Status.STOPPING
    assert listed[0].ended_at == LATER


def test_history_and_commands_are_forgotten_and_nothing_else(
    experiments: ExperimentTable, table: str
) -> None:
    experiments.commit(rich_items.record(), ENTRIES)
    experiments.put_spec("questions", rich_items.SPEC_ITEM)
    experiments.put_score("questions", rich_items.score())
    experiments.put_command("questions", rich_items.command("c"))
    items = boto3.client("dynamodb").scan(TableName=table)["Items"]
    forgotten = {item["kind"]["S"] for item in items if "ttl" in item}
    assert forgotten == {"HISTORY", "COMMAND"}
    assert all(int(item["ttl"]["N"]) > NOW.timestamp() for item in items if "ttl" in item)


def test_a_person_can_read_the_items(experiments: ExperimentTable, table: str) -> None:
    experiments.commit(rich_items.record(), [])
    items = boto3.client("dynamodb").scan(TableName=table)["Items"]
    item, resolved = sorted(items, key=lambda each: each["item"]["S"])
    assert item["created_at"] == {"S": "2026-01-05T09:00:00.123456Z"}
    assert item["version"] == {"N": "1"}
    assert item["metrics"]["M"]["sft"]["M"]["bleu"]["M"] == {"value": {"N": "100.0"}}
    assert item["next_step"]["S"].startswith("nothing: it ends by itself")
    assert resolved["item"] == {"S": "RESOLVED_SPEC"}
    assert resolved["spec"]["M"]["model"] == {"S": "nova-lite-2"}


@pytest.mark.parametrize("name", FOR_PEOPLE)
def test_what_is_for_people_alone_may_have_had_any_form(
    experiments: ExperimentTable, table: str, name: str
) -> None:
    """It follows from the rest: an earlier form of it, as a cost that was one number, damages
    nothing, and is written anew with the next commit."""
    record = experiments.commit(rich_items.record(), [])
    boto3.resource("dynamodb").Table(table).update_item(
        Key={"experiment_id": "questions", "item": "RECORD"},
        UpdateExpression="SET #n = :x",
        ExpressionAttributeNames={"#n": name},
        ExpressionAttributeValues={":x": Decimal("1.5")},
    )
    assert experiments.load("questions").record == record


def test_those_who_read_a_record_read_its_summary() -> None:
    assert set(FOR_PEOPLE) == {each.name for each in fields(Summary)}


def test_nothing_null_or_empty_is_in_a_record(experiments: ExperimentTable, table: str) -> None:
    experiments.commit(Record("bare", rich_items.SPEC, NOW), [])
    experiments.commit(rich_items.record(), [])
    for item in boto3.client("dynamodb").scan(TableName=table)["Items"]:
        if item["kind"]["S"] == "RECORD":
            assert not [path for path, value in values(item) if value in NOTHING], item


NOTHING: list[dict[str, Any]] = [{"NULL": True}, {"S": ""}, {"L": []}, {"M": {}}]


def values(wire: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in wire.items():
        yield f"{at}.{name}", value
        yield from values(value.get("M", {}), f"{at}.{name}")
        entries = {str(n): each for n, each in enumerate(value.get("L", []))}
        yield from values(entries, f"{at}.{name}")


def test_what_a_record_runs_by_is_written_when_it_changes_and_then_no_more(
    experiments: ExperimentTable, table: str
) -> None:
    def resolved() -> dict[str, Any]:
        key = {"experiment_id": "questions", "item": "RESOLVED_SPEC"}
        item: dict[str, Any] = boto3.resource("dynamodb").Table(table).get_item(Key=key)["Item"]
        return item

    first = experiments.commit(Record("questions", rich_items.SPEC, NOW), [])
    assert resolved()["datasets"] == {}
    boto3.resource("dynamodb").Table(table).update_item(
        Key={"experiment_id": "questions", "item": "RESOLVED_SPEC"},
        UpdateExpression="SET seen = :x",
        ExpressionAttributeValues={":x": "a commit that writes it takes this away"},
    )
    second = experiments.commit(replace(first, reason="another"), ENTRIES)
    assert "seen" in resolved()
    refs = rich_items.record().datasets
    third = experiments.commit(replace(second, datasets=refs, spec_upload="v4"), [])
    assert "seen" not in resolved()
    assert resolved()["upload"] == "v4"
    assert experiments.load("questions").record == third


def test_a_record_is_read_with_what_belongs_to_it_or_read_again(
    experiments: ExperimentTable, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = experiments.commit(Record("questions", rich_items.SPEC, NOW), [])
    items = partial(boto3.client("dynamodb").scan, TableName=table)
    earlier = {item["item"]["S"]: item for item in items()["Items"]}
    after = experiments.commit(replace(before, spec=ExperimentSpec(), spec_upload="v4"), [])
    reads = 0
    query = experiments._items

    def between(experiment_id: str) -> Iterator[StoredItem]:
        nonlocal reads
        reads += 1
        for item in query(experiment_id):
            stale = reads < 3 and item.item == "RECORD"
            yield StoredItem.from_raw_data(earlier["RECORD"]) if stale else item

    monkeypatch.setattr(experiments, "_items", between)
    assert experiments.load("questions").record == after
    assert reads == 3
    alone = experiments.load_records(["questions"])["questions"]
    assert alone is not None
    assert alone.record == after


@pytest.mark.parametrize("damage", ["missing", "another"])
def test_a_record_without_what_it_runs_by_is_damaged(
    experiments: ExperimentTable, table: str, damage: str
) -> None:
    record = experiments.commit(Record("questions", rich_items.SPEC, NOW), [])
    key = {"experiment_id": "questions", "item": "RESOLVED_SPEC"}
    rows = boto3.resource("dynamodb").Table(table)
    if damage == "missing":
        rows.delete_item(Key=key)
    else:
        change = {"UpdateExpression": "SET digest = :x", "ExpressionAttributeValues": {":x": "x"}}
        rows.update_item(Key=key, **change)
    with pytest.raises(Damaged, match="the RESOLVED_SPEC beside it is missing, or another one's"):
        experiments.load("questions")
    rows.delete_item(Key={"experiment_id": "questions", "item": "RECORD"})
    assert experiments.load("questions").record is None
    again = experiments.commit(replace(record, version=0, spec_digest=""), [])
    assert experiments.load("questions").record == again


def test_a_record_alone_meets_another_ones_commit_too(store: Store) -> None:
    first = store.commit(rich_items.record(), ENTRIES)
    second = store.commit(replace(first, due_at=LATER + timedelta(hours=1)), [])
    with pytest.raises(VersionConflict):
        store.commit(replace(first, due_at=None), [])
    assert store.load("questions").record == second


def test_the_sweep_remembers_how_far_it_came(store: Store) -> None:
    assert store.sweep_round() is None
    for place in (Round("inbox/a/ä", NOW, LATER), Round("", LATER, LATER, LATER, "a", ("x",))):
        store.put_sweep_round(place)
        assert store.sweep_round() == place


def test_the_sweeps_item_is_no_experiment(experiments: ExperimentTable) -> None:
    """Not even where somebody uploads to a folder of its name."""
    experiments.put_sweep_round(Round("inbox/a/sft.csv", NOW, LATER))
    assert list(experiments.experiments()) == []
    assert list(experiments.due(LATER)) == []
    assert experiments.load("SWEEP") == Snapshot("SWEEP")
    experiments.put_dataset("SWEEP", rich_items.dataset())
    assert experiments.load("SWEEP").datasets.keys() == {"sft"}
    assert experiments.sweep_round() == Round("inbox/a/sft.csv", NOW, LATER)


def test_a_place_that_cannot_be_read_begins_anew(experiments: ExperimentTable, table: str) -> None:
    experiments.put_sweep_round(Round("inbox/a/sft.csv", NOW, LATER))
    boto3.resource("dynamodb").Table(table).update_item(
        Key={"experiment_id": "SWEEP", "item": "SWEEP#1"},
        UpdateExpression="SET started = :x",
        ExpressionAttributeValues={":x": "yesterday"},
    )
    assert experiments.sweep_round() is None


def test_of_several_experiments_those_that_cannot_be_read_are_left_out(
    experiments: ExperimentTable, table: str
) -> None:
    names = [f"x{number}" for number in range(20)]
    for name in names:
        experiments.put_dataset(name, rich_items.dataset(name))
    experiments.commit(rich_items.record("x7"), [])
    boto3.resource("dynamodb").Table(table).update_item(
        Key={"experiment_id": "x7", "item": "RECORD"},
        UpdateExpression="SET created_at = :x",
        ExpressionAttributeValues={":x": "yesterday"},
    )
    read = experiments.load_all([*names, "nobody"])
    assert [*read] == [name for name in names if name != "x7"] + ["nobody"]
    assert read["x3"] == experiments.load("x3")
    assert read["nobody"] == Snapshot("nobody")


def test_everything_but_the_indexes_is_read_consistently(
    experiments: ExperimentTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of all reads may be stale otherwise, and moto's never are."""
    asked: list[Mapping[str, Any]] = []
    dispatch = Connection.dispatch

    def noted(connection: Connection, operation: str, request: dict[str, Any]) -> Any:
        if operation == "Query" and "IndexName" not in request:
            asked.append(request)
        return dispatch(connection, operation, request)

    monkeypatch.setattr(Connection, "dispatch", noted)
    experiments.commit(rich_items.record(), ENTRIES)
    experiments.load("questions")
    experiments.history("questions")
    experiments.begin("questions", "sft.csv", "v1", NOW)
    experiments.sweep_round()
    assert len(asked) == 5
    assert all(request.get("ConsistentRead") is True for request in asked)


@pytest.mark.parametrize(
    ("code", "raises"),
    [
        ("ConditionalCheckFailed", VersionConflict),
        ("TransactionConflict", VersionConflict),
        ("ThrottlingError", TransactWriteError),
        ("ItemCollectionSizeLimitExceeded", TransactWriteError),
    ],
)
def test_what_another_commit_did_meanwhile_is_a_conflict_and_nothing_else_is(
    experiments: ExperimentTable,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    raises: type[Exception],
) -> None:
    """The codes of CancellationReasons, from the API reference of TransactWriteItems."""

    def cancelled(*_: object) -> None:
        raise TransactionCanceledException([("None", None, None), (code, "no", None)])

    monkeypatch.setattr(DynamoDBBackend, "transact_write_items", cancelled)
    with pytest.raises(raises):
        experiments.commit(rich_items.record(), ENTRIES[:1])


def test_all_that_is_due_is_found_however_much_it_is(experiments: ExperimentTable) -> None:
    names = [f"n{number}" for number in range(120)]
    for name in names:
        record = Record(name, ExperimentSpec(), NOW, due_at=NOW)
        experiments.commit(record, [])
    assert sorted(experiments.due(NOW)) == sorted(names)


@pytest.mark.parametrize("first", ["data.csv", "sft.csv"])
@pytest.mark.parametrize("status", [DatasetStatus.INGESTING, DatasetStatus.ACCEPTED])
def test_which_kind_of_file_makes_a_dataset_the_later_settings_say(
    store: Store, first: str, status: DatasetStatus
) -> None:
    """Whichever of the two files was uploaded later."""
    later = "sft.csv" if first == "data.csv" else "data.csv"
    before = replace(dataset(first), uploaded_at=LATER, settings_at=NOW)
    after = replace(dataset(later), uploaded_at=NOW, settings_at=LATER, status=status)
    assert store.put_dataset("questions", before)
    assert store.put_dataset("questions", after)
    assert store.load("questions").datasets["sft"] == after
    assert not store.put_dataset("questions", before)
    assert store.load("questions").datasets["sft"] == after


@pytest.mark.parametrize("settings_at", [None, NOW])
def test_by_settings_of_one_time_a_file_of_its_own_and_one_to_divide_take_each_others_place(
    store: Store, settings_at: datetime | None
) -> None:
    for age, file in enumerate(("data.csv", "sft.csv", "data.jsonl", "sft.jsonl")):
        at = LATER - timedelta(hours=age)
        item = replace(dataset(file), uploaded_at=at, settings_at=settings_at)
        assert store.put_dataset("questions", item)
        assert store.load("questions").datasets["sft"] == item


def dataset(file: str) -> DatasetItem:
    return rich_items.dataset(source_key=f"inbox/questions/{file}", version_id=f"v-{file}")
