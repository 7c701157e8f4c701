"""What the sensors have seen is used again only where it can't have changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.worlds.shop_project import RAW, Shop


def test_states_are_read_again_when_the_lake_has_changed_and_the_plan_after_a_moment(shop: Shop) -> None:
    from platform_assets.loading import read_project
    from sensors.all import SHARED_S, Look

    look, project, now = Look(), read_project(shop.defs), datetime.now(UTC)
    assert look.states(shop.lake) == {}
    assert shop.materialize("raw").success
    states = look.states(shop.lake)
    assert states == shop.lake.states() and RAW in states
    assert look.states(shop.lake) is states
    stale = look.stale(project, states, now)
    assert RAW not in stale
    shop.data.write_bytes(shop.data.read_bytes().replace(b"c1,", b"c2,"))
    moment = timedelta(seconds=SHARED_S)
    assert look.stale(project, states, now + moment / 2) is stale
    assert RAW in look.stale(project, states, now + moment)
    assert RAW in look.stale(project, states, now - timedelta(days=1)), "of a clock that was set back"
    assert shop.materialize("raw").success
    again = look.states(shop.lake)
    assert again is not states and RAW not in look.stale(project, again, now)
