"""Fixtures shared by all tests: real servers, a real lake, hypothesis without a clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("lakeloop", deadline=None, derandomize=True)
settings.load_profile("lakeloop")
