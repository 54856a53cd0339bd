from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from novaloop.experiment.record import NO_GATE, Record, ScoreItem, Stage, StageState, Status
from novaloop.metrics.results import Score
from novaloop.reports import Report, html, markdown, report
from novaloop.reports.pages import cell, spread
from novaloop.reports.schema import Measurement, MetricRow
from tests.unit.reports import finished_experiment as example


@pytest.fixture(scope="module")
def finished() -> Report:
    datasets = {"sft": example.dataset("sft", 3500)}
    return report(
        example.record(), example.scores(), example.HISTORY, datasets, flips=example.flips()
    )


def metric(content: Report, name: str) -> list[dict]:
    return next(row["measurements"] for row in content["metrics"] if row["name"] == name)


def test_each_delta_is_the_change_from_the_evaluation_before(finished: Report) -> None:
    for row in finished["metrics"]:
        first, *others = row["measurements"]
        assert first["delta"] is None
        for before, after in zip(row["measurements"], others, strict=False):
            assert after["delta"] == pytest.approx(after["value"] - before["value"])


def test_every_metric_of_every_evaluation_comes_with_its_error(finished: Report) -> None:
    names = [row["name"] for row in finished["metrics"]]
    assert {"em", "qem", "f1", "f1_score_quasi", "rouge1", "rouge2", "rougeL"} < set(names)
    for row in finished["metrics"]:
        assert [each["stage"] for each in row["measurements"]] == list(example.QUALITIES)
        assert all(each["stderr"] is not None for each in row["measurements"])


def test_strict_accuracy_has_the_error_of_the_mean_that_exact_match_has(finished: Report) -> None:
    for strict, exact in zip(
        metric(finished, "strict_accuracy"), metric(finished, "em"), strict=True
    ):
        assert strict["value"] == pytest.approx(exact["value"])
        assert strict["stderr"] == pytest.approx(exact["stderr"])


def test_a_gain_is_called_one_only_where_the_paired_test_says_so(finished: Report) -> None:
    _, after_sft, after_rft = metric(finished, "em")
    assert (after_sft["verdict"], after_rft["verdict"]) == ("better", "no evidence either way")
    page = html(finished)
    assert f'<td class="number change good">+{after_sft["delta"]:.3f}</td>' in page
    assert f'<td class="number change plain">{after_rft["delta"]:+.3f}</td>' in page


def test_whoever_has_the_same_rows_right_gets_the_same_verdict(finished: Report) -> None:
    for strict, exact in zip(
        metric(finished, "strict_accuracy"), metric(finished, "em"), strict=True
    ):
        assert strict["delta"] == exact["delta"]
        assert strict["verdict"] == exact["verdict"]


def test_fewer_answers_without_a_label_are_a_gain(finished: Report) -> None:
    _, after_sft, after_rft = metric(finished, "no_valid_label")
    assert after_sft["delta"] < 0
    assert (after_sft["verdict"], after_rft["verdict"]) == ("better", "no evidence either way")
    assert f'<td class="number change good">{after_sft["delta"]:+.3f}</td>' in html(finished)


def test_the_page_says_what_a_colour_means_and_names_what_is_not_tested(finished: Report) -> None:
    """Scores that an earlier version wrote compare less."""
    page = html(finished)
    assert "The metric that the gate names decides" in page
    assert "Not tested" not in page
    content = deepcopy(finished)
    for name in ("strict_accuracy", "no_valid_label"):
        for measurement in metric(content, name):
            measurement["verdict"] = None
    assert "Not tested: Accuracy, strict; No valid label." in html(content)


def test_what_only_a_processor_function_measures_is_not_tested_either() -> None:
    own = {"politeness": {"value": 0.7, "stderr": 0.1}}
    polite = {
        key: replace(item, score=dict(item.score) | {"metrics": item.score["metrics"] | own})
        for key, item in scored().items()
    }
    assert html(report(example.record(), polite)).count("Not tested: politeness.") == 1


def test_scores_of_earlier_attempts_are_left_out() -> None:
    first, *others = example.stages()
    retried = replace(
        example.record(), stages=(replace(first, attempt=replace(first.attempt, number=2)), *others)
    )
    content = report(retried, example.scores())
    assert [each["stage"] for each in content["evaluations"]] == ["after-sft", "after-rft"]


def test_an_evaluation_that_could_not_be_scored_says_why() -> None:
    failed = ScoreItem("baseline", 1, example.START, error="the archive holds no answers")
    content = report(example.record(), example.scores() | {("baseline", 1): failed})
    assert content["evaluations"][0]["error"] == "the archive holds no answers"
    assert "baseline could not be scored: the archive holds no answers" in html(content)


def test_an_experiment_that_has_not_started_has_a_report_too() -> None:
    content = report(Record("new", example.record().spec, example.START), {})
    assert "Nothing has been measured yet" in html(content)
    assert "# new: COLLECTING" in markdown(content)


def test_an_experiment_without_labels_has_no_class_section() -> None:
    plain = {key: replace(item, score=without_labels(item)) for key, item in scored().items()}
    page = html(report(example.record(), plain))
    assert 'id="classes"' not in page
    assert 'id="answers"' in page


def scored() -> dict[tuple[str, int], ScoreItem]:
    return example.scores()


def without_labels(item: ScoreItem) -> dict:
    return dict(item.score) | {"classification": None, "comparisons": {}}


def test_the_content_survives_json(finished: Report) -> None:
    assert json.loads(json.dumps(finished, allow_nan=False)) == finished


def test_the_page_is_the_same_each_time(finished: Report) -> None:
    again = report(
        example.record(),
        example.scores(),
        example.HISTORY,
        {"sft": example.dataset("sft", 3500)},
        flips=example.flips(),
    )
    assert html(again) == html(finished)


def test_the_page_needs_nothing_from_anywhere_else(finished: Report) -> None:
    page = html(finished)
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(", page)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_text_from_outside_is_escaped(finished: Report) -> None:
    assert "started with &lt;b&gt;4,500&lt;/b&gt; rows" in html(finished)


class Tags(HTMLParser):
    """Checks that what is opened is closed, in order."""

    VOID = frozenset({"meta", "br", "path", "rect", "circle", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass


def test_the_page_is_well_formed_and_has_every_section(finished: Report) -> None:
    parser = Tags()
    parser.feed(html(finished))
    assert parser.open == []
    assert parser.ids == [
        *("metrics", "answers", "flips", "classes", "format", "calibration", "stages", "lineage"),
        *("reported", "history"),
    ]


def test_the_confusion_matrices_and_charts_are_there_for_every_evaluation(
    finished: Report,
) -> None:
    page = html(finished)
    assert page.count('class="matrix"') == len(example.QUALITIES)
    assert page.count("<svg") == len(example.QUALITIES) + 1
    confusion = finished["evaluations"][0]["score"]["classification"]["lenient"]["confusion"]
    cells = [int(text) for text in re.findall(r'<td style="--share:[^>]*>(\d+)</td>', page)]
    assert cells[:12] == [count for row in confusion for count in row]


def test_the_contents_lead_to_every_section(finished: Report) -> None:
    for content in (finished, report(Record("new", example.record().spec, example.START), {})):
        page = html(content)
        titles = dict(re.findall(r'<section id="(\w+)">\n<h2>(.*?)</h2>', page))
        assert dict(re.findall(r'<li><a href="#(\w+)">(.*?)</a></li>', page)) == titles
        assert titles


def test_lengths_of_all_evaluations_are_drawn_to_one_scale(finished: Report) -> None:
    page = html(finished)
    section = page[page.index('id="answers"') : page.index('id="flips"')]
    charts = re.findall(r"<svg.*?</svg>", section, re.DOTALL)
    scales = [re.search(r'<g class="axis y.*?</g></g>', chart, re.DOTALL) for chart in charts]
    numbers = {tuple(re.findall(r"<text[^>]*>([\d ]+)</text>", each[0])) for each in scales if each}
    assert len(charts) == len(example.QUALITIES)
    assert len(numbers) == 1
    assert all(">characters</text>" in chart and ">answers</text>" in chart for chart in charts)


def test_the_page_says_from_which_label_to_which_answers_went(finished: Report) -> None:
    page = html(finished)
    first = finished["comparisons"][0]
    assert sum(move["rows"] for move in first["moves"]) > 50
    assert first["moves"] == sorted(first["moves"], key=lambda move: -move["rows"])
    labels, move = finished["labels"], first["moves"][0]
    true, before, after = (labels[move[name]] for name in ("true", "before", "after"))
    cells = f'<tr><th>{true}</th><td>{before}</td><td class="good">{after}</td>'
    assert f'{cells}<td class="number">{move["rows"]}</td></tr>' in page


def test_each_class_has_its_change_coloured_by_its_own_test(finished: Report) -> None:
    page = html(finished)
    for comparison in finished["comparisons"]:
        assert set(comparison["classes"]) == set(example.LABELS)
        for label, found in comparison["classes"].items():
            tone = {"better": "good", "worse": "bad"}.get(found["verdict"], "plain")
            cell = f'<td class="number change {tone}">{found["difference"]:+.3f}</td>'
            row = page[
                page.index(f"{comparison['stage']} against {comparison['against']}: recall") :
            ]
            assert cell in row[row.index(f"<tr><th>{label}</th>") :].partition("</tr>")[0]


def test_accuracy_balanced_accuracy_and_macro_f1_stand_with_their_intervals(
    finished: Report,
) -> None:
    page = html(finished)
    for evaluation in finished["evaluations"]:
        strict = (evaluation["score"] or {})["classification"]["strict"]
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            found = strict[name]
            assert found["low"] < found["value"] < found["high"]
            assert f"{found['low']:.3f} to {found['high']:.3f}</td></tr>" in page


def test_what_the_figures_mean_stands_in_markdown_too(finished: Report) -> None:
    text = markdown(finished)
    assert "baseline: 300 rows." in text
    assert "The figure after ± is one standard error" in text
    assert text.count("Test: Tango's interval, mid-p McNemar test.") == 3


def test_the_last_evaluation_is_set_against_the_first_too(finished: Report) -> None:
    first, *_, last = example.QUALITIES
    assert [(each["against"], each["stage"]) for each in finished["comparisons"]][-1] == (
        first,
        last,
    )
    score = Score.from_dict(example.scores()[last, 1].score)
    for metric in finished["metrics"]:
        values = [each["value"] for each in metric["measurements"]]
        assert metric["total"] == values[-1] - values[0]
        verdict = score.comparisons[first].metrics[metric["name"]].verdict
        assert metric["total_verdict"] == verdict
    page = html(finished)
    assert f'<th class="number change">from {first}</th>' in page
    assert f"<strong>{last} against {first}</strong>" in page


def test_rows_that_changed_stand_side_by_side_and_escaped(finished: Report) -> None:
    page = html(finished)
    comparison = finished["comparisons"][0]
    rows = comparison["improved_rows"]
    assert rows
    assert len(rows) == min(50, comparison["improved"])
    assert page.count('<article class="flip">') == sum(
        len(each["improved_rows"] or ()) + len(each["regressed_rows"] or ())
        for each in finished["comparisons"]
    )
    assert "&lt;p&gt;question" in page
    assert "<p>question" not in page
    for row in rows:
        assert row["after"] == row["gold"] != row["before"]


def test_a_changed_row_shows_its_question_alone_and_the_shared_system_prompt_stands_once(
    finished: Report,
) -> None:
    page = unescape(html(finished))
    assert "'role'" not in page
    assert "\\n" not in page
    assert re.search(r'<p class="question"><p>question \d+:\nwhat\'s "this"\?</p>', page)
    assert page.count(example.SYSTEM) == 1


def test_system_prompts_that_differ_stand_with_their_rows(finished: Report) -> None:
    content = deepcopy(finished)
    row = (content["comparisons"][0]["improved_rows"] or [])[0]
    row["system"] = "quite another one"
    page = unescape(html(content))
    shown = sum(
        page.count(f'<p class="question">{each}') for each in (example.SYSTEM, row["system"])
    )
    assert shown == page.count('<article class="flip">')
    row["system"] = ""
    assert unescape(html(content)).count(example.SYSTEM) == shown - 1


def test_no_rows_are_shown_where_none_are_kept() -> None:
    content = report(example.record(), example.scores())
    assert {each["improved_rows"] for each in content["comparisons"]} == {None}
    page = html(content)
    assert "question 1" not in page
    assert "after-sft against baseline: no rows are kept" in page


def test_the_jobs_own_numbers_stand_beside_ours_with_their_defects(finished: Report) -> None:
    em = metric(finished, "em")[0]["value"]
    assert (
        f'<tr><th>em</th><td class="number">0.5000</td><td class="number">{em:.4f}</td>'
        '<td class="bad">differs from ours</td></tr>'
    ) in html(finished)


def test_instance_hours_count_every_attempt_on_every_instance() -> None:
    first, sft, *others = example.stages()
    sft = replace(sft, earlier_seconds=900)
    content = report(replace(example.record(), stages=(first, sft, *others)), {})
    hours = {line["name"]: line["instance_hours"] for line in content["stages"]}
    instances = {line["name"]: line["instances"] for line in content["stages"]}
    assert hours["baseline"] == pytest.approx(0.25)
    assert instances["sft"] == 4
    assert hours["sft"] == pytest.approx(4 * 1800 / 3600)


def test_missing_log_probabilities_are_said_plainly(finished: Report) -> None:
    page = html(finished)
    assert "baseline, after-sft: the archive holds no log-probabilities" in page
    assert "<strong>after-rft</strong>: how often answers are exactly right" in page


def test_lineage_names_version_hash_and_jobs(finished: Report) -> None:
    page = html(finished)
    for stage in example.stages():
        assert f"training-job/{stage.name}" in page
    assert "version-sft" in page
    assert "0f" * 32 in page


def test_failed_stages_show_their_reason() -> None:
    record = replace(example.record(), status=Status.FAILED, reason="sft: no capacity")
    stage: Stage = replace(record.stages[1], state=StageState.FAILED, reason="no capacity")
    record = replace(record, stages=(record.stages[0], stage))
    page = html(report(record, {}))
    assert '<div class="verdict bad">' in page
    assert "no capacity" in page


def test_markdown_rows_have_as_many_cells_as_the_header(finished: Report) -> None:
    tables = [line for line in markdown(finished).splitlines() if line.startswith("| ")]
    metrics = [line for line in tables if line.count("|") > 6]
    assert {line.count("|") for line in metrics} == {2 * len(example.QUALITIES) + 2}
    assert len(metrics) == len(finished["metrics"]) + 1


def test_each_stage_names_its_container_image(finished: Report) -> None:
    images = {stage["name"]: stage["image"] for stage in finished["stages"]}
    assert images["baseline"] == "nova-evaluation-repo:SM-TJ-Eval-V2-latest"
    assert images["sft"] == "nova-fine-tune-repo:SM-TJ-SFT-V2-latest"
    assert images["rft"] == "nova-fine-tune-repo:SM-TJ-RFT-V2-latest"
    assert images["deploy"] == "nova-inference-repo:SM-Inference-latest"


def test_markdown_tells_the_gates_sentence_once() -> None:
    record = example.record()
    assert record.gate is not None
    for reason in (record.gate.why, f"held: {record.gate.why}", "something else"):
        text = markdown(report(replace(record, reason=reason), example.scores()))
        assert text.count(record.gate.why) == 1
        assert f"**{record.gate.verdict}**" in text


@pytest.mark.parametrize(
    ("verdict", "promotes", "by", "words"),
    [
        ("HOLD", False, "root", "HOLD, overruled by root"),
        ("INCONCLUSIVE", False, "root", "INCONCLUSIVE, approved by root"),
        ("PROMOTE", True, "root", "PROMOTE, approved by root"),
        ("HOLD", False, None, "HOLD"),
        ("PROMOTE", True, None, "PROMOTE"),
        (None, True, None, "no gate is set"),
        (None, True, "root", "no gate is set, approved by root"),
    ],
)
def test_beside_the_gates_verdict_stands_who_decided_otherwise(
    verdict: str | None, promotes: bool, by: str | None, words: str
) -> None:
    record = example.record()
    assert record.gate is not None
    gate = replace(record.gate, verdict=verdict or "PROMOTE", promotes=promotes)
    if verdict is None:
        gate = replace(gate, summary=NO_GATE, ledger=())
    content = report(replace(record, gate=gate, approved_by=by), example.scores())
    page = html(content)
    assert f"<strong>Gate: {words}</strong>\n" in page
    assert f"**{words}**" in markdown(content)
    # The page has a table of the conditions in its place.
    assert page.count(gate.why) == (1 if verdict is None else 0)
    assert page.count("<th>exact_match better than baseline</th>") == (verdict is not None)
    assert markdown(content).count(gate.why) == 1


def test_where_all_rows_are_alike_the_page_has_the_interval_and_the_terminal_the_value() -> None:
    """An interval in each cell cut the figures off at 80 columns."""
    row = MetricRow(name="em", title="Exact match", measurements=[])
    alike = Measurement(
        stage="a", value=1.0, stderr=0.0, low=0.886, high=1.0, delta=None, verdict=None
    )
    assert (cell(row, alike), spread(row, alike)) == ("1.000", " (0.886 to 1.000)")
    usual = Measurement(**{**alike, "value": 0.5, "stderr": 0.1})
    assert (cell(row, usual), spread(row, usual)) == ("0.500 ±0.100", "")
    without = Measurement(**{**alike, "low": None, "high": None})
    assert spread(row, without) == ""
