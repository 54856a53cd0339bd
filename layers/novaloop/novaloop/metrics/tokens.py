"""Texts as the reference metrics cut them into tokens."""

from __future__ import annotations

import re
import string
from contextlib import suppress
from itertools import filterfalse

_ALPHANUMERIC = re.compile(r"[a-z0-9]+")
_ASCII_BLANKED = {code: " " for code in range(128) if not chr(code).isalnum()}
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_CHANGING_WORDS = frozenset({"a", "an", "the", "inf", "infinity"})
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_PLAIN = r"[^\s!-&(-/:-@\[-`{-~]"
_INSIDE = rf"(?:(?:(?<![0-9])-|(?<=[0-9])[.,](?=[0-9])){_PLAIN}*)*"
_SCAN = re.compile(rf"{_PLAIN}+{_INSIDE}|(?<![0-9])-{_PLAIN}*{_INSIDE}|\S")
_MARKS = tuple(sorted(set(string.punctuation) - set("'-")))
_PASSES = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_REPEATED_MARKS = ("..", ".,", ",.", ",,")
_NO_PLAIN_COUNT = (*string.digits, *_REPEATED_MARKS, "&", "<skipped>", "-\n")

_ASCII = list(map(chr, range(128)))
_UNUSED = bytes(128)
_ROUGE_CLASSES = bytes(ord("a" if c.isalnum() else " ") for c in _ASCII) + _UNUSED
_13A_CLASSES = (
    bytes(ord(" " if c.isspace() else "." if c in _MARKS else "a") for c in _ASCII) + _UNUSED
)


def rouge(text: str) -> list[str]:
    """rouge_score's default tokenizer, no stemmer: runs of a-z and 0-9 after lowering."""
    if text.isascii():
        return text.lower().translate(_ASCII_BLANKED).split()
    return _ALPHANUMERIC.findall(text.lower())


def rouge_count(text: str) -> int | None:
    """How many tokens `rouge` finds, without cutting the text; None where that takes cutting."""
    if not text.isascii():
        return None
    return (b" " + text.encode().translate(_ROUGE_CLASSES)).count(b" a")


def quasi(text: str) -> list[str]:
    """HELM's normaliser: no case, punctuation or articles; numbers in one spelling."""
    words: list[str] = []
    for piece in bare(text).split(" "):
        if is_settled(piece):
            words.append(piece)
        else:
            words.extend(_quasi_words(piece))
    return words


def bare(text: str) -> str:
    """The text in lower case without punctuation, on which the normaliser works piece by piece."""
    return text.lower().replace("-", " ").translate(_NO_PUNCTUATION)


def is_settled(piece: str) -> bool:
    """Whether the normaliser leaves a piece of a bare text as it is."""
    return piece.isalpha() and piece not in _CHANGING_WORDS


def quasi_set(bare_text: str) -> set[str]:
    """The distinct words of `quasi` from a bare text; they are faster to find than their order."""
    pieces = set(bare_text.split(" "))
    changing = {*filterfalse(str.isalpha, pieces), *pieces & _CHANGING_WORDS}
    pieces -= changing
    pieces.update(*map(_quasi_words, changing))
    return pieces


def _quasi_words(piece: str) -> list[str]:
    with suppress(ValueError):
        piece = str(float(piece))
    return _ARTICLES.sub(" ", piece).split()


def mteval_13a(text: str) -> list[str]:
    """sacrebleu's default tokenizer, 13a.

    Its four passes of substitutions come down to one scan where no stops or commas follow each
    other, and to splitting at each mark where there is no digit either.
    """
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "")
    if "&" in text:
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
    if any(map(text.__contains__, _REPEATED_MARKS)):
        return _in_passes(text)
    if any(map(text.__contains__, string.digits)):
        return _SCAN.findall(text)
    for mark in _MARKS:
        if mark in text:
            text = text.replace(mark, f" {mark} ")
    return text.split()


def mteval_13a_count(text: str) -> int | None:
    """How many tokens `mteval_13a` finds, without cutting the text; None where that takes cutting.

    Unless it is None, no token crosses a space, and every token stands in the text as it is.
    """
    if not text.isascii() or any(map(text.__contains__, _NO_PLAIN_COUNT)):
        return None
    classes = b" " + text.encode().translate(_13A_CLASSES)
    return classes.count(b".") + classes.count(b" a") + classes.count(b".a")


def _in_passes(text: str) -> list[str]:
    text = f" {text} "
    for pattern, replacement in _PASSES:
        text = pattern.sub(replacement, text)
    return text.split()
