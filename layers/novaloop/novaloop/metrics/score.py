"""Scores an evaluation: every metric with its error, beside what the job itself reported."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import replace
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
from novaloop.metrics.registry import BY_NAME, GIVEN_SCORE
from novaloop.metrics.results import (
    Estimate,
    FormatFailure,
    Score,
)
from novaloop.metrics.rows import NO_LABEL, GivenScores, RowScores, RowScoresBuilder
from novaloop.metrics.tasks import of_job
from novaloop.rewards.labels import LabelReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

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
    confidence: float = CONFIDENCE,
) -> tuple[Score, RowScores]:
    """Score an evaluation job's `output.tar.gz` from a stream; raises as `score_output` does."""
    return score_output(
        archive_members(stream),
        labels=labels,
        max_new_tokens=max_new_tokens,
        earlier=earlier,
        metric=metric,
        confidence=confidence,
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
    however_written: bool = False,
    of_job: bool = True,
) -> tuple[Score, RowScores]:
    """Score an evaluation's output, file by file.

    metric, confidence: what decides, and how sure intervals and verdicts are to be (`compare`).
    by_class: of `earlier`, those against which each label is compared too.
    however_written: see `read_inferences`. of_job: whether a job wrote it, which should report
    metrics of its own.
    Raises ArchiveError, InferenceError, DifferentRowsError, or ValueError for bad labels.
    """
    output = EvaluationOutput(members)
    scorer = _Scorer(labels, max_new_tokens, metric, confidence)
    lines = output.inference_lines()
    scorer.add_all(read_inferences(lines, however_written=however_written))
    return scorer.finish(output.reported, earlier or {}, by_class, of_job=of_job)


def score_lines(
    lines: Iterable[bytes],
    *,
    labels: Sequence[str] = (),
    reported: Mapping[str, float] | None = None,
    max_new_tokens: int | None = None,
    earlier: Mapping[str, RowScores] | None = None,
    metric: str = HEADLINE_METRIC,
    confidence: float = CONFIDENCE,
) -> tuple[Score, RowScores]:
    """Score the lines of an `inference_output.jsonl`; raises as `score_archive` does."""
    scorer = _Scorer(labels, max_new_tokens, metric, confidence)
    scorer.add_all(read_inferences(lines))
    return scorer.finish(reported, earlier or {}, of_job=False)


def score_answers(
    answers: Iterable[Inference], labels: Sequence[str] = (), confidence: float = CONFIDENCE
) -> tuple[Score, RowScores]:
    """Score answers that no job gave; raises InferenceError, or ValueError for bad labels."""
    scorer = _Scorer(labels, None, HEADLINE_METRIC, confidence)
    scorer.add_all(answers)
    return scorer.finish(None, {}, of_job=False)


def score_given(rows: GivenScores, confidence: float = CONFIDENCE) -> Score:
    """Return what at least one row's given scores come to."""
    questions = Questions.of(rows.questions)
    return Score(
        n=len(rows),
        evaluation_set=rows.evaluation_set,
        metrics={GIVEN_SCORE: mean(rows.scores, questions, confidence)},
        classification=None,
        lengths=None,
        comparisons={},
        reported=None,
        notes=_repeated(len(rows), len(questions)),
        confidence=confidence,
        questions=len(questions),
    )


def score_rows(
    rows: RowScores,
    confidence: float = CONFIDENCE,
    max_new_tokens: int | None = None,
    tokens: NDArray[np.int64] | None = None,
) -> Score:
    """Score at least one row by what is kept of each: all that needs no texts.

    max_new_tokens, tokens: as `lengths` takes them.
    """
    columns, questions = rows.columns(), Questions.of(rows.questions)
    metrics = {name: mean(column, questions, confidence) for name, column in columns.items()}
    metrics["bleu"] = _bleu(rows, questions, confidence)
    return Score(
        n=len(rows),
        evaluation_set=rows.evaluation_set,
        metrics={name: metrics[name] for name in BY_NAME if name in metrics},
        classification=classify(rows, confidence),
        lengths=lengths(rows, max_new_tokens, tokens, confidence),
        comparisons={},
        reported=None,
        notes=_repeated(len(rows), len(questions)),
        confidence=confidence,
        questions=len(questions),
    )


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
        self._missing = 0
        self._confidences = array("d")
        self._tokens = array("q")
        self._format_failures: Counter[FormatFailure] = Counter()

    def add_all(self, answers: Iterable[Inference]) -> None:
        for batch in _batches(answers):
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
        self._missing += inference.is_missing
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
        *,
        of_job: bool = True,
    ) -> tuple[Score, RowScores]:
        rows = self._rows.build()
        if len(rows) == 0:
            raise InferenceError("the evaluation holds no rows")
        confidence, counts = self._confidence, np.array(self._tokens)
        tokens = counts if counts.all() else None
        columns = rows.columns()
        of_rows = score_rows(rows, confidence, self._max_new_tokens, tokens)
        as_jobs_have_it = of_rows.metrics
        if reported and of_rows.questions != len(rows):
            # A job knows no questions that repeat: to it, all rows are cases of their own.
            all_different = Questions.of(rows.keys)
            means = {name: mean(column, all_different) for name, column in columns.items()}
            as_jobs_have_it = as_jobs_have_it | means
        processor = _of_processor(reported or {}, of_rows.metrics, confidence)
        score = replace(
            of_rows,
            metrics=of_rows.metrics | processor,
            comparisons={
                name: compare(stage, rows, self._metric, confidence, by_class=name in by_class)
                for name, stage in earlier.items()
            },
            reported=examine(reported, as_jobs_have_it, self._first_prediction.value()),
            notes=(*self._notes(), *of_rows.notes, *_unreported(reported, of_job=of_job)),
            calibration=calibrate(
                np.array(self._confidences), columns["em"] == 1, rows.questions, confidence
            ),
            format_failures=dict(self._format_failures),
        )
        return score, rows

    def _notes(self) -> Iterator[str]:
        if self._missing:
            told = "1 row has" if self._missing == 1 else f"{self._missing:,} rows have"
            yield f"{told} no answer, which counts as an empty one"
        if self._several_predictions:
            yield f"{self._several_predictions} rows hold several predictions; the first counts"


def _repeated(n: int, questions: int) -> tuple[str, ...]:
    if questions == n:
        return ()
    told = f"{n:,} rows ask {questions:,} different questions"
    return (f"{told}; errors, intervals and tests go by the questions",)


def _unreported(reported: Mapping[str, float] | None, *, of_job: bool) -> tuple[str, ...]:
    return ("the job reported no metrics of its own",) if of_job and reported is None else ()


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
