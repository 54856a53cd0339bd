r"""Which regular expressions a reward may use: those that `re` searches for in bounded time.

`re` tries one way after the other, so `(a+)+$` takes twice as long for every further `a`. A pattern
is accepted if the steps that it can take from one place of a text of MAX_CHARACTERS, counted by the
rules below and never too low, are at most MAX_STEPS. A search begins at every place, and may read
up to the end from each, which is quadratic. So the end of an answer is searched that is short
enough for the pattern: all steps from all places of it are at most MOST_STEPS (`reach_of`).

`ways` are in how many ways a part can match from one place and leave the rest anything to try,
`steps` what trying them all takes:

- A character has one way and takes one step; so has an assertion.
- In a sequence, ways are multiplied, and what follows is tried once for each way.
- Alternatives add up. They have no more ways than one of them if no two begin with the same.
- A repetition has as many ways as it can stop in, but one way if nothing that can follow begins
  with what it begins with: where it stops too early, what follows fails at once.
- What can't fail, up to the end of the pattern, never asks for another way: the search is over.
- What is repeated without end must have a single way, and take a character each time. Then a text
  is read by it in one way only, and the steps are in proportion to the text.

What parts begin with are sets of characters, ASCII one by one and the rest by kind. They are never
too small, so that parts said to differ do differ. Assertions count as if they always held.

Refused too is what the rules don't cover: backreferences, looks around, conditions, atomic groups,
possessive repetitions, comments, and flags other than i, m and s.
"""

from __future__ import annotations

import re
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_CHARACTERS = 5_000
"""Of an answer: its last ones are searched, since what a model reasons ends in what it says."""
MAX_STEPS = 50 * MAX_CHARACTERS
MOST_STEPS = 10_000_000
"""Of one search: a processor takes up to five nanoseconds for each."""
REACHES = (MAX_CHARACTERS, 4_000, 3_000, 2_500, 2_000, 1_500, 1_000, 800, 600, 400)
"""How much of an answer's end may be searched."""
MAX_DEPTH = 20
"""Groups inside of groups."""
MAX_LENGTH = 1_000
"""Of a pattern, in characters: `re` takes 5 ms to compile a class of all characters."""

_SPACE, _DIGIT, _LETTER, _OTHER = (1 << 128 + kind for kind in range(4))
"""The characters beyond ASCII, by what `\\s`, `\\d` and `\\w` say of them."""
_BEYOND = _SPACE | _DIGIT | _LETTER | _OTHER
_ALL = _BEYOND | (1 << 128) - 1


def _ascii(kind: str) -> int:
    return sum(1 << code for code in range(128) if re.match(kind, chr(code)))


_KINDS = {
    "d": _ascii(r"\d") | _DIGIT,
    "w": _ascii(r"\w") | _DIGIT | _LETTER,
    "s": _ascii(r"\s") | _SPACE,
}
_KINDS |= {kind.upper(): _ALL ^ chars for kind, chars in _KINDS.items()}
_LETTERS = _ascii("[A-Za-z]")
_CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "a": 7}
_CODES = {"x": 2, "u": 4, "U": 8}
_ASSERTIONS = "AZbB"
# Of ASCII digits only, as `re` counts: `{\u0660}` is three characters to it, and no count of zero.
_COUNT = re.compile(r"\{(?!\})([0-9]*)(,?)([0-9]*)\}")
_FLAGS = re.compile(r"\(\?([ims]+)\)")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
_REFUSED = {
    "(?=": "looks ahead",
    "(?!": "looks ahead",
    "(?<": "looks behind",
    "(?P=": "refers back",
    "(?(": "is a condition",
    "(?>": "is an atomic group",
    "(?#": "is a comment",
}


class RefusedPattern(ValueError):  # noqa: N818 - a verdict on the input
    """A pattern is none of those that can be searched for in bounded time, or none at all."""


@lru_cache(maxsize=64)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern that passes. Raises RefusedPattern: which part, where, what to do."""
    if len(pattern) > MAX_LENGTH:
        why = f"has {len(pattern):,} characters; use at most {MAX_LENGTH:,}"
        raise RefusedPattern(why)
    try:
        compiled = re.compile(pattern)
    except (re.error, ArithmeticError, ValueError, RecursionError) as problem:
        raise RefusedPattern(f"is no regular expression of Python: {problem}") from None
    whole = _Parser(pattern, MAX_CHARACTERS).alternatives(0)
    count = _Count(pattern, MAX_CHARACTERS)
    steps = count.cost(whole, _After(0, 0, certain=True))[1]
    if steps > MAX_STEPS or _all_steps(pattern, REACHES[-1]) > MOST_STEPS:
        raise RefusedPattern(count.why_refused())
    return compiled


def search(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Look for a compiled pattern at the end of a text. `^` is still where all of it begins."""
    return pattern.search(text, max(0, len(text) - reach_of(pattern.pattern)))


@lru_cache(maxsize=64)
def group_1(pattern: str) -> re.Pattern[str] | None:
    """Return what group 1 of a pattern that passes may hold, as a pattern; None without groups."""
    parser = _Parser(pattern, MAX_CHARACTERS)
    parser.alternatives(0)
    if parser.group_1 is None:
        return None
    return re.compile(parser.group_1, re.compile(pattern).flags)


@lru_cache(maxsize=64)
def reach_of(pattern: str) -> int:
    """Return how many characters of an answer's end are searched for a pattern that passes."""
    return next((each for each in REACHES if _all_steps(pattern, each) <= MOST_STEPS), REACHES[-1])


def read_parts(pattern: str) -> tuple[Part, Part | None]:
    """Return the parts of a pattern that passes, and which of them is group 1."""
    parser = _Parser(pattern, MAX_CHARACTERS)
    whole = parser.alternatives(0)
    return whole, parser.first_group


def _all_steps(pattern: str, size: int) -> int:
    """Return how many steps a search of a text of this size takes at most."""
    whole = _Parser(pattern, size).alternatives(0)
    try:
        steps = _Count(pattern, size).cost(whole, _After(0, 0, certain=True))[1]
    except RefusedPattern:  # a count such as {2000} is one without end in a shorter text
        return MOST_STEPS + 1
    flags = _FLAGS.match(pattern)
    if _begins_text(whole, pattern) and not (flags and "m" in flags[1]):
        return size + steps
    apart = len(_beginning(whole)) or 1
    return size * apart + (size // apart + 1) * steps


def _begins_text(part: Part, pattern: str) -> bool:
    """Whether a part matches where the text begins, and nowhere else."""
    if part.kind == "assertion":
        return pattern[part.start : part.end] in {"^", r"\A"}
    return part.kind == "sequence" and bool(part.parts) and _begins_text(part.parts[0], pattern)


def _beginning(part: Part) -> list[int]:
    """Return the sets of the characters that a part begins with, as far as none can be the first.

    Where all of them stand, they stand again only behind the last: so fewer places are to be tried.
    """
    found: list[int] = []
    for each in _characters(part):
        if each is None or (found and each & found[0]):
            break
        found.append(each)
    return found


def _characters(part: Part) -> Iterator[int | None]:
    """Yield the sets of the characters that stand in a row, and None where that is not known."""
    if part.kind == "character":
        yield part.first
    elif part.kind == "sequence":
        for each in part.parts:
            yield from _characters(each)
    elif part.kind != "assertion":
        yield None


class Part:
    """A part of a pattern, from `start` to `end`: what kind it is, and what it is made of.

    `first` is the set of what it may begin with, `empty` whether it may match nothing, `certain`
    whether it matches anywhere, `tries` how many parts are tried at a place before one takes a
    character, `size` how many parts it has, `depth` how many repetitions inside each other.
    The only part of a repetition may stand `low` to `high` times.
    """

    __slots__ = (
        *("certain", "depth", "empty", "end", "first", "high", "kind"),
        *("low", "parts", "size", "start", "tries"),
    )

    def __init__(self, kind: str, start: int, end: int, parts: Sequence[Part] = ()) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.parts = parts
        self.first = 0
        self.empty = True
        self.certain = False
        self.tries = 1
        self.depth: int = max((part.depth for part in parts), default=0)
        self.size: int = 1 + sum(part.size for part in parts)
        self.low = self.high = 1


def _character(start: int, end: int, first: int) -> Part:
    part = Part("character", start, end)
    part.first, part.empty = first, False
    return part


def _sequence(start: int, end: int, parts: Sequence[Part]) -> Part:
    whole = Part("sequence", start, end, parts)
    whole.certain = all(part.certain for part in parts)
    for part in parts:
        if whole.empty:
            whole.first |= part.first
            whole.tries += part.tries
            whole.empty = part.empty
    return whole


def _alternatives(start: int, end: int, parts: Sequence[Part]) -> Part:
    whole = Part("alternatives", start, end, parts)
    whole.empty = any(part.empty for part in parts)
    whole.certain = any(part.certain for part in parts)
    for part in parts:
        whole.first |= part.first
        whole.tries += part.tries
    return whole


def _repetition(start: int, end: int, part: Part, low: int, high: int) -> Part:
    whole = Part("repetition", start, end, (part,))
    whole.first, whole.tries = part.first, 1 + part.tries
    whole.depth += 1
    whole.empty = part.empty or low == 0
    whole.certain = part.certain or low == 0
    whole.low, whole.high = low, high
    return whole


class _Parser:
    """Reads a pattern that `re` has accepted, for texts of `size` characters."""

    def __init__(self, pattern: str, size: int) -> None:
        self._text = pattern
        self._size = size
        self._at = 0
        self.group_1: str | None = None
        self.first_group: Part | None = None
        self._ignores_case = self._any_is_all = False
        flags = _FLAGS.match(pattern)
        if flags:
            self._ignores_case = "i" in flags[1]
            self._any_is_all = "s" in flags[1]
            self._at = flags.end()

    def alternatives(self, depth: int) -> Part:
        """Read up to the end of the group or of the pattern."""
        if depth > MAX_DEPTH:
            raise self._refused(self._at, f"is deeper than {MAX_DEPTH} groups; use fewer")
        start = self._at
        branches = [self._sequence(depth)]
        while self._text[self._at : self._at + 1] == "|":
            self._at += 1
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else _alternatives(start, self._at, branches)

    def _sequence(self, depth: int) -> Part:
        start, parts = self._at, []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._item(depth)))
        return _sequence(start, self._at, parts)

    def _repeated(self, part: Part) -> Part:
        rest = self._text[self._at :]
        count = _COUNT.match(rest)
        if count:
            least, comma, most = count.groups()
            low = int(least or 0)
            high = (int(most) if most else self._size) if comma else low
        elif rest[:1] in {"*", "+", "?"}:
            low = int(rest[0] == "+")
            high = 1 if rest[0] == "?" else self._size
        else:
            return part
        self._at += count.end() if count else 1
        if self._text[self._at : self._at + 1] == "+":
            self._at += 1
            raise self._refused(part.start, "is possessive; leave out the last +")
        self._at += self._text[self._at : self._at + 1] == "?"
        low, high = min(low, self._size), min(high, self._size)
        return _repetition(part.start, self._at, part, low, high)

    def _item(self, depth: int) -> Part:
        start, letter = self._at, self._text[self._at]
        if letter == "(":
            return self._group(depth)
        if letter == "[":
            chars = self._class()
            return _character(start, self._at, chars)
        if letter == "\\" and self._text[start + 1] in _ASSERTIONS:
            self._at += 2
            return Part("assertion", start, self._at)
        if letter in "^$":
            self._at += 1
            return Part("assertion", start, self._at)
        if letter == ".":
            self._at += 1
            return _character(start, self._at, _ALL if self._any_is_all else _ALL ^ 1 << 10)
        chars = self._character()[0]
        return _character(start, self._at, chars)

    def _group(self, depth: int) -> Part:
        start = self._at
        opening = _GROUP.match(self._text, start)
        if opening is None:
            does = next((does for begins, does in _REFUSED.items() if self._begins(begins)), None)
            self._at = start + 3
            raise self._refused(start, f"{does or 'sets flags here'}; write it without")
        begin = self._at = opening.end()
        is_first = self.group_1 is None and opening[0] != "(?:"
        if is_first:
            self.group_1 = ""  # Groups inside of it are not the first.
        inner = self.alternatives(depth + 1)
        if is_first:
            self.group_1 = self._text[begin : self._at]
        self._at += 1
        group = _sequence(start, self._at, (inner,))
        if is_first:
            self.first_group = group
        return group

    def _begins(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _character(self) -> tuple[int, int, int | None]:
        """Read one character or kind; return its set, never too small, then what is certainly in
        it, never too large, and its code if it has one."""
        start, letter = self._at, self._text[self._at]
        self._at += 1
        if letter != "\\":
            return self._of_code(ord(letter))
        letter = self._text[self._at]
        self._at += 1
        if letter in _KINDS:
            return _KINDS[letter], _KINDS[letter], None
        if letter in _CONTROLS:
            return self._of_code(_CONTROLS[letter])
        if letter in _CODES:
            digits = self._text[self._at : self._at + _CODES[letter]]
            self._at += len(digits)
            return self._of_code(int(digits, 16))
        if letter.isascii() and letter.isalnum():
            what = "refers back" if letter in "123456789" else "is no escape that is read here"
            raise self._refused(start, f"{what}; write it without")
        return self._of_code(ord(letter))

    def _of_code(self, code: int) -> tuple[int, int, int]:
        certain = 1 << code if code < 128 else 0
        return self._in_any_case(certain or _kind_of(code)), certain, code

    def _in_any_case(self, chars: int) -> int:
        """Widen a set by what differs in case alone; a few letters have twins beyond ASCII."""
        if not self._ignores_case or not chars & (_LETTERS | _BEYOND):
            return chars
        return chars | _LETTERS | _LETTER | _OTHER

    def _class(self) -> int:
        self._at += 1
        negated = self._begins("^")
        self._at += negated
        widest = certain = 0
        first = True
        while first or not self._begins("]"):
            first = False
            chars, sure, low = self._character()
            if low is not None and self._begins("-") and not self._text.startswith("-]", self._at):
                self._at += 1
                high = self._character()[2]
                chars, sure = self._of_range(low, low if high is None else high)
            widest |= chars
            certain |= sure
        self._at += 1
        return _ALL ^ certain if negated else widest

    def _of_range(self, low: int, high: int) -> tuple[int, int]:
        certain = sum(1 << code for code in range(low, min(high, 127) + 1))
        return self._in_any_case(certain | (_BEYOND if high > 127 else 0)), certain

    def _refused(self, start: int, why: str) -> RefusedPattern:
        return RefusedPattern(_about(self._text, start, self._at, why))


def _kind_of(code: int) -> int:
    letter = chr(code)
    if letter.isspace():
        return _SPACE
    if letter.isdecimal():
        return _DIGIT
    return _LETTER if letter.isalnum() else _OTHER


class _After:
    """What follows a part: what that may begin with, its tries, and whether it can't fail."""

    __slots__ = ("certain", "first", "tries")

    def __init__(self, first: int, tries: int, *, certain: bool) -> None:
        self.first = first
        self.tries = tries
        self.certain = certain

    def behind(self, part: Part) -> _After:
        """Return what follows that which `part` follows: the part, and this too if it is empty."""
        if not part.empty:
            return _After(part.first, part.tries, certain=False)
        certain = self.certain and part.certain
        return _After(part.first | self.first, part.tries + self.tries, certain=certain)

    def or_again(self, body: Part, low: int) -> _After:
        """Return what follows each repetition of `body`: another one, or this."""
        certain = self.certain and low <= 1
        return _After(body.first | self.first, body.tries + self.tries, certain=certain)


class _Count:
    """Counts ways and steps by the rules above, for texts of `size` characters."""

    def __init__(self, pattern: str, size: int) -> None:
        self._pattern = pattern
        self._size = size
        self._widest: tuple[int, Part] | None = None

    def why_refused(self) -> str:
        """Say which part is most to blame for too many steps."""
        if self._widest is None:
            return "tries too many alternatives at every place; use fewer"
        part = self._widest[1]
        why = (
            "can match in many ways, and after each of them all that follows is tried; let what "
            "follows begin with another character, write it so that it can be read in one way "
            "only, or say how often at most, as in {1,20}"
        )
        return _about(self._pattern, part.start, part.end, why)

    def cost(self, part: Part, after: _After) -> tuple[int, int]:
        """Return the ways and steps of a part. No number is above twice MAX_STEPS."""
        if part.kind == "sequence":
            ways, steps = self._sequence(part, after)
        elif part.kind == "alternatives":
            ways, steps = self._alternatives(part, after)
        elif part.kind == "repetition":
            ways, steps = self._repetition(part, after)
        else:
            ways, steps = 1, 1
        # What can't fail never asks for another way.
        return 1 if after.certain else min(ways, 2 * MAX_STEPS), min(steps, 2 * MAX_STEPS)

    def _sequence(self, part: Part, after: _After) -> tuple[int, int]:
        ways, steps = 1, 0
        for each in reversed(part.parts):
            its_ways, its_steps = self.cost(each, after)
            ways, steps = its_ways * ways, its_steps + its_ways * steps
            after = after.behind(each)
        return ways, 1 + steps

    def _alternatives(self, part: Part, after: _After) -> tuple[int, int]:
        costs = [self.cost(each, after) for each in part.parts]
        seen, differ = 0, True
        for each in part.parts:
            begins = after.behind(each).first
            differ = differ and not seen & begins
            seen |= begins
        if differ:
            return max(ways for ways, _ in costs), part.tries + max(steps for _, steps in costs)
        return sum(ways for ways, _ in costs), sum(steps for _, steps in costs)

    def _repetition(self, part: Part, after: _After) -> tuple[int, int]:
        (body,), low, high = part.parts, part.low, part.high
        again = after if high <= 1 else after.or_again(body, low)
        once, steps = self.cost(body, again)
        if high == self._size and (once > 1 or body.empty):
            raise self._refused(part, body)
        if once == 1 and not body.empty:
            ways = high - low + 1 if body.first & after.first else 1
            if after.certain and body.kind == "character":
                # Once it has stood often enough the search is over, which is counted once.
                steps = 1 + low
            elif again.certain and not self._has_one_way(body, again):
                # It asks for no second way once one of the body is found, but tries all to find it.
                steps = high * (1 + steps + after.tries)
            else:
                # At each place every part is tried once on the way there. On the way back each
                # repetition inside and this one may stop there, and try all that may follow.
                there_and_back = body.size + (1 + body.depth) * (body.size + after.tries)
                steps = min(high * (1 + steps + after.tries), self._size * there_and_back)
        else:
            ways, steps = self._in_many_ways(once, steps, low, high)
        if not after.certain and ways > 1 and (self._widest is None or self._widest[0] < ways):
            self._widest = ways, part
        return ways, steps

    def _has_one_way(self, body: Part, after: _After) -> bool:
        """Whether a part has one way even if what follows may fail."""
        try:
            return self.cost(body, _After(after.first, after.tries, certain=False))[0] == 1
        except RefusedPattern:
            return False

    def _in_many_ways(self, once: int, steps: int, low: int, high: int) -> tuple[int, int]:
        """Return the ways and steps of up to `high` in sequence, each in `once` ways."""
        so_far, all_ways, all_steps = 1, int(low == 0), 0
        for number in range(1, high + 1):
            all_steps += so_far * steps
            so_far *= once
            all_ways += so_far if number >= low else 0
            if all_steps > MAX_STEPS:
                # The ways of what was not counted may be any: those so far are too few to tell.
                return 2 * MAX_STEPS, all_steps
        return max(1, all_ways), all_steps

    def _refused(self, part: Part, body: Part) -> RefusedPattern:
        why = (
            "repeats what can match nothing; let every repetition take a character"
            if body.empty
            else "repeats what can match the same text in several ways, so that the time doubles "
            "with every further character; write it so that it can be read in one way only, such "
            "as [ab]+ for (?:a|b+)+"
        )
        return RefusedPattern(_about(self._pattern, part.start, part.end, why))


def _about(pattern: str, start: int, end: int, why: str) -> str:
    shown = pattern[start:end] if end - start <= 40 else f"{pattern[start : start + 40]}..."
    return f"`{shown}` at character {start + 1} {why}"
