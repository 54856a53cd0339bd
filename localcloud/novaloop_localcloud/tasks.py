"""Evaluation tasks besides `gen_qa`: each answers its questions and returns the job's metrics.

A benchmark's questions are sums with four choices, whatever the benchmark: the stand-in model can't
do better than chance at them, and its results say nothing about any real benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from novaloop_localcloud.answers import chat_prompt, predictions
from novaloop_localcloud.learner import Model, Prompt, hash_prompts

if TYPE_CHECKING:
    from novaloop_localcloud.container import Recipe

QUESTIONS = 200
CHOICES = ("A", "B", "C", "D")
Metrics = dict[str, float]


class Examination(Protocol):
    """What a task reads and calls."""

    recipe: Recipe
    random: np.random.Generator

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the train channel."""

    def graded(self, samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the reward function says of each sample."""


def benchmark(examination: Examination, model: Model) -> Metrics:
    """Choose the likeliest of the choices of each question; `evaluation.metric` is its rate."""
    name = "/".join(
        str(examination.recipe.get(f"evaluation.{part}") or "") for part in ("task", "subtask")
    )
    questions = _questions(Random(name))  # noqa: S311
    model.learn_answers(CHOICES)
    columns = [model.answers.index(choice) for choice in CHOICES]
    logits = model.logits(hash_prompts([prompt for prompt, _ in questions]))[:, columns]
    right = np.array([right for _, right in questions])
    return _mean(str(examination.recipe.get("evaluation.metric")), logits.argmax(axis=1) == right)


def _questions(random: Random) -> list[tuple[Prompt, int]]:
    questions = []
    for _ in range(QUESTIONS):
        left, other, right = random.randint(2, 99), random.randint(2, 99), random.randrange(4)
        offered = [left + other + distance - right for distance in range(4)]
        choices = "\n".join(f"{c}) {n}" for c, n in zip(CHOICES, offered, strict=True))
        questions.append((Prompt("", f"What is {left} + {other}?\n{choices}"), right))
    return questions


def reward_evaluation(examination: Examination, model: Model) -> Metrics:
    """Answer every row once and let the reward function score the answers."""
    rows = examination.rows()
    prompts = [chat_prompt(row["messages"]) for row in rows]
    model.read_labels(prompts)
    answers = predictions(examination.recipe, model, prompts, examination.random)
    samples = [
        {
            **row,
            "id": str(row.get("id", number)),
            "messages": [*row["messages"], {"role": "assistant", "content": answer}],
        }
        for number, (row, answer) in enumerate(zip(rows, answers, strict=True))
    ]
    graded = examination.graded(samples)
    metrics = _mean("lambda_reward_score", [float(e["aggregate_reward_score"]) for e in graded])
    values: dict[str, list[float]] = {}
    for entry in graded:
        for metric in entry.get("metrics_list", []):
            values.setdefault(f"lambda_{metric['name']}", []).append(float(metric["value"]))
    for name, column in values.items():
        metrics |= _mean(name, column)
    return metrics


def judge(examination: Examination, model: Model) -> Metrics:
    """Prefer the answer that the model itself would rather give; unknown answers tie."""
    rows = examination.rows()
    logits = model.logits(hash_prompts([Prompt("", row["prompt"]) for row in rows]))
    column = {answer: index for index, answer in enumerate(model.answers)}

    def liking(number: int, response: str) -> float:
        index = column.get(response)
        return -math.inf if index is None else float(logits[number, index])

    pairs = [
        (liking(number, row["response_A"]), liking(number, row["response_B"]))
        for number, row in enumerate(rows)
    ]
    a_scores, b_scores = sum(a > b for a, b in pairs), sum(b > a for a, b in pairs)
    decided = [float(b > a) for a, b in pairs if a != b] or [0.5]
    rate = _mean("winrate", decided)
    reach = 1.96 * rate.get("winrate_stderr", 0.0)
    return {
        "a_scores": a_scores,
        "b_scores": b_scores,
        "ties": len(rows) - a_scores - b_scores,
        "inference_error": 0,
        **rate,
        "lower_rate": max(0.0, rate["winrate"] - reach),
        "upper_rate": min(1.0, rate["winrate"] + reach),
    }


def _mean(name: str, values: Any) -> Metrics:
    column = np.asarray(values, dtype=np.float64)
    metrics = {name: float(column.mean())}
    if len(column) > 1:
        metrics[f"{name}_stderr"] = float(column.std(ddof=1) / math.sqrt(len(column)))
    return metrics


TASKS: Mapping[str, Callable[[Examination, Model], Metrics]] = {
    "rft_eval": reward_evaluation,
    "llm_judge": judge,
    "rubric_llm_judge": judge,
}
"""Every other task but gen_qa is a benchmark."""
