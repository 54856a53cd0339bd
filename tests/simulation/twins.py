"""Strict in-memory twins of the adapters, under a virtual clock.

The use cases run over them unmodified. They are strict where the real services are: names are
unique, a commit needs the version that it read, and nothing is launched that no record claims.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.experiment.controller.queue import QueuePlace, held_place, place_as_follower
from novaloop.experiment.names import SPLIT_STEM, stem_of
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
    StageState,
    most_strays,
)
from novaloop.experiment.versions import NewerVersion
from novaloop.store.serialisation import Stored, plain, resolved_spec
from novaloop.usecases.inbox import NOT_READ
from novaloop.usecases.ports import (
    Attempts,
    ObjectMissing,
    Round,
    Upload,
    VersionConflict,
)
from tests.dynamodb import check_item, check_transaction

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")


class VirtualClock:
    """Time that passes only when the simulation says so."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time


class HostClock(VirtualClock):
    """The clock of a host, which differs from the true time by `skew`.

    `draw`: where each process begins on a host of its own, how far that one's differs.
    """

    def __init__(self, clock: VirtualClock, skew: timedelta = timedelta(0)) -> None:
        self.skew = skew
        self.draw: Callable[[], timedelta] | None = None
        self._true = clock

    def changes(self) -> None:
        """Let another process begin, on some host."""
        if self.draw is not None:
            self.skew = self.draw()

    def now(self) -> datetime:
        return self._true.now() + self.skew


def as_item(experiment_id: str, key: str, value: Stored) -> dict[str, Any]:
    """Return a value as an item of the table."""
    return {"experiment_id": experiment_id, "item": key, **plain(value)}


class TwinStore:
    """The table: strict compare-and-set on the record's version, and DynamoDB's limits."""

    def __init__(self, on_item: Callable[[str], None]) -> None:
        self.snapshots: dict[str, Snapshot] = {}
        self.attempts: dict[tuple[str, str], Attempts] = {}
        self.tries: dict[str, dict[tuple[str, str, int], GateTry]] = {}
        self.entries: dict[str, list[HistoryEntry]] = {}
        self.round: Round | None = None
        self._on_item = on_item

    def load(self, experiment_id: str) -> Snapshot:
        if not experiment_id:  # as DynamoDB: "The AttributeValue for a key attribute cannot
            # contain an empty string value. Key: experiment_id" (ValidationException)
            raise ValueError("a key attribute cannot contain an empty string value")
        return self.snapshots.get(experiment_id, Snapshot(experiment_id))

    def load_all(self, experiment_ids: Sequence[str]) -> dict[str, Snapshot | None]:
        found: dict[str, Snapshot | None] = {}
        for each in experiment_ids:
            with suppress(Exception):  # as the table: what can't be read is left out
                try:
                    found[each] = self.load(each)
                except NewerVersion:
                    found[each] = None
        return found

    def load_record(self, experiment_id: str) -> Record | None:
        return self.load(experiment_id).record

    def drop(self, experiment_id: str, commands: Sequence[CommandItem]) -> None:
        snapshot = self.load(experiment_id)
        left = tuple(each for each in snapshot.commands if each not in commands)
        self.snapshots[experiment_id] = replace(snapshot, commands=left)

    def load_records(self, experiment_ids: Sequence[str]) -> dict[str, Snapshot | None]:
        return {
            name: Snapshot(name, read.record) if read else None
            for name, read in self.load_all(experiment_ids).items()
        }

    def record(self, experiment_id: str) -> Record:
        record = self.load(experiment_id).record
        assert record is not None, f"{experiment_id} has no record"
        return record

    def commit(
        self,
        record: Record,
        history: Sequence[HistoryEntry],
        applied: Sequence[CommandItem] = (),
    ) -> Record:
        snapshot = self.load(record.experiment_id)
        stored = snapshot.record.version if snapshot.record else 0
        if stored != record.version or not set(applied) <= set(snapshot.commands):
            raise VersionConflict(record.experiment_id)
        resolved = resolved_spec(record)
        committed = replace(record, version=stored + 1, spec_digest=resolved.digest)
        name = record.experiment_id
        items = [as_item(name, f"HISTORY#{number}", entry) for number, entry in enumerate(history)]
        if resolved.digest != record.spec_digest:
            items.append(as_item(name, "RESOLVED_SPEC", resolved))
        check_transaction([as_item(name, "RECORD", committed), *items], len(applied))
        pending = tuple(each for each in snapshot.commands if each not in applied)
        self.snapshots[record.experiment_id] = replace(snapshot, record=committed, commands=pending)
        self.entries.setdefault(record.experiment_id, []).extend(history)
        return committed

    def history(self, experiment_id: str) -> Sequence[HistoryEntry]:
        return self.entries.get(experiment_id, [])

    def queue(self, quota: str) -> list[QueuePlace]:
        records = [snapshot.record for snapshot in self.snapshots.values() if snapshot.record]
        places = filter(None, (held_place(each) or place_as_follower(each) for each in records))
        return sorted((p for p in places if p.quota == quota), key=lambda p: p.since)

    def due(self, now: datetime) -> Iterator[str]:
        told = [name for name, snapshot in self.snapshots.items() if snapshot.commands]
        records = [snapshot.record for snapshot in self.snapshots.values() if snapshot.record]
        due = [(record.due_at, record.experiment_id) for record in records if record.due_at]
        timely = (experiment_id for due_at, experiment_id in sorted(due) if due_at <= now)
        return iter(dict.fromkeys((*told, *timely)))

    def _put(self, experiment_id: str, **items: Any) -> None:
        self.snapshots[experiment_id] = replace(self.load(experiment_id), **items)
        self._on_item(experiment_id)

    def put_spec(self, experiment_id: str, item: SpecItem) -> None:
        check_item(as_item(experiment_id, "SPEC", item))
        old = self.load(experiment_id).spec
        if old is not None and old.uploaded_at > item.uploaded_at:
            return
        self._put(experiment_id, spec=item)

    def put_dataset(self, experiment_id: str, item: DatasetItem) -> bool:
        check_item(as_item(experiment_id, f"DATASET#{item.role}", item))
        datasets = dict(self.load(experiment_id).datasets)
        old = datasets.get(item.role)
        if old is not None and (stem_of(old.file) == SPLIT_STEM) != (
            stem_of(item.file) == SPLIT_STEM
        ):  # of two files that make it by other settings, it is that of the later ones
            ages = [each.settings_at or datetime.min.replace(tzinfo=UTC) for each in (old, item)]
            if ages != sorted(ages):
                return False
            old = None
        if old is not None and old.uploaded_at > item.uploaded_at:
            return False
        if old is not None and old.uploaded_at == item.uploaded_at:
            is_result = item.status is not DatasetStatus.INGESTING and item.version_id != NOT_READ
            is_same = old.version_id in {item.version_id, NOT_READ}
            if not is_same if is_result else old.source_key > item.source_key:
                return False
        in_order = dict(sorted({**datasets, item.role: item}.items()))  # as the table's sort keys
        self._put(experiment_id, datasets=in_order)
        return True

    def put_alive(self, experiment_id: str, item: DatasetItem) -> None:
        old = self.load(experiment_id).datasets.get(item.role)
        if old is not None and old.status is DatasetStatus.INGESTING:
            same = (old.version_id, old.fingerprint) == (item.version_id, item.fingerprint)
            if same:
                alive = replace(old, updated_at=item.updated_at)
                datasets = {**self.load(experiment_id).datasets, item.role: alive}
                self._put(experiment_id, datasets=datasets)

    def put_stray(self, experiment_id: str, file: str) -> None:
        strays = self.load(experiment_id).strays
        if file in strays.names:
            return
        if len(strays.names) < most_strays(file):
            names = tuple(sorted((*strays.names, file)))
            self._put(experiment_id, strays=replace(strays, names=names))
            return
        counted = replace(strays, more=strays.more + 1)  # nobody looks for that
        self.snapshots[experiment_id] = replace(self.load(experiment_id), strays=counted)

    def put_checks(self, experiment_id: str, item: ChecksItem) -> None:
        check_item(as_item(experiment_id, "CHECKS", item))
        self._put(experiment_id, checks=item)

    def begin(self, experiment_id: str, work: str, version: str, now: datetime) -> Attempts:
        before = self.attempts.get((experiment_id, work))
        if before is None or before.version != version:
            before = Attempts(version, 0, now)
        begun = replace(before, number=before.number + 1)
        self.attempts[experiment_id, work] = begun
        return begun

    def take_back(self, experiment_id: str, work: str, version: str) -> None:
        begun = self.attempts.get((experiment_id, work))
        if begun is not None and begun.version == version and begun.number > 0:
            self.attempts[experiment_id, work] = replace(begun, number=begun.number - 1)

    def sweep_round(self) -> Round | None:
        return self.round

    def put_sweep_round(self, place: Round) -> None:
        self.round = place

    def put_score(self, experiment_id: str, item: ScoreItem) -> None:
        check_item(as_item(experiment_id, f"SCORE#{item.stage}#{item.attempt}", item))
        known = self.load(experiment_id).score_items
        others = [
            each for each in known if (each.stage, each.attempt) != (item.stage, item.attempt)
        ]
        self._put(experiment_id, score_items=(*others, item))

    def count_tries(self, evaluation_set: str, tried: GateTry) -> int:
        check_item(as_item(f"EVALUATION#{evaluation_set}", f"TRY#{tried.uid}#{tried.stage}", tried))
        tries = self.tries.setdefault(evaluation_set, {})
        tries[tried.uid or tried.experiment_id, tried.stage, tried.attempt] = tried
        return len(tries)

    def put_command(self, experiment_id: str, item: CommandItem) -> None:
        check_item(as_item(experiment_id, f"COMMAND#{item.command_id}", item))
        pending = sorted((*self.load(experiment_id).commands, item), key=lambda each: each.at)
        self._put(experiment_id, commands=tuple(pending))


class TwinObjects:
    """The bucket, with versions."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._versions: dict[str, dict[str, tuple[bytes, datetime]]] = {}
        self._put = 0
        """How often anything was. Version ids count it: S3's are no other file's either."""
        self.deleted: set[str] = set()
        """Keys whose newest version is a delete marker; the versions before stay, by their ids."""

    def newest(self, key: str) -> Upload | None:
        versions = self._versions.get(key)
        if not versions or key in self.deleted:
            return None
        version_id, (body, at) = list(versions.items())[-1]
        return Upload(version_id, at, len(body))

    def versions(self, key: str) -> list[str]:
        """Return the ids of an object's versions, the newest last."""
        return list(self._versions[key])

    def uploads(self, prefix: str, after: str = "") -> Iterator[tuple[str, Upload]]:
        for key in sorted(k for k in self._versions if k.startswith(prefix) and k > after):
            upload = self.newest(key)
            if upload:
                yield key, replace(upload, version_id="")

    def put(self, key: str, body: bytes, content_type: str) -> None:
        assert content_type
        # S3 tells an object's time in whole seconds: an HTTP date (RFC 9110), and `.000Z` in lists.
        at = self._clock.now().replace(microsecond=0)
        self._put += 1
        self._versions.setdefault(key, {})[f"v{self._put}"] = (body, at)
        self.deleted.discard(key)

    def get(
        self, key: str, version_id: str | None = None, span: ByteRange | None = None
    ) -> BinaryIO:
        versions = self._versions.get(key)
        if not versions or (version_id and version_id not in versions):
            raise ObjectMissing(key)
        body, _ = versions[version_id] if version_id else list(versions.values())[-1]
        return io.BytesIO(body[span.start : span.end] if span else body)

    @contextmanager
    def writer(self, key: str, content_type: str) -> Iterator[Callable[[bytes], object]]:
        body = bytearray()
        yield body.extend
        self.put(key, bytes(body), content_type)

    def concatenate(self, keys: Sequence[str], target: str) -> None:
        body = b"".join(self.get(key).read() for key in keys)
        if target not in self._versions or self.get(target).read() != body:
            self.put(target, body, "application/jsonl")

    def keys(self) -> list[str]:
        return sorted(self._versions)

    def clear(self) -> None:
        self._versions.clear()


@dataclass
class TwinNotifier:
    """Remembers what was published; apart, what tells of a start, which every experiment has."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    starts: list[tuple[str, str]] = field(default_factory=list)

    def publish(self, subject: str, message: str, attributes: Mapping[str, str]) -> None:
        assert attributes.get("experiment", "") in subject
        told = self.starts if subject.endswith(" has started") else self.messages
        told.append((subject, message))


def questions_csv(rows: int, seed: int) -> bytes:
    """Return a small classification dataset with line breaks inside its cells."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["Id", "Body", "Y"])
    for number in range(rows):
        body = f"question {seed}-{number}\nwith a second line{'!' * (number % 7)}"
        writer.writerow([number, body, LABELS[(number + seed) % 3]])
    return text.getvalue().encode()


def claims(record: Record, name: str, *states: StageState) -> bool:
    """Whether the record knows of this launch, in a stage of one of these states."""
    return any(s.attempt.job_name == name and s.state in states for s in record.stages)
