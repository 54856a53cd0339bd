"""What the stand-in logs while it trains is what the application reads of a training's course."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from novaloop.training.health import Limits, Training, follow
from novaloop.training.lines import LogLine, points
from novaloop.training.notes import HealthKind
from novaloop_localcloud import methods
from novaloop_localcloud.container import Recipe
from novaloop_localcloud.learner import Model

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
STEPS = 12
SYSTEM = "Answer with one of: HQ, LQ_EDIT, LQ_CLOSE"
SFT = {
    "max_steps": STEPS,
    "global_batch_size": 4,
    "optim_config": {"lr": 1e-5},
    "lr_scheduler": {"warmup_steps": 2},
}
RFT = {
    "global_batch_size": 4,
    "trainer": {
        "max_steps": STEPS,
        "optim_config": {"lr": 1e-5},
        "kl_loss_coef": 0.02,
        "ent_coeff": 0.01,
    },
    "rollout": {
        "generator": {"temperature": 1, "top_k": 5, "max_new_tokens": 50},
        "advantage_strategy": {"number_generation": 4},
    },
}


class FakeContainer:
    """A job's surroundings without any cloud."""

    def __init__(
        self, config: dict[str, Any], reward: Callable[[str], float] = lambda _: 1.0
    ) -> None:
        self.recipe = Recipe({"run": {"name": "test"}, "training_config": config})
        self.random = np.random.default_rng(0)
        self.lines: list[str] = []
        self._reward = reward

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "system": [{"text": SYSTEM}],
                "messages": [
                    {"role": "user", "content": [{"text": f"question {row}"}]},
                    {"role": "assistant", "content": [{"text": ("HQ", "LQ_EDIT")[row % 2]}]},
                ],
            }
            for row in range(20)
        ]

    def validation_rows(self) -> list[dict[str, Any]]:
        return []

    def model(self) -> Model:
        model = Model()
        model.learn_answers(["HQ", "LQ_EDIT", "word " * 50])
        return model

    def reward(self, samples: Sequence[dict[str, Any]]) -> list[float]:
        return [self._reward(sample["messages"][-1]["content"]) for sample in samples]

    def log(self, line: str) -> None:
        self.lines.append(line)

    def save_checkpoint(self, model: Model, step: int) -> str:
        return f"s3://escrow/{step}"


def course(container: FakeContainer, max_new_tokens: int | None = None) -> Training:
    log = [LogLine(AT, line) for line in container.lines]
    return follow(Training(), points(log), Limits(STEPS, max_new_tokens))


def test_supervised_fine_tuning_logs_loss_and_learning_rate() -> None:
    container = FakeContainer(SFT)
    methods.fine_tune(container)
    curve = course(container).curve
    assert set(curve.series) == {"loss", "learning_rate"}
    assert curve.steps_done == STEPS
    assert len(curve.series["loss"].buckets) == STEPS


def test_reinforcement_logs_what_the_checks_look_at() -> None:
    container = FakeContainer(RFT)
    methods.reinforce(container)
    curve = course(container).curve
    assert curve.steps_done == STEPS
    assert set(curve.series) == {
        *("reward_mean", "reward_min", "reward_max", "score_mean"),
        *("policy_loss", "kl_from_start", "entropy"),
        *("response_length_mean", "response_length_max", "response_length_clipped"),
    }


def test_a_reward_function_that_turns_bad_is_seen_as_a_collapse() -> None:
    asked = 0

    def turning(_: str) -> float:
        nonlocal asked
        asked += 1
        return 1.0 if asked <= 6 * 16 else -1.0

    container = FakeContainer(RFT, turning)
    methods.reinforce(container)
    kinds = [note.kind for note in course(container).notes]
    assert HealthKind.REWARD_COLLAPSE in kinds


@pytest.mark.parametrize(("limit", "is_clipped"), [(1, True), (60, False)])
def test_a_limit_that_cuts_answers_off_is_seen_as_clipping(limit: int, *, is_clipped: bool) -> None:
    generator = {**RFT["rollout"]["generator"], "max_new_tokens": limit}
    config = {**RFT, "rollout": {**RFT["rollout"], "generator": generator}}
    container = FakeContainer(config)
    methods.reinforce(container)
    kinds = [note.kind for note in course(container, limit).notes]
    assert (HealthKind.LENGTH_CLIPPING in kinds) is is_clipped
