"""What a cleanup leaves: the models that the attempts at an experiment's trainings wrote."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from novaloop.cloud.objects import Bucket
from novaloop.experiment.names import job_name
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.experiment.stack import jobs_prefix
from novaloop.metrics.archive import ArchiveError, checkpoint_of, is_wanted
from novaloop.usecases.outputs import ARCHIVE, find_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from novaloop.experiment.record import Record
    from novaloop_cli.stack import Stack


def kept(stack: Stack, record: Record) -> Iterator[str]:
    """Yield a line for each model that an attempt wrote, and one for where others may be.

    A record knows the last attempts' alone. What the earlier ones wrote, their output tells; an
    attempt that was stopped or lost may have left a checkpoint that no output tells of.
    """
    trainings = [s for s in record.stages if s.kind.trains]
    names = {
        (stage.name, attempt): job_name(
            record.prefix, record.experiment_id, record.uid, stage.name, attempt
        )
        for stage in trainings
        for attempt in range(1, stage.attempt.number + 1)
        if attempt < stage.attempt.number or stage.attempt.job_name
    }
    found = {(s.name, s.attempt.number): s.checkpoint for s in trainings if s.checkpoint}
    if record.spec.runtime.leaves_manifest:
        found |= _told_by_outputs(stack, record, names)
    for (stage, attempt), name in names.items():
        if checkpoint := found.get((stage, attempt)):
            yield f"kept: the checkpoint of {stage}, attempt {attempt} ({name}): {checkpoint}"
    unknown = [name for key, name in names.items() if key not in found]
    if unknown:
        where = runtime_of(record.spec).whereabouts(record, unknown)
        yield f"What other attempts wrote, if anything, is {where}."


def _told_by_outputs(
    stack: Stack, record: Record, names: dict[tuple[str, int], str]
) -> dict[tuple[str, int], str]:
    """Read the checkpoints from what the jobs left; most attempts that were lost left nothing."""
    bucket, prefix = Bucket(stack.s3, stack.bucket), f"{jobs_prefix(record.experiment_id)}/"
    left = {
        key.removeprefix(prefix).partition("/")[0]
        for key, _ in bucket.uploads(prefix)
        if posixpath.basename(key) == ARCHIVE or is_wanted(key)
    }
    found: dict[tuple[str, int], str] = {}
    for attempt, name in names.items():
        if name in left:
            try:
                found[attempt] = checkpoint_of(find_output(bucket, f"{prefix}{name}/"))
            except ArchiveError:
                continue
    return found
