"""What of a generated text is its answer, before anybody reads a label or a number in it.

A model thinks first, and marks what it answers. What stands in `<think>`, `[THINK]` and the like
was thought and does not count; what follows the token that ends a turn isn't the answer's.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

BEGIN_OF_SOLUTION = "<|begin_of_solution|>"
END_OF_SOLUTION = "<|end_of_solution|>"

_THOUGHT = re.compile(
    r"<(/?)(?:\w+:)?(?:think|thinking|thoughts?|thought[_-]process|inner[_-](?:thoughts|monologue)"
    r"|reasoning|analysis|reflection|scratchpad|cot|chain[_-]of[_-]thought|rationale)>"
    r"|\[(/?)think\]|\u25c1(/?)think\u25b7",
    re.IGNORECASE,
)
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|end|endoftext|end_of_text|eot_id|eom_id|end_of_turn|return)\|>"
    r"|</s>|<end_of_turn>|<eos>|<\uff5cend\u2581of\u2581sentence\uff5c>"
)
# OpenAI's gpt-oss writes in channels, of which the one called final is the answer
# (github.com/openai/harmony); decoded without its special tokens, their names run together.
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+)[^<]{0,100}(?:<\|constrain\|>[^<]{0,100})?<\|message\|>"
)
_CHANNELS_DECODED = re.compile(r"analysis(?=[A-Z\W])")
_BOXED = re.compile(r"\\f?boxed\s*\{")
_CHUNK = re.compile(r"[\s\S]{1,1000}(?=\s|\Z)|[\s\S]{1,1000}")


def strip_solution_markers(text: str) -> str:
    """The text of the last solution block, or the whole text; surrounding white space removed."""
    if "<|" in text:
        text = text.rpartition(BEGIN_OF_SOLUTION)[2].partition(END_OF_SOLUTION)[0]
    return text.strip()


def answered(text: str) -> str:
    """The text without what was thought and without what follows the end of the turn.

    A thought that was cut off ends the text; one that the prompt had begun begins it.
    """
    text = _of_final_channel(text.strip("\ufeff"))
    if "<" in text or "[" in text or "\u25c1" in text:
        text = without(_THOUGHT, text)
        end = _END_OF_TURN.search(text)
        text = text[: end.start()] if end else text
    return text.strip()


def _of_final_channel(text: str) -> str:
    """The text of the last final channel; none of a text in channels that was cut off before it."""
    if "<|channel|>" in text:
        channels = list(_CHANNEL.finditer(text))
        if channels:
            last = channels[-1]
            return text[last.end() :] if last[1] == "final" else ""
    elif _CHANNELS_DECODED.match(text):
        thought, _, final = text.rpartition("assistantfinal")
        return final if thought else text
    return text


def without(tags: re.Pattern[str], text: str) -> str:
    """The text without what stands between tags; a group of them holds the slash that closes one.

    What is never closed goes up to the end; what closes without a beginning was begun before it.
    """
    kept: list[str] = []
    start, thinking = 0, False
    for tag in tags.finditer(text):
        closes = any(tag.groups())
        if closes and not thinking:
            kept.clear()
        elif not thinking:
            kept.append(text[start : tag.start()])
        thinking, start = not closes, tag.end()
    return "".join(kept if thinking else [*kept, text[start:]])


def last_boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}`, braces inside it and a missing end allowed."""
    start = 0
    for box in _BOXED.finditer(text) if "boxed" in text else ():
        start = box.end()
    if not start:
        return None
    depth = 1
    for brace in re.finditer(r"\\?[{}]", text[start:]):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return text[start : start + brace.start()]
    return text[start:]


def normalized(text: str, form: Literal["NFC", "NFKC"]) -> str:
    """The text in a normal form of Unicode ("NFC", "NFKC").

    In chunks that end at white space where there is some: a row of combining marks is sorted in
    quadratic time.
    """
    if text.isascii():
        return text
    from unicodedata import normalize  # noqa: PLC0415 - what is ASCII does without

    return "".join(normalize(form, chunk) for chunk in _CHUNK.findall(text))
