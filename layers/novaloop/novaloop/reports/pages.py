"""A report as one self-contained HTML page, and as Markdown."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.record import NO_GATE
from novaloop.metrics.classification import NO_VALID_LABEL
from novaloop.metrics.defects import STDERR_SUFFIX
from novaloop.metrics.gate import GateDecision
from novaloop.metrics.registry import BY_NAME
from novaloop.metrics.results import UNPAIRED, FormatFailure, percent
from novaloop.reports import charts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from novaloop.reports.schema import (
        Comparison,
        ComparisonReport,
        Evaluation,
        Measured,
        Measurement,
        MetricRow,
        Report,
    )
    from novaloop.reports.trainings import TrainingReport

_CONTENTS = "<!-- contents -->"
_SECTION = re.compile(r'<section id="(\w+)">\n<h2>(.*?)</h2>')
_GOOD = {"LIVE", "COMPLETED", "PROMOTE", "SUCCEEDED", "met", "better"}
_BAD = {"FAILED", "REJECTED", "HOLD", "not met", "worse"}


def html(report: Report) -> str:
    """Return the report as one HTML page that needs nothing from anywhere else."""
    return _page("report", report, curves=_curves(report), timeline=list(_timeline(report)))


def comparison_html(report: ComparisonReport) -> str:
    """Return a comparison as one HTML page that needs nothing from anywhere else."""
    return _page("comparison", report)


def _page(template: str, report: Measured, **of_experiment: Any) -> str:
    scored = [evaluation for evaluation in report["evaluations"] if evaluation["score"]]
    page = _environment.get_template(f"{template}.html.j2").render(
        report=report,
        scored=scored,
        has_totals=any(metric["total"] is not None for metric in report["metrics"]),
        histograms=_histograms(scored),
        class_bars=_class_bars(report, scored),
        shared_system=_shared_system(report),
        no_valid_label=NO_VALID_LABEL,
        format_failures=_format_failures(scored),
        prices_as_of=packaged_prices().as_of,
        task_test=UNPAIRED,
        confidence=_confidence(scored),
        **of_experiment,
    )
    return page.replace(_CONTENTS, _contents(page), 1)


def _contents(page: str) -> str:
    """Return links to the sections that the page has."""
    links = (f'<li><a href="#{id_}">{title}</a></li>\n' for id_, title in _SECTION.findall(page))
    return f'<nav aria-label="Contents"><ul>\n{"".join(links)}</ul></nav>'


def markdown(report: Report) -> str:
    """Return what matters most of the report as Markdown."""
    return _markdown("report", report)


def comparison_markdown(report: ComparisonReport) -> str:
    """Return what matters most of a comparison as Markdown."""
    return _markdown("comparison", report)


def _markdown(template: str, report: Measured) -> str:
    scored = [evaluation for evaluation in report["evaluations"] if evaluation["score"]]
    return _environment.get_template(f"{template}.md.j2").render(
        report=report, scored=scored, confidence=_confidence(scored)
    )


def _confidence(scored: list[Evaluation]) -> str:
    """Write how sure the intervals and verdicts are: as the gate asks, the same at each evaluation.

    An evaluation that was scored before its release could say has 95 %.
    """
    levels = {e["score"].get("confidence", 0.95) for e in scored if e["score"]} or {0.95}
    return " or ".join(percent(level) for level in sorted(levels))


def _histograms(scored: list[Evaluation]) -> dict[str, Markup]:
    lengths = {
        e["stage"]: e["score"]["lengths"] for e in scored if e["score"] and e["score"]["lengths"]
    }
    bins = charts.common_bins(list(lengths.values()))
    most = max((max(found["counts"]) for found in lengths.values()), default=0)
    return {
        stage: Markup(charts.length_histogram(found, bins, most))  # noqa: S704 - drawn by us
        for stage, found in lengths.items()
    }


def untested(metrics: Iterable[MetricRow]) -> list[str]:
    """Name what has no test of some change: a processor function's metrics, and older scores."""
    return [
        metric["title"]
        for metric in metrics
        if any(
            each["verdict"] is None for each in metric["measurements"] if each["delta"] is not None
        )
    ]


def _shared_system(report: Measured) -> str | None:
    """Return the system prompt that all rows that changed have; None where they differ."""
    systems = {
        row["system"]
        for comparison in report["comparisons"]
        for rows in (comparison["improved_rows"], comparison["regressed_rows"])
        for row in rows or ()
    }
    return systems.pop() if len(systems) == 1 else None


def _curves(report: Report) -> dict[str, list[tuple[str, Markup]]]:
    """Return the titles and drawings of each training's panels, by stage.

    What several trainings measured has one scale.
    """
    lines: dict[str, list[charts.Lines]] = {}
    for training in report["trainings"]:
        for panel in training["panels"]:
            lines.setdefault(panel["title"], []).append(panel["lines"])
    scales = {title: charts.common_scale(each) for title, each in lines.items()}
    return {
        training["stage"]: [
            (title, Markup(drawing))  # noqa: S704 - drawn by us
            for title, drawing in _drawings(training, scales)
        ]
        for training in report["trainings"]
    }


def _drawings(
    training: TrainingReport, scales: Mapping[str, tuple[float, float]]
) -> Iterator[tuple[str, str]]:
    for panel in training["panels"]:
        yield panel["title"], charts.curve(panel["lines"], scales[panel["title"]])
    if training["reward_bins"]:
        yield "Logged steps by mean reward", charts.reward_histogram(training["reward_bins"])


def _class_bars(report: Measured, scored: list[Evaluation]) -> Markup | None:
    classified = [e for e in scored if e["score"] and e["score"]["classification"]]
    if not classified:
        return None
    return Markup(charts.class_bars(classified, report["labels"]))  # noqa: S704 - drawn by us


def _format_failures(scored: list[Evaluation]) -> list[FormatFailure]:
    """Return the kinds that occurred, the mildest first."""
    found = {kind for e in scored if e["score"] for kind in e["score"]["format_failures"]}
    return [kind for kind in FormatFailure if kind in found]


def recomputed(score: dict[str, Any], name: str) -> str:
    """Write our number for what the job reports as `name`, if we have one."""
    base = name.removesuffix(STDERR_SUFFIX)
    metric = score["metrics"].get(base) if base in BY_NAME else None
    value = metric and metric["stderr" if name.endswith(STDERR_SUFFIX) else "value"]
    return "–" if value is None else f"{value:.4f}"  # noqa: RUF001


def _timeline(report: Report) -> Iterator[dict[str, Any]]:
    """Yield each stage with where its bar begins and how long it is, in percent of the whole."""
    spans = [_span(line["started_at"], line["ended_at"]) for line in report["stages"]]
    known = [time for span in spans if span for time in span]
    begin = min(known, default=None)
    whole = (max(known) - begin).total_seconds() if begin else 0
    for line, span in zip(report["stages"], spans, strict=True):
        if span is None or begin is None or not whole:
            yield {"stage": line, "left": 0, "width": 0}
            continue
        left = (span[0] - begin).total_seconds() / whole * 100
        yield {
            "stage": line,
            "left": round(left, 2),
            "width": round((span[1] - span[0]).total_seconds() / whole * 100, 2),
        }


def _span(started_at: str | None, ended_at: str | None) -> tuple[datetime, datetime] | None:
    if started_at is None or ended_at is None:
        return None
    return datetime.fromisoformat(started_at), datetime.fromisoformat(ended_at)


def number(metric: MetricRow, value: float | None) -> str:
    """Write a metric's value or error with as many digits as its error supports."""
    if value is None:
        return "–"  # noqa: RUF001
    known = BY_NAME.get(metric["name"])
    return f"{value:.2f}" if known and 1 < known.most < math.inf else f"{value:.3f}"


def change(metric: MetricRow, delta: float | None) -> str:
    """Write a change with its sign."""
    if delta is None:
        return ""
    text = number(metric, abs(delta))
    return f"{'-' if delta < 0 else '+'}{text}"


def cell(metric: MetricRow, measurement: Measurement) -> str:
    """Write a value with its standard error, if that says something: where all rows are alike, 0
    is no error of what they were drawn from."""
    value, stderr = number(metric, measurement["value"]), measurement["stderr"]
    return f"{value} ±{number(metric, stderr)}" if stderr else value


def spread(metric: MetricRow, measurement: Measurement) -> str:
    """Write, where there is room, the interval that stands for the error of rows all alike."""
    if measurement["stderr"] != 0 or measurement["low"] == measurement["high"]:
        return ""
    return f" ({interval(metric, measurement)})"


def interval(metric: MetricRow, measurement: Measurement) -> str:
    """Write the interval of a value."""
    low, high = measurement["low"], measurement["high"]
    if low is None or high is None:
        return "–"  # noqa: RUF001
    return f"{number(metric, low)} to {number(metric, high)}"


def duration(seconds: float | None) -> str:
    """Write a span of time such as `45 s`, `3:05` or `2:10:00`."""
    if seconds is None:
        return "–"  # noqa: RUF001
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}:{minutes:02}:{left:02}"
    return f"{minutes}:{left:02}" if minutes else f"{left} s"


def gate_verdict(verdict: str, summary: str, by: str | None) -> str:
    """Write the gate's verdict, and who let the model pass: against it, where it was HOLD."""
    said = NO_GATE if summary == NO_GATE else verdict
    if by is None:
        return said
    return f"{said}, {'overruled' if verdict == GateDecision.HOLD else 'approved'} by {by}"


def differences(report: ComparisonReport, comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Return every metric's `metrics.results.Difference` of a comparison, by its title."""
    scores = {each["stage"]: each["score"] or {} for each in report["evaluations"]}
    found = scores[comparison["stage"]]["comparisons"][comparison["against"]]
    return {
        metric.title: found["metrics"][name]
        for name, metric in BY_NAME.items()
        if name in found["metrics"]
    }


def chance(p_value: float) -> str:
    """Write a p-value."""
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.4f}"


def _when(time: str | None) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M:%S}" if time else "–"  # noqa: RUF001


def _tone(word: str | None) -> str:
    return "good" if word in _GOOD else "bad" if word in _BAD else "plain"


def _read_as(labels: Sequence[str], at: int | None) -> str:
    """Write the label that an answer was read as."""
    return NO_VALID_LABEL if at is None else labels[at]


def _heat(count: int, row: list[int]) -> int:
    """Return a cell's share of its row in percent."""
    return round(100 * count / sum(row)) if sum(row) else 0


_environment = Environment(
    loader=PackageLoader("novaloop.reports"),
    autoescape=select_autoescape(("html.j2",), default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "when": _when,
    "duration": duration,
    "tone": _tone,
}
_environment.globals |= {
    "cell": cell,
    "chance": chance,
    "change": change,
    "gate_verdict": gate_verdict,
    "interval": interval,
    "no_gate": NO_GATE,
    "heat": _heat,
    "read_as": _read_as,
    "recomputed": recomputed,
    "spread": spread,
    "untested": untested,
    "differences": differences,
}
