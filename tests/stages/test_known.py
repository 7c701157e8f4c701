"""When a value of a view is known, against the definition by brute force: a share of the campaign `python -m benchmarks.known`."""

from __future__ import annotations

from functools import partial

import pytest

from benchmarks.known.comparison import compare_world
from benchmarks.known.views import BY_FUNCTION, KINDS, NEXT, Kind
from benchmarks.known.worlds import make_world
from lakeloop.rows.landings import choose_landings
from platform_assets.stages.features import known_before

SEEDS = (300, 301, 304)


def test_no_value_of_any_kind_of_view_is_known_too_early() -> None:
    compared = compare_world(134, KINDS, count=40)
    assert compared.total.early == 0, compared.total.examples
    assert {name for name, counts in compared.by_kind.items() if counts.equal > 100} >= {kind.name for kind in KINDS}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_value_is_known_too_early_in_a_group_of_random_worlds(seed: int) -> None:
    counts = compare_world(seed, count=40).total
    assert counts.early == 0, counts.examples
    assert counts.equal > 10 * counts.later


def test_where_the_platform_runs_after_each_landing_every_time_is_exact() -> None:
    worlds = (make_world(seed) for seed in range(400, 500))
    seed = next(world.seed for world in worlds if len(world.computes) == len(world.landings) and not world.is_vacuumed)
    counts = compare_world(seed, count=20).total
    assert (counts.early, counts.later) == (0, 0) and counts.equal > 1000


def test_where_only_some_of_many_landings_are_looked_at_values_are_known_later_and_never_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_before, "choose_landings", partial(choose_landings, most=1))
    worlds = (make_world(seed) for seed in range(3000, 3100))
    world = next(world for world in worlds if len(world.landings) > 4 and world.computes == {len(world.landings) - 1})
    counts = compare_world(world.seed, count=10).total
    assert counts.early == 0 and counts.later > 0, counts.examples


def test_a_value_that_is_computed_from_a_later_row_waits_until_that_is_complete() -> None:
    worlds = (make_world(seed, (NEXT,)) for seed in range(500, 700))
    seed = next(world.seed for world in worlds if world.known_delay.days and len(world.computes) == len(world.landings))
    counts = compare_world(seed, (NEXT,), count=20).total
    assert counts.early == 0 and counts.later > 0, counts.examples


@pytest.mark.parametrize("kind", [NEXT, BY_FUNCTION])
def test_a_row_of_an_adopted_table_waits_until_it_is_complete(kind: Kind) -> None:
    worlds = (make_world(seed, (kind,)) for seed in range(500, 700))
    seed = next(world.seed for world in worlds if world.known_delay.days and len(world.computes) == len(world.landings))
    counts = compare_world(seed, (kind,), count=20, adopted=True).total
    assert counts.early == 0 and counts.equal > 100, counts.examples
