"""How much two texts have in common, for many pairs of texts at once."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_PAIRS = 32
_PAIR_BITS = 5
_PAIR_SHIFT = np.uint64(64 - _PAIR_BITS)  # a key is a pair, the n-gram's hash, a bit for the side
_HASH_SHIFT = np.uint64(_PAIR_BITS + 1)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # any odd number with mixed bits


def clipped_matches(
    predictions: Sequence[Sequence[str]], golds: Sequence[Sequence[str]], orders: int
) -> NDArray[np.int64]:
    """How many n-grams both texts of a pair have, repetitions counted in both.

    Of up to MAX_PAIRS pairs, by order from 1: shape (pairs, orders). N-grams count as equal when
    58 bits of their hashes are: for two texts of 150 words the chance of an error is about 10^-13.
    """
    texts = [*predictions, *golds]
    words = np.fromiter(map(hash, chain.from_iterable(texts)), np.int64).view(np.uint64)
    text = np.repeat(np.arange(len(texts)), list(map(len, texts)))
    pair, side = text % len(golds), text >= len(golds)
    prefix = pair.astype(np.uint64) << _PAIR_SHIFT | side.astype(np.uint64)
    matches = np.zeros((len(golds), orders), np.int64)
    possible = np.ones(len(words), bool)
    grams = words
    for order in range(orders):
        keys = grams[possible] >> _HASH_SHIFT << np.uint64(1) | prefix[order:][possible]
        matches[:, order] = _clipped_by_pair(keys, len(golds))
        longer = order + 1
        promising = matches[:, order] > 1  # a longer match would need two here
        if not promising.any():
            break
        possible = (text[:-longer] == text[longer:]) & promising[pair[longer:]]
        grams = grams[:-1] * _MULTIPLIER + words[longer:]
    return matches


def _clipped_by_pair(keys: NDArray[np.uint64], pairs: int) -> NDArray[np.int64]:
    """Sum the smaller of the two sides' counts; keys of both sides differ in the last bit."""
    keys.sort()
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    counts = np.diff(starts, append=len(keys))
    runs = keys[starts]
    shared = np.flatnonzero(runs[:-1] ^ runs[1:] == 1)
    smaller = np.minimum(counts[shared], counts[shared + 1])
    pair = (runs[shared] >> _PAIR_SHIFT).astype(np.int64)
    return np.bincount(pair, smaller, pairs).astype(np.int64)
