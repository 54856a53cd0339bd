"""Corpus BLEU as sacrebleu computes it (13a tokens, order 4, exponential smoothing), 0 to 100.

The BLEU of a corpus is a function of sums of per-sentence statistics, so that its bootstrap needs
no text (Koehn, "Statistical Significance Tests for Machine Translation Evaluation", 2004).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORDER = 4
WIDTH = 2 + 2 * ORDER  # prediction length, gold length, matches and totals of each order


def corpus_bleu(sums: NDArray[np.number]) -> NDArray[np.float64]:
    """BLEU of summed sentence statistics; shape (..., WIDTH) to (...)."""
    length, gold_length = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + ORDER], sums[..., 2 + ORDER :]
    halvings = np.cumsum(matches == 0, axis=-1)
    smoothed = np.where(matches > 0, matches, 0.5**halvings)
    defined = (totals > 0).all(axis=-1) & (matches > 0).any(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_precision = np.log(100 * smoothed / totals).mean(axis=-1)
        log_brevity = np.minimum(0.0, 1 - gold_length / length)
        return np.where(defined, np.exp(log_precision + log_brevity), 0.0)
