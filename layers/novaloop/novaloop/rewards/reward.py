"""Scores rollouts of reinforcement fine-tuning.

A sample as the training container sends it: `{"id", "messages": [..., generated turn],
"reference_answer", "reward"}`; evaluation jobs send `model_response` and `response` instead. The
field `reward` travels with each row of the dataset (see `scorers.py`), so one function serves
every experiment; without it, the answer must equal the reference.
"""

from __future__ import annotations

from novaloop.rewards.answers import strip_solution_markers
from novaloop.rewards.outcome import WRONG, UnusableSampleError
from novaloop.rewards.scorers import score_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypedDict

    class Metric(TypedDict):
        """One named number of a sample."""

        name: str
        value: float
        type: str

    class SampleScore(TypedDict):
        """The reply for one sample, as the training container reads it."""

        id: str
        aggregate_reward_score: float
        metrics_list: list[Metric]


_GIVEN_ROLES = frozenset({"system", "user", "developer", "tool"})
EXACT: dict[str, object] = {"type": "exact"}
"""The reward of a row that has none."""
_THOUGHT_KEYS = frozenset({"reasoningContent", "reasoning_content", "reasoning", "thinking"})


def score_batch(event: object) -> list[SampleScore]:
    """One score per sample, in order; `event` is a list of samples or a single one.

    Never raises: a sample that can't be scored gets -1 and the metric `unusable_sample` 1.
    """
    samples = event if isinstance(event, list) else [event]
    return [_score_sample(sample, position) for position, sample in enumerate(samples)]


def _score_sample(sample: object, position: int) -> SampleScore:
    answer: str | None = None
    score, well_formed, usable = WRONG, False, False
    try:
        answer = generated_answer(sample)
        score, well_formed = _score_fields(sample, answer)
        usable = True
    except Exception:  # an exception here would end a training job on a GPU cluster  # noqa: S110
        pass
    return {
        "id": _sample_id(sample, position),
        "aggregate_reward_score": score if usable else WRONG,
        "metrics_list": [
            {"name": "correctness", "value": float(usable and score > 0), "type": "Metric"},
            {"name": "valid_answer", "value": float(usable and well_formed), "type": "Metric"},
            {"name": "unusable_sample", "value": float(not usable), "type": "Metric"},
            {"name": "response_characters", "value": float(len(answer or "")), "type": "Metric"},
        ],
    }


def _score_fields(sample: object, answer: str) -> tuple[float, bool]:
    if not isinstance(sample, dict):
        raise UnusableSampleError("a sample must be an object")
    settings = sample.get("reward", EXACT)
    if not isinstance(settings, dict):
        raise UnusableSampleError("reward must be an object")
    return score_answer(answer, reference_answer(sample), settings)


def reference_answer(sample: Mapping[str, object]) -> object:
    """The reference of a rollout or of an evaluation row; None where there is none."""
    return sample["reference_answer"] if "reference_answer" in sample else sample.get("response")


def generated_answer(sample: object) -> str:
    """The generated text without solution markers; raises UnusableSampleError without one."""
    if not isinstance(sample, dict):
        raise UnusableSampleError("a sample must be an object")
    turn = _last_turn(sample)
    if turn is None:
        return strip_solution_markers(_content_text(sample.get("model_response")))
    if turn.get("role") in _GIVEN_ROLES:
        raise UnusableSampleError("messages end without a generated turn")
    return strip_solution_markers(_content_text(turn.get("content")))


def is_prompt(sample: Mapping[str, object]) -> bool:
    """Whether a sample's messages end before a generated turn, as the rows of a dataset do."""
    turn = _last_turn(sample)
    return turn is not None and turn.get("role") in _GIVEN_ROLES


def _last_turn(sample: Mapping[str, object]) -> dict[str, object] | None:
    messages = sample.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        return messages[-1]
    return None


def why_unusable(sample: object) -> str | None:
    """Why a sample counts as unusable; None if it doesn't."""
    try:
        _score_fields(sample, generated_answer(sample))
    except UnusableSampleError as problem:
        return str(problem)
    except Exception as problem:  # as in scoring: whatever a user's own reward raises
        return f"{type(problem).__name__}: {problem}"
    return None


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(_content_text, content))
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        return str(content["text"])
    if isinstance(content, dict) and not _THOUGHT_KEYS.isdisjoint(content):
        return ""  # what was thought does not count
    raise UnusableSampleError("content must be a text or a list of texts")


def _sample_id(sample: object, position: int) -> str:
    name = sample.get("id") if isinstance(sample, dict) else None
    if isinstance(name, str):
        return name
    return str(name) if isinstance(name, int) and abs(name) < 2**63 else str(position)


def batch_summary(scores: list[SampleScore]) -> dict[str, float]:
    """Means over a batch: reward and each metric. An empty batch has none."""
    if not scores:
        return {}
    totals = {"reward": sum(score["aggregate_reward_score"] for score in scores)}
    for score in scores:
        for metric in score["metrics_list"]:
            totals[metric["name"]] = totals.get(metric["name"], 0.0) + metric["value"]
    return {name: total / len(scores) for name, total in totals.items()}
