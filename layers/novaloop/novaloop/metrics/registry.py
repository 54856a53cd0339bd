"""The metrics that Novaloop computes itself, or is given for each row.

A new one is a line here, and a row of the docs.

Nothing heavy is imported: whoever reads `experiment.yaml` needs the names, and neither NumPy nor
the code that counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ScoreSource(Enum):
    """What a metric is computed from."""

    PAIR = auto()
    """One answer and its gold answer, a value for each row; the metric is their mean."""
    CORPUS = auto()
    """All answers at once: its error and its changes come from a bootstrap."""
    LABELS = auto()
    """The labels that were read from the answers: only where `experiment.yaml` gives labels."""
    GIVEN = auto()
    """A score that a file gives for each row, by whatever it was measured."""


@dataclass(frozen=True)
class Metric:
    """One metric, from 0 to `most`; `name` is lighteval's where lighteval has it.

    most: infinite where nobody knows the bounds, which may lie below 0 then.
    full_name: by which a gate may ask for it too, and under which the record shows it.
    gated: whether a gate may ask for it.
    higher_is_better: whether a rise is a gain, as lighteval calls it.
    function: of an answer and its gold answer, both as they are; None where `pairs`, `score` or
        `classification` computes the metric in one pass with others.
    """

    name: str
    title: str
    source: ScoreSource = ScoreSource.PAIR
    full_name: str | None = None
    most: float = 1
    gated: bool = True
    higher_is_better: bool = True
    function: Callable[[str, str], float] | None = None


STRICT_ACCURACY = "strict_accuracy"
LENIENT_ACCURACY = "lenient_accuracy"
NO_VALID_LABEL = "no_valid_label"
GIVEN_SCORE = "given_score"
METRICS = (
    Metric("em", "Exact match", full_name="exact_match"),
    Metric("qem", "Quasi exact match", full_name="quasi_exact_match"),
    Metric("f1", "F1"),
    Metric("f1_score_quasi", "F1 (quasi)"),
    Metric("rouge1", "ROUGE-1"),
    Metric("rouge2", "ROUGE-2"),
    Metric("rougeL", "ROUGE-L"),
    Metric("bleu", "BLEU (0-100)", ScoreSource.CORPUS, most=100),
    Metric(STRICT_ACCURACY, "Accuracy, strict", ScoreSource.LABELS, gated=False),
    Metric(LENIENT_ACCURACY, "Accuracy, lenient", ScoreSource.LABELS),
    Metric(
        NO_VALID_LABEL, "No valid label", ScoreSource.LABELS, gated=False, higher_is_better=False
    ),
    Metric(GIVEN_SCORE, "Score", ScoreSource.GIVEN, most=math.inf, gated=False),
)
"""In the order of the report."""
BY_NAME = {metric.name: metric for metric in METRICS}
GATED = {m.full_name: m for m in METRICS if m.full_name} | {m.name: m for m in METRICS if m.gated}
"""By each name that a gate may ask for."""
PAIR_METRICS = sorted(
    (metric for metric in METRICS if metric.source is ScoreSource.PAIR),
    key=lambda metric: metric.function is not None,
)
"""In the order of a row's values: those that are computed together come first."""
