"""Records found by their marks are those that the csv module reads, wherever the bytes are cut."""

import csv
import io
import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from novaloop.datasets.reading import csv_table
from novaloop.datasets.reading.csv_records import ScannedRecords, scan
from novaloop.datasets.reading.csv_table import open_csv
from novaloop.datasets.reading.decoding import read_text
from novaloop.datasets.reading.text_column import TextColumn
from tests.fuzz.checks import as_the_csv_module_reads, as_we_read, one_by_one

HEADERS = ["a,b\n", "a,b\r\n", "a\n", "a;b,c,d\n", "\n\n a,b\r"]
pieces = st.sampled_from(
    ['"', '""', ",", '","', "\n", "\r\n", '"\r\n"', "\r", "x", " ", "é🙂", ";"]
)
raw_text = st.lists(pieces, max_size=30).map("".join)
cells = st.text(st.sampled_from('ab",; \n\r\té🙂\\\x0b\x1f\x85\u2028'), max_size=8)


def well_formed(rows: list[list[str]], line_end: str) -> str:
    out = io.StringIO()
    # The writer leaves a return unquoted that it doesn't end lines with.
    quoting = csv.QUOTE_ALL if line_end == "\n" else csv.QUOTE_MINIMAL
    csv.writer(out, lineterminator=line_end, quoting=quoting).writerows(rows)
    return out.getvalue()


tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=8)
)


def in_chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(st.sampled_from(HEADERS), raw_text, st.sampled_from(",;é"), st.lists(st.integers(0)))
@example("a,b\n", '1,2\nx"y,"z\n"u,v\n', ",", [])
@example("a,b\n", '1,"2"\n"3""",\n', ",", [9])
@example("a,b\n", '1,"2" \n3,4\n', ",", [])
@example("a,b\n", '1,"2"\r3,4\r\n', ",", [])
@example("a,b\n", "1\r,2\n", ",", [])
@example("a\n", "1\r2\n", ",", [])
@example("a,b\n", "\n1,2\n\n", ",", [])
def test_any_text_gives_the_rows_lines_and_errors_of_the_csv_module(
    header: str, body: str, delimiter: str, cuts: list[int]
) -> None:
    text = header + body
    expected, broken = as_the_csv_module_reads(text, delimiter)

    rows, refused = as_we_read(in_chunks(text.encode(), cuts), delimiter)

    assert refused == broken
    # Rows before an error may be left out: nothing of a refused file is used.
    assert rows == expected if broken is None else expected[: len(rows)] == rows


@given(tables, st.sampled_from(["\n", "\r\n"]))
def test_well_formed_text_is_scanned_as_it_was_written(
    rows: list[list[str]], line_end: str
) -> None:
    rows = [row for row in rows if len(row) > 1]
    text = well_formed(rows, line_end)
    if any("\r" in cell.replace("\r\n", "") for row in rows for cell in row):
        return  # the tables above have them, and the writer doesn't quote all of them
    found = scan(text.encode(), ord(","))

    assert found is not None
    assert found.end == len(text.encode())
    if rows:
        width = len(rows[0])
        records = found.records(width, 1_000)
        assert records is not None
        assert [list(row) for row in zip(*records.columns(range(width)), strict=True)] == rows


@given(st.lists(cells, min_size=1))
def test_column_gives_texts_and_json(texts: list[str]) -> None:
    column = TextColumn([text.encode().replace(b'"', b'""') for text in texts])

    assert list(column) == texts == [column[index] for index in range(len(column))]
    assert [json.loads(text) for text in column.json()] == texts
    assert column.utf8 == [text.encode() for text in texts]
    assert column.has_blank() == any(not text.strip() for text in texts)


def test_records_longer_than_a_block_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["x" * 5_000 + "\n", str(number)] for number in range(5)]
    data = well_formed([["a", "b"], *rows], "\n").encode()
    monkeypatch.setattr(csv_table, "_MAX_SCANNED_BYTES", 20_000)

    table = open_csv(read_text(in_chunks(data, list(range(0, len(data), 100)))), None)
    batches = list(table.batches)

    assert all(isinstance(records, ScannedRecords) for _, records in batches)
    assert [row for batch in batches for _, row in one_by_one(batch)] == rows


def test_a_quote_that_never_ends_is_left_to_the_csv_module(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b'a,b\n1,2\n"' + b"x\n" * 5_000
    monkeypatch.setattr(csv_table, "_MAX_SCANNED_BYTES", 1_000)

    rows, refused = as_we_read(in_chunks(data, list(range(0, len(data), 100))), ",")

    assert rows == [(1, ["a", "b"]), (2, ["1", "2"])]
    assert refused == 3


def test_one_bad_row_does_not_stop_the_scan() -> None:
    data = b"a,b\n" + b"1,2\n" * 3_000 + b"1,2,3\n" + b"1,2\n" * 50

    table = open_csv(read_text(in_chunks(data, list(range(0, len(data), 40)))), None)
    kinds = [isinstance(records, ScannedRecords) for _, records in table.batches]

    assert kinds.count(False) <= 2
    assert kinds[-1]
