"""One file to several disjoint datasets."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from novaloop.datasets.convert import DatasetWriter, Sink, Source, encoded_rows, require_rows
from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.rejects import RejectedRows, RejectLog
from novaloop.datasets.rows.encoded import EncodedRows


@dataclass(frozen=True)
class Split:
    """Rows by role: counts (int) or fractions (float) of the accepted rows."""

    shares: Mapping[str, int | float]
    seed: int = 0


@dataclass(frozen=True)
class SplitSummary:
    """The result of splitting one file; `datasets` is empty if the file was refused.

    `rows_left_out` were accepted but belong to no role.
    """

    refusal: DatasetRefused | None
    rows_in: int
    rejects: Mapping[str, RejectedRows]
    rows_left_out: int
    datasets: Mapping[str, DatasetSummary]


def convert_split(
    open_source: Callable[[], Source],
    split: Split,
    outputs: Mapping[str, Mapping[RowFormat, Sink]],
    options: DatasetOptions,
    rejects: Sink,
) -> SplitSummary:
    """Read the source twice and write each accepted row to the outputs of at most one role.

    A row's place depends on the seed and its question only, so equal questions never stand in two
    roles, and the order of the file doesn't matter. Memory: 8 bytes for each accepted row.
    """
    formats = tuple(dict.fromkeys(each for role in outputs.values() for each in role))
    log = RejectLog(rejects, options.reject_excerpts, options.wording)
    accepted = 0
    try:
        ranks = array("Q")
        for rows in encoded_rows(open_source(), formats, options, log):
            ranks.extend(_ranks(rows, split.seed))
        accepted = len(ranks)
        require_rows(log, accepted, options)
        plan = _plan(ranks, split)
    except DatasetRefused as refused:
        return SplitSummary(refused, accepted + log.rows, log.by_rule, 0, {})
    datasets = _write(open_source(), plan, outputs, options, split.seed)
    written = sum(each.rows_out for each in datasets.values())
    rows_in = accepted + log.rows
    return SplitSummary(None, rows_in, log.by_rule, accepted - written, datasets)


@dataclass
class _Assignment:
    """Ascending upper ranks, one for each role, and how many rows of that very rank it takes."""

    roles: Sequence[str]
    bounds: Sequence[int]
    quotas: list[int]

    def take(self, rank: int) -> str | None:
        index = bisect_left(self.bounds, rank)
        if index == len(self.bounds):
            return None
        if rank == self.bounds[index]:
            if not self.quotas[index]:
                return None
            self.quotas[index] -= 1
        return self.roles[index]


def _ranks(rows: EncodedRows, seed: int) -> list[int]:
    key = str(seed).encode()[: blake2b.MAX_KEY_SIZE]
    return [
        int.from_bytes(blake2b(json, digest_size=8, key=key).digest(), "big")
        for json in rows.question_jsons
    ]


def _plan(ranks: "array[int]", split: Split) -> _Assignment:
    """Cut the ascending ranks into one run for each role."""
    ordered = np.frombuffer(ranks, dtype=np.uint64)
    ordered.sort()
    total, start = len(ordered), 0
    bounds, quotas = [], []
    for role, share in split.shares.items():
        end = start + _rows(role, share, total, total - start)
        bound = ordered[end - 1]
        bounds.append(int(bound))
        quotas.append(end - max(start, int(np.searchsorted(ordered, bound, "left"))))
        # What is left of a question that the cut goes through belongs to nobody.
        start = int(np.searchsorted(ordered, bound, "right"))
    return _Assignment(list(split.shares), bounds, quotas)


def _rows(role: str, share: float, total: int, available: int) -> int:
    # A fraction may lack the few rows that a cut through repeated questions has cost.
    rows = share if isinstance(share, int) else min(round(share * total), available)
    if rows < 1 or rows > available:
        free = f"{available} of {total} accepted rows are free"
        what = f"`split.{role}: {share}` asks for {rows} rows, but {free}"
        raise DatasetRefused("split", what, "change the split")
    return rows


def _write(
    source: Source,
    plan: _Assignment,
    outputs: Mapping[str, Mapping[RowFormat, Sink]],
    options: DatasetOptions,
    seed: int,
) -> dict[str, DatasetSummary]:
    formats = tuple(dict.fromkeys(each for role in outputs.values() for each in role))
    writers = {role: DatasetWriter(sinks) for role, sinks in outputs.items()}
    picks = {role: [formats.index(each) for each in sinks] for role, sinks in outputs.items()}
    log = RejectLog(lambda _: None)
    for rows in encoded_rows(source, formats, options, log):
        chosen: defaultdict[str, list[int]] = defaultdict(list)
        for row, rank in enumerate(_ranks(rows, seed)):
            if role := plan.take(rank):
                chosen[role].append(row)
        for role, numbers in chosen.items():
            picked = rows.select(numbers)
            lines = [picked.lines[index] for index in picks[role]]
            writers[role].write(replace(picked, lines=lines))
    empty = RejectLog(lambda _: None)
    return {role: writer.close(empty, None) for role, writer in writers.items()}
