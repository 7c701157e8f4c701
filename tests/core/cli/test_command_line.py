"""The command line as a whole: help, examples, exit codes, completion, and what it loads."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lakeloop.cli.main import COMMANDS, cli, main
from tests.worlds.imports import HEAVY
from tests.worlds.places import ROOT
from tests.worlds.shop import make_shop

NAMES = [name for section in COMMANDS.values() for name in section]


def command_named(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)  # type: ignore[attr-defined]
    assert command is not None
    return command


def complete(words: str, defs: Path, shell: str = "bash") -> list[str]:
    """What a shell would offer after some words; a space at their end begins the next one."""
    parts = words.split(" ")
    env = {**os.environ, "_LAKELOOP_COMPLETE": f"{shell}_complete", "LAKELOOP_DEFS": str(defs), "COMP_WORDS": words}
    env["COMP_CWORD"] = str(len(parts) - 1)
    done = subprocess.run([sys.executable, "-m", "lakeloop.cli"], env=env, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_has_the_help_of_the_table_and_examples_that_are_right(name: str) -> None:
    section = next(section for section in COMMANDS.values() if name in section)
    command = command_named(name)
    assert command.get_short_help_str(limit=200).startswith(section[name][1].rstrip("."))
    examples = [shlex.split(line, comments=True) for line in command.examples]  # type: ignore[attr-defined]
    mine = [words[2:] for words in examples if words[:2] == ["lakeloop", name]]
    assert mine or name == "completion"
    for words in mine:
        command.make_context(name, [word for word in words[: words.index(">")] if word] if ">" in words else words)


def test_help_version_and_completion_load_nothing_heavy() -> None:
    code = (
        "import sys; from lakeloop.cli.main import main\n"
        f"[main([name, '--help']) for name in {NAMES!r}]; main(['--help']); main(['--version']); main(['completion', 'zsh'])\n"
        "from lakeloop.cli.base import defined_names; assert defined_names()\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["chek"], 2, "no command 'chek'; did you mean 'check'?"),
        (["zzz"], 2, "no command 'zzz'; there are up, "),
        (["plan", "--jsn"], 2, "Did you mean '--json'?"),
        (["lineage"], 2, "Missing argument 'COLUMN'"),
        (["check", "--defs", "/no/such/folder"], 2, "no folder /no/such/folder"),
        ([], 2, "Usage: lakeloop"),
    ],
)
def test_wrong_use_is_told_with_exit_code_2(arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    assert told in capsys.readouterr().err


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("lakeloop 0.")


def test_check_prints_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    defs = make_shop(tmp_path)
    assert main(["check", "--json", "--defs", str(defs)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["errors"] == [] and document["workflows"] == 1
    file = next(defs.glob("*/returns/defs.yaml"))
    file.write_text(file.read_text().replace("gates:", "gattes:"))
    assert main(["check", "--json", "--defs", str(defs)]) == 1
    error = json.loads(capsys.readouterr().out)["errors"][0]
    assert error["file"].endswith("returns/defs.yaml") and error["line"] and "gattes" in error["message"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("lakeloop che", ["check"]),
        ("lakeloop plan --js", ["--json"]),
        ("lakeloop copy-pipeline linear ", ["shop.returns"]),
        ("lakeloop copy-pipeline linear ret", ["returns"]),
        ("lakeloop copy-pipeline linear shop/", ["shop/returns"]),
        ("lakeloop lineage predictions.", ["predictions.shop.returns"]),
        ("lakeloop lineage raw.shop.o", ["raw.shop.orders"]),
    ],
)
def test_a_shell_completes_commands_options_and_names(tmp_path: Path, words: str, offered: list[str]) -> None:
    assert complete(words, make_shop(tmp_path)) == offered


def test_completion_in_a_broken_project_is_silent(tmp_path: Path) -> None:
    assert complete("lakeloop copy-pipeline linear ", tmp_path / "nowhere") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_LAKELOOP_COMPLETE" in capsys.readouterr().out
