"""Models on their way into a server: what is refused, and what only their own state says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lakeloop.records.features import FeatureSpec
from lakeloop.spec.tasks import Answer


def test_an_error_without_a_message_is_the_models_state_and_not_the_servers_end(capsys: pytest.CaptureFixture[str]) -> None:
    from resources.serving.models import LoadedModel
    from resources.tracking.model_format import Field, ServableModel

    class Refuses:
        """Takes no null, and doesn't say why."""

        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            """Refuse a null."""
            if frame["n"].isna().any():
                raise ValueError
            return frame["n"].to_numpy()

    model = ServableModel("shop.plain", "1", Answer("regression"), (Field("n", "double"),), FeatureSpec((), "at"), Refuses())
    LoadedModel(model, "not compiled").warm_up()
    assert capsys.readouterr().err.strip() == "shop.plain doesn't accept a row of nulls: ValueError"
