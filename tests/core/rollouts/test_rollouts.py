"""Canaries: evidence equals its definition by brute force, errs as rarely as it says at every look, and decisions follow from it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, binom

from benchmarks.monitoring.canary import WORLDS, roll_out
from benchmarks.monitoring.null_canary import by_guards, by_quality
from lakeloop.rollouts.decisions import GUARD_ERROR_RATE, Plan, Progress, decide, guard_error_rates
from lakeloop.rollouts.guards import PRIOR_ROWS, WHOLE, Phase, evidence, log_e_value, tolerated_share
from lakeloop.rollouts.quality import DayLoss, bound

START = datetime(2023, 1, 2, tzinfo=UTC)
PLAN = Plan(guards={"errors": 1.0, "slow": 1.5}, margin=0.005)
DAYS = [DayLoss(np.datetime64("2023-01-02") + place, loss, 1000) for place, loss in enumerate([1e-4, -2e-4, 0.0, 1e-4, -1e-4, 0.0])]


@pytest.mark.parametrize(("canary", "champion"), [(0, 1), (1, 0), (8, 20), (20, 8), (3, 40)])
@pytest.mark.parametrize(("share", "ratio"), [(0.1, 1.0), (0.5, 1.0), (0.1, 1.5), (0.9, 1.0)])
def test_evidence_is_the_mixture_over_all_worse_shares(canary: int, champion: int, share: float, ratio: float) -> None:
    tolerated, doubled = (share * times / (share * times + 1 - share) for times in (ratio, 2 * ratio))
    prior = beta(PRIOR_ROWS * doubled, PRIOR_ROWS * (1 - doubled))

    def likelihood_ratio(theta: float) -> float:
        return float(prior.pdf(theta) * (theta / tolerated) ** canary * ((1 - theta) / (1 - tolerated)) ** champion)

    by_hand = quad(likelihood_ratio, tolerated, 1, epsabs=0, epsrel=1e-10, limit=500)[0] / prior.sf(tolerated)
    assert math.exp(log_e_value(Phase(share, canary, champion), ratio)) == pytest.approx(by_hand, rel=1e-6)


def test_evidence_equals_exact_sums_where_the_prior_has_whole_parameters() -> None:
    """A share of 1/9 doubled is 1/5 of bad requests, so the prior is beta(1, 4), whose tails are sums of fractions."""
    tolerated = Fraction(1, 9)

    def upper(a: int, b: int) -> Fraction:
        n = a + b - 1
        return sum((math.comb(n, k) * tolerated**k * (1 - tolerated) ** (n - k) for k in range(a)), Fraction(0))

    def whole_beta(a: int, b: int) -> Fraction:
        return Fraction(math.factorial(a - 1) * math.factorial(b - 1), math.factorial(a + b - 1))

    for x, others in ((0, 3), (4, 4), (30, 90), (7, 200)):
        mixture = whole_beta(1 + x, 4 + others) / whole_beta(1, 4) * upper(1 + x, 4 + others) / upper(1, 4)
        exact = mixture / (tolerated**x * (1 - tolerated) ** others)
        assert log_e_value(Phase(1 / 9, x, others)) == pytest.approx(math.log(exact), abs=1e-11)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_mean_of_evidence_is_one_and_it_ever_exceeds_20_in_less_than_5_percent(share: float) -> None:
    """All paths of 300 bad requests at the tolerated share, added up exactly."""
    n = 300
    outcomes = np.arange(n + 1)
    logs = np.array([log_e_value(Phase(share, int(x), n - int(x))) for x in outcomes])
    assert math.fsum(binom.pmf(outcomes, n, share) * np.exp(logs)) == pytest.approx(1.0, abs=1e-9)
    paths, crossed = np.array([1.0]), 0.0
    for m in range(1, n + 1):
        paths = np.convolve(paths, [1 - share, share])
        is_beyond = np.array([log_e_value(Phase(share, x, m - x)) >= math.log(20) if paths[x] else False for x in range(m + 1)])
        crossed += float(paths[is_beyond].sum())
        paths[is_beyond] = 0.0
    assert 0.005 < crossed < 0.05


def test_what_makes_both_legs_worse_is_no_evidence_and_a_good_past_protects_nobody() -> None:
    assert evidence([Phase(0.1, 100, 900)]) < 0
    good, bad = Phase(0.1, 10, 900), Phase(0.5, 150, 50)
    assert log_e_value(good) < math.log(0.05)
    weighted = math.log(WHOLE * math.exp(log_e_value(good)) + 0.05) + log_e_value(bad)
    assert evidence([good, bad]) == pytest.approx(weighted, abs=1e-9)
    assert evidence([]) == pytest.approx(0.0, abs=1e-12) and 0 < WHOLE < 1
    assert tolerated_share(0.5, 3.0) == 0.75


def test_evidence_stays_a_number_however_well_a_canary_does() -> None:
    assert math.isfinite(evidence([Phase(0.5, 0, 10**7)])) and evidence([Phase(0.5, 0, 10**7)]) < 0


def test_the_bound_is_the_t_test_whose_bayes_factor_is_computed_by_integration() -> None:
    """At the bound, the likelihood under a normal effect over that under none, the deviation integrated out, is one over twice the error rate."""
    values, prior_days, rate = np.array([0.3, -0.2, 0.5, 0.1, 0.4, -0.1, 0.2, 0.35]), 0.2, 0.01
    n = len(values)
    limits = bound(values.tolist(), rate, prior_days)
    shifted = values - limits.lower
    covariance = np.eye(n) + np.ones((n, n)) / prior_days
    without, with_effect = float(shifted @ shifted), float(shifted @ np.linalg.solve(covariance, shifted))

    def marginal(square: float) -> float:
        return quad(lambda log_sigma: math.exp(-n * log_sigma - square * math.exp(-2 * log_sigma) / 2), -8, 4, epsabs=0, epsrel=1e-11)[0]

    factor = marginal(with_effect) / math.sqrt(np.linalg.det(covariance)) / marginal(without)
    assert factor == pytest.approx(1 / (2 * rate), rel=1e-7)


def test_for_many_days_the_bound_is_the_asymptotic_one() -> None:
    values = np.random.default_rng(1).normal(size=200_000)
    n, p, a = len(values), 0.2, 0.005
    published = math.sqrt(values.var() / n * (n + p) / n * (math.log((n + p) / p) - 2 * math.log(2 * a)))
    assert bound(values.tolist(), a).radius == pytest.approx(published, rel=1e-4)


def test_the_bound_is_ever_wrong_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(2)
    wrong = sum(any(bound(values[:n], 0.05).lower > 0 for n in range(2, 31)) for values in rng.normal(size=(1000, 30)))
    assert 5 < wrong < 65


def test_too_few_days_have_no_bound() -> None:
    assert [bound([0.1] * n, 0.003).radius for n in (0, 1, 3)] == [math.inf] * 3


def progress(**changes: object) -> Progress:
    return replace(Progress(START, 10, 0, {}, ()), **changes)  # type: ignore[arg-type]


def test_a_step_needs_its_requests_and_the_last_one_evidence_of_quality() -> None:
    early, now = progress(requests=1999), START + timedelta(days=1)
    held = decide(PLAN, early, now)
    assert (held.action, held.step) == ("hold", 10) and "1999 of 2000 requests" in held.reason
    advanced = decide(PLAN, replace(early, requests=2000), now)
    assert (advanced.action, advanced.step) == ("advance", 50)
    at_last = replace(early, step=50, requests=5000)
    assert decide(PLAN, at_last, now).action == "hold"
    promoted = decide(PLAN, replace(at_last, days=DAYS), now)
    assert (promoted.action, promoted.step) == ("promote", 100)
    assert promoted.figures["upper"] < PLAN.margin
    assert decide(PLAN, replace(at_last, days=DAYS, requests=10), now).action == "hold"
    assert decide(replace(PLAN, margin=0.0), replace(at_last, days=DAYS), now).action == "hold"


def test_a_plan_without_shared_steps_is_decided_by_shadow_alone() -> None:
    shadow = replace(PLAN, steps=(100,), guards={})
    assert decide(shadow, progress(step=0), START).action == "hold"
    assert decide(shadow, progress(step=0, days=DAYS), START).action == "promote"


def test_at_the_deadline_the_champion_stays_unless_something_is_shown() -> None:
    over = START + PLAN.deadline
    ended = decide(PLAN, progress(step=50, requests=5000), over)
    assert (ended.action, ended.step) == ("no_evidence", 0) and "the champion stays" in ended.reason
    assert decide(PLAN, progress(step=50, requests=5000), over - timedelta(seconds=1)).action == "hold"
    assert decide(PLAN, progress(step=50, requests=5000, days=DAYS), over).action == "promote"


def test_a_guard_rolls_back_whatever_else_is_shown() -> None:
    counts = {"errors": [Phase(0.1, 40, 60)], "slow": [Phase(0.1, 1, 9)]}
    decision = decide(PLAN, progress(step=50, requests=5000, days=DAYS, counts=counts), START)
    assert (decision.action, decision.step) == ("roll_back", 0)
    assert decision.reason.startswith("errors: 40 on the canary and 60 on the champion")
    tolerant = replace(PLAN, guards={"errors": 8.0})
    assert decide(tolerant, progress(counts=counts), START).action == "hold"


def test_a_loss_that_is_shown_rolls_back_and_one_of_few_days_does_not() -> None:
    worse = [replace(day, difference=0.01 + day.difference) for day in DAYS]
    decision = decide(PLAN, progress(days=worse), START)
    assert decision.action == "roll_back" and "over 6 days" in decision.reason
    assert decide(PLAN, progress(days=worse[:3]), START).action == "hold"


def test_error_rates_of_guards_sum_to_theirs_and_errors_have_half() -> None:
    assert guard_error_rates(["errors", "slow", "null"])["errors"] == GUARD_ERROR_RATE / 2
    for guards in (["errors"], ["slow"], ["slow", "null"], ["errors", "slow", "null", "invalid"]):
        assert math.fsum(guard_error_rates(guards).values()) == pytest.approx(GUARD_ERROR_RATE)
    assert guard_error_rates([]) == {}


def test_a_sample_of_the_simulation_ends_as_its_figures_say() -> None:
    worlds = {world.name: world for world in WORLDS}
    assert [roll_out(worlds["as good as the champion"], seed).action for seed in range(3)] == ["promote"] * 3
    endings = [roll_out(worlds["1% to 5% errors"], seed) for seed in range(10)]
    assert {ending.action for ending in endings} == {"roll_back"} and np.median([ending.requests for ending in endings]) < 3_500


def test_a_sample_of_the_null_is_hardly_ever_rolled_back() -> None:
    rng = np.random.default_rng(5)
    assert by_guards(rng, 100, 2).mean() <= 0.03
    assert by_quality(rng, 1000, 14, 0.002, 4.0).mean() <= 0.01
