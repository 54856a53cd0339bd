from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING

import pytest

from novaloop.usecases.ingest import ingest
from novaloop_cli.folder import folder_world
from tests.unit.cli.conftest import novaloop

if TYPE_CHECKING:
    from pathlib import Path

CSV = 'Id,Body,Y\n1,"two\nlines",good\n2,another,bad\n3,a third,good\n'
SPEC = """
columns: {question: Body, answer: Y}
labels: [good, bad]
system_prompt: Say which.
"""
OPTIONS = (
    *("--column", "question=Body", "--column", "answer=Y"),
    *("--label", "good", "--label", "bad", "--system-prompt", "Say which."),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "in.csv"
    file.write_text(CSV)
    return file


def converted(source: Path, method: str, *options: str) -> tuple[int, str, Path]:
    target = source.parent / "out.jsonl"
    result = novaloop("convert", str(source), str(target), "--method", method, *options)
    return result.exit_code, result.output, target


@pytest.mark.parametrize("method", ["sft", "rft", "eval"])
@pytest.mark.parametrize("zipped", [False, True])
def test_the_rows_are_those_that_ingest_writes(
    source: Path, tmp_path: Path, method: str, zipped: bool
) -> None:
    if zipped:
        source = source.with_suffix(".csv.gz")
        source.write_bytes(gzip.compress(CSV.encode()))
    code, output, target = converted(source, method, *OPTIONS)
    assert code == 0, output
    spec = tmp_path / "experiment.yaml"
    spec.write_text(SPEC)
    key = f"inbox/x/{method}{''.join(source.suffixes)}"
    world = folder_world("x", tmp_path / "cloud", {key: source, "inbox/x/experiment.yaml": spec})
    ingest(key, world)
    item = world.store.load("x").datasets[method]
    name = "evaluation" if method == "eval" else method
    assert target.read_bytes() == world.objects.get(item.outputs[name]).read()
    assert "3 rows" in output
    assert "good: 2" in output
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl"]


@pytest.mark.parametrize(
    ("method", "model", "columns", "field"),
    [
        ("dpo", "nova-pro", ("prompt=Body", "preferred=Y", "non_preferred=Id"), "messages"),
        ("cpt", "nova-lite-2", ("text=Body",), "text"),
        ("llm-judge", "nova-lite", ("prompt=Body", "response_A=Y", "response_B=Id"), "prompt"),
        ("rft-multiturn", "nova-lite-2", ("prompt=Body", "id=Id"), "metadata"),
        ("rft-multiturn-serverless", "nova-lite-2", ("prompt=Body",), "prompt"),
    ],
)
def test_every_method_has_its_rows(
    source: Path, method: str, model: str, columns: tuple[str, ...], field: str
) -> None:
    options = [part for column in columns for part in ("--column", column)]
    code, output, target = converted(source, method, "--model", model, *options)
    assert code == 0, output
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert len(rows) == 3
    assert all(row[field] for row in rows)


def test_a_rejected_row_means_exit_code_2_and_no_rows(source: Path) -> None:
    source.write_text(CSV + "4,a secret,\n")
    code, output, target = converted(source, "sft", *OPTIONS)
    assert code == 2
    assert not target.exists()
    assert "line 6: `Y` is empty" in output
    assert "secret" not in output
    (reject,) = target.with_name("out.jsonl.rejects.jsonl").read_text().splitlines()
    assert json.loads(reject)["line"] == 6


def test_a_list_of_rejected_rows_goes_with_the_next_conversion_that_rejects_none(
    source: Path,
) -> None:
    source.write_text(CSV + "4,no answer,\n")
    converted(source, "sft", *OPTIONS)
    listing = source.with_name("out.jsonl.rejects.jsonl")
    assert listing.exists()
    source.write_text(CSV)
    code, output, _ = converted(source, "sft", *OPTIONS)
    assert code == 0, output
    assert not listing.exists()


def test_rejected_rows_can_be_left_out(source: Path) -> None:
    source.write_text(CSV + "4,no answer,\n")
    code, output, target = converted(source, "sft", *OPTIONS, "--allow-rejects")
    assert code == 0, output
    assert len(target.read_text().splitlines()) == 3
    assert "rejected 1 row: empty-text, first in line 6" in output


def test_what_the_checks_would_find_is_said(source: Path) -> None:
    source.write_text(CSV + "4,another,good\n5," + "long " * 1_000 + ",good\n")
    code, output, _ = converted(source, "sft", *OPTIONS, "--max-length", "1000")
    assert code == 0, output
    assert "contradictions: 2 rows of sft have another answer elsewhere" in output
    assert "long-rows: 1 row of sft has more than max_length (1000) tokens" in output
    assert "long-rows" not in converted(source, "sft", *OPTIONS, "--max-length", "2000")[1]


def test_a_prompt_can_come_from_a_file(source: Path) -> None:
    prompt = source.with_name("prompt.txt")
    prompt.write_text("From a file,\nof two lines.")
    options = ("--column", "question=Body", "--column", "answer=Y", "--system-prompt", f"@{prompt}")
    code, output, target = converted(source, "eval", *options)
    assert code == 0, output
    assert json.loads(target.read_text().splitlines()[0])["system"] == prompt.read_text()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--column", "question"), "write FIELD=COLUMN"),
        (("--delimiter", "xx"), "--delimiter"),
        (("--model", "nova-huge"), "--model"),
        (("--label", "one"), "--label: a classification needs at least two labels"),
        (("--model", "nova-lite2"), "--model: must be one of nova-micro, nova-lite, nova-pro"),
        (("--delimiter", ";;"), "--delimiter: must have at most 1 character"),
        (("--max-length", "0"), "'--max-length'"),
        (("--system-prompt", "@nowhere.txt"), "no such text file"),
        (("--column", "question=Nope"), "Nope"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    source: Path, options: tuple[str, ...], complaint: str
) -> None:
    code, output, target = converted(source, "sft", *options)
    assert code == 2
    assert complaint in output
    assert not target.exists()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.xlsx"
    source.write_bytes(b"PK")
    code, output, _ = converted(source, "sft")
    assert code == 2
    assert "its name ends in .csv or .jsonl" in " ".join(output.split())


def test_the_source_is_never_overwritten(source: Path) -> None:
    result = novaloop("convert", str(source), str(source), "--method", "sft", *OPTIONS)
    assert result.exit_code == 2
    assert source.read_text() == CSV


@pytest.mark.parametrize(
    ("content", "options", "remedy"),
    [
        (b"asked,answered\na,b\n", (), "set `--column question=... --column answer=...`"),
        (b"question,b\na,b\n", (), "set `--column answer=...`; "),
        (b"question,answer\na\xff,b\n", (), "`--encoding cp1252`"),
        ("question,answer\n".encode("utf-16-le"), (), "set `--encoding utf-16-le`"),
        (
            b"question,answer\na,b\n",
            ("--encoding", "latin-99"),
            "--encoding: is not a known text encoding",
        ),
        (b"question,answer\na,b\n", ("--delimiter", '"'), "--delimiter: divides no cells"),
        (b"question,answer\na,\nb,c\n", (), "`--allow-rejects` to go on"),
        (b"question,answer\na,b\n", ("--label", "x", "--label", "y"), "or add it to `--label`"),
        (b"question,answer,id\na,b,1\n", ("--column", "messages=id"), "`--column` can't set"),
    ],
)
def test_a_remedy_is_an_option_of_this_command(
    tmp_path: Path, content: bytes, options: tuple[str, ...], remedy: str
) -> None:
    """Ingest's code, which this command runs, names the settings of an experiment.yaml."""
    source = tmp_path / "in.csv"
    source.write_bytes(content)
    method = "rft" if "messages=id" in options else "sft"
    result = novaloop(
        "convert", str(source), str(tmp_path / "out.jsonl"), "--method", method, *options
    )
    assert result.exit_code == 2
    assert remedy in result.stderr
    assert result.stderr.startswith("novaloop: ")
    assert result.stdout == ""
    assert not re.search(r"`(columns|encoding|delimiter|max_rejects|labels):", result.output)


def test_the_list_of_rejected_rows_names_options_too(source: Path) -> None:
    source.write_text(CSV + "4,another,foreign\n")
    _, _, target = converted(source, "sft", *OPTIONS)
    (reject,) = target.with_name("out.jsonl.rejects.jsonl").read_text().splitlines()
    assert json.loads(reject)["message"].endswith("correct it, or add it to `--label`")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("data.xlsx", "save it in Excel as `CSV UTF-8`, one sheet a file"),
        ("data.XLS", "save it in Excel as `CSV UTF-8`, one sheet a file"),
        ("data.parquet", "write it as CSV, as pandas does"),
        ("data.json", "write one object a line, and call it .jsonl"),
        ("data.tsv", "set `delimiter` to a tab"),
        ("data.zip", "unpack it"),
        ("data.txt", "save it as CSV or JSON Lines, in UTF-8"),
    ],
)
def test_how_a_file_of_another_kind_is_saved_is_told(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4")
    result = novaloop(
        "convert", str(tmp_path / name), str(tmp_path / "out.jsonl"), "--method", "sft"
    )
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


def test_what_is_found_in_rows_is_told_with_their_lines(tmp_path: Path) -> None:
    source = tmp_path / "mine.csv"
    source.write_text('question,answer\n"which\nway?",left\nwhere?,there\nwhere?,there\n')
    result = novaloop(
        "convert", str(source), str(tmp_path / "out.jsonl"), "--method", "eval", "--max-length", "1"
    )
    assert result.exit_code == 0, result.output
    told = " ".join(result.stdout.split())
    assert "keep one of each (mine.csv, lines 4, 5)" in told
    assert "raise max_length (mine.csv, lines 2, 4, 5)" in told
