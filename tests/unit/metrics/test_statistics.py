"""The statistics checked against exact enumeration or simulation, and against published numbers."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from novaloop.metrics.bleu import WIDTH, corpus_bleu
from novaloop.metrics.comparison import compare, mcnemar_p_values, normal_p_values
from novaloop.metrics.estimates import (
    binomial_upper_tail,
    mean,
    resampled_sums,
    wilson,
)
from novaloop.metrics.gate import Outcome, judge
from novaloop.metrics.lengths import lengths
from novaloop.metrics.pairs import VALUES
from novaloop.metrics.results import Score, Verdict
from novaloop.metrics.rows import NO_LABEL, RowScores


def two_sided(p_values: tuple[float, float]) -> float:
    return min(1.0, 2 * min(p_values))


def mcnemar(improved: int, regressed: int) -> float:
    return two_sided(mcnemar_p_values(improved, regressed))


def rows_of(values: np.ndarray) -> RowScores:
    """Rows whose every metric has these values."""
    n = len(values)
    none = np.full(n, -1)
    columns = np.repeat(values[:, None].astype(float), len(VALUES), axis=1)
    keys = np.arange(n, dtype=np.uint64)
    return RowScores(
        (), keys, columns, np.ones((n, WIDTH), dtype=int), none, none, none, keys.astype(int)
    )


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


@pytest.mark.parametrize(
    ("improved", "regressed", "published"),
    [(8, 0, 0.008), (9, 1, 0.021), (14, 6, 0.115), (24, 16, 0.27), (54, 46, 0.48)],
)
def test_mcnemar_published_values(improved: int, regressed: int, published: float) -> None:
    assert mcnemar(improved, regressed) == pytest.approx(published, abs=0.006)
    assert mcnemar(regressed, improved) == mcnemar(improved, regressed)


def test_mcnemar_false_positive_rate_holds_for_every_number_of_flips() -> None:
    for flips in range(1, 150):
        rejected = [mcnemar(k, flips - k) <= 0.05 for k in range(flips + 1)]
        assert pmf(flips, 0.5) @ np.array(rejected) <= 0.05
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5_100, 4_900) == pytest.approx(0.0466, abs=5e-4)


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
    estimate = mean(np.array([1.0] * 65 + [0.0] * 435))
    assert estimate.value == 0.13
    assert estimate.stderr == pytest.approx(0.0150549, abs=1e-6)
    assert mean(np.array([0.5])).stderr is None
    with pytest.raises(ValueError, match="no rows"):
        mean(np.array([]))


@dataclass(frozen=True)
class Gain:
    """The gate's conditions: a gain over the stage `before`."""

    metric: str = "exact_match"
    at_least: float | None = None
    better_than: str | None = "before"
    confidence: float = 0.95
    class_floors: dict[str, float] = field(default_factory=dict)
    max_format_failures: float | None = None
    max_truncated: float | None = None


def gate_outcome(before: RowScores, after: RowScores) -> Outcome:
    score = Score(
        n=len(after),
        evaluation_set=after.evaluation_set,
        metrics={},
        classification=None,
        lengths=lengths(after, None),
        comparisons={"before": compare(before, after)},
        reported=None,
        notes=(),
    )
    return judge(Gain(), score).ledger[0].outcome


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
        assert (found[name].p_no_gain, found[name].p_no_loss) == mcnemar_p_values(won, lost)
        assert found[name].verdict == found["strict_accuracy"].verdict
    assert found["strict_accuracy"].difference == pytest.approx((won - lost) / n)
    assert found["no_valid_label"].difference == pytest.approx((lost - won) / n)
    assert found["no_valid_label"].low <= (lost - won) / n <= found["no_valid_label"].high


def test_a_comparison_tests_its_flips_exactly() -> None:
    before = np.array([0] * 12 + [1] * 4 + [1] * 9)
    after = np.array([1] * 12 + [0] * 4 + [1] * 9)
    difference = compare(rows_of(before), rows_of(after)).metrics["em"]
    assert (difference.improved, difference.regressed) == (12, 4)
    assert difference.p_no_gain == pytest.approx(2517 / 2**16)
    assert difference.p_no_loss == pytest.approx(64839 / 2**16)


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


@pytest.mark.parametrize(("discordant", "rows"), [(0.05, 1_530), (0.10, 3_060), (0.15, 4_600)])
def test_rows_to_settle_a_gain_of_1_6_points(discordant: float, rows: int) -> None:
    n = 10_000
    improved = round(n * (discordant + 0.016) / 2)
    regressed = round(n * (discordant - 0.016) / 2)
    before = np.array([0] * improved + [1] * regressed + [1] * (n - improved - regressed))
    after = np.array([1] * improved + [0] * regressed + [1] * (n - improved - regressed))
    difference = compare(rows_of(before), rows_of(after)).metrics["em"]
    assert difference.difference == pytest.approx(0.016)
    assert difference.rows_to_settle == pytest.approx(rows, rel=0.01)


def test_without_flips_the_smallest_detectable_change_is_not_zero() -> None:
    difference = compare(rows_of(np.ones(500)), rows_of(np.ones(500))).metrics["em"]
    assert difference.verdict is Verdict.NO_EVIDENCE
    assert difference.rows_to_settle is None
    assert difference.smallest_detectable == pytest.approx(2.8 * math.sqrt(3) / 500, rel=0.01)


def test_published_means_alone_give_no_evidence() -> None:
    rft_over_sft = normal_p_values(0.788 - 0.772, math.hypot(0.0188, 0.0183))
    assert two_sided(rft_over_sft) == pytest.approx(0.54, abs=0.01)
    sft_over_base = normal_p_values(0.772 - 0.13, math.hypot(0.0151, 0.0188))
    assert two_sided(sft_over_base) < 1e-9
