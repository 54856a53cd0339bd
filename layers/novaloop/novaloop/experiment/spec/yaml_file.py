"""Files of settings in YAML, read more strictly than PyYAML does by itself.

Whoever may upload may upload anything, so what it costs to read a file is bounded before it is
read: its bytes, its values and how deep they are nested. What makes much out of little (aliases,
merge keys) and what makes other objects than JSON has (tags) is refused where it stands, before
anything is built of it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import yaml

from novaloop.problem import Invalid, Problem

MAX_BYTES = 256 * 1024
"""Readers of a file read one byte more, never the rest."""
MAX_VALUES = 5_000
"""Keys count too. With them and the bytes, what a file becomes fits into an item of the table."""
MAX_DEPTH = 24
"""DynamoDB holds 32 levels in an attribute, and those of the item come on top.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""
_LONGEST_NUMBER = 64
"""Characters; Python takes time that is quadratic in the digits of a whole number."""
_DO = {
    "mapping values are not allowed": "put a text with a colon in quotes",
    "expected ',' or": "close what was opened with [ or {",
    "'\\t'": "indent with spaces",
    "tag handle": "put a text that begins with ! in quotes",
    "expected alphabetic or numeric": "put a text that begins with & or * in quotes",
    "another document": "keep one of them, and no line of dashes",
    "cannot start any token": "put a text that begins with it in quotes",
}
"""What to do, by a part of PyYAML's message."""
_WHOLE, _DECIMALS = re.compile(r"-?[0-9.]{1,20}"), re.compile(r"[0-9]{1,15}([eE][-+]?[0-9]{1,3})?")
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"


class _Refused(yaml.MarkedYAMLError):
    """YAML, but nothing that settings need."""

    def __init__(self, what: str, do: str, node: Any) -> None:
        super().__init__(None, None, what, node.start_mark)
        self.do = do


class _Loader(yaml.SafeLoader):
    """Refuses what PyYAML takes without a word, and says where what PyYAML trips over."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        # The parser works event by event: what is refused here was not read past yet.
        event: yaml.NodeEvent = self.peek_event()  # type: ignore[no-untyped-call]
        self._values += 1
        self._refuse(event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, event: yaml.NodeEvent) -> None:
        """Raise _Refused for what settings don't need, or for too much of it."""
        if isinstance(event, yaml.AliasEvent):
            do = "write the value out here, or put a text that begins with * in quotes"
            raise _Refused("aliases are refused", do, event)
        if event.anchor is not None:
            do = "remove it, or put a text that begins with & in quotes"
            raise _Refused("anchors are refused", do, event)
        if getattr(event, "tag", None) is not None:
            do = "remove it, or put a text that begins with ! in quotes"
            raise _Refused("tags are refused", do, event)
        if self._depth == MAX_DEPTH:
            raise _Refused(f"this is nested deeper than {MAX_DEPTH} levels", "use fewer", event)
        if self._values > MAX_VALUES:
            what = f"from here on there are more than {MAX_VALUES:,} keys and values"
            raise _Refused(what, "use fewer", event)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        try:
            node.value.encode()
        except UnicodeEncodeError:
            what = "this holds half a character (a surrogate)"
            raise _Refused(what, "write the character itself", node) from None
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.tag == _MERGE:
                raise _Refused("merge keys (<<) are refused", "write the settings out here", key)
            if key.value in seen:
                raise _Refused(f"`{key.value}` stands twice", "keep one of them", key)
            seen.add(key.value)
        self._refuse_decimal_comma(node)
        return node

    @staticmethod
    def _refuse_decimal_comma(node: yaml.MappingNode) -> None:
        """Raise _Refused for `{at_least: 0,5}`, which to YAML is 0 and a key 5 without a value."""
        for (_, whole), (decimals, nothing) in pairwise(node.value):
            parts = (whole, decimals, nothing)
            if node.flow_style and all(isinstance(each, yaml.ScalarNode) for each in parts):
                has_comma = _WHOLE.fullmatch(whole.value) and _DECIMALS.fullmatch(decimals.value)
                if has_comma and not nothing.value and nothing.style is None:
                    number = f"{whole.value.replace('.', '')}.{decimals.value}"
                    what = "this number has a comma before its decimals"
                    raise _Refused(what, f"write {number}", whole)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        what, do = f"this is no {node.tag.rpartition(':')[2]}", "put a text in quotes"
        is_text = not isinstance(node, yaml.ScalarNode) or node.tag == _TEXT
        if not is_text and len(node.value) > _LONGEST_NUMBER:
            raise _Refused(what, do, node)
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            raise _Refused(what, do, node) from None


def read_settings(content: bytes, example: str) -> dict[str, Any]:
    """Return the settings in a file, none if it is empty. Raises Invalid, with line and column.

    `content` is what a file begins with, up to one byte more than MAX_BYTES. `example` is a line
    such as the file should hold, for the message.
    """
    if len(content) > MAX_BYTES:
        raise Invalid(Problem("", f"has more than {MAX_BYTES:,} bytes", "make it shorter"))
    try:
        raw = _load(content)
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 at byte {error.start}"
        raise Invalid(Problem("", what, "save it as UTF-8")) from None
    except _Refused as refused:
        place, what = _place(refused.problem_mark), str(refused.problem)
        raise Invalid(Problem(place, what, refused.do)) from None
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "unreadable"
        do = next((do for part, do in _DO.items() if part in problem), "")
        raise Invalid(Problem(_place(error.problem_mark), f"is not YAML: {problem}", do)) from None
    if raw is not None and not isinstance(raw, dict):
        raise Invalid(Problem("", f"must hold `key: value` lines, such as `{example}`"))
    return raw or {}


def _load(content: bytes) -> Any:
    text = content.decode("utf-8-sig")
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character U+{error.character:04X} is not allowed"
        raise Invalid(Problem(f"line {line}", what, "remove it")) from None
    try:
        return loader.get_single_data()
    except (OverflowError, ValueError):
        # PyYAML's scanner turns the digits of an escape or a directive into numbers unchecked.
        what, place = "this is the code of no character", _place(loader.get_mark())
        raise Invalid(Problem(place, what, "write the character itself")) from None


def _place(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
