"""Files of settings in YAML, read more strictly than PyYAML does by itself."""

from __future__ import annotations

from typing import Any

import yaml

_ADVICE = {
    "mapping values are not allowed": "put a text with a colon in quotes",
    "expected ',' or": "close what was opened with [ or {",
    "'\\t'": "indent with spaces",
    "constructor for the tag": "put a text that begins with ! in quotes",
    "another document": "keep one of them, and no line of dashes",
    "cannot start any token": "put a text that begins with it in quotes",
}
"""What to do, by a part of PyYAML's message."""


class NotSettings(Exception):  # noqa: N818 - a verdict on the input, not a fault of the program
    """A file holds no settings; `str()` is one line with the place, the reason and what to do."""


class _Loader(yaml.SafeLoader):
    """Refuses what PyYAML takes without a word, and says where what PyYAML trips over."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"`{key.value}` stands twice; keep one of them"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            problem = f"this is no {node.tag.rpartition(':')[2]}; put a text in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def read_settings(content: bytes, example: str) -> dict[str, Any]:
    """Return the settings in a file, none if it is empty. Raises NotSettings.

    `example` is a line such as the file should hold, for the message.
    """
    try:
        raw = _load(content)
    except UnicodeDecodeError as error:
        raise NotSettings(f"is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        raise NotSettings(_yaml_problem(error)) from None
    except RecursionError:
        raise NotSettings("is nested too deeply") from None
    if raw is not None and not isinstance(raw, dict):
        raise NotSettings(f"must hold `key: value` lines, such as `{example}`")
    return raw or {}


def _load(content: bytes) -> Any:
    text = content.decode("utf-8-sig")
    try:
        return _Loader(text).get_single_data()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"line {line}: the character U+{error.character:04X} is not allowed; remove it"
        raise NotSettings(problem) from None


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    mark, problem = error.problem_mark, error.problem or "unreadable"
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    advice = next((f"; {do}" for part, do in _ADVICE.items() if part in problem), "")
    return f"{where}is not YAML: {problem}{advice}"
