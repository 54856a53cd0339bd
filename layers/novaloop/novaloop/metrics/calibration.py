"""Whether the probabilities that a model gives its answers are right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.estimates import CONFIDENCE, Questions, share
from novaloop.metrics.results import Calibration, ReliabilityBin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Not documented, and not seen: under which of these names an archive holds them, if it does.
# Alternatives (top_logprobs) and logits say nothing of the probability of what was chosen.
LOG_PROBABILITY_FIELDS = ("logprobs", "log_probs", "token_logprobs")
_INNER_FIELDS = ("token_logprobs", "content", "tokens", "logprob", "log_prob")
BINS = 10


def log_probabilities(fields: Mapping[str, object]) -> Sequence[float]:
    """Return those of an answer's tokens, where its line holds them; else nothing.

    Their sum is the log of the whole answer's probability, and their number that of its tokens.
    """
    return next(filter(None, (_read(fields.get(name)) for name in LOG_PROBABILITY_FIELDS)), ())


def _read(value: object) -> Sequence[float]:
    """One number a token, of numbers or objects; empty where anything else is found."""
    if isinstance(value, Mapping):
        return _read(next((value[key] for key in _INNER_FIELDS if key in value), None))
    if isinstance(value, list):
        found = [_read(each) for each in value]
        return [tokens[0] for tokens in found] if all(len(each) == 1 for each in found) else ()
    if isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value <= 0:
        return (float(value),)
    return ()


def calibrate(
    confidences: NDArray[np.float64],
    right: NDArray[np.bool_],
    questions: NDArray[np.uint64],
    confidence: float = CONFIDENCE,
) -> Calibration | None:
    """Compare confidence with exact match, in equal bins; NaN for rows without. None without any.

    confidences, right, questions: (n,), of each row; questions as `RowScores` has them.
    confidence: of the intervals. Guo et al., "On Calibration of Modern Neural Networks" (2017).
    """
    known = ~np.isnan(confidences)
    n = int(known.sum())
    if n == 0:
        return None
    confidences, right, questions = confidences[known], right[known], questions[known]
    index = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins = tuple(
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            n=int(inside.sum()),
            confidence=float(confidences[inside].mean()),
            accuracy=float(right[inside].mean()),
            accuracy_low=found.low,
            accuracy_high=found.high,
        )
        for number in range(BINS)
        if (inside := index == number).any()
        for found in (share(right[inside], Questions.of(questions[inside]), confidence),)
    )
    return Calibration(n, bins)
