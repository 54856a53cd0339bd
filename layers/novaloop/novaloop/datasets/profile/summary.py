"""What is known about a dataset after one pass over it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import RowFormat
from novaloop.datasets.profile.histogram import Distribution, Histogram
from novaloop.datasets.profile.near_duplicates import SignatureSketcher
from novaloop.datasets.profile.profile import MAX_DISTINCT_ANSWERS, DatasetProfile
from novaloop.datasets.profile.sketch import RowSketcher, row_hashes
from novaloop.datasets.reading.text_column import as_seen, utf8_at, utf8_column
from novaloop.datasets.rejects import RejectedRows, RejectLog
from novaloop.datasets.rows.encoded import NO_PAIRS, EncodedRows, Questions
from novaloop.datasets.rows.text_sizes import BYTES_PER_TOKEN

MAX_ANSWER_CHARS = 64
SAMPLE_ROWS = 3
SAMPLE_CHARS = 500
_WORD = (1 << 64) - 1
_BATCH_ROWS = 1_024


@dataclass(frozen=True)
class OutputSummary:
    """One JSONL output."""

    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class DatasetSummary:
    """The result of one pass over a dataset.

    `refusal` is None if the dataset may be used. `row_hash_sum` (16 hexadecimal digits) is the
    sum, modulo 2^64, of a hash of each accepted row's question and answer: equal for equal rows in
    any order. `samples` are the first questions and answers, cut short: dataset text, which must
    not get into a log. `question_bytes` are sizes of the questions as JSON; `tokens` estimates
    the text of a row that a model reads in one go.
    """

    refusal: DatasetRefused | None
    rows_in: int
    rows_out: int
    rows_excluded: int
    rejects: Mapping[str, RejectedRows]
    outputs: Mapping[RowFormat, OutputSummary]
    duplicate_rows: int
    question_bytes: Distribution
    tokens: Distribution
    row_hash_sum: str
    profile: DatasetProfile
    samples: tuple[tuple[str, str], ...]

    @property
    def label_counts(self) -> Mapping[str, int] | None:
        """Rows by answer, most frequent first; None where the answers are free text."""
        return self.profile.label_counts

    @property
    def ok(self) -> bool:
        """Tell whether the dataset may be used."""
        return self.refusal is None


class RowStatistics:
    """Collects what DatasetSummary says about the accepted rows, in bounded memory.

    Rows are taken in by batches, which costs a third of taking them in one by one.
    """

    def __init__(self, has_labels: bool = True) -> None:
        self.rows = 0
        self._pairs = NO_PAIRS
        self._hash_sum = 0
        self._labels: Counter[str] | None = Counter() if has_labels else None
        self._question_bytes = Histogram()
        self._tokens = Histogram()
        self._sketcher = RowSketcher()
        self._signatures = SignatureSketcher()
        self._clear()
        self._samples: list[tuple[str, str]] = []

    def update(self, rows: EncodedRows) -> None:
        """Take in accepted rows."""
        wanted = SAMPLE_ROWS - self.rows
        if wanted > 0:
            pairs = zip(rows.questions[:wanted], rows.answers[:wanted], strict=True)
            self._samples += [
                (_shortened(question), _shortened(answer)) for question, answer in pairs
            ]
        self.rows += len(rows.questions)
        self._pairs += rows.pairs
        answers = utf8_column(rows.answers)
        self._question_hashes.append(rows.question_hashes)
        self._answer_hashes += map(crc32, answers)
        self._question_sizes += [len(json) - 2 for json in rows.question_jsons]
        self._text_sizes += rows.text_sizes
        self._count_labels(rows.answers)
        self._sample(rows)
        if len(self._text_sizes) >= _BATCH_ROWS:
            self._flush()

    def summary(
        self,
        refusal: DatasetRefused | None,
        log: RejectLog,
        outputs: Mapping[RowFormat, OutputSummary],
    ) -> DatasetSummary:
        """Return everything about the rows taken in."""
        self._flush()
        sketch = self._sketcher.sketch()
        labels = None if self._labels is None else dict(self._labels.most_common())
        signatures = self._signatures.sketch()
        tokens = self._tokens.distribution()
        return DatasetSummary(
            refusal=refusal,
            rows_in=self.rows + log.rows + log.excluded_rows,
            rows_out=self.rows,
            rows_excluded=log.excluded_rows,
            rejects=log.by_rule,
            outputs=outputs,
            duplicate_rows=sketch.duplicate_rows(),
            question_bytes=self._question_bytes.distribution(),
            tokens=tokens,
            row_hash_sum=f"{self._hash_sum:016x}",
            profile=DatasetProfile(self.rows, labels, sketch, signatures, tokens, self._pairs),
            samples=tuple(self._samples),
        )

    def _flush(self) -> None:
        questions = np.concatenate([np.empty(0, np.uint64), *self._question_hashes])
        answers = np.array(self._answer_hashes, np.uint32)
        hash_sum = int(row_hashes(questions, answers).sum(dtype=np.uint64))
        self._hash_sum = (self._hash_sum + hash_sum) & _WORD
        self._sketcher.update(questions, answers)
        question_sizes = np.array(self._question_sizes, np.int64)
        sizes = np.array(self._text_sizes, np.int64)
        self._question_bytes.update(question_sizes)
        self._tokens.update((sizes / BYTES_PER_TOKEN).astype(np.int64) + 1)
        self._clear()

    def _clear(self) -> None:
        self._question_hashes: list[Questions] = []
        self._answer_hashes: list[int] = []
        self._question_sizes: list[int] = []
        self._text_sizes: list[int] = []

    def _count_labels(self, answers: Sequence[str]) -> None:
        if self._labels is None:
            return
        self._labels.update(answers)
        longest = max(map(len, answers), default=0)
        if len(self._labels) > MAX_DISTINCT_ANSWERS or longest > MAX_ANSWER_CHARS:
            self._labels = None

    def _sample(self, rows: EncodedRows) -> None:
        """Look closer at some of the rows, chosen by their hash: at those that words alone ask.

        What asks the same words of another image is no near duplicate.
        """
        wanted = self._signatures.wanted(rows.question_hashes)
        wanted = [row for row in wanted if not rows.media[row]]
        texts = [as_seen(utf8_at(rows.questions, row)) for row in wanted]
        self._signatures.add(rows.question_hashes[wanted].tolist(), texts)


def add_hash_sums(one: str, other: str) -> str:
    """Return the `row_hash_sum` of the rows of both."""
    return f"{(int(one, 16) + int(other, 16)) & _WORD:016x}"


def _shortened(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARS else f"{text[:SAMPLE_CHARS]}…"
