"""`novaloop score` on files of answers."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from novaloop_cli.score import score

LABELS = "HQ,LQ_EDIT,LQ_CLOSE"
GOLDS = ["HQ", "LQ_EDIT", "LQ_CLOSE", "HQ"] * 10


def write(path: Path, answers: list[str]) -> Path:
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


def test_the_numbers_fit_80_columns(right: Path, wrong: Path) -> None:
    result = novaloop(right, "--labels", LABELS, "--against", wrong, "--max-new-tokens", 50)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "40 of 40  100.0%  91.2% to 100.0%" in result.output
    assert "Exact match" in result.output
    assert "+0.9750" in result.output
    assert "Against wrong.jsonl: Exact match, better: 2.5% to 100.0%" in result.output
    assert "39 rows improved, 0 regressed, 1 stayed the same." in result.output


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


def test_other_rows_are_not_compared(right: Path, tmp_path: Path) -> None:
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text(right.read_text(encoding="utf-8").partition("\n")[0], encoding="utf-8")
    result = novaloop(right, "--against", fewer)
    assert result.exit_code == 2
    assert "these about 40" in result.output


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


def test_a_benchmarks_own_numbers_are_shown_and_compared(tmp_path: Path) -> None:
    before, after = (benchmark(tmp_path / f"{a}.tar.gz", a / 10) for a in (5, 6))
    result = novaloop(after, "--against", before)
    assert result.exit_code == 0, result.output
    line = next(row for row in result.output.splitlines() if "6.tar.gz" in row)
    assert line.split() == [
        *["accuracy", "6.tar.gz", "0.600", "±0.010", "0.580", "to", "0.620", "+0.100"]
    ]
    change = json.loads(novaloop(after, "--against", before, "--json").output)["changes"]
    assert change["5.tar.gz"]["accuracy"]["verdict"] == "better"


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
    result = novaloop(path, "--against", path)
    assert result.exit_code == 0, result.output
    assert "politeness" in result.output


def told(result: Result) -> str:
    return " ".join(result.output.split())


def test_which_rows_changed_is_told_by_their_place(tmp_path: Path, wrong: Path) -> None:
    better = write(tmp_path / "better.jsonl", ["nothing", "LQ_EDIT", *["nothing"] * 38])
    result = novaloop(better, "--against", wrong)
    assert "Improved: row 2. Regressed: row 1." in told(result)
    result = novaloop(wrong, "--against", write(tmp_path / "all.jsonl", GOLDS))
    assert "Regressed: rows 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and others." in told(result)


def test_the_metric_of_the_comparison_is_the_users_choice(right: Path, wrong: Path) -> None:
    result = novaloop(right, "--labels", LABELS, "--against", wrong, "--metric", "lenient_accuracy")
    assert "Against wrong.jsonl: Accuracy, lenient, better: 2.5% to 100.0%" in told(result)
    refused = novaloop(right, "--metric", "lenient_accuracy")
    assert refused.exit_code == 2
    assert "--metric lenient_accuracy needs --labels" in told(refused)
    assert novaloop(right, "--metric", "bleu").exit_code == 2


def test_what_differs_between_two_files_is_told_in_numbers(tmp_path: Path, right: Path) -> None:
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(right.read_text().splitlines(keepends=True)[:3]))
    refused = told(novaloop(right, "--against", fewer))
    assert (
        "they are about 3 rows, these about 40, and 3 have the same prompt and gold answer"
        in refused
    )


def test_what_the_words_and_signs_mean_is_told(right: Path) -> None:
    with_labels = told(novaloop(right, "--labels", LABELS, "--max-new-tokens", 5))
    assert "±: the standard error of the value" in with_labels
    assert "Strict: the answer is the label and nothing else; lenient: the label it" in with_labels
    assert "Cut off at the token limit: not known." in with_labels
    assert "Strict" not in told(novaloop(right))
