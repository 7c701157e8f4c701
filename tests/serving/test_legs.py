"""Legs: shares are met, keys stay with their leg, and legs that make no sense are refused."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.errors import DataError
from resources.serving.legs import Leg, Rollout

KEYS = [{"customer": f"C{n}", "shop": n % 7} for n in range(10_000)]


def rollout(share: float, *sticky: str, canary: str = "2") -> Rollout:
    return Rollout("shop.returns", (Leg("1", 1 - share, "champion"), Leg(canary, share, "canary")), sticky)


def canary_keys(wanted: Rollout) -> set[str]:
    return {key["customer"] for key in KEYS if wanted.leg_of(key, "r").role == "canary"}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.1, 0.5, 0.9, 1.0])
def test_a_share_of_10_000_keys_is_met_to_one_point(share):
    assert len(canary_keys(rollout(share))) / len(KEYS) == pytest.approx(share, abs=0.01)


def test_the_canarys_keys_at_a_smaller_share_keep_it_at_a_larger_one():
    shares = [canary_keys(rollout(share)) for share in (0.0, 0.05, 0.1, 0.5, 1.0)]
    assert all(smaller < larger for smaller, larger in pairwise(shares))


def test_another_canary_meets_other_keys_first():
    one, other = canary_keys(rollout(0.1)), canary_keys(rollout(0.1, canary="3"))
    assert len(one & other) < 0.2 * len(one)


def test_a_sticky_key_alone_decides():
    wanted = rollout(0.5, "customer")
    assert all(len({wanted.leg_of({"customer": f"C{n}", "order": order}, str(order)).role for order in range(20)}) == 1 for n in range(50))


def test_a_row_without_a_known_key_is_shared_by_its_request():
    wanted = rollout(0.3, "customer")
    for keys in ({}, {"customer": None}, {"order": 7}):
        canaries = sum(wanted.leg_of(keys, f"request-{n}").role == "canary" for n in range(10_000))
        assert canaries / 10_000 == pytest.approx(0.3, abs=0.015)


@given(st.integers(-(2**50), 2**50), st.floats(0, 1))
def test_a_number_is_one_key_however_it_came(number, share):
    spelled = [number, float(number), np.int64(number), np.float64(number)]
    assert len({rollout(share).leg_of({"id": value}, "r") for value in spelled}) == 1


@given(st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5) | st.floats() | st.booleans(), max_size=4), st.floats(0, 1))
def test_what_a_file_holds_chooses_as_what_was_written(keys, share):
    wanted = rollout(share)
    read = Rollout.from_record(json.loads(json.dumps(wanted.record())))
    assert read == wanted
    assert read.leg_of(keys, "r") == wanted.leg_of(dict(reversed(keys.items())), "r")


@pytest.mark.parametrize(
    ("legs", "message"),
    [
        ((), "found no leg"),
        ((Leg("2", 1.0, "canary"),), "found canary"),
        ((Leg("1", 0.5, "champion"), Leg("2", 0.5, "champion")), "found champion, champion"),
        ((Leg("1", 0.5, "champion"), Leg("1", 0.5, "canary")), "found 1 twice"),
        ((Leg("1", 0.5, "champion"), Leg("2", 0.4, "canary")), "found 0.5, 0.4"),
        ((Leg("1", 1.1, "champion"), Leg("2", -0.1, "canary")), "found 1.1, -0.1"),
        ((Leg("1", float("nan"), "champion"),), "found nan"),
    ],
)
def test_legs_that_make_no_sense_are_refused(legs, message):
    with pytest.raises(DataError, match=message):
        Rollout("shop.returns", legs)
