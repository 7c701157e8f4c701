"""The commands that list what is there: `table`, `view`, `workflow`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from lakeloop.cli.base import Command, Kind, Name, as_json, command, print_json
from resources.settings import Settings


def _listing(kind: Kind, what: str, examples: Sequence[str]) -> Command:
    @command(kind, examples=examples)
    @click.argument("name", required=False, type=Name(kind))
    @click.option("--stale", is_flag=True, help="Also say what of it is stale, which takes as long as `lakeloop plan`.")
    @as_json
    def listing(name: str | None, stale: bool, as_json: bool) -> int:
        return _show(kind, name, with_stale=stale, as_json=as_json)

    listing.help = what
    return listing


table_command = _listing(
    "table",
    "List the tables; with a name, its columns, checks and versions.",
    ["lakeloop table", "lakeloop table flights.flights", "lakeloop table flights --json"],
)
view_command = _listing(
    "view",
    "List the feature views; with a name, its columns, checks and versions.",
    ["lakeloop view", "lakeloop view route_delays", "lakeloop view --stale --json"],
)
workflow_command = _listing(
    "workflow",
    "List the workflows; with a name, its features, checks, model and release.",
    ["lakeloop workflow", "lakeloop workflow flights.flight_delay", "lakeloop workflow flight_delay --json"],
)


def _show(kind: Kind, name: str | None, *, with_stale: bool, as_json: bool) -> int:
    from lakeloop.cli.facts import Platform, describe, summarize
    from lakeloop.project.names import find_named, kind_of
    from platform_assets.loading import read_project
    from resources.lake.lake import Lake

    settings, project = Settings.from_environment(), read_project()
    platform = Platform(project, Lake(settings.lake_url).states(), settings.home)
    stale = _stale(platform, settings) if with_stale else None
    if name is not None:
        entry = describe(platform, find_named(project, name, kinds=(kind,)), stale)
        if as_json:
            print_json(entry)
        else:
            _print_one(entry)
        return 0
    entries = [summarize(platform, located, stale) for located in project.all() if kind_of(located) == kind]
    if as_json:
        print_json(entries)
    elif entries:
        _print_list(kind, entries)
    else:
        print(f"no {kind} is defined")
    return 0


def _stale(platform: Any, settings: Settings) -> Mapping[Any, Any]:
    from platform_assets.plan import stale_assets, unasked
    from platform_assets.stages.training.registered import taken_versions

    project, states = platform.project, platform.states
    return stale_assets(project, states, taken=taken_versions(project, settings.tracking_uri), silent=unasked(project, states))


def _print_list(kind: Kind, entries: Sequence[Mapping[str, Any]]) -> None:
    stale = ["state"] if "stale" in entries[0] else []
    if kind == "workflow":
        heads = ["name", "version", "released", "served", "score", "built", *stale, "description"]
        rows = [
            [
                entry["name"], _said(entry["version"]), _said(entry["released_version"]), _said(entry["served_version"]),
                f"{entry['metric']} {entry['score']:.3f}" if entry["score"] is not None else "-", _day(entry["built_at"]),
            ]
            for entry in entries
        ]  # fmt: skip
    else:
        heads = ["name", "rows", "newest", "version", "built", *stale, "description"]
        rows = [
            [
                entry["name"], f"{entry['rows']:,}" if entry["rows"] is not None else "-", _said(entry["newest_partition"]),
                _said(entry["version"]), _day(entry["built_at"]),
            ]
            for entry in entries
        ]  # fmt: skip
    for row, entry in zip(rows, entries, strict=True):
        row += [*(["stale" if entry["stale"] else "fresh"] if stale else []), entry["description"]]
    print_columns(heads, rows)


def _print_one(entry: Mapping[str, Any]) -> None:
    print(f"{entry['name']}  {entry['description']}\n")
    shown = {name: value for name, value in entry.items() if name not in ("name", "description", "columns", "checks", "versions")}
    for name, value in shown.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        if text not in (None, ""):
            print(f"{name.replace('_', ' '):<17} {text}")
    for name, version in entry["versions"].items():
        if version not in ({}, None):
            print(f"{'version of':<17} {name}: {version}" if "/" in name else f"{name:<17} {version}")
    print()
    print_columns(
        ["column", "type", "unit", "personal", "description"],
        [
            [column["name"], column["type"], column["unit"] or "", "personal" if column["personal"] else "", column["description"]]
            for column in entry["columns"]
        ],
    )
    if entry["checks"]:
        print()
        print_columns(
            ["check", "asset", "outcome", "message"],
            [[check["check"], check["asset"], check["outcome"], "" if check["good"] else check["message"]] for check in entry["checks"]],
        )


def print_columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print lines with their columns aligned, the last one cut at the edge of a terminal."""
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads) - 1)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in [heads, *rows]:
        line = "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), " ".join(row[-1].split())])
        print((line if room is None or len(line) <= room else f"{line[: room - 1]}…").rstrip())


def _said(value: object) -> str:
    return "-" if value is None else str(value)


def _day(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else "-"
