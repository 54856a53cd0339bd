"""Metrics of one (prediction, gold) pair, equal to lighteval 0.10's, and its BLEU statistics.

em: equal after stripping. qem: equal after HELM's normaliser. f1, f1_score_quasi: F1 over *sets*
of white-space words, raw and normalised. rouge1, rouge2, rougeL: F-measure of n-gram overlap and
of the longest common subsequence. All 0 to 1.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from rapidfuzz.distance import LCSseq

from novaloop.metrics import tokens
from novaloop.metrics.bleu import ORDER
from novaloop.metrics.overlap import clipped_matches
from novaloop.metrics.registry import PAIR_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

VALUES = tuple(metric.name for metric in PAIR_METRICS)
"""The names of a row's values."""
MAX_REMEMBERED = 1 << 14
MAX_REMEMBERED_LENGTH = 128
MAX_SHORT_GOLD = 8


class PairScores(NamedTuple):
    """The values of VALUES, in that order, and the pair's BLEU statistics (see `bleu.WIDTH`)."""

    values: tuple[float, ...]
    bleu: tuple[int, ...]


class PairScorer:
    """Scores pairs; remembers short golds and short pairs, which a label set repeats."""

    def __init__(self) -> None:
        self._golds: dict[str, Gold] = {}
        self._pairs: dict[tuple[str, str], PairScores] = {}

    def score(self, pairs: Sequence[tuple[str, Gold]]) -> list[PairScores]:
        """Every metric of up to `overlap.MAX_PAIRS` pairs of a prediction and a gold answer."""
        found = [self._remembered(*pair) for pair in pairs]
        missing = [pair for pair, scores in zip(pairs, found, strict=True) if scores is None]
        fresh = iter(_score(missing))
        scored = [scores or next(fresh) for scores in found]
        if missing:
            self._remember(pairs, scored)
        return scored

    def _remembered(self, prediction: str, gold: Gold) -> PairScores | None:
        is_short = _is_short(prediction, gold)
        return self._pairs.get((prediction, gold.text)) if is_short else None

    def _remember(self, pairs: Sequence[tuple[str, Gold]], scored: list[PairScores]) -> None:
        for (prediction, gold), scores in zip(pairs, scored, strict=True):
            if _is_short(prediction, gold) and len(self._pairs) < MAX_REMEMBERED:
                self._pairs[prediction, gold.text] = scores

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


def _is_short(prediction: str, gold: Gold) -> bool:
    return len(prediction) + len(gold.text) <= MAX_REMEMBERED_LENGTH


def _score(pairs: Sequence[tuple[str, Gold]]) -> list[PairScores]:
    if not pairs:
        return []
    others = [metric.function for metric in PAIR_METRICS if metric.function]
    same = [
        (
            float(prediction != "" and prediction.strip() == gold.stripped),
            *_quasi(prediction, gold),
            *rouge,
            *[function(prediction, gold.text) for function in others],
        )
        for (prediction, gold), rouge in zip(pairs, _rouge(pairs), strict=True)
    ]
    return list(map(PairScores, same, _bleu(pairs)))


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


def _rouge(pairs: Sequence[tuple[str, Gold]]) -> Iterator[tuple[float, float, float]]:
    texts = [
        _near(prediction.lower(), gold.rouge, tokens.rouge, tokens.rouge_count)
        for prediction, gold in pairs
    ]
    golds = [gold.rouge for _, gold in pairs]
    matches = clipped_matches([core for _, core in texts], golds, 2).tolist()
    for (length, core), gold, (unigrams, bigrams) in zip(texts, golds, matches, strict=True):
        in_order = LCSseq.similarity(core, gold) if unigrams > 1 else unigrams
        both = length + len(gold)
        yield (
            2 * unigrams / both if unigrams else 0.0,
            2 * bigrams / (both - 2) if bigrams else 0.0,
            2 * in_order / both if in_order else 0.0,
        )


def _bleu(pairs: Sequence[tuple[str, Gold]]) -> Iterator[tuple[int, ...]]:
    texts = [
        _near(prediction, gold.bleu, tokens.mteval_13a, tokens.mteval_13a_count)
        for prediction, gold in pairs
    ]
    golds = [gold.bleu for _, gold in pairs]
    all_matches = clipped_matches([core for _, core in texts], golds, ORDER).tolist()
    for (length, _), gold, matches in zip(texts, golds, all_matches, strict=True):
        totals = [max(0, length - order) for order in range(ORDER)]
        yield length, len(gold), *matches, *totals


def _near(
    prediction: str,
    gold: list[str],
    tokenize: Callable[[str], list[str]],
    count: Callable[[str], int | None],
) -> tuple[int, list[str]]:
    """How many tokens there are, and those from the first that a short gold has to the last."""
    length = count(prediction) if len(gold) <= MAX_SHORT_GOLD else None
    if length is None:
        words = tokenize(prediction)
        return len(words), words
    return length, tokenize(_span(prediction, gold))


def _span(text: str, words: list[str]) -> str:
    """The text from the first of the words to the last, wherever it stands, between spaces."""
    starts = [start for start in map(text.find, words) if start >= 0]
    if not starts:
        return ""
    last = max(map(text.rfind, words))
    end = text.find(" ", last)
    return text[text.rfind(" ", 0, min(starts)) + 1 : end if end >= 0 else len(text)]
