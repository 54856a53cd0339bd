"""A bounded sample of row hashes: finds repeated and contradicting rows, within and across files.

Rows are sampled by their question's hash, so two files keep the same questions (coordinated
sampling: E. Cohen, "Sampling Big Data Sketches", 2023). Up to MAX_ROWS rows all are kept.
"""

from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_ROWS = 500_000

Questions = npt.NDArray[np.uint64]
Answers = npt.NDArray[np.uint32]


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

    def duplicate_rows(self) -> int:
        """Count rows that repeat an earlier one's question and answer; an estimate if sampled."""
        order = np.lexsort((self.answers, self.questions))
        questions, answers = self.questions[order], self.answers[order]
        same = (questions[1:] == questions[:-1]) & (answers[1:] == answers[:-1])
        return int(np.count_nonzero(same)) << self.sampling_bits


class RowSketcher:
    """Builds a RowSketch batch by batch."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._questions = array("Q")
        self._answers = array("I")
        self._bits = 0

    def update(self, questions: Questions, answers: Answers) -> None:
        """Take in the question and answer hashes of some rows."""
        kept = self._sampled(questions)
        self._questions.frombytes(questions[kept].tobytes())
        self._answers.frombytes(answers[kept].tobytes())
        while len(self._questions) > self._max_rows:
            self._halve()

    def absorb(self, other: RowSketch) -> None:
        """Take in the rows of another sketch, as if after those here."""
        while self._bits < other.sampling_bits:
            self._halve()
        self.update(other.questions, other.answers)

    def sketch(self) -> RowSketch:
        """Return the sample taken so far."""
        questions, answers = self._arrays()
        order = np.argsort(questions, kind="stable")
        return RowSketch(questions[order], answers[order], self._bits)

    def _arrays(self) -> tuple[Questions, Answers]:
        # Copies: an array can't grow while NumPy looks into it.
        return np.array(self._questions, np.uint64), np.array(self._answers, np.uint32)

    def _sampled(self, questions: Questions) -> npt.NDArray[np.bool_]:
        kept: npt.NDArray[np.bool_] = (questions & np.uint64((1 << self._bits) - 1)) == 0
        return kept

    def _halve(self) -> None:
        self._bits += 1
        questions, answers = self._arrays()
        kept = self._sampled(questions)
        self._questions = array("Q", questions[kept].tobytes())
        self._answers = array("I", answers[kept].tobytes())
