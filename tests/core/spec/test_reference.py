"""The reference of definitions: each key is explained, its example is a value that it takes, and the pages say what the specs do."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from lakeloop.cli.reference import reference_command
from lakeloop.errors import SpecError
from lakeloop.spec.key_texts import about, key_texts
from lakeloop.spec.reference import NOUNS, find, render_page, walk
from tests.worlds.places import ROOT

SPECS = {model for noun in NOUNS for _, model, _ in walk(noun)}
EXAMPLES = [
    (model, key.name, key.example)
    for model, keys in {model: keys for noun in NOUNS for _, model, keys in walk(noun)}.items()
    for key in keys
    if model.__name__ not in ("Expectation", "Named")
    or key.name in ("severity", "quarantine")  # their other keys are written in another form
]


def test_every_key_of_every_spec_is_explained_and_nothing_else() -> None:
    assert {model.__name__ for model in SPECS} == set(key_texts()) == set(about())
    for model in SPECS:
        assert list(key_texts()[model.__name__]) == list(model.model_fields), model.__name__
        for text in key_texts()[model.__name__].values():
            assert set(text) <= {"is", "example", "rule"} and text["is"].endswith(".")


@pytest.mark.parametrize(("model", "name", "example"), EXAMPLES, ids=lambda value: getattr(value, "__name__", None))
def test_an_example_is_what_the_key_takes(model: Any, name: str, example: str) -> None:
    ((key, value),) = yaml.safe_load(example).items()
    assert key == name
    errors: list[Any] = []
    try:
        model.model_validate({key: value})
    except ValueError as error:
        errors = [each for each in error.errors() if each["loc"][:1] == (name,)]  # type: ignore[attr-defined]
    assert errors == []


@pytest.mark.parametrize("noun", NOUNS)
def test_the_page_of_a_noun_says_what_the_specs_do(noun: str) -> None:
    page = (ROOT / "docs" / f"reference_{noun}.md").read_text()
    assert page == render_page(noun), "run python -m lakeloop.spec.reference docs"


def test_editors_and_dagster_have_the_texts() -> None:
    for noun, model in NOUNS.items():
        schema = model.model_json_schema()
        assert all(field.get("description") for field in schema["properties"].values()), noun
    assert "36h" not in NOUNS["table"].model_json_schema()["properties"]["known_delay"]["description"]


@pytest.mark.parametrize(
    ("path", "stands_at"),
    [
        ("table.columns.amount.type", "table.columns.<name>.type"),
        ("table.columns.type", "table.columns.<name>.type"),
        ("workflow.gates.roc_auc.min", "workflow.gates.<name>.min"),
        ("workflow.search.space.depth.low", "workflow.search.space.<name>.low"),
        ("table.source.cursor", "table.source.cursor"),
    ],
)
def test_names_that_people_choose_may_stand_in_a_path(path: str, stands_at: str) -> None:
    key, _ = find(path)
    assert key is not None and key.path == stands_at


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("tabel.name", "did you mean 'table'"),
        ("table.known_dely", "did you mean 'known_delay'"),
        ("workflow.split.train.x", "no key 'x' in workflow.split.train"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(path: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        find(path)


def test_the_command_prints_a_key_and_what_stands_under_it() -> None:
    out = CliRunner().invoke(reference_command, ["workflow.split"]).output
    assert out.startswith("workflow.split\n") and "default  none: it is required" in out and "  gap  " in out
    assert '"default": "0d"' in CliRunner().invoke(reference_command, ["table.known_delay", "--json"]).output
