from __future__ import annotations

import gzip
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from novaloop.experiment.record import Record, Status
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop_cli.stack import Stack
from tests.unit.cli.conftest import novaloop

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my-classifier"
    folder.mkdir()
    (folder / "experiment.yaml").write_text("labels: [good, bad]\n")
    for role in ("sft", "rft", "eval"):
        (folder / f"{role}.csv").write_text(rows(role))
    return folder


def rows(role: str = "") -> str:
    """Enough for any stage, other ones for each role."""
    lines = (f"{role} question {n},{('good', 'bad')[n % 2]}\n" for n in range(300))
    return f"question,answer\n{''.join(lines)}"


def submit(folder: Path, *options: str) -> Result:
    return novaloop("submit", str(folder), "--yes", *options)


def uploads(stack: Stack) -> dict[str, bytes]:
    listed = stack.s3.list_objects_v2(Bucket=stack.bucket).get("Contents", [])
    return {
        item["Key"]: stack.s3.get_object(Bucket=stack.bucket, Key=item["Key"])["Body"].read()
        for item in listed
    }


def record(status: Status) -> Record:
    return replace(Record("my-classifier", ExperimentSpec(), NOW), status=status, reason="so far")


def test_everything_is_uploaded_under_the_folders_name(stack: Stack, folder: Path) -> None:
    result = submit(folder)
    assert result.exit_code == 0, result.output
    assert uploads(stack) == {
        f"inbox/my-classifier/{file.name}": file.read_bytes() for file in folder.iterdir()
    }
    assert "novaloop watch my-classifier" in result.output


def test_the_spec_is_uploaded_before_the_data_it_describes(
    stack: Stack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(Stack, "s3", Recorder(order))
    submit(folder)
    assert order == [f"inbox/my-classifier/{name}" for name in EXPECTED_ORDER]


EXPECTED_ORDER = ("experiment.yaml", "sft.csv", "rft.csv", "eval.csv")


class Recorder:
    def __init__(self, order: list[str]) -> None:
        self.order = order

    def upload_file(self, _: str, bucket: str, key: str) -> None:
        assert bucket == "application-bucket"
        self.order.append(key)


def test_one_data_file_is_enough_with_a_split(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("split: {sft: 0.7, rft: 0.2, eval: 0.1}\n")
    (tmp_path / "data.csv").write_text(rows())
    assert submit(tmp_path, "--name", "one-file").exit_code == 0
    assert set(uploads(stack)) == {"inbox/one-file/experiment.yaml", "inbox/one-file/data.csv"}


@pytest.mark.parametrize("status", [Status.COLLECTING, Status.REJECTED])
def test_a_corrected_upload_goes_on(stack: Stack, folder: Path, status: Status) -> None:
    stack.table.commit(record(status), ())
    assert submit(folder).exit_code == 0
    assert len(uploads(stack)) == 4


@pytest.mark.parametrize("status", [s for s in Status if not s.takes_uploads])
def test_an_experiment_that_began_takes_no_more_uploads(
    stack: Stack, folder: Path, status: Status
) -> None:
    stack.table.commit(record(status), ())
    result = submit(folder)
    assert result.exit_code == 2
    assert f"experiment my-classifier is {status} and takes no more uploads" in result.stderr
    assert uploads(stack) == {}


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("labels: [good, bad]\nmodle: nova-lite-2\n", "modle: is not a known setting; did you"),
        ("plan:\n- evaluate: baseline\n- sft: {overrides: {lr: 7}}\n", "plan[1].sft.overrides.lr"),
        ("labels: [good\n", "line 2, column 1: is not YAML"),
    ],
)
def test_a_spec_that_is_wrong_is_refused_with_the_path_of_the_field(
    stack: Stack, folder: Path, spec: str, complaint: str
) -> None:
    (folder / "experiment.yaml").write_text(spec)
    result = submit(folder)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert uploads(stack) == {}


@pytest.mark.parametrize("name", ["experiment.yml", "Experiment.YAML"])
def test_a_spec_under_another_name_is_not_passed_over(
    stack: Stack, folder: Path, name: str
) -> None:
    (folder / "experiment.yaml").rename(folder / name)
    result = submit(folder)
    assert result.exit_code == 2
    assert f"{name}: is not read; call it experiment.yaml" in result.stderr
    assert uploads(stack) == {}


def test_missing_files_are_named(stack: Stack, folder: Path) -> None:
    (folder / "rft.csv").unlink()
    (folder / "eval.csv").unlink()
    result = submit(folder)
    assert result.exit_code == 2
    assert "the plan needs rft.csv, eval.csv" in result.stderr


def test_data_may_be_json_lines_and_compressed(stack: Stack, folder: Path) -> None:
    lines = (f'{{"question": "rft {n}", "answer": "good"}}\n' for n in range(300))
    (folder / "rft.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode()))
    (folder / "rft.csv").unlink()
    (folder / "notes.txt").write_text("not uploaded")
    assert submit(folder).exit_code == 0
    assert {key.rpartition("/")[2] for key in uploads(stack)} == {
        *("experiment.yaml", "sft.csv", "rft.jsonl.gz", "eval.csv")
    }


@pytest.mark.parametrize("verb", ["submit", "plan"])
@pytest.mark.parametrize("file", ["data.csv", "data.jsonl.gz"])
def test_data_without_a_split_is_told_as_ingest_tells_it(
    stack: Stack, tmp_path: Path, verb: str, file: str
) -> None:
    (tmp_path / file).write_text("question,answer\na,b\n")
    result = novaloop(verb, str(tmp_path), "--name", "one-file")
    assert result.exit_code == 2
    assert "the plan needs sft.csv, rft.csv, eval.csv" in result.stderr
    told = f"{file} is there, but not used: write `split: {{sft: 0.6, rft: 0.2, eval: 0.2}}` in exp"
    assert told in result.stderr
    assert uploads(stack) == {}


def test_what_is_left_out_of_a_folder_is_named_with_the_cause(stack: Stack, folder: Path) -> None:
    for name in ("train.csv", "notes.md", "eval.xlsx", "dpo.csv", ".DS_Store"):
        (folder / name).write_text("not uploaded")
    (folder / "old").mkdir()
    told = submit(folder).stdout
    # Sentences, which are broken into lines.
    flat = " ".join(told.partition("not measurements.")[2].partition("Submitted")[0].split())
    assert re.split(r" (?=[\w.]+ is there,)", flat) == [
        "dpo.csv is there, but not used: no stage of the plan uses it",
        (
            "eval.xlsx is there, but not used: its format is not read: save it in Excel as `CSV "
            "UTF-8`, one sheet a file, called eval.csv"
        ),
        "notes.md is there, but not used: nothing of an experiment is called like that",
        (
            "train.csv is there, but not used: no data of the plan is called so, but sft.csv, "
            "rft.csv, eval.csv"
        ),
    ]
    assert {key.rpartition("/")[2] for key in uploads(stack)} == {*EXPECTED_ORDER}


def test_two_files_for_one_dataset_are_refused(stack: Stack, folder: Path) -> None:
    (folder / "sft.jsonl").write_text("{}")
    result = submit(folder)
    assert result.exit_code == 2
    assert "sft.csv and sft.jsonl are the same dataset" in result.stderr


@pytest.mark.parametrize("name", ["Quality", "a--b", "x" * 33, "a/b"])
def test_an_illegal_name_is_refused(stack: Stack, folder: Path, name: str) -> None:
    result = submit(folder, "--name", name)
    assert result.exit_code == 2
    assert "the experiment name must be" in result.stderr


def test_a_missing_stack_is_named(aws: None, folder: Path) -> None:
    result = submit(folder, "--stack", "nothere")
    assert result.exit_code == 2
    assert result.stderr.startswith("novaloop: no stack is called nothere in us-east-1")


def test_a_stack_of_something_else_is_refused(aws: None, folder: Path) -> None:
    result = submit(folder, "--stack", "other")
    assert result.exit_code == 1
    assert "has no output BucketName and TableName" in result.stderr


def test_a_folder_that_is_not_there_is_a_usage_error(aws: None) -> None:
    result = novaloop("submit", "no/such/folder")
    assert result.exit_code == 2
    assert result.stderr.startswith("novaloop: ")
    assert "no/such/folder" in result.stderr


def test_all_that_is_wrong_with_a_folder_is_told_at_once(stack: Stack, folder: Path) -> None:
    (folder / "experiment.yml").write_text("")
    (folder / "sft.csv").unlink()
    (folder / "eval.jsonl").write_text("")
    result = submit(folder, "--name", "No Name")
    assert result.exit_code == 2
    for told in (
        "No Name: ",
        "experiment.yml: is not read",
        "the plan needs sft.csv",
        "eval.csv and eval.jsonl are the same dataset",
    ):
        assert told in result.stderr
    assert uploads(stack) == {}


def test_a_wrong_spec_is_told_with_the_wrong_names(stack: Stack, folder: Path) -> None:
    (folder / "experiment.yaml").write_text("budget_usd: -1\ngate: {better_than: nothing}\n")
    result = submit(folder, "--name", "No Name")
    for told in ("No Name: ", "budget_usd: must be", "gate.better_than: no earlier evaluation"):
        assert told in result.stderr


def test_what_it_will_cost_is_told_before_anything_is_uploaded(stack: Stack, folder: Path) -> None:
    planned = {
        line.split()[0]: line for line in novaloop("plan", str(folder)).stdout.splitlines() if line
    }
    told = submit(folder).stdout
    assert max(map(len, told.splitlines())) <= 80
    for stage in ("baseline", "sft", "after-sft", "rft", "after-rft", "deploy", "all"):
        assert planned[stage] in told
    assert told.index(planned["all"]) < told.index("Submitted my-classifier: ")


@pytest.mark.parametrize(
    ("answer", "goes"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_person_is_asked(
    stack: Stack, folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, goes: bool
) -> None:
    monkeypatch.setattr("novaloop_cli.consent.is_asked", lambda: True)
    result = novaloop("submit", str(folder), input=answer)
    assert "Submit it? [y/N]" in result.stdout
    assert (len(uploads(stack)) == 4) is goes
    assert (result.exit_code == 0) is goes


def test_nobody_is_asked_without_a_terminal(stack: Stack, folder: Path) -> None:
    result = novaloop("submit", str(folder), input="y\n")
    assert result.exit_code == 2
    assert "give --yes" in result.stderr
    assert uploads(stack) == {}


def test_a_dry_run_costs_nothing_and_nobody_is_asked(stack: Stack, folder: Path) -> None:
    (folder / "experiment.yaml").write_text("labels: [good, bad]\ndry_run: true\n")
    result = novaloop("submit", str(folder))
    assert (result.exit_code, len(uploads(stack))) == (0, 4), result.output
    assert "nothing of this is launched" in result.stdout


def test_data_that_can_not_be_used_is_not_uploaded(stack: Stack, folder: Path) -> None:
    (folder / "sft.csv").write_text("question,answer\na,\n")
    result = submit(folder)
    assert result.exit_code == 2
    assert "sft.csv" in result.stderr
    assert uploads(stack) == {}
