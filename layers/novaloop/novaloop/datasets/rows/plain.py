"""Rows of named values (a CSV record, a flat JSON object) to rows of the Nova formats."""

from collections.abc import Mapping, Sequence
from typing import Any

from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.reading.text_column import TextColumn, json_column
from novaloop.datasets.rows.columns import FIELDS, MEDIUM_FIELDS, FieldColumns
from novaloop.datasets.rows.encoded import NO_PAIRS, EncodedRows, media_key
from novaloop.datasets.rows.field_readers import field_reader
from novaloop.datasets.rows.option_checks import require_options
from novaloop.datasets.rows.reward_trials import ReferenceTrials
from novaloop.datasets.rows.templates import RFT_DEFAULT_SYSTEM, RowTemplate, compile_template
from novaloop.datasets.rows.text_rules import require_different, require_unreserved
from novaloop.datasets.rows.text_sizes import TextSizes

_RESERVING_FORMATS = {RowFormat.SFT, RowFormat.DPO}
_SEEN = ("s3_uri", "images")
"""Fields by which questions of the same words are told apart."""


class PlainRowEncoder:
    """Checks and encodes rows whose values stand in the order of `columns.fields`."""

    def __init__(
        self, columns: FieldColumns, formats: Sequence[RowFormat], options: DatasetOptions
    ) -> None:
        require_options(columns.fields, formats, options)
        self._answers = range(1, 1 + columns.answers)
        self._checks = [
            (index, field_reader(name, formats, options))
            for index, name in enumerate(columns.fields)
            if name not in columns.extras
        ]
        # Fields that may not hold a word that Nova reserves.
        spoken = {name for each in _RESERVING_FORMATS & set(formats) for name in FIELDS[each].all}
        self._reserved = [
            (index, name)
            for index, name in enumerate(columns.fields)
            if name in spoken - set(MEDIUM_FIELDS)
        ]
        self._pair = (
            [columns.fields.index(name) for name in FIELDS[RowFormat.DPO].answers]
            if RowFormat.DPO in formats
            else []
        )
        self._rewards = ReferenceTrials(options, formats) if RowFormat.RFT in formats else None
        self._media = [columns.fields.index(name) for name in _SEEN if name in columns.fields]
        self._sizes = TextSizes(columns.fields, formats, options)
        self._templates = [_template(each, columns, options) for each in formats]

    def encode(self, rows: Sequence[Sequence[Any]]) -> EncodedRows:
        """Return the rows in all formats; raises RowRejected if one of them is bad."""
        return self.encode_columns(list(zip(*rows, strict=True)))

    def encode_columns(self, columns: Sequence[Sequence[Any]]) -> EncodedRows:
        """As encode, from the values of all rows for each field."""
        values = list(columns)
        for index, check in self._checks:
            values[index] = check(values[index])
        for index, field in self._reserved:
            require_unreserved(values[index], field)
        if self._pair:
            require_different(*(values[index] for index in self._pair))
        pairs = NO_PAIRS
        if self._rewards:
            pairs = self._rewards.require(values[self._answers[0]], "answer")
        encoded = list(map(json_column, values))
        lines = [template.render(encoded) for template in self._templates]
        answers = [_texts(values[index], encoded[index]) for index in self._answers]
        questions = _texts(values[0], encoded[0])
        media = _media([encoded[index] for index in self._media], len(questions))
        sizes = self._sizes.of(encoded)
        answer = _joined(answers, len(questions))
        return EncodedRows(lines, questions, encoded[0], media, answer, sizes, pairs)


def _media(fields: Sequence[Sequence[bytes]], rows: int) -> Sequence[bytes]:
    return [media_key(each) for each in zip(*fields, strict=True)] if fields else [b""] * rows


def _texts(values: Sequence[Any], encoded: Sequence[bytes]) -> Sequence[str]:
    """Return texts as they are and structured values as their JSON."""
    if isinstance(values, TextColumn) or set(map(type, values)) == {str}:
        return values
    return [
        value if isinstance(value, str) else json.decode()
        for value, json in zip(values, encoded, strict=True)
    ]


def _joined(answers: Sequence[Sequence[str]], rows: int) -> Sequence[str]:
    """Return one text for all answers of a row."""
    if len(answers) == 1:
        return answers[0]
    return list(map("\n".join, zip(*answers, strict=True))) if answers else [""] * rows


def _template(row_format: RowFormat, columns: FieldColumns, options: DatasetOptions) -> RowTemplate:
    wanted = set(FIELDS[row_format].all)
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
