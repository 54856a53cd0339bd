"""A matcher that tries what `re` tries, in its order, and counts it."""

from __future__ import annotations

import re
from collections.abc import Callable
from re import _constants as c  # type: ignore[attr-defined]  # the tree that `re` itself compiles
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_KINDS = {c.CATEGORY_DIGIT: r"\d", c.CATEGORY_WORD: r"\w", c.CATEGORY_SPACE: r"\s"}
_ASSERTIONS = {c.AT_BEGINNING: "^", c.AT_END: "$", c.AT_BOUNDARY: r"\b", c.AT_NON_BOUNDARY: r"\B"}
Then = Callable[[int], bool]


class CountingMatcher:
    """Matches a pattern to `text`, in `at_most` steps: characters and assertions that are tried."""

    def __init__(self, pattern: str, text: str, at_most: int) -> None:
        self._tree = _parser.parse(pattern)
        self._flags = self._tree.state.flags
        self._text = text
        self.left = at_most

    def matches(self, place: int = 0) -> bool:
        """Match from a place of the text. Fails if that takes more steps."""
        return self._run(self._tree, 0, place, lambda _: True)

    def _run(self, items: Any, index: int, at: int, then: Then) -> bool:
        if index == len(items):
            return then(at)
        op, av = items[index]

        def rest(place: int) -> bool:
            return self._run(items, index + 1, place, then)

        if op is c.BRANCH:
            return any(self._run(branch, 0, at, rest) for branch in av[1])
        if op is c.SUBPATTERN:
            return self._run(av[3], 0, at, rest)
        if op in {c.MAX_REPEAT, c.MIN_REPEAT}:
            return self._repeat(op, av, 0, at, rest)
        assert self.left > 0, "takes more steps"
        self.left -= 1
        if op is c.AT:
            return bool(re.compile(_ASSERTIONS[av]).match(self._text, at)) and rest(at)
        return at < len(self._text) and self._takes(op, av, self._text[at]) and rest(at + 1)

    def _repeat(self, op: Any, av: Any, number: int, at: int, then: Then) -> bool:
        low, high, body = av

        def more(place: int) -> bool:
            empty = place == at and number >= low
            return not empty and self._repeat(op, av, number + 1, place, then)

        def again() -> bool:
            return number < high and self._run(body, 0, at, more)

        if number < low:
            return again()
        return (again() or then(at)) if op is c.MAX_REPEAT else (then(at) or again())

    def _takes(self, op: Any, av: Any, letter: str) -> bool:
        if op is c.ANY:
            return letter != "\n" or bool(self._flags & re.DOTALL)
        cases = {letter.lower(), letter.upper()} if self._flags & re.IGNORECASE else {letter}
        if op is not c.IN:
            return any(chr(av) == each for each in cases) == (op is c.LITERAL)
        negated = av[0][0] is c.NEGATE
        return negated != any(_has(item, each) for item in av[negated:] for each in cases)


def _has(item: Any, letter: str) -> bool:
    op, av = item
    if op is c.CATEGORY:
        return re.match(_KINDS[av], letter) is not None
    return chr(av) == letter if op is c.LITERAL else av[0] <= ord(letter) <= av[1]
