"""When a value of a view is known, against the definition by brute force: a share of the campaign `python -m benchmarks.known`."""

from __future__ import annotations

from functools import partial

import pytest

from benchmarks.known.comparison import compare_world
from benchmarks.known.views import KINDS, Kind
from benchmarks.known.worlds import make_world
from lakeloop.rows.landings import choose_landings
from platform_assets.stages.features import known_before

SEEDS = range(300, 304)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_value_of_a_kind_of_view_is_known_too_early(kind: Kind) -> None:
    counts = compare_world(100, (kind,))
    assert counts.early == 0, counts.examples
    assert counts.equal > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_no_value_is_known_too_early_in_a_random_world(seed: int) -> None:
    counts = compare_world(seed)
    assert counts.early == 0, counts.examples
    assert counts.equal > 10 * counts.later


def test_where_the_platform_runs_after_each_landing_every_time_is_exact() -> None:
    worlds = (make_world(seed) for seed in range(400, 500))
    seed = next(world.seed for world in worlds if len(world.computes) == len(world.landings) and not world.is_vacuumed)
    counts = compare_world(seed)
    assert (counts.early, counts.later) == (0, 0) and counts.equal > 100


def test_where_only_some_of_many_landings_are_looked_at_values_are_known_later_and_never_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_before, "choose_landings", partial(choose_landings, most=1))
    worlds = (make_world(seed) for seed in range(3000, 3100))
    world = next(world for world in worlds if len(world.landings) > 4 and world.computes == {len(world.landings) - 1})
    counts = compare_world(world.seed)
    assert counts.early == 0 and counts.later > 0, counts.examples
