"""`novaloop reward try`: score answers on this machine, by the code of the reward function."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from rich.table import Table
from rich.text import Text

from novaloop.datasets.convert import RowPlace
from novaloop.datasets.errors import DatasetRefused, Wording
from novaloop.datasets.options import RowFormat, SourceFormat
from novaloop.datasets.rejects import RejectLog
from novaloop.experiment.names import SPEC_FILE
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import roles, row_formats, source_stem
from novaloop.experiment.spec.reward import reward_settings
from novaloop.experiment.spec.stages import Role
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.recipes.checks import check_function
from novaloop.rewards.outcome import UnusableSampleError
from novaloop.rewards.reward import (
    EXACT,
    generated_answer,
    is_prompt,
    reference_answer,
    score_batch,
    why_unusable,
)
from novaloop.rewards.schema import violations
from novaloop.rewards.scorers import read_answer, reference_text, score_answer
from novaloop.rewards.trial import RewardTrial
from novaloop.usecases.conversion import dataset_options, rows_of
from novaloop_cli import views
from novaloop_cli.errors import Refused
from novaloop_cli.experiment_files import beginning, data_files
from novaloop_cli.reward_function import ROWS, lambda_client, try_function, warnings
from novaloop_cli.show import as_json, print_json
from novaloop_cli.stack import attach, aws_account, local_account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

UNRELATED = "I don't know."
LIMIT, FOLDER_LIMIT = 10, 3
MOST_ROWS = 100_000
"""Of how many rows of a file the references are tried: a minute's work."""
_SHOWN_CHARACTERS = 40
_SHOWN_PROBLEMS = 5
_SHOWN_PLACES = 3


@dataclass(frozen=True)
class Trial:
    """One answer of one row, what the reward function made of it, and why."""

    line: int
    answer: str
    score: float
    has_form: bool
    read: str | None
    why: str
    problem: str | None


@dataclass(frozen=True)
class Rewarded:
    """The file of an experiment whose rows are rewarded."""

    directory: Path
    spec: ExperimentSpec
    file: Path
    role: Role


@click.group()
def reward() -> None:
    """Work on the reward of reinforcement fine-tuning."""


@reward.command("try")
@click.argument(
    "path",
    metavar="[DIRECTORY|FILE]",
    default=Path(),
    type=click.Path(exists=True, path_type=Path),
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=f"Rows shown.  [default: {FOLDER_LIMIT} of a folder, {LIMIT} of a file]",
)
@click.option("--function", metavar="ARN", help="Call this function of yours, with three rows.")
@click.option("--profile", help="AWS profile; only where a function is called.")
@click.option("--local", is_flag=True, help="Call it in the running local cloud.")
@as_json
def try_(
    *,
    path: Path,
    limit: int | None,
    function: str | None,
    profile: str | None,
    local: bool,
    json_: bool,
) -> None:
    """Score answers by an experiment's reward, without AWS.

    DIRECTORY is an experiment's folder, by default this one: its rows are scored by the reward of
    its experiment.yaml. FILE is such a file of it, or one of RFT rows as JSON Lines, with their own
    rewards.

    Each row is tried with its reference answer, an empty answer, an unrelated one, and each of the
    labels. A row that ends with a generated turn is scored as it is. Of a folder it is also said
    how many of all references can earn the reward.

    With --function, or where experiment.yaml names one, a Lambda function of your own scores the
    first three rows instead, first with their references as answers, then with empty answers. Exit
    code 2 if it does not keep the contract.
    """
    rewarded = _rewarded(path)
    function = function or (rewarded.spec.reward_function if rewarded else None)
    if function is not None:
        rows = _rows(path) if rewarded is None else _rows_of(rewarded)
        if problems := list(check_function(function, "--function")):
            raise Refused(str(problems[0]))
        with _account(profile, function.split(":")[3], local=local):
            _try_function(function, rows, as_json_=json_)
        return
    if profile or local:
        raise Refused("--profile and --local say where --function is called; give it too")
    if rewarded is not None:
        _try_folder(rewarded, limit or FOLDER_LIMIT, as_json_=json_)
        return
    read = _lines(path, limit or LIMIT)
    trials = [trial for line, text in read for trial in try_row(line, text)]
    if not trials:
        raise Refused(f"{path} has no rows")
    _show(trials, as_json_=json_)
    _refuse_unusable(path, trials)


def _show(trials: list[Trial], *, as_json_: bool) -> None:
    if as_json_:
        print_json([asdict(trial) for trial in trials])
    else:
        views.console().print(_table(trials))
        _print_means(trials)


def _rewarded(path: Path) -> Rewarded | None:
    """Return what is rewarded of a folder, or of the folder that a file is used in; None for a
    file beside which is no experiment.yaml. Raises Refused."""
    directory = path if path.is_dir() else path.parent
    content = beginning(directory / SPEC_FILE)
    if path.is_file() and content is None:
        _require_rows(path)
        return None
    try:
        spec = ExperimentSpec() if content is None else read_spec(content)
    except Invalid as invalid:
        told = (f"{directory / SPEC_FILE} can't be used:", *map(str, invalid.problems))
        raise Refused("\n  ".join(told)) from None
    # Of those that are rewarded, what trains goes before what it is validated by.
    needed = [each for each in Role if each in roles(spec)]
    rewarded = [each for each in needed if RowFormat.RFT in row_formats(spec, each)]
    role = min(rewarded, key=lambda each: each is not Role.RFT, default=None)
    files = [] if role is None else data_files(directory, spec)[source_stem(spec, role)]
    if path.is_file():
        if role is not None and path in files:
            return Rewarded(directory, spec, path, role)
        _require_rows(path)
        return None
    if role is None:
        raise Refused(f"{directory}: no stage of the plan is rewarded; add rft to it")
    if not files:
        name = f"{source_stem(spec, role)}.csv"
        raise Refused(f"{directory} has no {name}, whose rows are rewarded; add it")
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise Refused(f"{directory}: {names} are the same dataset; keep one of them")
    return Rewarded(directory, spec, files[0], role)


def _require_rows(path: Path) -> None:
    """Raise Refused for a file that is none of RFT rows, as its name tells."""
    if SourceFormat.of(path.name) is SourceFormat.CSV:
        to = shlex.join(("novaloop", "convert", str(path), "rft.jsonl", "--method", "rft"))
        why = f"{path} is CSV, and no {SPEC_FILE} beside it rewards its rows"
        raise Refused(f"{why}; write one that does, or convert the file and try the result: {to}")


def _placed(rewarded: Rewarded, log: RejectLog) -> Iterator[tuple[RowPlace, bytes]]:
    """Yield the rows as their training gets them, also those that can't earn their reward."""
    source_format = SourceFormat.of(rewarded.file.name) or SourceFormat.CSV
    spec, role = rewarded.spec, rewarded.role
    options = dataset_options(spec, source_format)
    options = replace(options, tries_reward=False, wording=Wording(shows_found=True))
    at = row_formats(spec, role).index(RowFormat.RFT)
    try:
        with ExitStack() as opened:
            open_source = partial(_opened, rewarded.file, opened)
            for rows, place in rows_of(spec, role, open_source, options, log):
                yield from ((place(index), row) for index, row in enumerate(rows.lines[at]))
    except DatasetRefused as refused:
        raise Refused(f"{rewarded.file}: {options.wording.told(refused)}") from None


def _opened(file: Path, opened: ExitStack) -> BinaryIO:
    return opened.enter_context(file.open("rb"))


def _rows_of(rewarded: Rewarded) -> dict[int, dict[str, Any]]:
    log = RejectLog(lambda _: None)
    return {
        place.line: json.loads(row) for place, row in islice(_placed(rewarded, log), ROWS)
    } or _no_rows(rewarded, log)


def _no_rows(rewarded: Rewarded, log: RejectLog) -> dict[int, dict[str, Any]]:
    _, first = log.first
    raise Refused(f"{rewarded.file} has no rows that can be used{first and f': {first}'}")


def _try_folder(rewarded: Rewarded, limit: int, *, as_json_: bool) -> None:
    """Show what the first rows earn, and how many of all can. Raises Refused."""
    log, seen = RejectLog(lambda _: None), 0
    trials: list[Trial] = []
    unearned: dict[str, list[RowPlace]] = {}
    tries: dict[str, RewardTrial] = {}
    of_labels = bool(rewarded.spec.labels)
    for place, line in islice(_placed(rewarded, log), MOST_ROWS):
        seen += 1
        row = json.loads(line)
        if seen <= limit:
            trials += try_row(place.line, line)
        settings = row.get("reward")
        key = json.dumps(settings)
        trial = tries.setdefault(key, RewardTrial(settings, of_labels=of_labels))
        if why := trial.why_never(reference_answer(row)):
            unearned.setdefault(why, []).append(place)
    if not trials:
        _no_rows(rewarded, log)
    earned = seen - sum(map(len, unearned.values()))
    if as_json_:
        shown = [asdict(trial) for trial in trials]
        print_json({"rows": seen, "can_earn_reward": earned, "trials": shown})
    else:
        out = views.console()
        out.print(f"{rewarded.file}, reward: {_told_reward(rewarded.spec)}\n")
        _show(trials, as_json_=False)
        of_first = f" of the first {MOST_ROWS:,}" if seen == MOST_ROWS else ""
        share = f"{earned:,} of {views.rows(seen)}{of_first} ({earned / seen:.0%})"
        out.print(f"References that can earn the full reward: {share}.")
        if log.rows:
            to = shlex.join(("novaloop", "plan", str(rewarded.directory)))
            out.print(Text(f"{views.rows(log.rows)} can't be used; why: {to}", "yellow"))
    if unearned:
        told = (
            f"{views.first_of(places, _SHOWN_PLACES)}: {why}" for why, places in unearned.items()
        )
        heading = f"{rewarded.file}: {seen - earned:,} of {views.rows(seen)} can't earn the reward:"
        raise Refused("\n  ".join((heading, *told)))


def _told_reward(spec: ExperimentSpec) -> str:
    """Name the reward of an experiment and say where it comes from."""
    settings = reward_settings(spec.reward, spec.labels)
    if settings is None:
        return "exact, as experiment.yaml has neither reward nor labels, or as a row says"
    kind = str(settings["type"])
    if kind == "weighted":
        parts = (f"{each['weight']:g} {each['reward']['type']}" for each in settings["parts"])
        kind = f"weighted ({', '.join(parts)})"
    return kind if spec.reward is not None else f"{kind}, as experiment.yaml has labels"


def _account(profile: str | None, region: str, *, local: bool) -> AbstractContextManager[object]:
    if local and profile:
        raise Refused("the local cloud has no --profile; leave out --local or --profile")
    return local_account(attach()) if local else aws_account(profile, region)


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
    table = views.plain_table()
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
        yield Trial(line, "", -1.0, False, None, row, row)
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
    problem, earned = why_unusable(sample), score["aggregate_reward_score"]
    has_form = metrics["valid_answer"] == 1
    if problem:
        return Trial(line, answer, earned, has_form, None, problem, problem)
    settings, text = sample.get("reward", EXACT), generated_answer(sample)
    read = read_answer(text, settings)
    why = _why(text, reference_answer(sample), settings, read, earned)
    if read is not None and not has_form and text:
        why += ", not in the form asked for"
    return Trial(line, answer, earned, has_form, read, why, None)


def _why(
    text: str, reference: object, settings: Mapping[str, Any], read: str | None, score: float
) -> str:
    """Say by what an answer earned its score."""
    told, penalty = "", 0.0
    if "length_penalty" in settings:
        whole = {name: each for name, each in settings.items() if name != "length_penalty"}
        penalty = score_answer(text, reference, whole)[0] - score
        score += penalty
    match settings.get("type", "exact"):
        case "weighted":
            scores = (
                f"{part['reward']['type']} {score_answer(text, reference, part['reward'])[0]:.2f}"
                f" by {part.get('weight', 1):g}"
                for part in settings["parts"]
            )
            told = ", ".join(scores)
        case "json":
            told = _why_json(read or "", settings.get("schema", {}))
        case "f1":
            told = f"F1 of the words is {(score + 1) / 2:.2f}"
        case "custom":
            told = f"{settings.get('name')} says so"
        case kind:
            told = _why_compared(kind, reference, read, right=score > 0)
    return f"{told}; {penalty:.2f} less for its length" if penalty else told


_READS_NOTHING = {
    "label": "names no label",
    "numeric": "has no number",
    "regex": "the pattern is not found",
}


def _why_compared(kind: object, reference: object, read: str | None, *, right: bool) -> str:
    if read is None:
        return _READS_NOTHING[str(kind)]
    told = f"reads {_shortened(read)}" if read.strip() else "is empty"
    if right:
        return told
    wanted = ", ".join(map(str, reference)) if isinstance(reference, list) else None
    return f"{told}, not {_shortened(wanted or reference_text(reference))}"


def _why_json(read: str, schema: object) -> str:
    try:
        value = json.loads(read)
    except (ValueError, RecursionError):
        return "is no JSON"
    wrong = violations(value, schema)
    return f"JSON that does not fit: {wrong[0]}" if wrong else "JSON that fits"


def _table(trials: list[Trial]) -> Table:
    table = views.plain_table()
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("answer", overflow="fold", max_width=26)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    before = None
    for trial in trials:
        style = "green" if trial.score > 0 else "red"
        table.add_row(
            str(trial.line) if trial.line != before else "",
            Text(trial.answer),
            Text(f"{trial.score:.2f}", style),
            Text(trial.why),
        )
        before = trial.line
    return table


def _shortened(read: str) -> str:
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
