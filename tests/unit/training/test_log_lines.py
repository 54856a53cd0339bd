from __future__ import annotations

import math
import time
from datetime import UTC, datetime

import pytest

from novaloop.training import lines
from novaloop.training.lines import LogLine, points, read

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

NEMO = (
    "Training epoch 0, iteration 3/99 | lr: 5e-06 | consumed_samples: 256 | global_batch_size: 64"
    " | global_step: 3 | reduced_train_loss: 1.375 | train_step_timing in s: 5.31"
)
NEMO_BAR = (
    "Epoch 0:   1%|          | 795/77225 [9:07:58<878:01:48, 41.36s/it, loss=3.1, v_num=, "
    "reduced_train_loss=3.090, global_step=794.0, consumed_samples=1.63e+6]"
)
VERL = (
    "(TaskRunner pid=222265) step:34 - global_seqlen/mean:458966.5 - actor/entropy:0.2226 - "
    "actor/ppo_kl:-8.163164312320433e-06 - actor/pg_loss:0.0423 - actor/kl_loss:0.0013 - "
    "actor/lr:2e-06 - training/global_step:34 - critic/score/mean:-0.0182 - critic/score/max:1.0 - "
    "critic/rewards/mean:np.float64(-0.0183) - critic/rewards/min:-1.0 - "
    "response_length/mean:1267.02 - response_length/clip_ratio:0.004 - timing_s/step:96.551 - "
    "perf/throughput:1012.5"
)


def values(text: str) -> tuple[int, dict[str, float]]:
    point = read(LogLine(AT, text))
    assert point is not None
    assert point.at == AT
    return point.step, dict(point.values)


def test_nemo_writes_pairs_between_bars() -> None:
    assert values(NEMO) == (3, {"learning_rate": 5e-06, "loss": 1.375, "step_seconds": 5.31})


def test_nemo_writes_pairs_behind_a_progress_bar() -> None:
    assert values(NEMO_BAR) == (794, {"loss": 3.09})


def test_verl_writes_pairs_between_hyphens() -> None:
    assert values(VERL) == (
        34,
        {
            "entropy": 0.2226,
            "kl": -8.163164312320433e-06,
            "policy_loss": 0.0423,
            "kl_from_start": 0.0013,
            "learning_rate": 2e-06,
            "score_mean": -0.0182,
            "score_max": 1.0,
            "reward_mean": -0.0183,
            "reward_min": -1.0,
            "response_length_mean": 1267.02,
            "response_length_clipped": 0.004,
            "step_seconds": 96.551,
            "throughput": 1012.5,
        },
    )


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-inf"])
def test_what_is_no_number_is_read_as_such(word: str) -> None:
    _, found = values(f"global_step: 7, reduced_train_loss: {word}")
    assert not math.isfinite(found["loss"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Saving a checkpoint at step: 30",
        "reduced_train_loss: 2.5",
        "global_step: 2.5, reduced_train_loss: 2.5",
        "global_step: many, reduced_train_loss: few",
        "my lr: high, global_step: soon",
        "global_step: 3rd | reduced_train_loss: 2.5",
        "question: why is reduced_train_loss=x?",
    ],
)
def test_other_lines_are_skipped(text: str) -> None:
    assert list(points([LogLine(AT, text)])) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("step " + "x" * 200_000, id="one long word"),
        pytest.param("step " + "a/" * 100_000, id="one long path"),
        pytest.param("step a" + " " * 200_000, id="blanks"),
        pytest.param("step:1" * 30_000, id="numbers without end"),
        pytest.param("step: " + "1" * 200_000, id="a long number"),
    ],
)
def test_no_line_takes_long_to_read(text: str) -> None:
    """What a log holds is not ours: reading must take time in proportion to its length."""
    began = time.process_time()
    read(LogLine(AT, text))
    assert time.process_time() - began < 10  # some hundredths here


HOSTILE = {
    "digits": ("step=", "1", "x"),
    "digits behind a dot": ("step=1.", "1", "x"),
    "digits of an exponent": ("step=1e", "1", "x"),
    "pairs": ("", "step=1", "x"),
    "letters": ("step=1 ", "a", "!"),
    "blanks": ("step=1 a", " ", "!"),
    "a number of numpy": ("step=np.float64(", "1", "x"),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_the_time_grows_no_faster_than_the_text(shape: str) -> None:
    """The pattern itself, whatever length of a line is read."""
    begin, again, end = HOSTILE[shape]

    def seconds(size: int) -> float:
        text, began = begin + again * size + end, time.process_time()
        for _ in lines._PAIR.finditer(text):
            pass
        return time.process_time() - began

    sizes = 3_000, 24_000
    # The least of some tries: what else the machine does only adds.
    short, long = (min(seconds(size) for _ in range(5)) for size in sizes)
    assert long < max(24 * short, 0.02), (short, long)  # 64 times if quadratic


def test_a_line_that_is_longer_than_any_of_a_step_is_not_read() -> None:
    text = "global_step: 3 | reduced_train_loss: 2.5 | "
    assert read(LogLine(AT, text + "x" * (lines.MAX_LINE - len(text)))) is not None
    assert read(LogLine(AT, text + "x" * lines.MAX_LINE)) is None


@pytest.mark.parametrize("step", ["1e300", "-1", "99999999999999999999999999999999999999999"])
def test_a_step_that_no_training_has_is_none(step: str) -> None:
    assert (
        read(LogLine(datetime(2026, 1, 1, tzinfo=UTC), f"step:{step} - actor/ppo_kl:0.1")) is None
    )
