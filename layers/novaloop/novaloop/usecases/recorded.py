"""Answers that were recorded: from their file to lines as those that an evaluation job writes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO

from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import RowFormat, SourceFormat
from novaloop.datasets.reading.decoding import read_lines, read_text
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import recorded_files
from novaloop.experiment.spec.stages import Role
from novaloop.metrics.inferences import InferenceError
from novaloop.metrics.recorded import FIELDS, Recorded, lay_beside, read_recorded
from novaloop.problem import Problem
from novaloop.usecases.conversion import JSON_LINES, Conversion, IngestWorld, folder_of
from novaloop.usecases.plain_rows import csv_rows, json_rows
from novaloop.usecases.ports import Objects

MAX_BYTES = 32 << 20
"""Of a file, packed or not: its answers are held at once."""
RECORDED = "recorded"
"""The output of a dataset of recorded answers."""


def convert_recorded(job: Conversion, world: IngestWorld) -> tuple[DatasetItem, ...]:
    """Read a file of recorded answers and return its finished item.

    Whether they are those to the evaluation rows is checked once these are there.
    """
    item = replace(job.source, updated_at=world.clock.now())
    try:
        with world.objects.get(item.source_key, item.version_id) as body:
            recorded = read_recorded(list(_rows(body, item.source_key, job.spec)))
    except DatasetRefused as refused:
        return (replace(item, status=DatasetStatus.REJECTED, reason=world.wording.told(refused)),)
    except InferenceError as error:
        return (replace(item, status=DatasetStatus.REJECTED, reason=str(error)),)
    key, content = f"{folder_of(job, item)}/{RECORDED}.jsonl", b"".join(recorded.to_lines())
    world.objects.put(key, content, JSON_LINES)
    done = replace(
        item,
        status=DatasetStatus.ACCEPTED,
        reason="",
        rows=len(recorded.lines),
        sha256=hashlib.sha256(content).hexdigest(),
        outputs={RECORDED: key},
    )
    return (done,)


def _rows(
    body: BinaryIO, key: str, spec: ExperimentSpec
) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield the FIELDS of each row.

    What the settings call the column of ids, or of questions, is looked for, too. Not that of the
    answers: there, a row may repeat the reference.
    """
    content = _text(body, spec.encoding)
    if SourceFormat.of(key) is SourceFormat.JSONL:
        rows = json_rows(map(str.encode, read_lines(content)))
    else:
        _, rows = csv_rows(content, None, spec.delimiter)
    names = {"id": spec.columns.get("id"), "question": spec.columns.get("question")}
    for line, row in rows:
        columns = {each: each if each in row else names.get(each) for each in FIELDS}
        found = {each: name for each, name in columns.items() if name is not None and name in row}
        yield line, {each: row[name] for each, name in found.items()}


def _text(body: BinaryIO, encoding: str | None) -> io.BytesIO:
    """Return the file unpacked, in UTF-8."""
    content = io.BytesIO()
    for block in read_text(body, encoding):
        if content.tell() + len(block.utf8) > MAX_BYTES:
            what = f"the file has more than {MAX_BYTES:,} bytes of recorded answers"
            raise DatasetRefused("size", what, "evaluate on fewer rows")
        content.write(block.utf8)
    content.seek(0)
    return content


def check_recorded(
    items: Mapping[str, DatasetItem], spec: ExperimentSpec, objects: Objects
) -> Iterator[Problem]:
    """Yield what keeps recorded answers from being laid beside the evaluation rows, if it does."""
    for role in recorded_files(spec):
        try:
            laid_beside(items[Role.EVAL].outputs, items[role].outputs, objects)
        except InferenceError as error:
            yield Problem(items[role].file, str(error), "then upload it again")


def laid_beside(
    evaluation: Mapping[str, str], recorded: Mapping[str, str], objects: Objects
) -> tuple[list[bytes], int]:
    """Lay answers beside the evaluation rows; both by the keys of their outputs.

    Return the lines, and how many answers are none of them. Raises InferenceError, ObjectMissing.
    """
    with (
        objects.get(recorded[RECORDED]) as answers,
        objects.get(evaluation[RowFormat.REFERENCE]) as rows,
    ):
        return lay_beside(read_lines(rows), Recorded.from_lines(read_lines(answers)))
