"""An engine or a rule that was corrected: views are computed anew for all times, and `lakeloop plan` names the rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.known.platform import run_world, without_checks
from benchmarks.known.views import BY_FUNCTION, DAILY, RUNNING
from benchmarks.known.worlds import World, make_world
from platform_assets.stages.base import Platform
from platform_assets.stages.features import known_before, rules, views
from platform_assets.stages.features.rules import KNOWN_DELAY

IDENTITY = ["customer", "order_id", "ordered_at", "known_at"]


def world_of_many_computations() -> World:
    worlds = (make_world(seed, (RUNNING,)) for seed in range(700, 900))
    return next(w for w in worlds if len(w.computes) == len(w.landings) > 3 and not w.known_delay and w.partitions is None)


def test_with_another_engine_whose_values_differ_all_times_are_computed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of_many_computations()
    with without_checks():
        before = run_world(world, tmp_path / "before")["running"]
        computations = 0

        def compute(*arguments: Any) -> Any:
            nonlocal computations
            computations += 1
            return original(*arguments)

        def corrected(*arguments: Any) -> pa.Table:
            rows = result(*arguments)
            doubled = pc.multiply(rows["spent"], 2.0)
            return rows if computations < 3 else rows.set_column(rows.column_names.index("spent"), "spent", doubled)

        original, result = views.compute, views.compute_result
        monkeypatch.setattr(views, "compute", compute)
        monkeypatch.setattr(views, "compute_result", corrected)
        monkeypatch.setattr(known_before, "compute_result", corrected)
        monkeypatch.setattr(Platform, "engine_version", lambda *_: f"sail {computations // 3}")
        after = run_world(world, tmp_path / "after")["running"]
    assert computations > 3
    order = [(name, "ascending") for name in IDENTITY]
    assert after.sort_by(order).select(IDENTITY).equals(before.sort_by(order).select(IDENTITY))
    assert after.sort_by(order)["spent"].equals(pc.multiply(before.sort_by(order)["spent"], 2.0))


def test_a_function_that_was_computed_before_a_correction_is_computed_anew_for_all_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = (make_world(seed, (BY_FUNCTION,)) for seed in range(700, 900))
    world = next(w for w in worlds if len(w.computes) == len(w.landings) > 3 and not w.known_delay and w.partitions is None)
    known = rules.engine_rules
    with without_checks():
        after = run_world(world, tmp_path / "after")[BY_FUNCTION.name]
        computations = 0

        def compute(*arguments: Any) -> Any:
            nonlocal computations
            computations += 1
            return original(*arguments)

        def wrong(*arguments: Any) -> pa.Table:
            rows = result(*arguments)
            place = rows.column_names.index("orders")
            return rows.set_column(place, "orders", pc.add(rows["orders"], 1000)) if computations < 3 else rows

        original, result = views.compute, views.compute_result
        monkeypatch.setattr(views, "compute", compute)
        monkeypatch.setattr(views, "compute_result", wrong)
        monkeypatch.setattr(known_before, "compute_result", wrong)
        monkeypatch.setattr(rules, "engine_rules", lambda *of: known(*of) if computations > 2 else {})
        corrected = run_world(world, tmp_path / "corrected")[BY_FUNCTION.name]
    assert computations > 3
    order = [(name, "ascending") for name in after.column_names]
    assert corrected.sort_by(order).equals(after.sort_by(order))


def test_a_rule_that_concerns_a_view_is_a_part_of_its_fingerprint(tmp_path: Path) -> None:
    from lakeloop.project.project import load_project
    from resources.lake.lake import Lake

    worlds = [make_world(seed, (DAILY,)) for seed in range(900, 1000)]
    for has_delay in (False, True):
        root = tmp_path / str(has_delay)
        with without_checks():
            run_world(next(world for world in worlds if bool(world.known_delay) is has_delay), root)
        project, _ = load_project(root / "defs")
        located = project.views[("shop", "daily")]
        name = f"value.{KNOWN_DELAY}"
        partition = next(iter(Lake(str(root / "lake")).states()[views.key_of("features", located)]))
        expected = views.expected(project, Lake(str(root / "lake")).states(), located, partition)
        assert (name in (getattr(expected, "parts", None) or {})) is has_delay


def test_a_view_may_say_that_what_it_reads_is_known_before_its_row_is_complete() -> None:
    from lakeloop.checking.project import load_checked
    from lakeloop.project.known_floor import known_floor
    from platform_assets.stages.features.rules import corrected_rules, waits_for_rows
    from tests.worlds.places import ROOT

    defs = ROOT / "platform_assets" / "defs"
    project, errors = load_checked(defs)
    assert errors == []
    departures = project.views[("flights", "origin_congestion")]
    assert (known_floor(project, departures), waits_for_rows(project, departures)) == (timedelta(0), False)
    assert KNOWN_DELAY not in corrected_rules(project, departures)
    plain = replace(departures, spec=departures.spec.model_copy(update={"known_delay": None}))
    assert (known_floor(project, plain), waits_for_rows(project, plain)) == (timedelta(hours=36), True)
    assert corrected_rules(project, plain)[KNOWN_DELAY] == "36h"
    # Written or not, the definition computes the same from the same rows: only when its values are known differs.
    assert views.definition(plain) == views.definition(departures)


def test_views_with_moving_windows_over_doubles_say_that_these_are_computed_otherwise() -> None:
    from lakeloop.checking.project import load_checked
    from platform_assets.stages.features.rules import MOVING_FRAMES, corrected_rules
    from tests.worlds.places import ROOT

    project, _ = load_checked(ROOT / "platform_assets" / "defs")
    concerned = {name for (_, name), located in project.views.items() if MOVING_FRAMES in corrected_rules(project, located)}
    # `aircraft_legs` counts over times, which the embedded engine does right.
    assert concerned == {"max_temperature_recent", "max_temperature_season", "carrier_delays", "origin_congestion", "route_delays"}


def test_views_with_doubles_beside_decimals_say_that_these_are_computed_otherwise(tmp_path: Path) -> None:
    from lakeloop.checking.project import load_checked
    from platform_assets.stages.features.rules import MIXED_NUMBERS, corrected_rules
    from tests.worlds.places import ROOT

    project, _ = load_checked(ROOT / "platform_assets" / "defs")
    assert not any(MIXED_NUMBERS in corrected_rules(project, located) for located in project.views.values())
    weather = project.views[("flights", "weather_observed")]
    text = (weather.folder / str(weather.spec.sql)).read_text()
    (tmp_path / str(weather.spec.sql)).write_text(text.replace("coalesce(wind_gust_mph, wind_speed_mph)", "coalesce(wind_gust_mph, 0.0)"))
    assert MIXED_NUMBERS in corrected_rules(project, replace(weather, folder=tmp_path))


def test_views_of_functions_and_of_whole_numbers_that_could_leave_their_type_say_so(tmp_path: Path) -> None:
    from lakeloop.checking.project import load_checked
    from tests.worlds.places import ROOT

    project, _ = load_checked(ROOT / "platform_assets" / "defs")
    concerned = {name for (_, name), located in project.views.items() if rules.GUARDED_NUMBERS in rules.corrected_rules(project, located)}
    # `year(departure_date) - built_year`; a window's average minus another's, which may be infinity minus infinity.
    assert concerned == {"timetable", "max_temperature_recent"}
    legs = project.views[("flights", "aircraft_legs")]
    of_a_function = replace(legs, spec=legs.spec.model_copy(update={"sql": None, "function": "legs.py:legs"}))
    assert rules.FUNCTIONS in rules.engine_rules(project, of_a_function)
