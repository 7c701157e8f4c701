"""The sensor that notifies, ticked by hand, and a file that makes a run fail."""

from __future__ import annotations

import dagster as dg

from resources.settings import Settings
from tests.worlds.shop_project import Shop

BAD_FILE = b"order_id,customer,ordered_at,items,amount_eur\no1,c1,2024-01-01 00:00:00,1,2\n"


class Sensor:
    """The shop's own sensor with its cursor, ticked by hand."""

    def __init__(self, shop: Shop, instance: dg.DagsterInstance) -> None:
        definitions = shop.definitions()
        self.sensor = next(sensor for sensor in definitions.sensors if sensor.name == "notify")
        self.resources = {name: definitions.resources[name] for name in ("lake", "tracking")}
        self.instance, self.cursor = instance, None

    def tick(self) -> str:
        with dg.build_sensor_context(self.instance, cursor=self.cursor, resources=self.resources) as context:
            result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor
        return str(result.skip_message)


def env() -> str:
    return Settings.from_environment().environment
