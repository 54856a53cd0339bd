"""What was measured, as it is stored and shown: plain data, which needs no NumPy to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from novaloop.typed import adapter


def percent(share: float) -> str:
    """Write a share as percent: 95 %, or 99.9 %, which is not 100 %."""
    return f"{100 * share:.10g} %"


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error and its interval at the confidence that was asked for.

    No error where one row can't give any, nor an interval where nobody knows how sure the value is.
    """

    value: float
    stderr: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Share:
    """`count` of `n` rows, and the Wilson interval of the rate. No rate without rows."""

    count: int
    n: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClassScore:
    """One label's scores. Where nothing was predicted or true, the score is 0 as in scikit-learn.

    `recall` carries its interval; `true_share` and `predicted_share` show a bias.
    """

    precision: float
    recall: Share
    f1: float
    support: int
    predicted: int
    true_share: float
    predicted_share: float


@dataclass(frozen=True)
class Reading:
    """Scores under one way of reading labels out of the answers.

    confusion: one row per true label, one column per predicted label, then "no valid label".
    Balanced accuracy is of the labels that rows have, macro F1 of those that rows or answers have;
    without an error where all rows pull alike.
    """

    accuracy: Share
    without_label: Share
    balanced_accuracy: Estimate
    macro_f1: Estimate
    micro_f1: float
    confusion: tuple[tuple[int, ...], ...]
    classes: dict[str, ClassScore]


@dataclass(frozen=True)
class Classification:
    """Strict: the answer is a label. Lenient: it names one. See `rewards.labels`."""

    labels: tuple[str, ...]
    strict: Reading
    lenient: Reading


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose confidence lies from `low` to `high`: their mean confidence and accuracy.

    accuracy_low, accuracy_high: the interval of the accuracy, None where an earlier version scored.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    accuracy_low: float | None = None
    accuracy_high: float | None = None


@dataclass(frozen=True)
class Calibration:
    """Of the `n` rows with log-probabilities.

    One number over all bins, the expected calibration error, is left out: it counts the noise of
    each bin as error.
    """

    n: int
    bins: tuple[ReliabilityBin, ...]


class Verdict(StrEnum):
    """What the interval of a change says: better or worse where it lies on one side of 0."""

    BETTER = "better"
    WORSE = "worse"
    NO_EVIDENCE = "no evidence either way"


YES_NO = "Tango's interval, mid-p McNemar test"
REPEATED_YES_NO = f"{YES_NO}, with questions that changed in part counted against it"
GRADED = "score test of the mean change, corrected for skewness"
CORPUS = "paired bootstrap"
UNPAIRED = "an unpaired z-test on the jobs' standard errors"
"""The tests by name; `paired` has their sources."""


@dataclass(frozen=True)
class Difference:
    """A metric's change from the earlier evaluation to the later one, and what is to be made of it.

    Verdict, colour, sentence and gate all read this one object. low, high: the interval of the
    change at `confidence`, two-sided; None where there was too little to go by. It excludes 0
    exactly where p_value is at most 1 - confidence, and where the verdict says a change. method:
    the test by name, or why there was none. n: rows; questions: different ones, which the test
    goes by. improved, regressed: questions; of a metric that had better be low, one where it fell
    has improved. None where nobody knows: of the jobs' own totals all four, of BLEU the last two.
    """

    earlier: float
    later: float
    difference: float
    low: float | None
    high: float | None
    p_value: float
    confidence: float
    verdict: Verdict
    method: str
    n: int | None = None
    questions: int | None = None
    improved: int | None = None
    regressed: int | None = None


@dataclass(frozen=True)
class Move:
    """How many rows of one true label were answered by another label than before, lenient reading.

    Each is an index of the labels; before, after: None for no valid label.
    """

    true: int
    before: int | None
    after: int | None
    rows: int


@dataclass(frozen=True)
class Comparison:
    """The later stage against an earlier one; row names are those of `RowScores.to_lines`.

    metric: what the sentence, the counts and the listed rows are about. counted: what improved,
    regressed and stayed the same are numbers of: rows, or different questions where some repeat.
    classes: the change of each label's strict recall on the rows that have it, where asked for or
    where there are few labels.
    moves: from which label to which, the most frequent ones.
    """

    n: int
    improved: int
    regressed: int
    same: int
    improved_rows: tuple[str, ...]
    regressed_rows: tuple[str, ...]
    metrics: dict[str, Difference]
    summary: str
    metric: str = "em"
    counted: str = "rows"
    classes: dict[str, Difference] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True)
class Defect:
    """A reported number that should not be used, by name, and why."""

    metric: str
    name: str
    explanation: str


@dataclass(frozen=True)
class Reported:
    """What the job reported, untouched, and what is wrong with it."""

    values: dict[str, float]
    defects: tuple[Defect, ...]


@dataclass(frozen=True)
class Lengths:
    """Lengths of the answers in characters.

    counts, counts_right: rows, and rows answered exactly, from each of `bin_edges` to the next
    (the last bin is open). `reached_limit`: answers of max_new_tokens or more, None where that
    limit or how many tokens an answer has is unknown.
    """

    mean: float
    median: float
    p90: float
    maximum: int
    bin_edges: tuple[int, ...]
    counts: tuple[int, ...]
    counts_right: tuple[int, ...]
    reached_limit: Share | None


class FormatFailure(StrEnum):
    """How an answer misses the label that was asked for, the mildest first."""

    CASE = "label in other case"
    PUNCTUATION = "label in other punctuation"
    EXTRA_PROSE = "label within prose"
    OTHER_LABEL = "a word that is no label"
    NO_LABEL = "prose without a label"
    EMPTY = "empty"


@dataclass(frozen=True)
class Score:
    """Everything measured about one evaluation of one stage.

    metrics: those of the registry by their names there, and what a processor function of the job
    measured. comparisons: this stage against each earlier one, by its name. confidence: of every
    interval. format_failures: rows. questions: different ones among the n rows. lengths: None
    where scores were given and no answers.
    tries: how often a gate judged on these rows, with this time; None where none does.
    """

    n: int
    evaluation_set: str
    metrics: dict[str, Estimate]
    classification: Classification | None
    lengths: Lengths | None
    comparisons: dict[str, Comparison]
    reported: Reported | None
    notes: tuple[str, ...]
    calibration: Calibration | None = None
    format_failures: dict[FormatFailure, int] = field(default_factory=dict)
    confidence: float = 0.95
    questions: int | None = None
    tries: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON content; `from_dict` reads it back."""
        return adapter(Score).dump_python(self, mode="json")  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Score:
        """Read what `to_dict` wrote; raises pydantic.ValidationError."""
        return adapter(Score).validate_python(content)


@dataclass(frozen=True)
class TaskScore:
    """What a job reported of one task. changes: by the earlier evaluation's name, then metric.

    On the same questions a paired test would see smaller changes, so these err towards doubt.
    """

    task: str
    subtask: str | None
    metrics: dict[str, Estimate]
    changes: dict[str, dict[str, Difference]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON content; `from_dict` reads it back."""
        return adapter(TaskScore).dump_python(self, mode="json")  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TaskScore:
        """Read what `to_dict` wrote; raises pydantic.ValidationError."""
        return adapter(TaskScore).validate_python(content)


def read_score(content: Mapping[str, Any]) -> Score | TaskScore:
    """Read the score of any evaluation; raises pydantic.ValidationError."""
    return TaskScore.from_dict(content) if "task" in content else Score.from_dict(content)
