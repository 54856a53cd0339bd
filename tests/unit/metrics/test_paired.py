"""The tests of a change: against enumeration, simulation, other programs and published numbers."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import optimize, stats

from benchmarks.calibration import bleu, grades, repeated, right_and_wrong
from novaloop.metrics.paired import (
    MIN_CHANGED,
    Evidence,
    graded,
    mid_p,
    repeated_yes_no,
    resampled,
    yes_no,
)
from novaloop.metrics.power import rows_needed, smallest_gain
from novaloop.metrics.results import REPEATED_YES_NO

CONFIDENCES = st.sampled_from((0.8, 0.95, 0.999))


def agree(evidence: Evidence, confidence: float) -> bool:
    """Whether the interval excludes 0 exactly where the p-value says a change."""
    assert evidence.low is not None
    assert evidence.high is not None
    # 1 - 0.8 is 0.19999999999999996, and a share of resamples may be 0.2.
    level = round(1 - confidence, 12)
    return (evidence.low > 0 or evidence.high < 0) == (evidence.p_value <= level)


@given(st.integers(1, 400), st.data(), CONFIDENCES)
def test_of_right_and_wrong_answers(n: int, data: st.DataObject, confidence: float) -> None:
    improved = data.draw(st.integers(0, n))
    regressed = data.draw(st.integers(0, n - improved))
    found = yes_no(improved, regressed, n, confidence)
    assert agree(found, confidence)
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= (improved - regressed) / n <= found.high <= 1
    turned = yes_no(regressed, improved, n, confidence)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


@given(st.lists(st.floats(-1, 1, width=16), min_size=MIN_CHANGED, max_size=60), CONFIDENCES)
def test_of_grades(changes: list[float], confidence: float) -> None:
    found = graded(np.array(changes), np.ones(len(changes)), confidence, 1.0)
    if sum(each != 0 for each in changes) < MIN_CHANGED:
        assert (found.p_value, found.low, found.high) == (1, None, None)
    else:
        assert agree(found, confidence)


@example(seed=279, confidence=0.8)
@given(st.integers(0, 2**32 - 1), CONFIDENCES)
def test_of_a_corpus(seed: int, confidence: float) -> None:
    random = np.random.default_rng(seed)
    drawn = random.normal(random.normal(0, 2), 1, 1_999)
    assert agree(resampled(drawn, 100, confidence), confidence)


@pytest.mark.parametrize(
    ("n", "flips", "change"),
    [(30, 0.01, 0), (30, 0.3, 0), (30, 0.3, 0.15), (100, 0.05, 0), (100, 0.05, 0.025)],
)
def test_size_coverage_and_power_by_enumeration(n: int, flips: float, change: float) -> None:
    assert right_and_wrong(n, flips, change).broken() == []


@pytest.mark.parametrize("effect", [0.0, 2.0])
@pytest.mark.parametrize("shape", ["normal", "skewed", "30 % change, skewed"])
def test_size_coverage_and_power_by_simulation(shape: str, effect: float) -> None:
    assert grades(shape, 100, effect, 2_000).broken() == []


def test_rows_that_repeat_a_question_promote_no_more_often() -> None:
    assert repeated(100, 5, 1.0, 0.0, 2_000).broken() == []


@pytest.mark.parametrize("change", [0.0, 0.05])
def test_a_few_questions_that_repeat_cost_a_test_no_power(change: float) -> None:
    assert repeated(250, 2, 0.02, change, 2_000).broken() == []


def test_one_question_that_changed_in_part_hides_no_gain() -> None:
    changes, rows = np.zeros(250), np.ones(250)
    changes[:18], changes[18], changes[19], rows[19] = 1, -1, 1, 2
    found = repeated_yes_no(changes, rows, 0.95)
    # As if the 18 had improved, and 1 become worse, of questions that are all different.
    assert found.p_value == yes_no(18, 1, 250, 0.95).p_value < 0.001
    assert found.method == REPEATED_YES_NO
    changes[19] = -1
    assert repeated_yes_no(changes, rows, 0.95).p_value == yes_no(18, 2, 250, 0.95).p_value


QUESTIONS = st.integers(1, 4).flatmap(
    lambda rows: st.tuples(st.integers(-rows, rows), st.just(rows))
)


@given(st.lists(QUESTIONS, min_size=1, max_size=60), CONFIDENCES)
def test_of_questions_that_repeat(asked: list[tuple[int, int]], confidence: float) -> None:
    changes, rows = (np.array(each, dtype=float) for each in zip(*asked, strict=True))
    found = repeated_yes_no(changes, rows, confidence)
    if found.low is None:
        assert found.p_value == 1
        return
    assert agree(found, confidence)
    turned = repeated_yes_no(-changes, rows, confidence)
    assert (turned.low, turned.high) == pytest.approx((-(found.high or 0), -found.low))
    whole = (changes / rows) % 1 == 0
    if whole.all():
        counted = (int((changes > 0).sum()), int((changes < 0).sum()))
        assert found == yes_no(*counted, len(rows), confidence)


def test_a_bleu_that_is_no_better_is_told_as_better_as_seldom_as_it_says() -> None:
    assert bleu(100, 300).broken() == []


@pytest.mark.parametrize(("improved", "regressed"), [(0, 0), (1, 0), (3, 9), (40, 12), (9, 400)])
def test_mid_p_is_what_scipy_gives(improved: int, regressed: int) -> None:
    flips, most = improved + regressed, max(improved, regressed)
    one_sided = stats.binom.sf(most, flips, 0.5) + stats.binom.pmf(most, flips, 0.5) / 2
    assert mid_p(improved, regressed) == pytest.approx(min(1.0, 2 * float(one_sided)))


@pytest.mark.parametrize(
    ("improved", "regressed", "n"), [(12, 2, 50), (40, 20, 100), (0, 7, 60), (30, 31, 500)]
)
def test_the_bounds_are_those_of_the_likelihood_under_the_change(
    improved: int, regressed: int, n: int
) -> None:
    """Tango's statistic at each bound, its nuisance parameter found by maximizing numerically."""
    found = yes_no(improved, regressed, n, 0.95)
    for change in (found.low, found.high):
        assert change is not None
        same = n - improved - regressed

        def loss(worse: float, change: float = change, same: int = same) -> float:
            return -float(
                stats.multinomial.logpmf(
                    (improved, regressed, same),
                    n,
                    (worse + change, worse, 1 - 2 * worse - change),
                )
            )

        bounds = (max(0.0, -change) + 1e-12, (1 - change) / 2 - 1e-12)
        worse = optimize.minimize_scalar(
            loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
        deviation = math.sqrt(n * (2 * worse + change * (1 - change)))
        statistic = abs(improved - regressed - n * change) / deviation
        # Wider than 1.96 where the exact test is less sure, which it is by little here.
        assert 1.959 < statistic < 2.02


@pytest.mark.parametrize(
    ("improved", "regressed", "n", "expected"),
    [(0, 0, 30, 0.1135), (0, 0, 500, 0.0076), (1, 0, 1, 1.0)],
)
def test_where_nothing_changed_a_change_is_still_possible(
    improved: int, regressed: int, n: int, expected: float
) -> None:
    assert yes_no(improved, regressed, n, 0.95).high == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("improved", "regressed", "published"),
    [(8, 0, 0.004), (9, 1, 0.012), (14, 6, 0.078), (24, 16, 0.211), (54, 46, 0.426)],
)
def test_mid_p_values_by_hand(improved: int, regressed: int, published: float) -> None:
    assert mid_p(improved, regressed) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize("n", [30, 200])
def test_of_symmetric_grades_it_is_the_t_test(n: int) -> None:
    drawn = np.random.default_rng(n).normal(0.03, 0.2, n // 2)
    changes = np.concatenate([drawn, 0.06 - drawn])  # without any skewness
    found = graded(changes, np.ones(n), 0.95, 1.0)
    expected = stats.ttest_1samp(changes, 0)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.15)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-3)


def test_rows_that_all_gain_a_little_are_a_gain() -> None:
    random = np.random.default_rng(1)
    found = graded(random.normal(0.004, 0.0004, 500), np.ones(500), 0.95, 1.0)
    assert found.low is not None
    assert found.low > 0.0039
    exactly = graded(np.full(30, 0.05), np.ones(30), 0.95, 1.0)
    assert (exactly.low, exactly.high) == pytest.approx((0.05, 0.05))


def test_a_bleu_of_labels_says_nothing() -> None:
    drawn = np.random.default_rng(0).normal(5, 1, 1_999)
    assert resampled(drawn, 9, 0.95).method.startswith("undecided: fewer than 10 answers")
    assert resampled(np.zeros(1_999), 500, 0.95).method.startswith("undecided: the resamples")
    assert resampled(drawn, 500, 0.9999).method.startswith("undecided: the resamples")


@pytest.mark.parametrize(
    ("gain", "changed", "rows"), [(0.016, 0.05, 1_530), (0.016, 0.10, 3_060), (0.016, 0.15, 4_600)]
)
def test_rows_that_show_a_gain(gain: float, changed: float, rows: int) -> None:
    assert rows_needed(gain, changed, 0.95) == pytest.approx(rows, rel=0.01)
    assert smallest_gain(rows, changed, 0.95) == pytest.approx(gain, rel=0.01)


def test_so_many_rows_show_it_8_times_in_10() -> None:
    for n, changed in ((100, 0.3), (500, 0.1), (500, 0.05)):
        gain = smallest_gain(n, changed, 0.95)
        assert gain is not None
        assert right_and_wrong(n, changed, gain).says == pytest.approx(0.8, abs=0.03)
    assert smallest_gain(30, 0.01, 0.95) is None
    with pytest.raises(ValueError, match="no gain"):
        rows_needed(0, 0.1, 0.95)
