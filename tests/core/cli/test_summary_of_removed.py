"""What `lakeloop up` shows of a model that is served and has no definition any more."""

from __future__ import annotations

from types import SimpleNamespace

from lakeloop.cli.up_summary import _example_request


def test_a_workflow_that_was_removed_has_no_example() -> None:
    assert _example_request(None, SimpleNamespace(workflows={}), "shop.returns") is None
