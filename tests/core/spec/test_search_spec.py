"""What may be written under `search:`, what is told of what may not, and what a trial draws from it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from lakeloop.checking.project import load_checked
from lakeloop.errors import SpecError
from lakeloop.search.space import check_search, draw, own_values, space_of
from lakeloop.spec.search import PRUNERS, SAMPLERS, Parameter, Search
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.pipelines import NAMES, pipeline_module
from tests.worlds.shop import make_shop

BINARY = Answer("binary_classification")
ANSWERS: dict[str, Answer] = {
    "multiclass_classification": Answer("multiclass_classification", ("a", "b", "c")),
    "quantile_regression": Answer("quantile_regression", (), (0.1, 0.5, 0.9)),
}


def errors_of(root: Path, search: str, model: str = "{pipeline: linear}") -> list[str]:
    """What `lakeloop check` says of a shop whose workflow searches so."""
    defs = make_shop(root)
    workflow = defs / "shop" / "returns" / "defs.yaml"
    workflow.write_text(workflow.read_text().replace("model: {pipeline: linear}", f"model: {model}") + f"  search: {search}\n")
    return [str(error) for error in load_checked(defs)[1]]


@pytest.mark.parametrize(
    ("search", "key", "words"),
    [
        ("{}", "search", "wanted trials or minutes"),
        ("{trials: 0}", "search.trials", "greater than or equal to 1, found 0"),
        ("{trials: 5, trails: 3}", "search.trails", "did you mean 'trials'?"),
        ("{trials: 5, metric: roc_uac}", "search.metric", "no metric 'roc_uac' for binary_classification; did you mean 'roc_auc'?"),
        ("{trials: 5, sampler: TPESampller}", "search.sampler", "no sampler 'TPESampller' of Optuna; did you mean 'TPESampler'?"),
        ("{trials: 5, sampler: {TPESampler: {n_startup: 2}}}", "search.sampler.TPESampler.n_startup", "did you mean 'n_startup_trials'?"),
        ("{trials: 5, sampler: {TPESampler: {seed: 2}}}", "search.sampler.TPESampler.seed", "`search.seed`"),
        ("{trials: 5, pruner: MedainPruner}", "search.pruner", "did you mean 'MedianPruner'?"),
        ("{trials: 5, pruner: PercentilePruner}", "search.pruner.PercentilePruner", "missing a required argument: 'percentile'"),
        ("{trials: 5, space: {CC: {low: 1, high: 2}}}", "search.space.CC", "LogisticRegression has no parameter 'CC'; did you mean 'C'?"),
        ("{trials: 5, space: {C: {low: 2, high: 1}}}", "search.space.C.low", "wanted a number below high, found low 2 and high 1"),
        ("{trials: 5, space: {C: {low: 0, high: 1, log: true}}}", "search.space.C.low", "above 0 for a logarithmic range, found 0"),
        ("{trials: 5, space: {C: {low: 1.0, high: 2, log: true, step: 1}}}", "search.space.C.step", "a logarithmic range has no steps"),
        ("{trials: 5, space: {C: {low: 1}}}", "search.space.C", "wanted low and high, or choices"),
        ("{trials: 5, space: {C: {low: 1, high: 2, choices: [1]}}}", "search.space.C", "either choices, or low and high"),
        (
            "{trials: 5, space: {C: {choices: [1.0], when: {solvr: lbfgs}}, solver: {choices: [lbfgs]}}}",
            "search.space",
            "C.when: no parameter 'solvr' in the space; did you mean 'solver'?",
        ),
        (
            "{trials: 5, space: {C: {choices: [1.0], when: {solver: sag}}, solver: {choices: [lbfgs, saga]}}}",
            "search.space",
            "C.when.solver: 'sag' is none of its choices; did you mean 'saga'?",
        ),
        (
            "{trials: 5, space: {C: {choices: [1.0], when: {tol: 1}}, tol: {choices: [1], when: {C: 1.0}}}}",
            "search.space",
            "parameters depend on each other in a circle",
        ),
    ],
)
def test_what_is_wrong_with_a_search_is_told_by_file_line_and_key(search: str, key: str, words: str, tmp_path: Path) -> None:
    (told,) = errors_of(tmp_path, search)
    assert told.startswith("platform_assets/defs/shop/returns/defs.yaml:") and f": {key}: " in told
    assert words in told


def test_an_estimator_of_ones_own_needs_a_space(tmp_path: Path) -> None:
    own = "{estimator: 'sklearn.linear_model:LogisticRegression'}"
    (told,) = errors_of(tmp_path / "without", "{trials: 5}", own)
    assert "search.space: sklearn.linear_model:LogisticRegression has no search space of its own" in told
    assert errors_of(tmp_path / "with", "{trials: 5, space: {C: {low: 0.1, high: 1}}}", own) == []


def test_the_names_of_samplers_and_pruners_are_those_of_optuna() -> None:
    import optuna

    needing = {
        name
        for shelf in (optuna.samplers, optuna.pruners)
        for name in shelf.__all__
        if any(p in inspect.signature(getattr(shelf, name)).parameters for p in ("base_sampler", "wrapped_pruner") if name != "nsgaii")
    }
    made = {name for shelf in (optuna.samplers, optuna.pruners) for name in shelf.__all__ if not name.startswith("Base")}
    assert {*SAMPLERS, *PRUNERS} == made - needing - {"nsgaii"}


@pytest.mark.parametrize("name", NAMES)
def test_every_ready_made_pipeline_has_a_space_that_its_estimator_takes(name: str) -> None:
    for task in pipeline_module(name, pipeline_task(name)).TASKS:
        model, answer = Model(pipeline=name), ANSWERS.get(task, Answer(task))
        if answer.kind.label == "none":
            with pytest.raises(SpecError, match="has no label to search by"):
                check_search(model, answer, Search(trials=1), Path())
            continue
        search = Search(trials=1)
        space = space_of(model, answer, search, Path())
        check_search(model, answer, Search(trials=1, space=space), Path())
        own = own_values(model, answer, space, Path())
        numbers = {name for name, values in space.items() if values.choices is None}
        assert numbers <= set(own) <= set(space), "the pipeline's own parameters lie in its own space"


def pipeline_task(name: str) -> Any:
    """One of the tasks that a pipeline is for."""
    import importlib

    return importlib.import_module(f"lakeloop.pipelines.{name}").TASKS[0]


def test_a_parameter_is_drawn_only_when_its_condition_is_met() -> None:
    import optuna

    space = space_of(
        Model(pipeline="linear"),
        BINARY,
        Search(
            trials=1,
            space={
                "l1_ratio": Parameter(low=0.0, high=1.0, when={"penalty": ["elasticnet"]}),
                "C": Parameter(low=1, high=9, step=4),
                "penalty": Parameter(choices=["l2", "elasticnet"]),
            },
        ),
        Path(),
    )
    assert list(space).index("penalty") < list(space).index("l1_ratio")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [draw(study.ask(), space) for _ in range(40)]
    assert {("l1_ratio" in params) for params in drawn} == {True, False}
    assert all(("l1_ratio" in params) == (params["penalty"] == "elasticnet") for params in drawn)
    assert {params["C"] for params in drawn} == {1, 5, 9} and all(isinstance(params["C"], int) for params in drawn)
    assert own_values(Model(pipeline="linear", params={"C": 5, "penalty": "l2"}), BINARY, space, Path()) == {"C": 5, "penalty": "l2"}
    assert own_values(Model(pipeline="linear", params={"C": 6}), BINARY, space, Path()).get("C") is None


def test_a_bad_default_space_of_a_pipeline_would_be_told() -> None:
    with pytest.raises(SpecError, match="has no parameter 'gamma'") as told:
        check_search(Model(pipeline="gradient_boosting"), BINARY, Search(trials=1, space={"gamma": Parameter(low=1, high=2)}), Path())
    assert told.value.key == "space.gamma"
