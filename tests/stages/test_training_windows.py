"""Training windows that lack a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lakeloop.checking.project import load_checked
from lakeloop.spec.tasks import Answer
from tests.worlds.shop import make_shop

QUARTERS = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))


def test_a_training_window_of_one_class_is_refused_with_file_and_key_and_a_class_that_is_absent_is_told(tmp_path: Path) -> None:
    from dataclasses import replace

    from lakeloop.errors import SpecError
    from platform_assets.stages.training.models import _absent_classes

    located = load_checked(make_shop(tmp_path))[0].workflows[("shop", "returns")]
    assert _absent_classes(located, np.array([0.0, 1.0])) == ""
    with pytest.raises(SpecError, match=r"returns/defs\.yaml:\d+: split\.train: every row of the training window is of one class, 1"):
        _absent_classes(located, np.array([1.0, 1.0]))
    with pytest.raises(SpecError, match=r"split\.train: no row with a label"):
        _absent_classes(located, np.array([]))
    label = located.spec.label.model_copy(update={"classes": ["a", "b", "c"]})
    spec = located.spec.model_copy(update={"task": "multiclass_classification", "label": label})
    assert _absent_classes(replace(located, spec=spec), np.array([0.0, 2.0])) == "b"
