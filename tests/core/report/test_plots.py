"""Pictures of the report, by what is drawn in them."""

from __future__ import annotations

import numpy as np
import pytest

from lakeloop.evaluation.importance import Importance
from lakeloop.metrics.calibration import CalibrationBin
from lakeloop.metrics.table import MetricValue
from lakeloop.report.forecast_plots import ForecastPath, plot_paths
from lakeloop.report.plots import plot_importance, plot_metric_comparison, plot_residuals, plot_roc_pr, plot_slices
from lakeloop.report.task_plots import plot_class_calibration, plot_confusion


def test_a_metric_stands_in_a_comparison_with_the_digits_that_say_something() -> None:
    picture = plot_metric_comparison({"candidate": [MetricValue("mae", 7.77e-10, 7e-10, 8e-10, 20)]}, "mae")
    assert [text.get_text() for text in picture.figure.axes[0].get_yticklabels()] == ["this model  7.77e-10"]


def test_names_that_are_too_long_for_a_picture_are_still_told_apart() -> None:
    names = [f"origin_congestion__mean_departure_delay_of_{hours}h_before_departure_min" for hours in range(3, 12)]
    names += [f"origin_congestion__mean_departure_delay_{hours}h_min" for hours in (3, 24)]
    drawn = [
        plot_importance([Importance(name, 0.1, 0.0, 0.2, 50) for name in names], "mae"),
        plot_slices([{"slice": name, "n": 50, "value": 1.0, "low": 0.5, "high": 1.5, "small": False} for name in names], "at", "mae", 1.0),
        plot_confusion(np.eye(len(names)), names),
    ]
    for picture in drawn:
        shown = [text.get_text() for text in picture.figure.axes[0].get_yticklabels()]
        assert len(set(shown)) == len(names) and max(map(len, shown)) <= 42
    assert "日本" in plot_importance([Importance("日本", 0.1, 0.0, 0.2, 50)], "mae").file
    titles = {
        ax.get_title("left") for ax in plot_class_calibration({n: [CalibrationBin(0.2, 0.2, 0.1, 0.3, 9, n)] for n in names}).figure.axes
    }
    assert len(titles) == 9


def test_curves_of_rows_that_are_scored_the_same_do_not_depend_on_their_order() -> None:
    y = np.sort((np.arange(300) % 3 == 0).astype(float))[::-1]
    roc, precision = plot_roc_pr(y, np.full(300, 0.5)).figure.axes
    assert roc.lines[1].get_xydata().tolist() == [[0, 0], [1, 1]]
    assert precision.lines[1].get_xydata().tolist() == [[1, pytest.approx(1 / 3)]]
    few = plot_roc_pr(np.array([0.0, 1, 0]), np.array([0.9, 0.5, 0.1])).figure.axes[0]
    assert few.lines[1].get_xydata().tolist() == [[0, 0], [0.5, 0], [0.5, 1], [1, 1]]


def test_many_rows_are_drawn_stronger_than_few_on_any_page_and_no_error_is_moved_to_an_edge() -> None:
    rng = np.random.default_rng(0)
    score = 1e-9 * rng.normal(0, 1, 2000)
    left, right = plot_residuals(score + 1e-9 * rng.normal(0, 1, 2000), score).figure.axes
    few, many = left.collections[0].get_cmap()([0.0, 1.0])
    assert few[:3].tolist() == many[:3].tolist() and few[3] < 0.3 < many[3]
    assert sum(bar.get_height() for bar in right.patches) == 1980 and left.get_xlim()[1] < 4e-9


def test_forecasts_are_drawn_without_a_figure_that_stays_and_the_legend_hides_no_name() -> None:
    from matplotlib import pyplot

    times = np.datetime64("2024-01-01", "us") + np.arange(9) * np.timedelta64(1, "D")
    picture = plot_paths([ForecastPath(name, times, 1e10 * np.arange(9.0), [(times[5:], np.arange(4.0))]) for name in "ab"], "value")
    assert pyplot.get_fignums() == []
    picture.figure.canvas.draw()
    legend = picture.figure.legends[0].get_window_extent()
    assert not any(ax.title.get_window_extent().overlaps(legend) for ax in picture.figure.axes)
