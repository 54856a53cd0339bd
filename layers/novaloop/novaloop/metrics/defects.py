"""The job's own numbers, and the known ways in which they are wrong.

lighteval up to 0.10 hands sacrebleu its references transposed, so that `bleu` is the BLEU of the
first prediction alone against all gold answers pooled (fixed in 0.11). Up to at least 0.13 it
divides the bootstrap's standard deviation by the root of the number of resamples once more, so
that `bleu_stderr` is 31.6 times too small.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.bleu import ORDER, corpus_bleu
from novaloop.metrics.pairs import MAX_REMEMBERED, MAX_REMEMBERED_LENGTH
from novaloop.metrics.results import Defect, Reported
from novaloop.metrics.tokens import mteval_13a

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from novaloop.metrics.pairs import Gold
    from novaloop.metrics.results import Estimate

FIRST_PREDICTION_BLEU = "first-prediction BLEU"
UNDERSTATED_BLEU_ERROR = "understated BLEU error"
OTHER_VALUE = "differs from ours"
STDERR_SUFFIX = "_stderr"
_TOLERANCE = 1e-6
_RESAMPLES_OF_LIGHTEVAL = 1000


class FirstPredictionBleu:
    """BLEU of the first prediction against all gold answers pooled, as lighteval 0.10 has it."""

    def __init__(self) -> None:
        self._tokens: list[str] | None = None
        self._grams: list[Counter[Hashable]] = []
        self._pooled: list[Counter[Hashable]] = [Counter() for _ in range(ORDER)]
        self._seen: set[str] = set()
        self._gold_length = 0

    def add(self, prediction: str, gold: Gold) -> None:
        """Take in a row, the first one first."""
        if self._tokens is None:
            self._tokens = mteval_13a(prediction)
            self._grams = [Counter(_ngrams(self._tokens, order + 1)) for order in range(ORDER)]
        if gold.text in self._seen:
            return
        if len(gold.text) <= MAX_REMEMBERED_LENGTH and len(self._seen) < MAX_REMEMBERED:
            self._seen.add(gold.text)
        self._pool(gold.bleu, len(self._tokens))

    def _pool(self, gold: list[str], length: int) -> None:
        lengths = (self._gold_length or math.inf, len(gold))
        self._gold_length = int(min(lengths, key=lambda other: (abs(other - length), other)))
        for order, grams in enumerate(self._grams):
            shared = Counter(filter(grams.__contains__, _ngrams(gold, order + 1)))
            if not shared:
                break
            self._pooled[order] |= shared

    def value(self) -> float:
        """The defective value; 0 before the first row."""
        length = len(self._tokens or ())
        matches = [
            sum(map(min, pooled.values(), map(grams.__getitem__, pooled)))
            for grams, pooled in zip(self._grams, self._pooled, strict=False)
        ] or [0] * ORDER
        totals = [max(0, length - order) for order in range(ORDER)]
        return float(corpus_bleu(np.array([length, self._gold_length, *matches, *totals])))


def _ngrams(words: Sequence[str], order: int) -> Sequence[Hashable]:
    """The n-grams of a text: the words themselves for order 1, tuples above."""
    return (
        words if order == 1 else list(zip(*(words[skip:] for skip in range(order)), strict=False))
    )


def examine(
    reported: Mapping[str, float] | None, ours: Mapping[str, Estimate], first_prediction: float
) -> Reported | None:
    """Set the job's numbers beside ours and name what is wrong with them."""
    if reported is None:
        return None
    defects = (*_bleu_defects(reported, ours, first_prediction), *_others(reported, ours))
    return Reported(dict(reported), defects)


def _bleu_defects(
    reported: Mapping[str, float], ours: Mapping[str, Estimate], first_prediction: float
) -> Iterator[Defect]:
    if "bleu" not in reported:
        return
    value, right = reported["bleu"], ours["bleu"]
    of_first = _close(value, first_prediction) and not _close(value, right.value)
    if of_first:
        yield Defect(
            "bleu",
            FIRST_PREDICTION_BLEU,
            "it is the BLEU of the first answer alone against all gold answers pooled; "
            f"the corpus BLEU of these answers is {right.value:.4f}",
        )
    elif not _close(value, right.value):
        yield _other("bleu", value, right.value)
    stderr = reported.get("bleu" + STDERR_SUFFIX, 0.0)
    if stderr and 10 * stderr < (right.stderr or 0.0):
        spread = stderr * math.sqrt(_RESAMPLES_OF_LIGHTEVAL)
        yield Defect(
            "bleu" + STDERR_SUFFIX,
            UNDERSTATED_BLEU_ERROR,
            f"it is the error of the bootstrap's mean; the bootstrap's deviation is {spread:.4f}",
        )


def _others(reported: Mapping[str, float], ours: Mapping[str, Estimate]) -> Iterator[Defect]:
    for name, estimate in ours.items():
        if name == "bleu":
            continue
        for key, right in ((name, estimate.value), (name + STDERR_SUFFIX, estimate.stderr)):
            if key in reported and right is not None and not _close(reported[key], right):
                yield _other(key, reported[key], right)


def _other(metric: str, reported: float, right: float) -> Defect:
    return Defect(metric, OTHER_VALUE, f"the job says {reported:.6g}, its answers give {right:.6g}")


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
