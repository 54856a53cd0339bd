"""Surface features of questions that give away their label."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from novaloop.datasets.profile.sketch import RowSketch
from novaloop.datasets.rows.encoded import Questions

_FIRST_WORD_BUCKETS = 1_024
_FIRST_WORD_BYTES = 100
# A value has to cover this share of the questions, and so many, before it counts.
MIN_SHARE = 0.05
MIN_QUESTIONS = 20
GIVEAWAY = 0.9
MIN_LIFT = 1.5
LINE_ENDS = ("none", "LF", "CRLF", "CR", "mixed")

Features = npt.NDArray[np.uint16]
"""The values of FEATURES, in their order: (n, 3), a row for each question."""


def line_ends(text: bytes) -> int:
    """Return which of LINE_ENDS a text has."""
    if b"\r" not in text:
        return LINE_ENDS.index("LF" if b"\n" in text else "none")
    pairs = text.count(b"\r\n")
    if pairs == text.count(b"\r") == text.count(b"\n"):
        return LINE_ENDS.index("CRLF")
    return LINE_ENDS.index("mixed" if b"\n" in text else "CR")


def length_bits(text: bytes) -> int:
    """Return the bits that it takes to write the text's length in bytes."""
    return len(text).bit_length()


def first_word(text: bytes) -> int:
    """Return the bucket of the first word, so that no text is kept."""
    word = text[:_FIRST_WORD_BYTES].split(None, 1)[:1]
    return crc32(word[0].lower()) % _FIRST_WORD_BUCKETS if word else 0


@dataclass(frozen=True)
class Feature:
    """A feature of a text, and which texts have a value of it, in words."""

    of: Callable[[bytes], int]
    in_words: Callable[[int], str]


FEATURES: Mapping[str, Feature] = {
    "line ends": Feature(line_ends, lambda value: f"with line end {LINE_ENDS[value]}"),
    "length": Feature(length_bits, lambda bits: f"from {1 << bits >> 1} bytes long"),
    "first word": Feature(first_word, lambda _: "with the same one"),
}


def features_of(text: bytes) -> tuple[int, ...]:
    """Return the values of FEATURES of a question in UTF-8."""
    return tuple(feature.of(text) for feature in FEATURES.values())


@dataclass(frozen=True)
class Leak:
    """A feature value that almost decides the label.

    `questions` have the value; of those, `purity` have the label, against `base` overall.
    """

    feature: str
    label: str
    questions: int
    purity: float
    base: float
    in_words: str


@dataclass(frozen=True)
class Leaks:
    """What was found among so many questions; one with two labels counts twice."""

    questions: int
    found: tuple[Leak, ...]


def find_leaks(
    questions: Questions, features: Features, rows: RowSketch, labels: Mapping[str, int]
) -> Leaks:
    """Return the values with at least GIVEAWAY purity and MIN_LIFT over the base.

    `features` are those of `questions`; `labels` are the answers that there are. However often a
    question is repeated, it tells once what its features go with.
    """
    names = {crc32(label.encode(errors="surrogatepass")): label for label in labels}
    hashes = np.array(sorted(names), np.uint32)
    known = np.isin(rows.questions, questions) & np.isin(rows.answers, hashes)
    order = np.argsort(questions)
    of_row = order[np.searchsorted(questions, rows.questions[known], sorter=order)]
    pairs = np.unique(np.stack([of_row, rows.answers[known]]), axis=1)
    of_pair, label = pairs[0], np.searchsorted(hashes, pairs[1])
    base = np.bincount(label, minlength=len(hashes)) / max(len(label), 1)
    found: list[Leak] = []
    for index, (name, feature) in enumerate(FEATURES.items()):
        values, value = np.unique(features[of_pair, index], return_inverse=True)
        counts = np.zeros((len(values), len(hashes)), np.int64)
        np.add.at(counts, (value, label), 1)
        for which, total in zip(values.tolist(), counts, strict=True):
            best, with_value = int(total.argmax()), int(total.sum())
            purity, usual = int(total[best]) / with_value, float(base[best])
            enough = with_value >= MIN_QUESTIONS and with_value / len(label) >= MIN_SHARE
            if enough and purity >= max(GIVEAWAY, MIN_LIFT * usual):
                words, of_label = feature.in_words(which), names[int(hashes[best])]
                found.append(Leak(name, of_label, with_value, purity, usual, words))
    return Leaks(len(label), tuple(found))
