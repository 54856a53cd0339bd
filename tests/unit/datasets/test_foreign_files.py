"""Files that are not what their name says, were joined or damaged: each is told for what it is.

What a message advises never makes more rows wrong than it mends.
"""

import gzip
import io
import json
import pickle
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from novaloop.datasets.convert import RecordsPlace, convert
from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.parts import convert_part
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.reading.text_column import is_blank

HEADER = "question,answer\n"
ROWS = HEADER + "".join(f"question {number},answer {number}\n" for number in range(40))


def run(
    data: bytes, *, chunk: int = 1 << 18, **options: Any
) -> tuple[DatasetSummary, list[Any], list[Any]]:
    written: list[bytes] = []
    rejects: list[bytes] = []
    chunks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    summary = convert(
        chunks, {RowFormat.EVALUATION: written.append}, DatasetOptions(**options), rejects.append
    )
    rows = [json.loads(line) for line in b"".join(written).splitlines()]
    return summary, rows, [json.loads(line) for line in rejects]


def refusal(data: bytes, **options: Any) -> DatasetRefused:
    found = run(data, **options)[0].refusal
    assert found is not None
    return found


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def open_document(kind: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # the type comes first, and is not packed
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr("content.xml", "<x/>" * 3_000, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("data.csv")
        member.size = len(ROWS)
        archive.addfile(member, io.BytesIO(ROWS.encode()))
    return buffer.getvalue()


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (question text, answer text)")
    return connection.serialize()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(5))
    return buffer.getvalue()


BINARY = bytes(range(256)) * 4
TYPES: dict[str, tuple[bytes, str]] = {
    "xlsx": (zipped(**{"[Content_Types].xml": b"x", "xl__workbook.xml": b"x"}), "Excel workbook"),
    "docx": (zipped(**{"[Content_Types].xml": b"x", "word__document.xml": b"x"}), "Word document"),
    "ods": (open_document("spreadsheet"), "OpenDocument spreadsheet"),
    "odt": (open_document("text"), "OpenDocument text"),
    "numbers": (zipped(**{"Index__Document.iwa": b"x"}), "Numbers or Pages"),
    "zip": (zipped(**{"data.csv": ROWS.encode()}), "a ZIP archive, whatever its name says; unpack"),
    "xls": (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504), "a file of Office"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF"),
    "rtf": (rb"{\rtf1\ansi{\fonttbl}}", "RTF"),
    "bzip2": (b"BZh91AY&SY" + BINARY, "packed by bzip2"),
    "xz": (b"\xfd7zXZ\x00" + BINARY, "packed by xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + BINARY, "packed by zstd"),
    "lz4": (b"\x04\x22\x4d\x18" + BINARY, "packed by lz4"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + BINARY, "a 7z archive"),
    "rar": (b"Rar!\x1a\x07\x01\x00" + BINARY, "a RAR archive"),
    "tar": (tarred(), "a tar archive"),
    "parquet": (b"PAR1\x15\x04\x15" + BINARY, "Parquet"),
    "arrow": (b"ARROW1\x00\x00" + BINARY, "Arrow"),
    "feather": (b"FEA1\x00\x00" + BINARY, "Feather"),
    "orc": (b"ORC\x08\x03" + BINARY, "ORC"),
    "avro": (b"Obj\x01\x04" + BINARY, "Avro"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + BINARY, "HDF5"),
    "sqlite": (database(), "SQLite"),
    "npy": (array(), "NumPy"),
    "pickle": (pickle.dumps(["a"]), "a pickle"),
    "png": (b"\x89PNG\r\n\x1a\n" + BINARY, "an image"),
    "html": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
    "xml": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "XML"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git lfs pull"),
    "binary": (struct.pack("<200d", *range(200)), "binary"),
    "utf-32": (ROWS.encode("utf-32-le"), "binary"),
}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("source_format", SourceFormat)
@pytest.mark.parametrize("wrapped", [bytes, gzip.compress])
def test_a_file_is_told_for_what_it_is(
    name: str, source_format: SourceFormat, wrapped: Callable[[bytes], bytes]
) -> None:
    data, says = TYPES[name]
    for chunk in (1 << 18, 7):
        found = refusal(wrapped(data), source_format=source_format, chunk=chunk)
        assert found.rule == "file-type"
        assert says in str(found)
        assert found.do


def test_gzip_in_gzip_is_told() -> None:
    assert "gzip in gzip" in str(refusal(gzip.compress(gzip.compress(ROWS.encode()))))


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [HEADER + "q,a\n", ROWS, HEADER + "問,答え\n" * 20])
def test_utf_16_without_a_mark_is_told_with_its_order(codec: str, text: str) -> None:
    found = refusal(text.encode(codec))
    assert str(found).startswith(f"the file looks like {codec.upper()} without a byte order mark")
    summary, rows, _ = run(text.encode(codec), encoding=codec)
    assert summary.ok
    assert len(rows) == text.count("\n") - 1


@pytest.mark.parametrize(
    "header", ["ORCID,answer", "PAR1,answer", "BZh9,answer", "FEA1é,answer", "[Id],answer", "{a},b"]
)
def test_a_header_that_begins_like_another_format_is_one(header: str) -> None:
    question, answer = header.split(",")
    mapping = {"question": question, "answer": answer}
    assert run(f"{header}\né,a\n".encode(), columns=mapping)[0].ok


@pytest.mark.parametrize(
    "text",
    [
        '{"question": "q", "answer": "a"}\n{"question": "q", "answer": "a"}\n',
        '[{"question": "q", "answer": "a"}]',
        '[\n  {\n    "question": "q"\n  }\n]\n',
        '\n\n{\n  "question": ["q"]\n}\n',
        '\ufeff{"a": 1}\r\n',
    ],
)
def test_json_in_a_file_of_csv_is_told(text: str) -> None:
    found = refusal(text.encode())
    assert found.rule == "file-type"
    assert "let the file's name end in .jsonl" in str(found)


def test_one_column_alone_names_itself_in_words_too() -> None:
    sinks, rejects = {RowFormat.CPT: len}, list[bytes]()
    convert([b"text\nText\ntext\nmore\n"], sinks, DatasetOptions(max_rejects=1), rejects.append)
    assert [json.loads(each)["line"] for each in rejects] == [3]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (ROWS, "line 1: the file looks like CSV; let the file's name end in .csv"),
        ('[{"question": "q", "answer": "a"}]', "line 1: the file is one JSON array; write one"),
        ('[\n  {\n    "question": "q"\n  }\n]\n', "line 1: the file is one JSON array"),
        ('{\n  "question": "q"\n}\n', "line 1: an object of the file goes over several lines"),
        ('{"question": "q",\n "answer": "a"}\n', "an object of the file goes over several lines"),
        ('{"question": "q", "answer": "a"},\n', "a comma stands behind the object; remove it"),
        ("{'question': 'q', 'answer': 'a'}\n", "the file is Python's and not JSON's"),
        ('"{\\"question\\": \\"q\\"}"\n', "each line is a text that holds JSON"),
        ("| question | answer |\n|---|---|\n", "the file is a table in Markdown; write it as CSV"),
        (
            '```json\n{"question": "q", "answer": "a"}\n```\n',
            "the file begins with the fence of Markdown",
        ),
        ('{"question": "q",, "answer": "a"}\n', "line 1: not valid JSON at character 18"),
        ("- question: q\n  answer: a\n", "line 1: the file is YAML; write one object a line"),
        ("---\nrows:\n- question: q\n", "line 1: the file is YAML"),
        ("rows:\n  - question: q, or r\n", "line 1: the file is YAML"),
        ("question: q\nanswer: a\n", "line 1: the file is YAML"),
        ('[rows]\nquestion = "q"\n', "line 1: the file is TOML or INI"),
        ("# questions of May\nquestion,answer\n", "line 1: a comment stands there"),
        ("// q\n/* r */\n", "line 1: a comment stands there"),
        ('{"data": [{"question": "q", "answer": "a"}]}\n', "holds rows in a list"),
        ('{"count": 2, "next": null, "results": [{"Id": 1}, {"Id": 2}]}\n', "holds rows in a list"),
        ('{"question": ["q", "r"], "answer": ["a", "b"]}\n', "a table column by column"),
        ('{"question": {"0": "q"}, "answer": {"0": "a"}}\n', "a table column by column"),
    ],
)
def test_what_is_no_json_lines_is_told_for_what_it_is(text: str, what: str) -> None:
    assert what in str(refusal(text.encode(), source_format=SourceFormat.JSONL))


@pytest.mark.parametrize(
    "text",
    [
        '[\n {"question": "q", "answer": "a"},\n {"question": "r", "answer": "b"}\n]\n',
        '\n[\n {"question": "q", "answer": "a"},\n {"question": "r", "answer": "b"}\n]\n',
        '{\n "data": [\n {"question": "q", "answer": "a"},\n {"question": "r", "answer": "b"}\n]}',
        '{"question": "q", "answer": "a"},\n{"question": 1},\n{"question": "r", "answer": "b"}\n',
    ],
)
def test_the_last_line_of_an_array_is_no_row_where_others_may_be_rejected(text: str) -> None:
    found = refusal(text.encode(), source_format=SourceFormat.JSONL, max_rejects=9)
    assert found.rule == "file-type"
    assert found.do


def test_a_first_line_that_is_no_object_is_a_rejected_row_before_one_that_is() -> None:
    text = '# questions of May\n{"question": "q", "answer": "a"}\n'
    summary, rows, _ = run(text.encode(), source_format=SourceFormat.JSONL, max_rejects=1)
    assert summary.ok
    assert len(rows) == 1


@pytest.mark.parametrize(
    "text", ["---\n- question: q\n  answer: a\n", "- question: q\n  answer: a\n"]
)
def test_yaml_is_no_csv(text: str) -> None:
    found = refusal(text.encode())
    assert (found.rule, found.line) == ("file-type", 1)
    assert "YAML" in str(found)


@pytest.mark.parametrize(
    "text", ["| question | answer |\n|---|---|\n| q | a |\n", "```csv\nq,a\n```\n"]
)
def test_markdown_is_no_csv_with_another_delimiter(text: str) -> None:
    found = refusal(text.encode())
    assert (found.rule, found.line) == ("file-type", 1)
    assert "Markdown" in str(found)
    assert "delimiter" not in str(found)


@pytest.mark.parametrize("line", ["sep=,", "sep=;", "SEP=\t", '"sep=,"', "sep=|", "\ufeffsep=;"])
def test_the_line_that_tells_excel_the_delimiter_is_explained(line: str) -> None:
    found = refusal(f"{line}\n{ROWS}".encode())
    assert (found.rule, found.line) == ("delimiter", 1)
    assert "tells Excel the delimiter, and is no header; remove it" in str(found)
    other = line.strip('"')[-1]
    assert ("set `delimiter:" in str(found)) is (other != ",")
    mended = ROWS.replace(",", other).encode()
    assert run(mended, **({} if other == "," else {"delimiter": other}))[0].ok


HIDDEN = [
    *("\u200b", "\u3164", "\u2800", "\ufe0f", "\ufeff", "\u00ad", "\u2060\u2060", "\u115f\u1160"),
    *("\U000e0041\U000e007f", "\u200e\u200f", "\u034f", "\uffa0", "\u180e", "\x07", "\x7f\x85", ""),
    *(" \u00a0\u3000\u200b ", "\u202a\u202c", "\u17b4", "\ufff9", "\u2028", "\U000e0100"),
    *("\x1b[0m", "\x1b[1;31m \x1b[0m", "\ufffc", "\u0301", "\u20dd"),
]
SEEN = [
    "a\u200b",
    "\u200b.",
    "e\u0301",
    "\x1b[0mA",
    "[0m",
    "\x1b[",
    "\u0600",
    "ㅤa",
    "⠁",
    "🙂",
    "\ufffd",
    "0",
    "-",
    "日",
]


@pytest.mark.parametrize("text", [*HIDDEN, *SEEN], ids=ascii)
def test_a_text_that_shows_nothing_is_empty(text: str) -> None:
    assert is_blank(text) is (text in HIDDEN)
    for column in range(2):
        cells = ["b", "b"]
        cells[column] = text
        csv = f'{HEADER}"{cells[0]}","{cells[1]}"\nq,a\n'.encode()
        lines = "\n".join(
            json.dumps({"question": question, "answer": answer})
            for question, answer in (cells, ("q", "a"))
        ).encode()
        for data, source_format in ((csv, SourceFormat.CSV), (lines, SourceFormat.JSONL)):
            _, _, rejects = run(data, source_format=source_format, max_rejects=1)
            expected = ["empty-text"] if text in HIDDEN else []
            assert [each["rule"] for each in rejects] == expected


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (HEADER + "q1,a1\n" + HEADER + "q2,a2\n", [3]),
        (HEADER + "q1,a1\n\ufeff" + HEADER + "q2,a2\n", [3]),
        (HEADER + 'q1,a1\n\ufeff"question","answer"\nq2,a2\n', [3]),
        (HEADER + 'q1,a1\n"question","answer"\r\nq2,a2\n', [3]),
        (HEADER + "q1,a1\n" * 500 + HEADER + "q2,a2\n" + HEADER, [502, 504]),
        (HEADER + "question,a\nq,answer\n", []),
        (HEADER + "q1,a1\n question , ANSWER \nq2,a2\n", [3]),
        (HEADER + 'q1,a1\n"Question","Answer"\nq2,a2\n', [3]),
        (HEADER + "q1,a1\nanswer,question\nq2,a2\n", [3]),
        (HEADER + "question,question\nanswers,question\nquestion:,answer\n", []),
    ],
)
def test_the_header_in_the_middle_of_joined_files_is_no_row(text: str, lines: list[int]) -> None:
    _, rows, rejects = run(text.encode(), max_rejects=2)
    assert [(each["line"], each["rule"]) for each in rejects] == [
        (line, "repeated-header") for line in lines
    ]
    assert {"query": "question", "response": "answer"} not in rows


def test_the_header_again_is_found_in_a_part_of_a_big_file() -> None:
    body = f"q,a\n{HEADER}".encode()
    place, rejects = RecordsPlace(100, ["question", "answer"]), list[bytes]()
    sinks = {RowFormat.EVALUATION: len}
    part = convert_part([body], place, sinks, DatasetOptions(), rejects.append)
    assert part.facts.rejects["repeated-header"].first_lines == [2]


@pytest.mark.parametrize("where", ["question \0x,a\n", "q,a\0\n", '"q\n\0",a\n', "\0\n", "\0" * 7])
def test_one_nul_costs_its_row_only(where: str) -> None:
    data = (HEADER + "q1,a1\n" * 30 + where + "\nq2,a2\n").encode()
    summary, rows, (reject,) = run(data, max_rejects=1)
    assert summary.ok
    assert (reject["line"], reject["rule"]) == (32, "nul")
    assert len(rows) == 31
    assert str(refusal(data)).startswith("line 32: the row holds the character NUL; remove it")


def test_a_nul_in_the_header_refuses_the_file() -> None:
    assert refusal(b"question,ans\0wer\nq,a\n").rule == "nul"


SPANISH = "¿Dónde está el café número {}?,señor\n"


@pytest.mark.parametrize("at", [0, 25, 50])
def test_one_bad_byte_among_utf_8_is_to_be_corrected(at: int) -> None:
    lines = [SPANISH.format(number).encode() for number in range(51)]
    lines[at] = b"caf\xe9,x\n"
    data = HEADER.encode() + b"".join(lines)
    found = refusal(data)
    assert found.line == at + 2
    assert str(found).endswith("correct that byte: other characters of the file are UTF-8")
    for wrong in ("latin-1", "cp1252", "cp1251"):
        assert "is wrong: the file is UTF-8, or most of it is" in str(refusal(data, encoding=wrong))


@pytest.mark.parametrize(
    ("text", "codec", "says"),
    [
        (SPANISH, "cp1252", "cp1252"),
        ("Où est le café,ici\n", "latin-1", "cp1252"),
        ("Где находится кафе,здесь\n", "cp1251", "to what it is in"),
        ("コーヒーはどこですか,ここ\n", "shift_jis", "to what it is in"),
        ("咖啡馆在哪里,这里\n", "gb18030", "to what it is in"),
        ("카페가 어디예요,여기\n", "euc-kr", "to what it is in"),
        ("ร้านกาแฟอยู่ที่ไหน,ที่นี่\n", "tis-620", "to what it is in"),
    ],
)
def test_advice_on_another_encoding_garbles_nothing(text: str, codec: str, says: str) -> None:
    data = HEADER.encode() + text.encode(codec) * 20
    assert says in str(refusal(data))
    summary, rows, _ = run(data, encoding=codec)
    assert summary.ok
    assert rows[0]["response"] == text.split(",")[1].strip()
