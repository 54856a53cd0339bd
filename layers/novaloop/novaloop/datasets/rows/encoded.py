"""What every kind of input row becomes.

Rows travel in small batches: most of the work on one is then done by C loops over a column.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import add
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from novaloop.datasets.reading.text_column import as_seen
from novaloop.datasets.rows.columns import FieldColumns

Questions = npt.NDArray[np.uint64]
"""Hashes of questions, by which they are compared and sampled: (n,) uint64."""


def media_key(media: Iterable[bytes]) -> bytes:
    """Return what tells the media of one question from others: 16 bytes, since an image may stand
    in a row with all its megabytes; empty for no media."""
    encoded = b"".join(media)
    return xxh3_128_digest(encoded) if encoded else b""


class RewardedPairs(NamedTuple):
    """Of how many pairs of unlike references one was tried as the other's answer, and was right."""

    tried: int = 0
    earned: int = 0

    def __add__(self, other: object) -> "RewardedPairs":
        """Return the pairs of both."""
        if not isinstance(other, RewardedPairs):
            return NotImplemented
        return RewardedPairs(self.tried + other.tried, self.earned + other.earned)


NO_PAIRS = RewardedPairs()


@dataclass(frozen=True)
class EncodedRows:
    """Accepted rows: their lines by wanted format, and what the statistics need.

    A question is all that a model reads before it answers, but the system's text. `question_jsons`
    are the questions once more, as JSON; `media` tell apart what is no text of them, such as an
    image's place: empty where there is none. `answers` are texts or, for structured reference
    answers, their JSON; `text_sizes` are the bytes of text that a model reads in one go;
    `pairs` says what the reward makes of another row's reference.
    """

    lines: Sequence[Sequence[bytes]]
    questions: Sequence[str]
    question_jsons: Sequence[bytes]
    media: Sequence[bytes]
    answers: Sequence[str]
    text_sizes: Sequence[int]
    pairs: RewardedPairs = NO_PAIRS

    @cached_property
    def question_hashes(self) -> Questions:
        """The hashes by which questions are compared and sampled."""
        hashes = map(xxh3_64_intdigest, self.question_keys())
        return np.fromiter(hashes, np.uint64, len(self.question_jsons))

    def question_keys(self) -> Iterator[bytes]:
        """Yield for each question what is equal for the same question alone, as it is seen."""
        return map(add, map(as_seen, self.question_jsons), self.media)

    def select(self, rows: Sequence[int]) -> "EncodedRows":
        """Return some of the rows."""
        return EncodedRows(
            [[lines[row] for row in rows] for lines in self.lines],
            [self.questions[row] for row in rows],
            [self.question_jsons[row] for row in rows],
            [self.media[row] for row in rows],
            [self.answers[row] for row in rows],
            [self.text_sizes[row] for row in rows],
            self.pairs,
        )


def join_rows(rows: Sequence[EncodedRows]) -> EncodedRows:
    """Return single rows as one batch."""
    return EncodedRows(
        [[line for (line,) in lines] for lines in zip(*(row.lines for row in rows), strict=True)],
        [row.questions[0] for row in rows],
        [row.question_jsons[0] for row in rows],
        [row.media[0] for row in rows],
        [row.answers[0] for row in rows],
        [row.text_sizes[0] for row in rows],
        sum((row.pairs for row in rows), NO_PAIRS),
    )


@dataclass(frozen=True)
class RowReader:
    """The rows of an open file, in batches of consecutive rows with the line of the first.

    `encode` takes any slice of a batch and raises RowRejected if one of its rows is bad;
    `count_lines` tells how many lines it takes. Without `columns` the rows are formatted already.
    """

    batches: Iterator[tuple[int, Any]]
    encode: Callable[[Any], EncodedRows]
    count_lines: Callable[[Any], int]
    columns: FieldColumns | None = None

    def column(self, field: str | None) -> str | None:
        """Return the user's name for a field or, in a formatted row, its path."""
        return self.columns.column(field) if self.columns else field
