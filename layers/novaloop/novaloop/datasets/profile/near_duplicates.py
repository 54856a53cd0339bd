"""MinHash signatures of questions: which ones are almost the same, in bounded memory.

A. Broder, "On the resemblance and containment of documents", 1997; banding as in J. Leskovec,
A. Rajaraman, J. Ullman, "Mining of Massive Datasets", section 3.4.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import add

import numpy as np
import numpy.typing as npt
from rensa import RMinHash  # type: ignore[import-untyped]

from novaloop.datasets.profile.label_leaks import FEATURES, Features, features_of
from novaloop.datasets.profile.sketch import sampled
from novaloop.datasets.rows.encoded import Questions

MAX_ROWS = 20_000
PERMUTATIONS = 64
SIMILARITY = 0.8
# Questions are compared by their beginnings, so that a sketcher holds 20 MB.
SIGNED_BYTES = 1_000
# Sixteen bands of four find a pair of similarity 0.8 in all but 0.02 % of cases.
_BAND_VALUES = 4
_SEED = 1
_MIN_WORDS = 8
_BATCH_ROWS = 256

Signatures = npt.NDArray[np.uint32]
_Bands = dict[tuple[int, bytes], list[int]]


@dataclass(frozen=True)
class SignatureSketch:
    """Signatures (uint32, one row of PERMUTATIONS for each distinct question hash) and features.

    Holds the rows whose question hash is divisible by 2**`sampling_bits`; 0 means every row.
    """

    questions: Questions
    signatures: Signatures
    features: Features
    sampling_bits: int

    def joined(self, other: "SignatureSketch", max_rows: int = MAX_ROWS) -> "SignatureSketch":
        """Return the sample that one sketcher would have taken of both."""
        questions = np.concatenate([self.questions, other.questions])
        signatures = np.concatenate([self.signatures, other.signatures])
        features = np.concatenate([self.features, other.features])
        bits = max(self.sampling_bits, other.sampling_bits)
        # A repeated question keeps its first place.
        kept = np.sort(np.unique(questions, return_index=True)[1])
        kept = kept[sampled(questions[kept], bits)]
        while len(kept) > max_rows:
            bits += 1
            kept = kept[sampled(questions[kept], bits)]
        return SignatureSketch(questions[kept], signatures[kept], features[kept], bits)

    def near(self, others: "SignatureSketch") -> Questions:
        """Return the hashes of questions here that resemble, but don't equal, one of `others`."""
        bands = others.bands()
        found = [
            question
            for question, signature in zip(self.questions, self.signatures, strict=True)
            if others.resembles(question, signature, _candidates(signature, bands))
        ]
        return np.array(found, np.uint64)

    def bands(self) -> _Bands:
        """Return the rows by band number and content."""
        bands: _Bands = defaultdict(list)
        for row, signature in enumerate(self.signatures):
            for band in _split(signature):
                bands[band].append(row)
        return bands

    def resembles(self, question: np.uint64, signature: Signatures, rows: list[int]) -> bool:
        """Tell whether one of the given rows is another question of at least SIMILARITY."""
        similarity = (self.signatures[rows] == signature).mean(axis=1)
        return bool(np.any((similarity >= SIMILARITY) & (self.questions[rows] != question)))


class SignatureSketcher:
    """Keeps the beginnings of sampled questions, and signs those that are left at the end.

    Features are those of the whole text.
    """

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._texts: dict[int, tuple[bytes, tuple[int, ...]]] = {}
        self._bits = 0

    def wanted(self, questions: Questions) -> list[int]:
        """Return which of some questions belong to the sample, by their index."""
        indexes: list[int] = np.flatnonzero(sampled(questions, self._bits)).tolist()
        return indexes

    def add(self, questions: Iterable[int], texts: Iterable[bytes]) -> None:
        """Take in wanted questions by their hashes, and their texts in UTF-8."""
        for question, text in zip(questions, texts, strict=True):
            if question not in self._texts:
                self._texts[question] = text[:SIGNED_BYTES], features_of(text)
        while len(self._texts) > self._max_rows:
            self._bits += 1
            mask = (1 << self._bits) - 1
            self._texts = {key: kept for key, kept in self._texts.items() if not key & mask}

    def sketch(self) -> SignatureSketch:
        """Return the signatures of the sample."""
        texts = (text for text, _ in self._texts.values())
        signatures = [np.array(rows, np.uint32) for rows in iter(partial(_signatures, texts), [])]
        return SignatureSketch(
            np.fromiter(self._texts, np.uint64, len(self._texts)),
            np.concatenate([np.empty((0, PERMUTATIONS), np.uint32), *signatures]),
            np.array([each for _, each in self._texts.values()], np.uint16).reshape(
                -1, len(FEATURES)
            ),
            self._bits,
        )


def _signatures(texts: Iterator[bytes]) -> list[list[int]]:
    """Return the signatures of the next texts."""
    shingles = map(_shingles, islice(texts, _BATCH_ROWS))
    matrix = RMinHash.digest_matrix_from_token_byte_sets(shingles, PERMUTATIONS, _SEED)
    rows: list[list[int]] = matrix.to_rows()
    return rows


def _shingles(text: bytes) -> list[bytes]:
    """Return pairs of words, or of characters where the text is short or knows no spaces."""
    units = text.lower().split()
    if len(units) < _MIN_WORDS:
        units = [unit.encode() for unit in "".join(text.decode(errors="ignore").lower().split())]
    return list(map(add, units, units[1:])) or units


def _split(signature: Signatures) -> list[tuple[int, bytes]]:
    data, size = signature.tobytes(), signature.itemsize * _BAND_VALUES
    return [(start, data[start : start + size]) for start in range(0, len(data), size)]


def _candidates(signature: Signatures, bands: _Bands) -> list[int]:
    return sorted({row for band in _split(signature) for row in bands.get(band, ())})
