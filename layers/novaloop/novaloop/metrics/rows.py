"""What each row scored, kept for the comparison with later stages: compact, without any text."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics import bleu
from novaloop.metrics.pairs import VALUES, PairScores
from novaloop.metrics.registry import (
    GIVEN_SCORE,
    LENIENT_ACCURACY,
    NO_VALID_LABEL,
    STRICT_ACCURACY,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

NO_LABEL = -1
_FIELDS = ("row", "question", "gold", "strict", "lenient", "characters", "values", "bleu")


class RowsError(ValueError):
    """A file of row scores that this version can't read."""


@dataclass(frozen=True, eq=False)
class RowScores:
    """Columns over n rows. `gold`, `strict` and `lenient` index `labels`, or are NO_LABEL.

    keys, questions: (n,) uint64, of a row and of what it asks: rows that ask the same have the same
    question; values: (n, len(VALUES)) float64; bleu: (n, bleu.WIDTH) int64; gold, strict, lenient,
    characters: (n,) int64.
    """

    labels: tuple[str, ...]
    keys: NDArray[np.uint64]
    questions: NDArray[np.uint64]
    values: NDArray[np.float64]
    bleu: NDArray[np.int64]
    gold: NDArray[np.int64]
    strict: NDArray[np.int64]
    lenient: NDArray[np.int64]
    characters: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def evaluation_set(self) -> str:
        """A hash of the rows' prompts and golds that does not depend on their order."""
        return _set_of(self.keys)

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Every per-row metric by name; with labels, also those that the labels tell."""
        columns = dict(zip(VALUES, self.values.T, strict=True))
        if self.labels:
            by_label = {
                STRICT_ACCURACY: self.strict == self.gold,
                LENIENT_ACCURACY: self.lenient == self.gold,
                NO_VALID_LABEL: self.strict == NO_LABEL,
            }
            columns |= {name: found.astype(np.float64) for name, found in by_label.items()}
        return columns

    def by_key(self) -> RowScores:
        """The same rows in the order of their keys."""
        order = np.argsort(self.keys)
        per_row = {name: column[order] for name, column in vars(self).items() if name != "labels"}
        return RowScores(self.labels, **per_row)

    @staticmethod
    def are_in(header: bytes) -> bool:
        """Whether a file that begins with this line is what `to_lines` writes."""
        try:
            fields = json.loads(header)
        except (ValueError, RecursionError):
            return False
        return isinstance(fields, dict) and fields.keys() == {"labels", "metrics"}

    def to_lines(self) -> Iterator[bytes]:
        """As JSON lines: the labels and metric names, then a row each."""
        yield _line({"labels": self.labels, "metrics": VALUES})
        columns = zip(
            *(map(row_name, each.tolist()) for each in (self.keys, self.questions)),
            *(column.tolist() for column in (self.gold, self.strict, self.lenient)),
            *(self.characters.tolist(), self.values.tolist(), self.bleu.tolist()),
            strict=True,
        )
        for row in columns:
            yield _line(dict(zip(_FIELDS, row, strict=True)))

    @classmethod
    def from_lines(cls, lines: Iterable[bytes]) -> RowScores:
        """Read what `to_lines` wrote; raises RowsError."""
        documents = map(json.loads, lines)
        try:
            header = next(documents)
            builder = RowScoresBuilder(header["labels"])
            same_metrics = tuple(header["metrics"]) == VALUES
            for row in documents if same_metrics else ():
                row.setdefault("question", row["row"])
                # Release 0.1.0 did not write what a row asks: there, all are taken for different.
                name, question, gold, strict, lenient, characters, values, statistics = (
                    row[field] for field in _FIELDS
                )
                pair = PairScores(tuple(values), tuple(statistics))
                keys = int(name, 16), int(question, 16)
                builder.add(keys, pair, (gold, strict, lenient), characters)
        except (StopIteration, KeyError, TypeError, ValueError, OverflowError) as error:
            raise RowsError(f"the row scores are damaged: {type(error).__name__}") from error
        if not same_metrics:
            raise RowsError("the row scores hold other metrics; score that stage again")
        return builder.build()


@dataclass(frozen=True, eq=False)
class GivenScores:
    """A score for each of n rows that was measured elsewhere, by whatever.

    keys, questions: (n,) uint64, as `RowScores` has them; scores: (n,) float64, finite.
    """

    keys: NDArray[np.uint64]
    questions: NDArray[np.uint64]
    scores: NDArray[np.float64]
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def evaluation_set(self) -> str:
        """A hash of the rows that does not depend on their order."""
        return _set_of(self.keys)

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The score, by its metric's name."""
        return {GIVEN_SCORE: self.scores}

    def by_key(self) -> GivenScores:
        """The same rows in the order of their keys."""
        order = np.argsort(self.keys)
        return GivenScores(self.keys[order], self.questions[order], self.scores[order])


def _set_of(keys: NDArray[np.uint64]) -> str:
    return hashlib.sha256(np.sort(keys).astype("<u8").tobytes()).hexdigest()


class RowScoresBuilder:
    """Collects rows into columns, about 180 bytes a row."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._keys = array("Q")
        self._questions = array("Q")
        self._values = array("d")
        self._bleu = array("q")
        self._labelled = array("q")
        self._characters = array("q")

    def add(
        self,
        keys: tuple[int, int],
        pair: PairScores,
        labelled: tuple[int, int, int],
        characters: int,
    ) -> None:
        """Add a row.

        keys: of the row and of its question. labelled: the gold, strict and lenient label's index.
        """
        if len(pair.values) != len(VALUES) or len(pair.bleu) != bleu.WIDTH:
            raise RowsError("a row holds too many or too few numbers")
        self._keys.append(keys[0])
        self._questions.append(keys[1])
        self._values.extend(pair.values)
        self._bleu.extend(pair.bleu)
        self._labelled.extend(labelled)
        self._characters.append(characters)

    def build(self) -> RowScores:
        """The rows added so far."""
        n = len(self._keys)
        gold, strict, lenient = np.array(self._labelled, dtype=np.int64).reshape(n, 3).T
        return RowScores(
            labels=self._labels,
            keys=np.array(self._keys, dtype=np.uint64),
            questions=np.array(self._questions, dtype=np.uint64),
            values=np.array(self._values, dtype=np.float64).reshape(n, len(VALUES)),
            bleu=np.array(self._bleu, dtype=np.int64).reshape(n, bleu.WIDTH),
            gold=gold,
            strict=strict,
            lenient=lenient,
            characters=np.array(self._characters, dtype=np.int64),
        )


def row_name(key: int) -> str:
    """A row's key as it is written."""
    return f"{key:016x}"


def _line(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
