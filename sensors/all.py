"""All sensors, schedules and jobs of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from lakeloop.project import Project


@dataclass(frozen=True)
class Automation:
    """What acts by itself, and the jobs that it asks for."""

    sensors: list[Any] = field(default_factory=list)
    schedules: list[Any] = field(default_factory=list)
    jobs: list[Any] = field(default_factory=list)


def build_automation(project: Project, assets: Sequence[dg.AssetsDefinition]) -> Automation:
    """Sensors and schedules for a project."""
    return Automation()
