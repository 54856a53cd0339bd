"""Metrics of one (prediction, gold) pair, equal to lighteval 0.10's, and its BLEU statistics.

em: equal after stripping. qem: equal after HELM's normaliser. f1, f1_score_quasi: F1 over *sets*
of white-space words, raw and normalised. rouge1, rouge2, rougeL: F-measure of n-gram overlap and
of the longest common subsequence. All 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from novaloop.metrics.bleu import ORDER
from novaloop.metrics.tokens import Tokenizers

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
        self._tokenizers = Tokenizers()
        self._golds: dict[str, Gold] = {}
        self._pairs: dict[tuple[str, str], PairScores] = {}

    def score(self, prediction: str, gold: str) -> PairScores:
        """Every metric of one pair."""
        if len(prediction) + len(gold) > MAX_REMEMBERED_LENGTH:
            return self._score(prediction, self.gold(gold))
        scores = self._pairs.get((prediction, gold))
        if scores is None:
            scores = self._score(prediction, self.gold(gold))
            if len(self._pairs) < MAX_REMEMBERED:
                self._pairs[prediction, gold] = scores
        return scores

    def gold(self, text: str) -> Gold:
        """The prepared gold answer."""
        gold = self._golds.get(text)
        if gold is None:
            gold = Gold(text, self._tokenizers)
            if len(text) <= MAX_REMEMBERED_LENGTH and len(self._golds) < MAX_REMEMBERED:
                self._golds[text] = gold
        return gold

    def bleu_tokens(self, prediction: str) -> list[str]:
        """The prediction in BLEU's tokens."""
        return self._tokenizers.mteval_13a(prediction)

    def _score(self, prediction: str, gold: Gold) -> PairScores:
        quasi_words = self._tokenizers.quasi_set(prediction)
        qem = quasi_words == gold.quasi_words and self._tokenizers.quasi(prediction) == gold.quasi
        values = (
            float(prediction != "" and prediction.strip() == gold.stripped),
            float(prediction != "" and qem),
            _f1_of_sets(set(prediction.split()), gold.words),
            _f1_of_sets(quasi_words, gold.quasi_words),
            *_rouge(self._tokenizers.rouge(prediction), gold),
        )
        return PairScores(values, _bleu(self.bleu_tokens(prediction), gold))


class Gold:
    """A gold answer in every form that the metrics compare with."""

    def __init__(self, text: str, tokenizers: Tokenizers) -> None:
        self.stripped = text.strip()
        self.words = set(text.split())
        self.quasi_words = tokenizers.quasi_set(text)
        self.rouge_tokens = tokenizers.rouge(text)
        self.bleu_tokens = tokenizers.mteval_13a(text)
        self._text = text
        self._tokenizers = tokenizers

    @cached_property
    def quasi(self) -> list[str]:
        """HELM's normalised words in order."""
        return self._tokenizers.quasi(self._text)

    @cached_property
    def unigrams(self) -> Counter[Hashable]:
        """ROUGE's tokens, counted."""
        return Counter(self.rouge_tokens)

    @cached_property
    def bigrams(self) -> Counter[Hashable]:
        """ROUGE's pairs of neighbouring tokens, counted."""
        return Counter(ngrams(self.rouge_tokens, 2))

    @cached_property
    def bleu_ngrams(self) -> list[Counter[Hashable]]:
        """BLEU's n-grams of each order, counted."""
        return [Counter(ngrams(self.bleu_tokens, order + 1)) for order in range(ORDER)]

    @cached_property
    def positions(self) -> dict[str, int]:
        """For each token, the set of its positions as bits."""
        positions: dict[str, int] = {}
        for index, token in enumerate(self.rouge_tokens):
            positions[token] = positions.get(token, 0) | 1 << index
        return positions


def ngrams(tokens: Sequence[str], order: int) -> Iterable[Hashable]:
    """The n-grams of a text: the tokens themselves for order 1, tuples above."""
    return tokens if order == 1 else zip(*(tokens[skip:] for skip in range(order)), strict=False)


def clipped_matches(grams: Iterable[Hashable], gold: Counter[Hashable]) -> int:
    """How many n-grams occur in the gold, each at most as often as it does there."""
    if not gold:
        return 0
    found = Counter(filter(gold.__contains__, grams))
    return sum(map(min, found.values(), map(gold.__getitem__, found)))


def common_subsequence_length(tokens: Iterable[str], positions: dict[str, int], length: int) -> int:
    """Length of the longest common subsequence, by bit-parallel dynamic programming.

    Hyyrö, "Bit-Parallel LCS-length Computation Revisited" (2004): a zero bit marks a match.
    """
    row = every = (1 << length) - 1
    for matches in filter(None, map(positions.get, tokens)):
        fresh = row & matches
        row = (row + fresh | row - fresh) & every
    return length - row.bit_count()


def _rouge(tokens: list[str], gold: Gold) -> tuple[float, float, float]:
    ours, theirs = len(tokens), len(gold.rouge_tokens)
    if tokens == gold.rouge_tokens:
        return float(ours > 0), float(ours > 1), float(ours > 0)
    unigrams = clipped_matches(tokens, gold.unigrams)
    if unigrams == 0:
        return 0.0, 0.0, 0.0
    bigrams = clipped_matches(ngrams(tokens, 2), gold.bigrams) if unigrams > 1 else 0
    in_order = common_subsequence_length(tokens, gold.positions, theirs)
    return (
        2 * unigrams / (ours + theirs),
        2 * bigrams / (ours + theirs - 2) if bigrams else 0.0,
        2 * in_order / (ours + theirs),
    )


def _bleu(tokens: list[str], gold: Gold) -> tuple[int, ...]:
    length = len(tokens)
    totals = [max(0, length - order) for order in range(ORDER)]
    if tokens == gold.bleu_tokens:
        return length, length, *totals, *totals
    matches = [0] * ORDER
    for order, grams in enumerate(gold.bleu_ngrams):
        matches[order] = clipped_matches(ngrams(tokens, order + 1), grams)
        if matches[order] < 2:  # a longer match would need two here
            break
    return length, len(gold.bleu_tokens), *matches, *totals


def _f1_of_sets(prediction: set[str], gold: set[str]) -> float:
    common = len(prediction & gold)
    return 2 * common / (len(prediction) + len(gold)) if common else 0.0
