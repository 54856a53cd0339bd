"""A person's consent to what costs money."""

from __future__ import annotations

import sys

import click

from novaloop_cli.errors import Refused

agreed = click.option("--yes", "-y", is_flag=True, help="Don't ask. Needed without a terminal.")

never_asks = click.option(
    "--yes", "-y", is_flag=True, expose_value=False, help="For scripts; nothing is asked anyway."
)


def require_consent(question: str, *, yes: bool) -> None:
    """Ask, unless `yes` says that it is agreed. Raises Refused if it is not.

    Nobody is asked without a terminal, where a script would wait for ever.
    """
    if yes:
        return
    if not is_asked():
        raise Refused("this costs money, and nobody can be asked without a terminal: give --yes")
    if not click.confirm(question):
        raise Refused("nothing was done")


def is_asked() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin is not None and sys.stdin.isatty()
