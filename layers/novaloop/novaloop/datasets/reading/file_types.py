"""What a file is that is neither CSV nor JSON Lines, whatever its name: told by its first bytes."""

import re
from collections.abc import Iterator

from novaloop.datasets.errors import DatasetRefused, Message, Setting

HEAD_BYTES = 1 << 13
"""Enough to tell the entries of an archive, and how NULs are strewn."""
CONFLICT_MARKS = ("<<<<<<<", "=======", ">>>>>>>")
"""What a version control writes above, between and below what it could not merge."""
IS_CONFLICT = "is a mark of a merge conflict", "resolve the conflict, and remove its marks"
_RULE = "file-type"
_AS_CSV = "open it where it comes from, and save it as CSV in UTF-8"
_UNPACKED = "unpack it; a file may be in gzip"
_BY_PANDAS = "write it as CSV, as pandas does with `to_csv(..., index=False)`"
# Magic numbers, as file(1) and the formats' own specifications have them.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a file of Office (old, or with a password)", _AS_CSV),
    (b"%PDF-", "a PDF", _AS_CSV),
    (b"{\\rtf", "a text in RTF", _AS_CSV),
    (b"PK\x03\x04", "a ZIP archive", _UNPACKED),
    (b"PK\x05\x06", "an empty ZIP archive", _UNPACKED),
    (b"\x1f\x8b", "gzip in gzip", "unpack it once"),
    (b"BZh", "packed by bzip2", _UNPACKED),
    (b"\xfd7zXZ\0", "packed by xz", _UNPACKED),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACKED),
    (b"\x04\x22\x4d\x18", "packed by lz4", _UNPACKED),
    (b"\xff\x06\0\0sNaPpY", "packed by snappy", _UNPACKED),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACKED),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACKED),
    (b"PAR1", "Parquet", _BY_PANDAS),
    (b"ARROW1\0\0", "Arrow (Feather)", _BY_PANDAS),
    (b"FEA1", "Feather", _BY_PANDAS),
    (b"ORC", "ORC", _BY_PANDAS),
    (b"Obj\x01", "Avro", _BY_PANDAS),
    (b"\x89HDF\r\n\x1a\n", "HDF5", _BY_PANDAS),
    (b"\x93NUMPY", "an array of NumPy", _BY_PANDAS),
    (b"SQLite format 3\0", "a database of SQLite", "export the table as CSV"),
    *((b"\x80" + bytes([version]), "a pickle", _BY_PANDAS) for version in range(2, 6)),
    (b"\x89PNG\r\n\x1a\n", "an image", _AS_CSV),
    (b"\xff\xd8\xff", "an image", _AS_CSV),
    (b"GIF8", "an image", _AS_CSV),
    (b"version https://git-lfs", "a pointer of Git LFS", "run `git lfs pull` for the file itself"),
)
_IN_ZIP: tuple[tuple[bytes, str, str], ...] = (
    (b"xl/", "an Excel workbook", "save it in Excel as `CSV UTF-8`, one sheet a file"),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet", "save it as CSV in UTF-8"),
    (b"opendocument.text", "an OpenDocument text", _AS_CSV),
    (b"word/", "a Word document", _AS_CSV),
    (b"Index/", "a Numbers or Pages document", "export it as CSV in UTF-8"),
)
_IN_EXCEL = _IN_ZIP[0][2]
_BY_JSON = "write it with `json.dumps`"
_BY_JQ = "write one object a line, as `jq -c` does"
_BY_EXTENSION = {
    **dict.fromkeys(("xlsx", "xlsm", "xlsb", "xls"), _IN_EXCEL),
    **dict.fromkeys(("ods", "numbers"), "save it as CSV in UTF-8, one sheet a file"),
    **dict.fromkeys(("parquet", "arrow", "feather", "avro", "orc"), _BY_PANDAS),
    "json": "write one object a line, and call it .jsonl",
    "ndjson": "call it .jsonl",
    "tsv": "call it .csv, and set `delimiter` to a tab",
    **dict.fromkeys(("zip", "tar", "tgz", "bz2", "xz", "zst", "7z", "rar"), _UNPACKED),
}
_BY_YQ = "write one object a line, as `yq -o=json -I=0 '.[]'` does with a list of rows"
_YAML = ("the file is YAML", _BY_YQ)
_NOT_JSON_LINES = (
    (r"\[\[?[A-Za-z][\w.-]*\]\]?\Z", "the file is TOML or INI", "write one object a line"),
    (r"[\w-]+:(\s|\Z)", *_YAML),
    (r"#|//|/\*", "a comment stands there, which JSON has none of", "remove all such lines"),
    (r"\[", "the file is one JSON array", "write one object a line, as `jq -c '.[]'` does"),
    (r"\{'", "the file is Python's and not JSON's: texts stand in single quotes", _BY_JSON),
    (r"\{.*\},\Z", "a comma stands behind the object", "remove it: lines are not joined by commas"),
    (r"\{(.*[{\[,])?\Z", "an object of the file goes over several lines", _BY_JQ),
    (r'".*\}"\Z', "each line is a text that holds JSON", "write the objects themselves"),
    (r"(?![{|]).*,", "the file looks like CSV", "let the file's name end in .csv"),
)
_BEGINS_YAML = re.compile(r"---\Z|%YAML\b|-\s+([\"']?)[\w -]+\1:(\s|\Z)")
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_SOME_NULS = 8
"""More than a text has that was damaged, and fewer than a line of UTF-16 has."""
_TAR = slice(257, 262)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]|^[\x80-\xff]")


def require_text(head: bytes, codec: str) -> None:
    """Raise DatasetRefused if a file that begins with `head` is known to be no text of rows."""
    for what, do in _known(head):
        raise DatasetRefused(_RULE, f"the file is {what}, whatever its name says", do)
    if not codec.startswith(("utf-16", "utf-32")):
        _require_few_nuls(head)


def not_json_lines(first: str) -> tuple[str, str] | None:
    """Say what a file is instead of JSON Lines and what to do, by a first line that is no object.

    None if unknown.
    """
    found = ((what, do) for begins, what, do in _NOT_JSON_LINES if re.match(begins, first))
    return next(found, None) or not_csv(first)


def not_csv(first: str) -> tuple[str, str] | None:
    """Say what a file is instead of CSV, by its first line, and what to do; None if unknown."""
    if first.startswith("|") and first.endswith("|"):
        return "the file is a table in Markdown", "write it as CSV"
    if first.startswith("```"):
        return "the file begins with the fence of Markdown", "remove the lines of ```"
    if _BEGINS_YAML.match(first):
        return _YAML
    return None


def how_to_save(file: str) -> str:
    """Say how a file is made CSV or JSON Lines whose name says that it is neither."""
    extension = file.lower().removesuffix(".gz").rpartition(".")[2]
    return _BY_EXTENSION.get(extension, "save it as CSV or JSON Lines, in UTF-8")


def _known(head: bytes) -> Iterator[tuple[str, str]]:
    if head.startswith(b"PK\x03\x04"):
        yield from ((what, do) for mark, what, do in _IN_ZIP if mark in head)
    # Three or four letters may begin a header, too: a binary file has control characters soon.
    yield from (
        (what, do)
        for magic, what, do in _MAGIC
        if head.startswith(magic) and (len(magic) > 4 or _is_binary(magic) or _is_binary(head))
    )
    if head[_TAR] == b"ustar":
        yield "a tar archive", _UNPACKED
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower()
    if begin.startswith(_MARKUP):
        yield "a web page or XML", "look what was downloaded: it may be a page of an error"


def _is_binary(head: bytes) -> bool:
    return _CONTROL.search(head) is not None


def _require_few_nuls(head: bytes) -> None:
    """Raise DatasetRefused if a text would not have as many NULs: it is UTF-16 or binary."""
    first, second = head[::2].count(0), head[1::2].count(0)
    fewer, more = sorted((first, second))
    # In UTF-16, every other byte of what is ASCII is NUL, and hardly one of those between.
    if more >= _SOME_NULS and fewer <= more // 50:
        encoding = "utf-16-le" if second > first else "utf-16-be"
        what = f"the file looks like {encoding.upper()} without a byte order mark"
        do: Message = ("save it as UTF-8, or set ", Setting("encoding", encoding))
        raise DatasetRefused("encoding", what, do)
    if fewer + more > max(_SOME_NULS, len(head) // 20):
        what = "the file is binary: it has too many NULs for a text"
        raise DatasetRefused(_RULE, what, "save it as CSV or JSON Lines, in UTF-8")
