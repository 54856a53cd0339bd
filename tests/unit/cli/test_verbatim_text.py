"""What people and AWS wrote is printed as it stands: `[i]` is no markup, `:x:` no emoji."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import novaloop_cli
from novaloop.experiment.record import (
    DatasetStatus,
    HistoryEntry,
    Progress,
    StageState,
    Status,
)
from novaloop.training.notes import HealthKind, HealthNote
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from novaloop_cli.stack import Stack

NAME = example.NAME
TEXT = "[/x]Body a[i] :x:"
"""A closing tag without its opening one, what looks like a style, and the name of an emoji."""


def written(stack: Stack, status: Status = Status.LIVE) -> None:
    """Store the example with the text wherever a record holds text."""
    record = example.record()
    assert record.endpoint is not None
    now = example.START + timedelta(minutes=1)
    note = HealthNote(HealthKind.STALLED_TRAINING, 1, TEXT)
    running = Progress(TEXT, 0, 0, now)
    first, second, third, *others = record.stages
    stages = (
        replace(
            first,
            state=StageState.RUNNING,
            reason=None,
            attempt=replace(first.attempt, progress=running, health=(note,)),
        ),
        replace(second, state=StageState.WAITING, reason=TEXT),
        replace(third, state=StageState.FAILED, reason=TEXT),
        *others,
    )
    stack.table.commit(
        replace(
            record,
            status=status,
            reason=TEXT,
            notices=(TEXT,),
            stages=stages,
            endpoint=replace(record.endpoint, name=TEXT),
        ),
        (HistoryEntry(now, TEXT, TEXT),),
    )
    refused = replace(example.dataset("sft", 3), status=DatasetStatus.REJECTED, reason=TEXT)
    stack.table.put_dataset(NAME, refused)


@pytest.mark.parametrize(
    ("verb", "times"),
    [(("list",), 1), (("show",), 10), (("show", "--history"), 10), (("watch",), 7)],
)
def test_what_is_stored_is_printed_as_it_stands(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], times: int
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    written(stack)
    name, *options = verb
    result = novaloop(*verb) if name == "list" else novaloop(name, NAME, *options)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count(TEXT) == times


def test_labels_are_printed_as_they_stand(tmp_path: Path) -> None:
    labels = ("[red]", "[/b]", ":x:")
    answers = tmp_path / "[i].jsonl"
    rows = [{"prompt": "p", "inference": [label], "gold": label} for label in labels * 3]
    answers.write_text("\n".join(map(json.dumps, rows)))
    compared = novaloop("compare", str(answers), str(answers))
    assert compared.exit_code == 0, compared.stderr
    assert "[i].jsonl (2) against [i].jsonl: " in compared.stdout
    result = novaloop("score", str(answers), "--labels", ",".join(labels))
    assert result.exit_code == 0, result.stderr
    for label in labels:
        assert f"Recall of {label} " in result.stdout
        assert result.stdout.count(label) == 3


def test_answers_that_are_tried_are_printed_as_they_stand(tmp_path: Path) -> None:
    labels = ["[red]", "[/b]", ":x:"]
    reward = {"type": "label", "labels": labels}
    question = [{"role": "user", "content": "?"}]
    file = tmp_path / "rft.jsonl"
    file.write_text(
        json.dumps({"messages": question, "reference_answer": "[/b]", "reward": reward}) + "\n"
    )
    result = novaloop("reward", "try", str(file))
    assert result.exit_code == 0, result.stderr
    for label in labels:
        assert f"label {label} " in result.stdout
        assert f"label {label} 1.00" in result.stdout or f"label {label} -1.00" in result.stdout


def test_only_one_place_makes_what_prints_tables() -> None:
    """`views.console` alone takes text as it stands; another console would take it for markup."""
    sources = sorted(Path(novaloop_cli.__file__).parent.glob("*.py"))
    making = re.compile(r"\bConsole\(|from rich import")
    made = [file.name for file in sources if making.search(file.read_text(encoding="utf-8"))]
    assert made == ["views.py"]
