"""The folder keeps the promises of the bucket that ingest counts on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.usecases.ports import ObjectMissing
from novaloop_cli.folder import FolderObjects

if TYPE_CHECKING:
    from pathlib import Path

KEY = "datasets/x/sft/sft.jsonl"


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    (tmp_path / "mine.csv").write_bytes(b"question,answer\n")
    return FolderObjects(tmp_path / "cloud", {"inbox/x/sft.csv": tmp_path / "mine.csv"})


def read(objects: FolderObjects, key: str, span: ByteRange | None = None) -> bytes:
    with objects.get(key, span=span) as body:
        return body.read()


def test_what_is_missing_is_said_to_be_missing(objects: FolderObjects) -> None:
    assert objects.newest(KEY) is None
    with pytest.raises(ObjectMissing, match=r"sft\.jsonl"):
        objects.get(KEY)


def test_uploads_are_read_where_they_are(objects: FolderObjects, tmp_path: Path) -> None:
    assert read(objects, "inbox/x/sft.csv") == b"question,answer\n"
    assert read(objects, "inbox/x/sft.csv", ByteRange(9, 15)) == b"answer"
    assert not (tmp_path / "cloud").exists()


def test_objects_are_listed_by_prefix(objects: FolderObjects) -> None:
    objects.put(KEY, b"{}", "application/jsonl")
    objects.put("jobs/x/recipe.yaml", b"run: {}", "application/yaml")
    assert [(key, upload.size) for key, upload in objects.uploads("datasets/")] == [(KEY, 2)]
    assert [key for key, _ in objects.uploads("inbox/x/")] == ["inbox/x/sft.csv"]


def test_a_failed_write_leaves_what_was_there(objects: FolderObjects) -> None:
    def crash_after(block: bytes) -> None:
        with objects.writer(KEY, "application/jsonl") as write:
            write(block)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash_after(b"half")
    assert list(objects.uploads("datasets/")) == []
    objects.put(KEY, b"whole", "application/jsonl")
    with pytest.raises(RuntimeError):
        crash_after(b"half")
    assert read(objects, KEY) == b"whole"


def test_objects_are_joined_in_order(objects: FolderObjects) -> None:
    with objects.writer(KEY, "application/jsonl") as write:
        write(b"1\n")
        write(b"2\n")
    objects.concatenate([KEY, "inbox/x/sft.csv", KEY], "joined")
    assert read(objects, "joined") == b"1\n2\nquestion,answer\n1\n2\n"
