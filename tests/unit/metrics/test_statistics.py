"""The statistics checked against exact enumeration or simulation, and against published numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest

from novaloop.experiment.spec.experiment import GateCondition
from novaloop.metrics.bleu import WIDTH, corpus_bleu
from novaloop.metrics.classification import classify
from novaloop.metrics.comparison import compare
from novaloop.metrics.estimates import (
    Questions,
    binomial_upper_tail,
    mean,
    resampled_sums,
    share,
)
from novaloop.metrics.gate import Outcome, judge
from novaloop.metrics.lengths import lengths
from novaloop.metrics.pairs import VALUES
from novaloop.metrics.results import Score, Share, Verdict
from novaloop.metrics.rows import NO_LABEL, RowScores


def rows_of(values: np.ndarray) -> RowScores:
    """Rows whose every metric has these values."""
    n = len(values)
    none = np.full(n, -1)
    columns = np.repeat(values[:, None].astype(float), len(VALUES), axis=1)
    keys = np.arange(n, dtype=np.uint64)
    return RowScores(
        (), keys, keys, columns, np.ones((n, WIDTH), dtype=int), none, none, none, keys.astype(int)
    )


def wilson(count: int, n: int) -> Share:
    return share(np.arange(n) < count, Questions.of(np.arange(n)))


def pmf(n: int, p: float) -> np.ndarray:
    return np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])


def test_wilson_intervals_cover_at_their_nominal_rate() -> None:
    n = 120
    intervals = [wilson(count, n) for count in range(n + 1)]
    rates = np.linspace(0.02, 0.98, 97)
    covered = [
        sum(
            weight
            for share, weight in zip(intervals, pmf(n, p), strict=True)
            if share.low <= p <= share.high
        )
        for p in rates
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)
    assert min(covered) > 0.88


def test_wilson_published_value() -> None:
    share = wilson(386, 500)
    assert (share.value, share.low, share.high) == pytest.approx((0.772, 0.7332, 0.8066), abs=1e-4)
    assert wilson(0, 0).value is None
    assert (wilson(0, 9).low, wilson(9, 9).high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("n", "successes"), [(1, 1), (9, 3), (20, 15), (101, 40), (300, 151), (7, 0)]
)
def test_binomial_tail_is_exact(n: int, successes: int) -> None:
    exact = sum(math.comb(n, k) for k in range(successes, n + 1)) / 2**n
    assert binomial_upper_tail(successes, n) == pytest.approx(exact, rel=1e-12)


def test_bootstrap_intervals_cover_at_their_nominal_rate() -> None:
    random = np.random.default_rng(5)
    trials, n, truth = 400, 120, 0.4
    covered = 0
    for _ in range(trials):
        sample = random.beta(2, 3, size=(n, 1))
        low, high = np.quantile(resampled_sums(sample, random, 400)[:, 0] / n, (0.025, 0.975))
        covered += low <= truth <= high
    assert 0.91 < covered / trials < 0.98


def test_bootstrapped_bleu_error_is_the_error_of_fresh_samples() -> None:
    random = np.random.default_rng(6)

    def corpus(n: int) -> np.ndarray:
        totals = np.maximum(random.poisson(12, (n, 1)) + 4 - np.arange(4), 1)
        matches = random.binomial(totals, (0.7, 0.5, 0.35, 0.25))
        return np.hstack([totals[:, :1], totals[:, :1] + 1, matches, totals])

    fresh = np.std([corpus_bleu(corpus(150).sum(axis=0)) for _ in range(600)])
    estimated = np.mean(
        [corpus_bleu(resampled_sums(corpus(150), random, 200)).std(ddof=1) for _ in range(20)]
    )
    assert estimated == pytest.approx(fresh, rel=0.12)


def test_resampling_draws_n_rows_each_time_in_blocks_too() -> None:
    random = np.random.default_rng(1)
    sums = resampled_sums(np.ones((3_000, 1)), random, 1_000)
    assert sums.shape == (1_000, 1)
    assert (sums == 3_000).all()


def test_mean_uses_the_sample_deviation() -> None:
    estimate = mean(np.array([1.0] * 65 + [0.0] * 435), Questions.of(np.arange(500)))
    assert estimate.value == 0.13
    assert estimate.stderr == pytest.approx(0.0150549, abs=1e-6)
    share = wilson(65, 500)
    assert (estimate.low, estimate.high) == pytest.approx((share.low, share.high))
    assert mean(np.array([0.5]), Questions.of(np.arange(1))).stderr is None
    with pytest.raises(ValueError, match="no rows"):
        mean(np.array([]), Questions.of(np.arange(0)))


def test_where_all_rows_are_alike_a_share_still_has_an_interval() -> None:
    right = mean(np.ones(30), Questions.of(np.arange(30)))
    assert (right.stderr, right.high) == (0, 1)
    assert right.low == pytest.approx(wilson(30, 30).low)


def test_rows_that_repeat_a_question_are_one_case() -> None:
    """The same answers five times over say no more than once, wherever they stand."""
    random = np.random.default_rng(3)
    once = (random.random(100) < 0.3).astype(float)
    questions = random.permutation(np.repeat(np.arange(100), 5))
    single = mean(once, Questions.of(np.arange(100)))
    repeated = mean(once[questions], Questions.of(questions))
    assert repeated.value == single.value
    assert repeated.stderr == pytest.approx(single.stderr)
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high), abs=2e-3)
    alike = mean(np.ones(500), Questions.of(questions))
    assert alike.low == pytest.approx(wilson(100, 100).low)


def gate_outcome(before: RowScores, after: RowScores) -> Outcome:
    score = Score(
        n=len(after),
        evaluation_set=after.evaluation_set,
        metrics={},
        classification=None,
        lengths=lengths(after),
        comparisons={"before": compare(before, after)},
        reported=None,
        notes=(),
    )
    return judge([("after", GateCondition(better_than="before"), score)]).ledger[0].outcome


@pytest.mark.parametrize(("lost", "won"), [(2, 12), (12, 2), (7, 7)])
def test_what_the_labels_tell_is_tested_row_by_row_in_its_own_direction(
    lost: int, won: int
) -> None:
    """A row with no valid label is wrong, too: that there are fewer of them is a gain."""
    n = 100
    right, before, after = (np.zeros(n, dtype=int) for _ in range(3))
    before[:won] = after[won : won + lost] = NO_LABEL
    rows = [
        replace(rows_of(right), labels=("A", "B"), gold=right, strict=read, lenient=read)
        for read in (before, after)
    ]
    found = compare(*rows).metrics
    for name in ("strict_accuracy", "lenient_accuracy", "no_valid_label"):
        assert (found[name].improved, found[name].regressed) == (won, lost)
        assert found[name].p_value == found["strict_accuracy"].p_value
        assert found[name].verdict == found["strict_accuracy"].verdict
    assert found["strict_accuracy"].difference == pytest.approx((won - lost) / n)
    assert found["no_valid_label"].difference == pytest.approx((lost - won) / n)
    assert found["no_valid_label"].low <= (lost - won) / n <= found["no_valid_label"].high


def test_the_interval_of_a_change_is_that_of_its_standard_error() -> None:
    random = np.random.default_rng(13)
    before, after = random.random((2, 3000))
    difference = compare(rows_of(before), rows_of(after)).metrics["rougeL"]
    stderr = np.std(after - before, ddof=1) / math.sqrt(3000)
    reach = (difference.high - difference.low) / 2
    assert reach == pytest.approx(1.96 * stderr, rel=0.08)
    assert (difference.high + difference.low) / 2 == pytest.approx(
        difference.difference, abs=0.2 * stderr
    )


@pytest.mark.parametrize("graded", [False, True])
def test_the_gate_rarely_promotes_a_model_that_is_no_better(*, graded: bool) -> None:
    random = np.random.default_rng(11)
    trials, n = 250, 150
    met = 0
    for _ in range(trials):
        ability = random.random(n)
        draws = random.random((2, n)) * (0.5 if graded else 1)
        before, after = (ability + draws) / 1.5 if graded else (draws < ability)
        met += gate_outcome(rows_of(before), rows_of(after)) is Outcome.MET
    assert met / trials <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / trials)


def test_the_gate_promotes_a_clear_gain_and_holds_a_clear_loss() -> None:
    random = np.random.default_rng(12)
    worse, better = random.random(200) < 0.5, random.random(200) < 0.8
    assert gate_outcome(rows_of(worse), rows_of(better)) is Outcome.MET
    assert gate_outcome(rows_of(better), rows_of(worse)) is Outcome.NOT_MET
    assert gate_outcome(rows_of(worse), rows_of(worse)) is Outcome.UNDECIDED


def test_what_is_said_is_about_the_metric_that_decides() -> None:
    random = np.random.default_rng(2)
    before = random.random(100)
    rows = [rows_of(before), rows_of(np.minimum(1, before + 0.05))]
    found = compare(*rows, metric="rouge1")
    assert (found.metric, found.improved, found.regressed) == ("rouge1", 100, 0)
    assert found.summary.startswith("ROUGE-1, better: ")
    without_rows = compare(*rows, metric="bleu")
    assert without_rows.metric == "em"


def test_an_open_question_names_what_so_many_rows_can_show() -> None:
    before = np.array([0] * 55 + [1] * 45 + [1] * 400)
    after = np.array([1] * 55 + [0] * 45 + [1] * 400)
    found = compare(rows_of(before), rows_of(after)).summary
    assert found == (
        "Exact match, no evidence either way: 89.0% to 91.0% on 500 rows, 95 % interval of the "
        "change -2.0% to +6.0%; where 20.0% of the answers change, as many show a change of 5.6 "
        "points 8 times in 10"
    )
    nothing = compare(rows_of(np.ones(500)), rows_of(np.ones(500))).summary
    assert nothing.endswith("95 % interval of the change -0.8% to +0.8%")
    few = compare(rows_of(np.zeros(30)), rows_of(np.array([0.5] * 9 + [0] * 21))).summary
    assert few.endswith("undecided: fewer than 10 different questions changed")


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_verdict_interval_and_gate_are_at_the_confidence_that_was_asked_for(
    confidence: float,
) -> None:
    random = np.random.default_rng(8)
    before, after = random.random(300) < 0.5, random.random(300) < 0.58
    found = compare(rows_of(before), rows_of(after), confidence=confidence)
    difference = found.metrics["em"]
    assert difference.confidence == confidence
    told = difference.verdict is not Verdict.NO_EVIDENCE
    assert told == (difference.p_value <= 1 - confidence)
    assert f"{100 * confidence:.10g} % interval" in found.summary


def test_one_question_more_than_once_is_tested_as_the_others_are() -> None:
    """A single repeated question took the verdict away: it is one case, like each of the others."""
    before = np.array([0.0] * 7 + [1.0] * 193)
    once = compare(rows_of(before), rows_of(np.ones(200)))
    again = np.append(before, before[:1]), np.ones(201)
    questions = np.append(np.arange(200), 0).astype(np.uint64)
    twice = compare(*(replace(rows_of(each), questions=questions) for each in again))
    first, second = once.metrics["em"], twice.metrics["em"]
    assert second.method == first.method
    assert (second.low, second.high, second.p_value) == (first.low, first.high, first.p_value)
    assert (once.counted, once.improved, once.same) == ("rows", 7, 193)
    assert (twice.counted, twice.improved, twice.same) == ("questions", 7, 193)
    assert "on 201 rows of 200 different questions" in twice.summary


def test_answers_to_a_repeated_question_are_not_told_apart_by_their_order() -> None:
    random = np.random.default_rng(4)
    questions = np.repeat(np.arange(50), 6).astype(np.uint64)
    right = (random.random(300) < 0.5).astype(float)
    other = right.reshape(50, 6)[:, ::-1].ravel()
    found = compare(*(replace(rows_of(each), questions=questions) for each in (right, other)))
    assert (found.improved, found.regressed, found.same) == (0, 0, 50)


def test_the_intervals_of_classes_go_by_questions_too() -> None:
    n, questions = 200, np.repeat(np.arange(20), 10).astype(np.uint64)
    gold = np.repeat([0, 1], 100)
    read = np.where(questions % 3 == 0, gold, NO_LABEL)
    rows = replace(
        rows_of(np.zeros(n)),
        labels=("A", "B"),
        questions=questions,
        gold=gold,
        strict=read,
        lenient=read,
    )
    found = classify(rows)
    assert found is not None
    few = wilson(7, 20)
    assert (found.strict.accuracy.count, found.strict.accuracy.n) == (70, 200)
    assert found.strict.accuracy.low == pytest.approx(few.low, abs=0.01)
    recall = found.strict.classes["A"].recall
    assert recall.high == pytest.approx(wilson(4, 10).high, abs=0.02)
