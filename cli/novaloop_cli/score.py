"""`novaloop score`: measure a file of answers on this machine, as the metrics function does."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from novaloop.metrics.archive import ArchiveError, NoAnswers, archive_members
from novaloop.metrics.classification import NO_VALID_LABEL
from novaloop.metrics.comparison import HEADLINE_METRIC, DifferentRowsError
from novaloop.metrics.inferences import InferenceError
from novaloop.metrics.registry import BY_NAME, METRICS, ScoreSource
from novaloop.metrics.results import Score, TaskScore
from novaloop.metrics.rows import row_name
from novaloop.metrics.score import score_archive, score_lines
from novaloop.metrics.tasks import score_task
from novaloop.reports.measurements import task_reports
from novaloop_cli import views
from novaloop_cli.errors import Refused
from novaloop_cli.show import as_json, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from novaloop.metrics.results import Classification, Comparison, Difference, Estimate, Share
    from novaloop.metrics.rows import RowScores

_COMPARED = {
    metric.full_name or metric.name: metric
    for metric in METRICS
    if metric.source is not ScoreSource.CORPUS
}
"""By the names that a gate has for them; a corpus' metric has no value for each row."""
_SHOWN_ROWS = 10
_existing = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=_existing)
@click.option("--labels", metavar="A,B,...", help="The labels, if the answers are classes.")
@click.option("--against", type=_existing, help="Compare with these earlier answers, row by row.")
@click.option(
    "--max-new-tokens",
    type=click.IntRange(1),
    help="Count answers that were cut off; needs their log-probabilities.",
)
@click.option(
    "--metric",
    metavar="NAME",
    type=click.Choice([*_COMPARED]),
    default="exact_match",
    show_default=True,
    help=f"What --against tells of, row by row: {', '.join(_COMPARED)}.",
)
@as_json
def score(
    *,
    file: Path,
    labels: str | None,
    against: Path | None,
    max_new_tokens: int | None,
    metric: str,
    json_: bool,
) -> None:
    """Score the answers in FILE, without AWS.

    FILE is an inference_output.jsonl or an output.tar.gz. The output of a benchmark, a judge or
    rft_eval holds no answers: its own numbers are shown.

    By --labels, each answer is read twice. Strict: it is the label and nothing else. Lenient: the
    label that it names, as rewards read it.
    """
    chosen = _COMPARED[metric]
    if chosen.source is ScoreSource.LABELS and not labels:
        raise Refused(f"--metric {metric} needs --labels")
    names = tuple(label.strip() for label in (labels or "").split(",") if label.strip())
    found: Score | TaskScore
    try:
        earlier = {against.name: _score(against, names, None, {})[1]} if against else {}
        found, rows = _score(file, names, max_new_tokens, earlier, chosen.name)
    except NoAnswers:
        before = {against.name: _task(against, {})} if against else {}
        found = _task(file, before)
    if json_:
        print_json(found.to_dict())
    elif isinstance(found, Score):
        numbers = {row_name(key): number for number, key in enumerate(rows.keys.tolist(), 1)}
        _print(found, numbers, max_new_tokens, views.console())
    else:
        (content,) = task_reports({**before, file.name: found})
        views.console().print(views.task(content))


def _task(file: Path, earlier: Mapping[str, TaskScore]) -> TaskScore:
    try:
        with file.open("rb") as content:
            return score_task(archive_members(content), "reported", None, earlier)
    except (ArchiveError, OSError) as error:
        raise Refused(f"{file}: {error}") from error


def _score(
    file: Path,
    labels: tuple[str, ...],
    max_new_tokens: int | None,
    earlier: Mapping[str, RowScores],
    metric: str = HEADLINE_METRIC,
) -> tuple[Score, RowScores]:
    try:
        read = score_archive if tarfile.is_tarfile(file) else score_lines
        with file.open("rb") as content:
            return read(
                content,
                labels=labels,
                max_new_tokens=max_new_tokens,
                earlier=earlier,
                metric=metric,
            )
    except NoAnswers:
        raise
    except (ArchiveError, InferenceError, DifferentRowsError, OSError) as error:
        raise Refused(f"{file}: {error}") from error
    except ValueError as error:
        raise Refused(f"--labels: {error}") from error


def _print(
    found: Score, numbers: Mapping[str, int], max_new_tokens: int | None, out: Console
) -> None:
    compared = next(iter(found.comparisons.items()), None)
    out.print(_metrics(found, compared[1] if compared else None))
    if found.classification:
        out.print()
        out.print(_accuracies(found.classification))
        out.print()
        out.print(_confusion(found.classification))
    out.print()
    for line in _remarks(found, max_new_tokens):
        out.print(line)
    if compared:
        _print_comparison(*compared, numbers, out)


def _metrics(found: Score, compared: Comparison | None) -> Table:
    repeated = found.questions is not None and found.questions < found.n
    asked = f", {found.questions:,} different questions" if repeated else ""
    table = _table(views.rows(found.n) + asked)
    for heading in ("value", "± error", *(("change", "interval of it") if compared else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, estimate in found.metrics.items():
        difference = compared.metrics.get(name) if compared else None
        title = BY_NAME[name].title if name in BY_NAME else name
        table.add_row(title, *_estimate(estimate), *_change(difference))
    return table


def _estimate(estimate: Estimate) -> tuple[str, str]:
    error = f"± {estimate.stderr:.4f}" if estimate.stderr else ""
    return f"{estimate.value:.4f}", error


def _change(difference: Difference | None) -> tuple[str, ...]:
    if difference is None:
        return ()
    interval = "undecided"
    if difference.low is not None and difference.high is not None:
        interval = f"{difference.low:+.4f} to {difference.high:+.4f}"
    return f"{difference.difference:+.4f}", interval


def _accuracies(found: Classification) -> Table:
    table = _table("")
    for heading in ("rows", "share", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("Accuracy, strict", *_share(found.strict.accuracy))
    table.add_row("Accuracy, lenient", *_share(found.lenient.accuracy))
    table.add_row("No valid label, strict", *_share(found.strict.without_label))
    for label, scores in found.strict.classes.items():
        table.add_row(f"Recall of {label}", *_share(scores.recall))
    return table


def _share(share: Share) -> tuple[str, str, str]:
    if share.value is None or share.low is None or share.high is None:
        return f"{share.count} of {share.n}", "", ""
    interval = f"{share.low:.1%} to {share.high:.1%}"
    return f"{share.count} of {share.n}", f"{share.value:.1%}", interval


def _confusion(found: Classification) -> Table:
    table = _table("true, then generated (lenient)")
    for label in (*found.labels, NO_VALID_LABEL):
        table.add_column(label, justify="right", overflow="fold")
    for label, counts in zip(found.labels, found.lenient.confusion, strict=True):
        table.add_row(label, *map(str, counts))
    return table


def _remarks(found: Score, max_new_tokens: int | None) -> Iterator[str]:
    yield "±: the standard error of the value, by question; twice as much is about 95 %."
    if found.classification:
        yield "Strict: the answer is the label and nothing else; lenient: the label it names."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in found.notes)
    sizes = found.lengths
    yield f"Answers: median {sizes.median:,.0f} characters, longest {sizes.maximum:,}."
    if sizes.reached_limit is not None:
        count, n = sizes.reached_limit.count, sizes.reached_limit.n
        yield (
            f"Cut off at the token limit: {count} of {n}. A token is one log-probability that the "
            "file gives of an answer."
        )
    elif max_new_tokens is not None:
        yield (
            "Cut off at the token limit: not known. Tokens are counted by the log-probabilities of "
            "the answers, which the file does not have of each."
        )
    for defect in found.reported.defects if found.reported else ():
        yield f"The job's {defect.metric}: {defect.name}; {defect.explanation}."
    yield f"Evaluation set {found.evaluation_set[:12]}."


def _print_comparison(
    name: str, compared: Comparison, numbers: Mapping[str, int], out: Console
) -> None:
    out.print()
    out.print(f"Against {name}: {compared.summary}.")
    out.print(
        f"{compared.improved:,} {compared.counted} improved, {compared.regressed:,} regressed, "
        f"{compared.same} stayed the same."
    )
    for told, rows in (
        ("Improved", compared.improved_rows),
        ("Regressed", compared.regressed_rows),
    ):
        if rows:
            out.print(f"{told}: {_numbered(rows, numbers)}.")


def _numbered(rows: Sequence[str], numbers: Mapping[str, int]) -> str:
    """Name the first rows by their place in the file, which has one on each line."""
    found = sorted(numbers[row] for row in rows)
    more = len(found) - _SHOWN_ROWS
    listed = ", ".join(map(str, found[:_SHOWN_ROWS]))
    told = f"{listed} and others" if more > 0 else listed
    return f"{'row' if len(found) == 1 else 'rows'} {told}"


def _table(heading: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(heading, no_wrap=True)
    return table
