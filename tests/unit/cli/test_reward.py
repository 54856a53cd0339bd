from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from novaloop.rewards.custom import CUSTOM_SCORERS
from tests.unit.cli.conftest import novaloop

if TYPE_CHECKING:
    from pathlib import Path

LABEL = {"type": "label", "labels": ["HQ", "LQ_EDIT"]}


def row(reward: object = LABEL, reference: object = "HQ", **fields: object) -> dict[str, Any]:
    question = {"role": "user", "content": "is it good?"}
    return {"messages": [question], "reference_answer": reference, "reward": reward, **fields}


def rollout(answer: str, **fields: Any) -> dict[str, Any]:
    sample = row(**fields)
    return {**sample, "messages": [*sample["messages"], {"role": "assistant", "content": answer}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rft.jsonl"


def write(file: Path, *rows: object) -> None:
    file.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")


def tried(file: Path, *options: str) -> list[dict[str, Any]]:
    result = novaloop("reward", "try", str(file), "--json", *options)
    assert result.exit_code == 0, result.output
    trials: list[dict[str, Any]] = json.loads(result.stdout)
    return trials


def test_a_dataset_row_is_tried_with_each_kind_of_answer(file: Path) -> None:
    write(file, row())
    assert {each["answer"]: (each["score"], each["read"]) for each in tried(file)} == {
        "reference": (1.0, "HQ"),
        "empty": (-1.0, None),
        "unrelated": (-1.0, None),
        "label HQ": (1.0, "HQ"),
        "label LQ_EDIT": (-1.0, "LQ_EDIT"),
    }


def test_a_rollout_is_scored_as_it_is(file: Path) -> None:
    write(file, rollout("It is lq edit.", reference="LQ_EDIT"), rollout("dunno"))
    first, second = tried(file)
    assert (first["line"], first["answer"], first["score"]) == (1, "generated", 1.0)
    assert (first["read"], first["has_form"]) == ("LQ_EDIT", True)
    assert (second["score"], second["read"], second["has_form"]) == (-1.0, None, False)


@pytest.mark.parametrize(
    ("reward", "answer", "read"),
    [
        ({"type": "numeric"}, "3 and 4 make 7.", "7.0"),
        ({"type": "regex", "pattern": r"x = (\d+)"}, "so x = 5;", "5"),
        ({"type": "regex", "pattern": "b+"}, "abbbc", "bbb"),
        ({"type": "json"}, '```json\n{"a": 1}\n```', '{"a": 1}'),
        ({"type": "exact"}, "7", "7"),
    ],
)
def test_what_a_reward_reads_is_shown(file: Path, reward: object, answer: str, read: str) -> None:
    write(file, rollout(answer, reward=reward, reference="7"))
    assert [each["read"] for each in tried(file)] == [read]


def test_labels_of_the_parts_of_a_weighted_reward_are_tried(file: Path) -> None:
    parts = [{"weight": 3, "reward": LABEL}, {"weight": 1, "reward": {"type": "exact"}}]
    write(file, row(reward={"type": "weighted", "parts": parts}))
    scores = {each["answer"]: each["score"] for each in tried(file)}
    assert (scores["label HQ"], scores["label LQ_EDIT"]) == (1.0, -1.0)


def test_the_table_and_the_means(file: Path) -> None:
    write(file, row(), row(reference="LQ_EDIT"))
    result = novaloop("reward", "try", str(file))
    assert result.exit_code == 0
    assert "reference 1.00, empty -1.00" in result.stdout
    assert "label HQ 0.00" in result.stdout


def test_only_the_first_rows_are_read(file: Path) -> None:
    write(file, *[rollout("HQ") for _ in range(20)])
    assert len(tried(file)) == 10
    assert len(tried(file, "--limit", "3")) == 3


def test_rows_that_cannot_be_scored_are_told_by_line(file: Path) -> None:
    bad = row(reward={"type": "regex", "pattern": "("})
    file.write_bytes(
        b"".join(
            (
                json.dumps(row()).encode() + b"\n\n",
                b'{"messages": \n',
                b"\xff\n",
                b"[1]\n",
                json.dumps(bad).encode() + b"\n",
                json.dumps(row(reference="secret")).encode() + b"\n",
            )
        )
    )
    result = novaloop("reward", "try", str(file))
    assert result.exit_code == 2
    assert "5 of 6 rows can't be scored" in result.stderr
    assert "line 3: is not JSON in UTF-8" in result.stderr
    assert "line 4: is not JSON in UTF-8" in result.stderr
    assert "line 5: is not a JSON object" in result.stderr
    assert "line 6: reward.pattern: is no regular expression of Python" in result.stderr
    assert "line 7: reference_answer is none of reward.labels" in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_without_rows_is_refused(file: Path) -> None:
    file.write_text("\n\n")
    result = novaloop("reward", "try", str(file))
    assert result.exit_code == 2
    assert "has no rows" in result.stderr


def test_the_users_own_reward(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def brevity(answer: str, reference: object, settings: Any) -> tuple[float, bool]:
        return 1 - len(answer) / settings["most"], answer != ""

    monkeypatch.setitem(CUSTOM_SCORERS, "brevity", brevity)
    custom = {"type": "custom", "name": "brevity", "settings": {"most": 20}}
    write(file, rollout("ten chars.", reward=custom))
    assert [each["score"] for each in tried(file)] == [0.5]

    write(file, rollout("ten chars.", reward={**custom, "settings": {}}))
    result = novaloop("reward", "try", str(file))
    assert result.exit_code == 2
    assert "line 1: KeyError: 'most'" in result.stderr


@pytest.mark.parametrize(
    "bad", [5, "x", [1], {"type": "weighted", "parts": 3}, {"type": "label", "labels": 7}]
)
def test_strange_settings_are_a_message(file: Path, bad: object) -> None:
    write(file, row(reward=bad))
    result = novaloop("reward", "try", str(file))
    assert result.exit_code == 2
    assert "line 1: reward" in result.stderr


def test_the_means_of_many_labels_fit_in_80_columns(tmp_path: Path) -> None:
    labels = [f"a-label-of-many-{number}" for number in range(9)]
    row = {
        "messages": [{"role": "user", "content": "q"}],
        "reference_answer": {"answer": labels[0]},
        "reward": {"labels": labels},
    }
    file = tmp_path / "rft.jsonl"
    file.write_text(json.dumps(row))
    output = novaloop("reward", "try", str(file), env={"COLUMNS": "80"}).stdout
    assert "Mean score: " in output
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize("name", ["rft.csv", "rft.CSV.gz"])
def test_csv_is_refused_with_the_command_that_converts_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("question,answer\nis it good?,HQ\n")
    result = novaloop("reward", "try", str(tmp_path / name))
    assert result.exit_code == 2
    assert f"novaloop convert {tmp_path / name} rft.jsonl --method rft" in result.stderr
    assert result.stdout == ""


LABELLED = "labels: [good, bad]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(LABELLED)
    rows = [f'"a question of\ntwo lines, {n}",{("good", "bad")[n % 2]}' for n in range(5)]
    (folder / "rft.csv").write_text("\n".join(("question,answer", *rows, "")))
    return folder


def test_a_folder_is_tried_with_its_own_rows_and_reward(folder: Path) -> None:
    found = novaloop("reward", "try", str(folder), "--limit", "2", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert (told["rows"], told["can_earn_reward"]) == (5, 5)
    assert [(each["line"], each["answer"], each["score"], each["why"]) for each in told["trials"]][
        :5
    ] == [
        (2, "reference", 1.0, "reads good"),
        (2, "empty", -1.0, "names no label"),
        (2, "unrelated", -1.0, "names no label"),
        (2, "label good", 1.0, "reads good"),
        (2, "label bad", -1.0, "reads bad, not good"),
    ]
    assert told["trials"][5]["line"] == 4  # the first row takes two lines


def test_the_folder_one_is_in_is_tried_by_default_and_so_is_its_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = novaloop("reward", "try", str(folder / "rft.csv"), "--json")
    monkeypatch.chdir(folder)
    here = novaloop("reward", "try", "--json")
    assert (here.exit_code, here.stdout) == (0, file.stdout)
    assert json.loads(here.stdout)["rows"] == 5


def test_references_that_can_not_earn_the_reward_are_counted_with_their_places(
    folder: Path,
) -> None:
    (folder / "experiment.yaml").write_text("reward: {type: numeric}\n")
    (folder / "rft.csv").write_text("question,answer\nhow many?,7\nwhich?,none\nwhere?,there\n")
    result = novaloop("reward", "try", str(folder))
    assert result.exit_code == 2
    assert "reward: numeric" in result.stdout
    assert "References that can earn the full reward: 1 of 3 rows (33%)." in result.stdout
    told = " ".join(result.stderr.split())
    assert "2 of 3 rows can't earn the reward: row 2 (line 3), row 3 (line 4): refer" in told


def test_of_a_file_that_is_divided_the_rows_of_the_training_are_tried(folder: Path) -> None:
    """A question of another set that can't earn the reward is none of the training's."""
    (folder / "rft.csv").unlink()
    rows = [f"how many are {number}?,{number}" for number in range(60)]
    (folder / "data.csv").write_text("\n".join(("question,answer", *rows)) + "\n")
    (folder / "experiment.yaml").write_text(
        "reward: {type: numeric}\nsplit: {sft: 30, rft: 20, eval: 10}\n"
    )
    told = json.loads(novaloop("reward", "try", str(folder), "--limit", "60", "--json").stdout)
    assert (told["rows"], told["can_earn_reward"]) == (20, 20)
    lines = {trial["line"] for trial in told["trials"]}
    other = next(line for line in range(2, 62) if line not in lines)
    rows[other - 2] = rows[other - 2].replace(f",{other - 2}", ",none")
    mine = min(lines)
    rows[mine - 2] = rows[mine - 2].replace(f",{mine - 2}", ",none")
    (folder / "data.csv").write_text("\n".join(("question,answer", *rows)) + "\n")
    refused = novaloop("reward", "try", str(folder))
    assert refused.exit_code == 2
    said = " ".join(refused.stderr.split())
    assert f"1 of 20 rows can't earn the reward: row {mine - 1} (line {mine})" in said


@pytest.mark.parametrize(
    ("spec", "data", "told"),
    [
        ("labels: [good, bad]", "data.csv", "label, as experiment.yaml has labels"),
        ("{}", "rft.csv", "exact, as experiment.yaml has neither reward nor labels"),
        ("reward: {type: f1}", "rft.csv", "reward: f1"),
    ],
)
def test_the_heading_says_which_file_and_which_reward(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spec: str, data: str, told: str
) -> None:
    monkeypatch.chdir(folder.parent)  # a long path would be wrapped anywhere
    split = "split: {sft: 1, rft: 2, eval: 2}\n" if data == "data.csv" else ""
    (folder / "experiment.yaml").write_text(f"{spec}\n" if not split else f"{spec}\n{split}")
    (folder / "rft.csv").rename(folder / data)
    result = novaloop("reward", "try", folder.name)
    assert result.exit_code == 0, result.output
    heading = " ".join(result.stdout.split())
    assert f"{data}, reward: {told.removeprefix('reward: ')}" in heading


@pytest.mark.parametrize(
    ("reward", "answer", "why"),
    [
        ({"type": "numeric"}, "about 8", "reads 8.0, not 7"),
        ({"type": "exact"}, "8", "reads 8, not 7"),
        ({"type": "regex", "pattern": r"x = (\d+)"}, "y", "the pattern is not found"),
        ({"type": "json"}, "{", "is no JSON"),
        (
            {"type": "json", "schema": {"type": "object", "required": ["a"]}},
            "{}",
            "JSON that does not fit: ",
        ),
        ({"type": "f1"}, "7 8", "F1 of the words is 0.67"),
        (
            {"type": "numeric", "length_penalty": {"free": 1, "per_character": 0.25}},
            "= 7",
            "reads 7.0; 0.50 less for its length",
        ),
        (
            {
                "type": "weighted",
                "parts": [{"weight": 3, "reward": {"type": "numeric"}}, {"reward": {"type": "f1"}}],
            },
            "8",
            "numeric -1.00 by 3, f1 -1.00 by 1",
        ),
    ],
)
def test_why_an_answer_earns_what_it_earns(
    file: Path, reward: object, answer: str, why: str
) -> None:
    write(file, rollout(answer, reward=reward, reference="7"))
    ((told),) = (each["why"] for each in tried(file))
    assert told.startswith(why)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("plan: [evaluate: one]", "no stage of the plan is rewarded; add rft to it"),
        ("reward: {type: jsn}", "reward: type must be one of label"),
        ("columns: {answer: Y}", "no column 'Y' for `answer`"),
    ],
)
def test_a_folder_that_can_not_be_tried_is_told_why(folder: Path, spec: str, told: str) -> None:
    (folder / "experiment.yaml").write_text(f"{spec}\n")
    result = novaloop("reward", "try", str(folder))
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


def test_a_folder_without_the_rewarded_file_is_told_so(folder: Path) -> None:
    (folder / "rft.csv").unlink()
    result = novaloop("reward", "try", str(folder))
    assert result.exit_code == 2
    assert "has no rft.csv, whose rows are rewarded; add it" in " ".join(result.stderr.split())


def test_a_csv_file_that_no_experiment_rewards_is_told_both_ways(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("question,answer\na,b\n")
    result = novaloop("reward", "try", str(tmp_path / "other.csv"))
    assert result.exit_code == 2
    assert "experiment.yaml" in result.stderr
    assert "novaloop convert" in result.stderr


def test_rows_that_can_not_be_used_are_counted(folder: Path) -> None:
    with (folder / "rft.csv").open("a") as file:
        file.write("one more,\n")
    result = novaloop("reward", "try", str(folder))
    assert result.exit_code == 0
    assert f"1 row can't be used; why: novaloop plan {folder}" in " ".join(result.stdout.split())
