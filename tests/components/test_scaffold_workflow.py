"""From a table to a workflow: what is left out, what lags, and the whole way to a released model."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import pytest

from tests.worlds.scaffolded import draft_workflow
from tests.worlds.shop_project import Shop


def test_a_column_that_holds_the_label_is_left_out_and_a_suspicious_one_pointed_out(project: Path) -> None:
    count = 400
    survived = [index % 3 == 0 for index in range(count)]
    files = draft_workflow(
        project,
        {
            "passenger_id": [f"p{i}" for i in range(count)],
            "survived": ["1" if s else "0" for s in survived],
            "alive": ["yes" if s else "no" for s in survived],
            "boat": [f"{i % 9}" if s else None for i, s in enumerate(survived)],
            "fare": [float(i % 50) + (100 if s and i else 0) for i, s in enumerate(survived)],
            "age": [i * 37 % 80 for i in range(count)],
            "e_mail": [f"p{i}@example.org" for i in range(count)],
            "ticket": [f"T-{i * 7919}" for i in range(count)],
        },
        label="survived",
    )
    view = files["guess_inputs/view.sql"]
    taken = view[view.index("SELECT") :]
    assert "Left out: alive: says survived by itself" in view and "Left out: boat: says survived by itself" in view
    assert "Left out: e_mail: personal" in view and "Left out: ticket" in view
    assert "fare,  -- suspicious" in taken and "age" in taken
    selected = {line.partition(",")[0].strip() for line in taken.splitlines()[1:]}
    assert selected == {"passenger_id", "fare", "age", "FROM x.rows"}
    assert "task: binary_classification" in files["guess/defs.yaml"]
    assert "survived = 1 AS survived" in files["guess_outcomes/view.sql"]


def test_columns_that_give_the_label_together_or_by_their_absence_are_left_out(project: Path) -> None:
    count = 400
    casual, registered = [i * 37 % 90 for i in range(count)], [i * 101 % 350 for i in range(count)]
    rows = {
        "ride": [f"r{i}" for i in range(count)],
        "casual": casual,
        "registered": registered,
        "wind": [i * 13 % 70 / 10 for i in range(count)],
        "bikers": [a + b for a, b in zip(casual, registered, strict=True)],
    }
    view = draft_workflow(project, rows, label="bikers")["guess_inputs/view.sql"]
    assert "Left out: casual: says bikers together with registered (casual + registered)" in view
    assert "Left out: registered: says bikers together with casual (casual + registered)" in view
    assert "wind" in view[view.index("SELECT") :]


def test_a_column_that_is_missing_only_where_it_happens_is_left_out(project: Path) -> None:
    count = 400
    cancelled = [i % 5 == 0 for i in range(count)]
    rows = {
        "flight": [f"f{i}" for i in range(count)],
        "tail": [None if c and i % 3 else f"N{i * 31 % 37}" for i, c in enumerate(cancelled)],
        "wind": [i * 13 % 70 / 10 for i in range(count)],
        "cancelled": ["yes" if c else "no" for c in cancelled],
    }
    view = draft_workflow(project, rows, label="cancelled")["guess_inputs/view.sql"]
    assert "Left out: tail: says cancelled by its absence: in 53 rows it is missing, and all of them are yes" in view


def test_columns_may_be_named_as_the_source_does(project: Path) -> None:
    rows = {
        "ID": [f"p{i}" for i in range(200)],
        "Week Day": [i % 7 for i in range(200)],
        "Purchase": ["MM" if i % 3 else "CH" for i in range(200)],
    }
    files = draft_workflow(project, rows, label="Purchase", positive="MM")
    assert "label: {view: guess_outcomes, column: purchase" in files["guess/defs.yaml"]


def test_labels_that_lag_give_the_views_a_delay_and_the_windows_a_gap(project: Path) -> None:
    from tests.worlds.shop import orders

    rows = orders()
    files = draft_workflow(project, {name: [row[name] if row[name] != "" else None for row in rows] for name in rows[0]}, label="returned")
    assert "delay: 2w  # the newest label is 14 days older than the newest row" in files["guess_outcomes/defs.yaml"]
    assert "gap: 14d" in files["guess/defs.yaml"]
    assert "customer" in files["guess_inputs/view.sql"]
    assert "ordered_at AS predict_at" in files["guess/spine.sql"]


def test_rows_of_the_same_entity_bring_the_last_known_label_as_a_feature_but_never_their_own(project: Path) -> None:
    days = [f"2024-{1 + d // 28:02d}-{1 + d % 28:02d}" for d in range(120)]
    files = draft_workflow(
        project,
        {"symbol": ["A", "B"] * 120, "day": [d for d in days for _ in range(2)], "price": [float(i % 17) for i in range(240)]},
        label="price",
    )
    assert (
        "keys: [symbol]" in files["guess_history/defs.yaml"]
        and "delay: 1s  # a row never sees its own outcome" in files["guess_history/defs.yaml"]
    )
    assert "guess_history: '*'" in files["guess/defs.yaml"]


def test_a_label_of_many_values_wants_the_one_to_ask_for(project: Path) -> None:
    import click

    rows = {"row_id": [str(i) for i in range(90)], "kind": ["a", "b", "c"] * 30, "size": [i % 9 for i in range(90)]}
    with pytest.raises(click.ClickException, match=r"3 values \(a, b, c\); name the one to predict with --positive"):
        draft_workflow(project, rows, label="kind", task="binary_classification")
    shutil.rmtree(project / "platform_assets" / "defs" / "x")
    files = draft_workflow(project, rows, label="kind", positive="b")
    assert "kind = 'b' AS kind_is_b" in files["guess_outcomes/view.sql"]


def test_from_a_file_without_times_and_without_a_key_to_a_released_model(
    project: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from platform_assets.definitions import read_project
    from platform_assets.plan import stale_assets
    from resources.lake.published import WHOLE, TableKey

    monkeypatch.setenv("LAKELOOP_ENV", "tscaffold")
    rng = np.random.default_rng(1)
    count = 600
    size = rng.normal(size=count)
    kind = np.where(size + rng.normal(size=count) > 0, "big", "small").astype(object)
    kind[-30:] = None
    draft_workflow(
        project,
        {"size_cm": size.round(3).tolist(), "shape": rng.choice(["round", "square"], count).tolist(), "kind": kind.tolist()},
        label="kind",
    )
    defs = project / "platform_assets" / "defs"
    shop = Shop(defs, str(project / "lake"), mlflow_uri)
    result = shop.materialize()
    assert result.success, [e.event_specific_data.error for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    states = shop.lake.states()
    assert states[TableKey("evaluations", "x", "guess")][WHOLE].value["static"]
    key = TableKey("releases", "x", "guess")
    assert states[key][WHOLE].value["champion"] == "1", states[key][WHOLE].value["reason"]
    rows = states[TableKey("training_sets", "x", "guess")][WHOLE].value["rows"]
    assert rows["after"] == 30 and 80 <= rows["test"] <= 150 and rows["train"] + rows["test"] >= count - 31
    predicted = shop.lake.read(shop.lake.current(TableKey("predictions", "x", "guess")))
    assert predicted.num_rows == rows["test"] + 30
    assert stale_assets(read_project(defs), states) == {}


def test_the_next_command_works_for_a_partitioned_table_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lakeloop.cli.main import cli

    draft_workflow(
        project,
        {"id": [f"p{i}" for i in range(200)], "size": [i * 37 % 80 for i in range(200)], "late": [i % 3 == 0 for i in range(200)]},
        label="late",
    )
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Next: lakeloop ")]
    name, *arguments = line.split()[2:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None and command.make_context(name, arguments).params == {"names": ("x.guess",)}
