"""A user's own model code: found and checked by reading it, imported by its content, and its errors told with their line."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from lakeloop.errors import DataError, SpecError
from lakeloop.spec.tables import Task
from lakeloop.spec.workflow import Model
from lakeloop.training.model_code import ModelCode, check_code, import_file, import_model_code, model_source, reference_of, user_code_error

PIPELINE = """\
TASKS = ("binary_classification", "regression")


def estimator(kinds, answer, params, seed):
    return None


def search_space(task):
    return {}
"""
CONTINUED = PIPELINE + "\n\ndef continued(champion, fresh, frame, label, *, trees, limit):\n    return None\n"
WARM = {"trees": 50}


def problem(folder: Path, code: str, task: Task = "binary_classification", **model: Any) -> str | None:
    """What is wrong with `own.py`; None if nothing is."""
    (folder / "own.py").write_text(dedent(code))
    try:
        check_code(Model.model_validate(model), task, folder)
    except SpecError as error:
        assert error.key == next(iter(model))
        return error.message
    return None


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (PIPELINE, None),
        (PIPELINE.replace('("binary_classification", "regression")', '["binary_classification"]'), None),
        (PIPELINE.replace("TASKS =", "TASKS: tuple[str, ...] ="), None),
        (PIPELINE.replace("kinds, answer, params, seed", "*everything"), None),
        (PIPELINE.replace("kinds, answer, params, seed", "kinds, answer, params, seed, more=1"), None),
        (PIPELINE.replace("kinds, answer, params, seed", "kinds, /, answer, params, seed, *, more=1"), None),
        ("x = = 1", "can't read own.py: invalid syntax (<unknown>, line 1)"),
        (PIPELINE.replace("def estimator", "def estimatr"), "own.py has no function estimator(kinds, answer, params, seed); did you mean 'estimatr'? Available: estimatr, search_space"),
        (PIPELINE.replace("def search_space", "def space"), "own.py has no function search_space(task); did you mean 'space'? Available: estimator, space"),
        (PIPELINE.replace("def search_space", "async def search_space"), "own.py has no function search_space(task); Available: estimator"),
        (PIPELINE.replace("kinds, answer, params, seed", "kinds, answer"), "own.py:estimator takes (kinds, answer): wanted estimator(kinds, answer, params, seed)"),
        (PIPELINE.replace("kinds, answer, params, seed", "kinds, answer, params, seed, more"), "own.py:estimator also requires more: it is called as estimator(kinds, answer, params, seed)"),
        (PIPELINE.replace("kinds, answer, params, seed", "kinds, answer, params, seed, *, more, other=1"), "own.py:estimator also requires more: it is called as estimator(kinds, answer, params, seed)"),
        (PIPELINE.replace("(task)", "()"), "own.py:search_space takes (): wanted search_space(task)"),
        (PIPELINE.replace("TASKS", "TASK"), "own.py has no TASKS: wanted a tuple of what it can do, such as TASKS = ('binary_classification',)"),
        (PIPELINE.replace('("binary', 'tuple("binary'), "own.py has no TASKS: wanted a tuple of what it can do, such as TASKS = ('binary_classification',)"),
        (PIPELINE.replace('("binary_classification", "regression")', '"regression"'), "own.py has no TASKS: wanted a tuple of what it can do, such as TASKS = ('binary_classification',)"),
        (PIPELINE.replace('"binary_classification"', '"binary_clasification"'), "own.py: TASKS names no task 'binary_clasification'; did you mean 'binary_classification'?"),
        (PIPELINE.replace('"binary_classification"', '"forecasting"'), "own.py is for forecasting, regression, not for binary_classification"),
    ],
)  # fmt: skip
def test_a_pipeline_file_defines_its_two_functions_and_its_tasks(tmp_path: Path, code: str, wanted: str | None) -> None:
    told = problem(tmp_path, code, pipeline="own.py")
    assert told == wanted if wanted is None else (told or "").startswith(wanted), told


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (CONTINUED, None),
        (CONTINUED.replace("*, trees, limit", "**settings"), None),
        (PIPELINE, "own.py has no function continued(champion, fresh, frame, label, *, trees, limit), which warm_start needs; Available: estimator, search_space"),
        (CONTINUED.replace("*, trees, limit", "*, trees"), "own.py:continued takes no 'limit': wanted continued(champion, fresh, frame, label, *, trees, limit); Available: trees"),
        (CONTINUED.replace("frame, label, *, trees, limit", "*, trees, limit"), "own.py:continued takes (champion, fresh): wanted continued(champion, fresh, frame, label, *, trees, limit)"),
    ],
)  # fmt: skip
def test_a_pipeline_that_is_to_be_continued_says_how(tmp_path: Path, code: str, wanted: str | None) -> None:
    assert problem(tmp_path, code, pipeline="own.py", warm_start=WARM) == wanted


@pytest.mark.parametrize(
    ("code", "task", "wanted"),
    [
        ("class Own:\n def fit(self): ...\n def predict_proba(self): ...", "binary_classification", None),
        ("class Own:\n def fit(self): ...\n def predict(self): ...", "regression", None),
        ("class Own(Base): ...", "regression", None),  # its methods may be those of its base
        ("from elsewhere import Own", "regression", None),
        ("Own = make()", "regression", None),
        ("class Own:\n def fit(self): ...", "regression", "own.py:Own has no predict: wanted a scikit-learn-style estimator for a regression"),
        ("class Own: ...", "binary_classification", "own.py:Own has no fit and no predict_proba: wanted a scikit-learn-style estimator for a binary_classification"),
        ("class Own:\n def fit(self): ...\n def predict(self): ...", "binary_classification", "own.py:Own has no predict_proba: wanted a scikit-learn-style estimator for a binary_classification"),
        ("def Own(): ...", "regression", "own.py:Own is a function: wanted a class with fit and predict; a function is declared as train"),
        ("class own: ...", "regression", "own.py has no 'Own'; did you mean 'own'? Available: own"),
    ],
)  # fmt: skip
def test_an_estimator_is_a_class_with_the_methods_of_its_task(tmp_path: Path, code: str, task: Task, wanted: str | None) -> None:
    assert problem(tmp_path, code, task, estimator="own.py:Own") == wanted


CALL = "f(frame, label, *, answer, params, seed)"


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("def fit(frame, label, *, answer, params, seed): ...", None),
        ("def fit(frame, label, answer, params, seed): ...", None),
        ("def fit(frame, label, **rest): ...", None),
        ("def fit(x, y, *, answer, params, seed, more=2): ...", None),
        ("def fit(*rows, answer, params, seed): ...", None),
        ("fit = other", None),
        ("def fit(frame, *, answer, params, seed): ...", f"own.py:fit takes (frame): wanted {CALL}"),
        ("def fit(frame, label, *, answer, params): ...", f"own.py:fit takes no 'seed': wanted {CALL}; Available: answer, params"),
        ("def fit(frame, label, answer, params, seed, /): ...", f"own.py:fit takes no 'answer': wanted {CALL}; nothing is available"),
        ("def fit(frame, label, more, *, answer, params, seed): ...", f"own.py:fit also requires more: it is called as {CALL}"),
        ("async def fit(frame, label, *, answer, params, seed): ...", f"own.py:fit is no plain function: wanted {CALL}"),
        ("class fit: ...", f"own.py:fit is a class: wanted a function {CALL}; a class is declared as estimator"),
        ("", "own.py has no 'fit'; nothing is available"),
    ],
)
def test_a_function_that_trains_can_be_called_as_it_will_be(tmp_path: Path, code: str, wanted: str | None) -> None:
    assert problem(tmp_path, code, train="own.py:fit") == wanted


def test_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PIPELINE)
    for model in ({"pipeline": "onw.py"}, {"estimator": "onw.py:Own"}, {"train": "onw.py:fit"}):
        with pytest.raises(SpecError, match=r"no file 'onw.py' beside the definition; did you mean 'own.py'\? Available: own.py"):
            check_code(Model.model_validate(model), "regression", tmp_path)


# Importing it.


@pytest.mark.parametrize(
    ("model", "key", "reference", "source"),
    [
        ({"pipeline": "linear"}, "pipeline", "linear", ""),
        ({"registered": "elsewhere"}, "registered", "elsewhere", ""),
        ({"pipeline": "own.py"}, "pipeline", "own.py", "X = 1\n"),
        ({"estimator": "own.py:X"}, "estimator", "own.py:X", "X = 1\n"),
        ({"train": "own.py:X"}, "train", "own.py:X", "X = 1\n"),
    ],
)
def test_a_model_is_made_from_one_key_and_its_source_is_that_of_the_file(
    tmp_path: Path, model: dict[str, str], key: str, reference: str, source: str
) -> None:
    (tmp_path / "own.py").write_text("X = 1\n")
    declared = Model.model_validate(model)
    assert reference_of(declared) == (key, reference)
    assert model_source(declared, tmp_path) == source
    code = import_model_code(declared, tmp_path)
    if not source:
        assert code is None
        return
    assert code is not None and code.shipped == {code.module: source}
    assert (code.value.X if key == "pipeline" else code.value) == 1


def test_installed_code_is_imported_by_its_module_and_nothing_of_it_is_shipped(tmp_path: Path) -> None:
    from sklearn.linear_model import Ridge

    code = import_model_code(Model(estimator="sklearn.linear_model:Ridge"), tmp_path)
    assert code == ModelCode("sklearn.linear_model._ridge", None, Ridge) and code.shipped == {}
    with pytest.raises(DataError, match="sklearn.linear_model has no 'Rigde'; did you mean 'Ridge'"):
        import_model_code(Model(estimator="sklearn.linear_model:Rigde"), tmp_path)


def test_a_file_is_imported_once_per_content_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "own-code.py"
    path.write_text("VALUE = []\n")
    first, same = import_file(path), import_file(path)
    assert first is same and sys.modules[first.__name__] is first and first.__name__.startswith("own_code_")
    path.write_text("VALUE = [1]\n")
    second = import_file(path)
    assert second.__name__ != first.__name__ and (first.VALUE, second.VALUE) == ([], [1])
    with pytest.raises(DataError, match="model.estimator: own-code.py has no 'VALU'; did you mean 'VALUE'"):
        import_model_code(Model(estimator="own-code.py:VALU"), tmp_path)


def test_a_file_that_raises_is_told_by_its_line_and_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("def fail():\n    raise ValueError('no such thing')\n\n\nfail()\n")
    loaded = set(sys.modules)
    for _ in range(2):
        with pytest.raises(DataError) as refused:
            import_file(path)
        assert (refused.value.message, refused.value.detail) == ("can't import own.py: ValueError (own.py line 2)", "no such thing")
        assert set(sys.modules) == loaded
    path.write_text("raise LookupError\n")
    with pytest.raises(DataError, match=r"^can't import own.py: LookupError \(own.py line 1\)$"):
        import_file(path)
    with pytest.raises(DataError, match=r"^can't read none.py: "):
        import_file(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("error", "path", "message"),
    [
        (ValueError("why"), None, "what: ValueError: why"),
        (ValueError("why"), Path("own.py"), "what: ValueError: why"),  # it never was in that file
        (KeyError(), Path("own.py"), "what: KeyError"),
        (ValueError("x" * 900), None, f"what: ValueError: {'x' * 500}"),
        (ValueError("why"), Path(__file__), f"what: ValueError ({Path(__file__).name} line LINE): why"),
        (DataError("ours"), Path(__file__), "ours"),
    ],
)
def test_an_error_of_a_users_code_is_told_with_the_last_line_in_their_file(error: Exception, path: Path | None, message: str) -> None:
    try:
        raise error
    except Exception as raised:
        line = raised.__traceback__.tb_lineno if raised.__traceback__ else 0
        told = user_code_error(raised, "what", path)
    assert str(told) == message.replace("LINE", str(line))
    assert (told is error) == isinstance(error, DataError)
