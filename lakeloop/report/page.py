"""A report as a frozen record, and that record as one HTML file: inline style and pictures, nothing from the network, no script.

`lakeloop.report.evaluation` composes the report of an evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lakeloop.report.plots import Picture

if TYPE_CHECKING:
    from markupsafe import Markup

Tone = Literal["good", "bad", "quiet", ""]
TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    label: str
    value: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Paragraph:
    """A few sentences; `quiet` for small print."""

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell with a tone."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """A table; the columns in `numeric` are aligned to the right; with `folded` (its summary) it opens on a click."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    numeric: Sequence[str] = ()
    caption: str = ""
    folded: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture and its caption; with a `name` it is shown outside the page, too."""

    picture: Picture
    caption: str
    name: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page, with an anchor."""

    anchor: str
    title: str
    blocks: Sequence[Paragraph | Table | Figure]


@dataclass(frozen=True)
class Report:
    """A page.

    Attributes:
        title: of the page.
        subtitle: one line below it.
        lead: the result in a few sentences.
        tiles: the figures to see first.
        sections: in order.
        footer: how and when it was made.
    """

    title: str
    subtitle: str
    lead: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    footer: str

    @property
    def pictures(self) -> dict[str, str]:
        """The named pictures as SVG files."""
        blocks = [block for section in self.sections for block in section.blocks]
        return {block.name: block.picture.file for block in blocks if isinstance(block, Figure) and block.name}


def render(report: Report) -> str:
    """Render the page as one HTML file. Everything is escaped except the pictures, which are our own."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["svg"] = lambda picture, prefix: Markup(picture.svg(prefix))
    environment.filters["prose"] = _prose
    environment.filters["figure"] = _figure
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["cell"] = lambda cell: cell if isinstance(cell, Cell) else Cell(cell)
    return environment.get_template(TEMPLATE).render(report=report)


def _figure(text: str) -> Markup:
    """A figure that wraps only before its interval in a narrow table."""
    from markupsafe import Markup

    return Markup(" ").join(Markup('<span class="whole">{}</span>').format(part) for part in re.split(r" (?=[\[(])", text))


def _prose(text: str) -> Markup:
    """Escaped text with `code` marked up and line breaks allowed after underscores."""
    from markupsafe import Markup, escape

    parts = str(escape(text)).replace("_", "_<wbr>").split("`")
    if len(parts) % 2 == 0:
        return Markup("`".join(parts))
    return Markup("".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)))
