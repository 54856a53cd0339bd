r"""Answers made up to earn a reward for a form: whether a pattern or a schema can be met at all.

What a pattern matches can't be told by looking at it: `a$(\d+)` is a good pattern that is never
found, and `(\d+?)` never takes more than one digit. So texts are made up from its parts, in several
hundred different ways, and searched. A pattern that is found in none of them is taken for one that
never is; it may ask for characters that nobody thought of, and then nothing is said of it.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from zlib import crc32

from novaloop.rewards.patterns import compile_pattern, read_parts, search
from novaloop.rewards.schema import JSON_TYPES, violations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from novaloop.rewards.patterns import Part

    Frame = tuple[str, str]

UNRELATED = ("x", "0", "I don't know.", "Yes: 12 (or 13)!")
"""Answers that no reward is meant for."""
MOST_FRAMES = 8
_TEXTS = 400
"""How many are made up from a pattern before it is said to be found in none."""
_MOST_AT_WILL = 2
"""How often more than a repetition asks for its part is repeated."""
_CHARACTERS = "aZ0 1\n-.,:!?\"'(<{[$\t_\u00e9\u03b1\u0416\u4e2d\u3042\ud55c\u0660\u20ac\u2014\u00a0"
_MAX_CHARACTERS = 100_000
_CODE = re.compile(r"\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8}))")
_FLAGS = re.compile(r"\(\?[ims]+\)")


@lru_cache(maxsize=64)
def pattern_frames(pattern: str) -> tuple[Frame, ...] | None:
    """Return what may stand before and behind group 1 where a pattern that passes is found.

    Without a group it is what may stand around any text, as far as the pattern is found in the two
    of them. None if that can't be told; no frames if the pattern is never found, or never with its
    group. The shortest come first.
    """
    compiled = compile_pattern(pattern)
    try:
        texts = dict.fromkeys(_made_up(pattern))
    except _UnknownCharacterError:
        return None
    found: dict[Frame, None] = {}
    for text, start, end in sorted(texts, key=lambda made: len(made[0])):
        match = search(compiled, text)
        if match is None or (compiled.groups and match[1] != text[start:end]):
            continue
        if compiled.groups:
            found[text[:start], text[end:]] = None
        else:
            found |= dict.fromkeys((text[:at], text[at:]) for at in (0, len(text), start))
        if len(found) >= MOST_FRAMES:
            break
    return tuple(found)


class _UnknownCharacterError(Exception):
    pass


def _made_up(pattern: str) -> Iterator[tuple[str, int, int]]:
    """Yield texts that a pattern may be found in, each with the place of group 1 in it.

    The place is where the last repetition is, if there is no group.
    """
    whole, group = read_parts(pattern)
    flags = _FLAGS.match(pattern)
    written: dict[str, tuple[str, ...]] = {}
    for part in _characters(whole):
        source = pattern[part.start : part.end]
        written[source] = _those_of(source, flags[0] if flags else "")
        if not written[source]:
            raise _UnknownCharacterError
    for number in range(_TEXTS):
        maker = _Maker(pattern, group, written, number)
        maker.add(whole)
        yield "".join(maker.made), maker.start, maker.end


def _characters(part: Part) -> Iterator[Part]:
    if part.kind == "character":
        yield part
    for each in part.parts:
        yield from _characters(each)


def _those_of(source: str, flags: str) -> tuple[str, ...]:
    """Return some characters that a class, an escape or a character stands for."""
    one = re.compile(flags + source)
    codes = (int("".join(code), 16) for code in _CODE.findall(source))
    tried = dict.fromkeys([*_CHARACTERS, *source, *map(chr, codes)])
    return tuple(each for each in tried if one.fullmatch(each))


class _Maker:
    """Makes one text: the simplest first, and then by choices that no two texts share."""

    def __init__(
        self, pattern: str, group: Part | None, written: Mapping[str, tuple[str, ...]], number: int
    ) -> None:
        self.made: list[str] = []
        self.start = self.end = 0
        self._pattern = pattern
        self._group = group
        self._written = written
        self._number = number
        self._choices = self._length = 0

    def _choose(self, options: int) -> int:
        if not self._number or options < 2:
            return 0
        self._choices += 1
        return crc32(b"%d/%d" % (self._number, self._choices)) % options

    def add(self, part: Part) -> None:
        start = self._length
        if part.kind == "character":
            self._add_character(part, 1)
        elif part.kind == "alternatives":
            self.add(part.parts[self._choose(len(part.parts))])
        elif part.kind == "repetition":
            times = min(part.low + self._choose(_MOST_AT_WILL + 1), part.high)
            if part.parts[0].kind == "character":
                self._add_character(part.parts[0], times)
            else:
                for _ in range(times):
                    self.add(part.parts[0])
        else:
            for each in part.parts:
                self.add(each)
        if part is self._group or (self._group is None and part.kind == "repetition"):
            self.start, self.end = start, self._length

    def _add_character(self, part: Part, times: int) -> None:
        options = self._written[self._pattern[part.start : part.end]]
        self.made.append(options[self._choose(len(options))] * times)
        self._length += times


def json_examples(schema: Mapping[str, Any]) -> list[Any]:
    """Return values that fit a schema that can be checked; none if no value does.

    A value of more than 100,000 characters or items counts as none, as no answer is that long.
    """
    return [each for each in _values(schema) if not violations(each, schema)]


def _values(schema: Mapping[str, Any]) -> Iterator[Any]:
    if "const" in schema:
        yield schema["const"]
    elif "enum" in schema:
        yield from schema["enum"] if isinstance(schema["enum"], list) else [schema["enum"]]
    else:
        kinds = schema.get("type", list(JSON_TYPES))
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            yield from _values_of(kind, schema)


def _values_of(kind: str, schema: Mapping[str, Any]) -> Iterator[Any]:
    if kind == "null":
        yield None
    elif kind == "boolean":
        yield from (True, False)
    elif kind in {"number", "integer"}:
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        number = min(max(0, low), high)
        yield from (number, math.ceil(number), math.floor(number))
    elif kind == "string" and schema.get("minLength", 0) <= _MAX_CHARACTERS:
        yield "x" * max(0, math.ceil(schema.get("minLength", 0)))
    elif kind == "array" and schema.get("minItems", 0) <= _MAX_CHARACTERS:
        items = json_examples(schema["items"]) if "items" in schema else [None]
        yield items[:1] * max(0, math.ceil(schema.get("minItems", 0)))
    elif kind == "object":
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        names = dict.fromkeys(required if isinstance(required, list) else [required])
        for wanted in (names, names | dict.fromkeys(properties)):
            values = {name: json_examples(properties.get(name, {}))[:1] for name in wanted}
            yield {name: value for name, found in values.items() for value in found}
