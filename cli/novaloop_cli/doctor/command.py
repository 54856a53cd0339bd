"""`novaloop doctor`: look at account, stack and plan before anything costs money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from novaloop.cloud.errors import is_denied, text_of
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.planning import Quota
from novaloop_cli import views
from novaloop_cli.doctor import of_account, of_stack
from novaloop_cli.doctor.account import Clients, DeployedStack, find_deployed
from novaloop_cli.doctor.findings import Finding, Severity, stops
from novaloop_cli.errors import Failed
from novaloop_cli.plan import check_folder, planned_stages, with_defaults
from novaloop_cli.planned_stack import deployed_stack, placeholder_stack
from novaloop_cli.show import print_json
from novaloop_cli.stack import Choice, aws_region, caller, with_choice

MARKS: Mapping[Severity, tuple[str, str]] = {
    Severity.STOPS: ("✗", "red"),
    Severity.WARNS: ("!", "yellow"),
    Severity.UNKNOWN: ("?", "yellow"),
    Severity.FINE: ("✓", "green"),
}
AT_ONCE = 8
"""Checks that run side by side; each waits for answers most of its time."""

Check = Callable[[], Iterator[Finding]]


@click.command()
@click.argument(
    "directory", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_choice
def doctor(choose: Callable[[], Choice], directory: Path | None, *, as_json: bool) -> None:
    """Tell what would keep an experiment from running.

    And what to do about it. Looks at the account and the deployed stack, and with DIRECTORY at
    what its plan needs. Only reads, and costs nothing. Exit code 1 if something would stop an
    experiment.
    """
    choice = choose()
    who = caller()
    stack = find_deployed(choice.name)
    quotas = None if directory is None else _quotas(directory, stack)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = {name: pool.submit(_tried, check) for name, check in _checks(stack, quotas)}
    found = {name: answer.result() for name, answer in answers.items()}
    if stack is None:
        do = "deploy it (README, Deploy it), or name yours with --stack"
        found = {
            "stack": [stops(f"no stack is called {choice.name} in {aws_region()}", do)],
            **found,
        }
    if as_json:
        print_json(
            [{"check": name, **asdict(each)} for name, those in found.items() for each in those]
        )
    else:
        _show(f"{who} in {aws_region()}, stack {choice.name}", found)
    severities = [each.severity for those in found.values() for each in those]
    if stopping := severities.count(Severity.STOPS):
        raise Failed(f"{stopping} of {len(severities)} findings would stop an experiment")


def _quotas(directory: Path, stack: DeployedStack | None) -> tuple[Quota, ...]:
    """Return what a folder's plan needs at one time. Raises Refused if the folder is wrong."""
    name = directory.resolve().name
    if stack is not None and stack.is_whole:
        place = deployed_stack(stack.name)
    else:
        place = placeholder_stack(aws_region())
    checked = with_defaults(check_folder(directory, name), place)
    return planned_stages(name, checked, place, packaged_prices()).quotas


def _checks(
    stack: DeployedStack | None, quotas: tuple[Quota, ...] | None
) -> Iterator[tuple[str, Check]]:
    """Yield what is looked at, by name, in the order in which it is told."""
    clients = Clients()
    if stack is not None:
        yield "stack", partial(of_stack.status, stack)
    if stack is not None and stack.is_whole:
        for name, check, service in (
            ("functions", of_stack.functions, "lambda"),
            ("hints", of_stack.sources, "lambda"),
            ("events", of_stack.rules, "events"),
            ("uploads", of_stack.uploads, "s3"),
            ("sweep", of_stack.sweep, "scheduler"),
            ("dead letters", of_stack.dead_letters, "sqs"),
            ("alarms", of_stack.alarms, "cloudwatch"),
            ("notifications", of_stack.notifications, "sns"),
            ("key", of_stack.key, "kms"),
            ("own functions", of_stack.own_functions, "lambda"),
        ):
            yield name, partial(check, stack, clients[service])
    yield "concurrency", partial(of_account.concurrency, clients["lambda"])
    if quotas is not None:
        yield "machines", partial(of_account.machines, quotas, clients["service-quotas"])


def _tried(check: Check) -> list[Finding]:
    """Return what a check finds; that it could not look is a finding, too."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except ClientError as error:
        do = f"allow yourself {error.operation_name}" if is_denied(error) else ""
        found.append(Finding(Severity.UNKNOWN, f"{error.operation_name}: {text_of(error)}", do))
    except BotoCoreError as error:
        found.append(Finding(Severity.UNKNOWN, str(error)))
    return found


def _show(heading: str, found: Mapping[str, list[Finding]]) -> None:
    out = views.console()
    out.print(Text(heading, "bold"))
    for name, findings in found.items():
        for each in findings:
            mark, style = MARKS[each.severity]
            line = Table.grid(padding=(0, 1))
            line.add_row(Text(mark, style), Text.assemble((f"{name}: ", "dim"), each.what))
            out.print(line)
            if each.do:  # whole, as it may be a command to copy
                out.print(Text(f"  {each.do}", style), soft_wrap=True)
    out.print()
