"""The `novaloop` command."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from novaloop import __version__
from novaloop_cli import (
    chat,
    commands,
    convert,
    demo,
    local,
    logs,
    mlflow,
    plan,
    recipes,
    reporting,
    reward,
    schema,
    score,
    show,
    submit,
    watch,
)
from novaloop_cli.errors import explain
from novaloop_cli.exits import MEANINGS, Exit
from novaloop_localcloud.emulator import LocalCloudError


class OneLineErrors(click.Group):
    """A group of commands whose errors are one line on standard error, and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command and exit as `Exit` has it."""
        kwargs["standalone_mode"] = False
        try:
            sys.exit(super().main(*args, **kwargs) or 0)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            _exit("interrupted", Exit.INTERRUPTED)
        except click.ClickException as error:
            _exit(error.format_message(), error.exit_code)
        except LocalCloudError as error:
            _exit(str(error), Exit.FAILED)
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            _exit(explained.message, explained.exit_code)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command; those of commands are told to stand after it."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            takers = [
                verb
                for verb, command in self.commands.items()
                if any(name in option.opts for option in command.params)
            ]
            if not takers:
                raise
            verb = "list" if "list" in takers else takers[0]
            example = " ".join(("novaloop", verb, name))
            message = f"write {name} after the command, such as `{example}`"
            raise click.UsageError(message, ctx) from None


def _exit(message: str, code: int) -> NoReturn:
    click.echo(f"novaloop: {message}", err=True)
    sys.exit(code)


_EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"  {code:>3d} {MEANINGS[code]}" for code in Exit)


@click.group(
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXIT_CODES,
)
@click.version_option(__version__, prog_name="novaloop")
def main() -> None:
    """Fine-tune, measure, gate and deploy Amazon Nova models, from CSV files."""


for command in (
    demo.demo,
    local.local,
    convert.convert,
    plan.plan,
    recipes.recipes,
    submit.submit,
    show.list_experiments,
    show.show,
    watch.watch,
    reporting.report,
    score.score,
    mlflow.mlflow,
    reward.reward,
    chat.invoke,
    *commands.ALL,
    logs.logs,
    schema.schema,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
