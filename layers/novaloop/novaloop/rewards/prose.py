"""Which label does prose name? A mention is found, then how it is meant, then which one counts.

A mention never lies inside a longer word, compound or number ("HQs", "non-HQ", "1" in "10" or
"-1"), and the longest label wins where several fit. In Chinese, Japanese and Thai, which are
written without spaces, labels are found inside a text where it is said of something, Korean ones
before particles. Labels of one character, of one or two digits, or such as "no" and "other" are
mentioned only where an answer may stand, not in "a good question" or "1 error".

A mention is affirmed unless it is denied ("not HQ", "HQ is ruled out", "HQ: no") or left open:
weighed ("might be HQ", "HQ?"), listed ("HQ or LQ_EDIT"), scored ("HQ: 0.7, LQ_EDIT: 0.3"), supposed
("would be HQ with code"), general ("HQ posts have code"). The words for that are in `cues.py`. Of a
label that is denied last nothing is affirmed. What somebody else is quoted with (he wrote "HQ") and
phrases ("Good question!") name nothing, and a form whose field holds two labels names none. Of what
is affirmed, the first of these decides:

1. the only label, unless the text refuses to answer;
2. the last one stated: "the answer is X", "Category: X", "classified as X", "X fits best";
3. the only one that leads a line ("X because"), stands alone in one, or is concluded ("so it's X");
4. the only one that is said of the text ("this review is X").
"""

from __future__ import annotations

import re

from novaloop.rewards import cues
from novaloop.rewards.labels import AFTER, JOINT, letters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Mention = tuple[int, int, str]
    """Begin, end, label."""
    Affirmed = tuple[int, int, int, str]
    """Where what is said of it begins, begin, end, label."""

CONTEXT = 96
"""Characters before and after a mention in which is looked for how it is meant."""
AFFIRMED, DENIED, OPEN = 1, -1, 0

_ANY_JOINT = r"[ \t_-]*"
# Chinese, Japanese, Thai and their neighbours, whose words follow each other without a space.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u31f0-\u9fff\uf900-\ufaff"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3"
# Vowel signs and accents belong to the letter before; the blocks of India's scripts are alike.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    + "".join(
        f"{chr(block)}-{chr(block + 3)}{chr(block + 0x3A)}-{chr(block + 0x3C)}"
        f"{chr(block + 0x3E)}-{chr(block + 0x4D)}{chr(block + 0x51)}-{chr(block + 0x57)}"
        f"{chr(block + 0x62)}{chr(block + 0x63)}"
        for block in range(0x900, 0xE00, 0x80)
    )
    + "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
)
_WORD = rf"[^\W_{_UNSPACED}{_HANGUL}]"
_END_OF_WORD = rf"(?![{_MARKS}])(?!{_WORD})(?![_-]{_WORD})"
_END_OF_NUMBER = r"(?![.,]\d)"
_PARTICLE = (
    f"(?:적)?(?:[이인입임은는을를로도과와가만라의에으일지][{_HANGUL}]{{0,9}})?"
    f"(?![{_HANGUL}])(?!{_WORD})"
)
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_IS_RUN_ON = re.compile(f"[{_UNSPACED}{_HANGUL}]")
_IS_HANGUL = re.compile(f"[{_HANGUL}]")
_IS_THAI = re.compile("[\u0e00-\u0e7f]")
_THAI_BEFORE = re.compile(r"(?:คือ|เป็น|ว่า|เชิง|แบบ|ด้าน|ทาง|ระดับ|หมวด|ประเภท|ใช่|หรือ|และ|แต่|ได้)\Z")
_THAI_AFTER = "ครับ|ค่ะ|คะ|นะ|และ|หรือ|แต่|เพราะ|เนื่อง|มาก|ไม่|ที่|อย่าง|กว่า"
_LONG_THAI = 6

_COMMON = frozenset(
    (
        *("no", "none", "other", "others", "not", "or", "and", "it", "is", "on", "off", "in"),
        *("out", "up", "down", "so", "go", "do", "to", "all", "any", "some"),
    )
)
# Where an answer may stand that is a letter, a digit or a common word.
_MAY_STAND_AFTER = re.compile(
    r"(?:(?:^|\n)[^\w\n]*|[.?!]\s+|[(\[*`\"_\u201c\u2018]"
    r"|(?:\b(?:option|choice|letter|number|grade|class|label|category|rating|score|answer|is|was"
    r"|as|be|than|eliminate|exclude|reject|check|pick|choose|select|with|say|and|or|nor|not|in|so"
    r"|between|among|to|under|for|neither|either|both|ist|est|es|but|it)|'s|[:=,>\u2192/]|\w是|为)\s*)"
    r"[\s*_`\"'(\[]*\Z"
)
_MAY_STAND_BEFORE = re.compile(
    r"[*_`\"'\u201d)\]]*(?:\s*\Z|\s*\n|\s*[^\w\s'%]|\s+(?:is|because|since|as|or|and|nor|fits|best"
    r"|over|instead|rather|would|seems|wins|out\s+of|stars?\b|points?\b))"
)
_COUNTED = re.compile(r"\s*(?:stars?\b|out\s+of\b|/\s?\d)")
_AT_MOST = re.compile(r"(?:\d\s?/\s?|\bout\s+of\s+)\Z")
_NOT_BEFORE = tuple("$\u20ac\xa3\xa5\u2264\u2265")
_GOES_ON = re.compile(r"[+#]|[.&]\w")
"""Behind a letter: it is a part of a name, as in "C++" and "D.C."."""
_ITEM_OF_A_LIST = re.compile(r"[.)]\s+\w")
_NUMBERED = re.compile(r"\.\s?\d")
_OPENED = tuple('([{*`"_\u201c\u2018\u300c\u3010')
_CLOSED = tuple(')]}*`"_\u201d\u2019\u300d\u3011')

_SIGNS = ("!", "\xac", "(")
_BEFORE_ASIDE = tuple(":=-ps")

_LEADS = re.compile(
    r"\)\s|[\s*_`\"')\]]*"
    r"(?:\Z|[.:;\n(\u2014。|]|\s-+\s|\s*,?\s*(?:because|since|as|with|due to|given)\b)"
)
_ITEM = re.compile(r"(?:[-*+\u2022]|\d[.)])\s")
_BEGINS_A_CLAUSE = re.compile(r"\s+(?:is|was|fits|seems|applies|matches|remains)\b")
_SIMPLY_NOT = re.compile(r"(?:\bnot|n't)(?: an?)?\s*\Z")


class Prose:
    """Reads labels, given by their folded texts, out of folded prose."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._by_letters = {letters(read): label for read, label in labels.items()}
        self._weak = {
            label
            for read, label in labels.items()
            if read in _COMMON
            or (read.lstrip("-").isdecimal() and len(read) < 3)
            or (len(read) == 1 and read.isalnum())
        }
        self._opposite = {
            other: label
            for read, label in self._by_letters.items()
            for its, other in self._by_letters.items()
            if read in {f"non{its}", f"not{its}"}
        }
        # The longest first; each starts with a literal, which `re` scans for fast.
        words = [JOINT.split(read) for read in labels]
        words.sort(key=lambda parts: (-sum(map(len, parts)), parts))
        self._pattern = re.compile(
            "|".join(_ANY_JOINT.join(map(re.escape, parts)) + _end_of(parts[-1]) for parts in words)
        )

    def label(self, answer: str, read: str) -> str | None:
        """The label that an answer names, `read` being its folded text; None if in doubt."""
        read = cues.IDIOM.sub(_blanked, cues.REPORTED.sub(_blanked, read))
        mentions = self._mentions(answer, read)
        if not mentions:
            return None
        meant = self._meant(read, mentions)
        starts = (0, *(end for _, end, _ in mentions))
        affirmed = [
            (max(start, begin - CONTEXT), begin, end, label)
            for start, (begin, end, label), how in zip(starts, mentions, meant, strict=False)
            if how == AFFIRMED
        ]
        named = {label for *_, label in affirmed}
        if not named:
            return None
        refused = cues.REFUSED.search(read) is not None
        if len(named) == 1 and not refused:
            return named.pop()
        *_, (start, begin, _, last) = affirmed
        if cues.CORRECTED.search(read, start, begin):
            return None if refused else last
        for index, (start, begin, end, label) in reversed([*enumerate(affirmed)]):
            if cues.STATED.search(read, start, begin) or cues.STATED_BEHIND.match(
                read, end, end + CONTEXT
            ):
                later = affirmed[index + 1 :]
                contested = any(
                    cues.CONTRAST.search(read, its_start, its_begin) and its != label
                    for its_start, its_begin, _, its in later
                )
                contradicted = _has_another(read, affirmed[: index + 1])
                return None if contested or contradicted else label
        return None if refused else _standing_out(read, affirmed)

    def _mentions(self, answer: str, read: str) -> list[Mention]:
        found = []
        for match in self._pattern.finditer(read):
            begin, end = match.span()
            spelling = match[0]
            label = self._by_letters.get(spelling) or self._by_letters[letters(spelling)]
            if _starts_a_word(read, begin, end) and (
                label not in self._weak or _may_stand(answer, read, begin, end, label)
            ):
                found.append((begin, end, label))
        return found

    def _meant(self, read: str, mentions: list[Mention]) -> list[int]:
        """How each mention is meant; puts the opposite in place of "not X" where it is a label."""
        meant: list[int] = []
        last, before = 0, None
        for index, (begin, end, label) in enumerate(mentions):
            following = mentions[index + 1][0] if index + 1 < len(mentions) else len(read)
            gap = read[max(last, begin - CONTEXT) : begin]
            listed = (
                before is not None
                and begin - last <= len(gap)
                and (
                    cues.ALSO.search(gap) is not None
                    or (
                        cues.LISTED.fullmatch(gap) is not None
                        and not (gap.strip() == "," and _BEGINS_A_CLAUSE.match(read, end, end + 24))
                    )
                )
            )
            if meant and cues.THAN.search(gap) and cues.LESS_THAN.search(gap):
                how = meant[-1] = OPEN
            elif meant and meant[-1] == DENIED and cues.SO_IS.search(gap):
                how = DENIED
            elif listed and meant[-1] != AFFIRMED:
                how = meant[-1]
            else:
                how = _how(read, gap, begin, end, following)
            if how == DENIED and label in self._opposite and _SIMPLY_NOT.search(gap):
                mentions[index] = (begin, end, self._opposite[label])
                how = AFFIRMED
            if listed and label != before and how != DENIED and meant[-1] == AFFIRMED:
                how = meant[-1] = OPEN
            meant.append(how)
            last, before = end, label
        scored = [
            index
            for index, (_, end, _) in enumerate(mentions)
            if cues.SCORED.match(read, end, end + 24)
        ]
        if len({mentions[index][2] for index in scored}) > 1:
            for index in scored:
                meant[index] = OPEN
        decided = {m[2]: how for m, how in zip(mentions, meant, strict=True) if how != OPEN}
        return [
            OPEN if how == AFFIRMED != decided.get(label) else how
            for (_, _, label), how in zip(mentions, meant, strict=True)
        ]


def _blanked(match: re.Match[str]) -> str:
    """A word of no meaning that is as long as it, behind its first group."""
    return match[1].ljust(len(match[0]), "x")


def _has_another(read: str, affirmed: Sequence[Affirmed]) -> bool:
    """Whether the last stands in a form, and its field stood there before with another label.

    Unless something between them says that the last one counts.
    """
    *before, (start, begin, _, label) = affirmed
    heading = cues.HEADING.search(read, start, begin)
    if heading is None or heading["last"]:
        return False
    for its_start, its_begin, its_end, other in reversed(before):
        its = cues.HEADING.search(read, its_start, its_begin)
        if its is not None and its["noun"] == heading["noun"]:
            return other != label and not cues.RECONSIDERED.search(read, its_end, heading.start())
    return False


def _end_of(word: str) -> str:
    if _IS_HANGUL.match(word[-1]):
        return f"(?={_PARTICLE})"
    if _IS_THAI.match(word[-1]) and len(word) < _LONG_THAI:
        return rf"(?![{_MARKS}])(?:(?![\u0e00-\u0e7f])|(?={_THAI_AFTER}))"
    if _IS_UNSPACED.match(word[-1]):
        return f"(?![{_MARKS}])"
    return _END_OF_WORD + (_END_OF_NUMBER if word[-1].isdigit() else "")


def _starts_a_word(read: str, start: int, end: int) -> bool:
    """Whether what begins at `start` continues no word, compound or number."""
    if start == 0:
        return True
    before, own = read[start - 1], read[start]
    if not before.isascii() and _IS_UNSPACED.match(before):
        # Thai words are not told apart by their letters: a short one may be part of another.
        in_thai = end - start < _LONG_THAI and _IS_THAI.match(own) and _IS_THAI.match(before)
        return not in_thai or _THAI_BEFORE.search(read, max(0, start - 8), start) is not None
    if before.isalnum():
        return not own.isascii() and _IS_UNSPACED.match(own) is not None
    in_compound = before in "_-" and start > 1 and read[start - 2].isalnum()
    in_number = own.isdigit() and before in "+-.,"
    return not (in_compound or in_number)


def _may_stand(answer: str, read: str, begin: int, end: int, label: str) -> bool:
    """Whether a letter, digit or common word stands where an answer may."""
    before, after = read[max(0, begin - 24) : begin], read[end : end + 24]
    if label[-1].isdecimal():
        is_item = _ITEM_OF_A_LIST.match(after) and _line_before(read, begin) is not None
        is_other = _AT_MOST.search(before) or before[-1:] in _NOT_BEFORE or after[:1] == "+"
        if is_item or is_other:
            return False
        if _COUNTED.match(after):
            return True
    elif (len(label) == 1 and _GOES_ON.match(after) is not None) or (
        # An article or a pronoun is told from the label by its case as well.
        (len(label) == 1 or label.isupper())
        and not (before[-1:] in _OPENED and after[:1] in _CLOSED)
        and (len(answer) != len(read) or answer[begin:end] != label)
    ):
        return False
    if cues.ANSWERED_NO.match(after) or cues.ANSWERED_YES.match(after):
        return True
    follows = _MAY_STAND_AFTER.search(before if begin > len(before) else f"\n{before}")
    is_number = read[begin:end] == "no" and _NUMBERED.match(after)  # "No. 5"
    return bool(follows and not is_number and _MAY_STAND_BEFORE.match(after))


def _how(read: str, gap: str, begin: int, end: int, following: int) -> int:
    """How a mention is meant, by what follows up to the next one and by the clause before it."""
    after, newline, _ = read[end : min(following, end + CONTEXT)].partition("\n")
    if not newline and end < following < len(read):
        after += "\0"  # what is cut off here is not the end of the text
    bare = after.lstrip(AFTER)
    if after and after[0] not in ".,;" and bare:
        if cues.ANSWERED_YES.match(after):
            return AFFIRMED
        if cues.ANSWERED_NO.match(after) or cues.DENIED_BEHIND.match(after):
            return DENIED
        if cues.OPEN_BEHIND.match(after) or cues.UNLIKELY.match(after):
            return OPEN
        if following == len(read) and cues.CUT_OFF.match(read, end):
            return OPEN
    how = _how_by_clause(read, gap, begin, end) if gap else AFFIRMED
    if how == AFFIRMED and not read[end - 1].isascii() and _IS_RUN_ON.match(read[end - 1]):
        said = cues.SAID_UNSPACED.search(gap) or cues.SAID_UNSPACED_BEHIND.match(
            read, end, min(len(read), end + 24)
        )
        return AFFIRMED if said else OPEN
    return how


def _how_by_clause(read: str, gap: str, begin: int, end: int) -> int:
    # How all of its kinds end is looked at first: few mentions stand behind one.
    if gap.rstrip(cues.OPENED)[-1:] in _BEFORE_ASIDE and cues.SET_ASIDE.search(gap):
        return OPEN
    clause = gap
    for cut in cues.BREAK.finditer(gap):
        clause = gap[cut.end() :]
    words = {word.strip("*_`\"'") for word in clause.split()}
    if _denies(gap, clause, words, follows_another=begin > len(gap)):
        doubted = not words.isdisjoint({"doubt", "question"})
        undoubted = doubted and not words.isdisjoint({"no", "without"})
        return AFFIRMED if undoubted or "only" in words else DENIED
    if not words.isdisjoint(cues.OPENING):
        return OPEN
    if not clause.isascii() and cues.OPENING_UNSPACED.search(clause):
        return OPEN
    sentence = read[max(0, begin - CONTEXT) : begin].rpartition(".")[2].rpartition("\n")[2]
    hangs = cues.HANGS.match(sentence) is not None
    if not hangs and cues.SUPPOSED.search(clause):
        behind = read[end : end + CONTEXT].partition(".")[0]
        hangs = bool(cues.CONDITION.search(sentence) or cues.CONDITION.search(behind))
    return OPEN if hangs and not cues.STATED.search(clause) else AFFIRMED


def _denies(gap: str, clause: str, words: set[str], *, follows_another: bool) -> bool:
    """Whether what stands before a mention, of which the clause is the end, denies it."""
    return bool(
        not words.isdisjoint(cues.DENYING)
        or "n't" in clause
        or cues.ELIDED.search(clause)
        or ("free" in words and cues.FREE_OF.search(clause))
        or (gap[-1:] in _SIGNS and cues.NEGATED.search(gap))
        or (not follows_another and cues.UNEQUAL.fullmatch(gap))
        or cues.ALL_BUT.search(gap)
        or (":" in gap and cues.VERDICT_BEFORE.search(gap))
        or (follows_another and cues.PREFERRED.fullmatch(gap))
        or (not clause.isascii() and cues.DENYING_UNSPACED.search(clause))
    )


def _standing_out(read: str, affirmed: list[Affirmed]) -> str | None:
    leading: set[str] = set()
    items: set[str] = set()
    concluded: set[str] = set()
    said: set[str] = set()
    for start, begin, end, label in affirmed:
        line = _line_before(read, begin)
        if line is not None and _LEADS.match(read, end, end + 24):
            (items if _ITEM.search(line) else leading).add(label)
        if cues.CONCLUDED.search(read, start, begin) or cues.ANSWERED_YES.match(
            read, end, end + 24
        ):
            concluded.add(label)
        elif cues.OF_THE_TEXT.search(read, start, begin):
            said.add(label)
    chosen = (leading or items) | concluded or said
    return chosen.pop() if len(chosen) == 1 else None


def _line_before(read: str, begin: int) -> str | None:
    """What stands in the line before `begin`: a few marks or the number of an item; else None."""
    before = read[max(0, begin - 16) : begin]
    line = before.rpartition("\n")[2]
    if (line == before and begin > len(before)) or any(map(str.isalpha, line)):
        return None
    return line
