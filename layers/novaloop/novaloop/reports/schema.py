"""What a report is: plain JSON content from which every page and table is made."""

from __future__ import annotations

from typing import Any, TypedDict

from novaloop.reports.trainings import TrainingReport


class Measurement(TypedDict):
    """One metric at one evaluation.

    low, high: its interval. delta: change from the evaluation before, or from the one that all are
    compared with; verdict: what the test says of that change (see `metrics.results.Difference`).
    """

    stage: str
    value: float
    stderr: float | None
    low: float | None
    high: float | None
    delta: float | None
    verdict: str | None


class MetricRow(TypedDict):
    """One metric at every evaluation that has it.

    total, total_verdict: the change from the first to the last, where there are others between.
    """

    name: str
    title: str
    measurements: list[Measurement]
    total: float | None
    total_verdict: str | None


class TaskReport(TypedDict):
    """What the jobs of one task report, at each evaluation that ran it."""

    title: str
    stages: list[str]
    metrics: list[MetricRow]


class Evaluation(TypedDict):
    """One evaluation; `score` is `Score.to_dict()`.

    It is None with the `error` that prevented it, and for a task without rows (see `TaskReport`).
    """

    stage: str
    attempt: int
    error: str | None
    score: dict[str, Any] | None


class FlipLine(TypedDict):
    """A row whose grade changed: excerpts of its texts."""

    row: str
    question: str
    gold: str
    before: str
    after: str
    system: str


class Comparison(TypedDict):
    """An evaluation against the one before, or against the first, by what decides.

    improved_rows, regressed_rows: some of those rows; None where their texts are not kept. method:
    the test by name. classes: the change of each label's recall (`metrics.results.Difference`).
    moves: from which label to which answers went (`metrics.results.Move`).
    """

    stage: str
    against: str
    counted: str
    improved: int
    regressed: int
    same: int
    summary: str
    method: str
    classes: dict[str, dict[str, Any]]
    moves: list[dict[str, Any]]
    improved_rows: list[FlipLine] | None
    regressed_rows: list[FlipLine] | None


class StageLine(TypedDict):
    """One stage of the plan; times are ISO 8601, `seconds` is wall-clock time.

    instance_hours: billed time of all attempts on all instances; `usd` is None without a price.
    image: repository and tag of the container, the same in every region, or the one asked for.
    A serverless job has no instances, recipe and image; recorded answers have no job either.
    """

    name: str
    kind: str
    state: str
    attempt: int
    job_name: str | None
    job_arn: str | None
    started_at: str | None
    ended_at: str | None
    seconds: float | None
    billable_seconds: int
    instances: int
    instance_hours: float
    usd: float | None
    recipe_key: str | None
    image: str | None
    checkpoint: str | None
    reason: str | None


class DatasetLine(TypedDict):
    """One dataset, by the version that was used."""

    role: str
    source_key: str | None
    version_id: str
    sha256: str
    rows: int
    rejected_rows: int | None


class HistoryLine(TypedDict):
    """One line of the history."""

    at: str
    what: str
    why: str


class Gate(TypedDict):
    """The gate's verdict with each condition that it looked at."""

    verdict: str
    promotes: bool
    summary: str
    ledger: list[dict[str, Any]]


class Measured(TypedDict):
    """What evaluations came to, whoever made them."""

    code_version: str
    labels: list[str]
    metrics: list[MetricRow]
    tasks: list[TaskReport]
    comparisons: list[Comparison]
    evaluations: list[Evaluation]


class ComparedExperiment(TypedDict):
    """An experiment beside others.

    evaluation: the one that is compared. usd: what it cost so far, jobs_usd: without what served;
    None where no price is known. gain: of the metric, over its own first evaluation, in its units,
    with what the test says; None where it has no other. usd_per_point: what the jobs cost for each
    hundredth, where the test shows a gain. not_compared: why its rows are not.
    """

    name: str
    evaluation: str | None
    usd: float | None
    jobs_usd: float | None
    gain: float | None
    verdict: str | None
    usd_per_point: float | None
    not_compared: str | None
    settings: list[str]


class ComparisonReport(Measured):
    """Evaluations against the first of them.

    metric: the title of what decides. notes: what is to be known of the scores, and of which.
    experiments: none where files are compared.
    """

    title: str
    metric: str
    notes: list[str]
    experiments: list[ComparedExperiment]


class Report(Measured):
    """A whole report of an experiment."""

    experiment: str
    status: str
    reason: str
    model: str
    base_checkpoint: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    gate: Gate | None
    approved_by: str | None
    endpoint: str | None
    endpoint_expires_at: str | None
    notices: list[str]
    stages: list[StageLine]
    trainings: list[TrainingReport]
    datasets: list[DatasetLine]
    history: list[HistoryLine]
