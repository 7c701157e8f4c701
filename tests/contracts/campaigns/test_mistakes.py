"""A share of the campaign: mistakes in the shop's definitions are found by `lakeloop check`, and other settings are not refused."""

from __future__ import annotations

from pathlib import Path

from benchmarks.truth.mistakes import CONTROL, missed, run
from benchmarks.truth.mutants import mutants_of
from tests.worlds.shop import make_shop

COUNT, SEED = 60, 5


def test_nine_of_ten_mistakes_are_found_and_no_other_setting_is_refused(tmp_path: Path) -> None:
    verdicts = run(tmp_path, SEED, COUNT, tmp_path / "kept", worlds=["shop"])
    assert len(verdicts) == COUNT and [each for each in verdicts if each.result == "accused"] == []
    told = [each for each in verdicts if each.result == "found"]
    others = [each for ones in missed(verdicts).values() for each in ones]
    assert len(told) > COUNT / 2 and len(told) >= 9 * len(others), others
    assert sum(each.at_place for each in told) >= 0.8 * len(told)


def test_what_was_judged_is_not_judged_again(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first = run(tmp_path / "first", SEED, 3, tmp_path / "kept", worlds=["climate"], run_stages=False)
    kept = (tmp_path / "kept").read_text()
    assert len(kept.splitlines()) == 3
    assert run(tmp_path / "second", SEED, 3, tmp_path / "kept", worlds=["climate"], run_stages=False) == first
    assert (tmp_path / "kept").read_text() == kept


def test_mutants_are_the_same_each_time_and_of_every_kind(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    mutants = mutants_of("shop", defs)
    assert mutants == mutants_of("shop", defs) and len({mutant.name for mutant in mutants}) == len(mutants) > 1_000
    kinds = {mutant.kind for mutant in mutants}
    assert {
        "deleted",
        "misspelled key",
        "misspelled value",
        "wrong type",
        "wrong unit",
        "out of range",
        "listed twice",
        "swapped values",
    } <= kinds
    assert {
        "a neighbour's value",
        "wrong reference",
        "SQL: comma missing",
        "SQL: comma before nothing",
        "SQL: misspelled name",
        *CONTROL,
    } <= kinds
