"""Rows that are formatted for Nova, or for OpenAI's chat API, already."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from novaloop.datasets.errors import DatasetRefused, RowRejected
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.reading.json_text import to_json
from novaloop.datasets.rows import converse, multiturn, rft_prompt
from novaloop.datasets.rows.columns import FIELDS, RESERVED
from novaloop.datasets.rows.encoded import NO_PAIRS, EncodedRows, join_rows, media_key
from novaloop.datasets.rows.openai_chat import to_conversation
from novaloop.datasets.rows.option_checks import require_options
from novaloop.datasets.rows.preference import read_preference
from novaloop.datasets.rows.reward_trials import ReferenceTrials
from novaloop.datasets.rows.templates import RFT_DEFAULT_SYSTEM
from novaloop.datasets.rows.text_rules import require_labels

_CONVERSATIONAL = {RowFormat.SFT, RowFormat.RFT, RowFormat.DPO}


def formatted_row_encoder(
    row: Mapping[str, Any], formats: Sequence[RowFormat], options: DatasetOptions, line: int
) -> Callable[[Sequence[Any]], EncodedRows] | None:
    """Return an encoder for rows like the file's first one, `row`; None if its fields are plain.

    Raises DatasetRefused if rows of this kind can't become one of the formats.
    """
    if isinstance(row.get("metadata"), dict) and multiturn.FORMATS & set(formats):
        require_options((), formats, options)
        return _MultiturnEncoder(formats, options).encode
    if "schemaVersion" not in row and "messages" not in row:
        return None
    if plain := [each for each in formats if each not in _CONVERSATIONAL]:
        names = " and ".join(f"`{name}`" for name in FIELDS[plain[0]].required)
        what = f"{plain[0]} rows must have plain fields {names}, not messages"
        raise DatasetRefused("format", what, line=line)
    require_options((), formats, options)
    if RowFormat.DPO in formats:
        if len(formats) > 1:
            what, do = "rows with two candidates are for DPO only", "give DPO its own file"
            raise DatasetRefused("format", what, do, line=line)
        return _PreferenceEncoder(formats, options).encode
    if "schemaVersion" not in row and RowFormat.SFT not in formats:
        return _PromptEncoder(formats, options).encode
    return _ConversationEncoder(formats, options).encode


class _Encoder(ABC):
    def __init__(self, formats: Sequence[RowFormat], options: DatasetOptions) -> None:
        self._formats = formats
        self._options = options
        self._features = _AllOrNone()
        self._rewards = ReferenceTrials(options, formats)

    def encode(self, rows: Sequence[dict[str, Any]]) -> EncodedRows:
        return join_rows([self._encode(row) for row in rows])

    @abstractmethod
    def _encode(self, row: dict[str, Any]) -> EncodedRows:
        """Return one row in every format. Raises RowRejected."""

    def _require_label(self, answer: str, field: str) -> None:
        if self._options.labels:
            require_labels([answer], frozenset(self._options.labels), field)


class _ConversationEncoder(_Encoder):
    def _encode(self, row: dict[str, Any]) -> EncodedRows:
        if "schemaVersion" not in row:
            off = {name for name, column in self._options.columns.items() if column is None}
            row = to_conversation({key: value for key, value in row.items() if key not in off})
        row = _with_system(row, self._options.system_prompt)
        conversation = converse.read_conversation(row, self._options.model)
        if RowFormat.SFT in self._formats:
            converse.require_unreserved_texts(conversation)
        self._features.require(converse.used_features(conversation))
        question, answer = converse.question(conversation), converse.last_answer(conversation)
        self._require_label(answer, "messages")
        rows, pairs = {RowFormat.SFT: row}, NO_PAIRS
        if RowFormat.RFT in self._formats:
            prompt = _prompt(conversation)
            pairs = self._rewards.require([prompt["reference_answer"]], "messages")
            rows[RowFormat.RFT] = _with_reward(prompt, self._options)
        size = converse.text_size(conversation)
        media = converse.media(conversation)
        lines = [rows[each] for each in self._formats]
        return replace(_encoded(lines, question, answer, size, media), pairs=pairs)


class _PromptEncoder(_Encoder):
    def _encode(self, row: dict[str, Any]) -> EncodedRows:
        brings_reward = self._options.reward is None and not self._options.labels
        for name in sorted(RESERVED & row.keys()):
            if name != "reward" or not brings_reward:
                what = f"has `{name}`, which Novaloop or the job sets itself"
                do = "rename or remove it"
                raise RowRejected("reserved-field", what, do, field=name, where="the row")
        row = _with_system_message(row, self._options.system_prompt)
        prompt = rft_prompt.read_prompt(row)
        self._features.require(rft_prompt.used_features(prompt))
        answer = prompt.reference_answer or ""
        text = answer if isinstance(answer, str) else to_json(answer).decode()
        self._require_label(text, "reference_answer")
        pairs = self._rewards.require_row(row)
        rows = [_with_reward(row, self._options)]
        question, size = rft_prompt.question(prompt), rft_prompt.text_size(prompt)
        return replace(_encoded(rows, question, text, size), pairs=pairs)


class _PreferenceEncoder(_Encoder):
    def _encode(self, row: dict[str, Any]) -> EncodedRows:
        row = _with_system(row, self._options.system_prompt)
        pair = read_preference(row, self._options.model)
        for conversation in pair:
            converse.require_unreserved_texts(conversation)
        self._features.require(converse.used_features(pair[0]))
        question, preferred = converse.question(pair[0]), converse.last_answer(pair[0])
        self._require_label(preferred, "messages")
        answers = f"{preferred}\n{converse.last_answer(pair[1])}"
        size = max(map(converse.text_size, pair))
        return _encoded([row], question, answers, size, converse.media(pair[0]))


class _MultiturnEncoder(_Encoder):
    def _encode(self, row: dict[str, Any]) -> EncodedRows:
        multiturn.require_row(row)
        metadata = row["metadata"]
        self._features.require(frozenset(metadata) - {"prompt"})
        question = multiturn.serverless_prompt(metadata["prompt"])
        rows = {
            RowFormat.RFT_MULTITURN: row,
            RowFormat.RFT_MULTITURN_SERVERLESS: {"prompt": question},
        }
        size = len(question.encode())
        return _encoded([rows[each] for each in self._formats], question, "", size)


class _AllOrNone:
    """Nova's jobs want some features in all rows of a file or in none; the first row decides."""

    def __init__(self) -> None:
        self._first: frozenset[str] | None = None

    def require(self, features: frozenset[str]) -> None:
        if self._first is None:
            self._first = features
        if unlike := features ^ self._first:
            name = min(unlike)
            where = "lacks" if name in features else "has"
            what = f"the first row {where} `{name}`, unlike this one"
            raise RowRejected("inconsistent", what, "all rows must agree", field=name)


def _prompt(conversation: converse.Conversation) -> dict[str, Any]:
    """Return the conversation up to its last turn as a prompt, that turn as reference answer."""
    turns = [(turn.role, _plain_text(turn)) for turn in conversation.messages]
    system = "\n".join(part.text for part in conversation.system or []) or RFT_DEFAULT_SYSTEM
    messages = [("system", system), *turns[:-1]]
    return {
        "messages": [{"role": role, "content": text} for role, text in messages],
        "reference_answer": turns[-1][1],
    }


def _plain_text(turn: converse.Turn) -> str:
    if any(part.text is None for part in turn.content):
        what = "only conversations of texts can become RFT rows"
        raise RowRejected("format", what, "give RFT its own file", field="messages")
    return "\n".join(part.text or "" for part in turn.content)


def _with_system(row: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    if prompt is None or row.get("system"):
        return row
    return {**row, "system": [{"text": prompt}]}


def _with_system_message(row: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    messages = row.get("messages")
    if prompt is None or not isinstance(messages, list):
        return row
    if any(
        isinstance(each, dict) and each.get("role") in rft_prompt.INSTRUCTING_ROLES
        for each in messages
    ):
        return row
    return {**row, "messages": [{"role": "system", "content": prompt}, *messages]}


def _with_reward(row: dict[str, Any], options: DatasetOptions) -> dict[str, Any]:
    return row if options.reward is None else {**row, "reward": dict(options.reward)}


def _encoded(
    rows: Sequence[Mapping[str, Any]],
    question: str,
    answer: str,
    text_size: int,
    media: Sequence[str] = (),
) -> EncodedRows:
    """Return one row, given in every format."""
    lines = [[to_json(row) + b"\n"] for row in rows]
    seen = media_key(map(to_json, media))
    return EncodedRows(lines, [question], [to_json(question)], [seen], [answer], [text_size])
