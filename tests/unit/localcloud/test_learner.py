from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from novaloop_localcloud.learner import (
    Adagrad,
    Model,
    Prompt,
    draw,
    group_advantages,
    hash_prompts,
    labels_in,
    policy_step,
    sampling_distribution,
    shuffled_batches,
    softmax,
    supervised_step,
    warmed_up,
)
from novaloop_localcloud.questions import SYSTEM_PROMPT, questions

if TYPE_CHECKING:
    from pathlib import Path

    from novaloop_localcloud.learner import Integers


def _prompts(count: int, seed: int) -> tuple[list[Prompt], list[str]]:
    asked = questions(count, seed)
    return [Prompt(SYSTEM_PROMPT, each.body) for each in asked], [each.label for each in asked]


def _accuracy(model: Model, prompts: list[Prompt], golds: list[str]) -> float:
    best = model.logits(hash_prompts(prompts)).argmax(axis=1)
    return float(np.mean([model.answers[i] == gold for i, gold in zip(best, golds, strict=True)]))


def _trained(steps: int = 80) -> tuple[Model, list[float]]:
    prompts, golds = _prompts(700, seed=1)
    model = Model()
    model.read_labels(prompts)
    targets = np.array([model.answers.index(gold) for gold in golds])
    hashed, optimiser, random = hash_prompts(prompts), Adagrad(model), np.random.default_rng(0)
    losses = []
    for step, rows in zip(range(steps), shuffled_batches(700, 64, random), strict=False):
        rate = warmed_up(5e-6, step, 10)
        losses.append(supervised_step(model, optimiser, hashed.take(rows), targets[rows], rate))
    return model, losses


@pytest.mark.parametrize(
    ("system", "labels"),
    [
        (SYSTEM_PROMPT, ("HQ", "LQ_EDIT", "LQ_CLOSE")),
        ("Answer with one of these: spam, ham or eggs.", ("spam", "ham", "eggs")),
        ("Say YES or NO.", ("YES", "NO")),
        ("Be helpful.", ()),
        ("", ()),
    ],
)
def test_labels_are_read_from_the_instructions(system: str, labels: tuple[str, ...]) -> None:
    assert labels_in(system) == labels


def test_the_base_model_is_bad_and_verbose() -> None:
    prompts, golds = _prompts(500, seed=3)
    model = Model()
    model.read_labels(prompts)
    assert 0.03 < _accuracy(model, prompts, golds) < 0.3
    best = model.logits(hash_prompts(prompts)).argmax(axis=1)
    assert np.mean([" " in model.answers[i] for i in best]) > 0.35
    assert len(model.answers) == 8


def test_supervised_steps_teach() -> None:
    model, losses = _trained()
    prompts, golds = _prompts(500, seed=3)
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2
    assert 0.6 < _accuracy(model, prompts, golds) < 0.93


def test_a_supervised_step_descends_the_cross_entropy() -> None:
    prompts, golds = _prompts(32, seed=4)
    model = Model()
    model.read_labels(prompts)
    batch, targets = hash_prompts(prompts), np.array([model.answers.index(g) for g in golds])
    before = supervised_step(model, Adagrad(model), batch, targets, 1e-7)
    after = supervised_step(model, Adagrad(model), batch, targets, 1e-7)
    assert after < before


def _reinforced(kl_coefficient: float) -> tuple[float, float]:
    """Mean probability of the rewarded answer and the final KL after a few policy steps."""
    prompts, _ = _prompts(32, seed=5)
    model = Model()
    model.read_labels(prompts)
    reference, optimiser, batch = model.copy(), Adagrad(model), hash_prompts(prompts)
    wanted, random, kl = model.answers.index("LQ_EDIT"), np.random.default_rng(0), 0.0
    for _ in range(30):
        rollouts = draw(softmax(model.logits(batch)), 8, random)
        rewards = np.where(rollouts == wanted, 1.0, -1.0).astype(np.float32)
        kl = policy_step(
            model,
            optimiser,
            reference,
            batch,
            rollouts=rollouts,
            rewards=rewards,
            rate=1e-5,
            kl_coefficient=kl_coefficient,
            entropy_coefficient=0.0,
        ).kl
    return float(softmax(model.logits(batch))[:, wanted].mean()), kl


def test_policy_steps_follow_the_reward() -> None:
    probability, kl = _reinforced(kl_coefficient=0.0)
    assert probability > 0.8
    assert kl > 0.5


def test_the_penalty_keeps_the_policy_near_its_reference() -> None:
    _, free = _reinforced(kl_coefficient=0.0)
    _, bound = _reinforced(kl_coefficient=2.0)
    assert bound < free / 2


def test_advantages_compare_within_a_prompt() -> None:
    rewards = np.array([[1.0, -1.0], [1.0, 1.0]], dtype=np.float32)
    assert np.allclose(group_advantages(rewards), [[1, -1], [0, 0]], atol=1e-4)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "kept"),
    [(0.0, -1, 1.0, 1), (1.0, 2, 1.0, 2), (1.0, -1, 0.5, 1), (1.0, -1, 1.0, 4), (1.0, 0, 1.0, 4)],
)
def test_sampling_keeps_the_likeliest(
    temperature: float, top_k: int, top_p: float, kept: int
) -> None:
    logits = np.array([[0.0, 3.0, 1.0, 2.0]], dtype=np.float32)
    distribution = sampling_distribution(logits, temperature, top_k, top_p)
    assert np.count_nonzero(distribution) == kept
    assert distribution.argmax() == 1
    assert distribution.sum() == pytest.approx(1)


def test_draws_follow_the_distribution() -> None:
    distribution = np.array([[0.2, 0.0, 0.8]], dtype=np.float32)
    drawn: Integers = draw(distribution, 10000, np.random.default_rng(0))
    assert np.bincount(drawn[0], minlength=3) / 10000 == pytest.approx([0.2, 0, 0.8], abs=0.02)


def test_batches_pass_over_every_row() -> None:
    batches = shuffled_batches(10, 4, np.random.default_rng(0))
    rows = np.concatenate([batch for _, batch in zip(range(5), batches, strict=False)])
    assert np.bincount(rows).tolist() == [2] * 10


def test_the_saved_model_answers_alike(tmp_path: Path) -> None:
    model, _ = _trained(steps=5)
    model.save(tmp_path)
    loaded = Model.load(tmp_path)
    batch = hash_prompts(_prompts(20, seed=6)[0])
    assert loaded.answers == model.answers
    assert np.array_equal(loaded.logits(batch), model.logits(batch))
    assert (tmp_path / "weights.npz").stat().st_size < 4_000_000


def test_an_empty_prompt_is_answered() -> None:
    assert Model().logits(hash_prompts([Prompt("", "")])).shape == (1, 2)
