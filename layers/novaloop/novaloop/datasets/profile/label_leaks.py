"""Surface features of questions that give away their label."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

_FIRST_WORD_BUCKETS = 1_024
_FIRST_WORD_BYTES = 100
# A value has to cover this share of the rows, and so many rows, before it counts.
MIN_SHARE = 0.05
MIN_ROWS = 20
GIVEAWAY = 0.9
MIN_LIFT = 1.5

FeatureCounts = Mapping[str, Mapping[str, Mapping[str, int]]]


def line_ends(text: bytes) -> str:
    """Return which line ends a text has."""
    if b"\r" not in text:
        return "LF" if b"\n" in text else "none"
    pairs = text.count(b"\r\n")
    if pairs == text.count(b"\r") == text.count(b"\n"):
        return "CRLF"
    return "mixed" if b"\n" in text else "CR"


def length_bits(text: bytes) -> int:
    """Return the bits that it takes to write the text's length in bytes."""
    return len(text).bit_length()


def first_word(text: bytes) -> int:
    """Return the bucket of the first word, so that no text is kept."""
    word = text[:_FIRST_WORD_BYTES].split(None, 1)[:1]
    return crc32(word[0].lower()) % _FIRST_WORD_BUCKETS if word else 0


@dataclass(frozen=True)
class Feature:
    """A feature of a text, its values as the keys of counts, and one of them in words."""

    of: Callable[[bytes], Any]
    describe: Callable[[Any], str]
    in_words: str


FEATURES: Mapping[str, Feature] = {
    "line ends": Feature(line_ends, str, "with line end {}"),
    "length": Feature(length_bits, lambda bits: f"from {1 << bits >> 1} bytes", "{} long"),
    "first word": Feature(first_word, lambda bucket: f"bucket {bucket}", "with the same one"),
}


class FeatureCounter:
    """Counts labels by feature value, in bounded memory as long as the labels are few."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[tuple[Any, str]]] = {name: Counter() for name in FEATURES}

    def update(self, texts: Sequence[bytes], labels: Sequence[str]) -> None:
        """Take in questions, in UTF-8, and their labels."""
        for name, feature in FEATURES.items():
            self._counts[name].update(zip(map(feature.of, texts), labels, strict=True))

    def counts(self) -> FeatureCounts:
        """Return the counts by feature, value and label."""
        counts: dict[str, defaultdict[str, dict[str, int]]] = {
            name: defaultdict(dict) for name in FEATURES
        }
        for name, pairs in self._counts.items():
            for (value, label), rows in pairs.items():
                counts[name][FEATURES[name].describe(value)][label] = rows
        return counts


def add_counts(one: FeatureCounts, other: FeatureCounts) -> FeatureCounts:
    """Return the counts of both."""
    sums: dict[str, dict[str, Counter[str]]] = {name: {} for name in FEATURES}
    for counts in (one, other):
        for name, values in counts.items():
            for value, labels in values.items():
                sums[name].setdefault(value, Counter()).update(labels)
    return sums


@dataclass(frozen=True)
class Leak:
    """A feature value that almost decides the label.

    `rows` have the value; of those, `purity` have the label, against `base` overall.
    """

    feature: str
    value: str
    label: str
    rows: int
    purity: float
    base: float

    @property
    def in_words(self) -> str:
        """Return which rows have the value, without a word of them."""
        return FEATURES[self.feature].in_words.format(self.value)


def find_leaks(counts: FeatureCounts) -> list[Leak]:
    """Return the values with at least GIVEAWAY purity and MIN_LIFT over the base."""
    return [
        leak
        for feature, values in counts.items()
        for value, labels in values.items()
        if (leak := _leak(feature, value, labels, values))
    ]


def _leak(
    feature: str, value: str, labels: Mapping[str, int], values: Mapping[str, Mapping[str, int]]
) -> Leak | None:
    total = sum(sum(each.values()) for each in values.values())
    rows = sum(labels.values())
    label, hits = max(labels.items(), key=lambda item: item[1])
    base = sum(each.get(label, 0) for each in values.values()) / total
    leak = Leak(feature, value, label, rows, hits / rows, base)
    enough = rows >= MIN_ROWS and rows / total >= MIN_SHARE
    return leak if enough and leak.purity >= max(GIVEAWAY, MIN_LIFT * base) else None
