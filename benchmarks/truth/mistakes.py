"""Mistakes in definitions that `lakeloop check --sources` finds: `python -m benchmarks.truth mistakes` (`--count 500` for a look).

Every key, value and token of SQL of this repository's examples, of what drafts write and of definitions by hand is changed as people change them by
mistake (`benchmarks.truth.mutants`). Of all the mutants, `--count` are drawn by `--seed`, the same ones for the same seed; what was judged stands in
`--kept` and isn't judged again.

What counts as a mistake. `train: 90d` for `train: 80d` is another setting, and no check could know. A mutant is a mistake if

* the definitions can't be read or built: that `check` finds, by the rules that loading them applies;
* or it runs, and a step fails on the project's data, up to the training set;
* or it runs and other rows come out, of which the data tell that nobody meant them: a tenth of a table's rows, or of a column's values, is gone;
* or it runs and other rows come out, and it is of a kind that nobody means: a misspelled name or value, a value of another type, one out of range, one
  twice, a comma too many or missing; so does one of these in a key that matters only after the training set (model, gates, schedules).

It is none if the definitions mean the same (descriptions, owners, units, and what is the default), or give the same rows. Everything else is another
setting: a key left out that has a default, another column that exists and fits, a duration in another unit, a neighbour's value. Such are counted and
listed, by kind, and not held against `check`, though somebody's slip may be among them: a join by the wrong key whose rows look well is found by nobody
who doesn't know the data. `another setting` is drawn on purpose, as the control: a tenth more or less of a number or of a duration must not be refused.

A mistake is found if `check` tells anything that it doesn't tell of the original. Beside that stand how often the message is of the file and the line, or
of the key, that was changed; and for misspelled words, how often it names the right one.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.page import DOCS, write_between
from benchmarks.truth.judging import Judge, changed
from benchmarks.truth.mutant_worlds import WORLDS, open_worlds
from benchmarks.truth.mutants import Mutant, mutants_of
from lakeloop.errors import SpecError
from platform_assets.loading import load_definitions
from resources.sources.declared import check_sources

PAGE = DOCS / "mistakes.md"
KEPT = Path(tempfile.gettempdir()) / "lakeloop_mistakes.jsonl"
CONTROL = ("another setting", "another text")
NEVER_MEANT = (
    "misspelled key", "misspelled name", "misspelled value", "wrong type", "out of range", "listed twice", "SQL: misspelled keyword",
    "SQL: misspelled name", "SQL: misspelled function", "SQL: misspelled alias", "SQL: alias missing", "SQL: comma missing", "SQL: comma too many",
    "SQL: comma before nothing", "SQL: bracket missing", "SQL: quote missing", "SQL: unit missing",
)  # fmt: skip
"""Kinds that nobody means where they change anything."""


@dataclass(frozen=True)
class Verdict:
    """What a mutant came to.

    Attributes:
        name: of the mutant.
        kind: of the mutant.
        result: `found`, `missed`, `setting`, `same`, or for the control `accused`.
        told: by `check`, or what became of it.
        at_place: whether what is told is of the line or the key.
        names_right: whether it names what stood there before a word was misspelled; None where none was.
    """

    name: str
    kind: str
    result: str
    told: str
    at_place: bool = False
    names_right: bool | None = None


def find_errors(defs: Path) -> list[SpecError]:
    """What `lakeloop check --sources` tells."""
    with redirect_stdout(io.StringIO()):
        project, errors = load_definitions(defs)
        return [*errors, *check_sources(project, errors, ask=True).errors]


def judge(mutant: Mutant, defs: Path, stages: Judge | None) -> Verdict:
    """Hold one mutant against `check`, and what that lets pass against the data, unless there are no stages to run."""
    try:
        with changed(defs, mutant):
            errors = find_errors(defs)
    except Exception as error:  # `check` must end in a sentence, whatever a definition says
        return Verdict(mutant.name, mutant.kind, "missed", f"check itself fails: {type(error).__name__}: {error}")
    if errors:
        at_place = any(_is_at(error, mutant) for error in errors)
        names_right = any(mutant.was.strip("\"'") in error.message for error in errors) if "misspelled" in mutant.kind else None
        result = "accused" if mutant.kind in CONTROL else "found"
        return Verdict(mutant.name, mutant.kind, result, str(errors[0]), at_place, names_right)
    if stages is None:
        return Verdict(mutant.name, mutant.kind, "let pass", "")
    outcome = stages.judge(mutant)
    is_mistake = outcome.fate in ("fails", "told") or (outcome.fate in ("differs", "not run") and mutant.kind in NEVER_MEANT)
    if mutant.kind in CONTROL:
        result = "setting" if outcome.fate != "same" else "same"
    else:
        result = "missed" if is_mistake else "same" if outcome.fate == "same" else "setting"
    return Verdict(mutant.name, mutant.kind, result, f"{outcome.fate}: {outcome.why}")


def _is_at(error: SpecError, mutant: Mutant) -> bool:
    """Whether an error is of the line that was changed, or of its key or one around or within it."""
    if not error.file.endswith(mutant.file):
        return False
    where = mutant.where.removesuffix(f".{mutant.was}") if mutant.kind.startswith("misspelled") else mutant.where
    return error.line == mutant.line or bool(
        error.key and (f"{where}.".startswith(f"{error.key}.") or f"{error.key}.".startswith(f"{where}."))
    )


def draw(mutants: Sequence[Mutant], seed: int, count: int) -> list[Mutant]:
    """The first so many of all mutants in an order that the seed gives; ordered by project, so that each is built once."""
    order = random.Random(seed).sample(range(len(mutants)), len(mutants))[:count]
    return [mutants[place] for place in sorted(order)]


def run(root: Path, seed: int, count: int, kept: Path, *, worlds: Iterable[str] = (), run_stages: bool = True) -> list[Verdict]:
    """Judge mutants; those that were judged before are read."""
    before = {line["name"]: Verdict(**line) for line in map(json.loads, kept.read_text().splitlines())} if kept.exists() else {}
    with redirect_stdout(sys.stderr), open_worlds(root, worlds) as made, kept.open("a") as stream:
        stages = {name: Judge(defs, root / name) for name, defs in made.items()} if run_stages else {}
        drawn = draw([mutant for name, defs in made.items() for mutant in mutants_of(name, defs)], seed, count)
        verdicts = []
        for number, mutant in enumerate(drawn):
            verdict = before.get(mutant.name)
            if verdict is None:
                verdict = judge(mutant, made[mutant.world], stages.get(mutant.world))
                stream.write(json.dumps(asdict(verdict)) + "\n")
                stream.flush()
            verdicts.append(verdict)
            if number % 100 == 99:
                print(f"{number + 1} of {len(drawn)}: {dict(Counter(each.result for each in verdicts))}", file=sys.stderr, flush=True)
    return verdicts


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """The figures by kind, in Markdown."""
    lines = [
        "| kind of change | mutants | the same | another setting | mistakes | found | at the line or key | names the right word |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    kinds = [kind for kind in dict.fromkeys(sorted(each.kind for each in verdicts)) if kind not in CONTROL]
    for kind in [*kinds, None]:
        of_kind = [each for each in verdicts if each.kind not in CONTROL and kind in (None, each.kind)]
        count = Counter(each.result for each in of_kind)
        found_ones = [each for each in of_kind if each.result == "found"]
        mistakes = count["found"] + count["missed"]
        placed = sum(each.at_place for each in found_ones)
        named = [each.names_right for each in found_ones if each.names_right is not None]
        lines.append(
            f"| {kind or 'all'} | {len(of_kind):,} | {count['same']:,} | {count['setting']:,} | {mistakes:,} | {_share(count['found'], mistakes)} | "
            f"{_share(placed, len(found_ones))} | {_share(sum(named), len(named))} |"
        )
    return lines


def control(verdicts: Sequence[Verdict]) -> str:
    """How many other settings were refused."""
    others = [each for each in verdicts if each.kind in CONTROL]
    accused = [each for each in others if each.result == "accused"]
    return f"Of {len(others):,} other settings and texts, {len(accused):,} are refused."


def missed(verdicts: Sequence[Verdict]) -> Mapping[str, list[Verdict]]:
    """The mistakes that aren't found, by kind."""
    kinds = dict.fromkeys(each.kind for each in verdicts if each.result == "missed")
    return {kind: [each for each in verdicts if each.result == "missed" and each.kind == kind] for kind in kinds}


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def main() -> None:
    """Judge, print what isn't found, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=3_000)
    parser.add_argument("--kept", type=Path, default=KEPT, help="what was judged before, a line each")
    parser.add_argument("--worlds", nargs="*", default=[], choices=list(WORLDS), help="only these projects; all unless some are named")
    parser.add_argument("--write", metavar="COMMIT", help="write the table into docs/mistakes.md, as of this commit")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdicts = run(Path(folder), args.seed, args.count, args.kept, worlds=args.worlds)
    for kind, ones in missed(verdicts).items():
        print(f"{kind}: {len(ones)} not found")
        for each in ones:
            print(f"  {each.name}\n      {each.told}")
    for each in verdicts:
        if each.result == "accused":
            print(f"refused: {each.name}\n      {each.told}")
    lines = [*table(verdicts), "", control(verdicts)]
    print("\n".join(lines))
    if args.write:
        named = f" --worlds {' '.join(args.worlds)}" if args.worlds else ""
        note = f"`python -m benchmarks.truth mistakes --seed {args.seed} --count {args.count}{named}` at {args.write}."
        write_between(PAGE, "mistakes", "\n".join([note, "", *lines]))
