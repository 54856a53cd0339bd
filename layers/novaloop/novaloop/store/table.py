"""The store: loads snapshots, commits records with their history, lists what is due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError
from pynamodb.connection import Connection
from pynamodb.exceptions import PutError, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.transactions import TransactWrite

from novaloop.experiment.admission import Place
from novaloop.experiment.record import (
    ChecksItem,
    CommandItem,
    DatasetItem,
    HistoryEntry,
    Record,
    ScoreItem,
    Snapshot,
    SpecItem,
)
from novaloop.experiment.versions import NewerVersion
from novaloop.store.items import (
    AttemptsModel,
    CommandModel,
    DatasetModel,
    DueIndex,
    Indexed,
    Item,
    RecordModel,
)
from novaloop.store.serialisation import (
    SWEEP,
    checks_item,
    command_item,
    command_key,
    dataset_item,
    entry_of,
    history_item,
    iso,
    record_item,
    round_item,
    round_of,
    score_item,
    shape_of,
    snapshot_of,
    spec_item,
    values_of,
)
from novaloop.usecases.ports import Attempts, Round, VersionConflict

_CONFLICTS = {"ConditionalCheckFailed", "TransactionConflict"}

KEEP_ATTEMPTS = timedelta(days=30)
_PLACE = TypeAdapter(Place)
_ATTEMPTS = TypeAdapter(Attempts)
_READERS = 8
"""How many queries are under way at once; the client keeps ten connections."""


@dataclass(frozen=True)
class ExperimentSummary:
    """One line of the list of experiments."""

    experiment_id: str
    status: str
    reason: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


class ExperimentTable:
    """The experiments table of one deployment."""

    def __init__(self, table_name: str, region: str, host: str | None = None) -> None:
        for model in (Indexed, Item, *Item.__subclasses__()):
            model.Meta.table_name = table_name  # type: ignore[attr-defined]
            model.Meta.region = region  # type: ignore[attr-defined]
            model.Meta.host = host  # type: ignore[attr-defined]
            model._connection = None  # type: ignore[attr-defined]  # noqa: SLF001 - a cache
        self._connection = Connection(region=region, host=host)

    def load(self, experiment_id: str) -> Snapshot:
        """Return the item collection of one experiment, history aside, strongly consistent.

        Raises NewerVersion if one of the items is of a version that only a newer release knows.
        """
        return snapshot_of(experiment_id, self._items(experiment_id))

    def load_all(self, experiment_ids: Sequence[str]) -> dict[str, Snapshot | None]:
        """Return several collections, without those that can't be read, for whatever reason.

        None stands for what a newer release wrote: nothing is wrong with it, nor to be done for it.

        One query each, several at a time. Fetching all items with BatchGetItem would take their
        names beforehand, and a file of an experiment can have any.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            reading = {each: readers.submit(self.load, each) for each in experiment_ids}
        found: dict[str, Snapshot | None] = {}
        for each, read in reading.items():
            if isinstance(error := read.exception(), NewerVersion):
                found[each] = None
            elif error is None:
                found[each] = read.result()
        return found

    def _items(self, experiment_id: str) -> Iterator[Item]:
        """Read around HISTORY#, the only part of the collection that grows."""
        for low, high in (("CHECKS", "DATASET$"), ("RECORD", "SPEC")):
            between = Item.item.between(low, high)
            yield from Item.query(experiment_id, between, consistent_read=True)

    def commit(
        self,
        record: Record,
        history: Sequence[HistoryEntry],
        obeyed: Sequence[CommandItem] = (),
    ) -> Record:
        """Write the record and its history in one transaction; return its next version.

        The items of the commands that were obeyed are deleted in it. Raises VersionConflict if the
        stored version is not `record.version`, or if one of the commands is not there any more.
        """
        committed = replace(record, version=record.version + 1)
        unseen = RecordModel.experiment_id.does_not_exist()
        unchanged = unseen if record.version == 0 else RecordModel.version == record.version
        try:
            with TransactWrite(connection=self._connection) as transaction:
                transaction.save(record_item(committed), condition=unchanged)
                for number, entry in enumerate(history):
                    transaction.save(history_item(committed, number, entry))
                for command in obeyed:
                    item = CommandModel(record.experiment_id, command_key(command))
                    transaction.delete(item, condition=CommandModel.item.exists())
        except TransactWriteError as error:
            reasons = {reason.code for reason in error.cancellation_reasons if reason}
            if reasons & _CONFLICTS:
                raise VersionConflict(record.experiment_id) from None
            raise
        return committed

    def due(self, now: datetime) -> Iterable[str]:
        """Return the experiments whose `due_at` has passed, the longest overdue first."""
        due = Indexed.due_index.query("RECORD", DueIndex.due_at <= iso(now))
        return (item.experiment_id for item in due)

    def sweep_round(self) -> Round | None:
        """Return how far the sweep has come; None if there was none yet, or it can't be read.

        The sweep may begin anew at any time: it then asks for what was asked for before.
        """
        for item in Item.query(SWEEP, Item.item == SWEEP, consistent_read=True):
            with suppress(ValidationError, NewerVersion):
                return round_of(item)
        return None

    def put_sweep_round(self, place: Round) -> None:
        """Remember how far the sweep has come."""
        round_item(place).save()

    def queue(self, quota: str) -> Iterator[Place]:
        """Return the places held in the queue for a quota, the longest first.

        The index may lack what was committed in the last few seconds.
        """
        for item in Indexed.quota_index.query(quota, page_size=2):
            yield _PLACE.validate_python(
                {"experiment_id": item.experiment_id, "quota": quota, "since": item.waits_since}
            )

    def put_spec(self, experiment_id: str, item: SpecItem) -> None:
        """Write the spec item."""
        _replace(spec_item(experiment_id, item))

    def put_dataset(self, experiment_id: str, item: DatasetItem) -> bool:
        """Write the dataset item unless a later upload's is there; say whether it was written."""
        model = dataset_item(experiment_id, item)
        newest = DatasetModel.uploaded_at.does_not_exist() | (
            DatasetModel.uploaded_at <= model.uploaded_at
        )
        return _saved(model, newest & _known(model))

    def put_checks(self, experiment_id: str, item: ChecksItem) -> None:
        """Write the checks item."""
        _replace(checks_item(experiment_id, item))

    def begin(self, experiment_id: str, work: str, version: str, now: datetime) -> Attempts:
        """Count an attempt at `work` on one version of its input; return all attempts on that."""
        key = f"ATTEMPTS#{work}"
        found = AttemptsModel.query(experiment_id, Item.item == key, consistent_read=True)
        before = next((item for item in found if item.version == version), None)
        number, since = (before.number, before.since) if before else (0, iso(now))
        item = AttemptsModel(experiment_id, key, version=version, number=number + 1, since=since)
        item.ttl = int((now + KEEP_ATTEMPTS).timestamp())
        item.save()
        return _ATTEMPTS.validate_python(values_of(item))

    def put_score(self, experiment_id: str, item: ScoreItem) -> None:
        """Write the score item."""
        _replace(score_item(experiment_id, item))

    def put_command(self, experiment_id: str, item: CommandItem) -> None:
        """Write a person's command. It goes when it is obeyed, or after KEEP_COMMANDS."""
        command_item(experiment_id, item).save()

    def history(self, experiment_id: str) -> list[HistoryEntry]:
        """Return an experiment's history, oldest first."""
        entries = Item.query(experiment_id, Item.item.startswith("HISTORY#"), consistent_read=True)
        return [entry_of(entry) for entry in entries]

    def experiments(self) -> Iterator[ExperimentSummary]:
        """Return all experiments, the newest first."""
        adapter = TypeAdapter(ExperimentSummary)
        for item in Indexed.experiments_index.query("RECORD", scan_index_forward=False):
            yield adapter.validate_python(values_of(item) | {"experiment_id": item.experiment_id})


def _replace(item: Item) -> None:
    """Write an item, but not over one of a version that this release does not know."""
    if not _saved(item, _known(item)):
        raise NewerVersion(shape_of(item), "unknown")


def _known(item: Item) -> Condition:
    known: Condition = Item.schema_version <= item.schema_version
    known |= Item.schema_version.does_not_exist()
    return known


def _saved(item: Item, condition: Condition) -> bool:
    """Write an item if the condition holds; say whether it does."""
    try:
        item.save(condition=condition)
    except PutError as error:
        if error.cause_response_code == "ConditionalCheckFailedException":
            return False
        raise
    return True
