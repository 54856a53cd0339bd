"""DPO rows: conversations that end with a preferred and a non-preferred answer.

Format: "Direct preference optimization (DPO)" in the Amazon Nova User Guide.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from novaloop.datasets.rows import converse
from novaloop.datasets.rows.converse import Conversation, Text
from novaloop.datasets.rows.schema import Strict, parse, rejected
from novaloop.datasets.rows.templates import CONVERSE_SCHEMA
from novaloop.datasets.rows.text_rules import require_different
from novaloop.typed import dotted

_FOREIGN_KINDS = {"video", "document"}


class Candidate(Strict):
    """One of the two answers."""

    content: Annotated[list[Text], Field(min_length=1)]
    preferenceLabel: Literal["preferred", "non-preferred"]  # noqa: N815 - Nova's spelling


class Choice(Strict):
    """The last turn."""

    role: Literal["assistant"]
    candidates: Annotated[list[Candidate], Field(min_length=2, max_length=2)]


Pair = tuple[Conversation, Conversation]
"""The conversation with the preferred answer, and with the other one."""


def read_preference(row: dict[str, Any], model: str) -> Pair:
    """Return the conversations of a DPO row; raises RowRejected with the path of what is wrong."""
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        raise rejected("messages", "must be a list of turns")
    at = ("messages", len(messages) - 1)
    choice = parse(Choice, messages[-1], at)
    answers = {each.preferenceLabel: each for each in choice.candidates}
    if len(answers) < 2:
        raise rejected(dotted(*at), "one candidate must be preferred, the other one non-preferred")
    pair = (
        _with_answer(row, answers["preferred"], model),
        _with_answer(row, answers["non-preferred"], model),
    )
    texts = [converse.last_answer(each) for each in pair]
    require_different(texts[:1], texts[1:])
    if _FOREIGN_KINDS & converse.used_kinds(pair[0]):
        raise rejected("messages", "DPO reads texts and images only", "leave the rest out")
    return pair


def _with_answer(row: dict[str, Any], answer: Candidate, model: str) -> Conversation:
    content = [part.model_dump() for part in answer.content]
    messages = [*row["messages"][:-1], {"role": "assistant", "content": content}]
    conversation = {"schemaVersion": CONVERSE_SCHEMA, **row, "messages": messages}
    return converse.read_conversation(conversation, model)
