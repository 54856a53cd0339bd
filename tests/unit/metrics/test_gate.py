"""Several conditions, over several evaluations, of which some must be met and others should be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from novaloop.experiment.spec.experiment import Gate, GateCondition
from novaloop.metrics.comparison import compare
from novaloop.metrics.gate import GateDecision, Outcome, Tier, judge
from novaloop.metrics.lengths import lengths
from novaloop.metrics.paired import yes_no
from novaloop.metrics.pairs import VALUES
from novaloop.metrics.results import Estimate, Score, TaskScore
from novaloop.metrics.rows import NO_LABEL, RowScores
from novaloop.metrics.tasks import score_task
from tests.unit.metrics.test_task_scores import member, results

if TYPE_CHECKING:
    from collections.abc import Iterable

    from novaloop.metrics.gate import GateResult

LABELS = ("HQ", "LQ")


def rows_of(right: Iterable[bool], gold: Iterable[int] | None = None) -> RowScores:
    """Rows that are right or wrong in every metric; a wrong one has no label."""
    found = np.array(list(right), dtype=float)
    n = len(found)
    labels = np.zeros(n, dtype=int) if gold is None else np.array(list(gold))
    read = np.where(found == 1, labels, NO_LABEL)
    keys = np.arange(n, dtype=np.uint64)
    values = np.repeat(found[:, None], len(VALUES), axis=1)
    statistics = np.ones((n, 10), dtype=int)
    characters = np.full(n, 5)
    return RowScores(LABELS, keys, keys, values, statistics, labels, read, read, characters)


def score_of(before: RowScores, after: RowScores) -> Score:
    value = float(after.values.mean())
    return Score(
        n=len(after),
        evaluation_set=after.evaluation_set,
        metrics={"em": Estimate(value, 0.01, value - 0.02, value + 0.02)},
        classification=None,
        lengths=lengths(after),
        comparisons={"before": compare(before, after, by_class=True)},
        reported=None,
        notes=(),
    )


def judged(score: Score | TaskScore | None, **asked: Any) -> GateResult:
    return judge([("after", GateCondition(**asked), score)])


def flips(n: int, lost: int, won: int) -> tuple[RowScores, RowScores]:
    before = [row >= won for row in range(n)]
    after = [row < n - lost for row in range(n)]
    return rows_of(before), rows_of(after)


@pytest.mark.parametrize(
    ("lost", "won", "margin", "outcome"),
    [
        (0, 0, 0.02, Outcome.MET),
        (0, 0, 0.001, Outcome.UNDECIDED),  # 500 rows can't show that little
        (5, 5, 0.03, Outcome.MET),
        (15, 5, 0.03, Outcome.UNDECIDED),
        (40, 0, 0.03, Outcome.NOT_MET),
        (5, 40, 0.001, Outcome.MET),  # a gain is no loss, however small the margin
    ],
)
def test_no_loss_is_shown_by_the_interval_above_the_margin(
    lost: int, won: int, margin: float, outcome: Outcome
) -> None:
    score = score_of(*flips(500, lost, won))
    (entry,) = judged(score, not_worse_than="before", margin=margin).ledger
    change = score.comparisons["before"].metrics["em"]
    assert entry.outcome is outcome
    assert entry.condition == f"exact_match not worse than before by {margin:g}"
    assert entry.needed == f"a change above {-margin:g} at 95 % confidence, two-sided"
    assert change.low is not None
    assert (change.low >= -margin) is (outcome is Outcome.MET)
    assert f"{lost} regressed" in entry.observed


def test_a_model_that_is_worse_by_the_margin_seldom_passes_as_no_worse() -> None:
    """At the edge of the margin at most one in forty does, whatever share of answers flips."""
    random = np.random.default_rng(5)
    n, margin, runs = 200, 0.05, 4_000
    for flipping in (0.06, 0.15, 0.3):
        won = (flipping - margin) / 2
        kinds = random.choice(3, size=(runs, n), p=[won, won + margin, 1 - 2 * won - margin])
        counts = Counter(
            zip(*((kinds == each).sum(axis=1).tolist() for each in (0, 1)), strict=True)
        )
        passed = sum(
            times
            for (up, down), times in counts.items()
            if (yes_no(up, down, n, 0.95).low or 0) >= -margin
        )
        assert passed / runs < 0.025 + 3 * (0.025 * 0.975 / runs) ** 0.5, flipping


def test_each_class_is_held_to_the_margin_by_itself() -> None:
    """All rows together gained; one class of them lost."""
    gold = [0] * 300 + [1] * 100
    before = rows_of([row % 2 == 0 for row in range(300)] + [True] * 100, gold)
    after = rows_of([True] * 300 + [row >= 20 for row in range(100)], gold)
    score = score_of(before, after)
    assert judged(score, not_worse_than="before", margin=0.05).verdict is GateDecision.PROMOTE
    result = judged(score, not_worse_than="before", margin=0.05, each_class=True)
    assert result.verdict is GateDecision.HOLD
    assert [(entry.condition.split(" not")[0], entry.outcome) for entry in result.ledger] == [
        ("recall of HQ", Outcome.MET),
        ("recall of LQ", Outcome.NOT_MET),
    ]


def test_what_was_not_compared_by_class_is_undecided() -> None:
    mmlu = score_task([member("results_1.json", results(all={"accuracy": 0.6}))], "mmlu", None, {})
    for score in (score_of(*flips(50, 0, 0)), mmlu):
        asked = judged(score, not_worse_than="never", margin=0.05, each_class=True)
        assert asked.verdict is GateDecision.INCONCLUSIVE
        assert asked.ledger[0].observed == "not measured"


def test_general_skill_is_guarded_by_a_benchmark_while_the_task_improves() -> None:
    def mmlu(accuracy: float, earlier: dict[str, TaskScore]) -> TaskScore:
        content = results(all={"accuracy": accuracy, "accuracy_stderr": 0.004})
        return score_task([member("results_1.json", content)], "mmlu", None, earlier)

    asked = GateCondition(metric="accuracy", not_worse_than="mmlu0", margin=0.02)
    task = score_of(*flips(500, 5, 40))
    for accuracy, verdict in (
        (0.605, GateDecision.PROMOTE),
        (0.585, GateDecision.INCONCLUSIVE),
        (0.55, GateDecision.HOLD),
    ):
        after = mmlu(accuracy, {"mmlu0": mmlu(0.6, {})})
        better = GateCondition(better_than="before")
        result = judge([("after", better, task), ("mmlu1", asked, after)])
        assert result.verdict is verdict
        assert [entry.condition for entry in result.ledger] == [
            "after: exact_match better than before",
            "mmlu1: accuracy not worse than mmlu0 by 0.02",
        ]


@pytest.mark.parametrize("level", [0.5, 0.97, 1.0])
def test_what_only_should_be_met_is_told_and_holds_nothing(level: float) -> None:
    must = GateCondition(at_least=0.5)
    should = GateCondition(at_least=level, tier="should")
    score = score_of(*flips(100, 3, 0))
    result = judge([("after", must, score), ("after", should, score)])
    assert result.verdict is GateDecision.PROMOTE
    assert [entry.tier for entry in result.ledger] == [Tier.MUST, Tier.SHOULD]
    outcomes = {0.5: Outcome.MET, 0.97: Outcome.UNDECIDED, 1.0: Outcome.NOT_MET}
    assert result.ledger[1].outcome is outcomes[level]


def test_without_its_score_a_condition_is_not_met() -> None:
    assert judged(None, at_least=0.0).verdict is GateDecision.HOLD
    assert judged(None, at_least=0.0, tier="should").verdict is GateDecision.PROMOTE


def test_how_often_these_rows_were_tried_on_is_told_with_what_it_means() -> None:
    score = replace(score_of(*flips(500, 5, 40)), tries=4)
    result = judged(score, better_than="before")
    assert result.verdict is GateDecision.PROMOTE
    assert result.ledger[-1].observed == (
        "try 4: a model that is no better passes at least once in at most 10 %"
    )
    assert len(judged(replace(score, tries=1), better_than="before").ledger) == 1


@pytest.mark.parametrize(("tries", "verdict"), [(3, "PROMOTE"), (4, "HOLD")])
def test_one_try_more_than_was_paid_for_asks_for_new_rows(tries: int, verdict: str) -> None:
    gate = Gate(better_than="before", tries=3)
    assert gate.level == pytest.approx(1 - 0.05 / 3)
    score = replace(score_of(*flips(500, 5, 40)), tries=tries, confidence=gate.level)
    result = judge([("after", gate, score)], gate.tries)
    assert result.verdict == verdict
    told = result.ledger[-1]
    assert told.needed == "at most 3, then new evaluation rows"
    assert told.observed.endswith(f"at most {'2.5' if tries == 3 else '3.3'} %")


@pytest.mark.parametrize(("n", "flipping"), [(100, 0.1), (500, 0.05), (500, 0.3)])
def test_tries_that_are_paid_for_pass_together_no_more_often_than_one(
    n: int, flipping: float
) -> None:
    """Models that are no better, each tried on the same rows: at most one in forty ever passes."""
    random = np.random.default_rng(7)
    runs, level = 3_000, Gate(tries=5).level
    known: dict[tuple[int, int], bool] = {}
    passed = 0
    for _ in range(runs):
        kinds = random.choice(3, size=(5, n), p=[flipping / 2, flipping / 2, 1 - flipping])
        for up, down in zip((kinds == 0).sum(axis=1), (kinds == 1).sum(axis=1), strict=True):
            pair = int(up), int(down)
            if pair not in known:
                known[pair] = (yes_no(*pair, n, level).low or 0) > 0
            if known[pair]:
                passed += 1
                break
    assert passed / runs < 0.025 + 3 * (0.025 * 0.975 / runs) ** 0.5
