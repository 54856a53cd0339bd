"""How long the answers are, and how many were cut off."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.estimates import CONFIDENCE, Questions, share
from novaloop.metrics.results import Lengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from novaloop.metrics.rows import RowScores

BIN_EDGES = (0, 1, *(digit * 10**power for power, digit in product(range(7), (2, 5, 10))))


def lengths(
    rows: RowScores,
    max_new_tokens: int | None = None,
    tokens: NDArray[np.int64] | None = None,
    confidence: float = CONFIDENCE,
) -> Lengths:
    """The distribution over at least one row.

    tokens: (n,), of each answer; without them, nobody knows which were cut off: four characters
    are about one token of English, and of Chinese about four.
    """
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
        reached_limit=share(tokens >= max_new_tokens, Questions.of(rows.questions), confidence)
        if max_new_tokens is not None and tokens is not None
        else None,
    )
