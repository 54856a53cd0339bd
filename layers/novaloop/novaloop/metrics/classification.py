"""Accuracy, confusion and per-class scores; a row without a label counts as wrong, everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.estimates import CONFIDENCE, Questions, share
from novaloop.metrics.results import Classification, ClassScore, Reading
from novaloop.metrics.rows import NO_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from novaloop.metrics.rows import RowScores

NO_VALID_LABEL = "no valid label"


def classify(rows: RowScores, confidence: float = CONFIDENCE) -> Classification | None:
    """Classification scores of the rows; None without labels."""
    if not rows.labels:
        return None
    questions = Questions.of(rows.questions)
    strict, lenient = (
        _reading(rows, predicted, questions, confidence)
        for predicted in (rows.strict, rows.lenient)
    )
    return Classification(rows.labels, strict, lenient)


def _reading(
    rows: RowScores, predicted: NDArray[np.int64], questions: Questions, confidence: float
) -> Reading:
    k, n = len(rows.labels), len(rows)
    columns = np.where(predicted == NO_LABEL, k, predicted)
    confusion = np.bincount(rows.gold * (k + 1) + columns, minlength=k * (k + 1)).reshape(k, k + 1)
    classes = {
        label: _class_score(rows, predicted, confusion, index, confidence)
        for index, label in enumerate(rows.labels)
    }
    present = [score for score in classes.values() if score.support]
    right = int(np.trace(confusion))
    answered = int(confusion[:, :k].sum())
    return Reading(
        accuracy=share(predicted == rows.gold, questions, confidence),
        without_label=share(predicted == NO_LABEL, questions, confidence),
        balanced_accuracy=_mean([score.recall.value or 0.0 for score in present]),
        macro_f1=_mean([score.f1 for score in classes.values() if score.support + score.predicted]),
        micro_f1=_ratio(2 * right, n + answered),
        confusion=tuple(map(tuple, confusion.tolist())),
        classes=classes,
    )


def _class_score(
    rows: RowScores,
    predicted: NDArray[np.int64],
    confusion: NDArray[np.int64],
    index: int,
    confidence: float,
) -> ClassScore:
    inside = rows.gold == index
    right = int(confusion[index, index])
    support = int(confusion[index].sum())
    said = int(confusion[:, index].sum())
    n = int(confusion.sum())
    return ClassScore(
        precision=_ratio(right, said),
        recall=share(predicted[inside] == index, Questions.of(rows.questions[inside]), confidence),
        f1=_ratio(2 * right, support + said),
        support=support,
        predicted=said,
        true_share=_ratio(support, n),
        predicted_share=_ratio(said, n),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
