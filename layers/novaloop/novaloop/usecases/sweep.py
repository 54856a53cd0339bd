"""The sweep: finds what events should have brought up and did not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from novaloop.experiment.record import DatasetItem, Snapshot
from novaloop.experiment.spec_file import SPEC_FILE
from novaloop.usecases.ports import Clock, Hints, Ingester, Objects, Store, Upload
from novaloop.usecases.spec_upload import INBOX

GRACE = timedelta(minutes=2)
"""How long an upload's own event has to arrive."""
REMEMBER = timedelta(hours=24)
"""How far back the sweep looks for uploads; a later one comes up with its own event."""


@dataclass(frozen=True)
class SweepWorld:
    """Everything that the sweep works with."""

    store: Store
    objects: Objects
    hints: Hints
    ingester: Ingester
    clock: Clock


@dataclass(frozen=True)
class Swept:
    """How many experiments were due for a look, and how many uploads nobody had picked up."""

    due: int
    uploads: int


def sweep(world: SweepWorld) -> Swept:
    """Hint at every experiment that is due and at every upload without an item."""
    due = list(world.store.due(world.clock.now()))
    for experiment_id in due:
        world.hints.look_at(experiment_id)
    lost = list(_lost_uploads(world))
    for key in lost:
        world.ingester.request_ingest(key)
    return Swept(len(due), len(lost))


def _lost_uploads(world: SweepWorld) -> Iterable[str]:
    now = world.clock.now()
    recent: dict[str, dict[str, Upload]] = {}
    for key, upload in world.objects.uploads(INBOX):
        experiment_id, _, file = key.removeprefix(INBOX).partition("/")
        if file and now - REMEMBER <= upload.uploaded_at <= now - GRACE:
            recent.setdefault(experiment_id, {})[key] = upload
    for experiment_id, uploads in recent.items():
        snapshot = world.store.load(experiment_id)
        yield from _without_item(snapshot, uploads)
        if snapshot.record is None:
            # The record comes with the first look, and only a hint brings that about.
            world.hints.look_at(experiment_id)


def _without_item(snapshot: Snapshot, uploads: Mapping[str, Upload]) -> Iterable[str]:
    by_key: dict[str, DatasetItem] = {item.source_key: item for item in snapshot.datasets.values()}
    for key, upload in uploads.items():
        if key.endswith(f"/{SPEC_FILE}"):
            known = snapshot.spec.uploaded_at if snapshot.spec else None
        else:
            known = by_key[key].uploaded_at if key in by_key else None
        if known is None or known < upload.uploaded_at:
            yield key
