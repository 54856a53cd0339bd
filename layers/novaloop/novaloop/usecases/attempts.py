"""How an attempt of ingest ends that has no result: it dies, or a service answers an error.

**It dies**: a function that runs out of memory or time is ended without a word, and whoever waits
for its result asks again. So an attempt is counted before it is made, and after a few the work is
given up, with a reason. A conversion's attempts are counted in its dataset's item, all others here.
So ends, too, what meets something that it was not written for (`DEFECTS`): it will again.

**It raises a service's error**: of S3, of the table, of IAM, which says nothing of the file. Its
count is taken back, and it is tried for as long as the error lasts. After `UNREADABLE_FOR` an item
says so. That item has no version, since none was read, and whoever looks for the upload's finds
none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from novaloop.experiment.controller.intake import CONVERSION
from novaloop.experiment.controller.transitions import UNREADABLE_FOR
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.experiment.versions import Damaged, NewerVersion
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.errors import DEFECTS, code_of
from novaloop.usecases.inbox import NOT_READ

MAX_ATTEMPTS = 6


@contextmanager
def noticing(back: Callable[[str], object]) -> Iterator[None]:
    """Call `back` with the code of an error that ends the attempt, and raise that.

    MemoryError and a defect are deaths: the same file will meet them again. What a newer release
    wrote, or is damaged, is told by itself, and nothing is written over it.
    """
    try:
        yield
    except (*DEFECTS, MemoryError, NewerVersion, Damaged):
        raise
    except Exception as error:
        back(code_of(error))
        raise


def is_told(since: datetime, world: IngestWorld) -> bool:
    """Whether an error that may have lasted since then is to be told."""
    return world.clock.now() >= since + UNREADABLE_FOR


def is_given_up(experiment_id: str, work: str, version: str, world: IngestWorld) -> bool:
    """Count an attempt, and say whether all before it have ended without a result.

    Several may be under way at once, since an event may come twice: only what began longer ago
    than the function runs has ended.
    """
    now = world.clock.now()
    attempts = world.store.begin(experiment_id, work, version, now)
    return attempts.number > MAX_ATTEMPTS and now - attempts.since > CONVERSION


def why_given_up(done: str) -> str:
    """Return the reason to give: `done` is such as `read`."""
    return (
        f"could not be {done} in {MAX_ATTEMPTS} attempts: the ingest function ended before it had "
        "a result, perhaps for want of memory or time, or by a fault of its own; its log has more. "
        "Make the file smaller, or look for what is unusual in it"
    )


def why_not_yet(done: str, code: str) -> str:
    """Return the reason to give while an error of this code lasts: `done` is such as `read`."""
    return (
        f"could not be {done} yet: {code}. It is tried again, in the end once a day; the ingest "
        "function's log has more"
    )


def is_wanted(item: DatasetItem) -> bool:
    """Whether a dataset has no result yet."""
    return item.status is DatasetStatus.INGESTING or item.version_id == NOT_READ


def put_back(
    experiment_id: str, claimed: tuple[DatasetItem, ...], world: IngestWorld, code: str
) -> None:
    """Take the attempt back, and say why it came to nothing, unless another one had a result.

    An upload is converted when it comes, and when a later `experiment.yaml` asks for that.
    """
    snapshot = world.store.load(experiment_id)
    now, reason = world.clock.now(), why_not_yet("converted", code)
    for item in claimed:
        present = same(snapshot.datasets.get(item.role), item)
        if present is None or not is_wanted(present):
            continue
        asked = [item.uploaded_at, *([snapshot.spec.uploaded_at] if snapshot.spec else [])]
        attempts = item.ingest_attempts - 1
        if present.version_id == NOT_READ:
            back = replace(present, ingest_attempts=attempts)
        else:
            back = replace(item, ingest_attempts=attempts, reason=reason, updated_at=now)
            if is_told(max(asked), world):
                back = replace(back, status=DatasetStatus.REJECTED, version_id=NOT_READ)
        world.store.put_dataset(experiment_id, back)


def same(old: DatasetItem | None, item: DatasetItem) -> DatasetItem | None:
    """Return `old` if it is of the same version of the file and of the settings.

    An item without a version, as none was read, is that of the version uploaded at its time.
    """
    if old is None or (old.source_key, old.fingerprint) != (item.source_key, item.fingerprint):
        return None
    if old.version_id == NOT_READ:
        return old if old.uploaded_at == item.uploaded_at else None
    return old if old.version_id == item.version_id else None
