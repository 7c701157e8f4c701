"""The command that explains the keys of definitions: `reference`."""

from __future__ import annotations

import textwrap
from dataclasses import asdict

import click
from click.shell_completion import CompletionItem

from lakeloop.cli.base import as_json, command, print_json
from lakeloop.errors import SpecError

WIDTH = 100


class KeyPath(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on only
    """`noun.key.key`, completed key by key."""

    name = "key"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The keys that begin so."""
        from lakeloop.spec.reference import NOUNS, find

        above, dot, _ = incomplete.rpartition(".")
        if not dot:
            return [CompletionItem(noun) for noun in NOUNS if noun.startswith(incomplete)]
        try:
            names = [key.name for key in find(above)[1]]
        except SpecError:
            return []
        return [CompletionItem(f"{above}.{name}") for name in names if f"{above}.{name}".startswith(incomplete)]


@command(
    "reference",
    examples=["lakeloop reference table", "lakeloop reference table.known_delay", "lakeloop reference workflow.gates.roc_auc.min"],
    in_project=False,
)
@click.argument("path", type=KeyPath(), required=False)
@as_json
def reference_command(path: str | None, as_json: bool) -> int:
    """Say what a key of a definition means: its type, default, an example, the rule that `lakeloop check` applies.

    PATH begins with table, view or workflow; names that you choose, such as a column's, may be left out.
    """
    from lakeloop.spec.key_texts import about
    from lakeloop.spec.reference import COMPONENTS, NOUNS, find

    if path is None:
        for noun, model in NOUNS.items():
            _write(f"{noun:10}", f"{COMPONENTS[noun]}: {about()[model.__name__]}")
        return 0
    key, under = find(path)
    if as_json:
        shown = [{name: value for name, value in asdict(each).items() if name != "models"} for each in ([key] if key else under)]
        print_json(shown[0] if key else shown)
        return 0
    if key is not None:
        click.echo(click.style(key.path, bold=True))
        _write("  ", key.text)
        facts = {"type": key.takes, "default": key.default or "none: it is required", "check": key.rule, "example": key.example}
        for name, said in facts.items():
            if said:
                _write(f"  {name:9}", said)
        if under:
            click.echo()
    for each in under:
        _write(f"  {each.name:20}", each.text)
    return 0


def _write(start: str, text: str) -> None:
    """Write a text that begins after some characters, and goes on below its beginning."""
    click.echo("\n".join(textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)))
