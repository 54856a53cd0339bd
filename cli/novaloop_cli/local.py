"""`novaloop local`: the whole application on this machine, without an account."""

from __future__ import annotations

import click

from novaloop_cli.stack import attach
from novaloop_localcloud import cloud as local_cloud

PARAMETERS = {"StartDelaySeconds": "1", "LookSeconds": "2", "LagSeconds": "1"}
"""Whoever tries things out waits for no file that may follow; trainings are short; nothing lags."""


@click.group()
def local() -> None:
    """Start, stop and look at the local cloud."""


@local.command()
def up() -> None:
    """Start the local cloud and deploy Novaloop into it."""
    cloud = local_cloud.up(attached=False, parameters=PARAMETERS, tell=click.echo)
    click.echo(f"The local cloud runs at {cloud.state.endpoint_url}.")
    click.echo("Use it: novaloop submit DIR --local")
    click.echo("Stop it: novaloop local down")


@local.command()
def down() -> None:
    """Stop the local cloud and everything it started, if there is one."""
    click.echo("Stopped." if local_cloud.down() else "No local cloud is running.")


@local.command()
@click.option("--export", is_flag=True, help="Print shell variables for other AWS tools.")
def status(export: bool) -> None:
    """Say whether a local cloud runs, and where."""
    cloud = attach()
    if export:
        for name, value in cloud.environment().items():
            click.echo(f"export {name}={value}")
        return
    click.echo(f"running at {cloud.state.endpoint_url} (process {cloud.state.pid})")
    for name, value in sorted(cloud.outputs().items()):
        click.echo(f"  {name:<22} {value}")
