"""JSON Lines: one object a line, of plain fields or formatted for Nova already."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from novaloop.datasets.errors import DatasetRefused, Found, RowRejected
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.reading.decoding import TextBlock
from novaloop.datasets.reading.file_types import not_json_lines
from novaloop.datasets.reading.json_text import read_json
from novaloop.datasets.rejects import RejectLog
from novaloop.datasets.rows import multiturn
from novaloop.datasets.rows.columns import FieldColumns, assign_columns
from novaloop.datasets.rows.encoded import EncodedRows, RowReader, join_rows
from novaloop.datasets.rows.formatted import formatted_row_encoder
from novaloop.datasets.rows.plain import PlainRowEncoder

_BATCH_ROWS = 64
_Encoder = tuple[FieldColumns, PlainRowEncoder]


def open_json_rows(
    blocks: Iterator[TextBlock],
    formats: Sequence[RowFormat],
    options: DatasetOptions,
    log: RejectLog,
) -> RowReader:
    """Take the fields from the first object; raises DatasetRefused. Blank lines are skipped."""
    lines = chain.from_iterable(block.lines() for block in blocks)
    runs = objects(lines, log)
    first = next(runs, None)
    if first is None:
        reject_line, reject = log.first
        if reject:
            raise DatasetRefused("no-rows", reject, line=reject_line)
        raise DatasetRefused("no-rows", "the file is empty", "it needs one JSON object a line")
    line, (fields, *_) = first
    batches = chain([first], runs)
    formatted = formatted_row_encoder(fields, formats, options, line)
    if formatted:
        return RowReader(batches, formatted, len)
    if not multiturn.FORMATS & set(formats):  # whose prompts may be lists of turns
        _require_no_conversation(fields, line)
    _require_no_table(fields, options, line)
    # Rows of an evaluation may each have metadata or not: no job wants them in all or in none.
    metadata = options.columns.get("metadata", "metadata")
    may_vary = RowFormat.EVALUATION in formats and metadata in {"metadata", *fields}

    def encoder(names: list[str], mapping: Mapping[str, str | None]) -> _Encoder:
        columns = assign_columns(names, mapping, formats, line, of_header=False)
        return columns, PlainRowEncoder(columns, formats, options)

    named = [*dict.fromkeys((*fields, metadata))] if metadata and may_vary else list(fields)
    full = encoder(named, options.columns)
    bare = encoder(list(fields), {**options.columns, "metadata": None}) if may_vary else full

    def encode(rows: list[dict[str, Any]]) -> EncodedRows:
        has = {metadata is not None and row.get(metadata) is not None for row in rows}
        if len(has) > 1:
            return join_rows([encode([row]) for row in rows])
        columns, plain = full if has == {True} else bare
        return plain.encode([_values(row, columns) for row in rows])

    return RowReader(batches, encode, len, full[0])


def _require_no_conversation(row: dict[str, Any], line: int) -> None:
    """Raise DatasetRefused if a row holds turns of a chat, which no column of a text can be.

    So `conversations` of ShareGPT (`from` and `value`), or `prompt` and `completion` of TRL's
    conversational datasets.
    """
    names = [
        name
        for name, turns in row.items()
        if isinstance(turns, list) and turns and isinstance(turns[0], dict)
        if {"role", "content"} <= turns[0].keys() or {"from", "value"} <= turns[0].keys()
    ]
    if names and not {"question", "answer", "prompt"} & (row.keys() - {*names}):
        what = "the rows hold a conversation that is not called `messages`"
        do = "call it so, one list for each row, and write its turns as `role` and `content`"
        raise DatasetRefused("format", what, do, line=line, found=Found(names))


def _require_no_table(row: dict[str, Any], options: DatasetOptions, line: int) -> None:
    """Raise DatasetRefused if what should be a row is a whole table in one object.

    So the results of an API (`{"data": [{...}, ...]}`), and what pandas' `to_json` and `to_dict`
    write unless they are asked for records.
    """
    columns = {"question", "answer", "prompt", "query", "text", *options.columns.values()}
    if not columns & row.keys() and any(_is_list_of(dict, value) for value in row.values()):
        what = "the object holds rows in a list, as one of its fields"
        do = "write one of them a line, as `jq -c '.FIELD[]'` does with the list's name for FIELD"
        raise DatasetRefused("file-type", what, do, line=line)
    by_number = [isinstance(value, dict) and "0" in value for value in row.values()]
    by_column = [_is_list_of((str, int, float, type(None)), value) for value in row.values()]
    if len(row) > 1 and (all(by_number) or all(by_column)):
        what = "the object holds a table column by column"
        do = (
            "write one row a line, as pandas does with `to_json(..., orient='records', lines=True)`"
        )
        raise DatasetRefused("file-type", what, do, line=line)


def _is_list_of(kind: type | tuple[type, ...], value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, kind) for each in value)


def _values(row: dict[str, Any], columns: FieldColumns) -> list[Any]:
    if late := columns.absent & row.keys():
        name = min(late)
        what = f"the first row lacks {name!r}, unlike this one"
        raise RowRejected("inconsistent", what, "all rows must agree", field=name)
    try:
        return [row[name] for name in columns.columns]
    except KeyError as error:
        name = error.args[0]
        what = f"no field {name!r}, which the file's first row has"
        raise RowRejected("missing-field", what, "all rows need the same", field=name) from error


def objects(lines: Iterator[str], log: RejectLog) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield the objects of consecutive lines with the first one's; what is none goes to the log.

    Raises DatasetRefused if neither of the first two lines is an object, and it is known what the
    file is instead: of a JSON array, the last line could pass for a row.
    """
    start, run, looked_at = 1, list[dict[str, Any]](), 0
    other: tuple[str, str] | None = None
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("\ufeff").lstrip()  # a mark where files were joined
        row, reject = None, None
        looked_at += bool(text)
        try:
            row = _object(text) if text else None
        except RowRejected as reason:
            reject = reason
            if looked_at == 1:
                other = not_json_lines(text)
            if other is not None and looked_at <= 2:
                what, do = other
                if looked_at == 2:
                    raise DatasetRefused("file-type", what, do, line=log.first[0]) from reason
                reject = RowRejected("file-type", what, do)
        # What comes before goes first, so that the log has the order of the file.
        if run and (row is None or len(run) == _BATCH_ROWS):
            yield start, run
            run = []
        if row is not None:
            start = start if run else number
            run.append(row)
        if reject is not None:
            log.add(number, reject)
    if run:
        yield start, run


def _object(text: str) -> dict[str, Any]:
    value = read_json(text)
    if not isinstance(value, dict):
        do = "each line is one object with the row's fields"
        raise RowRejected("not-an-object", "not a JSON object", do)
    return value
