"""`novaloop compare` on files: whatever they are, their rows are paired by one rule or refused."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from novaloop.metrics.comparison import compare
from novaloop.metrics.score import score_lines
from tests.unit.cli.conftest import novaloop
from tests.unit.cli.test_score_files import GOLDS, LABELS, benchmark, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from click.testing import Result


@pytest.fixture(autouse=True)
def narrow_and_without_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith(("AWS_", "NOVALOOP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def right(tmp_path: Path) -> Path:
    return write(tmp_path / "right.jsonl", GOLDS)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    return write(tmp_path / "wrong.jsonl", ["HQ", "It is HQ", *["nothing"] * 38])


def told(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).split())


def table(path: Path, header: str, rows: Sequence[Sequence[object]]) -> Path:
    lines = (",".join(map(str, row)) for row in rows)
    path.write_text("\n".join((header, *lines)), encoding="utf-8")
    return path


def scores(seed: int, n: int = 60) -> list[tuple[str, int]]:
    draw = random.Random(seed)  # noqa: S311
    return [(f"q{row}", int(draw.random() < 0.5 + seed / 10)) for row in range(n)]


def run(*arguments: object) -> Result:
    return novaloop("compare", *map(str, arguments))


def content(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return found


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.stdout
    assert result.stdout == ""
    return told(result)


def test_the_verdict_is_that_of_the_one_rule(right: Path, wrong: Path) -> None:
    lines = (each.read_bytes().splitlines() for each in (wrong, right))
    (_, before), (_, after) = map(score_lines, lines)
    expected = compare(before, after)
    found = content(wrong, right)["evaluations"]
    compared = found[1]["score"]["comparisons"]["wrong.jsonl"]
    assert compared["summary"] == expected.summary
    assert compared["metrics"]["em"]["p_value"] == expected.metrics["em"].p_value
    assert f"right.jsonl against wrong.jsonl: {expected.summary}." in told(run(wrong, right))


def test_what_is_printed_fits_80_columns(right: Path, wrong: Path) -> None:
    result = run(wrong, right, "--labels", LABELS)
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    line = next(row for row in result.stdout.splitlines() if row.startswith("Exact match"))
    assert line.split()[2:5] == ["0.025", "1.000", "+0.975"]
    assert "39 rows improved, 0 regressed, 1 stayed the same." in result.stdout


def test_which_rows_changed_is_told_by_their_place_or_their_id(tmp_path: Path, wrong: Path) -> None:
    better = write(tmp_path / "better.jsonl", ["nothing", "LQ_EDIT", *["nothing"] * 38])
    assert "Improved: row 2. Regressed: row 1." in told(run(wrong, better))
    every = write(tmp_path / "all.jsonl", GOLDS)
    assert "Regressed: rows 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and others." in told(run(every, wrong))
    old = table(tmp_path / "old.csv", "id,score", [("a", 0), ("b", 1), ("c", 1)])
    new = table(tmp_path / "new.csv", "id,score", [("c", 0), ("b", 1), ("a", 1)])
    assert "Improved: row 'a'. Regressed: row 'c'." in told(run(old, new))


def test_whatever_holds_the_same_scores_is_compared_alike(tmp_path: Path) -> None:
    """Order, encoding, line ends, delimiter, names and further columns change nothing."""
    old = table(tmp_path / "old.csv", "id,score", scores(0))
    new = scores(1)
    plain = table(tmp_path / "new.csv", "id,score", new)
    odd = tmp_path / "odd.csv"
    lines = ("Punkte;Id;x", *(f"{score};{id_};x" for id_, score in reversed(new)))
    odd.write_bytes(("\ufeff" + "\r\n".join(lines)).encode("utf-8"))
    lines_of_json = tmp_path / "new.jsonl"
    lines_of_json.write_text(
        "".join(json.dumps({"id": id_, "score": bool(score)}) + "\n" for id_, score in new)
    )
    expected = content(old, plain)["metrics"]
    assert content(old, lines_of_json)["metrics"] != []
    renamed = table(tmp_path / "renamed.csv", "Id,Punkte", scores(0))
    columns = ("--column", "id=Id", "--column", "score=Punkte")
    for found in (content(old, lines_of_json), content(renamed, odd, *columns)):
        assert json.dumps(found["metrics"]).replace("new.jsonl", "new.csv").replace(
            "odd.csv", "new.csv"
        ).replace("renamed.csv", "old.csv") == json.dumps(expected)


def test_answers_under_ids_have_the_metrics_of_inference_output(
    tmp_path: Path, right: Path, wrong: Path
) -> None:
    tables = []
    for file in (wrong, right):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        cells = [(n, row["inference"][0], row["gold"]) for n, row in enumerate(rows)]
        tables.append(table(file.with_suffix(".csv"), "id,answer,reference", cells))
    ours, jobs = content(*tables, "--labels", LABELS), content(wrong, right, "--labels", LABELS)
    assert json.dumps(ours["metrics"]).replace(".csv", ".jsonl") == json.dumps(jobs["metrics"])


def test_rows_of_one_question_are_one_case(tmp_path: Path) -> None:
    header = "id,question,score"
    rows = [(f"{q}-{n}", f"question {q}", int(q < 11)) for q in range(20) for n in range(5)]
    old = table(tmp_path / "old.csv", header, [(*row[:2], 0) for row in rows])
    new = table(tmp_path / "new.csv", header, rows)
    said = told(run(old, new))
    assert "on 100 rows of 20 different questions" in said
    assert "11 questions improved, 0 regressed, 9 stayed the same." in said


def test_the_others_are_each_compared_with_the_first(tmp_path: Path) -> None:
    files = [table(tmp_path / f"{n}.csv", "id,score", scores(n)) for n in (0, 2, 4)]
    found = content(*files)
    (metric,) = found["metrics"]
    first, *others = metric["measurements"]
    assert [each["delta"] for each in others] == [each["value"] - first["value"] for each in others]
    assert [each["against"] for each in found["comparisons"]] == ["0.csv", "0.csv"]


def test_scores_of_any_range_are_told_in_their_own_unit(tmp_path: Path) -> None:
    draw = random.Random(5)  # noqa: S311
    before = [(row, draw.randint(1, 5)) for row in range(200)]
    old = table(tmp_path / "old.csv", "id,score", before)
    after = [(row, min(5, score + (row % 3 == 0))) for row, score in before]
    new = table(tmp_path / "new.csv", "id,score", after)
    said = told(run(old, new))
    assert "Score, better: " in said
    assert "%" not in said.partition("Score, better: ")[2].partition(" on 200")[0]
    assert "8 times in 10" not in said


@pytest.mark.parametrize(
    ("header", "rows", "complaint"),
    [
        ("id,score", [("a", 1), ("b", "NaN"), ("c", 0.5)], "line 3: a score that is no finite"),
        (
            "id,score",
            [("a", 1), ("b", '"0,5"'), ("c", 0.5)],
            "line 3: a score with a decimal comma",
        ),
        ("id,score", [("a", 1), ("b", ""), ("c", "")], "lines 3, 4: no score"),
        ("id,score", [("a", 1), ("b", "inf"), ("c", 0)], "line 3: a score that is no finite"),
        ("id,score", [("a", 1), ("", 1), ("c", 0)], "line 3: no id"),
        ("id,score", [("a", 1), ("b", 1), ("a", 0)], "line 4: the id of an earlier row"),
        ("id,answer,reference", [("a", "x", ""), ("b", 1, 1), ("c", 0, 0)], "line 2: no reference"),
        ("score", [(1,), (1,), (0,)], "neither a field id nor a field question"),
        ("ID,score", [("a", 1), ("b", 1), ("c", 0)], "found: 'ID', 'score'"),
        ("id,mark", [("a", 1), ("b", 1), ("c", 0)], "neither a field score nor the fields answer"),
        ("id,score", [("a", 1), ("b", 1, 1), ("c", 0)], "line 3: 3 cells where the header has 2"),
    ],
)
def test_rows_that_mean_nothing_are_refused_with_their_lines(
    tmp_path: Path, header: str, rows: list[tuple[object, ...]], complaint: str
) -> None:
    good = table(tmp_path / "good.csv", "id,score", [("a", 1), ("b", 1), ("c", 0)])
    bad = table(tmp_path / "bad.csv", header, rows)
    said = refused(good, bad)
    assert said.startswith(f"novaloop: {bad}: ")
    assert complaint in said


def test_rows_without_a_partner_are_refused_by_name(tmp_path: Path) -> None:
    rows = scores(0)
    old = table(tmp_path / "old.csv", "id,score", rows)
    new = table(tmp_path / "new.csv", "id,score", [*rows[:-7], ("z", 1)])
    said = refused(old, new)
    assert f"{new} lacks 7 ids of {old}: 'q53', 'q54', 'q55', 'q56', 'q57' and 2 more" in said
    assert f"{old} lacks 1 id of {new}: 'z'" in said
    answers = [("a", "x", "x"), ("b", "y", "y")]
    before = table(tmp_path / "before.csv", "id,answer,reference", answers)
    after = table(tmp_path / "after.csv", "id,answer,reference", [answers[0], ("b", "y", "Y")])
    assert "1 id has another question or reference in" in refused(before, after)
    assert "lacks" not in refused(before, after)


def test_rows_without_ids_are_refused_by_their_place(tmp_path: Path, right: Path) -> None:
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(right.read_text().splitlines(keepends=True)[:3]))
    said = refused(right, fewer)
    assert f"{fewer} lacks 37 rows of {right}: 4, 5, 6, 7, 8 and 32 more" in said
    assert f"{right} lacks" not in said


def test_what_has_no_metric_in_common_is_refused(tmp_path: Path, right: Path) -> None:
    given = table(tmp_path / "given.csv", "id,score", scores(0))
    totals = benchmark(tmp_path / "5.tar.gz", 0.5)
    assert f"{given} holds scores, {right} answers" in refused(given, right)
    assert f"{right} holds answers, {totals} the totals of a job" in refused(right, totals)
    assert "needs answers, and" in refused(given, given, "--metric", "f1")
    assert "name at least two" in refused(given)
    assert "--metric lenient_accuracy needs --labels" in refused(
        right, right, "--metric", "lenient_accuracy"
    )
    assert "there is no such file" in refused(given, "gievn.csv")
    assert f"{tmp_path}: is a folder" in refused(given, tmp_path)
    assert "write FIELD=COLUMN" in refused(given, given, "--column", "name=x")


def test_ids_are_left_aside_where_a_file_has_questions_alone(tmp_path: Path, right: Path) -> None:
    rows = [json.loads(line) for line in right.read_text().splitlines()]
    cells = [(n, row["prompt"], "nothing", row["gold"]) for n, row in enumerate(rows)]
    named = table(tmp_path / "named.csv", "id,question,answer,reference", cells)
    assert "40 rows improved, 0 regressed" in told(run(named, right))
    bare = table(tmp_path / "bare.csv", "id,answer,reference", [(c[0], *c[2:]) for c in cells])
    assert f"{bare} has an id for its rows, {right} a question" in refused(bare, right)


def test_the_metric_is_the_users_choice(right: Path, wrong: Path) -> None:
    result = run(wrong, right, "--labels", LABELS, "--metric", "lenient_accuracy")
    assert "right.jsonl against wrong.jsonl: Accuracy, lenient, better: 2.5% to 100.0%" in told(
        result
    )
    assert run(right, wrong, "--metric", "bleu").exit_code == 2


def test_row_scores_are_compared_with_answers(tmp_path: Path, right: Path, wrong: Path) -> None:
    with wrong.open("rb") as lines:
        _, rows = score_lines(lines, labels=LABELS.split(","))
    kept = tmp_path / "baseline-1.jsonl"
    kept.write_bytes(b"".join(rows.to_lines()))
    assert "39 rows improved" in told(run(kept, right, "--labels", LABELS))
    assert f"scored by different labels ({LABELS.replace(',', ', ')}; none)" in refused(kept, right)


def test_totals_of_jobs_are_compared_without_rows(tmp_path: Path) -> None:
    before, after = (benchmark(tmp_path / f"{a}.tar.gz", a / 10) for a in (5, 6))
    result = run(before, after)
    assert result.exit_code == 0, result.stderr
    line = next(row for row in result.stdout.splitlines() if "6.tar.gz" in row)
    assert line.split()[-4:] == ["0.580", "to", "0.620", "+0.100"]
    said = (
        "6.tar.gz against 5.tar.gz: accuracy, better: 0.500 to 0.600, 95 % interval of the change"
    )
    assert said in told(result)
    (task,) = content(before, after)["tasks"]
    assert task["metrics"][0]["measurements"][1]["verdict"] == "better"


def test_a_report_is_told_where_its_rows_are(tmp_path: Path, right: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"experiment": "quality"}, indent=2))
    assert "compare the row scores" in refused(report, right)
    report.write_text(json.dumps([{"id": 1, "score": 1}]))
    assert "is one JSON document and not one object a line" in refused(report, right)


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, two = (write(tmp_path / name / "inference_output.jsonl", GOLDS) for name in ("a", "b"))
    title = content(one, two, two)["title"]
    assert title == (
        "b/inference_output.jsonl, b/inference_output.jsonl (2) against a/inference_output.jsonl"
    )


def test_what_one_row_did_is_told_of_one(tmp_path: Path) -> None:
    old = table(tmp_path / "old.csv", "id,score", [("a", 0), ("b", 1)])
    new = table(tmp_path / "new.csv", "id,score", [("a", 1), ("b", 1)])
    assert "1 row improved, 0 regressed, 1 stayed the same." in told(run(old, new))


def test_metrics_stand_in_one_order(right: Path, wrong: Path) -> None:
    lines = run(wrong, right, "--labels", LABELS).stdout.splitlines()
    titles = [metric["title"] for metric in content(wrong, right, "--labels", LABELS)["metrics"]]
    assert [line.partition("  ")[0] for line in lines[1 : 1 + len(titles)]] == titles


def test_a_number_in_a_files_name_tells_no_file_apart(tmp_path: Path) -> None:
    file = write(tmp_path / "answers (1).jsonl", GOLDS)
    assert content(file, file)["title"] == "answers (1).jsonl (2) against answers (1).jsonl"


def test_the_report_has_the_texts_of_what_changed(tmp_path: Path, right: Path, wrong: Path) -> None:
    out = tmp_path / "out"
    result = run(wrong, right, "--labels", LABELS, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert sorted(each.name for each in out.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]
    page = (out / "report.html").read_text()
    assert "<strong>right.jsonl: better</strong>" in page
    assert "39 improved" in page
    assert "question 5" in page
    for absent in ("Stages", "Where it comes from", "As the jobs reported it", "SUCCEEDED"):
        assert absent not in page
    assert "right.jsonl against wrong.jsonl: Exact match, better" in (out / "report.md").read_text()
    assert json.loads((out / "report.json").read_text())["metric"] == "Exact match"


def test_the_report_of_scores_shows_them_and_no_charts_of_answers(tmp_path: Path) -> None:
    old = table(tmp_path / "old.csv", "id,score", [("<a>", 0.25), ("b", 1), ("c", 1)])
    new = table(tmp_path / "new.csv", "id,score", [("<a>", 0.75), ("b", 1), ("c", 1)])
    result = run(old, new, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;a&gt;" in page
    assert '<dd class="bad">0.25</dd>' in page
    assert "right answer" not in page
    assert "What the answers look like" not in page
    assert "Calibration" not in page
