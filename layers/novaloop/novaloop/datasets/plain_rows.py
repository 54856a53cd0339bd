"""Rows of named values (a CSV record, a flat JSON object) to rows of the Nova formats."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from .columns import ANSWER, OPTIONAL_FIELDS, QUESTION, FieldColumns
from .errors import RowRejected
from .formats import RFT_DEFAULT_SYSTEM, RowTemplate, compile_template
from .option_checks import check_options
from .options import DatasetOptions, RowFormat
from .rows import EncodedRows
from .text_rules import check_labels, check_reserved_words, check_texts

_SFT_TEXTS = {QUESTION, ANSWER, "system", "reasoning_text"}
_FieldCheck = Callable[[Any], Any]


class PlainRowEncoder:
    """Checks and encodes rows whose values stand in the order of `columns.fields`."""

    def __init__(
        self, columns: FieldColumns, formats: Sequence[RowFormat], options: DatasetOptions
    ) -> None:
        check_options(columns.fields, formats, options)
        self._labels = frozenset(options.labels)
        self._structured_answers = set(formats) == {RowFormat.RFT}
        self._reserved = (
            [(index, name) for index, name in enumerate(columns.fields) if name in _SFT_TEXTS]
            if RowFormat.SFT in formats
            else []
        )
        self._optional_checks = [
            (index, check)
            for index, name in enumerate(columns.fields)
            if (check := _optional_check(name, columns, options))
        ]
        self._templates = [_template(each, columns, options) for each in formats]

    def encode(self, rows: Sequence[Sequence[Any]]) -> EncodedRows:
        """Return the rows in all formats; raises RowRejected if one of them is bad."""
        values: list[Sequence[Any]] = list(zip(*rows, strict=True))
        questions = check_texts(values[0], QUESTION)
        answers = self._check_answers(values[1])
        for index, check in self._optional_checks:
            values[index] = list(map(check, values[index]))
        for index, field in self._reserved:
            check_reserved_words(values[index], field)
        encoded = [list(map(orjson.dumps, column)) for column in values]
        lines = [template.render(encoded) for template in self._templates]
        return EncodedRows(lines, questions, encoded[0], answers)

    def _check_answers(self, answers: Sequence[Any]) -> Sequence[str]:
        if self._structured_answers and all(isinstance(each, dict) and each for each in answers):
            return [orjson.dumps(answer).decode() for answer in answers]
        texts = check_texts(answers, ANSWER)
        if self._labels:
            check_labels(texts, self._labels, ANSWER)
        return texts


def _optional_check(
    field: str, columns: FieldColumns, options: DatasetOptions
) -> _FieldCheck | None:
    if field in {QUESTION, ANSWER} or field in columns.extras:
        return None
    if field == "images":
        return _image_parts
    if field == "metadata":
        return _metadata
    if field == "system" and options.system_prompt is not None:
        prompt = options.system_prompt
        return lambda value: _text(prompt if _is_blank(value) else value, field)
    return lambda value: _text(value, field)


def _text(value: Any, field: str) -> str:
    return check_texts([value], field)[0]


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _metadata(value: Any) -> str:
    if not isinstance(value, str):
        raise RowRejected("not-text", "`metadata` is not text; write it as a string", "metadata")
    return value


def _image_parts(value: Any) -> list[dict[str, str]]:
    """Return an evaluation row's images from one data URI or a list of them."""
    uris = value if isinstance(value, list) else [value]
    for uri in uris:
        text = _text(uri, "images")
        if not (text.startswith("data:image/") and ";base64," in text):
            message = "`images` must hold data URIs: data:image/<type>;base64,<data>"
            raise RowRejected("image", message, "images")
    return [{"data": uri} for uri in uris]


def _template(row_format: RowFormat, columns: FieldColumns, options: DatasetOptions) -> RowTemplate:
    wanted = {QUESTION, ANSWER, *OPTIONAL_FIELDS[row_format]}
    if row_format is RowFormat.RFT:
        wanted.update(columns.extras)
    fields = {name: index for index, name in enumerate(columns.fields) if name in wanted}
    return compile_template(row_format, fields, constants(row_format, options))


def constants(row_format: RowFormat, options: DatasetOptions) -> Mapping[str, object]:
    """Return what all rows of a format share."""
    system = options.system_prompt
    if row_format is RowFormat.RFT:
        system = system or RFT_DEFAULT_SYSTEM
    values: dict[str, object] = {} if system is None else {"system": system}
    if row_format is RowFormat.RFT and options.reward is not None:
        values["reward"] = dict(options.reward)
    return values
