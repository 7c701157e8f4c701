"""Messages of a join on a personal key."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakeloop.errors import DataError


def test_a_static_table_with_a_personal_key_twice_is_refused_without_its_value() -> None:
    from lakeloop.rows.asof import FeatureRows, point_in_time_join

    moment = pa.array([0], pa.timestamp("us", tz="UTC"))
    rows = FeatureRows("people", pa.table({"who": ["Jane", "Jane"], "x": [1, 2]}), ("who",), {"x": "x"}, personal={"who"})
    with pytest.raises(DataError, match=r"found 2 for \{'who': '\*\*\*'\}"):
        point_in_time_join(pa.table({"who": ["Jane"], "at": moment}), [rows], at="at")
