"""CSV files from the test suites of other parsers, each read as its maintainers or we ruled."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.reading.csv_table import open_csv
from novaloop.datasets.reading.decoding import read_lines, read_text

ROOT = Path(__file__).parents[3]
CORPUS = Path(os.environ.get("NOVALOOP_SHARED", ROOT.parent / "shared")) / "data" / "csv-cases"
RULINGS = ROOT / "docs" / "datasets.md"
# These are the default, or stand in the file's byte order mark.
NEEDS_NO_OPTION = {"utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32", ""}

# The ruling, in the docs' table, on files that other parsers treat in different ways, and the rule
# that refuses them; None: read as it stands.
AMBIGUOUS = {
    "csvkit__test_skip_lines.csv": ("blank lines before", None),
    "frictionless__escaping.csv": ("space before an opening quote", None),
    "duckdb__single_quote_backslash.csv": ("backslash before a quote, single quotes", None),
    "csvkit__no_header_row.csv": ("no header line", "no-rows"),
    "messytables__weird_head_padding.csv": ("a title line above the header", "stray-quote"),
    "frictionless__blank-rows-multiple.csv": ("lines of delimiters only", "too-many-rejects"),
    "duckdb__header_normalize.csv": ("an empty name between others", "blank-header"),
    "duckdb__dirty_line.csv": ("a title line above the header", "too-many-rejects"),
}
REJECTED = {
    "messytables_zero_bytes.csv": ("empty-file", None),
    "csvkit__null_byte.csv": ("too-many-rejects", 2),
    "csvkit__bad.csv": ("too-many-rejects", 2),
    "frictionless__blank-headers.csv": ("blank-header", 1),
    "frictionless__structure-errors.csv": ("too-many-rejects", 4),
    "duckdb__csv_quoted_newline_odd.csv": ("too-many-rejects", 11),
    "duckdb__evil_nullpadding.csv": ("too-many-rejects", 2),
    "duckdb__duplicate_header_columns.csv": ("duplicate-header", 1),
    "duckdb__unescaped_quote_new_line.csv": ("delimiter", 1),
    "duckdb__some_escaped_some_not.csv": ("stray-quote", 2),
    "rvl__unterminated_quote.csv": ("unterminated-quote", 2),
    "rvl__encoding_utf16le.csv": ("encoding", 1),
    "rvl__encoding_utf32be.csv": ("encoding", None),
    "rvl__only_blank_lines.csv": ("blank-file", None),
    "papaparse__verylong-sample.csv": ("too-many-rejects", 500),
    "papaparse__malformed.tsv": ("unterminated-quote", 9),
}


def corpus() -> list[dict[str, str]]:
    index = CORPUS / "index.tsv"
    if not index.exists():
        return []
    with index.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


CASES = corpus()
needs_corpus = pytest.mark.skipif(not CASES, reason="the corpus is not beside this checkout")


def expecting(verdict: str) -> list[dict[str, str]]:
    return [case for case in CASES if case["expect"] == verdict]


def encoding(case: dict[str, str]) -> str | None:
    return None if case["encoding"] in NEEDS_NO_OPTION else case["encoding"]


def delimiter(case: dict[str, str]) -> str | None:
    stands_for = {",": None, r"\t": "\t", r"\x1f": "\x1f"}
    return stands_for.get(case["delimiter"], case["delimiter"])


def read_rows(case: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    with (CORPUS / "files" / case["file"]).open("rb") as file:
        table = open_csv(read_text(file, encoding(case)), delimiter(case))
        every = range(len(table.header))
        columns = [records.columns(every) for _, records in table.batches]
    return table.header, [list(row) for each in columns for row in zip(*each, strict=True)]


def convert_file(case: dict[str, str]) -> DatasetSummary:
    """Convert with the first and the last column as question and answer."""
    path = CORPUS / "files" / case["file"]
    with path.open("rb") as file, suppress(DatasetRefused):
        header = ["", ""]
        header = open_csv(read_text(file, encoding(case)), delimiter(case)).header
    options = DatasetOptions(
        columns={"question": header[0], "answer": header[-1]},
        encoding=encoding(case),
        delimiter=delimiter(case),
    )
    with path.open("rb") as file:
        return convert(file, {RowFormat.EVALUATION: lambda _: None}, options, lambda _: None)


@needs_corpus
@pytest.mark.parametrize("case", expecting("ok"), ids=lambda case: case["file"])
def test_good_file_gives_exactly_its_rows(case: dict[str, str]) -> None:
    header, rows = read_rows(case)

    assert len(header) == int(case["columns"])
    assert len(rows) == int(case["records"]) if case["header_row"] == "yes" else len(rows) + 1
    if case["expected_json"]:
        expected = json.loads((CORPUS / case["expected_json"]).read_text("utf-8"))
        assert list(as_expected(header, rows, expected)) == expected


def as_expected(
    header: list[str], rows: list[list[str]], expected: list[object]
) -> Iterator[object]:
    """Shape rows as the corpus does: objects by header, or lists where there is no header."""
    if expected and isinstance(expected[0], list):
        yield from [header, *rows]
    else:
        yield from (dict(zip(header, cells, strict=True)) for cells in rows)


@needs_corpus
@pytest.mark.parametrize("case", expecting("reject"), ids=lambda case: case["file"])
def test_bad_file_is_refused_by_rule_and_line(case: dict[str, str]) -> None:
    content = (CORPUS / "files" / case["file"]).read_bytes()
    if "nul" in case["tags"].split(",") and b"\0" not in content:
        pytest.skip("this copy of the file has lost its NUL, as where it went through C strings")
    refusal = convert_file(case).refusal

    assert refusal is not None
    assert (refusal.rule, refusal.line) == REJECTED[case["file"]], content[:200]
    assert "\n" not in str(refusal)
    if refusal.line is not None:
        assert str(refusal).startswith(f"line {refusal.line}: ")


@needs_corpus
@pytest.mark.parametrize("case", expecting("ambiguous"), ids=lambda case: case["file"])
def test_ambiguous_file_gets_its_documented_ruling(case: dict[str, str]) -> None:
    ruling, rule = AMBIGUOUS[case["file"]]
    refusal = convert_file(case).refusal
    lines = RULINGS.read_text("utf-8").splitlines()
    (documented,) = [line for line in lines if line.startswith(f"| {ruling}")]

    assert (refusal.rule if refusal else None) == rule
    assert f"`{rule}`" in documented if rule else "refused" not in documented


@needs_corpus
def test_encoding_is_never_guessed() -> None:
    foreign = [case for case in expecting("ok") if encoding(case)]

    assert len(foreign) >= 4
    for case in foreign:
        with (CORPUS / "files" / case["file"]).open("rb") as file:
            lines = read_lines(file)
            with pytest.raises(DatasetRefused, match=r"line \d+: byte \d+ is not valid UTF-8"):
                list(lines)
