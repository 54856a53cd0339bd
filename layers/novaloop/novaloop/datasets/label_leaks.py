"""Surface features of questions that give away their label."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zlib import crc32

_FIRST_WORD_BUCKETS = 1_024
_WORD = re.compile(r"\S+")
# A value has to cover this share of the rows, and so many rows, before it counts.
MIN_SHARE = 0.05
MIN_ROWS = 20
GIVEAWAY = 0.9
MIN_LIFT = 1.5

FeatureCounts = Mapping[str, Mapping[str, Mapping[str, int]]]


def line_ends(text: str) -> str:
    """Return which line ends a text has."""
    if "\r" not in text:
        return "LF" if "\n" in text else "none"
    pairs = text.count("\r\n")
    if pairs == text.count("\r") == text.count("\n"):
        return "CRLF"
    return "mixed" if "\n" in text else "CR"


def length_class(text: str) -> str:
    """Return the power of two at or below the text's length in characters."""
    return f"from {1 << len(text).bit_length() - 1 if text else 0} characters"


def first_word(text: str) -> str:
    """Return the bucket of the first word, so that no text is kept."""
    word = _WORD.search(text)
    return f"bucket {crc32(word[0].casefold().encode()) % _FIRST_WORD_BUCKETS if word else 0}"


FEATURES: Mapping[str, Callable[[str], str]] = {
    "line ends": line_ends,
    "length": length_class,
    "first word": first_word,
}


class FeatureCounter:
    """Counts labels by feature value, in bounded memory as long as the labels are few."""

    def __init__(self) -> None:
        self._counts: dict[str, defaultdict[str, Counter[str]]] = {
            name: defaultdict(Counter) for name in FEATURES
        }

    def add(self, text: str, label: str) -> None:
        """Take in one question and its label."""
        for name, feature in FEATURES.items():
            self._counts[name][feature(text)][label] += 1

    def counts(self) -> FeatureCounts:
        """Return the counts by feature, value and label."""
        return {
            name: {value: dict(labels) for value, labels in values.items()}
            for name, values in self._counts.items()
        }


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

    `share` of all rows have the value; of those, `purity` have the label, against `base` overall.
    """

    feature: str
    value: str
    label: str
    share: float
    purity: float
    base: float


def find_leaks(counts: FeatureCounts) -> list[Leak]:
    """Return the values with at least GIVEAWAY purity and MIN_LIFT over the base, by share."""
    leaks = [
        leak
        for feature, values in counts.items()
        for value, labels in values.items()
        if (leak := _leak(feature, value, labels, values))
    ]
    return sorted(leaks, key=lambda leak: -leak.share)


def _leak(
    feature: str, value: str, labels: Mapping[str, int], values: Mapping[str, Mapping[str, int]]
) -> Leak | None:
    total = sum(sum(each.values()) for each in values.values())
    rows = sum(labels.values())
    label, hits = max(labels.items(), key=lambda item: item[1])
    base = sum(each.get(label, 0) for each in values.values()) / total
    leak = Leak(feature, value, label, rows / total, hits / rows, base)
    enough = rows >= MIN_ROWS and leak.share >= MIN_SHARE
    return leak if enough and leak.purity >= max(GIVEAWAY, MIN_LIFT * base) else None
