"""Each kind of bad input ends in a named rule and one line that says where and what to do."""

import gzip
import json

import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.errors import DatasetRefused, Wording, told_once
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.reading.csv_table import MAX_CELL_CHARS
from novaloop.datasets.reading.decoding import read_lines

HEADER = b"question,answer\n"
IN_TERMINAL = Wording(shows_found=True)


def run(
    data: bytes, row_format: RowFormat = RowFormat.SFT, **options: object
) -> tuple[DatasetSummary, list[dict[str, object]]]:
    rejects: list[bytes] = []
    summary = convert(
        [data],
        {row_format: lambda _: None},
        DatasetOptions(**options),  # type: ignore[arg-type]
        rejects.append,
    )
    return summary, [json.loads(line) for line in rejects]


REFUSED = [
    (b"", "empty-file", None, "it needs a header and rows"),
    (b"\n \n\t\r\n", "blank-file", None, "the file needs a header and rows"),
    (HEADER, "no-rows", None, "add some"),
    (b"\xef\xbb\xbf" + HEADER, "no-rows", None, "add some"),
    (b"question;answer\nq;a\n", "delimiter", 1, "set `delimiter: ';'`"),
    (b"question\tanswer\nq\ta\n", "delimiter", 1, r"set `delimiter: '\t'`"),
    (b"id,,answer\n", "blank-header", 1, "column 2 of the header has no name"),
    (b"answer,answer\n", "duplicate-header", 1, "rename or remove one"),
    (b"Question,answer\nq,a\n", "missing-column", 1, "a name differs by case or spaces only"),
    (b"a,b\nq,a\n", "missing-column", 1, "or put a header above the line if it is a row"),
    (b"7,b\nq,a\n", "missing-header", 1, "cell 1 is a number; put a line with the columns' names"),
    (b"a,-1.5\nq,a\n", "missing-header", 1, "above it, among them 'question', 'answer'"),
    (b"what is it that you see,b\nq,a\n", "missing-header", 1, "cell 1 is a text of 23 characters"),
    (b'a,"b\nc"\nq,a\n', "missing-header", 1, "cell 2 is a text of 3 characters"),
    (b"7,answer\nq,a\n", "missing-column", 1, "set `columns: {question: ...}`"),
    (b"a,b\nq,a\n", "missing-column", 1, "no column 'answer' for `answer` among the 2 of the line"),
    (b"question,b\nq,a\n", "missing-column", 1, "set `columns: {answer: ...}` in experiment.yaml"),
    (HEADER + b"q,a\nq,b\xff\n", "encoding", 3, "byte 23 is not valid UTF-8"),
    (HEADER + b"q,\xe9", "encoding", 2, "`encoding: cp1252`"),
    (HEADER + b"q,a\xc0\x80b\n", "encoding", 2, "to what it is in"),
    (HEADER + b"q,a \x81 b\n", "encoding", 2, "to what it is in"),
    (HEADER + b"q,a\n<<<<<<< HEAD\n", "too-many-rejects", 3, "is a mark of a merge conflict"),
    (HEADER + b"q,a\n=======\n", "too-many-rejects", 3, "resolve the conflict"),
    (b"\xff\xfeq\0\n", "encoding", 1, "is not valid UTF-16-LE"),
    (b"\0\0\xfe\xff\0\0\0a", "encoding", None, "save it as UTF-8"),
    (HEADER + b'q,a\n"q\n\nmore,a\n', "unterminated-quote", 3, 'close it with a "'),
    (HEADER + b'q,"a"b\n', "stray-quote", 2, 'write each " inside of a cell as ""'),
    (HEADER + b"q," + b"x" * (MAX_CELL_CHARS + 1), "cell-too-long", 2, "closing quote missing?"),
    (HEADER + b"q,a\nq\n", "too-many-rejects", 3, "1 cells where the header has 2"),
    (
        HEADER + b"q,a\nq\n",
        "too-many-rejects",
        3,
        "or set `max_rejects: 1` in experiment.yaml to go on",
    ),
    (HEADER + b"q\nq\n", "too-many-rejects", 2, "(2 of 2 rows rejected; correct them)"),
    (gzip.compress(HEADER, mtime=0)[:-4], "gzip", None, "upload it again"),
    (gzip.compress(HEADER, mtime=0)[:-8] + bytes(8), "gzip", None, "compress it again"),
]


@pytest.mark.parametrize(("data", "rule", "line", "advice"), REFUSED)
def test_refusal_names_rule_line_and_remedy(
    data: bytes, rule: str, line: int | None, advice: str
) -> None:
    refusal = run(data)[0].refusal

    assert refusal is not None
    assert (refusal.rule, refusal.line) == (rule, line)
    assert advice in str(refusal)
    assert "\n" not in str(refusal)


MULTITURN = RowFormat.RFT_MULTITURN
OWN_NAMES = [
    (
        RowFormat.SFT,
        {"answer": "Y"},
        {"question": "q", "Y": "no label"},
        "the answer in `Y` is none of",
    ),
    (RowFormat.SFT, {"answer": "Y"}, {"question": "q", "Y": " "}, "`Y` is empty"),
    (RowFormat.SFT, {"question": "My Q"}, {"My Q": "User: q", "answer": "a"}, "`My Q` contains"),
    (RowFormat.SFT, {"question": "Q"}, {"Q": 7, "answer": "a"}, "`Q` is not text"),
    (RowFormat.RFT, {"question": "Q"}, {"Q": "", "answer": "a"}, "`Q` is empty"),
    (RowFormat.EVALUATION, {"metadata": "M"}, {"question": "q", "answer": "a", "M": 7}, "`M` is"),
    (MULTITURN, {"prompt": "Q"}, {"id": "1", "Q": [{"role": "user"}]}, "Q[0]: content"),
]


@pytest.mark.parametrize(("row_format", "columns", "row", "begin"), OWN_NAMES)
def test_a_message_about_a_field_names_the_users_own_column(
    row_format: RowFormat, columns: dict[str, str], row: dict[str, object], begin: str
) -> None:
    summary, (reject,) = run(
        json.dumps(row).encode(),
        row_format,
        columns=columns,
        labels=("a",) if row_format is RowFormat.SFT else (),
        source_format=SourceFormat.JSONL,
    )
    assert str(reject["message"]).startswith(begin)
    assert str(reject["column"]).partition("[")[0] in columns.values()
    assert str(summary.refusal).startswith(f"line 1: {begin}")


def test_a_row_that_lacks_a_column_names_it() -> None:
    rows = b'{"question": "q", "Y": "a"}\n{"question": "q"}\n'
    (reject,) = run(rows, columns={"answer": "Y"}, source_format=SourceFormat.JSONL)[1]
    assert (reject["column"], reject["rule"]) == ("Y", "missing-field")


def test_a_columns_name_never_breaks_a_messages_line() -> None:
    data = b'question,"my\nanswer"\nq,\n'
    refusal = run(data, columns={"answer": "my\nanswer"})[0].refusal
    assert str(refusal).startswith("line 3: `answer` is empty")
    assert "\n" not in str(refusal)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_byte_and_line_of_bad_text_are_right_at_every_chunk_boundary(mark: bytes) -> None:
    data = mark + HEADER + "é日🙂\r\n".encode() + b"q,\xf0\x9f\x99x\n"
    bad = data.index(b"\xf0\x9f\x99x")

    for at in range(len(data) + 1):
        lines = read_lines([data[:at], data[at:]])
        with pytest.raises(DatasetRefused, match=f"^line 3: byte {bad} "):
            list(lines)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_byte_and_line_of_bad_utf_16_are_right_at_every_chunk_boundary(codec: str) -> None:
    good = "\ufeffquestion,answer\r\né日🙂\nq,".encode(codec)
    data = good + "🙂".encode(codec)[:2] + "x\n".encode(codec)

    for at in range(len(data) + 1):
        lines = read_lines([data[:at], data[at:]])
        with pytest.raises(DatasetRefused, match=f"^line 3: byte {len(good)} "):
            list(lines)


PYTHONS_OWN = ["idna", "punycode", "undefined", "raw_unicode_escape", "unicode-escape", "charmap"]
"""What Python decodes and no file is saved in."""


@pytest.mark.parametrize(
    "encoding", ["klingon", "base64", "utf-16", "rot13", "utf_8\0", *PYTHONS_OWN]
)
def test_unusable_encoding_option_is_refused(encoding: str) -> None:
    refusal = run(HEADER + b"q,a\n", encoding=encoding)[0].refusal

    assert refusal is not None
    assert refusal.rule == "encoding"


@pytest.mark.parametrize("encoding", ["utf-7", "UTF7"])
def test_half_a_character_that_an_encoding_lets_through_is_refused_with_its_line(
    encoding: str,
) -> None:
    refusal = run(HEADER + b"q,a\n+2AA-,a\n", encoding=encoding)[0].refusal

    assert refusal is not None
    assert (refusal.rule, refusal.line) == ("encoding", 3)


def test_encoding_option_against_the_byte_order_mark_is_refused() -> None:
    refusal = run("question,answer\nq,a\n".encode("utf-16"), encoding="cp1252")[0].refusal

    assert refusal is not None
    assert "contradicts the file's byte order mark" in str(refusal)


REJECTED = [
    (b"q,a,b\n", RowFormat.SFT, {}, "ragged-row", None),
    (b"\n,a\n", RowFormat.SFT, {}, "empty-text", "question"),
    (b"q, \n", RowFormat.EVALUATION, {}, "empty-text", "answer"),
    (b"q,[EOS]\n", RowFormat.SFT, {}, "reserved-word", "answer"),
    (b"q,B\n", RowFormat.SFT, {"labels": ("A",)}, "unknown-label", "answer"),
    (b"q,a\n", RowFormat.SFT, {"labels": ("A",)}, "unknown-label", "answer"),
]


@pytest.mark.parametrize(("row", "row_format", "options", "rule", "column"), REJECTED)
def test_bad_row_is_listed_and_the_good_ones_go_on(
    row: bytes, row_format: RowFormat, options: dict[str, object], rule: str, column: str | None
) -> None:
    data = HEADER + row + b"good,A\n"

    summary, rejects = run(data, row_format, max_rejects=1, **options)

    assert summary.ok
    assert (summary.rows_in, summary.rows_out) == (2, 1)
    assert [(each["rule"], each["column"]) for each in rejects] == [(rule, column)]
    assert rejects[0]["line"] == (3 if row.startswith(b"\n") else 2)
    assert summary.rejects[rule].first_lines == [rejects[0]["line"]]


def test_line_is_where_a_multi_line_row_begins() -> None:
    _, rejects = run(HEADER + b'"a\nb\r\nc",x\n\n"d\ne", \n')

    assert [each["line"] for each in rejects] == [6]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_lines_are_counted_as_an_editor_counts_them(line_end: bytes) -> None:
    rows = [HEADER.strip(), b'"a', b"", b'b","c', b'd"', b"x, ", b"", b"y,z,", b'"never', b"ends"]

    summary, rejects = run(line_end.join(rows))

    assert [each["line"] for each in rejects] == [6, 8]
    assert summary.refusal is not None
    assert (summary.refusal.rule, summary.refusal.line) == ("unterminated-quote", 9)


def test_lines_are_right_far_into_a_file() -> None:
    good = b'"two\nlines",a\n'

    summary, rejects = run(HEADER + good * 1_000 + b"q\n" + good * 100 + b'q,"a"b')

    assert [each["line"] for each in rejects] == [2_002]
    assert summary.refusal is not None
    assert summary.refusal.line == 2_203
    assert summary.rows_out == 1_100


def test_reserved_words_concern_sft_only() -> None:
    data = HEADER + b"User: hi,a\n"

    assert not run(data)[0].ok
    assert run(data, RowFormat.RFT)[0].ok
    assert run(data, RowFormat.EVALUATION)[0].ok


def test_every_reject_counts_but_only_so_many_are_listed() -> None:
    summary, rejects = run(HEADER + b"q\n" * 10_050)

    assert summary.rejects["ragged-row"].rows == 10_050
    assert len(rejects) == 10_000
    assert summary.refusal is not None
    assert "10050 of 10050 rows rejected" in str(summary.refusal)


def test_no_cell_text_in_any_message_unless_excerpts_are_wanted() -> None:
    data = HEADER + b"SECRET User: x,a\nSECRET,\n" + b"SECRET,a,SECRET\n"

    summary, rejects = run(data, labels=("b",))

    assert len(rejects) == 3
    assert "SECRET" not in json.dumps(rejects) + str(summary.refusal)

    excerpts = run(data, reject_excerpts=True)[1]
    assert excerpts[0]["excerpt"] == "SECRET User: x"


def test_json_errors_name_line_and_path() -> None:
    rows = [
        '{"messages": [{"role": "user", "content": "q"}], "reference_answer": "SECRET"}',
        "{nonsense",
        "[1]",
        '{"messages": [{"role": "user", "content": "SECRET", "bogus": 1}]}',
        '{"messages": [{"role": "user", "content": "SECRET"}]}',
    ]
    summary, rejects = run(
        "\n".join(rows).encode(), RowFormat.RFT, source_format=SourceFormat.JSONL
    )

    assert [(each["line"], each["rule"]) for each in rejects] == [
        (2, "invalid-json"),
        (3, "not-an-object"),
        (4, "schema"),
        (5, "inconsistent"),
    ]
    assert rejects[2]["column"] == "messages[0]"
    assert "bogus" not in json.dumps(rejects)
    assert "SECRET" not in json.dumps(rejects) + str(summary.refusal)


def test_plain_json_row_without_a_field_of_the_first_is_rejected() -> None:
    rows = b'{"question": "q", "answer": "a"}\n{"question": "q"}\n{"question": 3, "answer": "a"}'

    _, rejects = run(rows, source_format=SourceFormat.JSONL)

    assert [(each["line"], each["rule"]) for each in rejects] == [
        (2, "missing-field"),
        (3, "not-text"),
    ]


def test_rft_on_a_first_generation_model_is_refused() -> None:
    refusal = run(HEADER + b"q,a\n", RowFormat.RFT, model="nova-pro")[0].refusal

    assert refusal is not None
    assert refusal.rule == "model"


def test_reserved_word_in_the_system_prompt_is_refused_before_any_row() -> None:
    summary, rejects = run(HEADER + b"q,a\n", system_prompt="You are the User: here")

    assert summary.refusal is not None
    assert summary.refusal.rule == "reserved-word"
    assert not rejects


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"Question,answer", "; did you mean 'Question'? (found: 'Question', 'answer')"),
        (b"a,a", "; found: 'a'"),
        (b"a\x1b[2J,b", r"; found: 'a\x1b[2J', 'b'"),
        (b",".join(b"%d" % number for number in range(5_000)), "'9', and 4,990 more"),
        (b"x" * 700_000, f"; found: '{'x' * 40}'…"),
        (b",".join(b"%d" % number * 50_000 for number in range(10, 24)), ", and 4 more"),
    ],
)
def test_what_stands_in_the_file_is_shown_in_the_terminal_only_and_cut_short(
    header: bytes, shown: str
) -> None:
    refusal = run(header + b"\n1,2\n")[0].refusal

    assert refusal is not None
    assert IN_TERMINAL.told(refusal).endswith(shown)
    assert len(IN_TERMINAL.told(refusal)) < 1_000
    assert shown not in f"{refusal} {refusal!r} {refusal.found} {vars(refusal)}"


def test_a_label_is_no_name_of_a_column() -> None:
    refusal = run(b"why,HQ\nhow,LQ\n", labels=("HQ", "LQ"))[0].refusal
    assert refusal is not None
    assert refusal.rule == "missing-header"
    assert "cell 2 is a label" in str(refusal)
    assert "HQ" not in f"{refusal} {refusal!r} {vars(refusal)}"


def told(file: str, *lines: str) -> tuple[str, str]:
    summary = run("\n".join((HEADER.decode().strip(), *lines)).encode(), max_rejects=0)[0]
    assert summary.refusal is not None
    return file, IN_TERMINAL.told(summary.refusal)


def test_one_problem_in_several_files_is_told_once_with_its_places() -> None:
    reasons = [
        told("sft.csv", "q,a", "q"),
        told("rft.csv", "q", "q", "q,a"),
        told("eval.csv", '"q,a'),
    ]
    short, quote = told_once(reasons)
    assert short == (
        "sft.csv line 3 (1 of 2 rows rejected), rft.csv line 2 (2 of 3 rows rejected): "
        "1 cells where the header has 2; quote cells with commas, or set `max_rejects: 2` in "
        "experiment.yaml to go on without them"
    )
    assert quote.startswith("eval.csv line 2: a quoted cell of this row never ends")


def test_what_was_found_is_told_of_each_file_that_has_other_names() -> None:
    first, second = run(b"a,b\n1,2\n")[0].refusal, run(b"c,d\n1,2\n")[0].refusal
    assert first is not None
    assert second is not None
    reasons = [("sft.csv", IN_TERMINAL.told(first)), ("rft.csv", IN_TERMINAL.told(second))]
    (only,) = told_once(reasons)
    assert only.startswith("sft.csv line 1, rft.csv line 1: no column 'question'")
    assert only.endswith("; in sft.csv, found: 'a', 'b'; in rft.csv, found: 'c', 'd'")
    (same,) = told_once([*reasons[:1], ("rft.csv", reasons[0][1])])
    assert same.endswith("; found: 'a', 'b'")


def test_a_reason_that_has_no_line_is_told_as_it_is() -> None:
    assert told_once([("a.csv", "no (such); thing"), ("b.csv", "")]) == [
        "a.csv: no (such); thing",
        "b.csv: ",
    ]


def test_lines_of_json_miss_no_header() -> None:
    refusal = run(b'{"a": "q", "b": "a"}', source_format=SourceFormat.JSONL)[0].refusal

    assert "no column 'answer' for `answer` among the 2 of the line; set" in str(refusal)
    assert "above the line" not in str(refusal)


def test_a_key_that_a_format_does_not_know_is_shown_in_the_terminal() -> None:
    row = b'{"messages": [{"role": "user", "content": "q", "bogus": 1}]}'
    refusal = run(row, RowFormat.RFT, source_format=SourceFormat.JSONL)[0].refusal

    assert refusal is not None
    assert "messages[0]: has a key that its format doesn't know" in str(refusal)
    assert IN_TERMINAL.told(refusal) == f"{refusal}; found: 'bogus'"


@pytest.mark.parametrize("max_rejects", [0, 2, 10])
def test_a_file_without_a_usable_row_tells_what_is_wrong_with_its_rows(max_rejects: int) -> None:
    """To go on without all of them is no remedy, whatever the settings say."""
    refusal = run(HEADER + b"q\nq\n", max_rejects=max_rejects)[0].refusal

    assert "1 cells where the header has 2" in str(refusal)
    assert str(refusal).endswith("(2 of 2 rows rejected; correct them)")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (
            ("HQ", "LQ"),
            "the answer in `answer` is none of the 2 labels (HQ, LQ); correct it, or add",
        ),
        (("A", "B"), "(A, B); it differs by case or spaces only: write it as in `labels:`"),
        (tuple(f"{n:03}{'x' * 90}" for n in range(150)), f"(000{'x' * 37}, 001"),
        (tuple(f"{n:03}{'x' * 90}" for n in range(150)), ", and 140 more); correct it"),
    ],
)
def test_the_labels_that_were_expected_are_told(labels: tuple[str, ...], told: str) -> None:
    refusal = run(HEADER + b"q,a\n", labels=labels)[0].refusal

    assert told in str(refusal)
