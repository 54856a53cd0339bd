"""What is known about a dataset after one pass over it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from zlib import crc32

from .errors import DatasetRefused
from .histogram import Distribution, Histogram
from .options import RowFormat
from .rejects import RejectedRows
from .rows import EncodedRow
from .sketch import RowSketch, RowSketcher

# Nova's tokenizer isn't published; English prose takes about 4.5 bytes a token, code about 3.
BYTES_PER_TOKEN = 3.5
MAX_DISTINCT_ANSWERS = 64
MAX_ANSWER_CHARS = 64
_WORD = (1 << 64) - 1


@dataclass(frozen=True)
class OutputSummary:
    """One JSONL output."""

    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class DatasetSummary:
    """The result of one pass over a dataset.

    `refusal` is None if the dataset may be used. `label_counts` is None where answers are free
    text. `row_hash_sum` (16 hexadecimal digits) is the sum, modulo 2^64, of a hash of each accepted
    row's question and answer: equal for equal rows in any order. `question_bytes` are sizes of the
    questions in UTF-8; `tokens` estimates question and answer together.
    """

    refusal: DatasetRefused | None
    rows_in: int
    rows_out: int
    rejects: Mapping[str, RejectedRows]
    outputs: Mapping[RowFormat, OutputSummary]
    label_counts: Mapping[str, int] | None
    duplicate_rows: int
    question_bytes: Distribution
    tokens: Distribution
    row_hash_sum: str
    sketch: RowSketch

    @property
    def ok(self) -> bool:
        """Tell whether the dataset may be used."""
        return self.refusal is None


def question_hash(question: bytes) -> int:
    """Return the 64-bit hash by which questions are compared, sampled and split."""
    return int.from_bytes(blake2b(question, digest_size=8).digest(), "little")


class RowStatistics:
    """Collects what DatasetSummary says about the accepted rows, in bounded memory."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash_sum = 0
        self._labels: Counter[str] | None = Counter()
        self.question_bytes = Histogram()
        self.tokens = Histogram()
        self._sketcher = RowSketcher()

    def add(self, row: EncodedRow) -> None:
        """Take in one accepted row."""
        answer = row.answer.encode()
        question_key, answer_key = question_hash(row.question), crc32(answer)
        self.rows += 1
        # A product, not a sum: two rows that swap their answers must change it.
        self._hash_sum = (self._hash_sum + question_key * (2 * answer_key + 1)) & _WORD
        self._sketcher.add(question_key, answer_key)
        size = len(row.question) - 2
        self.question_bytes.add(size)
        self.tokens.add(int((size + len(answer)) / BYTES_PER_TOKEN) + 1)
        if self._labels is not None:
            self._count_label(row.answer)

    @property
    def label_counts(self) -> dict[str, int] | None:
        """Rows by answer, most frequent first; None for free text."""
        return None if self._labels is None else dict(self._labels.most_common())

    @property
    def row_hash_sum(self) -> str:
        """The order-free sum of row hashes, 16 hexadecimal digits."""
        return f"{self._hash_sum:016x}"

    def sketch(self) -> RowSketch:
        """Return the sample of row hashes."""
        return self._sketcher.sketch()

    def _count_label(self, answer: str) -> None:
        labels = self._labels
        if labels is None:
            return
        labels[answer] += 1
        if len(labels) > MAX_DISTINCT_ANSWERS or len(answer) > MAX_ANSWER_CHARS:
            self._labels = None
