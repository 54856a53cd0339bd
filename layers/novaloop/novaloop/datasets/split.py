"""One file to several disjoint datasets."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from novaloop.datasets.convert import (
    DatasetWriter,
    PlacedRows,
    RowPlace,
    Sink,
    Source,
    encoded_rows,
    placed_rows,
    require_rows,
)
from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.profile.checks import EVALUATION_ROLE
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.rejects import RejectedRows, RejectLog
from novaloop.datasets.rows.encoded import EncodedRows

RANK_BITS = 63
LOOKED_AT = 1 << 16
"""In how many of the next rows questions are looked for that fill up a role."""

Ranks = npt.NDArray[np.uint64]
"""Numbers below 2**RANK_BITS, one for each question of a file with one seed."""


@dataclass(frozen=True)
class Split:
    """Rows by role: counts (int) or fractions (float) of the accepted rows."""

    shares: Mapping[str, int | float]
    seed: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether the shares are counts, so that a question may be cut short to meet them."""
        return all(isinstance(share, int) for share in self.shares.values())


@dataclass(frozen=True)
class SplitSummary:
    """The result of splitting one file; `datasets` is empty if the file was refused.

    `rows_asked` is by role. `rows_left_out` were accepted but belong to no role.
    """

    refusal: DatasetRefused | None
    rows_in: int
    rejects: Mapping[str, RejectedRows]
    rows_left_out: int
    rows_asked: Mapping[str, int]
    datasets: Mapping[str, DatasetSummary]


def convert_split(
    open_source: Callable[[], Source],
    split: Split,
    outputs: Mapping[str, Mapping[RowFormat, Sink]],
    options: DatasetOptions,
    rejects: Sink,
) -> SplitSummary:
    """Read the source twice and write each accepted row to the outputs of at most one role.

    A row's place depends on the seed and the questions of the file only, so equal questions never
    stand in two roles, and the order of the file doesn't matter. Fractions may be missed by some
    rows, so that equal questions stay together; counts are met, and what they leave of a question
    belongs to no role. Each of the `labels` stands in the evaluation set if two questions have it.
    Memory: 8 bytes for each accepted row, 16 with labels.
    """
    formats = tuple(dict.fromkeys(each for role in outputs.values() for each in role))
    log = RejectLog(rejects, options.reject_excerpts, options.wording)
    ranks = array("Q")
    try:
        batches = encoded_rows(open_source(), formats, options, log)
        plan, asked = _assign(batches, split, options, log, ranks)
    except DatasetRefused as refused:
        return SplitSummary(refused, len(ranks) + log.rows, log.by_rule, 0, {}, {})
    datasets = _write(open_source(), plan, outputs, options, split.seed)
    written = sum(each.rows_out for each in datasets.values())
    rows_in = len(ranks) + log.rows
    return SplitSummary(None, rows_in, log.by_rule, len(ranks) - written, asked, datasets)


@dataclass
class _Assignment:
    """The place of each rank: an index of `roles`, or len(roles) for no role.

    A role has the ranks below its end that no role before it has. `moved` are the places of ranks
    for which that does not hold, `quotas` how many more rows of a rank there is a place for.
    """

    roles: Sequence[str]
    ends: list[int] = field(default_factory=list)
    moved: dict[int, int] = field(default_factory=dict)
    quotas: dict[int, int] = field(default_factory=dict)

    def place(self, rank: int) -> int:
        place = self.moved.get(rank)
        return bisect_right(self.ends, rank) if place is None else place

    def places(self, ranks: Ranks) -> npt.NDArray[np.intp]:
        """Return the places of ascending ranks."""
        places = np.searchsorted(np.array(self.ends, np.uint64), ranks, "right")
        moved = np.fromiter(self.moved, np.uint64, len(self.moved))
        at = np.searchsorted(ranks, moved)
        for index, rank in zip(at.tolist(), self.moved, strict=True):
            if index < len(ranks) and ranks[index] == rank:
                places[index : np.searchsorted(ranks, np.uint64(rank), "right")] = self.moved[rank]
        return places

    def take(self, rank: int) -> str | None:
        """Return the role of the next row of a rank."""
        place = self.place(rank)
        if rank in self.quotas:
            self.quotas[rank] -= 1
            if self.quotas[rank] < 0:
                return None
        return self.roles[place] if place < len(self.roles) else None


def placed_rows_of(
    role: str,
    open_source: Callable[[], Source],
    split: Split,
    *,
    formats: Mapping[str, Sequence[RowFormat]],
    options: DatasetOptions,
    log: RejectLog,
    divided_by: DatasetOptions,
) -> Iterator[PlacedRows]:
    """As placed_rows, of the rows alone that convert_split with `divided_by` gives to a role.

    `formats` are those of all roles. Where convert_split would refuse the file for its rows, they
    are divided without those that can't be read. Raises DatasetRefused.
    """
    every = tuple(dict.fromkeys(each for its in formats.values() for each in its))
    lenient = replace(options, max_rejects=sys.maxsize)
    for read_by in (divided_by, lenient):
        try:
            unlogged = RejectLog(lambda _: None)
            batches = encoded_rows(open_source(), every, read_by, unlogged)
            plan, _ = _assign(batches, split, read_by, unlogged, array("Q"))
            break
        except DatasetRefused:
            if read_by is lenient:
                raise
    picks = [every.index(each) for each in formats[role]]
    for rows, place in placed_rows(open_source(), every, options, log):
        taken = [plan.take(rank) == role for rank in _ranks(rows, split.seed)]
        if any(taken):
            indexes = [index for index, its in enumerate(taken) if its]
            picked = rows.select(indexes)
            lines = [picked.lines[index] for index in picks]
            yield replace(picked, lines=lines), partial(_place_of, place, indexes)


def _place_of(place: Callable[[int], RowPlace], indexes: Sequence[int], index: int) -> RowPlace:
    return place(indexes[index])


def _assign(
    batches: Iterator[EncodedRows],
    split: Split,
    options: DatasetOptions,
    log: RejectLog,
    ranks: array[int],
) -> tuple[_Assignment, dict[str, int]]:
    """Read all rows; return where each belongs, and how many each role asks for.

    `ranks` is filled with those of the accepted rows, also where DatasetRefused is raised.
    """
    by_label = {label: array("Q") for label in options.labels}
    for rows in batches:
        found = _ranks(rows, split.seed)
        ranks.extend(found)
        if by_label:
            for rank, answer in zip(found, rows.answers, strict=True):
                if answer in by_label:
                    by_label[answer].append(rank)
    require_rows(log, len(ranks), options)
    asked = _rows_asked(split, len(ranks))
    plan = _plan(np.frombuffer(ranks, np.uint64), asked, is_exact=split.is_exact)
    if EVALUATION_ROLE in asked:
        labels = [np.frombuffer(each, np.uint64) for each in by_label.values() if each]
        _evaluate_each(labels, plan, is_exact=split.is_exact)
    return plan, asked


def _ranks(rows: EncodedRows, seed: int) -> list[int]:
    key = str(seed).encode()[: blake2b.MAX_KEY_SIZE]
    return [
        int.from_bytes(blake2b(each, digest_size=8, key=key).digest(), "big") >> 64 - RANK_BITS
        for each in rows.question_keys()
    ]


def _rows_asked(split: Split, total: int) -> dict[str, int]:
    asked: dict[str, int] = {}
    for role, share in split.shares.items():
        free = total - sum(asked.values())
        rows = share if isinstance(share, int) else min(round(share * total), free)
        if rows < 1 or rows > free:
            what = f"`split.{role}: {share}` asks for {rows} rows, but {free} of {total} accepted"
            raise DatasetRefused("split", f"{what} rows are free", "change the split")
        asked[role] = rows
    return asked


def _plan(ordered: Ranks, asked: Mapping[str, int], *, is_exact: bool) -> _Assignment:
    """Sort the ranks, in place, and cut them into one run for each role, between two questions.

    A question with more rows than the smallest role asks for goes where most rows are wanted,
    before all others: it would fall into any role, and leave no place for what belongs there.
    Raises DatasetRefused where the rows of questions don't fit.
    """
    ordered.sort()
    roles, least = list(asked), min(asked.values())
    plan, nobody = _Assignment(roles), len(roles)
    room = [*asked.values(), len(ordered) - sum(asked.values())]
    has_more = ordered[least:] == ordered[:-least]
    large, sizes = np.unique(ordered[least:][has_more], return_counts=True)
    spare: list[tuple[int, int]] = []
    for index in np.argsort(-sizes, kind="stable"):
        rank, size = int(large[index]), int(sizes[index]) + least
        place = max(range(len(room)), key=room.__getitem__)
        if is_exact and room[place] < size:
            plan.moved[rank] = nobody
            spare.append((rank, size))
        else:
            plan.moved[rank] = place
            room[place] -= size
    if len(large):
        ordered = ordered[~np.isin(ordered, large)]
    start = 0
    for place, role in enumerate(roles):
        wanted = max(room[place], 0)
        if place == nobody - 1 and not is_exact:
            # What others could not take without parting a question is not lost.
            wanted = max(len(ordered) - start - max(room[nobody], 0), 0)
        start, taken = _run(
            plan, ordered, start, wanted, place=place, most=least, is_exact=is_exact
        )
        plan.ends.append(int(ordered[start]) if start < len(ordered) else 1 << RANK_BITS)
        missing = room[place] - taken
        while is_exact and missing and spare:
            rank, size = spare.pop()
            plan.moved[rank], plan.quotas[rank] = place, min(size, missing)
            missing -= plan.quotas[rank]
        # A fraction is missed by a part of a question; by more than half, nobody meant it.
        if missing > (0 if is_exact else asked[role] // 2):
            what = f"`split.{role}` asks for {asked[role]} rows, but equal questions stay together"
            what += f", which leaves {asked[role] - missing} for it"
            raise DatasetRefused("split", what, "change the split, or remove repeated questions")
    return plan


def _run(
    plan: _Assignment,
    ordered: Ranks,
    start: int,
    rows: int,
    *,
    place: int,
    most: int,
    is_exact: bool,
) -> tuple[int, int]:
    """Give a role the next `rows` rows; return where the next run starts, and how many it got.

    Where that parts a question, of up to `most` rows, later questions fill its place; where they
    don't, it is cut short for a count, and stands as a whole on its nearer side for a fraction.
    """
    end = min(start + rows, len(ordered))
    if end in {start, len(ordered)} or ordered[end - 1] != ordered[end]:
        return end, end - start
    parted = ordered[end]
    first = end - int(np.count_nonzero(ordered[max(start, end - most) : end] == parted))
    after = end + int(np.count_nonzero(ordered[end : end + most] == parted))
    following = ordered[after : after + LOOKED_AT]
    starts = np.flatnonzero(np.append(True, following[1:] != following[:-1])[: len(following)])
    if after + len(following) == len(ordered):
        starts = np.append(starts, len(following))  # else the last may go on beyond what is seen
    missing, filling = end - first, np.zeros(len(following), bool)
    for at, size in zip(starts[:-1].tolist(), np.diff(starts).tolist(), strict=True):
        if size <= missing:
            filling[at : at + size] = True
            plan.moved[int(following[at])] = place
            missing -= size
    part = ordered[first : after + len(following)]
    fills = np.append(np.zeros(after - first, bool), filling)
    part[:] = np.concatenate([part[fills], part[~fills]])
    end -= missing
    if missing and is_exact:
        plan.moved[int(parted)], plan.quotas[int(parted)] = place, missing
        return end + after - first, end + missing - start
    if 2 * missing >= after - first:
        end += after - first
    return end, end - start


def _evaluate_each(labels: Sequence[Ranks], plan: _Assignment, *, is_exact: bool) -> None:
    """Give the evaluation set a question of each label that it lacks, for one of the commonest.

    `labels` are the ranks of each label's rows, which are sorted in place. A label with one
    question has none to spare for it, nor has one whose questions are too long for counts.
    """
    evaluation = plan.roles.index(EVALUATION_ROLE)
    for ranks in labels:
        ranks.sort()
    for ranks in labels:
        questions, sizes = np.unique(ranks, return_counts=True)
        places = plan.places(questions)
        if evaluation in places:
            continue
        found = [(each, plan.places(each)) for each in map(np.unique, labels)]
        common = max((each[at == evaluation] for each, at in found), key=len)
        several = np.concatenate([each for each, _ in found])
        several.sort()
        # Of a question with several labels, and of one cut short, other rows would move as well.
        fixed = [*plan.quotas, *several[1:][several[1:] == several[:-1]].tolist()]
        free = ~np.isin(questions, np.array(fixed, np.uint64))
        common = common[~np.isin(common, np.array(fixed, np.uint64))]
        if len(questions) < 2 or len(common) < 2 or not free.any():
            continue
        spare = np.bincount(places, minlength=len(plan.roles) + 1)[places]
        index = np.lexsort((questions, -spare, sizes, ~free))[0]
        lengths = sum(
            np.searchsorted(each, common, "right") - np.searchsorted(each, common)
            for each in labels
        )
        nearest = np.lexsort((common, np.abs(lengths - sizes[index])))[0]
        if is_exact and lengths[nearest] != sizes[index]:
            continue
        plan.moved[int(questions[index])] = evaluation
        plan.moved[int(common[nearest])] = int(places[index])


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
