"""The store: loads snapshots, commits records with their history, lists what is due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from pynamodb.connection import Connection
from pynamodb.exceptions import PutError, TransactWriteError
from pynamodb.transactions import TransactWrite

from novaloop.experiment.admission import Place, held_place
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
from novaloop.store.items import (
    ChecksModel,
    CommandModel,
    DatasetModel,
    DueIndex,
    HistoryModel,
    Item,
    RecordModel,
    ScoreModel,
    SpecModel,
)
from novaloop.usecases.ports import VersionConflict

KEEP_HISTORY = timedelta(days=400)
KEEP_COMMANDS = timedelta(days=30)
SMALLEST_NUMBER = 1e-130
"""DynamoDB refuses numbers nearer to 0 than this."""
_CONFLICTS = {"ConditionalCheckFailed", "TransactionConflict"}

_RECORD = TypeAdapter(Record)
_SPEC = TypeAdapter(SpecItem)
_DATASET = TypeAdapter(DatasetItem)
_CHECKS = TypeAdapter(ChecksItem)
_SCORE = TypeAdapter(ScoreItem)
_COMMAND = TypeAdapter(CommandItem)
_HISTORY = TypeAdapter(HistoryEntry)
_PLACE = TypeAdapter(Place)


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
        for model in (Item, *Item.__subclasses__()):
            model.Meta.table_name = table_name  # type: ignore[attr-defined]
            model.Meta.region = region  # type: ignore[attr-defined]
            model.Meta.host = host  # type: ignore[attr-defined]
            model._connection = None  # type: ignore[attr-defined]  # noqa: SLF001 - a cache
        self._connection = Connection(region=region, host=host)

    def load(self, experiment_id: str) -> Snapshot:
        """Return the item collection of one experiment, history aside, strongly consistent."""
        return _snapshot(experiment_id, self._items(experiment_id))

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
                transaction.save(_record_model(committed), condition=unchanged)
                for number, entry in enumerate(history):
                    transaction.save(_history_model(committed, number, entry))
                for command in obeyed:
                    item = CommandModel(record.experiment_id, _command_key(command))
                    transaction.delete(item, condition=CommandModel.item.exists())
        except TransactWriteError as error:
            reasons = {reason.code for reason in error.cancellation_reasons if reason}
            if reasons & _CONFLICTS:
                raise VersionConflict(record.experiment_id) from None
            raise
        return committed

    def due(self, now: datetime) -> Iterable[str]:
        """Return the experiments whose `due_at` has passed, the longest overdue first."""
        due = Item.due_index.query("RECORD", DueIndex.due_at <= _iso(now))
        return (item.experiment_id for item in due)

    def queue(self, quota: str) -> Iterator[Place]:
        """Return the places held in the queue for a quota, the longest first.

        The index may lack what was committed in the last few seconds.
        """
        for item in Item.quota_index.query(quota, page_size=2):
            yield _PLACE.validate_python(
                {"experiment_id": item.experiment_id, "quota": quota, "since": item.waits_since}
            )

    def put_spec(self, experiment_id: str, item: SpecItem) -> None:
        """Write the spec item."""
        SpecModel(experiment_id, "SPEC", **_plain(_SPEC, item)).save()

    def put_dataset(self, experiment_id: str, item: DatasetItem) -> bool:
        """Write the dataset item unless a later upload's is there; say whether it was written."""
        model = DatasetModel(experiment_id, f"DATASET#{item.role}", **_plain(_DATASET, item))
        newest = DatasetModel.uploaded_at.does_not_exist() | (
            DatasetModel.uploaded_at <= model.uploaded_at
        )
        try:
            model.save(condition=newest)
        except PutError as error:
            if error.cause_response_code == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def put_checks(self, experiment_id: str, item: ChecksItem) -> None:
        """Write the checks item."""
        ChecksModel(experiment_id, "CHECKS", **_plain(_CHECKS, item)).save()

    def put_score(self, experiment_id: str, item: ScoreItem) -> None:
        """Write the score item."""
        key = f"SCORE#{item.stage}#{item.attempt}"
        ScoreModel(experiment_id, key, **_plain(_SCORE, item)).save()

    def put_command(self, experiment_id: str, item: CommandItem) -> None:
        """Write a person's command. It goes when it is obeyed, or after KEEP_COMMANDS."""
        values = _plain(_COMMAND, item)
        values["command"] = values.pop("kind")
        ttl = int((item.at + KEEP_COMMANDS).timestamp())
        CommandModel(experiment_id, _command_key(item), ttl=ttl, **values).save()

    def history(self, experiment_id: str) -> list[HistoryEntry]:
        """Return an experiment's history, oldest first."""
        entries = Item.query(experiment_id, Item.item.startswith("HISTORY#"), consistent_read=True)
        return [_HISTORY.validate_python(_values(entry)) for entry in entries]

    def experiments(self) -> Iterator[ExperimentSummary]:
        """Return all experiments, the newest first."""
        adapter = TypeAdapter(ExperimentSummary)
        for item in Item.experiments_index.query("RECORD", scan_index_forward=False):
            yield adapter.validate_python(_values(item) | {"experiment_id": item.experiment_id})


def _iso(time: datetime) -> str:
    """Write a time as the items do, so that text order is time order."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _plain(adapter: TypeAdapter[Any], value: object) -> dict[str, Any]:
    plain: dict[str, Any] = _storable(adapter.dump_python(value, mode="json"))
    for name, time in vars(value).items():
        if isinstance(time, datetime):
            plain[name] = _iso(time)
    return plain


def _storable(value: Any) -> Any:
    """Make 0 of numbers too small for DynamoDB, such as the p-value of a gain in every row."""
    if isinstance(value, float) and abs(value) < SMALLEST_NUMBER:
        return 0.0
    if isinstance(value, dict):
        return {name: _storable(item) for name, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value


def _record_model(record: Record) -> RecordModel:
    values = _plain(_RECORD, record)
    place = held_place(record)
    if place is not None:
        values |= {"waits_for": place.quota, "waits_since": _iso(place.since)}
    return RecordModel(values.pop("experiment_id"), "RECORD", **values)


def _history_model(record: Record, number: int, entry: HistoryEntry) -> HistoryModel:
    key = f"HISTORY#{_iso(entry.at)}#{record.version:06}-{number}"
    ttl = int((entry.at + KEEP_HISTORY).timestamp())
    return HistoryModel(record.experiment_id, key, ttl=ttl, **_plain(_HISTORY, entry))


def _command_key(item: CommandItem) -> str:
    return f"COMMAND#{item.command_id}"


def _values(item: Item) -> dict[str, Any]:
    """Return an item's attributes as plain values, without the keys that all items have."""
    common = {"experiment_id", "item", "kind", "ttl"}
    values = item.to_simple_dict()
    return {name: value for name, value in values.items() if name not in common}


def _snapshot(experiment_id: str, items: Iterable[Item]) -> Snapshot:
    found: dict[type[Item], list[Mapping[str, Any]]] = {}
    for item in items:
        found.setdefault(type(item), []).append(_values(item))
    records = [{**v, "experiment_id": experiment_id} for v in found.get(RecordModel, [])]
    specs = found.get(SpecModel, [])
    checks = found.get(ChecksModel, [])
    datasets = [_DATASET.validate_python(v) for v in found.get(DatasetModel, [])]
    scores = [_SCORE.validate_python(v) for v in found.get(ScoreModel, [])]
    commands = [_COMMAND.validate_python(_as_command(v)) for v in found.get(CommandModel, [])]
    return Snapshot(
        experiment_id=experiment_id,
        record=_RECORD.validate_python(records[0]) if records else None,
        spec=_SPEC.validate_python(specs[0]) if specs else None,
        datasets={item.role: item for item in datasets},
        checks=_CHECKS.validate_python(checks[0]) if checks else None,
        scores={(item.stage, item.attempt): item for item in scores},
        commands=tuple(sorted(commands, key=lambda command: command.at)),
    )


def _as_command(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the command's kind its own name back: in the table, `kind` tells items apart."""
    return {("kind" if name == "command" else name): value for name, value in values.items()}
