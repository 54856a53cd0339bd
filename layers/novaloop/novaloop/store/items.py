"""The table's items as PynamoDB models.

Attributes have the names and values of the domain's dataclasses, so that a person who opens the
table reads what the code reads. `kind` tells the items apart and is the hash key of two indexes;
only records have a `created_at`. A `due_at` have only records that are due for a look some time,
and commands, which are there until they are applied. The third index holds records that wait for a
quota, or for another one's checkpoint: `waits_for` and `waits_since` follow from the rest.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import chain
from typing import Any

from pynamodb.attributes import (
    DiscriminatorAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.connection.base import MetaTable
from pynamodb.models import Model


class Item(Model):
    """What all items have in common."""

    experiment_id = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True)
    kind = DiscriminatorAttribute()
    schema_version = NumberAttribute(null=True)
    ttl = NumberAttribute(null=True)


class StoredItem(Model):
    """An item as it lies in the table: its keys, and `wire`, in which nothing was looked at yet.

    Apart from `Item`, whose queries skip items of a kind that it does not know, and end at the
    first one of which an attribute has another type.
    """

    experiment_id = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True)
    wire: dict[str, Any]

    @classmethod
    def from_raw_data(cls, data: dict[str, Any]) -> StoredItem:
        """Read the keys, which are always there and of their type."""
        stored = cls(data["experiment_id"]["S"], data["item"]["S"])
        stored.wire = data
        return stored


FOR_PEOPLE = ("stage", "progress", "cost_usd", "next_step", "report")
"""What a record's item says to people alone: it follows from the rest, and is not read back."""


class RecordModel(Item, discriminator="RECORD"):
    """`RECORD`: what the controller decided, and what follows from it for whoever reads it here.

    What is empty is not written. `spec` and `datasets` are those of a record that a release before
    0.2.0 wrote.
    """

    version = NumberAttribute()
    status = UnicodeAttribute()
    reason = UnicodeAttribute(null=True)
    stage = UnicodeAttribute(null=True)
    progress = UnicodeAttribute(null=True)
    metrics = MapAttribute[str, Any](null=True)
    cost_usd = MapAttribute[str, Any](null=True)
    next_step = UnicodeAttribute(null=True)
    report = UnicodeAttribute(null=True)
    prefix = UnicodeAttribute()
    spec = MapAttribute[str, Any](null=True)
    spec_digest = UnicodeAttribute(null=True)
    stages = ListAttribute[Any](null=True)
    datasets = MapAttribute[str, Any](null=True)
    gate = MapAttribute[str, Any](null=True)
    approved_by = UnicodeAttribute(null=True)
    budget_lifted_by = UnicodeAttribute(null=True)
    endpoint = MapAttribute[str, Any](null=True)
    stopping_to = UnicodeAttribute(null=True)
    cleanup = MapAttribute[str, Any](null=True)
    created_at = UnicodeAttribute()
    updated_at = UnicodeAttribute(null=True)
    started_at = UnicodeAttribute(null=True)
    ended_at = UnicodeAttribute(null=True)
    due_at = UnicodeAttribute(null=True)
    untold_start = UnicodeAttribute(null=True)
    notified = UnicodeAttribute(null=True)
    reported = UnicodeAttribute(null=True)
    notices = ListAttribute[Any](null=True)
    unused_uploads = UnicodeAttribute(null=True)
    handled_commands = ListAttribute[Any](null=True)
    base_checkpoint = UnicodeAttribute(null=True)
    unreadable = MapAttribute[str, Any](null=True)
    unread = UnicodeAttribute(null=True)
    awaited = MapAttribute[str, Any](null=True)
    troubles = ListAttribute[Any](null=True)
    refused = MapAttribute[str, Any](null=True)
    waits_for = UnicodeAttribute(null=True)
    waits_since = UnicodeAttribute(null=True)
    uid = UnicodeAttribute(null=True)


class ResolvedSpecModel(Item, discriminator="RESOLVED_SPEC"):
    """`RESOLVED_SPEC`: what the experiment of the record runs by."""

    digest = UnicodeAttribute()
    spec = MapAttribute[str, Any]()
    upload = UnicodeAttribute(null=True)
    datasets = MapAttribute[str, Any]()


class SpecModel(Item, discriminator="SPEC"):
    """`SPEC`: experiment.yaml as uploaded."""

    version_id = UnicodeAttribute()
    uploaded_at = UnicodeAttribute()
    spec = MapAttribute[str, Any](null=True)
    errors = ListAttribute[Any]()
    not_used = UnicodeAttribute(null=True)
    left_out = ListAttribute[Any](null=True)


class DatasetModel(Item, discriminator="DATASET"):
    """`DATASET#<role>`: one dataset as ingest left it."""

    role = UnicodeAttribute()
    status = UnicodeAttribute()
    reason = UnicodeAttribute()
    source_key = UnicodeAttribute()
    version_id = UnicodeAttribute()
    uploaded_at = UnicodeAttribute()
    updated_at = UnicodeAttribute()
    fingerprint = UnicodeAttribute()
    settings_at = UnicodeAttribute(null=True)
    ingest_attempts = NumberAttribute()
    rows = NumberAttribute()
    rejected_rows = NumberAttribute()
    sha256 = UnicodeAttribute()
    outputs = MapAttribute[str, Any]()
    rejects_key = UnicodeAttribute(null=True)
    card_key = UnicodeAttribute(null=True)
    profile_key = UnicodeAttribute(null=True)
    summary = MapAttribute[str, Any]()


class StraysModel(Item, discriminator="STRAYS"):
    """`STRAYS`: names of files that are none of the experiment's; `STRAYS#MORE`: how many more.

    Apart, because the controller looks when the first changes, and not for each file of a flood.
    """

    names = UnicodeSetAttribute(null=True)
    more = NumberAttribute(null=True)


class AttemptsModel(Item, discriminator="ATTEMPTS"):
    """`ATTEMPTS#<version>#<work>`: how often ingest began what it may die of before it writes."""

    version = UnicodeAttribute()
    number = NumberAttribute()
    since = UnicodeAttribute()


class TryModel(Item, discriminator="TRY"):
    """`TRY#<uid>#<stage>#<attempt>`, in a collection of its own per evaluation set: one try there.

    They are counted over experiments and kept for good: the rows remember who tried on them.
    """

    name = UnicodeAttribute()
    uid = UnicodeAttribute(null=True)
    stage = UnicodeAttribute()
    attempt = NumberAttribute()
    at = UnicodeAttribute()


class ChecksModel(Item, discriminator="CHECKS"):
    """`CHECKS`: what the checks across the datasets found."""

    versions = UnicodeAttribute()
    checked_at = UnicodeAttribute()
    refusal = UnicodeAttribute(null=True)
    findings = ListAttribute[Any]()


class ScoreModel(Item, discriminator="SCORE"):
    """`SCORE#<stage>#<attempt>`: what metrics measured."""

    stage = UnicodeAttribute()
    attempt = NumberAttribute()
    scored_at = UnicodeAttribute()
    error = UnicodeAttribute(null=True)
    score = MapAttribute[str, Any]()
    rows_key = UnicodeAttribute(null=True)
    uid = UnicodeAttribute(null=True)


class CommandModel(Item, discriminator="COMMAND"):
    """`COMMAND#<id>`: what a person asked for."""

    command_id = UnicodeAttribute()
    command = UnicodeAttribute()
    by = UnicodeAttribute()
    at = UnicodeAttribute()
    stage = UnicodeAttribute(null=True)
    hours = NumberAttribute(null=True)
    note = UnicodeAttribute(null=True)
    spec = UnicodeAttribute(null=True)
    due_at = UnicodeAttribute(null=True)
    uid = UnicodeAttribute(null=True)
    answers = UnicodeAttribute(null=True)


class SweepModel(Item, discriminator="SWEEP"):
    """`SWEEP#<version>`, in a collection of its own: how far the sweep has come in the inbox."""

    after = UnicodeAttribute()
    started = UnicodeAttribute()
    since = UnicodeAttribute()
    searched = UnicodeAttribute(null=True)
    search_after = UnicodeAttribute(null=True)
    told = ListAttribute[Any](null=True)


class HistoryModel(Item, discriminator="HISTORY"):
    """`HISTORY#<time>#<n>`: what changed, and why."""

    at = UnicodeAttribute()
    what = UnicodeAttribute()
    why = UnicodeAttribute()
    command_id = UnicodeAttribute(null=True)
    outcome = UnicodeAttribute(null=True)


class Indexed(Model):
    """What the indexes show of a record.

    Apart from `Item`, because PynamoDB adds a filter on the discriminator to each query of a model,
    and DynamoDB refuses a filter on a key of the index that it queries (pynamodb/PynamoDB#1000).
    """

    experiment_id = UnicodeAttribute(hash_key=True)
    item = UnicodeAttribute(range_key=True)
    created_at = UnicodeAttribute(null=True)
    due_at = UnicodeAttribute(null=True)
    waits_since = UnicodeAttribute(null=True)
    status = UnicodeAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    started_at = UnicodeAttribute(null=True)
    ended_at = UnicodeAttribute(null=True)


class Index(StrEnum):
    """The indexes: records and commands by when they are due; records by when they were created;
    and those that wait for a quota, by the time since which they do."""

    DUE = "due-index"
    EXPERIMENTS = "experiments-index"
    QUOTA = "quota-index"


_KEYS = {
    Index.DUE: ("kind", "due_at"),
    Index.EXPERIMENTS: ("kind", "created_at"),
    Index.QUOTA: ("waits_for", "waits_since"),
}


def table_keys(table_name: str) -> MetaTable:
    """Return the keys of the table and of its indexes, which are all texts.

    In the form of https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html.
    """
    own = ("experiment_id", "item")
    names = sorted({*own, *chain.from_iterable(_KEYS.values())})
    return MetaTable(
        {
            "TableName": table_name,
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in names],
            "KeySchema": _key_schema(own),
            "GlobalSecondaryIndexes": [
                {"IndexName": str(index), "KeySchema": _key_schema(keys)}
                for index, keys in _KEYS.items()
            ],
        }
    )


def _key_schema(keys: tuple[str, str]) -> list[dict[str, str]]:
    return [
        {"AttributeName": name, "KeyType": role}
        for name, role in zip(keys, ("HASH", "RANGE"), strict=True)
    ]
