"""What is in the cell is what is in the JSONL, however the bytes arrive."""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.reading.decoding import read_lines
from novaloop.datasets.reading.text_column import is_blank

# Everything that strict UTF-8 can carry but NUL and what shows nothing, which are rejected.
texts = st.text(
    st.one_of(
        st.sampled_from(',"\n\r\t;\\\u2028\x0b\x0c\x1c\x85é日🙂\ufeff '),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
).filter(lambda text: not is_blank(text))
tables = st.lists(st.tuples(texts, texts), min_size=1, max_size=5)

NASTY = [
    ("line one\r\nline two\rline three\n", 'say "hi", then go'),
    ("  padded \t", "\u2028 is no line end in CSV, nor is \x85"),
    ("日本語 🙂 é", "=1+1"),
    ('"', '""'),
    (",", "\\n"),
]


def as_csv(rows: Iterable[tuple[str, str]], line_end: str = "\r\n") -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("question", "answer"), *rows])
    return buffer.getvalue()


def converted(chunks: Iterable[bytes], **options: object) -> list[tuple[str, str]]:
    written: list[bytes] = []
    summary = convert(
        chunks,
        {RowFormat.RFT: written.append},
        DatasetOptions(**options),  # type: ignore[arg-type]
        lambda _: None,
    )
    assert summary.refusal is None
    rows = [json.loads(line) for line in b"".join(written).split(b"\n")[:-1]]
    return [(row["messages"][1]["content"], row["reference_answer"]) for row in rows]


def in_two(data: bytes, at: int) -> list[bytes]:
    return [data[:at], data[at:]]


@given(
    tables, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
)
def test_rows_survive_csv_and_json(
    rows: list[tuple[str, str]], line_end: str, encoding: str
) -> None:
    data = as_csv(rows, line_end).encode(encoding)

    assert converted([data]) == rows


@pytest.mark.parametrize(
    ("row_format", "fields"),
    [(RowFormat.CPT, ["text"]), (RowFormat.LLM_JUDGE, ["prompt", "response_A", "response_B"])],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@settings(deadline=None)
@given(st.data())
def test_rows_of_one_and_of_three_texts_survive(
    row_format: RowFormat, fields: list[str], line_end: str, draw: st.DataObject
) -> None:
    row = st.tuples(*([texts] * len(fields)))
    rows = draw.draw(st.lists(row, min_size=1, max_size=5))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([fields, *rows])
    written: list[bytes] = []
    data = buffer.getvalue().encode()

    summary = convert([data], {row_format: written.append}, DatasetOptions(), lambda _: None)

    assert summary.refusal is None
    lines = b"".join(written).splitlines()
    assert [tuple(json.loads(line)[name] for name in fields) for line in lines] == rows


@settings(deadline=None)
@given(tables, st.data())
def test_rows_survive_any_way_of_cutting_the_bytes(
    rows: list[tuple[str, str]], draw: st.DataObject
) -> None:
    data = as_csv(rows).encode()
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    bounds = [0, *cuts, len(data)]

    chunks = [data[start:end] for start, end in pairwise(bounds)]

    assert converted(chunks) == rows


small_texts = st.text(st.sampled_from('a,"\n\ré🙂 '), min_size=1, max_size=4).map("x".__add__)
small_tables = st.lists(st.tuples(small_texts, small_texts), min_size=1, max_size=3)


@settings(deadline=None, max_examples=15)
@given(
    small_tables,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
def test_rows_survive_every_cut(
    rows: list[tuple[str, str]], line_end: str, encoding: str, packed: bool
) -> None:
    data = as_csv(rows, line_end).encode(encoding)
    data = gzip.compress(data) if packed else data

    for at in range(len(data) + 1):
        assert converted(in_two(data, at)) == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "shift_jis"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_chunk_boundary_gives_the_same_rows(encoding: str, line_end: str) -> None:
    rows = NASTY if encoding != "shift_jis" else [("日本\r\n語\r", "x"), ("テスト", "\n")][:1]
    data = as_csv(rows, line_end).encode(encoding)
    named = None if encoding.startswith("utf") else encoding

    for at in range(len(data) + 1):
        assert converted(in_two(data, at), encoding=named) == rows
    assert converted((data[i : i + 1] for i in range(len(data))), encoding=named) == rows


def test_gzip_is_unpacked_at_every_chunk_boundary_and_over_members() -> None:
    data = as_csv(NASTY).encode()
    packed = gzip.compress(data[:40]) + gzip.compress(data[40:])

    for at in range(len(packed) + 1):
        assert converted(in_two(packed, at)) == NASTY


@given(tables)
def test_rows_survive_json_lines(rows: list[tuple[str, str]]) -> None:
    lines = "".join(
        json.dumps({"question": question, "answer": answer}, ensure_ascii=False) + "\n"
        for question, answer in rows
    )

    assert converted([lines.encode()], source_format=SourceFormat.JSONL) == rows


@given(st.text(st.sampled_from("a\r\n\x0b\u2028"), max_size=30), st.integers(1, 4))
def test_lines_end_where_a_text_file_in_newline_mode_ends_them(text: str, size: int) -> None:
    data = text.encode()
    chunks = [data[start : start + size] for start in range(0, len(data), size)]

    assert list(read_lines(chunks)) == list(io.StringIO(text, newline=""))


def test_cells_are_never_taken_for_formulas_numbers_or_dates() -> None:
    rows = [("=SUM(A1:A9)", "007"), ("+1", "1e5"), ("@x", "2026-01-02"), ("-1", "TRUE")]

    assert converted([as_csv(rows).encode()]) == rows


def test_a_cell_beyond_the_csv_modules_default_limit_is_read() -> None:
    rows = [("x" * 1_000_000, "y")]

    assert converted([as_csv(rows).encode()]) == rows
