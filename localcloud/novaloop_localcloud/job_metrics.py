"""The metrics that the evaluation stand-in reports, as lighteval 0.10 defines them.

Written apart from the application's own metrics on purpose: the two check each other. BLEU keeps
that version's defect, scoring the first prediction only, because readers have to cope with it.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache

import numpy as np

Score = Callable[[str, str], float]

_BOOTSTRAP_SAMPLES = 1000
_DROP_PUNCTUATION = str.maketrans("", "", string.punctuation)


def evaluate(predictions: Sequence[str], golds: Sequence[str]) -> dict[str, float]:
    """Every metric and its `<name>_stderr`; bleu is on a scale of 0 to 100, the others 0 to 1."""
    report: dict[str, float] = {}
    for name, score in _SCORES.items():
        values = np.array([score(p, g) for p, g in zip(predictions, golds, strict=True)])
        report[name] = float(values.mean())
        report[f"{name}_stderr"] = float(values.std(ddof=1) / math.sqrt(len(values)))
    report["bleu"], report["bleu_stderr"] = _first_prediction_bleu(predictions, golds)
    return report


def _exact(prediction: str, gold: str) -> float:
    return float(bool(prediction) and prediction.strip() == gold.strip())


def _quasi_exact(prediction: str, gold: str) -> float:
    return float(bool(prediction) and _normalised(prediction.strip()) == _normalised(gold.strip()))


@cache
def _normalised(text: str) -> str:
    tokens = (_normalised_token(token) for token in re.split(r"[ -]", text))
    return " ".join(token for token in tokens if token)


def _normalised_token(token: str) -> str:
    token = token.lower().translate(_DROP_PUNCTUATION)
    with suppress(ValueError):
        token = str(float(token))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", token).split())


def _f1(prediction: str, gold: str) -> float:
    said, wanted = set(prediction.split()), set(gold.split())
    if not said or not wanted:
        return 0.0
    precision, recall = len(said & wanted) / len(said), len(said & wanted) / len(wanted)
    return 0.0 if not precision else 1 / (0.5 / precision + 0.5 / recall)


def _quasi_f1(prediction: str, gold: str) -> float:
    return _f1(_normalised(prediction), _normalised(gold))


@cache
def _words(text: str) -> tuple[str, ...]:
    return tuple(re.sub(r"[^a-z0-9]+", " ", text.lower()).split())


def _ngrams(tokens: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))


def _rouge_n(size: int) -> Score:
    def score(prediction: str, gold: str) -> float:
        said, wanted = _ngrams(_words(prediction), size), _ngrams(_words(gold), size)
        return _f_measure((said & wanted).total(), said.total(), wanted.total())

    return score


def _rouge_l(prediction: str, gold: str) -> float:
    said, wanted = _words(prediction), _words(gold)
    return _f_measure(_common_subsequence(said, wanted), len(said), len(wanted))


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    row = [0] * (len(right) + 1)
    for word in left:
        above_left = 0
        for column, other in enumerate(right, start=1):
            above = row[column]
            row[column] = above_left + 1 if word == other else max(above, row[column - 1])
            above_left = above
    return row[-1]


def _f_measure(shared: int, said: int, wanted: int) -> float:
    return 2 * shared / (said + wanted) if shared else 0.0


_SCORES: dict[str, Score] = {
    "rouge1": _rouge_n(1),
    "rouge2": _rouge_n(2),
    "rougeL": _rouge_l,
    "em": _exact,
    "qem": _quasi_exact,
    "f1": _f1,
    "f1_score_quasi": _quasi_f1,
}


def _first_prediction_bleu(predictions: Sequence[str], golds: Sequence[str]) -> tuple[float, float]:
    references = _References(golds)
    scores = {text: references.bleu(text) for text in set(predictions)}
    first = np.random.default_rng(0).integers(len(predictions), size=_BOOTSTRAP_SAMPLES)
    resampled = np.array([scores[predictions[row]] for row in first])
    error = float(resampled.std(ddof=1) / math.sqrt(_BOOTSTRAP_SAMPLES))
    return scores[predictions[0]], error


class _References:
    """All golds together, as the references of one segment."""

    def __init__(self, golds: Sequence[str]) -> None:
        references = [_bleu_tokens(gold) for gold in set(golds)]
        self._lengths = {len(reference) for reference in references}
        self._pools = {size: _pooled(references, size) for size in range(1, 5)}

    def bleu(self, prediction: str) -> float:
        """BLEU-4 with exponential smoothing (Post, 2018, arXiv:1804.08771), 0 to 100."""
        said = _bleu_tokens(prediction)
        if len(said) < max(self._pools) or not self._pools[1].keys() & _ngrams(said, 1).keys():
            return 0.0
        length = min((abs(length - len(said)), length) for length in self._lengths)[1]
        logs, smoothing = [], 1.0
        for size, pool in self._pools.items():
            counts = _ngrams(said, size)
            matches: float = (counts & pool).total()
            if not matches:
                smoothing *= 2
                matches = 1 / smoothing
            logs.append(math.log(100 * matches / counts.total()))
        return math.exp(min(0.0, 1 - length / len(said)) + sum(logs) / len(logs))


def _pooled(references: Sequence[Sequence[str]], size: int) -> Counter[tuple[str, ...]]:
    pooled: Counter[tuple[str, ...]] = Counter()
    for reference in references:
        for ngram, count in _ngrams(reference, size).items():
            pooled[ngram] = max(pooled[ngram], count)
    return pooled


def _bleu_tokens(text: str) -> list[str]:
    joined = text.replace("-\n", "").replace("\n", " ")
    spaced = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", f" {joined} ")
    spaced = re.sub(r"([^0-9])([\.,])", r"\1 \2 ", spaced)
    spaced = re.sub(r"([\.,])([^0-9])", r" \1 \2", spaced)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", spaced).split()
