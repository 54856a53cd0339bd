from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import pytest

from novaloop.experiment.record import Progress
from novaloop.reports import Report, html, markdown, report
from novaloop.training.curve import Curve
from novaloop.training.lines import Point
from novaloop.training.notes import HealthKind, HealthNote
from tests.unit.reports import finished_experiment as example

NOTE = HealthNote(HealthKind.REWARD_COLLAPSE, 20, "step 20: the mean reward <b>fell</b>")


def curve(steps: int, **values: float) -> Curve:
    grown = Curve()
    for step in range(1, steps + 1):
        at = example.START + timedelta(seconds=step)
        grown = grown.add(Point(step, at, {name: v + step / 100 for name, v in values.items()}))
    return grown


CURVES = {
    "sft": curve(100, loss=2.0, learning_rate=1e-6),
    "rft": curve(
        40,
        reward_mean=0.1,
        reward_min=-1.0,
        reward_max=1.0,
        score_mean=0.1,
        kl=0.01,
        response_length_mean=3.0,
        response_length_max=9.0,
    ),
}


def content() -> Report:
    stages = [
        replace(
            stage,
            attempt=replace(stage.attempt, health=(NOTE,), progress=Progress("Completed", 40, 40)),
        )
        if stage.name == "rft"
        else stage
        for stage in example.record().stages
    ]
    record = replace(example.record(), stages=tuple(stages))
    return report(record, example.scores(), curves=CURVES)


def test_each_training_has_a_panel_for_each_measurement_that_was_logged() -> None:
    sft, rft = content()["trainings"]
    assert (sft["stage"], sft["steps"], rft["stage"], rft["steps"]) == ("sft", 100, "rft", 40)
    assert [panel["title"] for panel in sft["panels"]] == ["Loss", "Learning rate"]
    assert [panel["title"] for panel in rft["panels"]] == [
        "Reward, mean and range",
        "KL divergence of each update",
        "Response length in tokens, mean and longest",
    ]
    assert sft["panels"][0]["lines"]["loss"][0] == (1, 2.01)


def test_the_steps_are_counted_by_their_mean_reward() -> None:
    sft, rft = content()["trainings"]
    assert sft["reward_bins"] == []
    lows, counts = zip(*rft["reward_bins"], strict=True)
    assert sum(counts) == 40
    assert lows == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5])
    assert counts[1:-1] == (5,) * 7
    assert "Logged steps by mean reward" in html(content())
    assert sft["panels"][0]["lines"]["loss"][-1] == (100, 3.0)


def test_a_score_that_is_not_the_reward_has_a_panel_of_its_own() -> None:
    both = curve(5, reward_mean=0.1, score_mean=0.4)
    (rft,) = report(example.record(), {}, curves={"rft": both})["trainings"]
    assert [panel["title"] for panel in rft["panels"]] == [
        "Reward, mean and range",
        "Score, mean and range",
    ]


def test_the_page_draws_every_panel_and_a_band_between_extremes() -> None:
    page = html(content())
    section = page[page.index('id="trainings"') : page.index('id="stages"')]
    charts = re.findall(r"<svg.*?</svg>", section, re.DOTALL)
    assert len(charts) == 6
    assert [chart.count('class="line reactive') for chart in charts] == [1, 1, 2, 1, 2, 0]
    banded = ['class="pygal-chart band"' in chart for chart in charts]
    assert banded == [False, False, True, False, False, False]
    assert "40 of 40 steps" in section


def audited(rewards: Curve, **changes: float) -> str | None:
    scores = dict(example.scores())
    if changes:
        item = scores["after-rft", 1]
        content = deepcopy(dict(item.score))
        content["comparisons"]["after-sft"]["metrics"]["em"] |= changes
        scores["after-rft", 1] = replace(item, score=content)
    (rft,) = report(example.record(), scores, curves={"rft": rewards})["trainings"]
    return rft["audit"]


def test_after_a_reinforcement_the_reward_is_set_against_the_truth() -> None:
    told = audited(curve(40, reward_mean=0.1))
    assert told is not None
    assert "the mean reward changed by +0.3 (95 % interval +0.29 to +0.31)" in told
    assert (
        "and Exact match from after-sft to after-rft by -1.3 points, no evidence either way" in told
    )
    assert told.endswith("does not show in the answers to the evaluation.")
    better = audited(curve(40, reward_mean=0.1), verdict="better")
    assert better is not None
    assert "does not show" not in better
    assert f"<p>{told}</p>" in html(report(example.record(), example.scores(), curves=CURVES))


def test_there_is_no_audit_without_a_reward_or_with_too_few_steps() -> None:
    assert audited(curve(40, loss=0.1)) is None
    assert audited(curve(19, reward_mean=0.1)) is None
    (rft,) = report(example.record(), {}, curves={"rft": CURVES["rft"]})["trainings"]
    assert rft["audit"] is None


def test_what_two_trainings_measured_is_drawn_to_one_scale() -> None:
    loss = {"sft": curve(30, loss=2.0), "rft": curve(30, loss=7.0)}
    page = html(report(example.record(), example.scores(), curves=loss))
    section = page[page.index('id="trainings"') : page.index('id="stages"')]
    charts = re.findall(r"<svg.*?</svg>", section, re.DOTALL)
    scales = [re.search(r'<g class="axis y.*?</g></g>', chart, re.DOTALL) for chart in charts]
    assert len(charts) == 2
    assert len({tuple(re.findall(r">([\d.]+)</text>", each[0])) for each in scales if each}) == 1
    assert all(">step</text>" in chart for chart in charts)


def test_notes_are_in_the_page_and_in_the_summary_with_their_text_escaped() -> None:
    page = html(content())
    assert "reward collapse, step 20: the mean reward &lt;b&gt;fell&lt;/b&gt;" in page
    assert "rft: reward collapse, step 20" in markdown(content())


def test_without_curves_there_is_no_section() -> None:
    assert 'id="trainings"' not in html(report(example.record(), example.scores()))
    assert 'id="trainings"' not in html(report(example.record(), {}, curves={"sft": Curve()}))
