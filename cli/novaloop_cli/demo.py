"""`novaloop demo`: the whole loop on this machine, from three CSV files to a measured endpoint."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from novaloop.cloud.objects import Bucket
from novaloop.datasets.options import RowFormat
from novaloop.experiment.names import SPEC_FILE
from novaloop.experiment.record import CommandKind, HistoryEntry, Record, Status
from novaloop.experiment.spec.stages import Role
from novaloop_cli import chat, reporting, views
from novaloop_cli.commands import clean_up, give
from novaloop_cli.errors import Failed, Refused
from novaloop_cli.experiment_files import read_folder
from novaloop_cli.local import PARAMETERS
from novaloop_cli.plan import check_folder
from novaloop_cli.stack import Stack, local_stack
from novaloop_cli.submit import upload
from novaloop_cli.watch import follow
from novaloop_localcloud import emulator, questions
from novaloop_localcloud.cloud import LocalCloud, up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

NAME = "demo"
REPORT_FOLDER = Path("novaloop-report")
POLL_SECONDS = 0.5
EXAMPLE = Path(__file__).parents[2] / "examples" / "bicycle-shop"
SHOWN_CHARS = 300
QUESTION = "my code dont work since yesterday, plz tell me whats wrong, its urgent!!"
SPEC = f"""\
columns: {{question: Body, answer: Y}}
labels: [{", ".join(questions.LABELS)}]
system_prompt: |-
{textwrap.indent(questions.SYSTEM_PROMPT, "  ")}
gate: {{metric: exact_match, better_than: baseline}}
"""
REMEDIES = {
    Status.HELD: (
        "; that tells of the small model, not of your data: loosen `gate:`, or run it with "
        "--keep and decide with `novaloop approve demo --local`"
    ),
    Status.FAILED: "; run it with --keep, and look with `novaloop logs demo --local`",
    Status.REJECTED: "; correct what it names",
}
"""What to do where the demo does not end at a live endpoint."""


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with sft.csv, rft.csv and eval.csv (columns Id, Body, Y); else generated.",
)
@click.option("--keep", is_flag=True, help="Leave the endpoint and the local cloud running.")
def demo(data: Path | None, keep: bool) -> None:
    """Run a whole experiment in a local cloud, without AWS.

    It is the default plan, with a small model that stands in for Nova.
    """
    out = views.console()
    began = time.monotonic()
    # Whoever ends this process, what it started must end with it.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="novaloop-demo-") as scratch:
        folder = Path(scratch)
        prepare(folder, data)
        with _as_of(data or folder, folder):
            if data is not None:
                check_folder(folder, NAME)
            files = read_folder(folder, NAME).files
        with _local_cloud(out, keep=keep) as cloud, local_stack(cloud) as stack:
            record = run(stack, files, out, QUESTION if data is None else None)
            if record.status is Status.LIVE and not keep:
                out.print()
                with _timed(out, "Deleting the endpoint, configuration and model"):
                    clean_up(stack, NAME)
    out.print(f"\nDone in {time.monotonic() - began:.0f} s.")
    if keep:
        out.print(f"Go on: {stack.command('show', NAME)}\nStop it all: novaloop local down")
    else:
        out.print("Nothing was left running.")
        out.print(f"Next: {_next(data)}", soft_wrap=True)
    if record.status is not Status.LIVE:
        remedy = REMEDIES.get(record.status, "")
        raise Failed(f"the demo ended {record.status}: {record.reason}{remedy}")


def _next(data: Path | None) -> str:
    """Return what to try after the demo, in words that work in the same shell."""
    beside = Path(sys.executable).with_name("novaloop")
    shown = beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside
    command = "novaloop" if shutil.which("novaloop") else str(shown)
    folder = data or EXAMPLE
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    plan = shlex.join((command, "plan", str(folder)))
    if data is not None:
        return f"`{plan}` tells what it would run and cost on AWS."
    run = shlex.join((command, "demo", "--data", str(folder)))
    return f"`{run}` does it with a sample; `{plan}` tells what that would cost on AWS."


def prepare(folder: Path, data: Path | None) -> None:
    """Fill a folder with an experiment: generated questions, or the data and spec of another."""
    if data is None:
        questions.write(folder)
    else:
        for file in data.iterdir():
            if file.is_file():
                shutil.copy(file, folder)
    if not (folder / SPEC_FILE).exists():
        (folder / SPEC_FILE).write_text(SPEC, encoding="utf-8")


@contextmanager
def _as_of(data: Path, copy: Path) -> Iterator[None]:
    """Name the person's folder where a refusal names its copy, and say whose settings hold."""
    try:
        yield
    except Refused as refused:
        message = refused.message.replace(str(copy), str(data))
        if not (data / SPEC_FILE).exists():
            message += (
                f"\n  {data} has no {SPEC_FILE}, so the demo's settings hold: columns Body and Y,"
                f" labels {', '.join(questions.LABELS)}; write one to set others"
            )
        raise Refused(message) from None


@contextmanager
def _local_cloud(out: Console, *, keep: bool) -> Iterator[LocalCloud]:
    emulator.require_startable(emulator.STATE_DIRECTORY)
    out.print("The whole loop on this machine. A small n-gram model stands in for Nova.\n")
    with _timed(out, "The local cloud"):
        cloud = up(attached=not keep, parameters=PARAMETERS, tell=out.print)
    if keep:
        yield cloud
    else:
        with cloud:
            yield cloud


@contextmanager
def _timed(out: Console, what: str) -> Iterator[None]:
    began = time.monotonic()
    with out.status(what):
        yield
    out.print(f"{what}: {time.monotonic() - began:.1f} s")


def run(stack: Stack, files: Iterable[Path], out: Console, question: str | None) -> Record:
    """Take an experiment as far as it goes, and ask its endpoint; return its record at rest.

    It is asked the `question`, or else the first one that it was measured by.
    """
    upload(stack, NAME, files)
    out.print()
    told: set[HistoryEntry] = set()
    record = follow(stack, NAME, out, POLL_SECONDS, told)
    if record.status is Status.AWAITING_APPROVAL:
        out.print("\nIts settings ask for an approval. The demo gives it by itself.\n")
        give(stack, NAME, CommandKind.APPROVE, note="by the demo itself")
        record = follow(stack, NAME, out, POLL_SECONDS, told)
    if record.stages:
        content = reporting.build(stack, *stack.load(NAME))
        out.print()
        reporting.print_results(content, out)
        out.print(f"\nReport: {reporting.write(content, REPORT_FOLDER)}")
    if record.status is Status.LIVE:
        _ask(stack, record, out, question or _first_question(stack, record))
    return record


def _first_question(stack: Stack, record: Record) -> str | None:
    """Return the first question of the evaluation set; None without one."""
    evaluation = record.datasets.get(Role.EVAL)
    key = evaluation.outputs.get(RowFormat.EVALUATION) if evaluation else None
    if key is None:
        return None
    with Bucket(stack.s3, stack.bucket).get(key) as body:
        return str(json.loads(body.readline())["query"])


def _ask(stack: Stack, record: Record, out: Console, question: str | None) -> None:
    """Show the answer to the smoke request, and to one more question, as it streams in."""
    out.print(f"\n{record.stages[-1].name}: {record.stages[-1].reason}")
    if question is None:
        return
    out.print(f"Asked: {textwrap.shorten(question, SHOWN_CHARS, placeholder=' …')}", style="dim")
    answer = "".join(chat.answer(stack, record, question, 50, stream=True))
    out.print(f"Answered: {answer}")
