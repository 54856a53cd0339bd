"""What is known about a dataset after one pass over it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from .errors import DatasetRefused
from .histogram import Distribution, Histogram
from .label_leaks import FeatureCounter
from .near_duplicates import SignatureSketcher
from .options import RowFormat
from .profile import DatasetProfile
from .rejects import RejectedRows, RejectLog
from .rows import EncodedRow
from .sketch import RowSketcher

# Nova's tokenizer isn't published; English prose takes about 4.5 bytes a token, code about 3.
BYTES_PER_TOKEN = 3.5
MAX_DISTINCT_ANSWERS = 64
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
    question and answer together.
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

    def __init__(self) -> None:
        self.rows = 0
        self._hash_sum = 0
        self._labels: Counter[str] | None = Counter()
        self._question_bytes = Histogram()
        self._tokens = Histogram()
        self._sketcher = RowSketcher()
        self._signatures = SignatureSketcher()
        self._features = FeatureCounter()
        self._hashes: list[bytes] = []
        self._sizes: list[int] = []
        self._answers: list[str] = []
        self._samples: list[tuple[str, str]] = []

    def add(self, row: EncodedRow) -> None:
        """Take in one accepted row."""
        self.rows += 1
        if self.rows <= SAMPLE_ROWS:
            self._samples.append((_shortened(row.question), _shortened(row.answer)))
        digest = row.question_digest
        self._hashes.append(digest)
        self._sizes.append(len(row.question_json) - 2)
        self._signatures.add(int.from_bytes(digest, "little"), row.question)
        if self._labels is not None:
            self._features.add(row.question, row.answer)
        self._answers.append(row.answer)
        if len(self._answers) == _BATCH_ROWS:
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
        features = {} if labels is None else self._features.counts()
        signatures = self._signatures.sketch()
        return DatasetSummary(
            refusal=refusal,
            rows_in=self.rows + log.rows + log.excluded_rows,
            rows_out=self.rows,
            rows_excluded=log.excluded_rows,
            rejects=log.by_rule,
            outputs=outputs,
            duplicate_rows=sketch.duplicate_rows(),
            question_bytes=self._question_bytes.distribution(),
            tokens=self._tokens.distribution(),
            row_hash_sum=f"{self._hash_sum:016x}",
            profile=DatasetProfile(self.rows, labels, features, sketch, signatures),
            samples=tuple(self._samples),
        )

    def _flush(self) -> None:
        encoded = [answer.encode() for answer in self._answers]
        questions = np.frombuffer(b"".join(self._hashes), np.uint64)
        answers = np.fromiter(map(crc32, encoded), np.uint32, len(encoded))
        # A product, not a sum: two rows that swap their answers must change it.
        row_hashes = questions * (2 * answers.astype(np.uint64) + 1)
        self._hash_sum = (self._hash_sum + int(row_hashes.sum(dtype=np.uint64))) & _WORD
        self._sketcher.update(questions, answers)
        self._question_bytes.update(self._sizes)
        sizes = zip(self._sizes, map(len, encoded), strict=True)
        self._tokens.update(int(sum(each) / BYTES_PER_TOKEN) + 1 for each in sizes)
        self._count_labels()
        self._hashes, self._sizes, self._answers = [], [], []

    def _count_labels(self) -> None:
        if self._labels is None:
            return
        self._labels.update(self._answers)
        longest = max(map(len, self._labels), default=0)
        if len(self._labels) > MAX_DISTINCT_ANSWERS or longest > MAX_ANSWER_CHARS:
            self._labels = None
            self._features = FeatureCounter()


def _shortened(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARS else f"{text[:SAMPLE_CHARS]}…"
