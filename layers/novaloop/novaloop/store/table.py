"""The store: loads snapshots, commits records with their history, lists what is due."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from pynamodb.connection import TableConnection
from pynamodb.constants import ITEM
from pynamodb.exceptions import PutError, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition, size
from pynamodb.expressions.update import Action
from pynamodb.pagination import ResultIterator

from novaloop.experiment.controller.queue import QueuePlace
from novaloop.experiment.names import INBOX, MISNAMED_SPEC_FILE, SPLIT_STEM, stem_of
from novaloop.experiment.record import (
    ChecksItem,
    CommandItem,
    DatasetItem,
    DatasetStatus,
    GateTry,
    HistoryEntry,
    Record,
    ScoreItem,
    Snapshot,
    SpecItem,
    most_strays,
)
from novaloop.experiment.spec.stages import Role
from novaloop.experiment.versions import PRESENT, Damaged, NewerVersion, Shape, key_of_version
from novaloop.store.items import (
    CommandModel,
    DatasetModel,
    Index,
    Indexed,
    Item,
    RecordModel,
    SpecModel,
    StoredItem,
    StraysModel,
    table_keys,
)
from novaloop.store.serialisation import (
    SWEEP,
    Stored,
    Torn,
    attempts_item,
    attempts_key,
    checks_item,
    command_item,
    command_key,
    dataset_item,
    evaluation_key,
    history_item,
    iso,
    read,
    record_item,
    resolved_spec,
    resolved_spec_item,
    round_item,
    score_item,
    shape_of,
    snapshot_of,
    spec_item,
    try_item,
    values_of,
)
from novaloop.typed import adapter
from novaloop.usecases.inbox import NOT_READ
from novaloop.usecases.ports import Attempts, Round, VersionConflict

_CONFLICTS = {"ConditionalCheckFailed", "TransactionConflict"}

_NOT_MET = "ConditionalCheckFailedException"
_OTHERS_WERE_FIRST = {_NOT_MET, "TransactionConflictException"}

CONNECT_SECONDS, READ_SECONDS, RETRIES = 4, 10, 2
"""A call that is never answered takes 3 x 14 seconds, a part of the time that the controller and
the sweeper have. PynamoDB's own settings are 4 x 45."""
_DATASETS = sorted(f"DATASET#{role}" for role in (*Role, MISNAMED_SPEC_FILE))
"""The sort keys of all datasets that ingest writes."""
_MOST_STRAYS, _PAGE = 50, 200
MOST_READS = 4
"""How often a record is read until it and the item beside it belong together. A query sees each
item as it is committed, and not all of a transaction at once ("Read isolation" in DynamoDB's guide
to transactions): so one between the two is rare, and two in a row have no cause but damage."""
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
        # PynamoDB's models read and write through the table that their class names, one for the
        # whole process. Here they only say what items look like.
        self._table = TableConnection(
            table_name,
            region,
            host,
            connect_timeout_seconds=CONNECT_SECONDS,
            read_timeout_seconds=READ_SECONDS,
            max_retry_attempts=RETRIES,
            meta_table=table_keys(table_name),
        )

    def load(self, experiment_id: str) -> Snapshot:
        """Return the item collection of one experiment, history aside, strongly consistent.

        Raises NewerVersion if the record is of a version that only a newer release knows, and
        Damaged if no release wrote it like this. Other such items are the snapshot's `unread`.
        """
        return _snapshot(experiment_id, self._items)

    def load_record(self, experiment_id: str) -> Record | None:
        """Return an experiment's record alone. Raises NewerVersion and Damaged."""
        return _snapshot(experiment_id, self._of_record).record

    def drop(self, experiment_id: str, commands: Sequence[CommandItem]) -> None:
        """Delete commands of which nothing will ever come."""
        for command in commands:
            self._table.delete_item(experiment_id, command_key(command))

    def load_all(self, experiment_ids: Sequence[str]) -> dict[str, Snapshot | None]:
        """Return what tells of uploads in several experiments, without those that can't be read.

        None stands for what a newer release wrote: nothing is wrong with it, nor to be done for it.
        """
        return self._snapshots(experiment_ids, partial(self._items, after="DATASET#"))

    def load_records(self, experiment_ids: Sequence[str]) -> dict[str, Snapshot | None]:
        """Return the same of their records alone."""
        return self._snapshots(experiment_ids, self._of_record)

    def _snapshots(
        self, experiment_ids: Sequence[str], items: Callable[[str], Iterable[StoredItem]]
    ) -> dict[str, Snapshot | None]:
        """Read several experiments at a time, each by queries of its own."""
        with ThreadPoolExecutor(_READERS) as readers:
            reading = {each: readers.submit(_snapshot, each, items) for each in experiment_ids}
        found: dict[str, Snapshot | None] = {}
        for each, done in reading.items():
            if isinstance(error := done.exception(), NewerVersion):
                found[each] = None
            elif error is None:
                found[each] = done.result()
        return found

    def _items(self, experiment_id: str, after: str = "CHECKS") -> Iterator[StoredItem]:
        """Read around HISTORY#, the only part of the collection that grows.

        Of each stray file, release 0.1.0 wrote an item among the datasets. After the first
        _MOST_STRAYS of them, only the others are read.
        """
        strays, end = 0, ""
        between = StoredItem.item.between(after, "DATASET$")
        for item in self._query(experiment_id, between, _PAGE):
            yield item
            strays += item.item.startswith("DATASET#") and item.item not in _DATASETS
            if strays > _MOST_STRAYS:
                end = item.item
                break
        for key in _DATASETS if end else ():
            if key > end:
                yield from self._item(experiment_id, key)
        rest = StoredItem.item.between("RECORD", "STRAYS$")
        yield from self._query(experiment_id, rest)

    def _of_record(self, experiment_id: str) -> Iterable[StoredItem]:
        """Read a record and what it runs by, which lie side by side."""
        both = StoredItem.item.between(Shape.RECORD, Shape.RESOLVED_SPEC)
        return self._query(experiment_id, both)

    def _item(self, hash_key: str, key: str) -> Iterable[StoredItem]:
        """Read one item, if it is there."""
        return self._query(hash_key, StoredItem.item == key)

    def _query(
        self, hash_key: str, condition: Condition, page_size: int | None = None
    ) -> Iterator[StoredItem]:
        """Read items of a collection, strongly consistent."""
        asked = {"range_key_condition": condition, "consistent_read": True, "limit": page_size}
        return ResultIterator(self._table.query, (hash_key,), asked, StoredItem.from_raw_data)

    def _indexed(self, index: Index, hash_key: str, **asked: Any) -> Iterator[Indexed]:
        """Read what an index shows, which may lack what was written in the last few seconds."""
        asked["index_name"] = str(index)
        return ResultIterator(self._table.query, (hash_key,), asked, Indexed.from_raw_data)

    def _one(self, hash_key: str, key: str) -> Stored | None:
        """Return what one item holds; None if it is not there, or can't be read."""
        for item in self._item(hash_key, key):
            with suppress(NewerVersion, Damaged):
                return read(item)
        return None

    def commit(
        self,
        record: Record,
        history: Sequence[HistoryEntry],
        applied: Sequence[CommandItem] = (),
    ) -> Record:
        """Write the record and its history in one transaction; return its next version.

        So is what the record runs by, where that has changed. A record that is written alone needs
        no transaction, which would cost twice as much. The items of the commands that were applied
        are deleted in it. Raises VersionConflict if the stored version is not `record.version`, or
        if one of the commands is not there any more.
        """
        resolved = resolved_spec(record)
        committed = replace(record, version=record.version + 1, spec_digest=resolved.digest)
        unseen = RecordModel.experiment_id.does_not_exist()
        unchanged = unseen if record.version == 0 else RecordModel.version == record.version
        is_resolved_anew = resolved.digest != record.spec_digest
        if not (history or applied or is_resolved_anew):
            if not self._saved(record_item(committed), unchanged, _OTHERS_WERE_FIRST):
                raise VersionConflict(record.experiment_id)
            return committed
        puts = [self._put(record_item(committed), unchanged)]
        if is_resolved_anew:
            puts.append(self._put(resolved_spec_item(record.experiment_id, resolved)))
        puts += [
            self._put(history_item(committed, number, entry))
            for number, entry in enumerate(history)
        ]
        is_there = CommandModel.item.exists()
        deletes = [
            self._table.get_operation_kwargs(
                record.experiment_id, command_key(command), condition=is_there
            )
            for command in applied
        ]
        try:
            self._table.connection.transact_write_items([], deletes, puts, [])
        except TransactWriteError as error:
            reasons = {reason.code for reason in error.cancellation_reasons if reason}
            if reasons & _CONFLICTS:
                raise VersionConflict(record.experiment_id) from None
            raise
        return committed

    def _put(self, item: Item, condition: Condition | None = None) -> dict[str, Any]:
        """Return the part of a transaction that writes an item."""
        return self._table.get_operation_kwargs(
            item.experiment_id, item.item, ITEM, item.serialize(), condition=condition
        )

    def due(self, now: datetime) -> Iterator[str]:
        """Return the experiments that are due for a look.

        First those that a command waits for, whatever the clock of whoever gave it said: nothing
        else is due of an experiment that is over. Then those whose `due_at` has passed, the longest
        overdue first.
        """
        commands = self._indexed(Index.DUE, "COMMAND")
        by_now = Indexed.due_at <= iso(now)
        due = self._indexed(Index.DUE, "RECORD", range_key_condition=by_now)
        told = dict.fromkeys(item.experiment_id for item in commands)
        yield from told
        yield from (item.experiment_id for item in due if item.experiment_id not in told)

    def sweep_round(self) -> Round | None:
        """Return how far the sweep has come; None if there was none yet, or it can't be read.

        The sweep may begin anew at any time: it then asks for what was asked for before.
        """
        found = self._one(SWEEP, key_of_version(Shape.SWEEP))
        return found if isinstance(found, Round) else None

    def put_sweep_round(self, place: Round) -> None:
        """Remember how far the sweep has come."""
        self._save(round_item(place))

    def queue(self, quota: str) -> Iterator[QueuePlace]:
        """Return the places held in the queue for a quota, the longest first.

        The index may lack what was committed in the last few seconds.
        """
        for item in self._indexed(Index.QUOTA, quota, limit=2):
            yield adapter(QueuePlace).validate_python(
                {"experiment_id": item.experiment_id, "quota": quota, "since": item.waits_since}
            )

    def put_spec(self, experiment_id: str, item: SpecItem) -> None:
        """Write the spec item unless a later upload's is there."""
        model = spec_item(experiment_id, item)
        newest = _earlier(model) | (SpecModel.uploaded_at == model.uploaded_at)
        if not self._saved(model, newest & _known(model)):
            for present in self._item(experiment_id, model.item):
                with suppress(Damaged):
                    read(present)  # raises NewerVersion, if that is why

    def put_dataset(self, experiment_id: str, item: DatasetItem) -> bool:
        """Write the dataset item unless a later upload's is there; say whether it was written.

        S3 tells uploads to the second, so of two of one second the item can't say which is later.
        Who begins with one has just asked the bucket, so that counts; a result counts only if
        nothing else has begun since, or a slow conversion of the earlier one would come last. Of
        two files of one second, the last by its key wins, in whatever order they come.

        Whether a dataset comes from a file of its own or from one that is divided, the settings
        say: in the place of the other kind's goes whichever is by the settings of a later time.
        """
        model = dataset_item(experiment_id, item)
        is_result = item.status is not DatasetStatus.INGESTING and item.version_id != NOT_READ
        newest = _earlier(model) | (_of(model) if is_result else _wins(model))
        other = _of_other_kind(experiment_id, model)
        newest = (~other & newest) | (other & _by_settings_before(model))
        return self._saved(model, newest & _known(model))

    def put_alive(self, experiment_id: str, item: DatasetItem) -> None:
        """Write that a conversion went on, unless it has a result or another one has begun."""
        model = dataset_item(experiment_id, item)
        same: Condition = DatasetModel.version_id == item.version_id
        same &= DatasetModel.fingerprint == item.fingerprint
        same &= DatasetModel.status == str(DatasetStatus.INGESTING)
        self._updated(model, DatasetModel.updated_at.set(model.updated_at), same)

    def put_stray(self, experiment_id: str, file: str) -> None:
        """Name a file that is none of the experiment's; once enough are named, count one more.

        A file that is named already changes nothing, so that nobody looks.
        """
        names = StraysModel.names
        has_room = names.does_not_exist() | (size(names) < most_strays(file)) | names.contains(file)
        named = StraysModel(experiment_id, "STRAYS")
        if not self._updated(named, names.add({file}), has_room):
            more = StraysModel(experiment_id, "STRAYS#MORE")
            if not self._updated(more, StraysModel.more.add(1)):
                raise NewerVersion(Shape.STRAYS)

    def put_checks(self, experiment_id: str, item: ChecksItem) -> None:
        """Write the checks item."""
        self._replace(checks_item(experiment_id, item))

    def begin(self, experiment_id: str, work: str, version: str, now: datetime) -> Attempts:
        """Count an attempt at `work` on one version of its input; return all attempts on that."""
        before = self._one(experiment_id, attempts_key(work))
        if not isinstance(before, Attempts) or before.version != version:
            before = Attempts(version, 0, now)
        begun = replace(before, number=before.number + 1)
        self._save(attempts_item(experiment_id, work, begun))
        return begun

    def take_back(self, experiment_id: str, work: str, version: str) -> None:
        """Count one attempt less at `work` on this version of its input, if it was counted."""
        begun = self._one(experiment_id, attempts_key(work))
        if isinstance(begun, Attempts) and begun.version == version and begun.number > 0:
            fewer = replace(begun, number=begun.number - 1)
            self._save(attempts_item(experiment_id, work, fewer))

    def put_score(self, experiment_id: str, item: ScoreItem) -> None:
        """Write the score item."""
        self._replace(score_item(experiment_id, item))

    def count_tries(self, evaluation_set: str, tried: GateTry) -> int:
        """Write down a try on these evaluation rows; return how many there are, with this one."""
        self._save(try_item(evaluation_set, tried))
        tries = StoredItem.item.startswith("TRY#")
        return sum(1 for _ in self._query(evaluation_key(evaluation_set), tries))

    def put_command(self, experiment_id: str, item: CommandItem) -> None:
        """Write a person's command. It goes when it is applied, or after KEEP_COMMANDS."""
        self._save(command_item(experiment_id, item))

    def history(self, experiment_id: str) -> list[HistoryEntry]:
        """Return an experiment's history, oldest first, without entries that can't be read."""
        lines = StoredItem.item.startswith("HISTORY#")
        entries: list[HistoryEntry] = []
        for item in self._query(experiment_id, lines):
            with suppress(NewerVersion, Damaged):
                entry = read(item)
                entries += [entry] if isinstance(entry, HistoryEntry) else []
        return entries

    def experiments(self, at_most: int | None = None) -> Iterator[ExperimentSummary]:
        """Return experiments, the newest first: all of them, or `at_most` so many, and then no more
        are read."""
        asked = {"scan_index_forward": False, "limit": at_most}
        for item in islice(self._indexed(Index.EXPERIMENTS, "RECORD", **asked), at_most):
            values = values_of(item) | {"experiment_id": item.experiment_id}
            yield adapter(ExperimentSummary).validate_python(values)

    def _replace(self, item: Item) -> None:
        """Write an item, but not over one of a version that this release does not know."""
        if not self._saved(item, _known(item)):
            raise NewerVersion(shape_of(item))

    def _save(self, item: Item, condition: Condition | None = None) -> None:
        self._table.put_item(
            item.experiment_id, item.item, attributes=item.serialize(), condition=condition
        )

    def _saved(
        self, item: Item, condition: Condition, refusals: Collection[str] = (_NOT_MET,)
    ) -> bool:
        """Write an item if the condition holds; say whether it does, which these codes deny."""
        return _holds(partial(self._save, item, condition), refusals)

    def _updated(self, item: Item, action: Action, condition: Condition | None = None) -> bool:
        """Change an item in place, or make it, if the condition holds; say whether it does.

        Two that change it at once need no transaction, and neither reads it before.
        """
        item.schema_version = PRESENT[shape_of(item)]
        known = _known(item)
        stamps = [Item.schema_version.set(item.schema_version), Item.kind.set(type(item))]
        condition = known if condition is None else known & condition
        update = partial(
            self._table.update_item, item.experiment_id, item.item, [action, *stamps], condition
        )
        return _holds(update)


def _snapshot(experiment_id: str, items: Callable[[str], Iterable[StoredItem]]) -> Snapshot:
    """Read an experiment by this query, again if it went through a commit."""
    for _ in range(MOST_READS - 1):
        with suppress(Torn):
            return snapshot_of(experiment_id, items(experiment_id))
    return snapshot_of(experiment_id, items(experiment_id))


def _known(item: Item) -> Condition:
    known: Condition = Item.schema_version <= item.schema_version
    known |= Item.schema_version.does_not_exist()
    return known


def _earlier(item: SpecModel | DatasetModel) -> Condition:
    """Whether what is there, if anything, is of an upload of an earlier second."""
    uploaded_at = type(item).uploaded_at
    earlier: Condition = uploaded_at.does_not_exist() | (uploaded_at < item.uploaded_at)
    return earlier


def _wins(item: DatasetModel) -> Condition:
    """Whether what is there is of an upload of the same second, and of a key that is not later."""
    wins: Condition = DatasetModel.uploaded_at == item.uploaded_at
    wins &= DatasetModel.source_key <= item.source_key
    return wins


def _of(item: DatasetModel) -> Condition:
    """Whether what is there is of the same upload, also if it says that that could not be read."""
    same: Condition = DatasetModel.uploaded_at == item.uploaded_at
    same &= DatasetModel.version_id.is_in(item.version_id, NOT_READ)
    return same


def _of_other_kind(experiment_id: str, item: DatasetModel) -> Condition:
    """Whether only one of the two, what is there and this, is of a file that is divided."""
    divided = DatasetModel.source_key.startswith(f"{INBOX}{experiment_id}/{SPLIT_STEM}.")
    other: Condition = DatasetModel.source_key.exists()
    other &= ~divided if stem_of(item.source_key) == SPLIT_STEM else divided
    return other


def _by_settings_before(item: DatasetModel) -> Condition:
    """Whether what is there is by the same settings, earlier ones or none."""
    before: Condition = DatasetModel.settings_at.does_not_exist()
    if item.settings_at is not None:
        before |= DatasetModel.settings_at <= item.settings_at
    return before


def _holds(write: Callable[[], object], refusals: Collection[str] = (_NOT_MET,)) -> bool:
    """Make a conditional write; say whether its condition holds, which these codes deny."""
    try:
        write()
    except (PutError, UpdateError) as error:
        if error.cause_response_code in refusals:
            return False
        raise
    return True
