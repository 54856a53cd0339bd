"""`novaloop reward try`: score answers on this machine, by the code of the reward function."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from novaloop.datasets.options import SourceFormat
from novaloop.recipes.checks import check_function
from novaloop.rewards.outcome import UnusableSampleError
from novaloop.rewards.reward import (
    generated_answer,
    is_prompt,
    reference_answer,
    score_batch,
    why_unusable,
)
from novaloop.rewards.scorers import read_answer, reference_text
from novaloop_cli import views
from novaloop_cli.errors import Refused
from novaloop_cli.reward_function import ROWS, lambda_client, try_function, warnings
from novaloop_cli.show import as_json, print_json
from novaloop_cli.stack import attach, aws_account, local_stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

UNRELATED = "I don't know."
_SHOWN_CHARACTERS = 40
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class Trial:
    """One answer of one row, and what the reward function made of it."""

    line: int
    answer: str
    score: float
    has_form: bool
    read: str | None
    problem: str | None


@click.group()
def reward() -> None:
    """Work on the reward of reinforcement fine-tuning."""


@reward.command("try")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="Rows read.")
@click.option("--function", metavar="ARN", help="Call this function of yours, with three rows.")
@click.option("--profile", help="AWS profile; only with --function.")
@click.option("--local", is_flag=True, help="Call it in the running local cloud.")
@as_json
def try_(
    *, file: Path, limit: int, function: str | None, profile: str | None, local: bool, json_: bool
) -> None:
    """Score the rows of FILE, RFT rows as JSON Lines, without AWS.

    A row that ends with a generated turn is scored as it is. Any other is tried with its reference
    answer, an empty answer, an unrelated one, and each of the labels.

    With --function a Lambda function of your own scores the first three rows instead, first with
    their references as answers, then with empty answers. Exit code 2 if it does not keep the
    contract.
    """
    if SourceFormat.of(file.name) is SourceFormat.CSV:
        to = shlex.join(("novaloop", "convert", str(file), "rft.jsonl", "--method", "rft"))
        raise Refused(f"{file} is CSV, and rows are tried as JSON Lines; convert it first: {to}")
    if function is not None:
        if problems := list(check_function(function, "--function")):
            raise Refused(str(problems[0]))
        with _account(profile, function.split(":")[3], local=local):
            _try_function(function, _rows(file), as_json_=json_)
        return
    if profile or local:
        raise Refused("--profile and --local say where --function is called; give it too")
    trials = [trial for line, text in _lines(file, limit) for trial in try_row(line, text)]
    if not trials:
        raise Refused(f"{file} has no rows")
    if json_:
        print_json([asdict(trial) for trial in trials])
    else:
        views.console().print(_table(trials))
        _print_means(trials)
    _refuse_unusable(file, trials)


def _account(profile: str | None, region: str, *, local: bool) -> AbstractContextManager[object]:
    if local and profile:
        raise Refused("the local cloud has no --profile; leave out --local or --profile")
    return local_stack(attach()) if local else aws_account(profile, region)


def _rows(file: Path) -> dict[int, dict[str, Any]]:
    """Return the first rows of a file by their lines. Raises Refused."""
    rows: dict[int, dict[str, Any]] = {}
    for line, text in _lines(file, ROWS):
        row = _row(text)
        if isinstance(row, str):
            raise Refused(f"{file}: line {line} {row}")
        rows[line] = row
    if not rows:
        raise Refused(f"{file} has no rows")
    return rows


def _try_function(arn: str, rows: Mapping[int, dict[str, Any]], *, as_json_: bool) -> None:
    """Call a function with the rows and print what it makes of them. Raises Refused."""
    tried = try_function(lambda_client(arn), arn, list(rows.values()))
    told = [problem for each in tried for problem in dict.fromkeys(each.problems)]
    if told:
        what = f"{arn} does not keep the contract of reward functions:"
        raise Refused("\n  ".join((what, *told[:_SHOWN_PROBLEMS])))
    warned = list(warnings(tried, list(rows)))
    if as_json_:
        answers = [asdict(each) for each in tried]
        print_json({"lines": list(rows), "tried": answers, "warnings": warned})
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("line", "reference", "empty"):
        table.add_column(name, justify="right", no_wrap=True)
    for line, *scores in zip(rows, *(each.scores for each in tried), strict=True):
        table.add_row(str(line), *(f"{score:.2f}" for score in scores))
    views.console().print(table)
    first, second = (f"{each.seconds:.1f} s" for each in tried)
    views.console().print(f"\nIt keeps the contract. It took {first}, then {second}.")
    for warning in warned:
        views.console().print(Text(f"Warning: {warning}.", "yellow"))


def _lines(file: Path, limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield the first rows that aren't blank, with their line numbers."""
    with file.open("rb") as content:
        rows = ((line, text) for line, text in enumerate(content, 1) if text.strip())
        yield from islice(rows, limit)


def try_row(line: int, text: bytes) -> Iterator[Trial]:
    """Yield the trials of one line of a file; a line that is no row makes a single one."""
    row = _row(text)
    if isinstance(row, str):
        yield Trial(line, "", -1.0, False, None, row)
        return
    for answer, sample in _samples(row):
        yield _try(line, answer, sample)


def _row(text: bytes) -> dict[str, Any] | str:
    """Return the row of a line, or why it is none."""
    try:
        row = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return "is not JSON in UTF-8"
    return row if isinstance(row, dict) else "is not a JSON object"


def _samples(row: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a rollout as it is, a dataset's row with each answer to try; with what it is."""
    if not is_prompt(row):
        yield "generated", row
        return
    for name, answer in _answers_to_try(row).items():
        turn = {"role": "assistant", "content": answer}
        yield name, {**row, "messages": [*row["messages"], turn]}


def _answers_to_try(row: Mapping[str, Any]) -> dict[str, str]:
    answers = {"empty": "", "unrelated": UNRELATED}
    answers |= {f"label {label}": label for label in _labels(row.get("reward"))}
    try:
        return {"reference": reference_text(reference_answer(row)), **answers}
    except UnusableSampleError:
        return answers


def _labels(settings: object) -> list[str]:
    """Return the labels of a reward, or of the parts of a weighted one."""
    labels = [each for each in _listed(settings, "labels") if isinstance(each, str)]
    for part in _listed(settings, "parts"):
        labels += _labels(part.get("reward")) if isinstance(part, dict) else []
    return list(dict.fromkeys(labels))


def _listed(settings: object, name: str) -> list[object]:
    found = settings.get(name) if isinstance(settings, dict) else None
    return found if isinstance(found, list) else []


def _try(line: int, answer: str, sample: dict[str, Any]) -> Trial:
    (score,) = score_batch(sample)
    metrics = {metric["name"]: metric["value"] for metric in score["metrics_list"]}
    problem = why_unusable(sample)
    read = None if problem else read_answer(generated_answer(sample), sample.get("reward", {}))
    has_form = metrics["valid_answer"] == 1
    return Trial(line, answer, score["aggregate_reward_score"], has_form, read, problem)


def _table(trials: list[Trial]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("line", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("answer", "form", "read"):
        table.add_column(name, overflow="fold")
    for trial in trials:
        style = "green" if trial.score > 0 else "red"
        table.add_row(
            str(trial.line),
            Text(f"{trial.score:.2f}", style),
            Text(trial.answer),
            "yes" if trial.has_form else "no",
            Text(_shortened(trial.read), "dim" if trial.read is None else ""),
        )
    return table


def _shortened(read: str | None) -> str:
    if read is None:
        return "nothing"
    text = " ".join(read.split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _print_means(trials: list[Trial]) -> None:
    counts, totals = Counter[str](), Counter[str]()
    for trial in trials:
        counts[trial.answer] += 1
        totals[trial.answer] += trial.score  # type: ignore[assignment]
    means = (f"{name or 'no row'} {totals[name] / counts[name]:.2f}" for name in counts)
    views.console().print(f"\nMean score: {', '.join(means)}.")


def _refuse_unusable(file: Path, trials: list[Trial]) -> None:
    """Raise Refused with the lines that could not be scored, if there are any."""
    problems = {trial.line: trial.problem for trial in trials if trial.problem}
    if not problems:
        return
    shown = [f"line {line}: {why}" for line, why in islice(problems.items(), _SHOWN_PROBLEMS)]
    rows = len({trial.line for trial in trials})
    heading = f"{file}: {len(problems)} of {rows} rows can't be scored:"
    raise Refused("\n  ".join((heading, *shown)))
