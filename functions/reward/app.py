"""Called by SageMaker during reinforcement fine-tuning: scores a batch of rollouts."""

from __future__ import annotations

import json
import time

from novaloop.rewards.reward import batch_summary, score_batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from novaloop.rewards.reward import SampleScore

NAMESPACE = "Novaloop"
UNITS = {
    "Samples": "Count",
    "MeanReward": "None",
    "WithoutValidAnswer": "None",
    "UnusableSamples": "Count",
    "MeanResponseCharacters": "Count",
}


def handler(event: object, _context: object) -> list[SampleScore]:
    """One score per sample, in order; a list of samples or one sample comes in."""
    scores = score_batch(event)
    if scores:
        print(json.dumps(embedded_metrics(scores, time.time_ns() // 1_000_000)))
    return scores


def embedded_metrics(scores: list[SampleScore], milliseconds: int) -> dict[str, object]:
    """A line of CloudWatch's embedded metric format: numbers only, no text of the dataset."""
    mean = batch_summary(scores)
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Function"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in UNITS.items()],
    }
    return {
        "_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]},
        "Function": "reward",
        "Samples": len(scores),
        "MeanReward": mean["reward"],
        "WithoutValidAnswer": 1 - mean["valid_answer"],
        "UnusableSamples": round(mean["unusable_sample"] * len(scores)),
        "MeanResponseCharacters": mean["response_characters"],
    }
