import json
import math

import numpy as np
import pytest

from novaloop.metrics.calibration import calibrate, log_probabilities
from novaloop.metrics.score import score_lines


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"logprobs": [math.log(0.5), math.log(0.5)]}, 0.25),
        ({"log_probs": [{"token": "a", "logprob": math.log(0.5)}]}, 0.5),
        ({"logprobs": {"content": [{"logprob": math.log(0.2)}, {"logprob": 0}]}}, 0.2),
        ({"logprobs": {"token_logprobs": [math.log(0.2)]}}, 0.2),
        ({}, None),
        ({"logprobs": None}, None),
        ({"logprobs": []}, None),
        ({"logprobs": [0.5]}, None),
        ({"logprobs": [True]}, None),
        ({"logprobs": [-math.inf]}, None),
        ({"logprobs": ["-1", -1.0]}, None),
        ({"logprobs": [[-1.0, -2.0], [-1.0, -3.0]]}, None),
    ],
)
def test_confidence_is_the_probability_of_the_whole_answer(
    fields: dict[str, object], expected: float | None
) -> None:
    found = log_probabilities(fields)
    assert (math.exp(sum(found)) if found else None) == (
        expected if expected is None else pytest.approx(expected)
    )


def test_the_error_is_the_gap_between_confidence_and_accuracy() -> None:
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.15, 1.0, math.nan])
    right = np.array([True, True, True, False, False, True, True])
    found = calibrate(confidences, right, np.arange(7, dtype=np.uint64))
    assert found is not None
    assert found.n == 6
    low, high = found.bins
    assert (low.n, low.confidence, low.accuracy) == (1, pytest.approx(0.15), 0)
    assert (high.low, high.high, high.n, high.accuracy) == (0.9, 1.0, 5, pytest.approx(0.8))
    assert (high.accuracy_low, high.accuracy_high) == pytest.approx((0.376, 0.964), abs=1e-3)


def test_rows_that_ask_the_same_are_one_answer_to_a_bin() -> None:
    confidences, right = np.full(40, 0.95), np.repeat([True, False], 20)
    asked = np.repeat(np.arange(4, dtype=np.uint64), 10)
    apart, together = (
        calibrate(confidences, right, keys) for keys in (np.arange(40, dtype=np.uint64), asked)
    )
    assert apart is not None
    assert together is not None
    (narrow,), (wide,) = apart.bins, together.bins
    assert wide.accuracy_low < narrow.accuracy_low < 0.5 < narrow.accuracy_high < wide.accuracy_high


def test_probabilities_that_are_right_have_no_error_in_the_long_run() -> None:
    draw = np.random.default_rng(5)
    confidences = draw.random(200_000)
    right = draw.random(200_000) < confidences
    found = calibrate(confidences, right, np.arange(200_000, dtype=np.uint64))
    assert found is not None
    for each in found.bins:
        assert each.accuracy == pytest.approx(each.confidence, abs=0.01)


def test_a_score_says_whether_it_could_be_measured() -> None:
    def lines(**fields: object) -> list[bytes]:
        row = {"prompt": "p", "inference": "HQ", "gold": "HQ"} | fields
        return [json.dumps(row).encode()]

    assert score_lines(lines())[0].calibration is None
    found = score_lines(lines(logprobs=[math.log(0.5)]))[0].calibration
    assert found is not None
    assert found.bins[0].confidence == pytest.approx(0.5)
