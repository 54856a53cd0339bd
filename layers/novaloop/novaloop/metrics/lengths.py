"""How long the answers are, and how many were probably cut off."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.estimates import wilson
from novaloop.metrics.results import Lengths, Share

if TYPE_CHECKING:
    from novaloop.metrics.rows import RowScores

CHARACTERS_PER_TOKEN = 4  # of English text; the job doesn't report token counts
BIN_EDGES = (0, 1, *(digit * 10**power for power, digit in product(range(7), (2, 5, 10))))


def lengths(rows: RowScores, max_new_tokens: int | None) -> Lengths:
    """The distribution over at least one row."""
    characters = rows.characters
    median, p90 = np.quantile(characters, (0.5, 0.9)).tolist()
    bins = np.searchsorted(BIN_EDGES, characters, side="right") - 1
    exact = rows.values[:, 0] == 1
    return Lengths(
        mean=float(characters.mean()),
        median=median,
        p90=p90,
        maximum=int(characters.max()),
        bin_edges=BIN_EDGES,
        counts=tuple(np.bincount(bins, minlength=len(BIN_EDGES)).tolist()),
        counts_right=tuple(np.bincount(bins[exact], minlength=len(BIN_EDGES)).tolist()),
        reached_limit=_reached_limit(rows, max_new_tokens),
    )


def _reached_limit(rows: RowScores, max_new_tokens: int | None) -> Share | None:
    if max_new_tokens is None:
        return None
    cut_off = rows.characters >= max_new_tokens * CHARACTERS_PER_TOKEN
    return wilson(int(cut_off.sum()), len(rows))
