from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from novaloop.training.curve import MAX_POINTS, RECENT, Curve, Series
from novaloop.training.health import Limits, Training, follow
from novaloop.training.lines import Point

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def at(step: int, **values: float) -> Point:
    return Point(step, START + timedelta(seconds=30 * step), values)


def series_of(values: list[float]) -> Series:
    series = Series()
    for step, value in enumerate(values):
        series = series.add(step, value)
    return series


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=3000))
def test_a_series_stays_small_and_keeps_its_mean(values: list[int]) -> None:
    series = series_of([float(value) for value in values])
    assert len(series.buckets) <= MAX_POINTS
    assert sum(bucket.count for bucket in series.buckets) == len(values)
    weighted = sum(bucket.mean * bucket.count for bucket in series.buckets) / len(values)
    assert weighted == pytest.approx(fmean(values), abs=0.02)
    assert series.buckets[-1].step == len(values) - 1


def test_a_short_series_is_kept_step_by_step() -> None:
    series = series_of([0.5] * 99 + [0.25])
    assert [bucket.count for bucket in series.buckets] == [1] * 100
    assert series.buckets[-1].mean == 0.25


def test_buckets_of_a_long_series_hold_the_same_number_of_steps() -> None:
    counts = [bucket.count for bucket in series_of([1.0] * 1001).buckets]
    assert set(counts[:-1]) == {8}


def test_extremes_are_of_means_so_that_one_odd_step_does_not_set_them() -> None:
    series = series_of([0.0] * 10 + [1.0] + [0.0] * 10)
    assert (series.highest, series.lowest) == (0.2, 0.0)


def test_what_is_no_number_is_remembered_but_not_drawn() -> None:
    series = series_of([1.0, float("nan"), 2.0, float("inf")])
    assert series.broken_at == 1
    assert [bucket.mean for bucket in series.buckets] == [1.0, 2.0]


LOG = [at(step, loss=5 / (1 + step), reward_mean=step % 7 / 7 - (step > 40)) for step in range(300)]


@given(st.lists(st.integers(0, 300), max_size=6))
def test_a_log_read_in_pieces_and_read_again_tells_the_same(cuts: list[int]) -> None:
    limits = Limits(max_steps=300)
    whole = follow(Training(), LOG, limits)
    pieces = Training()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), 300], strict=True):
        pieces = follow(pieces, LOG[max(0, begin - 5) : end], limits)
    assert pieces == whole
    assert whole.notes


def test_what_several_machines_write_of_a_step_counts_once() -> None:
    once = follow(Training(), LOG, Limits())
    twice = follow(Training(), [point for point in LOG for _ in range(2)], Limits())
    assert once == twice


def test_a_curve_survives_its_storage() -> None:
    adapter = TypeAdapter(Training)
    training = follow(Training(), LOG, Limits())
    assert adapter.validate_json(adapter.dump_json(training)) == training


def test_a_long_training_with_every_series_stays_below_a_quarter_of_a_megabyte() -> None:
    names = [f"series_{number}" for number in range(20)]
    curve = Curve()
    for step in range(2000):
        curve = curve.add(at(step, **dict.fromkeys(names, 1.23456789e-5 * step)))
    assert len(TypeAdapter(Curve).dump_json(curve)) < 250_000
    assert len(curve.steps) == RECENT


@pytest.mark.parametrize(("first", "done"), [(0, 10), (1, 9)])
def test_steps_are_counted_from_the_first(first: int, done: int) -> None:
    curve = Curve()
    for step in range(first, 10):
        curve = curve.add(at(step, loss=1.0))
    assert curve.steps_done == done


def test_the_end_is_expected_by_the_time_of_the_newest_steps() -> None:
    curve = Curve()
    for step in range(1, 61):
        seconds = 100 * min(step, 20) + 10 * max(0, step - 20)
        curve = curve.add(Point(step, START + timedelta(seconds=seconds), {"loss": 1.0}))
    assert curve.step_time == timedelta(seconds=10)
    assert curve.finishes_at(100) == START + timedelta(seconds=100 * 20 + 10 * 40 + 10 * 40)
    assert curve.finishes_at(None) is None


def test_nothing_is_expected_of_a_curve_without_two_steps() -> None:
    assert Curve().steps_done is None
    assert Curve().add(at(1, loss=1.0)).finishes_at(100) is None


def test_an_end_that_no_date_can_hold_is_not_expected() -> None:
    curve = Curve().add(at(1, loss=1.0)).add(at(2, loss=1.0))
    assert curve.finishes_at(10**18) is None
