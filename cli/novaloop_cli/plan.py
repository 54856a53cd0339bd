"""`novaloop plan`: what an experiment would do and cost, without launching anything."""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from novaloop.datasets.errors import told_once
from novaloop.datasets.options import RowFormat
from novaloop.experiment.controller.intake import check_row_counts, dataset_refs
from novaloop.experiment.costs.prices import (
    CostRange,
    PriceTable,
    packaged_prices,
    read_prices,
)
from novaloop.experiment.names import INBOX, SPEC_FILE
from novaloop.experiment.planning import ExperimentPlan, plan_experiment
from novaloop.experiment.record import DatasetItem, DatasetStatus, Record, Snapshot, SpecItem
from novaloop.experiment.runtimes.registry import check_image, runtime_of
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Role
from novaloop.experiment.spec.yaml_file import MAX_BYTES
from novaloop.experiment.validation.defaults import (
    left_out,
    resolve,
    told_of_defaults,
    told_of_gate,
)
from novaloop.metrics.power import rows_for_margin, rows_needed, smallest_gain
from novaloop.metrics.registry import GATED
from novaloop.problem import Invalid
from novaloop.usecases.dataset_checks import check_experiment
from novaloop.usecases.ingest import ingest
from novaloop_cli import views
from novaloop_cli.errors import Refused
from novaloop_cli.experiment_files import look_at
from novaloop_cli.files import write_whole
from novaloop_cli.folder import folder_world
from novaloop_cli.planned_stack import PlannedStack, deployed_stack, placeholder_stack
from novaloop_cli.stack import aws_account, in_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from novaloop.usecases.conversion import IngestWorld

PLACEHOLDER_REGION = "us-east-1"
NOT_LOOKED_AT = "what the files hold is looked at once this is right"
ASSUMED_CHANGED = 0.1
"""Which share of the answers changes between two evaluations; nobody knows before."""
SCRATCH = "folder"
"""The experiment's name while its folder is checked: its own may be what is wrong."""
PLACEHOLDERS = (
    "Bucket, role and function ARNs are placeholders in {}; --stack NAME fills in a deployed "
    "stack's."
)
TOKENS = "These jobs are billed by tokens; their price is not known, so their cost isn't."
ON_BEDROCK = "Prices of Bedrock's deployments are not known, so their cost isn't."
CHECKPOINTS = "The checkpoints that later stages start from are placeholders until a run."
UIDS = "In names, 0000 stands where a run has the first characters of the experiment's uid."
IMAGES = (
    "The image of {} is not AWS's: the stack checks at upload whether its parameter "
    "ImageRepositoryArns names the repository; --stack NAME checks it now."
)
PROCESSORS = (
    "The processor of {} is not checked: the jobs may call it if the stack's parameter "
    "ProcessorFunctionArns names it; --stack NAME checks it now."
)
REWARDS = (
    "The function of reward: is not checked: the jobs may call it if the stack's parameter "
    "RewardFunctionArns names it; --stack NAME checks it now."
)
DEFAULTS = (
    "For what experiment.yaml leaves out ({}) a stack may have defaults of its own; --stack NAME "
    "shows them."
)
ORIGIN = "The checkpoint of {} is a placeholder: it is looked up when the experiment starts."


@dataclass(frozen=True)
class Checked:
    """A folder whose files are all in order. `of_stack` says what the stack's defaults make of it,
    and that a deployment has no gate."""

    spec: ExperimentSpec
    files: tuple[Path, ...]
    datasets: Mapping[str, DatasetItem]
    findings: tuple[Mapping[str, Any], ...]
    not_used: tuple[str, ...]
    of_stack: tuple[str, ...] = ()


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", help="The experiment's name; else the folder's.")
@click.option("--json", "as_json", is_flag=True, help="Exact requests and recipes, for programs.")
@click.option(
    "--rejects",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the lists of rows that can't be used, FILE.rejects.jsonl.",
)
@click.option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML file of prices and run times that differ from the packaged ones.",
)
@click.option(
    "--stack",
    "stack_name",
    envvar="NOVALOOP_STACK",
    help="Fill in the bucket, role and ARNs of this deployed stack.",
)
@in_account
def plan(
    *,
    directory: Path,
    name: str | None,
    as_json: bool,
    rejects: Path | None,
    prices: Path | None,
    stack_name: str | None,
    profile: str | None,
    region: str | None,
) -> None:
    """Check DIRECTORY, and print what would run at what cost.

    Launches nothing and needs no AWS account. Exit code 2 if anything is wrong with the files.
    """
    name = name or directory.resolve().name
    table = _prices(prices)
    with _site(stack_name, profile, region) as stack_config:
        checked = with_defaults(check_folder(directory, name, rejects), stack_config)
        planned = planned_stages(name, checked, stack_config, table)
    if as_json:
        click.echo(json.dumps(_content(name, checked, planned, stack_config), indent=2))
        return
    _show(name, checked, planned, stack_config, _where_rejects_are(directory, rejects))


def _prices(file: Path | None) -> PriceTable:
    if file is None:
        return packaged_prices()
    try:
        with file.open("rb") as opened:
            return read_prices(opened.read(MAX_BYTES + 1))
    except Invalid as invalid:
        told = (f"{file} can't be used:", *map(str, invalid.problems))
        raise Refused("\n  ".join(told)) from None


@contextmanager
def _site(stack: str | None, profile: str | None, region: str | None) -> Iterator[PlannedStack]:
    # Nobody needs an account for a plan: without a stack the region may be a placeholder too.
    otherwise = PLACEHOLDER_REGION if stack is None else None
    with aws_account(profile, region, otherwise=otherwise) as found:
        yield placeholder_stack(found) if stack is None else deployed_stack(stack)


def check_folder(directory: Path, name: str, rejects: Path | None = None) -> Checked:
    """Check and convert a folder's files by the code of the ingest function.

    Lists of rejected rows go to the folder `rejects`, if one is given. Raises Refused with
    everything that is wrong, with the settings as with the files.
    """
    folder = look_at(directory, name)
    told = ["\n  ".join(folder.problems)] if folder.problems else []
    spec = folder.spec
    if spec is None:
        raise Refused("\n  ".join((*told, NOT_LOOKED_AT)))
    uploads = {f"{INBOX}{SCRATCH}/{file.name}": file for file in folder.files}
    with TemporaryDirectory() as scratch:
        world = folder_world(SCRATCH, Path(scratch), uploads)
        if upload := world.objects.newest(f"{INBOX}{SCRATCH}/{SPEC_FILE}"):
            # As far as it holds: a file is looked at even if something else is wrong.
            item = SpecItem(upload.version_id, upload.uploaded_at, spec)
            world.store.put_spec(SCRATCH, item)
        for key, file in uploads.items():
            if file.name != SPEC_FILE:
                ingest(key, world)
        check_experiment(SCRATCH, world)
        snapshot = world.store.load(SCRATCH)
        if rejects is not None:
            _write_rejects(snapshot.datasets, world, rejects)
    where = _where_rejects_are(directory, rejects)
    if problems := list(_why_not_used(spec, snapshot, where)):
        told.append("\n  ".join((f"{directory} can't be used:", *problems)))
    if told:
        raise Refused("\n".join(told))
    findings = snapshot.checks.findings if snapshot.checks else ()
    return Checked(spec, folder.files, snapshot.datasets, findings, folder.not_used)


def _write_rejects(items: Mapping[str, DatasetItem], world: IngestWorld, directory: Path) -> None:
    with_rejects = {item.file for item in items.values() if item.rejects_key}
    for item in items.values():
        listing = directory / f"{item.file}.rejects.jsonl"
        if item.rejects_key:
            with world.objects.get(item.rejects_key) as body:
                directory.mkdir(parents=True, exist_ok=True)
                write_whole(listing, body.read())
        elif item.file not in with_rejects:  # of an earlier check
            listing.unlink(missing_ok=True)


def _where_rejects_are(directory: Path, rejects: Path | None) -> Callable[[DatasetItem], str]:
    """Return where the list of a file's rejected rows is, or how to get it."""
    if rejects is not None:
        return lambda item: str(rejects / f"{item.file}.rejects.jsonl")
    return lambda _: shlex.join(("novaloop", "plan", str(directory), "--rejects", "DIR"))


def _why_not_used(
    spec: ExperimentSpec, snapshot: Snapshot, where_rejects_are: Callable[[DatasetItem], str]
) -> Iterator[str]:
    refused = {
        role: item
        for role, item in snapshot.datasets.items()
        if item.status is not DatasetStatus.ACCEPTED
    }
    yield from told_once((item.file, item.reason) for item in refused.values())
    if several := {role: item for role, item in refused.items() if item.rejected_rows > 1}:
        yield from map(str, views.rejected_rows(several, where_rejects_are))
    accepted = (item for role, item in snapshot.datasets.items() if role not in refused)
    yield from map(str, check_row_counts(spec, accepted))
    if snapshot.checks is not None and snapshot.checks.refusal is not None:
        yield snapshot.checks.refusal


def with_defaults(checked: Checked, stack_config: PlannedStack) -> Checked:
    """Return what was checked with the settings that would hold in a stack, as its controller
    finds them."""
    resolved = resolve(checked.spec, left_out(checked.spec), stack_config.defaults)
    told = told_of_defaults(resolved), told_of_gate(resolved.spec)
    sentences = tuple(f"{each[0].upper()}{each[1:]}." for each in told if each)
    return replace(checked, spec=resolved.spec, of_stack=sentences)


def planned_stages(
    name: str, checked: Checked, stack_config: PlannedStack, prices: PriceTable
) -> ExperimentPlan:
    """Return the plan of a folder that was checked. Raises Refused if none can be made."""
    record = Record(
        name,
        checked.spec,
        created_at=datetime.now(UTC),
        datasets=dataset_refs(checked.datasets.values()),
        prefix=stack_config.prefix,
    )
    try:
        return plan_experiment(record, stack_config.stack_config, prices)
    except Invalid as error:
        raise Refused("\n  ".join(("no plan can be made:", *map(str, error.problems)))) from None


def _content(
    name: str, checked: Checked, planned: ExperimentPlan, stack_config: PlannedStack
) -> dict[str, Any]:
    datasets = {
        role: {"rows": item.rows, "rejected_rows": item.rejected_rows, "sha256": item.sha256}
        for role, item in sorted(checked.datasets.items())
    }
    notes = [*checked.of_stack, *_notes(checked.spec, stack_config)]
    head = {"experiment": name, "datasets": datasets, "findings": list(checked.findings)}
    head["not_used"] = list(checked.not_used)
    return {**head, **planned.to_dict(), "notes": notes}


def _show(
    name: str,
    checked: Checked,
    planned: ExperimentPlan,
    stack_config: PlannedStack,
    where_rejects_are: Callable[[DatasetItem], str],
) -> None:
    out = views.console()
    out.print(Text.assemble((name, "bold"), f"  {checked.spec.model}, {checked.spec.runtime}"))
    out.print()
    rejected = views.rejected_rows(checked.datasets, where_rejects_are)
    not_used = (Text(each, "yellow") for each in checked.not_used)
    out.print(views.datasets(checked.datasets, (*rejected, *not_used)))
    for finding in checked.findings:
        out.print(Text(f"{finding['check']}: {finding['message']}", "yellow"))
    out.print()
    out.print(stages_table(planned))
    out.print()
    for remark in checked.of_stack:
        out.print(remark, style="yellow")
    for line in (*_evidence(checked), *_remarks(checked.spec, planned, stack_config)):
        out.print(line)


def stages_table(planned: ExperimentPlan) -> Table:
    """Return the stages with their machines, limits and costs in US dollars."""
    table = views.plain_table()
    for title in ("stage", "method", "machines"):
        table.add_column(title, no_wrap=True)
    for title in ("steps", "at most h", "low $", "likely $", "most $"):
        table.add_column(title, justify="right")
    for stage in planned.stages:
        on_machines = stage.instance_type is not None
        elsewhere = "serverless" if stage.requests else "none"
        machines = f"{stage.instances} {stage.instance_type}" if on_machines else elsewhere
        steps, hours = str(stage.steps or ""), f"{stage.hours:.1f}"
        table.add_row(stage.name, stage.method, machines, steps, hours, *_usd(stage.cost))
    table.add_row("all", "", "", "", "", *_usd(planned.cost), style="bold")
    return table


def _usd(cost: CostRange | None) -> tuple[str, str, str]:
    if cost is None:
        return "?", "?", "?"
    return f"{cost.low:,.0f}", f"{cost.expected:,.0f}", f"{cost.most:,.0f}"


def _evidence(checked: Checked) -> Iterator[str]:
    """Say what the evaluation rows can show of the gains and losses that the gate asks for."""
    spec, items = checked.spec, checked.datasets
    if spec.gate is None or (rows := items.get("eval")) is None:
        return
    own_questions = (Role.EVAL, RowFormat.EVALUATION)
    on_rows = {stage.name for stage in spec.plan if own_questions in stage.inputs}
    asked = [each for _, name, each in spec.judged() if name in on_rows]
    if any(each.better_than for each in asked):
        yield _gains_shown(rows.rows, spec.gate.level)
    shares = (each for each in asked if each.metric in GATED and GATED[each.metric].most == 1)
    margins = [each.margin for each in shares if each.margin and not each.each_class]
    if margins:
        yield _losses_excluded(rows.rows, min(margins), spec.gate.level)


def _gains_shown(rows: int, confidence: float) -> str:
    assumed = f"if {ASSUMED_CHANGED:.0%} of the answers change"
    shown = smallest_gain(rows, ASSUMED_CHANGED, confidence)
    needed = rows_needed(ASSUMED_CHANGED if shown is None else 0.01, ASSUMED_CHANGED, confidence)
    if shown is None:
        return (
            f"{views.rows(rows)} of evaluation show no gain, {assumed}: from {needed:,} on, "
            "they show one 8 times in 10."
        )
    return (
        f"{views.rows(rows)} of evaluation show a gain of {100 * shown:.1f} points 8 times in "
        f"10, {assumed}; for 1 point, about {needed:,} are needed."
    )


def _losses_excluded(rows: int, margin: float, confidence: float) -> str:
    needed = rows_for_margin(margin, ASSUMED_CHANGED, confidence)
    enough = "are enough to show" if rows >= needed else "are too few to show"
    return (
        f"{views.rows(rows)} of evaluation {enough} 8 times in 10 that a model is not worse by "
        f"{100 * margin:g} points, if it is alike and {ASSUMED_CHANGED:.0%} of the answers "
        f"change; about {needed:,} are needed."
    )


def _remarks(
    spec: ExperimentSpec, planned: ExperimentPlan, stack_config: PlannedStack
) -> Iterator[str]:
    if planned.quotas:
        yield "Quotas needed:"
    for quota in planned.quotas:
        both = quota.needed_to_update
        note = f" ({both} while it takes the place of another)" if both else ""
        yield f"  {quota.needed}  {quota.name}{note}"
    yield from cost_remarks(spec, planned)
    yield from _notes(spec, stack_config)
    yield "Nothing was launched."


def _notes(spec: ExperimentSpec, stack_config: PlannedStack) -> Iterator[str]:
    yield UIDS
    yield from unknown_costs(spec)
    if runtime_of(spec).note:
        yield runtime_of(spec).note
    if spec.trainings:
        yield CHECKPOINTS
    if spec.origin is not None:
        yield ORIGIN.format(spec.checkpoint)
    if stack_config.is_placeholder:
        if silent := left_out(spec):
            yield DEFAULTS.format(", ".join(silent))
        # Placeholders let any image pass; who knows no repository sees which are not AWS's.
        none = replace(
            stack_config.stack_config,
            deployment=replace(stack_config.stack_config.deployment, image_repositories=()),
        )
        foreign = [stage.name for stage in spec.plan if any(check_image(stage, none, ""))]
        if foreign:
            yield IMAGES.format(", ".join(foreign))
        if scored := [stage.name for stage in spec.plan if stage.processor_function]:
            yield PROCESSORS.format(", ".join(scored))
        if spec.reward_function is not None:
            yield REWARDS
        yield PLACEHOLDERS.format(stack_config.stack_config.deployment.region)


def unknown_costs(spec: ExperimentSpec) -> Iterator[str]:
    """Yield what of the costs nobody knows."""
    if not spec.runtime.has_machines:
        yield TOKENS
    if any(stage.on_bedrock for stage in spec.plan):
        yield ON_BEDROCK


def cost_remarks(spec: ExperimentSpec, planned: ExperimentPlan) -> Iterator[str]:
    """Yield what the costs rest on, and what the budget makes of them."""
    yield f"Prices of {planned.prices}; expected run times are assumptions, not measurements."
    if spec.budget_usd is not None:
        yield _budget_remark(spec.budget_usd, planned)


def _budget_remark(budget: float, planned: ExperimentPlan) -> str:
    # The budget cuts each stage's cost, and not their sum. All have prices where there is one.
    costs = [stage.cost for stage in planned.stages if stage.cost is not None]
    low, expected, most = (
        sum(getattr(cost, which) for cost in costs) for which in ("low", "expected", "most")
    )
    if low >= budget:
        verdict = f"holds the experiment before its end: even at its fastest it costs {low:,.2f}"
    elif expected >= budget:
        verdict = "will probably hold the experiment before its end"
    else:
        verdict = "should be enough" if most >= budget else "is enough, however long the jobs take"
    return f"The budget of {budget:,.2f} USD {verdict}."
