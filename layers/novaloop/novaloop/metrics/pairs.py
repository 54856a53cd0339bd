"""Metrics of one (prediction, gold) pair, equal to lighteval 0.10's, and its BLEU statistics.

em: equal after stripping. qem: equal after HELM's normaliser. f1, f1_score_quasi: F1 over *sets*
of white-space words, raw and normalised. rouge1, rouge2, rougeL: F-measure of n-gram overlap and
of the longest common subsequence. All 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from novaloop.metrics import tokens
from novaloop.metrics.bleu import ORDER

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

METRICS = ("em", "qem", "f1", "f1_score_quasi", "rouge1", "rouge2", "rougeL")
MAX_REMEMBERED = 1 << 14
MAX_REMEMBERED_LENGTH = 128


class PairScores(NamedTuple):
    """Values of METRICS, in their order, and the pair's BLEU statistics (see `bleu.WIDTH`)."""

    values: tuple[float, ...]
    bleu: tuple[int, ...]


class PairScorer:
    """Scores pairs; remembers short golds and short pairs, which a label set repeats."""

    def __init__(self) -> None:
        self._golds: dict[str, Gold] = {}
        self._pairs: dict[tuple[str, str], PairScores] = {}

    def score(self, prediction: str, gold: Gold) -> PairScores:
        """Every metric of one pair."""
        if len(prediction) + len(gold.text) > MAX_REMEMBERED_LENGTH:
            return _score(prediction, gold)
        scores = self._pairs.get((prediction, gold.text))
        if scores is None:
            scores = _score(prediction, gold)
            if len(self._pairs) < MAX_REMEMBERED:
                self._pairs[prediction, gold.text] = scores
        return scores

    def gold(self, text: str) -> Gold:
        """The prepared gold answer."""
        gold = self._golds.get(text)
        if gold is None:
            gold = Gold(text)
            if len(text) <= MAX_REMEMBERED_LENGTH and len(self._golds) < MAX_REMEMBERED:
                self._golds[text] = gold
        return gold


class Gold:
    """A gold answer in every form that the metrics compare with."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stripped = text.strip()
        self.words = set(text.split())
        self.quasi_words = tokens.quasi_set(tokens.bare(text))
        self.rouge = tokens.rouge(text)
        self.bleu = tokens.mteval_13a(text)

    @cached_property
    def is_settled(self) -> bool:
        """Whether only a prediction that spells a normalised word as it is can share it."""
        return all(map(tokens.is_settled, self.quasi_words))

    @cached_property
    def quasi(self) -> list[str]:
        """The normalised words in order."""
        return tokens.quasi(self.text)


def _score(prediction: str, gold: Gold) -> PairScores:
    values = (
        float(prediction != "" and prediction.strip() == gold.stripped),
        *_quasi(prediction, gold),
        *_rouge(prediction, gold),
    )
    return PairScores(values, _bleu(tokens.mteval_13a(prediction), gold.bleu))


def _quasi(prediction: str, gold: Gold) -> tuple[float, float, float]:
    """qem, f1 and f1_score_quasi."""
    shares_word = _has_any(prediction, gold.words)
    f1 = _f1_of_sets(set(prediction.split()), gold.words) if shares_word else 0.0
    bare = tokens.bare(prediction)
    if gold.quasi_words and not _has_any(bare, gold.quasi_words) and gold.is_settled:
        return 0.0, f1, 0.0
    words = tokens.quasi_set(bare)
    equal = words == gold.quasi_words and tokens.quasi(prediction) == gold.quasi
    return float(prediction != "" and equal), f1, _f1_of_sets(words, gold.quasi_words)


def _has_any(text: str, words: Iterable[str]) -> bool:
    """Whether any word stands somewhere in the text: without one, nothing can match."""
    return any(map(text.__contains__, words))


def _f1_of_sets(prediction: set[str], gold: set[str]) -> float:
    common = len(prediction & gold)
    return 2 * common / (len(prediction) + len(gold)) if common else 0.0


def _rouge(text: str, gold: Gold) -> tuple[float, float, float]:
    if not _has_any(text.lower(), gold.rouge):
        return 0.0, 0.0, 0.0
    prediction, reference = tokens.rouge(text), gold.rouge
    both = len(prediction) + len(reference)
    unigrams = clipped_matches(prediction, reference)
    bigrams = clipped_matches(ngrams(prediction, 2), ngrams(reference, 2)) if unigrams > 1 else 0
    in_order = common_subsequence_length(prediction, reference) if unigrams > 1 else unigrams
    return (
        2 * unigrams / both,
        2 * bigrams / (both - 2) if bigrams else 0.0,
        2 * in_order / both,
    )


def _bleu(prediction: list[str], gold: list[str]) -> tuple[int, ...]:
    totals = [max(0, len(prediction) - order) for order in range(ORDER)]
    if prediction == gold:
        return len(prediction), len(gold), *totals, *totals
    matches = [0] * ORDER
    for order in range(ORDER):
        matches[order] = clipped_matches(ngrams(prediction, order + 1), ngrams(gold, order + 1))
        if matches[order] < 2:  # a longer match would need two here
            break
    return len(prediction), len(gold), *matches, *totals


def ngrams(words: Sequence[str], order: int) -> Sequence[Hashable]:
    """The n-grams of a text: the words themselves for order 1, tuples above."""
    return (
        words if order == 1 else list(zip(*(words[skip:] for skip in range(order)), strict=False))
    )


def clipped_matches(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """How many items occur in both, counting repetitions that occur in both."""
    few, many = (one, other) if len(one) < len(other) else (other, one)
    shared = set(few).intersection(many)
    kept = list(filter(shared.__contains__, few))
    if len(kept) == len(shared):
        return len(shared)
    counts, others = Counter(kept), Counter(filter(shared.__contains__, many))
    return sum(map(min, counts.values(), map(others.__getitem__, counts)))


def common_subsequence_length(one: Iterable[str], other: Iterable[str]) -> int:
    """Length of the longest common subsequence, by bit-parallel dynamic programming.

    Hyyrö, "Bit-Parallel LCS-length Computation Revisited" (2004): a zero bit marks a match.
    """
    candidates = filter(set(one).__contains__, other)
    positions: dict[str, int] = {}
    length = 0
    for length, word in enumerate(candidates, start=1):
        positions[word] = positions.get(word, 0) | 1 << length - 1
    row = every = (1 << length) - 1
    for matches in filter(None, map(positions.get, one)):
        fresh = row & matches
        row = (row + fresh | row - fresh) & every
    return length - row.bit_count()
