"""What the terminal shows: the stages, the metrics, the datasets, in 80 columns."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from novaloop.datasets.errors import told_once
from novaloop.experiment.controller.strays import what_is_not_used
from novaloop.experiment.costs.budget import cost_usd
from novaloop.experiment.record import (
    CONVERTING,
    MAX_STRAYS_LIKE_DATASETS,
    NO_GATE,
    DatasetItem,
    DatasetStatus,
    HistoryEntry,
    Record,
    ScoreItem,
    Snapshot,
    Stage,
    StageState,
    Status,
)
from novaloop.experiment.spec.stages import Role
from novaloop.recipes.catalog import metric_of
from novaloop.reports.pages import cell, change, duration, gate_verdict, interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from novaloop.reports.schema import MetricRow, Report, TaskReport

MARKS: Mapping[StageState, tuple[str, str]] = {
    StageState.PENDING: ("·", "dim"),
    StageState.CLAIMED: ("○", "cyan"),
    StageState.WAITING: ("◌", "yellow"),
    StageState.RUNNING: ("●", "cyan"),
    StageState.CLEARING: ("◌", "yellow"),
    StageState.SCORING: ("●", "cyan"),
    StageState.SUCCEEDED: ("✓", "green"),
    StageState.FAILED: ("✗", "red"),
    StageState.STOPPED: ("■", "yellow"),
}
STYLES: Mapping[str, str] = {
    Status.LIVE: "bold green",
    Status.COMPLETED: "bold green",
    Status.FAILED: "bold red",
    Status.REJECTED: "bold red",
    Status.HELD: "bold yellow",
    Status.AWAITING_APPROVAL: "bold yellow",
}
UPLOADED = "was uploaded and waits to be looked at"
FIRST_REJECTS = 3
"""How many rows that one rule rejects are named beside their number."""
_TONES = {"better": "green", "worse": "red"}


def plain_table() -> Table:
    """Return a table without lines, to be given columns and rows."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def first_of(words: Sequence[object], most: int) -> str:
    """Write the first of some words, and how many more there are."""
    told = ", ".join(map(str, words[:most]))
    return f"{told} and {len(words) - most:,} more" if len(words) > most else told


def console(*, stderr: bool = False) -> Console:
    """Return a console on the present standard output or error, which prints text as it stands.

    What it prints was written by people and by AWS: a column's name, a label, a reason. Rich would
    take `[i]` in it for a style, fail over `[/x]`, and make a picture of `:x:`. What has a style
    is a `rich.text.Text`.
    """
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)


def header(snapshot: Snapshot, record: Record) -> Text:
    """Return the experiment's name, status and reason."""
    status = Text(record.status, STYLES.get(record.status, "bold"))
    reason = record.reason
    busy = any(item.status is DatasetStatus.INGESTING for item in snapshot.datasets.values())
    if record.status is Status.COLLECTING and reason.startswith(f"{CONVERTING} ") and not busy:
        # The record is as old as the last look, the datasets as new as their conversions.
        reason = "what was uploaded is converted, and waits to be looked at"
    if "\n" in reason:  # of a list of problems, each has a line of its own
        reason = "".join(f"\n  {line}" for line in reason.splitlines())
    return Text.assemble((record.experiment_id, "bold"), "  ", status, "  ", reason)


def errors_of_spec(snapshot: Snapshot) -> list[Text]:
    """Return what is wrong with experiment.yaml where it is more than the record's reason tells."""
    item, record = snapshot.spec, snapshot.record
    if item is None or item.spec is not None or (record is not None and record.is_settled):
        return []
    errors = item.errors
    return [Text(f"  {error}", "red") for error in errors] if len(errors) > 1 else []


def summary(
    snapshot: Snapshot, record: Record, now: datetime, command: Callable[..., str]
) -> Group:
    """Return where it stands, and below it the stages; before there are any, the datasets."""
    rows: list[RenderableType] = [header(snapshot, record), *errors_of_spec(snapshot)]
    if record.stages:
        rows += [Text(""), stages(record, snapshot.scores, now)]
    else:
        rows += files(snapshot, record, command)
    return Group(*rows)


def files(snapshot: Snapshot, record: Record, command: Callable[..., str]) -> list[RenderableType]:
    """Return what was uploaded; once that is settled, what the experiment runs by."""
    remarks = remarks_on_files(snapshot, record, command)
    if record.is_settled:
        table = [_settled(record, snapshot.datasets)] if record.datasets else []
        return [Text(""), Group(*table, *remarks)] if table or remarks else []
    if not snapshot.datasets and not snapshot.strays.names:
        return []
    return [Text(""), datasets(snapshot.datasets, remarks)]


def _settled(record: Record, items: Mapping[str, DatasetItem]) -> Table:
    """Return the datasets that the experiment runs by.

    How many rows were rejected is known only where no later upload has replaced the item.
    """
    table = _table_of_datasets()
    for role, used in sorted(record.datasets.items()):
        item = items.get(role)
        rejected = f"{item.rejected_rows:,}" if item and record.uses(item) else "?"
        note = Text(f"sha256 {used.sha256[:12]}" if used.sha256 else "", "dim")
        table.add_row(role, "used", f"{used.rows:,}", rejected, note)
    return table


def _table_of_datasets() -> Table:
    table = plain_table()
    table.add_column("dataset")
    table.add_column("state")
    table.add_column("rows", justify="right")
    table.add_column("rejected", justify="right")
    table.add_column("", overflow="fold")
    return table


def stages(record: Record, scores: Mapping[tuple[str, int], ScoreItem], now: datetime) -> Table:
    """Return the stages with their states, times, progress and headline metric."""
    table = plain_table()
    table.add_column("")
    table.add_column("stage", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for stage in record.stages:
        mark, style = MARKS[stage.state]
        table.add_row(
            Text(mark, style),
            Text(stage.name, "dim" if stage.state is StageState.PENDING else ""),
            Text(stage.state.lower(), style),
            _elapsed(stage, now),
            _news(stage, scores, now),
        )
    return table


def _elapsed(stage: Stage, now: datetime) -> str:
    begun = stage.attempt.started_at or stage.attempt.claimed_at
    if begun is None or stage.state is StageState.WAITING:
        return ""
    return duration(max(0.0, ((stage.attempt.ended_at or now) - begun).total_seconds()))


def _news(
    stage: Stage, scores: Mapping[tuple[str, int], ScoreItem], now: datetime
) -> RenderableType:
    """Return what is worth knowing of a stage now."""
    if stage.state is StageState.WAITING:
        when = f"next try {_in(stage.next_try_at, now)}: " if stage.next_try_at else ""
        return Text(f"{when}{stage.reason or ''}", "yellow")
    if stage.state is StageState.SUCCEEDED:
        return _result(stage, scores)
    if stage.reason:
        return Text(stage.reason, MARKS[stage.state][1])
    if stage.state is StageState.RUNNING and stage.attempt.progress:
        return _progress(stage, now)
    return ""


def _in(time: datetime, now: datetime) -> str:
    return f"in {duration(max(0.0, (time - now).total_seconds()))}"


def _progress(stage: Stage, now: datetime) -> RenderableType:
    """Return the phase, or a bar of the training's steps; below it, what goes wrong."""
    progress = stage.attempt.progress
    if progress is None:
        return ""
    warnings = [Text(note.message, "yellow") for note in stage.attempt.health]
    if not progress.step or not progress.max_steps:
        return Group(progress.phase, *warnings)
    left = f", done {_in(progress.finishes_at, now)}" if progress.finishes_at else ""
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=progress.max_steps, completed=progress.step, width=12)
    row.add_row(bar, f"step {progress.step} of {progress.max_steps}{left}")
    return Group(row, *warnings)


def _result(stage: Stage, scores: Mapping[tuple[str, int], ScoreItem]) -> RenderableType:
    item = scores.get((stage.name, stage.attempt.number))
    if item is None or not item.score.get("metrics"):
        return Text(stage.reason or "", "dim")
    if "task" in item.score:
        return _headline(item.score)
    text = _estimate("exact match", item.score["metrics"]["em"])
    found = item.score.get("classification")
    return (
        f"{text}, lenient accuracy {found['lenient']['accuracy']['value']:.3f}" if found else text
    )


def _headline(score: Mapping[str, Any]) -> str:
    """Return the metric that the task's recipe asks for, or else the first one."""
    metrics, asked = score["metrics"], metric_of(score["task"])
    name = asked if asked in metrics else next(iter(metrics))
    return _estimate(f"{score['task']} {name}", metrics[name])


def _estimate(name: str, estimate: Mapping[str, float | None]) -> str:
    error = f" ±{estimate['stderr']:.3f}" if estimate["stderr"] else ""
    return f"{name} {estimate['value']:.3f}{error}"


def datasets(items: Mapping[str, DatasetItem], remarks: Iterable[Text] = ()) -> Group:
    """Return the datasets with their rows and rejects; below, what is to be said of the files."""
    table = _table_of_datasets()
    for role, item in sorted(items.items()):
        is_rejected = item.status is DatasetStatus.REJECTED
        note = item.reason or (f"sha256 {item.sha256[:12]}" if item.sha256 else "")
        table.add_row(
            role,
            Text(item.status.lower(), "red" if is_rejected else ""),
            f"{item.rows:,}",
            f"{item.rejected_rows:,}",
            Text("" if is_rejected else note, "dim"),
        )
    return Group(*([table] if items else []), *remarks)


def rejected_rows(
    items: Mapping[str, DatasetItem], where: Callable[[DatasetItem], str]
) -> list[Text]:
    """Return how many rows of each file are rejected, which are the first of each rule, and where
    all of them are."""
    lines: list[Text] = []
    # The datasets that are made of one file have its rejects in common.
    for item in {item.file: item for _, item in sorted(items.items(), reverse=True)}.values():
        if not item.rejected_rows:
            continue
        by_rule = item.summary.get("rejects", {})
        told = "; ".join(_first_rejects(rule, each) for rule, each in by_rule.items())
        what = f"{item.file}: {rows(item.rejected_rows)} rejected{told and f': {told}'}"
        lines.append(Text(f"{what}. All of them: {where(item)}", "yellow"))
    return lines


def _first_rejects(rule: str, rejected: Mapping[str, Any]) -> str:
    lines = rejected["first_lines"][:FIRST_REJECTS]
    numbers = rejected["first_rows"][:FIRST_REJECTS]
    first = (
        [f"row {row} (line {line})" for row, line in zip(numbers, lines, strict=True)]
        if numbers
        else [f"line {line}" for line in lines]
    )
    more = rejected["rows"] - len(first)
    return f"{rule} in {', '.join(first)}{f' and {more:,} more' if more else ''}"


def remarks_on_files(snapshot: Snapshot, record: Record, command: Callable[..., str]) -> list[Text]:
    """Return why files are refused, where the record's reason does not tell it; what is rejected
    of them, and how to see it; and why others of the folder are not used. Each problem is one line,
    in however many files it is."""
    strays, name = snapshot.strays, snapshot.experiment_id
    items = {role: item for role, item in snapshot.datasets.items() if record.uses(item)}
    in_order = sorted(items.values(), key=lambda item: [*Role, item.role].index(item.role))
    rejected = told_once(
        (item.file, item.reason) for item in in_order if item.status is DatasetStatus.REJECTED
    )
    idle = what_is_not_used(name, strays.names, record.spec, strays.more, MAX_STRAYS_LIKE_DATASETS)
    return [
        *(Text(line, "red") for line in rejected if line not in record.reason),
        *rejected_rows(items, lambda item: command("rejects", name, item.role)),
        *(Text(line, "yellow") for line in idle),
    ]


def cost(record: Record, now: datetime) -> str:
    """Say what was spent so far, and what else is committed."""
    known = cost_usd(record, now)
    if known is None:
        return "not known: no price of what it uses is"
    expires_at = record.endpoint.expires_at if record.endpoint else None
    until = f" until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else ""
    committed = f", {known.committed:,.2f} USD committed{until}" if known.committed else ""
    return f"{known.spent:,.2f} USD spent{committed}, by the packaged prices"


def rows(count: int) -> str:
    """Write a number of rows."""
    return "1 row" if count == 1 else f"{count:,} rows"


def metrics(report: Report) -> Table:
    """Return every metric at every evaluation, with its error and its change."""
    table = plain_table()
    table.add_column("", no_wrap=True)
    scored = [item["stage"] for item in report["evaluations"] if item["score"]]
    for index, stage in enumerate(scored):
        table.add_column(stage, justify="right", no_wrap=True)
        if index:
            table.add_column("change", justify="right", no_wrap=True)
    for metric in report["metrics"]:
        table.add_row(metric["title"], *_cells(metric))
    return table


def rows_behind(report: Report) -> Text:
    """Return what the values rest on, and what stands behind them."""
    scores = [(item["stage"], item["score"]) for item in report["evaluations"] if item["score"]]
    each = [f"{stage}: {_rows_asked(score)}" for stage, score in scores]
    return Text(f"{'. '.join(each)}. After ± stands one standard error.", "dim")


def _rows_asked(score: Mapping[str, Any]) -> str:
    asked = score.get("questions")
    repeated = asked is not None and asked < score["n"]
    return rows(score["n"]) + (f" of {asked:,} different questions" if repeated else "")


def task(report: TaskReport) -> Table:
    """Return what the jobs of one task report, with its error and its change."""
    table = plain_table()
    table.add_column(report["title"], no_wrap=True)
    for title in ("evaluation", "value", "interval", "change"):
        table.add_column(title, justify="left" if title == "evaluation" else "right", no_wrap=True)
    for metric in report["metrics"]:
        for measured in metric["measurements"]:
            table.add_row(
                metric["title"],
                measured["stage"],
                cell(metric, measured),
                interval(metric, measured),
                Text(change(metric, measured["delta"]), tone(measured["verdict"])),
            )
    return table


def _cells(metric: MetricRow) -> Iterable[Text]:
    for index, measurement in enumerate(metric["measurements"]):
        yield Text(cell(metric, measurement))
        if index:
            yield Text(change(metric, measurement["delta"]), tone(measurement["verdict"]))


def tone(verdict: str | None) -> str:
    """Return the style of a change that a test judges so."""
    return _TONES.get(verdict or "", "dim")


def verdicts(report: Report) -> Group:
    """Return what the paired tests say, one line per comparison, and the gate's verdict."""
    lines = [
        Text.assemble((f"{item['stage']} against {item['against']}: ", "bold"), item["summary"])
        for item in report["comparisons"]
    ]
    if gate := report["gate"]:
        by = report["approved_by"]
        said = gate_verdict(gate["verdict"], gate["summary"], by)
        why = f": {gate['summary']}" if gate["summary"] != NO_GATE else ""
        lines.append(Text.assemble(("gate: ", "bold"), f"{said}{why}"))
    return Group(*lines)


def history(entries: Iterable[HistoryEntry], told: str = "") -> Table:
    """Return lines of the history, oldest first. What was `told` above in several lines is not
    repeated."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for entry in entries:
        why = "see above" if "\n" in told and entry.why == told else entry.why
        table.add_row(f"{entry.at:%m-%d %H:%M:%S}", entry.what, why)
    return table


def screen(snapshot: Snapshot, now: datetime, command: Callable[..., str]) -> Group:
    """Return what `watch` draws."""
    record = snapshot.record
    if record is None:
        return Group(Text(f"{snapshot.experiment_id} {UPLOADED}"))
    begun = record.started_at or record.created_at
    total = duration(((record.ended_at or now) - begun).total_seconds())
    told = summary(snapshot, record, now, command)
    took = f"took {total}" if record.ended_at else f"{total} since its start"
    return Group(told, Text(""), Text(f"{took}; {cost(record, now)}", "dim"))


def age(time: datetime, now: datetime) -> str:
    """Write how long ago something was, in its largest unit."""
    passed = max(timedelta(0), now - time)
    if passed.days:
        return f"{passed.days} d ago"
    minutes = passed.seconds // 60
    return f"{minutes // 60} h ago" if minutes >= 60 else f"{minutes} min ago"
