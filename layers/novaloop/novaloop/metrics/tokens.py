"""Texts as the reference metrics cut them into tokens.

Two of the tokenizers work word by word, so that what a frequent word becomes is looked up instead
of computed.
"""

from __future__ import annotations

import re
import string
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REMEMBERED_WORDS = 1 << 16
MAX_REMEMBERED_LENGTH = 32

_ALPHANUMERIC = re.compile(r"[a-z0-9]+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_CHANGING_WORDS = frozenset({"a", "an", "the", "nan", "inf", "infinity"})
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ALWAYS_SPLIT = frozenset(string.punctuation) - set("'-")
_MTEVAL_13A = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


class _TokensOfWord(dict[str, tuple[str, ...]]):
    """Remembers the tokens of the first words it meets, the frequent ones among them."""

    def __init__(self, tokenize: Callable[[str], tuple[str, ...]]) -> None:
        super().__init__()
        self._tokenize = tokenize

    def __missing__(self, word: str) -> tuple[str, ...]:
        tokens = self._tokenize(word)
        if len(self) < MAX_REMEMBERED_WORDS and len(word) <= MAX_REMEMBERED_LENGTH:
            self[word] = tokens
        return tokens


class Tokenizers:
    """The three tokenizers, with their memory of words."""

    def __init__(self) -> None:
        self._quasi = _TokensOfWord(_quasi)
        self._mteval_13a = _TokensOfWord(_mteval_13a)

    def rouge(self, text: str) -> list[str]:
        """rouge_score's default tokenizer, no stemmer: runs of a-z and 0-9 after lowering."""
        return _ALPHANUMERIC.findall(text.lower())

    def quasi(self, text: str) -> list[str]:
        """HELM's normaliser: no case, punctuation or articles; numbers in one spelling."""
        tokens: list[str] = []
        for piece in _quasi_pieces(text):
            if piece.isalpha() and piece not in _CHANGING_WORDS:
                tokens.append(piece)
            else:
                tokens.extend(self._quasi[piece])
        return tokens

    def quasi_set(self, text: str) -> set[str]:
        """The distinct tokens of `quasi`, which are much faster to find than their order."""
        pieces = set(_quasi_pieces(text))
        changing = {piece for piece in pieces if not piece.isalpha()} | pieces & _CHANGING_WORDS
        return (pieces - changing).union(*map(self._quasi.__getitem__, changing))

    def mteval_13a(self, text: str) -> list[str]:
        """sacrebleu's default tokenizer, 13a."""
        text = text.rstrip().replace("<skipped>", "").replace("-\n", "")
        if "&" in text:
            for entity, character in _ENTITIES:
                text = text.replace(entity, character)
        tokens: list[str] = []
        for word in text.split():
            if word.isalnum():
                tokens.append(word)
            else:
                tokens.extend(self._mteval_13a[word])
        return tokens


def _quasi_pieces(text: str) -> list[str]:
    return text.lower().replace("-", " ").translate(_NO_PUNCTUATION).split(" ")


def _quasi(piece: str) -> tuple[str, ...]:
    with suppress(ValueError):
        piece = str(float(piece))
    return tuple(_ARTICLES.sub(" ", piece).split())


def _mteval_13a(word: str) -> tuple[str, ...]:
    if word[-1] in _ALWAYS_SPLIT and word[:-1].isalnum():
        return word[:-1], word[-1]
    padded = f" {word} "
    for pattern, replacement in _MTEVAL_13A:
        padded = pattern.sub(replacement, padded)
    return tuple(padded.split())
