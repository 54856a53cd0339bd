"""A bounded sample of row hashes: finds repeated and contradicting rows, within and across files.

Rows are sampled by their question's hash, so two files keep the same questions (coordinated
sampling: E. Cohen, "Sampling Big Data Sketches", 2023). Up to MAX_ROWS rows all are kept.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from novaloop.datasets.rows.encoded import Questions

MAX_ROWS = 500_000

Answers = npt.NDArray[np.uint32]
NO_ANSWER = 0
"""The hash of the empty text, which stands for an answer where a row has none."""


@dataclass(frozen=True)
class RowSketch:
    """Question hashes in ascending order (uint64) with their answers' hashes (uint32).

    Holds the rows whose question hash is divisible by 2**`sampling_bits`; 0 means every row.
    """

    questions: Questions
    answers: Answers
    sampling_bits: int

    @property
    def exact(self) -> bool:
        """Tell whether no row was left out."""
        return self.sampling_bits == 0

    def distinct_rows(self) -> Questions:
        """Return the hash of each row of the sample, ascending and once."""
        unique: Questions = np.unique(row_hashes(self.questions, self.answers))
        return unique

    def duplicate_rows(self) -> int:
        """Count rows that repeat an earlier one's question and answer; an estimate if sampled."""
        return len(self.questions) - len(self.distinct_rows()) << self.sampling_bits


def row_hashes(questions: Questions, answers: Answers) -> Questions:
    """Return a hash of question and answer of each row."""
    # A product, not a sum: two rows that swap their answers must change the sum of all.
    hashes: Questions = questions * (2 * answers.astype(np.uint64) + 1)
    return hashes


def sampled(questions: Questions, sampling_bits: int) -> npt.NDArray[np.bool_]:
    """Tell which hashes belong to the sample: those divisible by 2**`sampling_bits`."""
    kept: npt.NDArray[np.bool_] = (questions & np.uint64((1 << sampling_bits) - 1)) == 0
    return kept


class RowSketcher:
    """Builds a RowSketch batch by batch, in 12 bytes a row of the sample."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        # Rows beyond `_rows` are unused, and take no memory until then.
        self._questions = np.empty(max_rows, np.uint64)
        self._answers = np.empty(max_rows, np.uint32)
        self._rows = 0
        self._bits = 0

    def update(self, questions: Questions, answers: Answers) -> None:
        """Take in the question and answer hashes of some rows."""
        kept = sampled(questions, self._bits)
        while self._rows + np.count_nonzero(kept) > len(self._questions):
            self._halve()
            kept = sampled(questions, self._bits)
        self._append(questions[kept], answers[kept])

    def absorb(self, other: RowSketch) -> None:
        """Take in the rows of another sketch, as if after those here."""
        while self._bits < other.sampling_bits:
            self._halve()
        self.update(other.questions, other.answers)

    def sketch(self) -> RowSketch:
        """Return the sample taken so far."""
        questions, answers = self._questions[: self._rows], self._answers[: self._rows]
        order = np.argsort(questions, kind="stable")
        return RowSketch(questions[order], answers[order], self._bits)

    def _halve(self) -> None:
        self._bits += 1
        questions, answers = self._questions[: self._rows], self._answers[: self._rows]
        kept = sampled(questions, self._bits)
        self._rows = 0
        self._append(questions[kept], answers[kept])

    def _append(self, questions: Questions, answers: Answers) -> None:
        end = self._rows + len(questions)
        self._questions[self._rows : end] = questions
        self._answers[self._rows : end] = answers
        self._rows = end
