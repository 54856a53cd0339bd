"""AWS's walkthrough publishes a table; rows with its counts reproduce it and refute its claim.

The counts follow from the table and the metrics' definitions for three labels and 500 rows: right
LQ_* answers from ROUGE-2, right HQ answers from quasi exact match, mix-ups of the two LQ_* labels
from ROUGE-1.
"""

import json
import random
from collections.abc import Iterator

import pytest

from novaloop.metrics.results import Score, Verdict
from novaloop.metrics.rows import RowScores
from novaloop.metrics.score import score_lines

LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")
Counts = dict[tuple[str, str], int]

SFT: Counts = {
    ("LQ_EDIT", "LQ_EDIT"): 243,
    ("LQ_EDIT", "LQ_CLOSE"): 39,
    ("LQ_EDIT", "HQ"): 18,
    ("HQ", "HQ"): 143,
    ("HQ", "HQ."): 9,
    ("HQ", "LQ_EDIT"): 48,
}
RFT: Counts = {
    ("LQ_EDIT", "LQ_EDIT"): 249,
    ("LQ_EDIT", "LQ_CLOSE"): 34,
    ("LQ_EDIT", "HQ"): 17,
    ("HQ", "HQ"): 145,
    ("HQ", "HQ."): 9,
    ("HQ", "LQ_EDIT"): 46,
}
TABLE = {
    "after-sft": {
        "rouge1": (0.8290, 0.0157),
        "rouge2": (0.4860, 0.0224),
        "rougeL": (0.8290, 0.0157),
        "em": (0.7720, 0.0188),
        "qem": (0.7900, 0.0182),
        "f1": (0.7720, 0.0188),
        "f1_score_quasi": (0.7900, 0.0182),
    },
    "after-rft": {"em": (0.7880, 0.0183), "rouge1": (0.8400, 0.0153)},
}


def lines(counts: Counts, seed: int) -> Iterator[bytes]:
    """Rows with these counts; within a true label, which row got which answer is chance."""
    rng = random.Random(seed)  # noqa: S311
    for gold in ("LQ_EDIT", "HQ"):
        answers = [answer for (true, answer), n in counts.items() if true == gold for _ in range(n)]
        rng.shuffle(answers)
        for number, answer in enumerate(answers):
            row = {"prompt": f"{gold} question {number}", "inference": [answer], "gold": gold}
            yield json.dumps(row).encode()


@pytest.fixture(scope="module")
def sft() -> tuple[Score, RowScores]:
    return score_lines(lines(SFT, 1), labels=LABELS)


@pytest.fixture(scope="module")
def rft(sft: tuple[Score, RowScores]) -> Score:
    return score_lines(lines(RFT, 2), labels=LABELS, earlier={"after-sft": sft[1]})[0]


def test_the_published_table_comes_out(sft: tuple[Score, RowScores], rft: Score) -> None:
    for score, published in ((sft[0], TABLE["after-sft"]), (rft, TABLE["after-rft"])):
        for name, expected in published.items():
            estimate = score.metrics[name]
            assert (estimate.value, estimate.stderr) == pytest.approx(expected, abs=6e-5), name


def test_there_is_no_evidence_that_reinforcement_helped(rft: Score) -> None:
    comparison = rft.comparisons["after-sft"]
    exact_match = comparison.metrics["em"]
    assert comparison.improved - comparison.regressed == 8
    assert exact_match.difference == pytest.approx(0.016)
    assert exact_match.low < 0 < exact_match.high
    assert {difference.verdict for difference in comparison.metrics.values()} == {
        Verdict.NO_EVIDENCE
    }
    assert "no evidence either way: 77.2% to 78.8% on 500 rows" in comparison.summary


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [(8, 0, Verdict.BETTER), (12, 4, Verdict.BETTER), (13, 5, Verdict.NO_EVIDENCE)],
)
def test_the_published_counts_alone_can_not_decide(
    better: int, worse: int, verdict: Verdict
) -> None:
    """386 and 394 of 500 are right either way; it hangs on how many answers changed."""

    def rows_of(answers: str) -> list[bytes]:
        return [
            json.dumps({"prompt": str(n), "inference": answer, "gold": "1"}).encode()
            for n, answer in enumerate(answers)
        ]

    same = 386 - worse
    before = "1" * same + "0" * better + "1" * worse + "0" * (114 - better)
    after = "1" * same + "1" * better + "0" * worse + "0" * (114 - better)
    _, earlier = score_lines(rows_of(before))
    score, _ = score_lines(rows_of(after), earlier={"after-sft": earlier})
    found = score.comparisons["after-sft"].metrics["em"]
    assert (round(500 * found.earlier), round(500 * found.later)) == (386, 394)
    assert found.verdict is verdict


def test_unparseable_answers_stay_in_the_denominator() -> None:
    verbose = [
        f'{{"prompt": "{i}", "inference": "no idea", "gold": "HQ"}}'.encode() for i in range(9)
    ]
    right = b'{"prompt": "r", "inference": "The answer is HQ", "gold": "HQ"}'
    score, _ = score_lines([*verbose, right], labels=LABELS)
    assert score.classification
    assert score.classification.lenient.accuracy.value == 0.1
    assert score.classification.strict.accuracy.value == 0.0
