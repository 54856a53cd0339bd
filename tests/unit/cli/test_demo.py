from __future__ import annotations

import csv
import json
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from novaloop.datasets.options import RowFormat
from novaloop.experiment.record import CommandKind, DatasetRef, Status
from novaloop.experiment.validation.reading import read_spec
from novaloop_cli import demo
from novaloop_cli.experiment_files import read_folder
from novaloop_cli.plan import check_folder
from novaloop_localcloud import emulator, questions
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from novaloop_cli.stack import Stack


@pytest.fixture
def demonstrated(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data; whatever the demo starts is the stack of these tests."""
    monkeypatch.setattr(emulator, "require_startable", lambda _: None)
    monkeypatch.setattr(demo, "up", lambda **_: nullcontext())
    monkeypatch.setattr(demo, "local_stack", lambda _: nullcontext(stack))
    monkeypatch.setattr(demo.chat, "answer", lambda *_, **__: iter(["HQ"]))
    monkeypatch.setattr(demo, "REPORT_FOLDER", tmp_path / "report")
    questions.write(tmp_path / "data")
    return tmp_path / "data"


def test_the_demo_approves_by_itself_and_says_so(
    demonstrated: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's first experiment has `approval: manual`."""
    rests = replace(example.record(), experiment_id=demo.NAME, status=Status.AWAITING_APPROVAL)
    stack.table.commit(rests, example.HISTORY)
    given: list[CommandKind] = []

    def give(stack: Stack, name: str, kind: CommandKind, **_: object) -> None:
        given.append(kind)
        record = stack.load(name)[1]
        stack.table.commit(replace(record, status=Status.LIVE), ())

    monkeypatch.setattr(demo, "give", give)
    monkeypatch.setattr(demo, "clean_up", lambda _, name: given.append(CommandKind.CLEANUP))
    result = novaloop("demo", "--data", str(demonstrated))
    assert result.exit_code == 0, result.output
    assert given == [CommandKind.APPROVE, CommandKind.CLEANUP]
    assert "The demo gives it by itself." in result.stdout
    assert result.stdout.count("started with") == 1
    assert "Nothing was left running.\nNext: " in result.stdout


def live(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the experiment be live at once; return what its endpoint is asked."""
    asked: list[str] = []

    def answer(*words: object, **_: object) -> Iterator[str]:
        asked.append(str(words[2]))
        return iter(["an answer"])

    key = "datasets/demo/eval/gen_qa.jsonl"
    evaluation = DatasetRef("1", "ab" * 32, 2, {RowFormat.EVALUATION: key})
    rows = [{"query": text, "response": "A"} for text in ("my own\nquestion", "another one")]
    body = "\n".join(map(json.dumps, rows)).encode()
    stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=body)
    record = replace(example.record(), experiment_id=demo.NAME, status=Status.LIVE)
    stack.table.commit(replace(record, datasets={"eval": evaluation}), ())
    monkeypatch.setattr(demo.chat, "answer", answer)
    monkeypatch.setattr(demo, "clean_up", lambda *_: None)
    return asked


def test_data_of_ones_own_are_asked_about_and_not_code(
    demonstrated: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = live(stack, monkeypatch)
    result = novaloop("demo", "--data", str(demonstrated))
    assert result.exit_code == 0, result.output
    assert asked == ["my own\nquestion"]
    assert "Asked: my own question\n" in result.stdout
    assert (
        f"plan {demonstrated}` tells what it would run and cost" in result.stdout.splitlines()[-1]
    )


def test_the_demo_ends_with_the_sample_that_ships(
    demonstrated: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = live(stack, monkeypatch)
    result = novaloop("demo")
    assert asked == [demo.QUESTION]
    last = result.stdout.splitlines()[-1]
    assert last.startswith("Next: `")
    assert "demo --data examples/bicycle-shop` does it with a sample" in last


def test_the_sample_that_ships_can_be_planned_without_a_finding() -> None:
    checked = check_folder(demo.EXAMPLE, "bicycle-shop")
    assert {role: item.rows for role, item in checked.datasets.items()} == {
        "sft": 86,
        "rft": 20,
        "eval": 50,
    }
    assert checked.findings == ()
    assert checked.not_used == ()


def test_a_demo_that_is_held_says_what_to_do_and_that_nothing_is_left(
    demonstrated: Path, stack: Stack
) -> None:
    held = replace(example.record(), experiment_id=demo.NAME, status=Status.HELD, reason="too low")
    stack.table.commit(held, ())
    result = novaloop("demo", "--data", str(demonstrated))
    assert result.exit_code == 1
    assert "Nothing was left running.\nNext: " in result.stdout
    assert result.stderr.startswith("novaloop: the demo ended HELD: too low; ")
    assert "loosen `gate:`" in result.stderr


def test_the_generated_experiment_can_be_submitted(tmp_path: Path) -> None:
    demo.prepare(tmp_path, None)
    files = read_folder(tmp_path, demo.NAME).files
    assert [file.name for file in files] == [*("experiment.yaml", "sft.csv", "rft.csv", "eval.csv")]
    spec = read_spec(files[0].read_bytes())
    assert spec.system_prompt == questions.SYSTEM_PROMPT.strip()
    with files[1].open(newline="", encoding="utf-8") as file:
        answers = {row[spec.columns["answer"]] for row in csv.DictReader(file)}
    assert answers == set(spec.labels)


def test_data_of_ones_own_gets_the_demos_settings(tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "folder"
    data.mkdir()
    folder.mkdir()
    for role in ("sft", "rft", "eval"):
        (data / f"{role}.csv").write_text("Id,Body,Y\n1,what,HQ\n")
    demo.prepare(folder, data)
    assert read_spec((folder / "experiment.yaml").read_bytes()).labels == questions.LABELS
    assert (folder / "rft.csv").read_text() == "Id,Body,Y\n1,what,HQ\n"


def test_settings_of_ones_own_are_kept(tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "folder"
    data.mkdir()
    folder.mkdir()
    (data / "experiment.yaml").write_text("labels: [a, b]\n")
    demo.prepare(folder, data)
    assert (folder / "experiment.yaml").read_text() == "labels: [a, b]\n"


def test_a_folder_without_data_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "up", lambda **_: pytest.fail("the local cloud was started"))
    result = novaloop("demo", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert f"{tmp_path}: the plan needs sft.csv, rft.csv, eval.csv" in result.stderr
    assert "novaloop-demo-" not in result.stderr


def test_data_that_can_not_be_used_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns and rows, not only the files' names: a start takes half a minute."""
    monkeypatch.setattr(demo, "up", lambda **_: pytest.fail("the local cloud was started"))
    for role in ("sft", "rft", "eval"):
        (tmp_path / f"{role}.csv").write_text("Id,Text,Y\n1,what,HQ\n")
    result = novaloop("demo", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "no column 'Body'" in result.stderr
    assert "sft.csv" in result.stderr
    assert "eval.csv" in result.stderr
    assert f"{tmp_path} can't be used:" in result.stderr
    assert "novaloop-demo-" not in result.stderr


@pytest.mark.parametrize(("spec", "told"), [(None, True), (demo.SPEC, False)])
def test_data_without_settings_is_told_whose_settings_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str | None, told: bool
) -> None:
    monkeypatch.setattr(demo, "up", lambda **_: pytest.fail("the local cloud was started"))
    for role in ("sft", "rft", "eval"):
        (tmp_path / f"{role}.csv").write_text("Id,Body,Y\n1,what,bug\n")
    if spec:
        (tmp_path / "experiment.yaml").write_text(spec)
    result = novaloop("demo", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "the answer in `Y` is none of the 3 labels (HQ, LQ_CLOSE, LQ_EDIT)" in result.stderr
    assert (f"{tmp_path} has no experiment.yaml" in result.stderr) is told


def test_settings_that_can_not_be_used_are_told_by_their_own_path(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("plan: [fly]\n")
    result = novaloop("demo", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert f"{tmp_path / 'experiment.yaml'} can't be used:" in result.stderr
