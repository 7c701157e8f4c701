"""When a value of a view is known, against the definition by brute force: a share of the campaign `python -m benchmarks.known`."""

from __future__ import annotations

import pytest

from benchmarks.known.comparison import compare_world
from benchmarks.known.views import KINDS, Kind
from benchmarks.known.worlds import make_world

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
