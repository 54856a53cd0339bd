"""Texts as the reference metrics cut them into tokens."""

from __future__ import annotations

import re
import string
from contextlib import suppress

_ALPHANUMERIC = re.compile(r"[a-z0-9]+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_CHANGING_WORDS = frozenset({"a", "an", "the", "nan", "inf", "infinity"})
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_PLAIN = r"[^\s!-&(-/:-@\[-`{-~]"
_INSIDE = rf"(?:(?:(?<![0-9])-|(?<=[0-9])[.,](?=[0-9])){_PLAIN}*)"
_MTEVAL_13A = re.compile(rf"{_PLAIN}+{_INSIDE}*|(?<![0-9])-{_PLAIN}*{_INSIDE}*|\S")
_MTEVAL_13A_PASSES = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_NEEDS_PASSES = re.compile(r"[.,][.,][0-9]")


def rouge(text: str) -> list[str]:
    """rouge_score's default tokenizer, no stemmer: runs of a-z and 0-9 after lowering."""
    return _ALPHANUMERIC.findall(text.lower())


def quasi(text: str) -> list[str]:
    """HELM's normaliser: no case, punctuation or articles; numbers in one spelling."""
    tokens: list[str] = []
    for piece in _quasi_pieces(text):
        tokens.extend(_quasi_words(piece) if _changes(piece) else (piece,))
    return tokens


def quasi_set(text: str) -> set[str]:
    """The distinct tokens of `quasi`, which are faster to find than their order."""
    pieces = set(_quasi_pieces(text))
    changing = set(filter(_changes, pieces))
    return (pieces - changing).union(*map(_quasi_words, changing))


def _quasi_pieces(text: str) -> list[str]:
    return text.lower().replace("-", " ").translate(_NO_PUNCTUATION).split(" ")


def _changes(piece: str) -> bool:
    return not piece.isalpha() or piece in _CHANGING_WORDS


def _quasi_words(piece: str) -> list[str]:
    with suppress(ValueError):
        piece = str(float(piece))
    return _ARTICLES.sub(" ", piece).split()


def mteval_13a(text: str) -> list[str]:
    """sacrebleu's default tokenizer, 13a.

    Its four passes of substitutions come down to one scan, but for a digit after two or more stops
    or commas, where the passes depend on how many there are.
    """
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "")
    if "&" in text:
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
    if not _NEEDS_PASSES.search(text):
        return _MTEVAL_13A.findall(text)
    text = f" {text} "
    for pattern, replacement in _MTEVAL_13A_PASSES:
        text = pattern.sub(replacement, text)
    return text.split()
