"""`novaloop compare`: what differs between evaluations, and whether that is more than chance."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from novaloop import reports
from novaloop.experiment.names import MAX_EXPERIMENT_WITHOUT_UID, is_name
from novaloop.metrics import comparison
from novaloop.metrics.flips import Flip, Flips, listed_rows, pair_up
from novaloop.metrics.registry import BY_NAME, GIVEN_SCORE, METRICS, ScoreSource
from novaloop.metrics.results import Score, TaskScore, percent
from novaloop.metrics.rows import GivenScores, row_name
from novaloop.metrics.tasks import changes_of
from novaloop_cli import views
from novaloop_cli.errors import Refused
from novaloop_cli.evaluations import (
    Evaluation,
    Reading,
    columns_of,
    read_evaluation,
    require_pairs,
    table_options,
)
from novaloop_cli.experiments import Compared, compare_experiments
from novaloop_cli.numbers import NumberRange
from novaloop_cli.reporting import write_files
from novaloop_cli.score import listed, with_labels
from novaloop_cli.show import as_json, print_json
from novaloop_cli.stack import Choice, with_choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from novaloop.metrics.results import Comparison, Difference
    from novaloop.reports import ComparisonReport

_COMPARED = {
    metric.full_name or metric.name: metric
    for metric in METRICS
    if metric.source in {ScoreSource.PAIR, ScoreSource.LABELS}
}
"""By the names that a gate has for them; a corpus' metric has no value for each row."""
DEFAULT_METRIC = "exact_match"
SHOWN = 10
"""How many rows are named beside their number."""


@click.command()
@click.argument("evaluations", metavar="A B ...", nargs=-1, required=True)
@with_labels
@click.option(
    "--metric",
    metavar="NAME",
    type=click.Choice([*_COMPARED]),
    help=f"What decides: {', '.join(_COMPARED)}; else {DEFAULT_METRIC}.",
)
@click.option(
    "--confidence",
    type=NumberRange(0.5, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of all intervals, two-sided.",
)
@table_options
@click.option(
    "--out",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.html, .json and .md.",
)
@as_json
@with_choice
def compare(
    choose: Callable[[], Choice],
    *,
    evaluations: tuple[str, ...],
    labels: str | None,
    metric: str | None,
    confidence: float,
    columns: tuple[str, ...],
    delimiter: str | None,
    encoding: str | None,
    directory: Path | None,
    json_: bool,
) -> None:
    """Compare evaluations with the first of them, row by row.

    A, B and others are files, and nothing of AWS is asked for: an inference_output.jsonl, an
    output.tar.gz, row scores, or tables (CSV or JSON Lines) of id and score, or of id, answer and
    reference. Rows belong together by their id, or else by their question. Rows of one question
    are one case.

    Or they are experiments of a stack, of which no files have the names: then also what differs in
    their settings, and what a point of the metric cost.
    """
    if len(evaluations) < 2:
        raise Refused("name at least two evaluations: the first is what others are compared with")
    reading = Reading(
        labels=listed(labels),
        confidence=confidence,
        columns=columns_of(columns),
        delimiter=delimiter,
        encoding=encoding,
    )
    if any(
        Path(each).is_file() or not is_name(each, MAX_EXPERIMENT_WITHOUT_UID)
        for each in evaluations
    ):
        compared = _compare_files([_file(each) for each in evaluations], reading, metric)
    else:
        compared = compare_experiments(choose().find(), evaluations, metric, confidence)
    page = _write(compared.content, directory) if directory is not None else None
    if json_:
        print_json(compared.content)
        return
    _print(compared, views.console())
    if page is not None:
        click.echo(f"\nReport: {page}")


def _write(content: ComparisonReport, directory: Path) -> Path:
    page, markdown = reports.comparison_html(content), reports.comparison_markdown(content)
    return write_files(content, page, markdown, directory)


def _file(name: str) -> Path:
    if not Path(name).is_file():
        what = "is a folder, and no file" if Path(name).is_dir() else "there is no such file"
        raise Refused(f"{name}: {what}")
    return Path(name)


def _compare_files(files: Sequence[Path], reading: Reading, metric: str | None) -> Compared:
    read_files = [read_evaluation(file, reading) for file in files]
    if not all(each.has_ids for each in read_files):
        # Where questions are all that one file has to find rows by, they are what all have.
        by_question = replace(reading, by_id=False)
        read_files = [each.read_again(by_question) for each in read_files]
    found = dict(zip(_short(files), read_files, strict=True))
    (first_name, first), *others = found.items()
    has_scores = isinstance(first.rows, GivenScores)
    if metric is not None and (has_scores or first.rows is None):
        what = "scores, which are compared as they are" if has_scores else "the job's own totals"
        raise Refused(f"--metric {metric} needs answers, and {first.file} holds {what}")
    if metric and _COMPARED[metric].source is ScoreSource.LABELS and not first.labels:
        raise Refused(f"--metric {metric} needs --labels")
    decides = GIVEN_SCORE if has_scores else _COMPARED[metric or DEFAULT_METRIC].name
    read = {first_name: first.score}
    flips: dict[str, dict[str, Flips]] = {}
    for name, other in others:
        require_pairs(first, other)
        read[name] = _against(first_name, first, other, decides, reading.confidence)
        if changed := _flips(first, other, read[name], first_name):
            flips[name] = {first_name: changed}
    title = f"{', '.join(name for name, _ in others)} against {first_name}"
    content = reports.comparison(title, read, BY_NAME[decides].title, flips=flips)
    return Compared(content, read, {name: each.names() for name, each in found.items()})


def _short(files: Sequence[Path]) -> list[str]:
    """Return names for files: as much of each path's end as tells it apart, or else a number."""
    names: list[str] = []
    seen: Counter[str] = Counter()
    for file in files:
        parts = file.parts
        others = [each.parts for each in files if each != file]
        length = next(
            size
            for size in range(1, len(parts) + 1)
            if size == len(parts) or all(each[-size:] != parts[-size:] for each in others)
        )
        name = str(Path(*parts[-length:]))
        seen[name] += 1
        names.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return names


def _against(
    first_name: str, first: Evaluation, other: Evaluation, metric: str, confidence: float
) -> Score | TaskScore:
    """Return the score of an evaluation with its comparison with the first."""
    if isinstance(other.score, TaskScore) or other.rows is None or first.rows is None:
        changes = changes_of(first.score.metrics, other.score.metrics, confidence)
        return TaskScore("reported", None, other.score.metrics, {first_name: changes})
    found = comparison.compare(first.rows, other.rows, metric, confidence)
    return replace(other.score, comparisons={first_name: found})


def _flips(
    first: Evaluation, other: Evaluation, score: Score | TaskScore, first_name: str
) -> Flips | None:
    """Return the texts of the rows that changed, or their scores; None where none are known."""
    if isinstance(score, TaskScore):
        return None
    found = score.comparisons[first_name]
    if isinstance(first.rows, GivenScores) and isinstance(other.rows, GivenScores):
        return _flips_of_scores(found, first, other)
    wanted = listed_rows(found)
    before, after = first.answers(wanted), other.answers(wanted)
    return None if before is None or after is None else pair_up(found, before, after)


def _flips_of_scores(found: Comparison, first: Evaluation, other: Evaluation) -> Flips:
    before, after = (_scores_by_row(each) for each in (first, other))
    asked = other.asked()
    return Flips(
        *(
            tuple(Flip(row, asked[row], "", before[row], after[row]) for row in rows)
            for rows in (found.improved_rows, found.regressed_rows)
        )
    )


def _scores_by_row(evaluation: Evaluation) -> dict[str, str]:
    rows = evaluation.rows
    if not isinstance(rows, GivenScores):
        return {}
    return {
        row_name(key): f"{score:g}"
        for key, score in zip(rows.keys.tolist(), rows.scores.tolist(), strict=True)
    }


def _print(compared: Compared, out: Console) -> None:
    content = compared.content
    if content["experiments"]:
        _print_experiments(content, out)
    for task in content["tasks"]:
        out.print(views.task(task))
        out.print()
    for told in _totals(compared):
        out.print(told, markup=False)
    for line in content["comparisons"]:
        before, after = line["against"], line["stage"]
        score = compared.read[after]
        if not isinstance(score, Score):
            continue
        found = score.comparisons[before]
        out.print(_changes(before, after, found))
        out.print()
        out.print(f"{after} against {before}: {found.summary}.", markup=False)
        counted = found.counted.removesuffix("s") if found.improved == 1 else found.counted
        out.print(
            f"{found.improved:,} {counted} improved, {found.regressed:,} regressed, "
            f"{found.same:,} stayed the same."
        )
        names = compared.names.get(after, {})
        for told, rows in (("Improved", found.improved_rows), ("Regressed", found.regressed_rows)):
            if rows and names:
                in_order = [name for row, name in names.items() if row in rows]
                out.print(f"{told}: {_named(in_order)}.", markup=False)
        out.print()
    for note in content["notes"]:
        out.print(f"{note}.", markup=False)
    if content["comparisons"] and len(content["metrics"]) > 1:
        out.print(
            f"{content['metric']} decides; the others are tested each by itself, and describe."
        )


def _totals(compared: Compared) -> Iterator[str]:
    """Yield what is to be made of the totals of jobs."""
    for after, score in compared.read.items():
        for before, changes in score.changes.items() if isinstance(score, TaskScore) else ():
            for name, change in changes.items():
                bounds = f"{change.low:+.3f} to {change.high:+.3f}"
                yield (
                    f"{after} against {before}: {name}, {change.verdict}: {change.earlier:.3f} to "
                    f"{change.later:.3f}, {percent(change.confidence)} interval of the change "
                    f"{bounds}, by {change.method}."
                )


def _changes(before: str, after: str, found: Comparison) -> Table:
    table = views.plain_table()
    table.add_column("", no_wrap=True)
    confidence = percent(next(iter(found.metrics.values())).confidence)
    for heading in (before, after, "change", f"{confidence} interval"):
        table.add_column(Text(heading), justify="right", overflow="fold", max_width=16)
    for name, metric in BY_NAME.items():
        if name in found.metrics:
            table.add_row(metric.title, *_row(name, found.metrics[name]))
    return table


def _row(name: str, change: Difference) -> tuple[Text, ...]:
    digits = 2 if BY_NAME[name].source is ScoreSource.CORPUS else 3
    interval = "undecided"
    if change.low is not None and change.high is not None:
        interval = f"{change.low:+.{digits}f} to {change.high:+.{digits}f}"
    told = (f"{change.earlier:.{digits}f}", f"{change.later:.{digits}f}")
    return (
        *map(Text, told),
        Text(f"{change.difference:+.{digits}f}", views.tone(change.verdict)),
        Text(interval),
    )


def _named(rows: Sequence[str]) -> str:
    told = ", ".join(rows[:SHOWN])
    more = " and others" if len(rows) > SHOWN else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {told}{more}"


def _print_experiments(content: ComparisonReport, out: Console) -> None:
    table = views.plain_table()
    table.add_column("experiment", overflow="fold")
    table.add_column("evaluation", overflow="fold")
    for heading in ("$ in all", "$ of jobs", "gained", "$ per point"):
        table.add_column(heading, justify="right")
    for each in content["experiments"]:
        gain = "–" if each["gain"] is None else f"{each['gain']:+.3f}"  # noqa: RUF001
        table.add_row(
            each["name"],
            each["evaluation"] or "–",  # noqa: RUF001
            _usd(each["usd"]),
            _usd(each["jobs_usd"]),
            Text(gain, views.tone(each["verdict"])),
            _usd(each["usd_per_point"]),
        )
    out.print(table)
    out.print(
        f"Gained: in {content['metric']}, over the experiment's own first evaluation. A point is a "
        "hundredth of it; its price is told where the test shows a gain. By list prices."
    )
    out.print()
    first = content["experiments"][0]["name"]
    for each in content["experiments"]:
        if each["settings"]:
            out.print(f"{each['name']}: settings that differ from {first}", style="bold")
            for line in each["settings"]:
                out.print(f"  {line}", markup=False, highlight=False)
            out.print()
        if each["not_compared"]:
            out.print(f"{each['name']}: {each['not_compared']}.", markup=False)
            out.print()


def _usd(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"  # noqa: RUF001
