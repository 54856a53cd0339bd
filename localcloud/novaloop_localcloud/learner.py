"""A small text classifier that stands in for the language model.

The model is a softmax over whole answers with hashed word unigrams and bigrams as features: too
small to write text, large enough to really learn which answer a prompt wants. Weights start
random; supervised steps minimise cross entropy; policy-gradient steps follow group-relative
advantages with a KL penalty to a reference model, as in GRPO (Shao et al., 2024,
arXiv:2402.03300, equations 3 and 4).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

FEATURES = 1 << 16
MAX_ANSWERS = 256
MODEL_ID = "novaloop-stand-in"

_TOKEN = re.compile(r"\w+|[^\w\s]")
_BULLET = re.compile(r"^\s*[-*]\s*\**([A-Za-z][\w-]*)\**\s*:", re.MULTILINE)
_WORD = r"[A-Za-z][\w-]*"
_LISTED = re.compile(rf":\s*((?:{_WORD},\s*)+(?:or\s+|and\s+)?{_WORD}(?:\s+(?:or|and)\s+{_WORD})?)")
_CAPITALS = re.compile(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*\b")

# Supervised recipes tune a large model with rates near 1e-5; the same relative changes have to
# move a linear model, whose useful rates are near .3.
_SUPERVISED_RATE_SCALE = 6e4
_POLICY_RATE_SCALE = 1e4

_BASE_SPREAD = 0.5
_BASE_VERBOSE_BIAS = 0.0
_BASE_FIRST_LABEL_BIAS = 0.3
_UNSURE = (
    "I would need more context to judge this. Could you share what you have tried so far?",
    "There are several ways to look at this question, and the right one depends on the details.",
)


@dataclass(frozen=True)
class Prompt:
    """What the model reads: the instructions and the text to judge."""

    system: str
    text: str


@dataclass(frozen=True)
class Batch:
    """Hashed prompts in compressed sparse rows; row i owns indices[starts[i]:starts[i + 1]]."""

    indices: Integers
    starts: Integers

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, rows: Integers) -> Batch:
        """The given rows, in the given order."""
        parts = [self.indices[self.starts[row] : self.starts[row + 1]] for row in rows]
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        return Batch(np.concatenate(parts), np.concatenate(([0], np.cumsum(lengths))))


def hash_prompts(prompts: Sequence[Prompt]) -> Batch:
    """Distinct unigrams and bigrams of each prompt's text as sorted feature numbers."""
    rows = [_hashed(prompt.text) for prompt in prompts]
    starts = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
    indices = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
    return Batch(indices, starts.astype(np.int64))


def _hashed(text: str) -> Integers:
    tokens = _TOKEN.findall(text)
    grams = {*tokens, *(f"{left} {right}" for left, right in pairwise(tokens))}
    # Feature 0 is in every row: it is the bias, and it keeps empty prompts legal.
    numbers = {0} | {1 + crc32(gram.encode()) % (FEATURES - 1) for gram in grams}
    return np.fromiter(sorted(numbers), dtype=np.int64, count=len(numbers))


def labels_in(system: str) -> tuple[str, ...]:
    """The labels that instructions name: bullets, else a comma list, else words in capitals."""
    bullets = _BULLET.findall(system)
    if bullets:
        return tuple(dict.fromkeys(bullets))
    listed = _LISTED.search(system)
    if listed:
        words = re.split(r",\s*(?:or\s+|and\s+)?|\s+(?:or|and)\s+", listed.group(1))
        return tuple(dict.fromkeys(word for word in words if word))
    return tuple(dict.fromkeys(_CAPITALS.findall(system)))


@dataclass
class Model:
    """Weights of shape (FEATURES, answers), one column for each answer the model can give."""

    answers: list[str] = field(default_factory=lambda: list(_UNSURE))
    weights: Floats = field(default_factory=lambda: _initial_weights(_UNSURE))

    def learn_answers(self, answers: Sequence[str]) -> None:
        """Add unseen answers with random weights; past MAX_ANSWERS they are left out."""
        room = MAX_ANSWERS - len(self.answers)
        unseen = [answer for answer in dict.fromkeys(answers) if answer not in self.answers][:room]
        if unseen:
            self.answers += unseen
            self.weights = np.hstack([self.weights, _initial_weights(unseen)])

    def read_labels(self, prompts: Sequence[Prompt]) -> None:
        """Take up the labels that the prompts' instructions name, bare and explained."""
        for system in dict.fromkeys(prompt.system for prompt in prompts):
            labels = labels_in(system)
            fresh = not any(label in self.answers for label in labels)
            self.learn_answers([*labels, *map(_explained, labels)])
            if fresh and labels:
                for answer in (labels[0], _explained(labels[0])):
                    self.weights[0, self.answers.index(answer)] += _BASE_FIRST_LABEL_BIAS

    def logits(self, batch: Batch) -> Floats:
        """Scores of shape (rows, answers), before the softmax."""
        gathered = self.weights[batch.indices]
        gathered[batch.starts[:-1]] /= _scale(batch)  # the bias is not diluted by long prompts
        scores: Floats = np.add.reduceat(gathered, batch.starts[:-1]) * _scale(batch)
        return scores

    def copy(self) -> Model:
        """An independent copy, for example to serve as the reference of a KL penalty."""
        return Model(list(self.answers), self.weights.copy())

    def save(self, directory: Path) -> None:
        """Write `model.json` and `weights.npz`."""
        directory.mkdir(parents=True, exist_ok=True)
        document = {"model": MODEL_ID, "features": FEATURES, "answers": self.answers}
        (directory / "model.json").write_text(json.dumps(document), encoding="utf-8")
        rows = np.flatnonzero(np.any(self.weights != _initial_weights(self.answers), axis=1))
        np.savez(directory / "weights.npz", rows=rows, weights=self.weights[rows])

    @classmethod
    def load(cls, directory: Path) -> Model:
        """Read what `save` wrote."""
        answers = json.loads((directory / "model.json").read_text(encoding="utf-8"))["answers"]
        weights = _initial_weights(answers)
        with np.load(directory / "weights.npz", allow_pickle=False) as saved:
            weights[saved["rows"]] = saved["weights"]
        return cls(list(answers), weights)


def _explained(label: str) -> str:
    return (
        f"Looking at the question, it gives some detail about the problem and what was tried. "
        f"Weighing clarity, effort and focus, I would put it in the category {label}."
    )


def _initial_weights(answers: Sequence[str]) -> Floats:
    columns = [_initial_column(answer) for answer in answers]
    return np.stack(columns, axis=1).astype(np.float32)


def _initial_column(answer: str) -> Floats:
    random = np.random.default_rng(crc32(answer.encode()))
    column: Floats = random.normal(scale=_BASE_SPREAD, size=FEATURES).astype(np.float32)
    column[0] = _BASE_VERBOSE_BIAS if " " in answer else 0.0
    return column


def _scale(batch: Batch) -> Floats:
    roots: Floats = np.sqrt(np.diff(batch.starts).astype(np.float32))
    return np.reciprocal(roots)[:, None]


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Floats = exponents / exponents.sum(axis=-1, keepdims=True)
    return probabilities


def sampling_distribution(logits: Floats, temperature: float, top_k: int, top_p: float) -> Floats:
    """Probabilities that a sampler draws from; temperature 0 puts all mass on the best answer."""
    if temperature <= 0:
        top_k, temperature = 1, 1.0
    order = np.argsort(-logits, axis=-1, kind="stable")
    ranked = softmax(np.take_along_axis(logits, order, axis=-1) / np.float32(temperature))
    if top_k > 0:
        ranked[:, top_k:] = 0
    before = np.cumsum(ranked, axis=-1) - ranked
    ranked[before >= top_p * ranked.sum(axis=-1, keepdims=True)] = 0
    kept = np.zeros_like(ranked)
    np.put_along_axis(kept, order, ranked, axis=-1)
    distribution: Floats = kept / kept.sum(axis=-1, keepdims=True)
    return distribution


def draw(distribution: Floats, count: int, random: np.random.Generator) -> Integers:
    """Draw `count` answers for each row: an array of shape (rows, count)."""
    thresholds = random.random((len(distribution), count))
    cumulative = np.cumsum(distribution, axis=-1)
    drawn = (thresholds[:, :, None] >= cumulative[:, None, :]).sum(axis=-1)
    last: Integers = np.minimum(drawn, distribution.shape[-1] - 1)
    return last


class Adagrad:
    """Per-weight step sizes (Duchi et al., 2011), kept for the weights of one model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._squares = np.full_like(model.weights, 1e-8)

    def step(self, batch: Batch, slopes: Floats, rate: float) -> None:
        """Move against `slopes`, the loss by logit of shape (rows, answers), averaged by row."""
        slopes = slopes / np.float32(len(batch))
        by_entry = np.repeat(slopes * _scale(batch), np.diff(batch.starts), axis=0)
        by_entry[batch.starts[:-1]] = slopes
        rows, entry_rows = np.unique(batch.indices, return_inverse=True)
        gradient = np.stack(
            [np.bincount(entry_rows, weights=column, minlength=len(rows)) for column in by_entry.T],
            axis=1,
        ).astype(np.float32)
        self._squares[rows] += gradient**2
        self._model.weights[rows] -= np.float32(rate) * gradient / np.sqrt(self._squares[rows])


def shuffled_batches(rows: int, size: int, random: np.random.Generator) -> Iterator[Integers]:
    """Row numbers in batches of `size`, endlessly, each epoch in a new order."""
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, random.permutation(rows)])
        yield waiting[:size]
        waiting = waiting[size:]


def warmed_up(rate: float, step: int, warmup_steps: int) -> float:
    """The learning rate at a step counted from 0, rising linearly over the warm-up."""
    return rate * min(1.0, (step + 1) / max(1, warmup_steps))


def supervised_step(
    model: Model, optimiser: Adagrad, batch: Batch, targets: Integers, rate: float
) -> float:
    """One cross-entropy step; returns the batch's mean loss before it, in nats."""
    probabilities = softmax(model.logits(batch))
    chosen = probabilities[np.arange(len(batch)), targets]
    slopes = probabilities
    slopes[np.arange(len(batch)), targets] -= 1
    optimiser.step(batch, slopes, rate * _SUPERVISED_RATE_SCALE)
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def supervised_loss(model: Model, batch: Batch, targets: Integers) -> float:
    """The mean cross entropy of a batch, in nats."""
    chosen = softmax(model.logits(batch))[np.arange(len(batch)), targets]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def preference_step(
    model: Model,
    optimiser: Adagrad,
    reference: Model,
    batch: Batch,
    *,
    preferred: Integers,
    other: Integers,
    rate: float,
    beta: float,
) -> float:
    """One step of direct preference optimization (Rafailov et al., 2023, arXiv:2305.18290, eq. 7).

    Returns the batch's mean loss before it. The softmax's normalisers cancel out of the margin.
    """
    rows = np.arange(len(batch))
    moved = model.logits(batch) - reference.logits(batch)
    margin = beta * (moved[rows, preferred] - moved[rows, other])
    doubt = 1 / (1 + np.exp(margin))
    slopes = np.zeros_like(moved)
    slopes[rows, preferred] -= beta * doubt
    slopes[rows, other] += beta * doubt
    optimiser.step(batch, slopes, rate * _SUPERVISED_RATE_SCALE)
    return float(np.logaddexp(0, -margin).mean())


@dataclass(frozen=True)
class PolicyStep:
    """What one policy-gradient step measured, before it moved the weights."""

    loss: float
    kl: float
    entropy: float


def group_advantages(rewards: Floats) -> Floats:
    """Rewards of shape (prompts, rollouts), centred and scaled within each prompt's group."""
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    advantages: Floats = centred / (rewards.std(axis=1, keepdims=True) + 1e-6)
    return advantages


def policy_step(
    model: Model,
    optimiser: Adagrad,
    reference: Model,
    batch: Batch,
    *,
    rollouts: Integers,
    rewards: Floats,
    rate: float,
    kl_coefficient: float,
    entropy_coefficient: float,
) -> PolicyStep:
    """One on-policy step on rollouts and rewards, both of shape (prompts, rollouts)."""
    probabilities = softmax(model.logits(batch))
    log_probabilities = np.log(np.maximum(probabilities, 1e-12))
    advantages = group_advantages(rewards) / rollouts.shape[1]
    pulled = np.zeros_like(probabilities)
    np.add.at(pulled, (np.arange(len(batch))[:, None], rollouts), advantages)
    log_ratio = log_probabilities - np.log(np.maximum(softmax(reference.logits(batch)), 1e-12))
    kl = (probabilities * log_ratio).sum(axis=1, keepdims=True)
    entropy = -(probabilities * log_probabilities).sum(axis=1, keepdims=True)
    slopes = probabilities * advantages.sum(axis=1, keepdims=True) - pulled
    slopes += kl_coefficient * probabilities * (log_ratio - kl)
    slopes += entropy_coefficient * probabilities * (log_probabilities + entropy)
    optimiser.step(batch, slopes, rate * _POLICY_RATE_SCALE)
    loss = -(pulled * log_probabilities).sum(axis=1).mean()
    return PolicyStep(float(loss), float(kl.mean()), float(entropy.mean()))
