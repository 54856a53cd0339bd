"""Ingest: from an uploaded file to validated JSONL and a dataset item.

An upload event is only a hint to look at its key: the newest version there is what counts, and it
is read by version id, so that a file that is replaced meanwhile is never read half and half.

Which version is the newest, only the bucket knows: it tells times to the second. So whoever has
written an item asks once more, and begins anew if it is of an older version by then. Whatever is
uploaded after that has an event of its own, whose item comes later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from novaloop.experiment.controller.intake import CONVERSION, data_fingerprint
from novaloop.experiment.names import (
    MISNAMED_SPEC_FILE,
    SPEC_FILE,
    check_file_name,
    file_of,
    stem_of,
)
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.experiment.spec.inputs import recorded_files, roles_called
from novaloop.experiment.spec.stages import Role
from novaloop.usecases.attempts import (
    MAX_ATTEMPTS,
    is_wanted,
    noticing,
    put_back,
    same,
    why_given_up,
)
from novaloop.usecases.big_files import hand_over, is_big, runs
from novaloop.usecases.conversion import Conversion, IngestWorld, convert_file
from novaloop.usecases.inbox import NOT_READ, InboxFile, read_key
from novaloop.usecases.ports import Upload
from novaloop.usecases.spec_upload import ingest_spec, present_spec


def ingest(key: str, world: IngestWorld) -> None:
    """Look at an uploaded file and bring its item up to date.

    A key that belongs to no experiment is left alone; the sweep counts those.
    """
    named = read_key(key)
    if not isinstance(named, InboxFile):
        return
    upload = world.objects.newest(key)
    if upload is None:
        return
    experiment_id, file = named.experiment_id, named.name
    if file == SPEC_FILE:
        ingest_spec(experiment_id, upload, world)
    elif problems := list(check_file_name(file, "")):
        # In the place of one dataset, however the name is written: it keeps the start waiting.
        item = _item(MISNAMED_SPEC_FILE, key, upload, world)
        refused = replace(item, status=DatasetStatus.REJECTED, reason=str(problems[0]))
        world.store.put_dataset(experiment_id, refused)
    elif named.is_stray:
        world.store.put_stray(experiment_id, file)
    else:
        _ingest_data(experiment_id, key, upload, world)
    if _is_replaced(key, upload, world):
        ingest(key, world)


def _is_replaced(key: str, upload: Upload, world: IngestWorld) -> bool:
    newest = world.objects.newest(key)
    return newest is not None and newest.version_id != upload.version_id


def _item(role: str, key: str, upload: Upload, world: IngestWorld) -> DatasetItem:
    return DatasetItem(
        role=role,
        status=DatasetStatus.INGESTING,
        source_key=key,
        version_id=upload.version_id,
        uploaded_at=upload.uploaded_at,
        fingerprint="",
        updated_at=world.clock.now(),
    )


def _ingest_data(experiment_id: str, key: str, upload: Upload, world: IngestWorld) -> None:
    stem = stem_of(key)
    spec, set_at = present_spec(experiment_id, world)
    if spec is None and stem in {*Role}:
        _wait_for_spec(experiment_id, key, upload, set_at, world)
        return
    roles = [] if spec is None else roles_called(spec, stem)
    if spec is None or not roles:
        # Without `split:`, or with it, or unless the plan asks for such answers, it is none of the
        # experiment's files, as long as that is so.
        world.store.put_stray(experiment_id, file_of(key))
        return
    items = tuple(
        replace(
            _item(role, key, upload, world),
            fingerprint=data_fingerprint(spec, role),
            settings_at=set_at,
        )
        for role in roles
    )
    job, big = Conversion(experiment_id, spec, items), world.big_files
    if big is not None and (_is_recorded(job) or not is_big(job, upload.size, big)):
        big = None
    claimed = _claim(job, world, None if big is None else partial(runs, job, upload.size, big))
    if not claimed:
        return
    job = replace(job, items=claimed)
    with noticing(partial(put_back, experiment_id, claimed, world)):
        if _is_replaced(key, upload, world):
            ingest(key, world)
            return
        if big is not None:
            hand_over(job, upload.size, big)
            return
        for done in _converted(job, world):
            world.store.put_dataset(experiment_id, done)


def _is_recorded(job: Conversion) -> bool:
    """Whether a file holds recorded answers, and no rows for a job."""
    return job.source.role in recorded_files(job.spec)


def _converted(job: Conversion, world: IngestWorld) -> tuple[DatasetItem, ...]:
    if not _is_recorded(job):
        return convert_file(job, world)
    # Few plans have such files, and reading them loads what metrics are.
    from novaloop.usecases.recorded import convert_recorded  # noqa: PLC0415

    return convert_recorded(job, world)


def _wait_for_spec(
    experiment_id: str, key: str, upload: Upload, set_at: datetime | None, world: IngestWorld
) -> None:
    waiting = replace(_item(stem_of(key), key, upload, world), settings_at=set_at)
    waiting = replace(waiting, reason="waits for a valid experiment.yaml")
    # Each write brings a look about, which may ask for it again: once is enough.
    old = same(world.store.load(experiment_id).datasets.get(waiting.role), waiting)
    if old is None or old.settings_at != set_at:
        world.store.put_dataset(experiment_id, waiting)


def _claim(
    job: Conversion, world: IngestWorld, by_steps: Callable[[], bool] | None
) -> tuple[DatasetItem, ...]:
    """Mark the datasets as being converted; empty if that was done already or fails each time.

    `by_steps`: whether a big file's conversion runs, each step of which looks for that mark.
    """
    experiment_id, items = job.experiment_id, job.items
    present = world.store.load(experiment_id).datasets
    before = [old for item in items if (old := same(present.get(item.role), item)) is not None]
    if len(before) == len(items) and not any(map(is_wanted, before)):
        return ()
    attempts = 1 + max((old.ingest_attempts for old in before), default=0)
    claimed = tuple(replace(item, ingest_attempts=attempts) for item in items)
    if by_steps and before:
        if _is_begun(before[0], world):
            return ()
        # What nobody can look at may run, so nothing is begun beside it.
        with noticing(partial(put_back, experiment_id, claimed, world)):
            if by_steps():
                # Else whoever asks for it would believe that nobody is at it.
                for item in items:
                    world.store.put_alive(experiment_id, item)
                return ()
    shown = claimed
    if attempts > MAX_ATTEMPTS:
        reason = why_given_up("converted")
        shown = tuple(
            replace(item, status=DatasetStatus.REJECTED, reason=reason) for item in claimed
        )
    elif by_steps is None:
        # What was told stays so until there is a result, or each try would be told anew.
        shown = tuple(_as_told(present.get(item.role), item) for item in claimed)
    written = [world.store.put_dataset(experiment_id, item) for item in shown]
    return claimed if all(written) and attempts <= MAX_ATTEMPTS else ()


def _is_begun(item: DatasetItem, world: IngestWorld) -> bool:
    """Whether a big file's conversion was marked a moment ago, so that it may be about to start.

    Later it is the execution that is asked. An attempt that came to nothing says so in the reason.
    """
    marked = item.status is DatasetStatus.INGESTING and not item.reason
    return marked and world.clock.now() < item.updated_at + CONVERSION


def _as_told(old: DatasetItem | None, item: DatasetItem) -> DatasetItem:
    if old is None or old.version_id != NOT_READ or same(old, item) is None:
        return item
    return replace(old, ingest_attempts=item.ingest_attempts)
