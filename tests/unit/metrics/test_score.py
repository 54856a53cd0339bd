import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from novaloop.experiment.spec.experiment import GateCondition
from novaloop.metrics import archive
from novaloop.metrics.archive import (
    ArchiveError,
    archive_members,
    checkpoint_of,
    reported_metrics,
)
from novaloop.metrics.classification import classify
from novaloop.metrics.comparison import DifferentRowsError, compare
from novaloop.metrics.defects import FIRST_PREDICTION_BLEU, OTHER_VALUE, UNDERSTATED_BLEU_ERROR
from novaloop.metrics.gate import GateDecision, GateResult, Outcome, judge
from novaloop.metrics.inferences import InferenceError, read_inferences
from novaloop.metrics.pairs import VALUES
from novaloop.metrics.results import Estimate, Move, Reading, Score
from novaloop.metrics.rows import RowScores, RowsError
from novaloop.metrics.score import score_archive, score_lines

LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")


def tar(files: Iterable[tuple[str, bytes]], mode: str = "w:gz") -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as packed:  # type: ignore[call-overload]
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    stream.seek(0)
    return stream


class OneWay(io.RawIOBase):
    """A stream that can't seek, like a body from S3."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)


def row(prediction: object, gold: str = "HQ", prompt: object = "q") -> bytes:
    return json.dumps({"prompt": prompt, "inference": prediction, "gold": gold}).encode() + b"\n"


def rows(*answers: tuple[str, str]) -> list[bytes]:
    return [row([said], gold, f"q{index}") for index, (said, gold) in enumerate(answers)]


EVALUATION = [
    ("./run/eval_results/inference_output.jsonl", b"".join(rows(("HQ", "HQ"), ("HQ.", "HQ")))),
    ("run/eval_results/results_1.json", b'{"results": {"all": {"em": 0.1}}}'),
    ("run/eval_results/results_2.json", b'{"results": {"all": {"em": 0.5}, "x": {"em": 0.4}}}'),
    ("run/eval_results/details/model/x.parquet", b"\x00" * 70_000),
]


@pytest.mark.parametrize("mode", ["w:gz", "w"])
@pytest.mark.parametrize("order", [1, -1])
def test_an_archive_is_scored_in_any_member_order_from_a_one_way_stream(
    mode: str, order: int
) -> None:
    stream = OneWay(tar(EVALUATION[::order], mode).getvalue())
    score, row_scores = score_archive(stream, labels=LABELS, max_new_tokens=50)  # type: ignore[arg-type]
    assert (score.n, len(row_scores)) == (2, 2)
    assert score.metrics["em"].value == 0.5
    assert score.reported
    assert score.reported.values == {"em": 0.5}
    assert score.reported.defects == ()
    assert score.lengths.reached_limit is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no inference_output"),
        (EVALUATION[1:], "holds no inference_output"),
        ([*EVALUATION, EVALUATION[0]], "several inference_output"),
        ([("results_1.json", b"{"), EVALUATION[0]], "no valid JSON"),
        ([("results_1.json", b"[]"), EVALUATION[0]], "no object `results`"),
    ],
)
def test_an_archive_that_is_none_of_an_evaluation(
    files: list[tuple[str, bytes]], message: str
) -> None:
    with pytest.raises(ArchiveError, match=message):
        score_archive(tar(files))


def test_damaged_archives_are_refused() -> None:
    answers = b"".join(row("HQ", prompt=hashlib.sha256(bytes([i])).hexdigest()) for i in range(200))
    content = tar([("inference_output.jsonl", answers)]).getvalue()
    for damaged in (b"", b"no archive", content[: len(content) // 2], content[:40], content[1:]):
        with pytest.raises(ArchiveError, match="damaged"):
            score_archive(io.BytesIO(damaged))


def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = b"0" * 100_000
    monkeypatch.setattr(archive, "MAX_LINE_BYTES", 10_000)
    with pytest.raises(ArchiveError, match="line longer"):
        score_archive(tar([("inference_output.jsonl", zeros)]))
    monkeypatch.setattr(archive, "MAX_MANIFEST_BYTES", 10_000)
    with pytest.raises(ArchiveError, match="larger than"):
        checkpoint_of(archive_members(tar([("manifest.json", zeros)])))
    monkeypatch.setattr(archive, "MAX_JSON_BYTES", 10_000)
    with pytest.raises(ArchiveError, match="larger than"):
        score_archive(tar([("results_1.json", zeros)]))
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 150_000)
    with pytest.raises(ArchiveError, match="more than 150,000 bytes"):
        checkpoint_of(archive_members(tar([("a", zeros), ("b", zeros)])))


@pytest.mark.parametrize(
    "name", ["manifest.json", "./manifest.json", "/manifest.json", "a/manifest.json"]
)
def test_checkpoint(name: str) -> None:
    uri = "s3://customer-escrow-1-smtj-x/job/100"
    files = [
        ("step_wise_training_metrics.csv", b""),
        (name, json.dumps({"checkpoint_s3_bucket": uri}).encode()),
    ]
    assert checkpoint_of(archive_members(tar(files))) == uri


def test_the_manifest_nearest_to_the_root_counts() -> None:
    manifests = [
        (n, json.dumps({"checkpoint_s3_bucket": f"s3://b/{n}"}).encode())
        for n in ("a/b/manifest.json", "manifest.json")
    ]
    assert checkpoint_of(archive_members(tar(manifests))) == "s3://b/manifest.json"
    siblings = [
        (f"{x}/manifest.json", json.dumps({"checkpoint_s3_bucket": f"s3://b/{x}"}).encode())
        for x in "xy"
    ]
    with pytest.raises(ArchiveError, match="disagree"):
        checkpoint_of(archive_members(tar(siblings)))


@pytest.mark.parametrize(
    "manifest",
    [b"{", b"[]", b"{}", b'{"checkpoint_s3_bucket": ""}', b'{"checkpoint_s3_bucket": "s3://"}'],
)
def test_a_checkpoint_that_cannot_be_resolved_is_an_error(manifest: bytes) -> None:
    with pytest.raises(ArchiveError, match=r"manifest\.json"):
        checkpoint_of(archive_members(tar([("manifest.json", manifest)])))
    with pytest.raises(ArchiveError, match="holds no manifest"):
        checkpoint_of(archive_members(tar([("other.json", manifest)])))


def test_reported_metrics_prefer_the_custom_task() -> None:
    tasks = {"all": {"em": 1}, "custom|gen_qa_gen_qa|0": {"em": 0.5, "bad": float("nan"), "t": "x"}}
    assert reported_metrics(json.dumps({"results": tasks}).encode()) == {"em": 0.5}
    assert reported_metrics(b'{"results": {"mmlu": {"accuracy": 0.3}, "all": {}}}') == {
        "accuracy": 0.3
    }
    assert reported_metrics(b'{"results": {}}') == {}


def test_inference_is_a_text_or_a_list_and_markers_are_stripped() -> None:
    marked = "<|begin_of_solution|>HQ<|end_of_solution|>"
    read = list(
        read_inferences(
            [row("HQ"), b"\n", row(["HQ"]), row([marked, "x"], prompt=[{"role": "user"}])]
        )
    )
    assert [inference.prediction for inference in read] == ["HQ", "HQ", "HQ"]
    assert [inference.line for inference in read] == [1, 3, 4]
    assert [inference.other_predictions for inference in read] == [0, 0, 1]
    assert len({inference.key for inference in read}) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{secret", "line 2: is no valid JSON"),
        (b"\xff", "line 2: is no valid JSON"),
        (b'["secret"]', "line 2: is no JSON object"),
        (b'{"inference": "secret", "gold": "secret"}', "line 2: has no field prompt"),
        (b'{"prompt": "secret", "gold": "secret"}', "line 2: field inference"),
        (b'{"prompt": "secret", "inference": [], "gold": "secret"}', "line 2: field inference"),
        (b'{"prompt": "secret", "inference": "secret", "gold": 7}', "line 2: field gold"),
        (
            b'{"prompt": "secret", "inference": "x", "gold": ["secret", "y"]}',
            "line 2: has several gold",
        ),
        (
            b'{"prompt": "secret", "inference": "x", "gold": "secret"}',
            "line 2: the gold answer is none",
        ),
    ],
)
def test_bad_lines_are_named_and_never_quoted(line: bytes, message: str) -> None:
    with pytest.raises(InferenceError, match=message) as error:
        score_lines([row("HQ"), line], labels=LABELS)
    assert "secret" not in str(error.value)


def test_an_empty_evaluation_is_an_error() -> None:
    with pytest.raises(InferenceError, match="no rows"):
        score_lines([])


def test_lone_surrogates_are_scored() -> None:
    line = b'{"prompt": "\\ud800", "inference": "\\udfff x", "gold": "HQ"}'
    assert score_lines([line], labels=LABELS)[0].n == 1


def test_a_score_survives_json() -> None:
    _, before = score_lines(rows(("HQ", "HQ"), ("no", "LQ_EDIT")), labels=LABELS)
    score, _ = score_lines(
        rows(("HQ", "HQ"), ("LQ_EDIT", "LQ_EDIT")),
        labels=LABELS,
        reported={"em": 0.3, "bleu": 1.0},
        max_new_tokens=1,
        earlier={"before": before},
    )
    content = json.loads(json.dumps(score.to_dict(), allow_nan=False))
    assert Score.from_dict(content) == score


def test_a_score_of_many_labels_stays_small() -> None:
    labels = tuple(f"label {index}x" for index in range(40))
    evaluation = [(labels[i % 40], labels[i % 37]) for i in range(2_000)]
    _, before = score_lines(rows(*evaluation), labels=labels)
    earlier = {f"stage {index}": before for index in range(5)}
    score, _ = score_lines(rows(*evaluation), labels=labels, earlier=earlier)
    assert len(json.dumps(score.to_dict())) < 100_000


def test_row_scores_survive_their_file() -> None:
    _, row_scores = score_lines(
        rows(("HQ", "HQ"), ("no", "LQ_EDIT"), ("hq", "LQ_CLOSE")), labels=LABELS
    )
    lines = list(row_scores.to_lines())
    again = RowScores.from_lines(lines)
    assert list(again.to_lines()) == lines
    assert again.evaluation_set == row_scores.evaluation_set
    assert b"HQ" not in b"".join(lines[1:])


@pytest.mark.parametrize("lines", [[], [b"{"], [b"{}"], [b'{"labels": [], "metrics": ["other"]}']])
def test_row_scores_that_cannot_be_read(lines: list[bytes]) -> None:
    with pytest.raises(RowsError, match="row scores"):
        RowScores.from_lines(lines)


def test_stages_are_paired_by_row_and_not_by_position() -> None:
    first = rows(("HQ", "HQ"), ("HQ", "LQ_EDIT"), ("LQ_EDIT", "LQ_EDIT"))
    second = rows(("no", "HQ"), ("LQ_EDIT", "LQ_EDIT"), ("LQ_EDIT", "LQ_EDIT"))
    _, before = score_lines(first, labels=LABELS)
    _, after = score_lines([second[2], second[0], second[1]], labels=LABELS)
    comparison = compare(before, after)
    assert (comparison.improved, comparison.regressed, comparison.same) == (1, 1, 1)
    keys = [f"{inference.key:016x}" for inference in read_inferences(first)]
    assert comparison.regressed_rows == (keys[0],)
    assert comparison.improved_rows == (keys[1],)


def test_equal_rows_are_paired_by_occurrence_and_counted_once() -> None:
    _, before = score_lines([row("HQ"), row("no"), row("no")], labels=LABELS)
    _, after = score_lines([row("HQ"), row("HQ"), row("no")], labels=LABELS)
    comparison = compare(before, after)
    assert (comparison.improved, comparison.regressed, comparison.same) == (1, 0, 0)
    assert comparison.counted == "questions"


@pytest.mark.parametrize(
    "other", [[row("HQ")], [row("HQ"), row("HQ", "LQ_EDIT")], [row("HQ"), row("HQ", prompt="p")]]
)
def test_stages_on_different_rows_are_not_compared(other: list[bytes]) -> None:
    _, before = score_lines([row("HQ"), row("HQ")], labels=LABELS)
    _, after = score_lines(other, labels=LABELS)
    with pytest.raises(DifferentRowsError, match="can't be compared with the earlier answers"):
        compare(before, after)


def test_classification_counts_rows_without_a_label_as_wrong() -> None:
    answers = [("HQ", "HQ"), ("HQ", "LQ_EDIT"), ("lq edit", "LQ_EDIT"), ("dunno", "HQ")]
    _, row_scores = score_lines(rows(*answers), labels=LABELS)
    classification = classify(row_scores)
    assert classification
    strict, lenient = classification.strict, classification.lenient
    assert strict.confusion == ((1, 0, 0, 1), (1, 0, 0, 1), (0, 0, 0, 0))
    assert lenient.confusion == ((1, 0, 0, 1), (1, 1, 0, 0), (0, 0, 0, 0))
    assert (strict.accuracy.value, lenient.accuracy.value) == (0.25, 0.5)
    assert (strict.without_label.count, lenient.without_label.count) == (2, 1)
    hq = lenient.classes["HQ"]
    assert (hq.precision, hq.recall.value, hq.f1) == (0.5, 0.5, 0.5)
    assert (hq.support, hq.predicted, hq.true_share, hq.predicted_share) == (2, 2, 0.5, 0.5)
    assert lenient.balanced_accuracy.value == 0.5
    assert lenient.macro_f1.value == pytest.approx((0.5 + 2 / 3) / 2)
    assert lenient.micro_f1 == pytest.approx(2 * 2 / (4 + 3))


def test_without_labels_there_is_no_classification() -> None:
    score, _ = score_lines(rows(("a b", "a b")))
    assert score.classification is None
    assert score.metrics["em"].value == 1


def test_length_distribution() -> None:
    score, _ = score_lines(rows(("HQ", "HQ"), ("", "HQ"), ("x" * 300, "HQ")), max_new_tokens=50)
    assert score.lengths.reached_limit is None  # nobody knows how many tokens 300 characters are
    lengths = score.lengths
    filled = {
        edge: count for edge, count in zip(lengths.bin_edges, lengths.counts, strict=True) if count
    }
    assert filled == {0: 1, 2: 1, 200: 1}
    assert sum(lengths.counts_right) == 1


def test_answers_are_cut_off_by_the_number_of_their_tokens() -> None:
    """Of an answer that is 50 tokens long, in whatever script; where any is unknown, all are."""
    lines = [
        {"prompt": f"q{n}", "inference": "x", "gold": "x", "logprobs": [-0.1] * n}
        for n in (49, 50, 51)
    ]
    encoded = [json.dumps(line).encode() for line in lines]
    score, _ = score_lines(encoded, max_new_tokens=50)
    assert score.lengths.reached_limit is not None
    assert (score.lengths.reached_limit.count, score.lengths.reached_limit.n) == (2, 3)
    assert score_lines(encoded)[0].lengths.reached_limit is None
    without = json.dumps({"prompt": "q", "inference": "x", "gold": "x"}).encode()
    assert score_lines([*encoded, without], max_new_tokens=50)[0].lengths.reached_limit is None


def defects(reported: dict[str, float], *answers: tuple[str, str]) -> dict[str, str]:
    score, _ = score_lines(rows(*answers), labels=LABELS, reported=reported)
    assert score.reported
    assert score.reported.values == reported
    return {defect.metric: defect.name for defect in score.reported.defects}


def test_known_defects_of_the_jobs_own_numbers_are_named() -> None:
    answers = [("The answer is HQ because", "HQ"), ("HQ", "LQ_CLOSE"), ("LQ_EDIT", "LQ_EDIT")]
    assert defects({"bleu": 10.68217515990, "bleu_stderr": 1.0}, *answers) == {
        "bleu": FIRST_PREDICTION_BLEU,
        "bleu_stderr": UNDERSTATED_BLEU_ERROR,
    }
    assert defects({"bleu": 55.0, "em": 1 / 3}, *answers) == {"bleu": OTHER_VALUE}
    assert defects({"em": 0.4, "em_stderr": 1 / 3}, *answers) == {"em": OTHER_VALUE}
    assert defects({"unknown": 0.4}, *answers) == {}
    right = score_lines(rows(*answers * 20))[0].metrics["bleu"]
    assert right.stderr
    assert defects({"bleu": right.value, "bleu_stderr": right.stderr}, *answers * 20) == {}
    understated = {"bleu": right.value, "bleu_stderr": right.stderr / 31.6}
    assert defects(understated, *answers * 20) == {"bleu_stderr": UNDERSTATED_BLEU_ERROR}


def judged(score: Score, **asked: Any) -> GateResult:
    return judge([("after", GateCondition(**asked), score)])


MIXED = [("HQ", "HQ")] * 6 + [
    ("LQ_EDIT", "LQ_EDIT"),
    ("HQ", "LQ_EDIT"),
    ("hq.", "HQ"),
    ("x" * 200, "HQ"),
]


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        ({}, GateDecision.PROMOTE),
        ({"at_least": 0.39}, GateDecision.PROMOTE),
        ({"at_least": 0.4}, GateDecision.INCONCLUSIVE),
        ({"at_least": 0.9}, GateDecision.HOLD),
        ({"metric": "lenient_accuracy", "at_least": 0.49}, GateDecision.PROMOTE),
        ({"metric": "qem", "at_least": 0.81}, GateDecision.INCONCLUSIVE),
        ({"metric": "bleu", "at_least": 101}, GateDecision.HOLD),
        ({"metric": "unheard of", "at_least": 0.1}, GateDecision.INCONCLUSIVE),
        ({"class_floors": {"LQ_EDIT": 0.09}}, GateDecision.PROMOTE),
        ({"class_floors": {"LQ_EDIT": 0.51}}, GateDecision.INCONCLUSIVE),
        ({"class_floors": {"LQ_EDIT": 0.91}}, GateDecision.HOLD),
        ({"class_floors": {"LQ_CLOSE": 0.1}}, GateDecision.INCONCLUSIVE),
        ({"max_format_failures": 0.52}, GateDecision.PROMOTE),
        ({"max_format_failures": 0.2}, GateDecision.INCONCLUSIVE),
        ({"max_format_failures": 0.05}, GateDecision.HOLD),
        ({"max_truncated": 0.99}, GateDecision.INCONCLUSIVE),
        ({"better_than": "never evaluated"}, GateDecision.INCONCLUSIVE),
        ({"better_than": "never evaluated", "at_least": 0.9}, GateDecision.HOLD),
    ],
)
def test_gate_conditions(asked: dict[str, object], verdict: GateDecision) -> None:
    score, _ = score_lines(rows(*MIXED), labels=LABELS, max_new_tokens=50)
    result = judged(score, **asked)
    assert result.verdict is verdict
    assert len(result.ledger) == len(asked) - ("metric" in asked)


def test_the_ledger_says_what_was_observed_and_needed() -> None:
    score, _ = score_lines(rows(*MIXED), labels=LABELS)
    (entry,) = judged(score, max_format_failures=0.05).ledger
    assert entry.outcome is Outcome.NOT_MET
    assert entry.observed == "0.2000 (0.0567 to 0.5098), 2 of 10"
    assert entry.needed == "at most 0.05"


def test_a_comparison_says_from_which_label_to_which_answers_went() -> None:
    def lines(*answers: str) -> list[bytes]:
        rows = [("a", "HQ"), ("b", "HQ"), ("c", "LQ"), ("d", "LQ"), ("e", "LQ")]
        return [
            json.dumps({"prompt": prompt, "inference": answer, "gold": gold}).encode()
            for (prompt, gold), answer in zip(rows, answers, strict=True)
        ]

    _, before = score_lines(lines("HQ", "LQ", "HQ", "HQ", "none"), labels=("HQ", "LQ"))
    after, _ = score_lines(
        lines("HQ", "HQ", "LQ", "LQ", "HQ"), labels=("HQ", "LQ"), earlier={"before": before}
    )
    assert after.comparisons["before"].moves == (
        Move(true=1, before=0, after=1, rows=2),
        Move(true=0, before=1, after=0, rows=1),
        Move(true=1, before=None, after=0, rows=1),
    )


@pytest.mark.parametrize("n", [100, 500])
def test_the_intervals_of_balanced_accuracy_and_macro_f1_hold_the_truth(n: int) -> None:
    random = np.random.default_rng(n)

    def drawn(rows: int) -> Reading:
        gold = random.choice(3, rows, p=(0.5, 0.3, 0.2))
        right = random.random(rows) < np.array((0.8, 0.6, 0.7))[gold]
        answers = np.where(right, gold, random.integers(-1, 3, rows))
        keys, none = np.arange(rows, dtype=np.uint64), np.zeros((rows, 10), dtype=np.int64)
        values = np.zeros((rows, len(VALUES)))
        columns = (keys, keys, values, none, gold, answers, answers, none[:, 0])
        found = classify(RowScores(("a", "b", "c"), *columns))
        assert found is not None
        return found.strict

    truth, runs = drawn(1_000_000), [drawn(n) for _ in range(300)]
    for name in ("balanced_accuracy", "macro_f1"):
        value = getattr(truth, name).value
        held = [getattr(each, name).low <= value <= getattr(each, name).high for each in runs]
        assert 0.91 <= np.mean(held) <= 0.98


def test_where_all_rows_are_alike_the_mean_of_classes_has_no_error() -> None:
    row = {"prompt": "p", "inference": "HQ", "gold": "HQ"}
    lines = [json.dumps(row | {"prompt": str(number)}).encode() for number in range(5)]
    found = score_lines(lines, labels=("HQ", "LQ"))[0].classification
    assert found is not None
    assert found.strict.macro_f1 == found.strict.balanced_accuracy == Estimate(1.0, None)
