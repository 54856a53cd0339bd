r"""Which label does a generated text name? The one answer for rewards and for metrics.

What was thought does not count, see `answers.py`. Strict reading: the answer is a label and nothing
else. Lenient reading, by the first rule that decides:

1. the answer is a label, marks around it and a word such as "Answer:" aside;
2. what the answer marks as such: `\boxed{}`, `<answer>`, "label" or the like in a JSON object;
3. the prose, see `prose.py`: the only label affirmed, the last one stated, the one that leads, ...

Otherwise the text names no label; when in doubt it doesn't. Case, normal form, width, invisible
characters and how the words of a label are joined ("LQ_EDIT", "lq edit", "LQ-EDIT") don't count.
"""

from __future__ import annotations

import json
import re
from functools import cached_property, lru_cache

from novaloop.rewards.answers import (
    answered,
    last_boxed,
    normalized,
    strip_solution_markers,
    without,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from novaloop.rewards.prose import Prose

# Between letters and digits alone: a label that began with a joint would be looked for at each of a
# row of underscores, up to the end of the row, which is quadratic.
JOINT = re.compile(r"(?<=[^\W_])[ \t_-]+(?=[^\W_])")
_INVISIBLE = (
    *(0xAD, 0x61C, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
    *range(0xFE00, 0xFE10),  # variation selectors
    *range(0x1F3FB, 0x1F400),  # skin tones
    0x307,  # what the lower case of a dotted capital I has over its i
    *(0x640, *range(0x64B, 0x653), 0x670),  # Arabic's short vowels and what lengthens a line
    *(*range(0x5B0, 0x5BD), 0x5C1, 0x5C2, 0x5C7),  # Hebrew's vowels
)
_ALIKE = {
    **dict.fromkeys(_INVISIBLE),
    **dict.fromkeys([*range(0x2010, 0x2014), 0x2212], "-"),
    **dict.fromkeys([0x2018, 0x2019, 0x2BC], "'"),
    0x131: "i",
}
_BEFORE = " \t\r\n*_`\"'([{<>:#\u201c\u2018\u00ab\u300c\u3010"
AFTER = " \t\r\n*_`\"')]}>.,:;!\u2026\u201d\u2019\u00bb\u300d\u3011\u3002\u0964"
_LED_IN = re.compile(
    r"[*_# ]*(?:(?:the|my) )?(?:(?:final|correct|best) )?(?:answer|category|class|classification"
    r"|label|output|result|prediction|verdict)(?: is|[*_ ]*:)(?![^\W_])"
    r"|[*_ ]*no[:,](?=\s)"  # as "No: negative.", to who asked for another one
)
_TAG = re.compile(
    r"<(answer|final[ _-]?answer|final|label|category|class|classification|prediction|output|result"
    r"|verdict)>"
)
# What explains an answer names labels that it doesn't give.
_ASIDE = re.compile(
    r"<(/?)(?:reasons?|explanation|justification|internal|notes?|comments?|evidence|critique)>",
    re.IGNORECASE,
)
# What Markdown shows as struck out, and its backslashes before what would be a mark.
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(s|del|strike)>[^<\n]{1,200}</\1>", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?=[_*-])")
_CHECKBOX = re.compile(r"\[([ x\u2713\u2714]?)\]|([\u2610\u2611\u2612])")
_LATEX = re.compile(r"\\(?:text\w*|math\w*|mbox|bf|rm)|[{}$()]|\\(?=[_ ])")
_KEYS = (
    *("label", "answer", "final_answer", "category", "classification", "class", "prediction"),
    *("sentiment", "verdict", "result", "output", "decision", "intent", "rating", "response"),
)


# What the values of these keys name is not the answer.
_DENIED_KEYS = (
    *(
        "not",
        "rejected",
        "excluded",
        "ruled_out",
        "eliminated",
        "wrong",
        "incorrect",
        "alternative",
    ),
    *("alternatives", "runner_up", "second_choice", "previous", "old", "considered"),
)


class LabelReader:
    """Reads labels out of generated text.

    Raises ValueError when there are no labels, when one is blank or has surrounding white space,
    or when two differ only in case, normal form or in how their words are joined.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        if not self.labels or any(not label or label != label.strip() for label in self.labels):
            raise ValueError("labels must be a list of texts without surrounding white space")
        self._exact = {normalized(label, "NFC"): label for label in self.labels}
        self._by_letters = {letters(folded(label)): label for label in self.labels}
        self._longest = 2 * max(map(len, self._by_letters))
        if len(self._by_letters) < len(self.labels) or "" in self._by_letters:
            raise ValueError(
                "two labels differ only in case, spaces, hyphens or underscores; rename one"
            )

    def strict(self, text: str) -> str | None:
        """The label that is the whole answer, or None."""
        answer = strip_solution_markers(text)
        return self._exact.get(answer) or self._exact.get(normalized(answered(answer), "NFC"))

    def lenient(self, text: str) -> str | None:
        """The label that the answer names by the rules above, or None."""
        answer = strip_solution_markers(text)
        if answer in self._exact:
            return self._exact[answer]
        answer = _ESCAPE.sub("", _STRUCK.sub(" ", answered(answer))).strip()
        read = folded(answer)
        if (found := self._whole(read)) is not None:
            return found
        if "<" in read and _ASIDE.search(answer):
            answer = without(_ASIDE, answer).strip()
            read = folded(answer)
            found = self._whole(read)
        return found or self._marked_or_said(answer, read)

    def _whole(self, read: str) -> str | None:
        by_letters = self._by_letters
        if len(read) <= self._longest:
            found = by_letters.get(read) or by_letters.get(letters(read))
            if found:
                return found
        led_in = _LED_IN.match(read)
        bare = (read[led_in.end() :] if led_in else read).lstrip(_BEFORE).rstrip(AFTER)
        if len(bare) > self._longest:
            return None
        return by_letters.get(bare) or by_letters.get(letters(bare))

    def _marked_or_said(self, answer: str, read: str) -> str | None:
        boxed = last_boxed(read)
        if boxed is not None:
            return self._part(_LATEX.sub("", boxed))
        tags = list(_TAG.finditer(read)) if "<" in read else []
        if tags:
            return self._of_last(read, tags)
        if "{" in read:
            try:
                value = json.loads(read[read.find("{") : read.rfind("}") + 1])
                found = self._of_json(value)
            except (ValueError, RecursionError):
                found = None
            if found:
                return found[0]
        boxes = list(_CHECKBOX.finditer(read))
        if boxes and (ticked := self._ticked(read, boxes)):
            return ticked[0]
        return self._prose.label(answer, read)

    def _of_last(self, read: str, tags: Sequence[re.Match[str]]) -> str | None:
        """The label in the last tag; None if another of its kind holds another one, and nothing
        between them says that the last counts."""
        from novaloop.rewards.cues import RECONSIDERED  # noqa: PLC0415 - as for prose below

        last, end = tags[-1], f"</{tags[-1][1]}"
        label = self._part(read[last.end() :].partition(end)[0])
        alike = [tag for tag in tags[:-1] if tag[1] == last[1]]
        for tag in alike[-1:]:
            content, closed, between = read[tag.end() : last.start()].partition(end)
            other = self._part(content) if closed else None
            if other not in {None, label} and not RECONSIDERED.search(between):
                return None
        return label

    def _ticked(self, read: str, boxes: Sequence[re.Match[str]]) -> tuple[str | None] | None:
        """The label of the one box that is ticked, in a tuple; None if no box has a label."""
        ends = [*(box.start() for box in boxes[1:]), len(read)]
        texts = (
            read[box.end() : end].partition("\n")[0] for box, end in zip(boxes, ends, strict=True)
        )
        named = [
            (box[1] or box[2], label)
            for box, text in zip(boxes, texts, strict=True)
            if (label := self._part(text))
        ]
        marks = {mark for mark, _ in named}
        # A box with a cross in it is the ticked one beside empty ones, and the other beside a tick.
        ticks = set("x\u2713\u2714\u2611") | ({"\u2612"} if "\u2610" in marks else set())
        ticked = {label for mark, label in named if mark and mark in ticks}
        return (ticked.pop() if len(ticked) == 1 else None,) if named else None

    def _part(self, read: str) -> str | None:
        return self._whole(read.strip()) or self._prose.label(read, read)

    def _of_json(self, value: object) -> tuple[str | None] | None:
        """The label of an object, in a tuple; None if the object is no answer."""
        if not isinstance(value, dict):
            return None
        for key in _KEYS:
            if key in value:
                its = value[key]
                its = its[0] if isinstance(its, list) and len(its) == 1 else its
                if isinstance(its, dict):
                    return self._of_json(its) or (None,)
                is_text = isinstance(its, str | int) and not isinstance(its, bool)
                return (self._part(folded(str(its))) if is_text else None,)
        true = {self._whole(key) for key, its in value.items() if its is True} - {None}
        denied = any(key in value for key in _DENIED_KEYS)
        texts = [
            folded(its)
            for key, its in value.items()
            if isinstance(its, str) and key not in _DENIED_KEYS
        ]
        named = true or {*map(self._whole, texts)} - {None}
        if named or denied or any(map(self._whole, value)):
            return (named.pop() if len(named) == 1 else None,)
        return None

    @cached_property
    def _prose(self) -> Prose:
        # Few answers need it, a label's check in experiment.yaml none, and its patterns take longer
        # to compile than all else that is imported here.
        from novaloop.rewards.prose import Prose  # noqa: PLC0415

        return Prose({folded(label): label for label in self.labels})


def folded(text: str) -> str:
    """The text without what makes no difference to a reader: case, width, invisible characters."""
    if text.isascii():
        return text.lower()
    return normalized(normalized(text, "NFKC").casefold().translate(_ALIKE), "NFKC")


def letters(read: str) -> str:
    """A folded text without what joins its words."""
    return JOINT.sub("", read)


@lru_cache(maxsize=64)
def label_reader(labels: tuple[str, ...]) -> LabelReader:
    """The shared reader for a label set; raises as LabelReader does."""
    return LabelReader(labels)
