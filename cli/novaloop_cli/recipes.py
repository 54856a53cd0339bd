"""`novaloop recipes`: the pinned recipes, their settings, and what the hub publishes today."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import click
import yaml
from rich.table import Table

from novaloop.recipes import facts
from novaloop.recipes.catalog import Blueprint, blueprint, families, pinned, variants
from novaloop.recipes.drift import drift, published_entry
from novaloop.recipes.settings import RecipeSetting, listed
from novaloop_cli import views
from novaloop_cli.errors import Failed, Refused
from novaloop_cli.exits import Exit
from novaloop_cli.stack import aws_account, aws_client, in_account

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient

HUB = "SageMakerPublicHub"
NOT_IN_HUB = {"llm_judge", "rubric_llm_judge", "rft_eval"}
"""Amazon ships these recipes inside its SDK instead."""
_URI = re.compile(r"s3://([^/]+)/(.+)")
_BARE_PLACEHOLDER = re.compile(r"(:\s+)(\{\{\s*\w+\s*\}\})\s*$", re.MULTILINE)


@click.group()
def recipes() -> None:
    """List, show and compare the recipes."""


@recipes.command("list")
@click.option(
    "--model", type=click.Choice([*facts.facts().models]), help="Only those of this model."
)
def list_recipes(model: str | None) -> None:
    """List what can run on which model and machines."""
    out = views.console()
    out.print(_machines([("model", "instances", "machines")], "dim"))
    for family in families().values():
        rows = [
            (each.model, listed(each.instance_counts), listed(each.instance_types))
            for each in family.variants
            if model in (None, each.model)
        ]
        if rows:
            out.print(", ".join(family.methods), style="bold")
            out.print(_machines(rows))
    out.print()
    out.print("novaloop recipes show METHOD MODEL names the recipe and its settings.")


def _machines(rows: Sequence[tuple[str, ...]], style: str = "") -> Table:
    """Return rows that stand below those of other tables, of other methods."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for width in (13, 18, 46):
        table.add_column(width=width)
    for model, instances, machines in rows:
        table.add_row(f"  {model}", instances, machines, style=style)
    return table


@recipes.command()
@click.argument("method")
@click.argument("model", type=click.Choice([*facts.facts().models]), metavar="MODEL")
@click.option("--instance-type", help="The machine, where recipes differ by it.")
def show(method: str, model: str, instance_type: str | None) -> None:
    """Show the settings of METHOD on MODEL that `overrides` may change."""
    try:
        chosen = blueprint(method, model, instance_type)
    except ValueError as problem:
        raise Refused(str(problem)) from None
    if instance_type not in {None, *chosen.variant.instance_types}:
        machines = dict.fromkeys(
            machine for each in variants(method, model) for machine in each.variant.instance_types
        )
        raise Refused(
            f"{method} on {model} does not run on {instance_type}; {listed((*machines,))} can"
        )
    variant = chosen.variant
    out = views.console()
    out.print(f"{variant.recipe} {variant.version}", style="bold")
    out.print(f"{listed(variant.instance_counts)} of {listed(variant.instance_types)}")
    out.print()
    table = views.plain_table()
    for title in ("setting", "default", "values"):
        table.add_column(title, overflow="fold")
    for path, setting in chosen.settings.items():
        name = _shortest(path, chosen.settings)
        table.add_row(name, _default(setting, chosen.settings), _values(setting))
    out.print(table)


def _shortest(path: str, paths: Iterable[str]) -> str:
    """Return the shortest end of a dotted path that names no other setting."""
    parts = path.split(".")
    ends = [".".join(parts[start:]) for start in reversed(range(len(parts)))]
    return next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in paths) == 1)


def _default(setting: RecipeSetting, paths: Iterable[str]) -> str:
    if setting.default_from is not None:
        return f"as {_shortest(setting.default_from, paths)}"
    if setting.omitted:
        return "left out"
    return json.dumps(setting.default)


def _values(setting: RecipeSetting) -> str:
    """Write the type and limits of a setting in words."""
    if setting.choices is not None:
        return listed(setting.choices)
    limits = [
        f"at least {setting.at_least:g}" if setting.at_least is not None else "",
        f"at most {setting.at_most:g}" if setting.at_most is not None else "",
        f"a multiple of {setting.multiple_of}" if setting.multiple_of is not None else "",
        "or null" if setting.nullable else "",
    ]
    return ", ".join((setting.type, *filter(None, limits)))


@recipes.command()
@click.option(
    "--model", type=click.Choice([*facts.facts().models]), help="Only those of this model."
)
@in_account
@click.pass_context
def diff(
    context: click.Context, /, *, model: str | None, profile: str | None, region: str | None
) -> None:
    """Compare the pinned recipes with those of SageMaker's hub.

    Reads the hub and its recipes in S3; changes nothing. Exit code 1 if anything differs.
    """
    with aws_account(profile, region):
        hub = Hub(aws_client("sagemaker"), aws_client("s3"))
        differences = 0
        for chosen in pinned():
            if model in (None, chosen.variant.model) and chosen.method not in NOT_IN_HUB:
                differences += _report(chosen, list(hub.differences(chosen)))
    click.echo(f"{differences} differences" if differences else "no differences")
    context.exit(Exit.FAILED if differences else Exit.DONE)


def _report(chosen: Blueprint, found: list[str]) -> int:
    variant = chosen.variant
    click.echo(f"{variant.model} {chosen.method} {variant.recipe}: {len(found) or 'as pinned'}")
    for line in found:
        click.echo(f"  {line}")
    return len(found)


class Hub:
    """SageMaker's public hub; every document is read once."""

    def __init__(self, sagemaker: SageMakerClient, s3: S3Client) -> None:
        self._sagemaker = sagemaker
        self._s3 = s3
        self._document = cache(self._read_document)
        self._object = cache(self._read_object)

    def differences(self, chosen: Blueprint) -> Iterator[str]:
        """Yield where the published recipe differs from the pinned one. Raises Failed."""
        name = facts.model(chosen.variant.model).hub_content
        entry = published_entry(self._document(name), chosen)
        if entry is None:
            yield f"{name} publishes no recipe of this name"
            return
        template = self._object(_linked(entry, "SmtjRecipeTemplateS3Uri"))
        parameters = self._object(_linked(entry, "SmtjOverrideParamsS3Uri"))
        yield from map(str, drift(chosen, entry, template, parameters))

    def _read_document(self, name: str) -> Mapping[str, Any]:
        answer = self._sagemaker.describe_hub_content(
            HubName=HUB, HubContentType="Model", HubContentName=name
        )
        return _mapping(answer.get("HubContentDocument", ""), name)

    def _read_object(self, uri: str) -> Mapping[str, Any]:
        match = _URI.fullmatch(uri)
        if match is None:
            raise Failed(f"{uri}: the hub links a recipe that is no S3 object")
        body = self._s3.get_object(Bucket=match[1], Key=match[2])["Body"].read()
        return _mapping(body.decode("utf-8"), uri)


def _linked(entry: Mapping[str, Any], key: str) -> str:
    uri = entry.get(key)
    if not isinstance(uri, str):
        raise Failed(f"the hub's entry for {entry.get('Name')} has no {key}; it changed its form")
    return uri


def _mapping(text: str, source: str) -> Mapping[str, Any]:
    try:
        content = _parsed(text)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        raise Failed(f"{source}: is no mapping in JSON or YAML; the hub changed its form")
    return content


def _parsed(text: str) -> object:
    """Read JSON, or YAML whose `{{placeholders}}` may stand without quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(_BARE_PLACEHOLDER.sub(r"\1'\2'", text))
