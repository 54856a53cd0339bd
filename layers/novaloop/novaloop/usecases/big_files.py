"""Big files: converted range by range, each step of it in a call of its own.

The steps are those of the state machine `BigFiles`: scan each of equal ranges, plan the cuts,
convert each range of whole records, join the parts. A file that can't be cut is planned as a
single range; one whose cuts turn out to be wrong is converted in one stream at the end. Where a
step fails for good, its dataset is REJECTED with the reason, unless that is a service's: then the
attempt counts for nothing, and the file is asked for again, as any other is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from typing import Any, BinaryIO

from novaloop.datasets.convert import RecordsPlace
from novaloop.datasets.options import SourceFormat
from novaloop.datasets.parts import CutMistaken, Part, convert_part, merge_parts
from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.datasets.reading.decoding import CHUNK_BYTES
from novaloop.datasets.reading.ranges import (
    HEAD_BYTES,
    RangeScan,
    begins_with_record,
    equal_ranges,
    header_of,
    record_ranges,
    scan_range,
)
from novaloop.experiment.controller.intake import data_fingerprint
from novaloop.experiment.names import SPLIT_STEM, stem_of
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.experiment.spec.inputs import row_formats
from novaloop.experiment.versions import Damaged, NewerVersion, Shape, stamped
from novaloop.usecases.attempts import put_back
from novaloop.usecases.conversion import (
    JSON_LINES,
    Conversion,
    IngestWorld,
    Result,
    convert_file,
    finish,
    folder_of,
    options_of,
)
from novaloop.usecases.errors import DEFECTS, code_of
from novaloop.usecases.ingest_events import BigFile, Convert, Join, Plan, Reject, ScanStep, Step
from novaloop.usecases.ports import BigFiles, ObjectMissing
from novaloop.usecases.spec_upload import present_spec

RANGES_PER_SMALLEST = 8
MAX_RANGES = 400
"""Their scans have to fit into the 256 KiB that a state machine passes on."""
_PEEK_BYTES = 1 << 16


class ServiceUnavailable(Exception):  # noqa: N818 - the state machine tries again by this name
    """A service answered an error, or none; `str()` is its code."""


WEATHER = {
    ServiceUnavailable.__name__,
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "States.ExceedToleratedFailureThreshold",
    "States.Permissions",
}
"""Errors in the words of Step Functions that say nothing of the file. A range that failed for good
has said itself what of; of the whole map, only that it did, which is the fifth.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html,
https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html (Lambda's)
"""


def is_big(job: Conversion, size: int, big_files: BigFiles) -> bool:
    """Tell whether a file is to be converted by ranges."""
    return is_cuttable(job) and size >= big_files.smallest


def is_cuttable(job: Conversion) -> bool:
    """Tell whether a file may be cut into ranges: only a CSV file of one role can be."""
    key = job.source.source_key
    plain = SourceFormat.of(key) is SourceFormat.CSV and not key.lower().endswith(".gz")
    return plain and stem_of(key) != SPLIT_STEM


def hand_over(job: Conversion, size: int, big_files: BigFiles) -> None:
    """Start the conversion by ranges, unless it runs.

    Where a name is taken and does not run, that execution has ended without a result, and the next
    one is tried. Who comes meanwhile, also since the answer to a start was lost, meets the running
    one under the same name.
    """
    file = _file_of(job, size)
    range_bytes = max(big_files.smallest // RANGES_PER_SMALLEST, -(-size // MAX_RANGES))
    ranges = [asdict(each) for each in equal_ranges(size, range_bytes)]
    request = {"file": stamped(Shape.BIG_FILE, asdict(file)), "ranges": ranges}
    next(name for name in _names(file) if big_files.start(name, request))


def runs(job: Conversion, size: int, big_files: BigFiles) -> bool:
    """Tell whether the conversion by ranges runs, however long it takes."""
    told = (big_files.runs(name) for name in _names(_file_of(job, size)))
    return bool(next(each for each in told if each is not False))


def _file_of(job: Conversion, size: int) -> BigFile:
    item = job.source
    return BigFile(
        job.experiment_id, item.role, item.source_key, item.version_id, item.fingerprint, size
    )


def _names(file: BigFile) -> Iterator[str]:
    """Yield the names of the executions that convert a file, in the order of their starts.

    None is begun while one before it runs, so at most the last that was begun does.
    """
    digest = hashlib.sha256(json.dumps(asdict(file)).encode()).hexdigest()[:16]
    return (f"{file.experiment_id}-{file.role}-{digest}-{number}" for number in count(1))


def run_step(step: Step, world: IngestWorld) -> Any:
    """Run one step and return its result as JSON values.

    A step does nothing if the file or its settings have been replaced. Raises ServiceUnavailable
    where a service answers an error, which says nothing of the file.
    """
    try:
        return _run(step, world)
    except (*DEFECTS, MemoryError, ObjectMissing, NewerVersion, Damaged):
        raise
    except Exception as error:
        raise ServiceUnavailable(code_of(error)) from error


def _run(step: Step, world: IngestWorld) -> Any:
    file = step.file
    if isinstance(step, ScanStep):
        return asdict(scan(file.source_key, file.version_id, step.range, world))
    job = _job(file, world)
    if job is None:
        return [] if isinstance(step, Plan) else None
    match step:
        case Plan(scans=scans):
            return [asdict(each) for each in plan(job, scans, file.size, world)]
        case Convert(range=span):
            convert_range(job, span, world)
        case Join(ranges=ranges) if ranges:
            for item in join(job, ranges, world):
                world.store.put_dataset(file.experiment_id, item)
        case Reject(error=error) if error not in WEATHER:
            world.store.put_dataset(file.experiment_id, _rejected(job, error, world))
        case Reject(error=error) if not job.source.reason:
            # Several ranges of one attempt may fail, and their map: the first has said so.
            put_back(file.experiment_id, job.items, world, error)
    return None


def _rejected(job: Conversion, error: str, world: IngestWorld) -> DatasetItem:
    """Return the dataset's item as REJECTED: each call that failed was made four times by then.

    `error` is what Step Functions calls the error. Of a range it says only that there was one; its
    cause, which may quote data, stands in the logs.
    """
    reason = (
        f"could not be converted: a step of it failed in each of four attempts ({error}); the "
        "ingest function's log has more. Make the file smaller, or look for what is unusual in it"
    )
    return replace(
        job.source,
        status=DatasetStatus.REJECTED,
        reason=reason,
        updated_at=world.clock.now(),
    )


def scan(key: str, version_id: str, span: ByteRange, world: IngestWorld) -> RangeScan:
    """Scan one of the equal ranges of a file."""
    with world.objects.get(key, version_id, span) as body:
        return scan_range(_chunks(body), span.start)


def plan(
    job: Conversion, scans: Sequence[RangeScan], size: int, world: IngestWorld
) -> list[ByteRange]:
    """Return the ranges to convert: a single one if the file can't be cut."""
    options = options_of(job, world)
    header = header_of(_read(job, ByteRange(0, min(size, HEAD_BYTES)), world), options)
    ranges = record_ranges(scans, size)
    trusted = header is not None and all(
        begins_with_record(
            _read(job, ByteRange(each.start, min(each.start + _PEEK_BYTES, each.end)), world),
            len(header),
            options.delimiter,
        )
        for each in ranges[1:]
    )
    return ranges if trusted else [ByteRange(0, size)]


def convert_range(job: Conversion, span: ByteRange, world: IngestWorld) -> None:
    """Convert one range of records to a part of each output."""
    options, folder = options_of(job, world), _part_folder(job, span)
    head = ByteRange(0, min(span.end, HEAD_BYTES))
    place = RecordsPlace(span.start, header_of(_read(job, head, world), options) or [])
    rejects: list[bytes] = []
    with ExitStack() as opened:
        outputs = {
            each: opened.enter_context(
                world.objects.writer(f"{folder}/{each.file_name}", JSON_LINES)
            )
            for each in row_formats(job.spec, job.source.role)
        }
        body = opened.enter_context(_open(job, span, world))
        part = convert_part(_chunks(body), place, outputs, options, rejects.append)
    world.objects.put(f"{folder}/rejects.jsonl", b"".join(rejects), JSON_LINES)
    world.objects.put(f"{folder}/part", part.to_bytes(), "application/octet-stream")


def join(
    job: Conversion, ranges: Sequence[ByteRange], world: IngestWorld
) -> tuple[DatasetItem, ...]:
    """Join the parts and return the finished items, or convert anew where a cut was wrong."""
    try:
        return _joined(job, ranges, world)
    except CutMistaken:
        return convert_file(job, world)


def _joined(
    job: Conversion, ranges: Sequence[ByteRange], world: IngestWorld
) -> tuple[DatasetItem, ...]:
    rejects: list[bytes] = []
    folders = [_part_folder(job, each) for each in ranges]
    summary = merge_parts(_parts(folders, world), options_of(job, world), rejects.append)
    if summary.ok:
        target = folder_of(job, job.source)
        for each in row_formats(job.spec, job.source.role):
            name = each.file_name
            world.objects.concatenate([f"{part}/{name}" for part in folders], f"{target}/{name}")
    return finish(job, Result.of(job.source.role, summary), rejects, world)


def _parts(folders: Sequence[str], world: IngestWorld) -> Iterator[tuple[Part, bytes]]:
    for folder in folders:
        with (
            world.objects.get(f"{folder}/part") as part,
            world.objects.get(f"{folder}/rejects.jsonl") as rejects,
        ):
            yield Part.from_bytes(part.read()), rejects.read()


def _job(file: BigFile, world: IngestWorld) -> Conversion | None:
    """Return the conversion, unless it is no longer wanted."""
    item = world.store.load(file.experiment_id).datasets.get(file.role)
    spec, _ = present_spec(file.experiment_id, world)
    if item is None or spec is None or not _is_of(item, file):
        return None
    same = data_fingerprint(spec, file.role) == file.fingerprint
    return Conversion(file.experiment_id, spec, (item,)) if same else None


def _is_of(item: DatasetItem, file: BigFile) -> bool:
    wanted = (item.source_key, item.version_id, item.fingerprint)
    same = wanted == (file.source_key, file.version_id, file.fingerprint)
    return same and item.status is DatasetStatus.INGESTING


def _part_folder(job: Conversion, span: ByteRange) -> str:
    return f"parts/{job.experiment_id}/{folder_of(job, job.source).rpartition('/')[2]}/{span.start}"


def _open(job: Conversion, span: ByteRange, world: IngestWorld) -> BinaryIO:
    return world.objects.get(job.source.source_key, job.source.version_id, span)


def _read(job: Conversion, span: ByteRange, world: IngestWorld) -> bytes:
    with _open(job, span, world) as body:
        return body.read()


def _chunks(body: BinaryIO) -> Iterator[bytes]:
    return iter(partial(body.read, CHUNK_BYTES), b"")
