"""`novaloop score`: measure a file of answers on this machine, as the metrics function does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from novaloop.metrics.classification import NO_VALID_LABEL
from novaloop.metrics.registry import BY_NAME
from novaloop.metrics.results import Score
from novaloop.reports.measurements import task_reports
from novaloop_cli import views
from novaloop_cli.evaluations import Reading, columns_of, read_evaluation, table_options
from novaloop_cli.show import as_json, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from novaloop.metrics.results import Classification, Estimate, Lengths, Share

with_labels = click.option(
    "--labels", metavar="A,B,...", help="The labels, if the answers are classes."
)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_labels
@click.option(
    "--max-new-tokens",
    type=click.IntRange(1),
    help="Count answers that were cut off; needs their log-probabilities.",
)
@table_options
@as_json
def score(
    *,
    file: Path,
    labels: str | None,
    max_new_tokens: int | None,
    columns: tuple[str, ...],
    delimiter: str | None,
    encoding: str | None,
    json_: bool,
) -> None:
    """Score the answers in FILE, without AWS.

    FILE is an inference_output.jsonl, an output.tar.gz, row scores, or a table (CSV or JSON Lines)
    of id, answer and reference. The output of a benchmark, a judge or rft_eval holds no answers:
    its own numbers are shown. `novaloop compare` tells of several files what differs.

    By --labels, each answer is read twice. Strict: it is the label and nothing else. Lenient: the
    label that it names, as rewards read it.
    """
    reading = Reading(
        labels=listed(labels),
        max_new_tokens=max_new_tokens,
        columns=columns_of(columns),
        delimiter=delimiter,
        encoding=encoding,
    )
    found = read_evaluation(file, reading).score
    if json_:
        print_json(found.to_dict())
    elif isinstance(found, Score):
        _print(found, max_new_tokens, views.console())
    else:
        (content,) = task_reports({file.name: found})
        views.console().print(views.task(content))


def listed(labels: str | None) -> tuple[str, ...]:
    """Return the labels of an option."""
    return tuple(label.strip() for label in (labels or "").split(",") if label.strip())


def _print(found: Score, max_new_tokens: int | None, out: Console) -> None:
    out.print(_metrics(found))
    if found.classification:
        out.print()
        out.print(_accuracies(found.classification))
        out.print()
        out.print(_confusion(found.classification))
    out.print()
    for line in _remarks(found, max_new_tokens):
        out.print(line)


def _metrics(found: Score) -> Table:
    repeated = found.questions is not None and found.questions < found.n
    asked = f", {found.questions:,} different questions" if repeated else ""
    table = _table(views.rows(found.n) + asked)
    for heading in ("value", "± error"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, estimate in found.metrics.items():
        title = BY_NAME[name].title if name in BY_NAME else name
        table.add_row(title, *_estimate(estimate))
    return table


def _estimate(estimate: Estimate) -> tuple[str, str]:
    error = f"± {estimate.stderr:.4f}" if estimate.stderr else ""
    return f"{estimate.value:.4f}", error


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
    if found.lengths is not None:
        yield from _sizes(found.lengths, max_new_tokens)
    for defect in found.reported.defects if found.reported else ():
        yield f"The job's {defect.metric}: {defect.name}; {defect.explanation}."
    yield f"Evaluation set {found.evaluation_set[:12]}."


def _sizes(sizes: Lengths, max_new_tokens: int | None) -> Iterator[str]:
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


def _table(heading: str) -> Table:
    table = views.plain_table()
    table.add_column(heading, no_wrap=True)
    return table
