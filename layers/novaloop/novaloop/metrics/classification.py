"""Accuracy, confusion and per-class scores; a row without a label counts as wrong, everywhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from novaloop.metrics.estimates import CONFIDENCE, Questions, normal_interval, share
from novaloop.metrics.results import Classification, ClassScore, Estimate, Reading
from novaloop.metrics.rows import NO_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    right = int(np.trace(confusion))
    answered = int(confusion[:, :k].sum())
    return Reading(
        accuracy=share(predicted == rows.gold, questions, confidence),
        without_label=share(predicted == NO_LABEL, questions, confidence),
        balanced_accuracy=_balanced(rows, predicted, classes, questions, confidence),
        macro_f1=_macro(rows, predicted, classes, questions, confidence),
        micro_f1=_ratio(2 * right, n + answered),
        confusion=tuple(map(tuple, confusion.tolist())),
        classes=classes,
    )


def _balanced(
    rows: RowScores,
    predicted: NDArray[np.int64],
    classes: Mapping[str, ClassScore],
    questions: Questions,
    confidence: float,
) -> Estimate:
    """Return the mean recall of the labels that rows have, each row by its share in it."""
    recall = np.array([score.recall.value or 0.0 for score in classes.values()])
    support = np.array([score.support for score in classes.values()])
    present = int((support > 0).sum())
    pull = ((predicted == rows.gold) - recall[rows.gold]) / support[rows.gold] / present
    return _by_influence(float(recall.sum() / present), pull, questions, confidence)


def _macro(
    rows: RowScores,
    predicted: NDArray[np.int64],
    classes: Mapping[str, ClassScore],
    questions: Questions,
    confidence: float,
) -> Estimate:
    """Return the mean F1 of the labels that rows or answers have, each row by its share in it."""
    f1 = np.array([score.f1 for score in classes.values()])
    sizes = np.array([score.support + score.predicted for score in classes.values()])
    present = int((sizes > 0).sum())
    weight = 1 / np.maximum(sizes, 1) / present
    answered = np.where(predicted == NO_LABEL, 0, predicted)
    pull = (2.0 * (predicted == rows.gold) - f1[rows.gold]) * weight[rows.gold]
    pull -= np.where(predicted == NO_LABEL, 0.0, f1[answered] * weight[answered])
    return _by_influence(float(f1.sum() / present), pull, questions, confidence)


def _by_influence(
    value: float, pull: NDArray[np.float64], questions: Questions, confidence: float
) -> Estimate:
    """Return a value with the error that the pull of each row on it gives (the delta method).

    None where all rows pull alike: then none says how sure the value is.
    """
    sums, k = questions.sums(pull), len(questions)
    stderr = math.sqrt(float(sums @ sums) * k / (k - 1)) if k > 1 else 0.0
    low, high = normal_interval(value, stderr or None, confidence)
    if low is None or high is None:
        return Estimate(value, None)
    return Estimate(value, stderr, max(0.0, low), min(1.0, high))


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
