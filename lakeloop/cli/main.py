"""The `lakeloop` command line: its commands, each in a module that is imported when it is asked for.

Commands may import everything, the one exception of this package; what is heavy they import when they run, so that help and completion are quick.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from difflib import get_close_matches

import click

import resources.host.fewer_collections  # noqa: F401
from lakeloop.errors import LakeloopError

COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Run": {
        "up": ("running", "Bring the platform up, materialise what is stale, stay until Ctrl-C."),
        "materialize": ("running", "Materialise what is stale, with all that it reads, and say what was released."),
    },
    "Look": {
        "check": ("definitions", "Check every definition file."),
        "plan": ("staleness", "List the assets that are stale, computing nothing."),
        "table": ("listings", "List the tables; with a name, its columns, checks and versions."),
        "view": ("listings", "List the feature views; with a name, its columns, checks and versions."),
        "workflow": ("listings", "List the workflows; with a name, its features, checks, model and release."),
        "sql": ("catalog.sql", "Answer a SELECT over tables, views, predictions and reports; nothing can be changed."),
        "reference": ("reference", "Say what a key of a definition means."),
        "lineage": ("definitions", "Name the raw columns that a column came from, or what comes from it."),
    },
    "Change": {
        "copy-pipeline": ("definitions", "Copy a ready-made pipeline beside a workflow, to be changed there."),
        "remove": ("removing", "Remove a table, view or workflow, with all that stands for it; nothing is deleted."),
        "rename": ("removing", "Rename a table, view or workflow, in two runs; nothing is deleted, and nothing is without it meanwhile."),
        "release": ("lake", "Roll back the released version, promote one past its gates, or void the evidence of one."),
        "upgrade": ("lake", "Convert a lake that an older version wrote."),
    },
    "Set up": {
        "init": ("init", "Write a project of your own."),
        "completion": ("completion", "Print the script that completes commands and names in a shell."),
    },
}
"""By section of the help: name of a command, its module in this package, its help in a line."""
INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ended."""


class Commands(click.Group):
    """The commands of the table, imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        for section in COMMANDS.values():
            if cmd_name in section:
                module = importlib.import_module(f"lakeloop.cli.{section[cmd_name][0]}")
                command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
                return command
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that isn't there is refused with the nearest."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-") and not ctx.resilient_parsing:
            close = get_close_matches(args[0], names, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, which needs none of the modules."""
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in section.items()])


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"lakeloop {version('lakeloop')}")
        ctx.exit()


@click.command("lakeloop", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version.")
def cli() -> None:
    """Tables, features, models, evaluations and deployments as Dagster assets on a Delta lake.

    `lakeloop COMMAND --help` shows a command's options and examples. A name is `domain.name`, `domain/name`, or the name alone where there is
    one of it.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code is 0 when all is well, 1 when something was found, 2 when the command itself is wrong."""
    try:
        code = cli.main(arguments, prog_name="lakeloop", complete_var="_LAKELOOP_COMPLETE", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except LakeloopError as error:
        print(f"lakeloop: {error}", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0
