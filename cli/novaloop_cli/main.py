"""The `novaloop` command."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from novaloop import __version__
from novaloop_cli.exits import MEANINGS, Exit
from novaloop_cli.wrapping import wrapped

COMMANDS = {
    "approve": "commands:approve",
    "cleanup": "commands:cleanup",
    "compare": "compare:compare",
    "convert": "convert:convert",
    "demo": "demo:demo",
    "doctor": "doctor.command:doctor",
    "invoke": "chat:invoke",
    "keep": "commands:keep",
    "list": "listing:list_experiments",
    "local": "local:local",
    "logs": "logs:logs",
    "mlflow": "mlflow:mlflow",
    "plan": "plan:plan",
    "recipes": "recipes:recipes",
    "reject": "commands:reject",
    "rejects": "rejects:rejects",
    "report": "reporting:report",
    "retry": "commands:retry",
    "reward": "reward:reward",
    "schema": "schema:schema",
    "score": "score:score",
    "show": "show:show",
    "stop": "commands:stop",
    "submit": "submit:submit",
    "watch": "watch:watch",
}
"""Each command's module and name there. Only the module of the one that runs is imported."""


class Novaloop(click.Group):
    """All commands; their errors are one line on standard error, and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"novaloop_cli.{module}"), name)
        return command

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command and exit as `Exit` has it.

        Whatever the disk, the terminal, the network or AWS does ends here, in one message.
        """
        kwargs["standalone_mode"] = False
        _open_outputs()
        try:
            code = super().main(*args, **kwargs) or 0
            sys.stdout.flush()
            sys.exit(code)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            _exit("interrupted", Exit.INTERRUPTED)
        except click.ClickException as error:
            _exit(error.format_message(), error.exit_code)
        except Exception as error:
            _drop_unwritten()
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                sys.exit(Exit.FAILED)  # as `head` does it, which has read enough
            # Imported here, since it knows the errors of every library.
            from novaloop_cli.errors import explain  # noqa: PLC0415

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
                for verb in COMMANDS
                if (command := self.get_command(ctx, verb))
                and any(name in option.opts for option in command.params)
            ]
            if not takers:
                raise
            verb = "list" if "list" in takers else takers[0]
            example = " ".join(("novaloop", verb, name))
            message = f"write {name} after the command, such as `{example}`"
            raise click.UsageError(message, ctx) from None


def _open_outputs() -> None:
    """Make sure that there are outputs, and that they take any character.

    A shell may have closed them (`>&-`). An encoding other than UTF-8 lacks most characters, and
    UTF-8 itself the halves of surrogate pairs, which JSON can hold: `?` stands for these.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
            setattr(sys, name, stream)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _drop_unwritten() -> None:
    """Let go of an output that takes nothing, which would fail again when the interpreter ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _exit(message: str, code: int) -> NoReturn:
    text = f"novaloop: {message}"
    click.echo(wrapped(text) if sys.stderr.isatty() else text, err=True)
    _drop_unwritten()
    sys.exit(code)


_EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"  {code:>3d} {MEANINGS[code]}" for code in Exit)


@click.group(
    cls=Novaloop,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXIT_CODES,
)
@click.version_option(__version__, prog_name="novaloop")
def main() -> None:
    """Fine-tune, measure, gate and deploy Amazon Nova models, from CSV files."""


if __name__ == "__main__":
    main()
