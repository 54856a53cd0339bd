"""Texts as the reference metrics cut them into tokens.

Every tokenizer here works word by word, so what a word becomes is looked up, not computed, once
the word was seen.
"""

from __future__ import annotations

import re
import string
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REMEMBERED_WORDS = 1 << 15
MAX_REMEMBERED_LENGTH = 64

_NON_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_MTEVAL_13A = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


class _TokensOfWord(dict[str, tuple[str, ...]]):
    """Remembers the tokens of each word; bounded, so that strange texts can't fill the memory."""

    def __init__(self, tokenize: Callable[[str], list[str]]) -> None:
        super().__init__()
        self._tokenize = tokenize

    def __missing__(self, word: str) -> tuple[str, ...]:
        tokens = tuple(self._tokenize(word))
        if len(word) <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED_WORDS:
                self.clear()
            self[word] = tokens
        return tokens

    def of(self, words: list[str]) -> list[str]:
        return list(chain.from_iterable(map(self.__getitem__, words)))


class Tokenizers:
    """The three tokenizers, each with its memory of words."""

    def __init__(self) -> None:
        self._rouge = _TokensOfWord(_rouge)
        self._quasi = _TokensOfWord(_quasi)
        self._mteval_13a = _TokensOfWord(_mteval_13a)

    def rouge(self, text: str) -> list[str]:
        """rouge_score's default tokenizer, no stemmer: runs of a-z and 0-9 after lowering."""
        return self._rouge.of(text.split())

    def quasi(self, text: str) -> list[str]:
        """HELM's normaliser: no case, punctuation or articles; numbers in one spelling."""
        return self._quasi.of(text.replace("-", " ").split(" "))

    def mteval_13a(self, text: str) -> list[str]:
        """sacrebleu's default tokenizer, 13a."""
        text = text.rstrip().replace("<skipped>", "").replace("-\n", "")
        if "&" in text:
            for entity, character in _ENTITIES:
                text = text.replace(entity, character)
        return self._mteval_13a.of(text.split())


def _rouge(word: str) -> list[str]:
    return _NON_ALPHANUMERIC.sub(" ", word.lower()).split()


def _quasi(piece: str) -> list[str]:
    bare = piece.lower().translate(_NO_PUNCTUATION)
    with suppress(ValueError):
        bare = str(float(bare))
    return _ARTICLES.sub(" ", bare).split()


def _mteval_13a(word: str) -> list[str]:
    padded = f" {word} "
    for pattern, replacement in _MTEVAL_13A:
        padded = pattern.sub(replacement, padded)
    return padded.split()
