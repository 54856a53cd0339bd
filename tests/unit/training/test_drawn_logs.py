"""The small part of `make calibration` that is about the health of trainings."""

from __future__ import annotations

import pytest

from benchmarks.health import HEALTHY, ILLS, LEAST_SEEN, Case, seen
from novaloop.training.changes import fall, noise
from novaloop.training.notes import HealthKind
from tests.unit.training.test_health import noisy


@pytest.mark.parametrize("case", ILLS, ids=lambda case: case.name)
def test_what_goes_wrong_is_seen(case: Case) -> None:
    assert seen(case, 20).share >= LEAST_SEEN


@pytest.mark.parametrize("case", HEALTHY, ids=lambda case: case.name)
def test_what_goes_well_is_left_alone(case: Case) -> None:
    assert seen(case, 3).share == 0


def test_every_ill_that_a_log_can_show_is_drawn() -> None:
    assert {case.ill for case in ILLS} == {*HealthKind} - {HealthKind.STALLED_TRAINING}


@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_the_noise_is_that_about_the_course(slope: float) -> None:
    values = [value + slope * step for step, value in enumerate(noisy(0.0, 0.2, 2_000))]
    assert noise(values) == pytest.approx(0.2, rel=0.05)


def test_a_single_fall_is_no_noise() -> None:
    assert noise([1.0] * 10 + [0.0] * 10) == 0
    assert noise([1.0]) == 0


def test_a_fall_is_told_by_the_means_of_both_sides() -> None:
    values = [*noisy(0.6, 0.05, 20), *noisy(0.2, 0.05, 10, seed=1)]
    before, after = fall(values, 0.1) or (0, 0)
    assert (before, after) == pytest.approx((0.6, 0.2), abs=0.06)
    assert fall(values, 0.6) is None
    assert fall(values[::-1], 0.1) is None


def test_noise_alone_falls_seldom_however_little_would_count() -> None:
    logs = [noisy(0.0, 1.0, 60, seed) for seed in range(100)]
    falls = [fall(log[:end], 0.0) for log in logs for end in range(1, 61)]
    assert not any(falls)
