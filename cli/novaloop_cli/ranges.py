"""A big CSV file converted by ranges of whole records, each in a process of its own."""

from __future__ import annotations

import hashlib
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from novaloop.datasets.reading.ranges import equal_ranges
from novaloop.usecases.big_files import convert_range, is_cuttable, join, plan, scan
from novaloop.usecases.conversion import Conversion, IngestWorld, convert_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from novaloop.experiment.record import DatasetItem

Part = TypeVar("Part")
Done = TypeVar("Done")

SMALLEST = 16 << 20
"""Below, starting processes takes longer than it saves."""
MAX_PROCESSES = 8


def convert_on_all_cores(
    job: Conversion, size: int, world: IngestWorld, smallest: int = SMALLEST
) -> tuple[DatasetItem, ...]:
    """As convert_file, sooner where the file is big and can be cut; `world` has to be picklable."""
    processes = min(_cores(), MAX_PROCESSES, size // smallest)
    if processes < 2 or not is_cuttable(job):
        return convert_file(job, world)
    source = job.source
    with ProcessPoolExecutor(processes - 1, initializer=_end_in_silence) as pool:
        scan_of = partial(scan, source.source_key, source.version_id, world=world)
        scans = _shared(pool, scan_of, equal_ranges(size, -(-size // processes)))
        ranges = plan(job, scans, size, world)
        if len(ranges) == 1:
            return convert_file(job, world)
        _shared(pool, partial(convert_range, job, world=world), ranges)
    return tuple(_with_digest(item, world) for item in join(job, ranges, world))


def _shared(pool: Executor, work: Callable[[Part], Done], parts: Sequence[Part]) -> list[Done]:
    """Do the first part in this process, whose memory counts anyway, and the others in the pool."""
    with _interrupts_held_back():
        others = pool.map(work, parts[1:])
    return [work(parts[0]), *others]


def _end_in_silence() -> None:
    """Ctrl-C goes to all processes: the others then just end, and the first one says so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back while processes begin.

    One that is not set up yet would take it as this one does: it would say so too, and then wait
    for ever for threads that only this one has.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _with_digest(item: DatasetItem, world: IngestWorld) -> DatasetItem:
    """Return the item with the digest of its rows, in the place of one of the parts' digests."""
    output = next(iter(item.outputs.values()), None)
    if output is None:
        return item
    with world.objects.get(output) as body:
        return replace(item, sha256=hashlib.file_digest(body, "sha256").hexdigest())  # type: ignore[arg-type]
