"""An evaluation's findings on rows made for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lakeloop.evaluation import model_checks as checks
from lakeloop.evaluation.assessment import CHAMPION, CONSTANT, LINEAR, assess
from lakeloop.spec.tasks import Answer
from tests.worlds.questions import BINARY, question


def test_periods_over_time_are_long_enough_to_say_something() -> None:
    asked = question(Answer(BINARY))
    sparse = replace(asked, test=replace(asked.test, at=np.datetime64("2020-01-01", "us") + np.arange(1500) * np.timedelta64(1, "D")))
    periods = [row["period"] for row in assess(sparse).over_time]
    assert periods[:3] == ["2020-01-01", "2020-02-01", "2020-03-01"]
    weekly = [row["period"] for row in assess(asked).over_time]
    assert weekly[:2] == ["2024-02-26", "2024-03-04"]


def test_rows_that_a_model_from_elsewhere_may_have_seen_decide_nothing() -> None:
    asked = question(Answer(BINARY))
    until = asked.test.at[1000]
    assessment = assess(replace(asked, elsewhere=checks.TrainedElsewhere("shop version 3", until, asked.test.at[0])))
    assert {who: d.rows for who, d in assessment.differences.items()} == {CHAMPION: 500, LINEAR: 500, CONSTANT: 500}
    assert assessment.own["roc_auc"].n == 1500
    assessment = assess(replace(asked, elsewhere=checks.TrainedElsewhere("shop version 3", asked.test.at[1450], asked.test.at[0])))
    assert CHAMPION not in assessment.differences and assessment.differences[CONSTANT].rows == 50
