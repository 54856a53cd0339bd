"""The row formats of Nova jobs, as templates whose constant parts are encoded once.

Shapes: the Bedrock conversation schema of 2024 for SFT, OpenAI-like messages for RFT, and
query/response for evaluation, as Nova's fine-tuning and evaluation containers read them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .options import RowFormat

CONVERSE_SCHEMA = "bedrock-conversation-2024"
RFT_DEFAULT_SYSTEM = "You are a helpful AI assistant."

Values = Mapping[str, Any]


def sft_row(values: Values) -> dict[str, Any]:
    """Return a Converse row of one question and one answer."""
    answer: list[dict[str, Any]] = [{"text": values["answer"]}]
    if "reasoning_text" in values:
        answer.insert(
            0, {"reasoningContent": {"reasoningText": {"text": values["reasoning_text"]}}}
        )
    system = {"system": [{"text": values["system"]}]} if "system" in values else {}
    messages = [
        {"role": "user", "content": [{"text": values["question"]}]},
        {"role": "assistant", "content": answer},
    ]
    return {"schemaVersion": CONVERSE_SCHEMA, **system, "messages": messages}


def rft_row(values: Values) -> dict[str, Any]:
    """Return a prompt with its reference answer; keys it doesn't know become top-level fields."""
    own = {"id", "system", "question", "answer"}
    messages = [
        {"role": "system", "content": values.get("system", RFT_DEFAULT_SYSTEM)},
        {"role": "user", "content": values["question"]},
    ]
    return {
        **({"id": values["id"]} if "id" in values else {}),
        "messages": messages,
        "reference_answer": values["answer"],
        **{name: value for name, value in values.items() if name not in own},
    }


def evaluation_row(values: Values) -> dict[str, Any]:
    """Return a query with its expected response."""
    optional = {name: values[name] for name in ("system", "images", "metadata") if name in values}
    return {"query": values["question"], "response": values["answer"], **optional}


_ROWS: Mapping[RowFormat, Callable[[Values], dict[str, Any]]] = {
    RowFormat.SFT: sft_row,
    RowFormat.RFT: rft_row,
    RowFormat.EVALUATION: evaluation_row,
}


@dataclass(frozen=True)
class _Hole:
    index: int


@dataclass(frozen=True)
class RowTemplate:
    """A JSON line with holes for values that are JSON already."""

    pattern: bytes
    holes: Sequence[int]

    def render(self, encoded: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Return rows with their line ends; `encoded` holds the rows' JSON for each field."""
        rows = zip(*(encoded[hole] for hole in self.holes), strict=True)
        return list(map(self.pattern.__mod__, rows))


def compile_template(
    row_format: RowFormat, fields: Mapping[str, int], constants: Mapping[str, object]
) -> RowTemplate:
    """Build a template from the fields that vary, with their indexes, and those that don't."""
    holes = {name: _Hole(index) for name, index in fields.items()}
    pieces = list(_pieces(_ROWS[row_format]({**constants, **holes})))
    pattern = b"".join(
        b"%b" if isinstance(piece, _Hole) else piece.replace(b"%", b"%%") for piece in pieces
    )
    indexes = [piece.index for piece in pieces if isinstance(piece, _Hole)]
    return RowTemplate(pattern + b"\n", indexes)


def _pieces(node: object) -> Iterator[bytes | _Hole]:
    if isinstance(node, _Hole):
        yield node
    elif isinstance(node, dict):
        for number, (key, value) in enumerate(node.items()):
            yield (b"," if number else b"{") + orjson.dumps(key) + b":"
            yield from _pieces(value)
        yield b"}" if node else b"{}"
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield b"," if number else b"["
            yield from _pieces(value)
        yield b"]" if node else b"[]"
    else:
        yield orjson.dumps(node)
