"""Scores an evaluation: every metric with its error, beside what the job itself reported."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from typing import IO, TYPE_CHECKING

import numpy as np

from novaloop.metrics.archive import EvaluationOutput, archive_members
from novaloop.metrics.bleu import corpus_bleu
from novaloop.metrics.calibration import calibrate
from novaloop.metrics.classification import classify
from novaloop.metrics.comparison import HEADLINE_METRIC, compare
from novaloop.metrics.defects import STDERR_SUFFIX, FirstPredictionBleu, examine
from novaloop.metrics.estimates import CONFIDENCE, Questions, mean, resampled_sums
from novaloop.metrics.format_failures import format_failure
from novaloop.metrics.inferences import Inference, InferenceError, read_inferences
from novaloop.metrics.lengths import lengths
from novaloop.metrics.overlap import MAX_PAIRS
from novaloop.metrics.pairs import PairScorer
from novaloop.metrics.registry import BY_NAME
from novaloop.metrics.results import (
    Estimate,
    FormatFailure,
    Score,
)
from novaloop.metrics.rows import NO_LABEL, RowScores, RowScoresBuilder
from novaloop.metrics.tasks import of_job
from novaloop.rewards.labels import LabelReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from novaloop.metrics.archive import Member
    from novaloop.metrics.pairs import Gold, PairScores

_MAX_BATCH_CHARACTERS = 1 << 20


def score_archive(
    stream: IO[bytes],
    *,
    labels: Sequence[str] = (),
    max_new_tokens: int | None = None,
    earlier: Mapping[str, RowScores] | None = None,
    metric: str = HEADLINE_METRIC,
) -> tuple[Score, RowScores]:
    """Score an evaluation job's `output.tar.gz` from a stream; raises as `score_output` does."""
    return score_output(
        archive_members(stream),
        labels=labels,
        max_new_tokens=max_new_tokens,
        earlier=earlier,
        metric=metric,
    )


def score_output(
    members: Iterable[Member],
    *,
    labels: Sequence[str] = (),
    max_new_tokens: int | None = None,
    earlier: Mapping[str, RowScores] | None = None,
    metric: str = HEADLINE_METRIC,
    confidence: float = CONFIDENCE,
    by_class: Collection[str] = (),
) -> tuple[Score, RowScores]:
    """Score an evaluation job's output, file by file.

    metric, confidence: what decides, and how sure intervals and verdicts are to be (`compare`).
    by_class: of `earlier`, those against which each label is compared too.
    Raises ArchiveError, InferenceError, DifferentRowsError, or ValueError for bad labels.
    """
    output = EvaluationOutput(members)
    scorer = _Scorer(labels, max_new_tokens, metric, confidence)
    scorer.add_all(output.inference_lines())
    return scorer.finish(output.reported, earlier or {}, by_class)


def score_lines(
    lines: Iterable[bytes],
    *,
    labels: Sequence[str] = (),
    reported: Mapping[str, float] | None = None,
    max_new_tokens: int | None = None,
    earlier: Mapping[str, RowScores] | None = None,
    metric: str = HEADLINE_METRIC,
) -> tuple[Score, RowScores]:
    """Score the lines of an `inference_output.jsonl`; raises as `score_archive` does."""
    scorer = _Scorer(labels, max_new_tokens, metric, CONFIDENCE)
    scorer.add_all(lines)
    return scorer.finish(reported, earlier or {})


class _Scorer:
    """Holds what is kept of each row; the texts themselves pass by."""

    def __init__(
        self, labels: Sequence[str], max_new_tokens: int | None, metric: str, confidence: float
    ) -> None:
        self._max_new_tokens, self._metric, self._confidence = max_new_tokens, metric, confidence
        self._reader = LabelReader(labels) if labels else None
        self._index = {label: index for index, label in enumerate(labels)}
        self._pairs = PairScorer()
        self._rows = RowScoresBuilder(labels)
        self._first_prediction = FirstPredictionBleu()
        self._several_predictions = 0
        self._confidences = array("d")
        self._tokens = array("q")
        self._format_failures: Counter[FormatFailure] = Counter()

    def add_all(self, lines: Iterable[bytes]) -> None:
        for batch in _batches(read_inferences(lines)):
            golds = [self._pairs.gold(inference.gold) for inference in batch]
            predictions = [inference.prediction for inference in batch]
            scores = self._pairs.score(list(zip(predictions, golds, strict=True)))
            for inference, gold, pair in zip(batch, golds, scores, strict=True):
                self._add(inference, gold, pair)

    def _add(self, inference: Inference, gold: Gold, pair: PairScores) -> None:
        prediction = inference.prediction
        labelled = self._labels_of(inference)
        self._rows.add((inference.key, inference.question), pair, labelled, len(prediction))
        self._first_prediction.add(prediction, gold)
        self._several_predictions += inference.other_predictions > 0
        tokens = inference.log_probabilities
        self._confidences.append(math.exp(sum(tokens)) if tokens else math.nan)
        self._tokens.append(len(tokens))

    def _labels_of(self, inference: Inference) -> tuple[int, int, int]:
        if self._reader is None:
            return NO_LABEL, NO_LABEL, NO_LABEL
        true_label = self._reader.strict(inference.gold)
        if true_label is None:
            raise InferenceError(f"line {inference.line}: the gold answer is none of the labels")
        strict = self._reader.strict(inference.prediction)
        if strict is None and (failure := format_failure(inference.prediction, self._reader)):
            self._format_failures[failure] += 1
        lenient = self._reader.lenient(inference.prediction)
        return (
            self._index[true_label],
            self._index[strict] if strict else NO_LABEL,
            self._index[lenient] if lenient else NO_LABEL,
        )

    def finish(
        self,
        reported: Mapping[str, float] | None,
        earlier: Mapping[str, RowScores],
        by_class: Collection[str] = (),
    ) -> tuple[Score, RowScores]:
        rows = self._rows.build()
        if len(rows) == 0:
            raise InferenceError("the evaluation holds no rows")
        columns, confidence = rows.columns(), self._confidence
        questions = Questions.of(rows.questions)
        metrics = {name: mean(column, questions, confidence) for name, column in columns.items()}
        metrics["bleu"] = _bleu(rows, questions, confidence)
        metrics = {name: metrics[name] for name in BY_NAME if name in metrics}
        as_jobs_have_it = metrics
        if reported and len(questions) < len(rows):
            # A job knows no questions that repeat: to it, all rows are cases of their own.
            all_different = Questions.of(rows.keys)
            of_rows = {name: mean(column, all_different) for name, column in columns.items()}
            as_jobs_have_it = metrics | of_rows
        tokens = np.array(self._tokens)
        score = Score(
            n=len(rows),
            evaluation_set=rows.evaluation_set,
            metrics=metrics | _of_processor(reported or {}, metrics, confidence),
            classification=classify(rows, confidence),
            lengths=lengths(
                rows, self._max_new_tokens, tokens if tokens.all() else None, confidence
            ),
            comparisons={
                name: compare(stage, rows, self._metric, confidence, by_class=name in by_class)
                for name, stage in earlier.items()
            },
            reported=examine(reported, as_jobs_have_it, self._first_prediction.value()),
            notes=self._notes(reported, len(rows), len(questions)),
            calibration=calibrate(np.array(self._confidences), columns["em"] == 1),
            format_failures=dict(self._format_failures),
            confidence=confidence,
            questions=len(questions),
        )
        return score, rows

    def _notes(
        self, reported: Mapping[str, float] | None, n: int, questions: int
    ) -> tuple[str, ...]:
        notes = []
        if self._several_predictions:
            notes.append(
                f"{self._several_predictions} rows hold several predictions; the first counts"
            )
        if questions < n:
            notes.append(
                f"{n:,} rows ask {questions:,} different questions; errors, intervals and "
                "tests go by the questions"
            )
        if reported is None:
            notes.append("the job reported no metrics of its own")
        return tuple(notes)


def _batches(inferences: Iterable[Inference]) -> Iterator[list[Inference]]:
    """Few enough rows, and few enough characters, to be held at once."""
    batch: list[Inference] = []
    characters = 0
    for inference in inferences:
        batch.append(inference)
        characters += len(inference.prediction) + len(inference.gold)
        if len(batch) == MAX_PAIRS or characters > _MAX_BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _of_processor(
    reported: Mapping[str, float], ours: Mapping[str, Estimate], confidence: float
) -> dict[str, Estimate]:
    """What only the job measures, by a processor function, as the job reports it."""
    return {
        name: of_job(value, reported.get(name + STDERR_SUFFIX), confidence)
        for name, value in reported.items()
        if name not in ours and not name.endswith(STDERR_SUFFIX)
    }


def _bleu(rows: RowScores, questions: Questions, confidence: float) -> Estimate:
    value = float(corpus_bleu(rows.bleu.sum(axis=0)))
    if len(questions) == 1:
        return Estimate(value, None)
    random = np.random.default_rng(int(rows.evaluation_set, 16))
    resampled = corpus_bleu(resampled_sums(questions.sums(rows.bleu), random))
    low, high = np.quantile(resampled, ((1 - confidence) / 2, (1 + confidence) / 2)).tolist()
    return Estimate(value, float(resampled.std(ddof=1)), low, high)
