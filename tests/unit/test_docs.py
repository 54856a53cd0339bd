"""Links and tables of contents of the documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def headings(file: Path) -> list[str]:
    return re.findall(r"^##+ (.+)$", FENCED.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_every_link_leads_to_a_file_and_a_heading(file: Path) -> None:
    lost = []
    for path, at in LINK.findall(FENCED.sub("", file.read_text(encoding="utf-8"))):
        target = (file.parent / path).resolve() if path else file
        is_there = target.exists() and (not at or at in map(anchor, headings(target)))
        lost += [] if is_there else [f"{path}#{at}"]
    assert lost == []


def test_whoever_is_on_call_finds_every_alarm() -> None:
    template = (ROOT / "template.yaml").read_text("utf-8")
    alarms = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm$", template, re.MULTILINE)
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    on_call = text.partition("\n## On call\n")[2].partition("\n## ")[0]
    assert alarms
    assert [each for each in alarms if f"`{each}`" not in on_call] == []
    assert set(re.findall(r"`(\w+Alarm)`", on_call)) == set(alarms)


def test_every_document_is_in_the_index() -> None:
    """By its use; what stands in two places is looked for in the wrong one."""
    index = ROOT / "docs" / "README.md"
    found = re.findall(r"^\| \[.+?\]\(([^)#]+)\) \|", index.read_text("utf-8"), re.MULTILINE)
    listed = [(index.parent / path).resolve() for path in found]
    assert sorted(listed) == sorted(file for file in DOCUMENTS if file not in {index, README})


def test_the_contents_of_operations_are_its_headings() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    before_the_first, _, _ = text.partition("\n## ")
    listed = re.findall(r"^- \[(.+)\]\(#(.+)\)$", before_the_first, re.MULTILINE)
    found = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert listed == [(heading, anchor(heading)) for heading in found]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_no_paragraph_stands_inside_of_a_table(file: Path) -> None:
    """What follows one is a row of no table, and is shown as text with bars in it."""
    lines = ["", *FENCED.sub("", file.read_text(encoding="utf-8")).splitlines()]
    heads = [
        line
        for before, line, after in zip(lines, lines[1:], [*lines[2:], ""], strict=False)
        if line.startswith("|") and not before.startswith("|") and not after.startswith("|--")
    ]
    assert heads == []
