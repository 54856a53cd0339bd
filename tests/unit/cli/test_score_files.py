"""`novaloop score` on files of answers."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from novaloop.metrics.score import score_lines
from novaloop_cli.score import score

LABELS = "HQ,LQ_EDIT,LQ_CLOSE"
GOLDS = ["HQ", "LQ_EDIT", "LQ_CLOSE", "HQ"] * 10


def write(path: Path, answers: Sequence[str | None]) -> Path:
    rows = enumerate(zip(answers, GOLDS, strict=True))
    lines = [
        json.dumps({"prompt": f"question {row}", "inference": [answer], "gold": gold})
        for row, (answer, gold) in rows
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def novaloop(*arguments: object) -> Result:
    return CliRunner().invoke(score, [str(argument) for argument in arguments])


@pytest.fixture
def right(tmp_path: Path) -> Path:
    return write(tmp_path / "right.jsonl", GOLDS)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    return write(tmp_path / "wrong.jsonl", ["HQ", "It is HQ", *["nothing"] * 38])


def test_the_numbers_fit_80_columns(right: Path) -> None:
    result = novaloop(right, "--labels", LABELS, "--max-new-tokens", 50)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "40 of 40  100.0%  91.2% to 100.0%" in result.output
    assert "Exact match" in result.output


def test_the_confusion_matrix_counts_answers_without_a_label(wrong: Path) -> None:
    lines = novaloop(wrong, "--labels", LABELS).output.splitlines()
    matrix = [line.split() for line in lines if line.startswith(("HQ", "LQ_"))]
    assert matrix == [
        ["HQ", "1", "0", "0", "19"],
        ["LQ_EDIT", "1", "0", "0", "9"],
        ["LQ_CLOSE", "0", "0", "0", "10"],
    ]


def test_an_archive_gives_what_its_lines_give(right: Path, tmp_path: Path) -> None:
    archive = tmp_path / "output.tar.gz"
    reported = json.dumps({"results": {"all": {"em": 0.25}}}).encode()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(right, "run/eval_results/inference_output.jsonl")
        entry = tarfile.TarInfo("run/eval_results/results_1.json")
        entry.size = len(reported)
        tar.addfile(entry, io.BytesIO(reported))
    of_archive, of_lines = (
        json.loads(novaloop(file, "--labels", LABELS, "--json").output) for file in (archive, right)
    )
    assert of_archive["reported"]["defects"][0]["metric"] == "em"
    assert of_archive["metrics"] == of_lines["metrics"]
    assert of_archive["classification"] == of_lines["classification"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"prompt": "p", "inference": "a", "gold": "HQ"}\n{"prompt": "secret"', "line 2: is no"),
        ('\n{"prompt": "p", "inference": "a", "gold": "secret"}', "line 2: the gold answer is"),
        ('{"prompt": "p", "gold": "HQ"}', "line 1: field inference is missing"),
        ("", "holds no rows"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_without_its_text(
    content: str, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(content, encoding="utf-8")
    result = novaloop(file, "--labels", LABELS)
    assert result.exit_code == 2
    (line,) = result.output.strip().splitlines()
    assert line.startswith(f"Error: {file}: ")
    assert complaint in line
    assert "secret" not in line


def test_labels_that_can_not_be_told_apart_are_refused(right: Path) -> None:
    result = novaloop(right, "--labels", "HQ,hq")
    assert result.exit_code == 2
    assert "--labels: two labels differ only in case" in result.output


def output(path: Path, files: dict[str, object]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, document in files.items():
            content = json.dumps(document).encode()
            member = tarfile.TarInfo(f"job/eval_results/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def benchmark(path: Path, accuracy: float) -> Path:
    metrics = {"accuracy": accuracy, "accuracy_stderr": 0.01}
    return output(path, {"results_1.json": {"results": {"custom|mmlu_zs_cot|0": metrics}}})


def test_a_benchmarks_own_numbers_are_shown(tmp_path: Path) -> None:
    result = novaloop(benchmark(tmp_path / "6.tar.gz", 0.6))
    assert result.exit_code == 0, result.output
    line = next(row for row in result.output.splitlines() if "6.tar.gz" in row)
    assert line.split() == ["accuracy", "6.tar.gz", "0.600", "±0.010", "0.580", "to", "0.620"]


def test_an_output_without_answers_and_numbers_is_refused(tmp_path: Path) -> None:
    result = novaloop(output(tmp_path / "o.tar.gz", {"log.json": {}}))
    assert result.exit_code == 2
    assert "holds no results_*.json" in result.output


def test_what_a_processor_measured_stands_with_the_rest(tmp_path: Path) -> None:
    line = {"prompt": "q", "inference": ["a"], "gold": "a"}
    results = {"results": {"all": {"politeness": 0.7, "politeness_stderr": 0.1}}}
    path = output(
        tmp_path / "o.tar.gz", {"inference_output.jsonl": line, "results_1.json": results}
    )
    result = novaloop(path)
    assert result.exit_code == 0, result.output
    assert "politeness" in result.output


def told(result: Result) -> str:
    return " ".join(result.output.split())


def test_what_the_words_and_signs_mean_is_told(right: Path) -> None:
    with_labels = told(novaloop(right, "--labels", LABELS, "--max-new-tokens", 5))
    assert "±: the standard error of the value" in with_labels
    assert "Strict: the answer is the label and nothing else; lenient: the label it" in with_labels
    assert "Cut off at the token limit: not known." in with_labels
    assert "Strict" not in told(novaloop(right))


def test_a_row_without_an_answer_counts_as_empty_and_is_told(tmp_path: Path) -> None:
    answers: list[str | None] = [*GOLDS]
    answers[3] = None
    path = write(tmp_path / "null.jsonl", answers)
    assert "1 row has no answer, which counts as an empty one." in told(novaloop(path))
    found = json.loads(novaloop(path, "--json").output)
    assert found["metrics"]["em"]["value"] == 39 / 40
    missing = path.read_text().replace('"inference": [null], ', "")
    path.write_text(missing)
    assert "line 4: field inference is missing" in told(novaloop(path))


def test_a_table_and_row_scores_are_scored_as_what_they_were_made_of(
    tmp_path: Path, wrong: Path
) -> None:
    rows = [json.loads(line) for line in wrong.read_text().splitlines()]
    table = tmp_path / "table.csv"
    lines = (f"{row['prompt']},{row['inference'][0]},{row['gold']}" for row in rows)
    table.write_text("\n".join(("question,answer,reference", *lines)))
    kept = tmp_path / "baseline-1.jsonl"
    with wrong.open("rb") as content:
        _, scored = score_lines(content, labels=LABELS.split(","))
    kept.write_bytes(b"".join(scored.to_lines()))
    found = [
        json.loads(novaloop(file, "--labels", LABELS, "--json").output)
        for file in (wrong, table, kept)
    ]
    for name in ("metrics", "classification", "evaluation_set", "lengths"):
        assert found[0][name] == found[1][name] == found[2][name]
