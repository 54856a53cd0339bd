from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from novaloop.training import health
from novaloop.training.curve import Curve
from novaloop.training.health import Limits, Training, follow, stalled
from novaloop.training.lines import SERIES, Point
from novaloop.training.notes import HealthKind, HealthNote

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIMITS = Limits(max_steps=100, max_new_tokens=50)
SIGNS = {"reward_min": -1.0, "reward_max": 1.0}


def at(step: int) -> datetime:
    return START + timedelta(seconds=30 * step)


def notes(name: str, values: Sequence[float], **constant: float) -> tuple[HealthNote, ...]:
    log = [
        Point(step, at(step), {name: value, **constant})
        for step, value in enumerate(values, start=1)
    ]
    return follow(Training(), log, LIMITS).notes


def kinds(name: str, values: Sequence[float], **constant: float) -> list[str]:
    return [note.kind for note in notes(name, values, **constant)]


def noisy(mean: float, noise: float, steps: int, seed: int = 0) -> list[float]:
    draw = random.Random(seed)  # noqa: S311
    return [draw.gauss(mean, noise) for _ in range(steps)]


def test_a_reward_that_falls_far_below_its_best_and_stays_there_has_collapsed() -> None:
    (note,) = notes("reward_mean", [0.2, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6] + [0.1] * 20, **SIGNS)
    assert note.kind is HealthKind.REWARD_COLLAPSE
    assert note.step == 8 + health.LASTING_STEPS
    assert note.message == "step 13: the mean reward fell from 0.6 to 0.1"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.6] * 10 + [0.1] * 4 + [0.6] * 10, id="a dip that is over soon"),
        pytest.param([0.6] * 10 + [0.45] * 20, id="a loss within the range's tenth"),
        pytest.param([-0.9 + 0.02 * step for step in range(80)], id="a rise"),
        pytest.param([0.1] * 4, id="too short to tell"),
        pytest.param([1.0] + [0.3] * 20, id="one lucky step at first"),
    ],
)
def test_these_rewards_have_not_collapsed(values: list[float]) -> None:
    assert not kinds("reward_mean", values, **SIGNS)


@pytest.mark.parametrize("seed", range(50))
def test_noise_alone_is_no_collapse(seed: int) -> None:
    """A batch of 64 rewards of plus or minus one has a standard error of at most 0.125."""
    assert not kinds("reward_mean", noisy(0.3, 0.125, 300, seed), **SIGNS)


def test_without_a_logged_range_rewards_are_taken_to_be_of_unit_size_or_larger() -> None:
    assert not kinds("reward_mean", [0.6] * 10 + [0.52] * 10)
    assert kinds("reward_mean", [0.6] * 10 + [0.48] * 10) == ["reward_collapse"]
    assert not kinds("reward_mean", [60.0] * 10 + [55.0] * 10)
    assert kinds("reward_mean", [60.0] * 10 + [53.0] * 10) == ["reward_collapse"]


def test_one_odd_reward_does_not_set_the_range() -> None:
    rewards = [0.6] * 10 + [0.1] * 10
    log = [
        Point(step, at(step), {**SIGNS, "reward_mean": reward, "reward_min": -20 * (step == 3) - 1})
        for step, reward in enumerate(rewards)
    ]
    assert [note.kind for note in follow(Training(), log, LIMITS).notes] == ["reward_collapse"]


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({"reward_min": -1.0, "reward_max": -1.0}, id="rewards"),
        pytest.param({**SIGNS, "advantage_min": 0.0, "advantage_max": 0.0}, id="advantages"),
    ],
)
def test_steps_in_which_nothing_differs_teach_nothing(same: dict[str, float]) -> None:
    values = noisy(0.0, 0.05, 30)
    assert not kinds("reward_mean", values[: health.SAME_STEPS - 1], **same)
    (note,) = notes("reward_mean", values, **same)
    assert (note.kind, note.step) == (HealthKind.NO_LEARNING, health.SAME_STEPS)
    assert "nothing to learn from" in note.message


def test_where_only_the_mean_reward_is_logged_it_says_whether_all_are_the_same() -> None:
    assert kinds("reward_mean", [-1.0] * 20) == ["no_learning"]
    assert not kinds("reward_mean", [-1.0] * 20, **SIGNS)


@pytest.mark.parametrize("name", sorted({*SERIES.values()} - {"throughput", "step_seconds"}))
def test_whatever_is_no_number_is_told_at_once(name: str) -> None:
    (note,) = notes(name, [0.01, float("nan"), 0.01])
    assert note.step == 2
    assert note.message == f"step 2: {name.replace('_', ' ')} is no finite number"


def test_how_fast_the_machine_is_says_nothing_of_the_training() -> None:
    assert not kinds("throughput", [float("nan")] * 9, step_seconds=float("inf"))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_policy_whose_kl_stays_high_is_unstable(sign: int) -> None:
    (note,) = notes("kl", [0.01] * 5 + [sign * 0.3] * 5)
    assert (note.kind, note.step) == (HealthKind.POLICY_INSTABILITY, 8)
    assert note.message == "step 8: KL divergence 0.3: above 0.2 in 3 of 8 updates"


def test_a_policy_whose_kl_jumps_is_unstable_below_the_limit_too() -> None:
    (note,) = notes("kl", [0.002] * 20 + [0.08] * 3)
    assert (note.kind, note.step) == (HealthKind.POLICY_INSTABILITY, 23)
    assert "jumped from about 0.002 to 0.08" in note.message


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.01] * 5 + [0.9, 0.9] + [0.01] * 5, id="two odd updates"),
        pytest.param(([0.01] * 5 + [0.9]) * 5, id="an odd update now and then"),
        pytest.param([0.0001] * 20 + [0.01] * 5, id="a jump that is still small"),
        pytest.param([0.002] * 5 + [0.08] * 3, id="too little before to compare with"),
        pytest.param([0.1] * 50, id="steadily below the limit"),
    ],
)
def test_these_policies_are_stable(values: list[float]) -> None:
    assert not kinds("kl", values)


@pytest.mark.parametrize("update", [5.0, -5.0])
def test_one_update_may_be_too_large(update: float) -> None:
    (note,) = notes("kl", [0.01] * 5 + [update] + [0.01] * 5)
    assert (note.kind, note.step) == (HealthKind.POLICY_INSTABILITY, 6)
    assert note.message == "step 6: KL divergence of one update is 5"


def test_a_policy_that_went_far_from_its_start_is_unstable() -> None:
    assert not kinds("kl_from_start", [0.02 * step for step in range(20)] + [0.6, 0.6, 0.4])
    (note,) = notes("kl_from_start", [0.05 * step for step in range(20)])
    assert (note.kind, note.step) == (HealthKind.POLICY_INSTABILITY, 14)
    assert "from the start 0.65 stays above 0.5" in note.message


def test_answers_that_hardly_vary_any_more_are_told() -> None:
    assert not kinds("entropy", [0.5 - 0.02 * step for step in range(24)])
    assert not kinds("entropy", [0.03] * 10 + [0.01] * 10)
    (note,) = notes("entropy", [0.5] * 10 + [0.001] * 10)
    assert (note.kind, note.step) == (HealthKind.ENTROPY_COLLAPSE, 13)


def test_an_entropy_that_rises_far_is_instability() -> None:
    assert not kinds("entropy", [0.5] * 10 + [1.5] * 10)
    assert not kinds("entropy", [0.01] * 10 + [0.1] * 10)
    (note,) = notes("entropy", [0.5] * 10 + [4.0] * 10)
    assert (note.kind, note.step) == (HealthKind.POLICY_INSTABILITY, 13)


def test_responses_that_are_cut_off_often_are_clipped() -> None:
    (note,) = notes("response_length_clipped", [0.0, 0.09, 0.15, 0.15, 0.12, 0.3])
    assert (note.kind, note.step) == (HealthKind.LENGTH_CLIPPING, 5)
    assert note.message == "step 5: 12% of the responses were cut off at the length limit"


def test_responses_whose_mean_length_nears_the_limit_are_clipped() -> None:
    (note,) = notes("response_length_mean", [20.0, 44.0, 46.0, 46.0, 46.0])
    assert (note.kind, note.step) == (HealthKind.LENGTH_CLIPPING, 5)
    assert "at a limit of 50" in note.message


def test_the_logged_share_of_clipped_responses_decides_where_there_is_one() -> None:
    assert not kinds("response_length_mean", [49.0] * 9, response_length_clipped=0.01)


def test_responses_that_grow_are_told_long_before_they_are_cut_off() -> None:
    assert not kinds("response_length_mean", [10.0] * 10 + [25.0] * 10)
    assert not kinds("response_length_mean", [1.0] * 10 + [5.0] * 10)
    (note,) = notes("response_length_mean", [4.0] * 10 + [42.0] * 10)
    assert (note.kind, note.step) == (HealthKind.LENGTH_GROWTH, 15)
    assert "grew from 4 to 42 tokens" in note.message


def test_lengths_below_the_limit_and_lengths_without_a_limit_are_fine() -> None:
    assert not kinds("response_length_mean", [44.0] * 9)
    log = [Point(step, at(step), {"response_length_mean": 49.0}) for step in range(9)]
    assert not follow(Training(), log, Limits()).notes


def test_a_loss_that_rises_and_stays_up_diverges() -> None:
    (note,) = notes("loss", [3.0, 2.0, 1.5, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0] + [1.6] * 9)
    assert (note.kind, note.step) == (HealthKind.LOSS_DIVERGENCE, 14)
    assert note.message == "step 14: the loss rose from 1 to 1.6"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1.0] * 9 + [1.6] * 4 + [1.0] * 9, id="a bump"),
        pytest.param([0.01] * 9 + [0.1] * 9, id="a rise that is still small"),
        pytest.param([1.0] * 9 + [1.2] * 9, id="a rise of less than a quarter"),
        pytest.param([5.0 / (1 + step) for step in range(200)], id="a fall"),
    ],
)
def test_these_losses_do_not_diverge(values: list[float]) -> None:
    assert not kinds("loss", values)


@pytest.mark.parametrize(
    ("values", "learns"),
    [
        pytest.param([2.1] * 80, False, id="flat"),
        pytest.param([2.1 + 0.001 * step for step in range(80)], False, id="a little up"),
        pytest.param([2.1] * 74, True, id="too early to tell"),
        pytest.param([2.1 - 0.001 * step for step in range(80)], True, id="slow, but sure"),
        pytest.param([9.0] * 2 + [2.1] * 78, True, id="all in the first steps"),
    ],
)
def test_a_loss_that_does_not_fall_is_told(values: list[float], *, learns: bool) -> None:
    assert kinds("loss", values) == ([] if learns else ["no_learning"])


def test_each_kind_is_noted_once() -> None:
    assert kinds("loss", [1.0] * 9 + [2.0] * 9 + [1.0] * 9 + [3.0] * 9) == ["loss_divergence"]


def curve(steps: int, seconds: float) -> Curve:
    grown = Curve()
    for step in range(1, steps + 1):
        grown = grown.add(Point(step, START + timedelta(seconds=seconds * step), {"loss": 1.0}))
    return grown


@pytest.mark.parametrize(
    ("steps", "seconds", "minutes", "is_stalled"),
    [
        pytest.param(0, 0, 119, False, id="still starting"),
        pytest.param(0, 0, 121, True, id="never started"),
        pytest.param(10, 6, 30, False, id="a pause to save a checkpoint"),
        pytest.param(10, 6, 32, True, id="fast steps, then none"),
        pytest.param(10, 600, 100 + 99, False, id="slow steps take their time"),
        pytest.param(10, 600, 100 + 101, True, id="slow steps, then none for ten"),
    ],
)
def test_a_training_without_a_new_step_for_long_is_stalled(
    steps: int, seconds: float, minutes: int, *, is_stalled: bool
) -> None:
    note = stalled(curve(steps, seconds), START, START + timedelta(minutes=minutes))
    assert (note is not None) is is_stalled
    if note:
        assert (note.kind, note.step) == (HealthKind.STALLED_TRAINING, steps)


@pytest.mark.parametrize("limits", [Limits(max_steps=60), Limits()])
@pytest.mark.parametrize("said_after", [0, 1, 30])
@pytest.mark.parametrize("step", [900_000_000, 100_000])
def test_a_step_beyond_all_that_can_be_hides_no_step_after_it(
    limits: Limits, said_after: int, step: int
) -> None:
    rewards = [0.9 + 0.001 * (n % 2) for n in range(20)] + [0.001 * (n % 2) for n in range(40)]
    log = [Point(n, at(n), {"reward_mean": reward}) for n, reward in enumerate(rewards, start=1)]
    said = Point(step, at(said_after), {"reward_mean": 0.9})
    told = follow(Training(), [*log[:said_after], said, *log[said_after:]], limits)
    assert told == follow(Training(), log, limits)
    assert [note.kind for note in told.notes] == [HealthKind.REWARD_COLLAPSE]
    assert told.curve.steps_done == 60


@pytest.mark.parametrize(
    ("steps", "limits"),
    [
        pytest.param([1, 90, 130], Limits(max_steps=100), id="more than were told"),
        pytest.param(
            [500, 1_000, 9_000, 25_000], Limits(), id="seldom logged, of nobody knows how"
        ),
    ],
)
def test_a_step_that_can_be_is_believed(steps: list[int], limits: Limits) -> None:
    log = [Point(step, at(step), {"loss": 1.0}) for step in steps]
    assert follow(Training(), log, limits).curve.steps_done == steps[-1]
