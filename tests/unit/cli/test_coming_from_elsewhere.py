"""The how-to for those who come from elsewhere, done as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from novaloop_cli.main import main

DOCUMENT = Path(__file__).parents[3] / "docs/coming-from-elsewhere.md"
SYSTEM = "Say HQ or LQ."
LABELS = ("HQ", "LQ")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    return str(found)


def chat_rows(first: int, number: int) -> str:
    return "".join(
        json.dumps(
            {
                "messages": [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": f"how good is number {row}?"},
                    {"role": "assistant", "content": LABELS[row % 2]},
                ]
            }
        )
        + "\n"
        for row in range(first, first + number)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the how-to makes."""
    made = tmp_path / "moved"
    made.mkdir()
    (made / "sft.jsonl").write_text(chat_rows(0, 80))
    command = [sys.executable, "-c", block("python")]
    ran = subprocess.run(
        command, input=chat_rows(100, 30), capture_output=True, text=True, check=True
    )
    (made / "eval.jsonl").write_text(ran.stdout)
    answers = [{"id": f"row-{row}", "answer": "HQ"} for row in range(1, 31)]
    (made / "old.jsonl").write_text("".join(json.dumps(each) + "\n" for each in answers))
    (made / "experiment.yaml").write_text(block("yaml"))
    return made


def test_the_answers_of_the_example_have_the_ids_of_the_rows(folder: Path) -> None:
    ids = {json.loads(line)["id"] for line in (folder / "eval.jsonl").read_text().splitlines()}
    example = {json.loads(line)["id"] for line in block("json").splitlines()}
    assert example < ids


def test_it_can_be_planned_and_the_old_answers_cost_nothing(folder: Path) -> None:
    planned = CliRunner().invoke(main, ["plan", str(folder), "--json"])
    assert planned.exit_code == 0, planned.output
    content = json.loads(planned.stdout)
    old = content["stages"][0]
    assert (old["name"], old["method"], old["instances"]) == ("old", "recorded", 0)
    assert old["cost"]["most"] == 0
    assert old["requests"] == []
    assert content["datasets"]["old"]["rows"] == 30
    shown = CliRunner().invoke(main, ["plan", str(folder)])
    assert re.search(r"old +recorded +none", shown.stdout)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "the plan needs old.jsonl; add what is missing"),
        ('{"id": "row-1", "answer": "HQ"}\n', "old.jsonl: has no answer with the id of rows 2, 3"),
        ('{"id": "row-1"}\n', "old.jsonl: has no field answer"),
        ('{"id": "row-1", "answer": []}\n', "old.jsonl line 1: a list or an object as answer"),
    ],
)
def test_what_is_wrong_with_the_old_answers_is_told_before_the_upload(
    folder: Path, content: str | None, says: str
) -> None:
    (folder / "old.jsonl").unlink()
    if content is not None:
        (folder / "old.jsonl").write_text(content)
    planned = CliRunner().invoke(main, ["plan", str(folder)])
    assert planned.exit_code == 2
    assert says in " ".join(planned.output.split())


@pytest.mark.parametrize(
    ("recorded", "says"),
    [
        ("old.parquet", "must be a file beside experiment.yaml, such as old.jsonl or old.csv"),
        ("sft.jsonl", "is called like the dataset sft"),
        ("../old.jsonl", "must be a file beside experiment.yaml"),
    ],
)
def test_a_file_that_can_not_be_named_so(folder: Path, recorded: str, says: str) -> None:
    (folder / "experiment.yaml").write_text(block("yaml").replace("old.jsonl", recorded))
    planned = CliRunner().invoke(main, ["plan", str(folder)])
    assert planned.exit_code == 2
    told = " ".join(planned.output.split())
    assert f"plan[0].evaluate.recorded: {says}" in told


def test_settings_of_a_job_are_unknown_where_there_is_none(folder: Path) -> None:
    text = block("yaml").replace("recorded: old.jsonl", "recorded: old.jsonl, instances: 2")
    (folder / "experiment.yaml").write_text(text)
    planned = CliRunner().invoke(main, ["plan", str(folder)])
    told = " ".join(planned.output.split())
    assert "plan[0].evaluate.instances: is not a known setting; known: name, recorded" in told


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    more = "plan:\n  - evaluate: {name: older, recorded: old.csv}\n"
    (folder / "experiment.yaml").write_text(block("yaml").replace("plan:\n", more))
    planned = CliRunner().invoke(main, ["plan", str(folder)])
    told = " ".join(planned.output.split())
    assert "old.csv and old.jsonl have one name but for their endings; rename one of them" in told
