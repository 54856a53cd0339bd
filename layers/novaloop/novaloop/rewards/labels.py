"""Which label does a generated text name? The one answer for rewards and for metrics.

Strict reading: the whole answer, without solution markers and surrounding white space, is a label.

Lenient reading, by the first rule that decides:

1. the strict reading;
2. only one label is mentioned;
3. the last statement such as "the answer is X", "Category: X" or "classified as X";
4. only one label stands alone on a line;
5. the last line that mentions labels mentions only one.

Otherwise the text names no label. A mention ignores case and how the words of a label are joined
("LQ_EDIT", "lq edit", "LQ-EDIT"), but not what a label begins or ends with; it never lies inside a
longer word, compound or number ("HQs", "non-HQ", "1" in "10" or "-1"), and the longest label wins
where several fit. A negated mention ("not HQ", "rather than HQ") is none.
"""

from __future__ import annotations

import re
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Mention = tuple[int, int, str]
    Line = tuple[int, int, list[Mention]]

BEGIN_OF_SOLUTION = "<|begin_of_solution|>"
END_OF_SOLUTION = "<|end_of_solution|>"

# Between letters and digits alone: a label that began with a joint would be looked for at each of a
# row of underscores, up to the end of the row, which is quadratic.
_JOINT = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")
_ANY_JOINT = r"[ \t_-]*"
_END_OF_WORD = r"(?![^\W_])(?![_-][^\W_])"
_END_OF_NUMBER = r"(?![.,]\d)"
_OPENING = r"[\s\"'`*_(\[{:]*\Z"
_NEGATION = re.compile(
    r"(?:\b(?:not|never|neither|nor|than|instead\s+of)|n['\u2019]t)"
    r"(?:\s+be)?(?:\s+(?:an?|the))?" + _OPENING
)
_STATEMENT = re.compile(
    r"(?:\b(?:answer|category|class|classification|label|output|prediction|result|verdict)"
    r"(?:\s+(?:is|was|(?:would|should|must|will)\s+be)\b|[\s*_`\"']*(?::|=|->|\u2192))"
    r"|\bclassif\w+\s+(?:\w+\s+){0,4}as\b)"
    r"(?:\s*(?:an?|the|clearly|therefore|thus)\b)?" + _OPENING
)
_CONTEXT = 64  # characters before a mention in which a statement or a negation is looked for


def strip_solution_markers(text: str) -> str:
    """The text of the last solution block, or the whole text; surrounding white space removed."""
    if "<|" in text:
        text = text.rpartition(BEGIN_OF_SOLUTION)[2].partition(END_OF_SOLUTION)[0]
    return text.strip()


class LabelReader:
    """Reads labels out of generated text.

    Raises ValueError when there are no labels, when one is blank or has surrounding white space,
    or when two differ only in case or in how their words are joined.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        if not self.labels or any(not label or label != label.strip() for label in self.labels):
            raise ValueError("labels must be a list of texts without surrounding white space")
        self._exact = frozenset(self.labels)
        self._by_letters = {_letters(label.lower()): label for label in self.labels}
        if len(self._by_letters) < len(self.labels):
            raise ValueError(
                "two labels differ only in case, spaces, hyphens or underscores; rename one"
            )
        self._pattern = _pattern(self.labels)

    def strict(self, text: str) -> str | None:
        """The label that is the whole answer, or None."""
        answer = strip_solution_markers(text)
        return answer if answer in self._exact else None

    def lenient(self, text: str) -> str | None:
        """The label that the answer names by the rules above, or None."""
        answer = strip_solution_markers(text)
        if answer in self._exact:
            return answer
        lowered = answer.lower()
        mentions = list(self._mentions(lowered))
        named = {label for *_, label in mentions}
        if len(named) < 2:
            return named.pop() if named else None
        lines = list(_lines(lowered, mentions))
        return _last_stated(lowered, lines) or _alone_on_a_line(lowered, lines) or _last_line(lines)

    def _mentions(self, text: str) -> Iterator[Mention]:
        for match in self._pattern.finditer(text):
            begin, end = match.span()
            if _starts_a_word(text, begin) and not _preceded_by(_NEGATION, text, begin):
                spelling = text[begin:end]
                letters = spelling if spelling in self._by_letters else _letters(spelling)
                yield begin, end, self._by_letters[letters]


def _letters(lowered: str) -> str:
    return _JOINT.sub("", lowered)


def _pattern(labels: Sequence[str]) -> re.Pattern[str]:
    """Alternatives, the longest first; each starts with a literal, which `re` scans for fast."""
    words = [_JOINT.split(label.lower()) for label in labels]
    words.sort(key=lambda parts: (-sum(map(len, parts)), parts))
    return re.compile(
        "|".join(
            _ANY_JOINT.join(map(re.escape, parts))
            + _END_OF_WORD
            + (_END_OF_NUMBER if parts[-1][-1].isdigit() else "")
            for parts in words
        )
    )


def _lines(text: str, mentions: list[Mention]) -> Iterator[Line]:
    """Start, end and mentions of each line that has any; no mention crosses lines."""
    start, end = 0, -1
    own: list[Mention] = []
    for mention in mentions:
        if mention[0] > end:
            if own:
                yield start, end, own
            # No line is looked at from its end more than once, however many mentions it has.
            start = text.rfind("\n", max(end, 0), mention[0]) + 1
            end = text.find("\n", mention[0])
            end, own = len(text) if end < 0 else end, []
        own.append(mention)
    if own:
        yield start, end, own


def _starts_a_word(text: str, start: int) -> bool:
    """Whether what begins at `start` continues no word, compound or number."""
    if start == 0:
        return True
    before = text[start - 1]
    if before.isalnum():
        return False
    in_compound = before in "_-" and start > 1 and text[start - 2].isalnum()
    in_number = text[start].isdigit() and before in "+-.,"
    return not (in_compound or in_number)


def _preceded_by(pattern: re.Pattern[str], text: str, start: int) -> bool:
    return pattern.search(text, max(0, start - _CONTEXT), start) is not None


def _last_stated(text: str, lines: list[Line]) -> str | None:
    for _, _, mentions in reversed(lines):
        for start, _, label in reversed(mentions):
            if _preceded_by(_STATEMENT, text, start):
                return label
    return None


def _alone_on_a_line(text: str, lines: list[Line]) -> str | None:
    alone = {
        mentions[0][2]
        for start, end, mentions in lines
        if len(mentions) == 1
        and not any(map(str.isalnum, text[start : mentions[0][0]]))
        and not any(map(str.isalnum, text[mentions[0][1] : end]))
    }
    return alone.pop() if len(alone) == 1 else None


def _last_line(lines: list[Line]) -> str | None:
    named = {label for *_, label in lines[-1][2]}
    return named.pop() if len(named) == 1 else None


@lru_cache(maxsize=64)
def label_reader(labels: tuple[str, ...]) -> LabelReader:
    """The shared reader for a label set; raises as LabelReader does."""
    return LabelReader(labels)
