"""`lakeloop completion`: the script by which a shell completes commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from lakeloop.cli.base import command

COMPLETE = "_LAKELOOP_COMPLETE"
"""The environment variable by which the script asks for completions."""


@command(
    "completion",
    examples=[
        'eval "$(lakeloop completion bash)"   # in ~/.bashrc',
        'eval "$(lakeloop completion zsh)"    # in ~/.zshrc',
        "lakeloop completion fish > ~/.config/fish/completions/lakeloop.fish",
    ],
    in_project=False,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> int:
    """Print the script that completes commands and names in a shell.

    It completes options too, and the names of tables, views and workflows.
    """
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root, {}, "lakeloop", COMPLETE).source())
    return 0
