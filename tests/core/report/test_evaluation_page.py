"""The evaluation's findings on rows made for it: intervals, importance, weak slices, thresholds, checks, and the page that tells them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from lakeloop.evaluation.assessment import CANDIDATE, CHAMPION, Assessment, Question, assess
from lakeloop.evaluation.check_kinds import KINDS
from lakeloop.report.evaluation import evaluation_report
from lakeloop.report.page import render
from lakeloop.report.subject import GateOutcome
from lakeloop.spec.tasks import Answer
from tests.worlds.questions import ANSWERS, BINARY, REGRESSION, Page, cut, question, subject, words


@pytest.fixture(scope="module", params=ANSWERS, ids=lambda answer: answer.task)
def assessed(request: pytest.FixtureRequest) -> tuple[Question, Assessment, str]:
    asked = question(request.param)
    assessment = assess(asked)
    return asked, assessment, render(evaluation_report(subject(), asked, assessment))


def test_rows_of_one_cluster_have_figures_without_intervals() -> None:
    asked = cut(question(Answer(REGRESSION)), 240, primary="median_absolute_error")
    assessment = assess(replace(asked, clusters=np.zeros(240, int)))
    own = assessment.own["median_absolute_error"]
    assert np.isfinite(own.value) and np.isnan(own.low)
    assert assessment.differences[CHAMPION].p_not_worse() == 1.0
    page = render(evaluation_report(subject(), asked, assessment))
    assert "nan" not in re.sub(r"<svg.*?</svg>|<[^>]*>", "", page, flags=re.DOTALL).lower()


def test_a_page_says_which_rows_a_champion_may_have_seen_and_which_gates_only_warn() -> None:
    asked = question(Answer(BINARY))
    assessment = assess(asked)
    page = render(evaluation_report(subject(), asked, assessment))
    assert "rows that neither was trained on" in page and "It fails the gate roc_auc." in page
    warned = {
        "roc_auc": GateOutcome("failed", "at least 0.9", "0.7", "warning"),
        "brier": GateOutcome("passed", "at most 1", "0.2", "blocking"),
    }
    page = render(evaluation_report(subject(gates=warned), replace(asked, champion_known=False), assessment))
    assert "that neither was trained on" not in page and "it may have seen these rows" in page
    assert "It passes its gate. It doesn&#39;t meet the gate roc_auc, which only warns." in page


def test_a_page_about_rows_without_a_time_tells_nothing_of_time() -> None:
    asked = question(Answer(BINARY))
    page = render(evaluation_report(subject(static=True, cluster=None), asked, assess(replace(asked, static=True))))
    assert "known at predict_at" not in words(page) and "were known before the test window began" not in page
    assert "over time" not in page and "later rows" not in page and "2024-03-01" not in page
    assert "of a test window that it wasn&#39;t trained on" in page and "the rows have no time" in page


def test_the_page_of_few_rows_says_what_is_not_known() -> None:
    asked = cut(question(Answer(BINARY)), 20)
    few = words(render(evaluation_report(subject(cluster=None), asked, assess(replace(asked, clusters=np.zeros(20, int))))))
    assert "3 of 3 can't be distinguished from no importance at all" in few and "[–, –]" not in few and "– to –" not in few
    assert "is not shown (too few independent rows)" in few and "(p 1.000)" not in few
    assert "too few for more than one period" in few and "Where there is no interval" in few


def test_a_page_says_what_is_better_and_whether_the_champion_is_beaten() -> None:
    asked = question(Answer(REGRESSION))
    assessment = assess(asked)
    page = words(render(evaluation_report(subject(), asked, assessment)))
    assert "mae (lower is better) is 0." in page and "Higher is better for r2; lower is better for mae, rmse" in page
    assert "All on the same rows." in page and "How much worse mae gets when one feature is shuffled" in page
    assert "a loss of 0.01 or more is ruled out, as the gate champion requires" in page and "1 input table" in page
    later = asked.test.scores[CHAMPION].copy()
    later[:900] = np.nan
    fewer = replace(asked, test=replace(asked.test, scores={**asked.test.scores, CHAMPION: later}))
    page = words(render(evaluation_report(subject(), fewer, assess(fewer))))
    assert "the 600 of 1,500 that it wasn't trained on" in page


def test_the_page_is_one_file_without_script_or_network(assessed: tuple[Question, Assessment, str]) -> None:
    page = Page(assessed[2])
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert page.tags.count("svg") >= 6
    assert "@media screen and (prefers-color-scheme: dark)" in assessed[2]  # on paper the colours are those of a light page
    assert all(link.startswith(("#", "data:image/png")) for link in page.links), page.links
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert "&lt;script&gt;" in assessed[2]


def test_the_page_tells_everything_that_it_should(assessed: tuple[Question, Assessment, str]) -> None:
    asked, assessment, page = assessed
    for title in ("What the model is for", "Data and versions", "How good it is", "Against champion 1", "What it relies on",
                  "How it does over time", "By declared slice", "The worst slices", "Model checks", "What changed since version 1", "How the numbers"):  # fmt: skip
        assert title in page
    assert ("Thresholds and costs" in page) == (asked.answer.task == BINARY)
    assert ("Class by class" in page) == bool(asked.answer.classes)
    assert ("How much the interval covers" in page) == bool(asked.answer.quantiles)
    assert 'id="calibration"' in page
    assert all(code in page for code in KINDS)
    assert f"{assessment.own[asked.primary].value:.4f}" in page


def test_values_of_hidden_columns_are_searched_for_no_slice(assessed: tuple[Question, Assessment, str]) -> None:
    assert all("secret" not in item.columns for item in assessed[1].weak)
    assert assessed[1].searched == 2


def test_what_has_no_interval_says_why_and_the_calibration_error_what_it_is() -> None:
    asked = question(Answer(BINARY))
    page = words(render(evaluation_report(subject(), asked, assess(asked))))
    assert (
        "calibration_error is the root mean square over ten bins of equally many rows, less what chance adds to it; with it, this model has 0.0"
        in page
    )
    never = replace(asked, test=replace(asked.test, scores={**asked.test.scores, CANDIDATE: np.full(len(asked.test.y), 0.2)}))
    page = words(render(evaluation_report(subject(), never, assess(never))))
    assert "At 0.3 and above nothing is flagged, so there is no precision, nor an interval of one." in page


def test_the_page_says_how_much_wider_days_that_depend_make_an_interval() -> None:
    asked = question(Answer(REGRESSION))
    days = asked.test.at.astype("datetime64[D]")
    common = np.sin(np.arange(len(asked.test.y)) / 300)  # a slow wave that no model knows
    waving = replace(asked, clusters=days, test=replace(asked.test, y=asked.test.y + 3 * common))
    page = words(render(evaluation_report(subject(), waving, assess(waving))))
    assert re.search(
        r"Rows of one day may depend on each other; neighbouring ones do, too, which makes the interval of mae \d\.\d times as wide", page
    )
    sizes = np.repeat(np.arange(30), [600, *[31] * 28, 32])
    uneven = words(
        render(evaluation_report(subject(cluster="kind"), replace(asked, clusters=sizes), assess(replace(asked, clusters=sizes))))
    )
    assert "Its 30 values are of unequal size and tell as much as 6 of one size" in uneven
