"""A file converted on all cores comes out, byte for byte, as from one stream."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.stackoverflow_like import LABELS, generate
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Role
from novaloop.usecases.conversion import Conversion, IngestWorld, convert_file
from novaloop_cli import ranges
from novaloop_cli.folder import folder_world
from novaloop_cli.ranges import convert_on_all_cores

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS: dict[str, Any] = {
    "columns": {"question": "Body", "answer": "Y"},
    "labels": LABELS,
    "plan": ["sft"],
    "max_rejects": 5,
}


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("data") / "sft.csv"
    generate(path, 300_000)
    return path.read_bytes()


def conversion(
    folder: Path, data: bytes, name: str = "sft.csv", **settings: object
) -> tuple[Conversion, IngestWorld]:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    key = f"inbox/x/{name}"
    item = DatasetItem(Role.SFT, DatasetStatus.INGESTING, key, "local", NOW, "", NOW)
    spec = ExperimentSpec.model_validate(SETTINGS | settings)
    return Conversion("x", spec, (item,)), folder_world("x", folder / "out", {key: folder / name})


def read(world: IngestWorld, key: str | None) -> bytes:
    return world.objects.get(key).read() if key else b""


def card(world: IngestWorld, item: DatasetItem) -> dict[str, Any]:
    content = json.loads(read(world, (item.card_key or "").replace(".html", ".json")))
    for output in content["outputs"].values():
        output.pop("sha256")  # of the parts here, of the whole there
    return dict(content)


def by_both_ways(
    tmp_path: Path, data: bytes, name: str = "sft.csv", **settings: object
) -> tuple[DatasetItem, set[str]]:
    """Return the item and the parts that were made of it, having compared all of the files."""
    job, world = conversion(tmp_path / "cores", data, name, **settings)
    (ours,) = convert_on_all_cores(job, len(data), world, smallest=len(data) // 3)
    job, stream = conversion(tmp_path / "stream", data, name, **settings)
    (theirs,) = convert_file(job, stream)
    assert replace(ours, updated_at=NOW) == replace(theirs, updated_at=NOW)
    assert card(world, ours) == card(stream, theirs)
    for key in [*ours.outputs.values(), ours.rejects_key]:
        assert read(world, key) == read(stream, key)
    return ours, {key.split("/")[3] for key, _ in world.objects.uploads("parts/")}


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_cores", lambda: 3)


def test_all_cores_make_what_one_stream_makes(tmp_path: Path, questions: bytes) -> None:
    item, parts = by_both_ways(tmp_path, questions)
    assert item.status is DatasetStatus.ACCEPTED
    assert len(parts) == 3


def test_rejected_rows_have_their_lines(tmp_path: Path, questions: bytes) -> None:
    data = questions.replace(b"\r\n200,", b"\r\n0,t,,tags,2020,HQ\r\n200,", 1)
    item, parts = by_both_ways(tmp_path, data)
    assert item.rejected_rows == 1
    assert len(parts) == 3


def test_a_refused_file_is_refused(tmp_path: Path, questions: bytes) -> None:
    data = questions + b"1,t,b,tags,2020,nonsense\r\n"
    item, _ = by_both_ways(tmp_path, data, max_rejects=0)
    assert item.status is DatasetStatus.REJECTED
    assert not item.outputs


@pytest.mark.parametrize("strays", [1, 2])
def test_stray_quotes_end_in_one_stream(tmp_path: Path, questions: bytes, strays: int) -> None:
    header, _, rows = questions.partition(b"\r\n")
    data = header + b"\r\n" + b'1,5" disk,body,tags,2020,HQ\r\n' * strays + rows
    item, _ = by_both_ways(tmp_path, data)
    assert item.status is DatasetStatus.ACCEPTED


@pytest.mark.parametrize("name", ["sft.csv.gz", "sft.csv"])
def test_what_can_not_be_cut_is_not(tmp_path: Path, questions: bytes, name: str) -> None:
    packed = name.endswith("gz")
    data = gzip.compress(questions) if packed else questions.decode().encode("utf-16")
    item, parts = by_both_ways(tmp_path, data, name)
    assert item.status is DatasetStatus.ACCEPTED
    assert not parts
