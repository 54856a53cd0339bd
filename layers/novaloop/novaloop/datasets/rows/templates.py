"""The row formats of Nova jobs, as templates whose constant parts are encoded once.

Shapes, as the containers of Nova's jobs read them: the Bedrock conversation schema of 2024 for SFT
and, with two candidates as last turn, DPO; OpenAI-like messages for RFT; query/response and
prompt/response_A/response_B for evaluation (Amazon Nova User Guide: fine-tuning, DPO, evaluation).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from novaloop.datasets.options import RowFormat

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
    return _conversation(values, values["question"], {"role": "assistant", "content": answer})


def dpo_row(values: Values) -> dict[str, Any]:
    """Return a Converse row whose last turn holds a preferred and a non-preferred answer."""
    candidates = [
        {"content": [{"text": values["preferred"]}], "preferenceLabel": "preferred"},
        {"content": [{"text": values["non_preferred"]}], "preferenceLabel": "non-preferred"},
    ]
    answer = {"role": "assistant", "candidates": candidates}
    return _conversation(values, values["prompt"], answer)


def _conversation(values: Values, question: Any, answer: dict[str, Any]) -> dict[str, Any]:
    system = {"system": [{"text": values["system"]}]} if "system" in values else {}
    user = {"role": "user", "content": [*_medium(values), {"text": question}]}
    return {"schemaVersion": CONVERSE_SCHEMA, **system, "messages": [user, answer]}


def _medium(values: Values) -> Iterator[dict[str, Any]]:
    for kind in ("image", "video"):
        if f"{kind}_format" in values:
            location = {"uri": values["s3_uri"], "bucketOwner": values["bucket_owner"]}
            source = {"s3Location": location}
            yield {kind: {"format": values[f"{kind}_format"], "source": source}}


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


def cpt_row(values: Values) -> dict[str, Any]:
    """Return a text for continued pre-training."""
    return {"text": values["text"]}


def llm_judge_row(values: Values) -> dict[str, Any]:
    """Return a prompt with the two responses that a judge compares."""
    return {name: values[name] for name in ("prompt", "response_A", "response_B")}


def rft_multiturn_row(values: Values) -> dict[str, Any]:
    """Return a prompt for an environment of several turns on HyperPod."""
    names = ("prompt", "answer", "task", "info")
    return {
        "id": values["id"],
        "metadata": {name: values[name] for name in names if name in values},
    }


def rft_multiturn_serverless_row(values: Values) -> dict[str, Any]:
    """Return a prompt for an agent of several turns on the serverless runtime."""
    return {"prompt": values["prompt"]}


def reference_row(values: Values) -> dict[str, Any]:
    """Return a question with its reference answer, and what it is known by."""
    names = ("id", "system", "question", "answer", "images")
    return {name: values[name] for name in names if name in values}


_ROWS: Mapping[RowFormat, Callable[[Values], dict[str, Any]]] = {
    RowFormat.SFT: sft_row,
    RowFormat.RFT: rft_row,
    RowFormat.EVALUATION: evaluation_row,
    RowFormat.DPO: dpo_row,
    RowFormat.CPT: cpt_row,
    RowFormat.LLM_JUDGE: llm_judge_row,
    RowFormat.RFT_MULTITURN: rft_multiturn_row,
    RowFormat.RFT_MULTITURN_SERVERLESS: rft_multiturn_serverless_row,
    RowFormat.REFERENCE: reference_row,
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
