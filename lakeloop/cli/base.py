"""What the commands share: how a command is declared, its examples, names and their completion, JSON output.

Every process of the command line imports this module, shell completion included, so nothing here loads more than click.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem

from lakeloop.errors import LakeloopError
from resources.project import environment, find_project

Kind = Literal["table", "view", "workflow"]
KINDS: dict[str, Kind] = {"LakeTable": "table", "FeatureView": "view", "MLWorkflow": "workflow"}
"""The kind of a definition by the class that defines it."""
STAGES: dict[Kind, Sequence[str]] = {
    "table": ("raw", "validated"),
    "view": ("features",),
    "workflow": ("training_sets", "models", "predictions"),
}
"""The stages with columns by kind, for completion."""


class Command(click.Command):
    """A command with examples below its options, which the project's environment is set up for.

    Args:
        examples: lines that work as they are.
        in_project: whether it works on a project; without one it is refused then.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), in_project: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples, self.in_project = tuple(examples), in_project

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, with what the project's `.env` remembers in the environment."""
        if self.in_project:
            set_environment(required=not ctx.params.get("defs"))
        return super().invoke(ctx)


def set_environment(*, required: bool = True) -> None:
    """Set the environment variables that the project's `.env` remembers, for this process.

    Raises:
        LakeloopError: there is no project, and it is required.
    """
    try:
        os.environ.update(environment())
    except LakeloopError:
        if required:
            raise


def command(name: str, *, examples: Sequence[str], in_project: bool = True) -> Callable[[Callable[..., int]], Command]:
    """Declare a command: a function with options and arguments as its parameters, that returns the exit code."""
    return click.command(name, cls=Command, examples=examples, in_project=in_project)


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
defs_option = click.option(
    "--defs", type=click.Path(path_type=Path), default=None, metavar="FOLDER", help="Folder of definitions instead of the project's."
)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def plural(count: int, noun: str) -> str:
    """A number with its noun.

    >>> plural(1, "error"), plural(2, "error")
    ('1 error', '2 errors')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class Name(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on only
    """The name of a table, view or workflow, completed from the definition files; what it names is found by the command itself.

    Args:
        kinds: of what may be named.
        domains: whether the name of a domain will do too.
    """

    name = "name"

    def __init__(self, *kinds: Kind, domains: bool = False) -> None:
        self.kinds: Sequence[Kind] = kinds or tuple(KINDS.values())
        self.domains = domains

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin so: with their domain, or alone where they are unique."""
        separator = "/" if "/" in incomplete else "."
        named = [(domain, name) for kind, domain, name in defined_names(ctx.params.get("defs")) if kind in self.kinds]
        whole = [f"{domain}{separator}{name}" for domain, name in named]
        names = [name for _, name in named]
        alone = [name for name in names if incomplete and names.count(name) == 1]
        domains = [domain for domain, _ in named] if self.domains else []
        return [CompletionItem(text) for text in sorted({*whole, *alone, *domains}) if text.startswith(incomplete)]


class ColumnName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on only
    """`stage.domain.name.column`, completed up to the column."""

    name = "column"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The assets with columns that begin so."""
        named = sorted(f"{stage}.{domain}.{name}" for kind, domain, name in defined_names(ctx.params.get("defs")) for stage in STAGES[kind])
        return [CompletionItem(text) for text in named if text.startswith(incomplete)]


def defined_names(defs: Path | None = None) -> list[tuple[Kind, str, str]]:
    """Kind, domain and name of each definition, as its file looks; nothing is checked, and nothing is raised."""
    with suppress(LakeloopError, OSError, UnicodeDecodeError):
        folder = defs or find_project(environment()).defs
        return [named for path in sorted(folder.glob("*/*/defs.*")) for named in _named_in(path)]
    return []


def _named_in(path: Path) -> Iterator[tuple[Kind, str, str]]:
    """The definitions of one file: documents of YAML, or calls in Python."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        for document in re.split(r"^---", text, flags=re.MULTILINE):
            kind = re.search(r"^type:\s*[\w.]*\b(LakeTable|FeatureView|MLWorkflow)\b", document, re.MULTILINE)
            name = re.search(r"^\s+name:\s*['\"]?(\w+)", document, re.MULTILINE)
            if kind:
                yield KINDS[kind[1]], path.parent.parent.name, name[1] if name else path.parent.name
    elif path.suffix == ".py":
        for declaration in re.finditer(r"\b(LakeTable|FeatureView|MLWorkflow)\((?:[^()]*?\bname\s*=\s*['\"](\w+))?", text):
            yield KINDS[declaration[1]], path.parent.parent.name, declaration[2] or path.parent.name
