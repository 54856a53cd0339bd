"""`novaloop rejects`, and what show and watch say of rows that can't be used."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from novaloop.cloud.messages import UtcClock
from novaloop.cloud.objects import Bucket
from novaloop.experiment.record import DatasetItem, DatasetStatus, Record, Status
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.usecases.conversion import Conversion, IngestWorld, convert_file
from novaloop_cli.folder import MemoryStore
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from pathlib import Path

    from novaloop_cli.stack import Stack

NAME = "my-classifier"
SPEC = ExperimentSpec(labels=("A", "B"), max_rejects=9)
BAD = "secret"


def rejecting(stack: Stack, scratch: Path, role: str, bad: int, spec: ExperimentSpec) -> None:
    """Store a dataset as ingest does, some of whose rows are no good."""
    file = scratch / f"{role}.csv"
    rows = [f'"question\n{number}",{BAD if number < bad else "A"}' for number in range(20)]
    file.write_text("\n".join(["question,answer", *rows]) + "\n")
    key = f"inbox/{NAME}/{file.name}"
    stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=file.read_bytes())
    bucket = Bucket(stack.s3, stack.bucket)
    upload = bucket.newest(key)
    assert upload is not None
    at = upload.uploaded_at
    item = DatasetItem(role, DatasetStatus.INGESTING, key, upload.version_id, at, "", at)
    world = IngestWorld(MemoryStore(NAME), bucket, UtcClock())
    for done in convert_file(Conversion(NAME, spec, (item,)), world):
        stack.table.put_dataset(NAME, done)


@pytest.fixture
def rejected(stack: Stack, tmp_path: Path) -> Stack:
    stack.s3.put_bucket_versioning(
        Bucket=stack.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    record = Record(NAME, SPEC, example.record().created_at)
    stack.table.commit(replace(record, status=Status.REJECTED, reason="see the files"), ())
    rejecting(stack, tmp_path, "sft", 5, SPEC)
    rejecting(stack, tmp_path, "rft", 2, ExperimentSpec(labels=("A", "B")))
    rejecting(stack, tmp_path, "eval", 0, SPEC)
    return stack


@pytest.mark.parametrize("verb", ["show", "watch"])
def test_the_first_are_named_and_where_all_of_them_are(rejected: Stack, verb: str) -> None:
    printed = novaloop(verb, NAME).stdout

    assert max(map(len, printed.splitlines()[:12])) <= 80
    told = " ".join(printed.split())
    assert (
        "sft.csv: 5 rows rejected: unknown-label in row 1 (line 2), row 2 (line 4), row 3 (line 6) "
        f"and 2 more. All of them: novaloop rejects {NAME} sft"
    ) in told
    assert "rft.csv: 2 rows rejected: unknown-label in row 1 (line 2), row 2 (line 4)." in told
    assert f"novaloop rejects {NAME} eval" not in told
    assert BAD not in printed


def test_all_of_them_are_printed_by_file(rejected: Stack) -> None:
    result = novaloop("rejects", NAME)

    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["rft.csv:", "2", "rows", "rejected"]
    numbers = [line[:3] for line in lines if line[2:3] == ["unknown-label"]]
    assert numbers == [[str(row), str(2 * row), "unknown-label"] for row in (1, 2, 1, 2, 3, 4, 5)]
    assert BAD not in result.stdout


def test_those_of_one_dataset_are_downloaded_as_ingest_wrote_them(
    rejected: Stack, tmp_path: Path
) -> None:
    result = novaloop("rejects", NAME, "sft", "--to", str(tmp_path / "lists"))

    (file,) = (tmp_path / "lists").iterdir()
    assert file.name == "sft.csv.rejects.jsonl"
    assert str(file) in result.stdout
    assert [json.loads(line)["row"] for line in file.open()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((NAME, "eval"), 0, "No row of eval was rejected."),
        ((NAME, "dpo"), 2, f"{NAME} has no dataset 'dpo'; it has eval, rft, sft"),
        (("other",), 2, "other"),
    ],
)
def test_without_any_it_says_so(
    rejected: Stack, words: tuple[str, ...], code: int, told: str
) -> None:
    result = novaloop("rejects", *words)

    assert result.exit_code == code
    assert told in result.output


def test_a_dataset_of_an_earlier_version_tells_their_number_alone(stack: Stack) -> None:
    stack.table.commit(Record(NAME, SPEC, example.record().created_at), ())
    earlier = replace(example.dataset("sft", 90), rejected_rows=1_234, summary={})
    stack.table.put_dataset(NAME, earlier)

    told = " ".join(novaloop("show", NAME).stdout.split())

    assert f"sft.csv: 1,234 rows rejected. All of them: novaloop rejects {NAME} sft" in told
