"""From the domain's dataclasses to the table's items, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from novaloop.experiment.controller.queue import held_place, place_as_follower
from novaloop.experiment.record import (
    Attempt,
    ChecksItem,
    CommandItem,
    DatasetItem,
    GateTry,
    HistoryEntry,
    Record,
    ResolvedSpec,
    ScoreItem,
    Snapshot,
    SpecItem,
    Strays,
    Unread,
)
from novaloop.experiment.versions import (
    FIELD,
    PRESENT,
    Damaged,
    NewerVersion,
    Shape,
    current,
    key_of_version,
    stamped,
)
from novaloop.store.items import (
    FOR_PEOPLE,
    AttemptsModel,
    ChecksModel,
    CommandModel,
    DatasetModel,
    HistoryModel,
    Indexed,
    Item,
    RecordModel,
    ResolvedSpecModel,
    ScoreModel,
    SpecModel,
    StoredItem,
    StraysModel,
    SweepModel,
    TryModel,
)
from novaloop.typed import adapter
from novaloop.usecases.ports import Attempts, Round

KEEP_HISTORY = timedelta(days=400)
KEEP_COMMANDS = timedelta(days=30)
KEEP_ATTEMPTS = timedelta(days=30)
SMALLEST_NUMBER = 1e-130
"""DynamoDB refuses numbers nearer to 0 than this."""

SWEEP = "SWEEP"
"""The hash key of the sweep's items. An experiment may have a folder of that name, though it is
refused for its capitals; its items have other sort keys, and its snapshot is read around these."""

Stored = (
    Record
    | ResolvedSpec
    | SpecItem
    | DatasetItem
    | Strays
    | ChecksItem
    | ScoreItem
    | CommandItem
    | HistoryEntry
    | Round
    | Attempts
    | GateTry
)
T = TypeVar("T", bound=Stored)

_SHAPES: Mapping[type[Item], Shape] = {
    RecordModel: Shape.RECORD,
    ResolvedSpecModel: Shape.RESOLVED_SPEC,
    SpecModel: Shape.SPEC,
    DatasetModel: Shape.DATASET,
    StraysModel: Shape.STRAYS,
    ChecksModel: Shape.CHECKS,
    ScoreModel: Shape.SCORE,
    CommandModel: Shape.COMMAND,
    HistoryModel: Shape.HISTORY,
    SweepModel: Shape.SWEEP,
    AttemptsModel: Shape.ATTEMPTS,
    TryModel: Shape.TRY,
}
_KINDS: Mapping[Shape, type[Stored]] = {
    Shape.RECORD: Record,
    Shape.RESOLVED_SPEC: ResolvedSpec,
    Shape.SPEC: SpecItem,
    Shape.DATASET: DatasetItem,
    Shape.STRAYS: Strays,
    Shape.CHECKS: ChecksItem,
    Shape.SCORE: ScoreItem,
    Shape.COMMAND: CommandItem,
    Shape.HISTORY: HistoryEntry,
    Shape.SWEEP: Round,
    Shape.ATTEMPTS: Attempts,
    Shape.TRY: GateTry,
}


def record_item(record: Record) -> RecordModel:
    """Return the item of a record, without what `resolved_spec_item` holds of it."""
    values = record_values(record)
    return RecordModel(values.pop("experiment_id"), "RECORD", **values)


def record_values(record: Record) -> dict[str, Any]:
    """Return the attributes of a record's item, as JSON has them."""
    values = plain(record)
    place = held_place(record) or place_as_follower(record)
    if place is not None:
        values |= {"waits_for": place.quota, "waits_since": iso(place.since)}
    return stamped(Shape.RECORD, values)


def resolved_spec(record: Record) -> ResolvedSpec:
    """Return what a record is stored without, and by what it is known again."""
    resolved = ResolvedSpec(record.spec, "", record.spec_upload, record.datasets)
    content = json.dumps(plain(resolved), sort_keys=True)
    return replace(resolved, digest=hashlib.sha256(content.encode()).hexdigest()[:16])


def resolved_spec_item(experiment_id: str, resolved: ResolvedSpec) -> ResolvedSpecModel:
    """Return the item of what an experiment runs by."""
    values = stamped(Shape.RESOLVED_SPEC, plain(resolved))
    return ResolvedSpecModel(experiment_id, Shape.RESOLVED_SPEC, **values)


def history_item(record: Record, number: int, entry: HistoryEntry) -> HistoryModel:
    """Return the item of a commit's history line by its number; forgotten after KEEP_HISTORY."""
    key = f"HISTORY#{iso(entry.at)}#{record.version:06}-{number}"
    ttl = int((entry.at + KEEP_HISTORY).timestamp())
    values = stamped(Shape.HISTORY, plain(entry))
    return HistoryModel(record.experiment_id, key, ttl=ttl, **values)


def spec_item(experiment_id: str, item: SpecItem) -> SpecModel:
    """Return the item of a spec."""
    return SpecModel(experiment_id, "SPEC", **stamped(Shape.SPEC, plain(item)))


def dataset_item(experiment_id: str, item: DatasetItem) -> DatasetModel:
    """Return the item of a dataset."""
    values = stamped(Shape.DATASET, plain(item))
    return DatasetModel(experiment_id, dataset_key(item), **values)


def dataset_key(item: DatasetItem) -> str:
    """Return the sort key of a dataset's item."""
    return f"DATASET#{item.role}"


def checks_item(experiment_id: str, item: ChecksItem) -> ChecksModel:
    """Return the item of what was found across the datasets."""
    return ChecksModel(experiment_id, "CHECKS", **stamped(Shape.CHECKS, plain(item)))


def score_item(experiment_id: str, item: ScoreItem) -> ScoreModel:
    """Return the item of a score."""
    return ScoreModel(experiment_id, score_key(item), **stamped(Shape.SCORE, plain(item)))


def score_key(item: ScoreItem) -> str:
    """Return the sort key of a score's item."""
    return f"SCORE#{item.stage}#{item.attempt}"


def command_item(experiment_id: str, item: CommandItem) -> CommandModel:
    """Return the item of a command; forgotten after KEEP_COMMANDS."""
    values = stamped(Shape.COMMAND, plain(item))
    values["command"] = values.pop("kind")
    values["due_at"] = values["at"]
    ttl = int((item.at + KEEP_COMMANDS).timestamp())
    return CommandModel(experiment_id, command_key(item), ttl=ttl, **values)


def command_key(item: CommandItem) -> str:
    """Return the sort key of a command's item."""
    return f"COMMAND#{item.command_id}"


def round_item(place: Round) -> SweepModel:
    """Return the item of how far the sweep has come."""
    return SweepModel(SWEEP, key_of_version(Shape.SWEEP), **stamped(Shape.SWEEP, plain(place)))


def attempts_key(work: str) -> str:
    """Return the sort key under which attempts at `work` are counted."""
    return f"{key_of_version(Shape.ATTEMPTS)}#{work}"


def attempts_item(experiment_id: str, work: str, attempts: Attempts) -> AttemptsModel:
    """Return the item of attempts; forgotten KEEP_ATTEMPTS after the first of them."""
    ttl = int((attempts.since + KEEP_ATTEMPTS).timestamp())
    values = stamped(Shape.ATTEMPTS, plain(attempts))
    return AttemptsModel(experiment_id, attempts_key(work), ttl=ttl, **values)


def evaluation_key(evaluation_set: str) -> str:
    """Return the hash key of the tries on an evaluation set; no experiment has such a name."""
    return f"EVALUATION#{evaluation_set}"


def try_item(evaluation_set: str, tried: GateTry) -> TryModel:
    """Return the item of a try. The same one again has the same key, so that it counts once."""
    values = stamped(Shape.TRY, plain(tried))
    name = values.pop("experiment_id")
    key = f"TRY#{tried.uid or name}#{tried.stage}#{tried.attempt}"
    return TryModel(evaluation_key(evaluation_set), key, name=name, **values)


class Torn(Damaged):
    """A record and the item beside it do not belong together: one was read before a commit."""

    def __init__(self) -> None:
        super().__init__("record", "the RESOLVED_SPEC beside it is missing, or another one's")


def read(item: StoredItem, beside: ResolvedSpec | None = None) -> Stored:
    """Return what an item holds; a record, with what lies beside it. Raises NewerVersion, Damaged.

    Whatever an item makes go wrong says that it is damaged: nothing else is looked at here. Only
    the names of its attributes are told, which are ours, and nothing of what they hold.
    """
    what = item.item.partition("#")[0]
    kind = item.wire.get("kind", {}).get("S")
    if kind != what and kind in list(Shape):
        raise Damaged(what.lower(), f"its kind is {kind}")
    try:
        shape = Shape(item.wire["kind"]["S"])
        # Before anything else: a newer one may have attributes of other types.
        (version,) = item.wire.get(FIELD, {"N": "1"}).values()
        current(shape, {FIELD: int(version)})
        unread = FOR_PEOPLE if shape is Shape.RECORD else ()
        model = Item.from_raw_data({n: v for n, v in item.wire.items() if n not in unread})
        wanted = model.get_attributes() if int(version) == PRESENT[shape] else {}
        missing = [name for name, each in wanted.items() if not each.null and name not in item.wire]
        values = current(shape_of(model), values_of(model))
        if isinstance(model, RecordModel):
            values = _whole(values, item.experiment_id, beside)
        if isinstance(model, CommandModel):
            # In the table, `kind` tells items apart.
            values = {("kind" if n == "command" else n): value for n, value in values.items()}
        value = adapter(_KINDS[shape]).validate_python(values)
    except (NewerVersion, Damaged):
        raise
    except ValidationError as error:
        wrong = sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]})
        raise Damaged(what.lower(), f"missing or of a wrong type: {', '.join(wrong)}") from None
    except Exception as error:
        raise Damaged(what.lower(), f"it can't be read ({type(error).__name__})") from None
    if missing:  # what has a default may be missing in an older one, and in no other
        raise Damaged(what.lower(), f"missing: {', '.join(sorted(missing))}")
    # Or another item than this would be deleted, or written over, in its place.
    if _key_of(value) not in {None, item.item}:
        raise Damaged(what.lower(), "what it holds belongs under another key")
    return value


def _key_of(value: Stored) -> str | None:
    """Return the sort key that follows from what an item holds; None where none does."""
    match value:
        case CommandItem():
            return command_key(value)
        case DatasetItem():
            return dataset_key(value)
        case ScoreItem():
            return score_key(value)
    return next((shape for shape in _SINGLE if isinstance(value, _KINDS[shape])), None)


_SINGLE = (Shape.RECORD, Shape.RESOLVED_SPEC, Shape.SPEC, Shape.CHECKS)
"""Of which an experiment has one, under its name."""


def snapshot_of(experiment_id: str, items: Iterable[StoredItem]) -> Snapshot:
    """Put an experiment's items together, without those that can't be read.

    Raises NewerVersion and Damaged where that is the record, or what it is stored without: nothing
    can be done without it. Raises Torn, which another read may mend.
    """
    found: dict[type[Stored], list[Any]] = {kind: [] for kind in get_args(Stored)}
    unread: list[Unread] = []
    of_record: dict[str, StoredItem] = {}
    for item in items:
        if item.item in {Shape.RECORD, Shape.RESOLVED_SPEC}:
            of_record[item.item] = item
            continue
        try:
            value = read(item)
        except (NewerVersion, Damaged) as problem:
            is_newer = isinstance(problem, NewerVersion)
            unread.append(Unread(item.item, str(problem), is_newer))
        else:
            found[type(value)].append(value)
    spec, checks = (next(iter(found[kind]), None) for kind in (SpecItem, ChecksItem))
    return Snapshot(
        experiment_id=experiment_id,
        record=_record_of(of_record),
        spec=spec,
        datasets={item.role: item for item in found[DatasetItem]},
        strays=Strays(
            tuple(sorted(name for each in found[Strays] for name in each.names)),
            sum(each.more for each in found[Strays]),
        ),
        checks=checks,
        score_items=tuple(found[ScoreItem]),
        commands=tuple(sorted(found[CommandItem], key=lambda command: command.at)),
        unread=tuple(unread),
    )


def _record_of(items: Mapping[str, StoredItem]) -> Record | None:
    """Put a record together from its two items. What lies beside no record is nobody's."""
    item, beside = items.get(Shape.RECORD), items.get(Shape.RESOLVED_SPEC)
    if item is None:
        return None
    resolved = read(beside) if beside is not None and "spec" not in item.wire else None
    record = read(item, resolved if isinstance(resolved, ResolvedSpec) else None)
    return record if isinstance(record, Record) else None


def _whole(
    values: Mapping[str, Any], experiment_id: str, beside: ResolvedSpec | None
) -> dict[str, Any]:
    """Return the values of a record from those of its item. Raises Torn."""
    whole = {**values, "experiment_id": experiment_id}
    metrics = whole.pop("metrics", None) or {}
    whole["stages"] = [
        {**_with_attempt(stage), "metrics": metrics.get(stage["name"], {})}
        for stage in whole.get("stages") or ()
    ]
    if whole.get("spec") is None:  # up to version 2, a record holds all of it
        if beside is None or beside.digest != whole.get("spec_digest"):
            raise Torn
        whole |= {"spec": beside.spec, "datasets": beside.datasets, "spec_upload": beside.upload}
    return {name: value for name, value in whole.items() if value is not None}


_OF_ATTEMPT = {each.name for each in fields(Attempt)} - {"number"}
"""What stands among the fields of a stage in its item, and is its present attempt's: flat, whoever
reads it in the table's console opens one level less, and each commit pays for a few bytes less."""


def _with_attempt(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage's values with its attempt's in their place.

    A job's name is read from its ARN, where that ends with it.
    """
    attempt = {name: stage[name] for name in _OF_ATTEMPT & stage.keys()}
    attempt["number"] = stage.get("attempt", 1)
    if attempt.get("job_arn") and not attempt.get("job_name"):
        attempt["job_name"] = attempt["job_arn"].rpartition("/")[2]
    own = {name: each for name, each in stage.items() if name not in _OF_ATTEMPT}
    return {**own, "attempt": attempt}


def shape_of(item: Item) -> Shape:
    """Return what an item is."""
    return _SHAPES[type(item)]


def values_of(item: Item | Indexed) -> dict[str, Any]:
    """Return an item's attributes as plain values, without the keys that all items have."""
    common = {"experiment_id", "item", "kind", "ttl"}
    values = item.to_simple_dict(force=True)  # or it refuses sets
    return {name: value for name, value in values.items() if name not in common}


def iso(time: datetime) -> str:
    """Write a time as the items do, so that text order is time order."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: Stored) -> dict[str, Any]:
    """Return what an item holds of a value, as JSON has it."""
    is_record = isinstance(value, Record)
    # Each commit is paid for by the record's kilobytes, and most of it has yet to happen.
    dumped = adapter(type(value)).dump_python(
        value, mode="json", exclude_none=True, exclude_defaults=is_record
    )
    values: dict[str, Any] = _storable(dumped)
    for name, time in vars(value).items():
        if isinstance(time, datetime):
            values[name] = iso(time)
    return _record_values(value, values) if isinstance(value, Record) else values


_BESIDE = {"spec", "datasets", "spec_upload"}
"""What `resolved_spec_item` holds of a record."""


def _record_values(record: Record, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record's item holds: what happened, and what people want to know of it."""
    from novaloop.experiment.summary import summary_of  # noqa: PLC0415 - only a commit needs it

    kept = {name: each for name, each in values.items() if name not in _BESIDE}
    stages = [
        {"name": stage.name, "kind": str(stage.kind), "state": str(stage.state)}
        | happened.pop("attempt", {})
        | {"attempt": stage.attempt.number, **happened}
        for stage, happened in zip(record.stages, values.get("stages", ()), strict=True)
    ]
    metrics = {each["name"]: each.pop("metrics") for each in stages if "metrics" in each}
    for each in stages:
        each.pop("number", None)  # of its attempt, which is `attempt` here
        if each.get("job_arn", "").endswith(f"/{each.get('job_name')}"):
            del each["job_name"]
    values = {
        "status": str(record.status),
        "prefix": record.prefix,
        **kept,
        **asdict(summary_of(record)),
        "metrics": metrics,
        "stages": stages,
    }
    return {name: each for name, each in values.items() if each not in (None, "", [], {})}


def _storable(value: Any) -> Any:
    """Make 0 of numbers too small for DynamoDB, such as the p-value of a gain in every row."""
    if isinstance(value, float) and abs(value) < SMALLEST_NUMBER:
        return 0.0
    if isinstance(value, dict):
        return {name: _storable(item) for name, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value
