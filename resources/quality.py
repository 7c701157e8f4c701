"""Great Expectations, run on a batch before it is committed: a fresh context per batch, three outcomes, no files."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lakeloop.errors import SpecError
from lakeloop.masking import MASK, mask_row, message_of
from lakeloop.rows.expected_values import Meaning, columns_in, typed_arguments
from lakeloop.rows.plain_expectations import PlainOutcome, judge_plainly
from lakeloop.rows.types import to_doubles
from lakeloop.rows.verdicts import MANY, MOST_EXAMPLES, ExpectationResult, Verdict, check_names, describe_expectation
from lakeloop.spec.tables import Expectation
from lakeloop.spec.workflow import Gate
from resources.host.memory import release_memory

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation as GxExpectation

MOST_COLUMNS = 32
"""Columns that are judged together: Great Expectations copies the whole frame for each expectation on a column with nulls."""
Outcome: TypeAlias = "ExpectationValidationResult | PlainOutcome | Exception"
"""What is said of an expectation: its result, by Great Expectations or plainly, or the error that it raised."""
_NAMES_ONLY = ("expect_table_column", "expect_column_to_exist")
"""Prefixes of the expectations that look at names, not at values."""
_COMPARE_ONLY = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique", "expect_column_values_to_not_be_null")
_JUDGE_TYPES = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")
_JUDGE_NULLS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")


def run_suite(
    table: pa.Table,
    expectations: Sequence[Expectation],
    *,
    keys: Sequence[str] = (),
    personal: Collection[str] = (),
    quarantined: Mapping[str, tuple[int, int]] | None = None,
) -> Verdict:
    """Judge a batch.

    A value expectation on a column without a single value fails (the library would pass it). An expectation with `quarantine` whose
    failing rows were already set aside is judged by their share against its `mostly`, and passes without one.

    Args:
        table: the batch.
        expectations: the suite; its order and names give the order and names of the results.
        keys: columns shown with each unexpected row.
        personal: columns whose values are masked.
        quarantined: per check name, rows set aside and rows judged.

    Returns:
        As many results as expectations; `passed` unless one of them blocks.
    """
    names = check_names(expectations)
    quarantined = quarantined or {}
    judged = [(name, e) for name, e in zip(names, expectations, strict=True) if name not in quarantined]
    release_memory(table.nbytes)
    meanings = _meanings(table.schema)
    outcomes = _validate(table, [e for _, e in judged], "BASIC")
    results = {
        name: _result_of(name, expectation, outcome, personal, meanings)
        for (name, expectation), outcome in zip(judged, outcomes, strict=True)
    }
    outcome_of = dict(zip((name for name, _ in judged), outcomes, strict=True))
    failing = {name: e for name, e in judged if results[name].outcome == "failed" and results[name].unexpected_count}
    # The library tells which rows only when it is asked again.
    again = [name for name in failing if not isinstance(outcome_of[name], PlainOutcome)]
    outcome_of |= zip(again, _validate(table, [failing[name] for name in again], "COMPLETE"), strict=True)
    for name, expectation in failing.items():
        examples = _examples(table, _positions(outcome_of[name]), expectation, keys, personal)
        results[name] = replace(results[name], unexpected_examples=examples)
    for name, expectation in zip(names, expectations, strict=True):
        if name in quarantined:
            results[name] = _quarantine_result(name, expectation, *quarantined[name])
    # The library's objects refer to each other, and to the frame, until they are collected.
    del outcomes, outcome_of
    release_memory(table.nbytes)
    in_order = tuple(results[name] for name in names)
    return Verdict(passed=not any(result.blocks for result in in_order), results=in_order)


def quarantine_mask(table: pa.Table, expectation: Expectation, personal: Collection[str] = ()) -> np.ndarray:
    """True for the rows that fail a value expectation, as Great Expectations judges them.

    Raises:
        SpecError: the expectation could not be run.
    """
    import numpy as np

    mask = np.zeros(table.num_rows, bool)
    if table.num_rows == 0:
        return mask
    (outcome,) = _validate(table, [expectation], "COMPLETE")
    problem = _exception_message(outcome, hide=expectation.kwargs.get("column") in personal)
    if problem:
        raise SpecError(f"{expectation.type} could not be run: {problem}")
    mask[_positions(outcome)] = True
    return mask


def judge_gates(metrics: Mapping[str, float], gates: Mapping[str, Gate]) -> list[ExpectationResult]:
    """Judge metrics by their gates: a one-row table, one expectation per gate.

    Args:
        metrics: value per metric; one that is NaN fails its gate, one that is missing can't be judged.
        gates: bounds per metric.
    """
    import pyarrow as pa

    if not gates:
        return []
    row = pa.table({name: pa.array([metrics[name]], pa.float64()) for name in gates if name in metrics} or {"none": [0.0]})
    suite = [
        Expectation(
            type="expect_column_values_to_be_between",
            kwargs={"column": name, **{k: v for k, v in (("min_value", gate.min), ("max_value", gate.max)) if v is not None}},
            severity=gate.severity,
        )
        for name, gate in gates.items()
    ]
    verdict = run_suite(row, suite)
    results = []
    for (name, gate), result in zip(gates.items(), verdict.results, strict=True):
        value = metrics.get(name)
        bounds = " and ".join(f"{word} {bound:g}" for word, bound in (("at least", gate.min), ("at most", gate.max)) if bound is not None)
        shown = "no such metric" if value is None else f"{value:.4f}"
        message = "" if result.outcome == "passed" else f"{name}: wanted {bounds}, found {shown}"
        outcome = "could_not_run" if value is None else result.outcome
        results.append(
            ExpectationResult(
                name, result.expectation_type, gate.severity, outcome, observed=value, wanted=bounds, column=name, message=message
            )
        )
    return results


def _validate(table: pa.Table, expectations: Sequence[Expectation], result_format: Literal["BASIC", "COMPLETE"]) -> list[Outcome]:
    """Run Great Expectations: an outcome per expectation, in order, and an exception where one could not even be created.

    Those that judge types get dates and times as they are, the others as what pandas compares.
    """
    meanings, outcomes = _meanings(table.schema), dict[int, Outcome]()
    if len(expectations) > MANY:
        outcomes |= judge_plainly(table, expectations)
    others = [place for place in range(len(expectations)) if place not in outcomes]
    for judges_types in (False, True):
        places = [place for place in others if (expectations[place].type in _JUDGE_TYPES) == judges_types]
        for names, group in _groups(places, expectations, table.column_names):
            part = [expectations[place] for place in group]
            frame = _frame(table if names is None else table.select(names), part, comparable_times=not judges_types)
            outcomes |= zip(group, _run(frame, part, meanings, result_format), strict=True)
    return [outcomes[place] for place in range(len(expectations))]


def _groups(
    places: Sequence[int], expectations: Sequence[Expectation], names: Sequence[str]
) -> Iterator[tuple[list[str] | None, list[int]]]:
    """The expectations that are judged together, by their places, with the columns that they are judged on (None for all).

    In a wide table those on one column each go by few columns at a time; the others, and all of a narrow one, go together.
    """
    present, single = set(names), dict[str, list[int]]()
    for place in places if len(names) > MOST_COLUMNS else ():
        kwargs = expectations[place].kwargs
        if kwargs.get("column") in present and not kwargs.keys() & {"column_index", "row_condition"}:
            single.setdefault(str(kwargs["column"]), []).append(place)
    alone = {place for group in single.values() for place in group}
    if together := [place for place in places if place not in alone]:
        yield None, together
    columns = [name for name in names if name in single]
    for start in range(0, len(columns), MOST_COLUMNS):
        chunk = columns[start : start + MOST_COLUMNS]
        yield chunk, [place for name in chunk for place in single[name]]


def _run(
    frame: pd.DataFrame, expectations: Sequence[Expectation], meanings: Mapping[str, Meaning], result_format: Literal["BASIC", "COMPLETE"]
) -> list[Outcome]:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.registry import get_expectation_impl

    created: list[GxExpectation | Exception] = []
    for expectation in expectations:
        try:
            created.append(get_expectation_impl(expectation.type)(**typed_arguments(expectation, meanings)))
        except Exception as error:  # whatever the library's own validation raises is the outcome
            created.append(error)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("batch")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    # A suite merges equal configurations, so each expectation is looked up by its position.
    suite = gx.ExpectationSuite(name="suite")
    for position, item in enumerate(created):
        if not isinstance(item, Exception):
            item.meta = {"position": position}
            suite.expectations.append(item)
    results = batch.validate(suite, result_format=result_format).results if suite.expectations else []
    by_position = {r.expectation_config.meta["position"]: r for r in results if r.expectation_config and r.expectation_config.meta}
    missing = RuntimeError("Great Expectations gave no result")
    return [item if isinstance(item, Exception) else by_position.get(position, missing) for position, item in enumerate(created)]


def _frame(table: pa.Table, expectations: Sequence[Expectation], *, comparable_times: bool = True) -> pd.DataFrame:
    """The columns that a suite needs, as pandas; integers and booleans with nulls keep their type."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    judges_names = any(e.type.startswith(_NAMES_ONLY) for e in expectations)
    needed: set[str] = set()
    for expectation in expectations:
        kwargs = expectation.kwargs
        needed |= {str(kwargs[key]) for key in ("column", "column_A", "column_B") if key in kwargs}
        needed |= {str(name) for name in kwargs.get("column_list") or ()}
        if isinstance(kwargs.get("row_condition"), str):
            needed |= columns_in(kwargs["row_condition"], table.column_names)
    names = [name for name in table.column_names if name in needed]
    nullable_types = {
        pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.int16(): pd.Int16Dtype(), pa.int8(): pd.Int8Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }  # fmt: skip

    judged = table.select(names)
    for name in _compared_columns(names, expectations):
        if pa.types.is_string(table.schema.field(name).type) or pa.types.is_decimal(table.schema.field(name).type):
            judged = judged.set_column(names.index(name), name, _codes(table[name]))
    for index, field in enumerate(judged.schema):
        if pa.types.is_decimal(field.type):  # bounds and moments are of doubles
            judged = judged.set_column(index, field.name, to_doubles(judged[field.name]))
        if comparable_times and _is_time(field.type):
            # Dates and times as one type that pandas compares; with a zone it compares them with no others.
            judged = judged.set_column(index, field.name, judged[field.name].cast(pa.timestamp("us")))
    with_nulls = {name for name in names if judged[name].null_count}
    frame = judged.select([name for name in names if name not in with_nulls]).to_pandas()
    if with_nulls:
        others = [judged.select([name]).to_pandas(types_mapper=nullable_types.get) for name in names if name in with_nulls]
        frame = pd.concat([frame, *others], axis=1)[names]
    if judges_names:
        # Their names are judged, not their values: a byte per row.
        others = [name for name in table.column_names if name not in names]
        frame = pd.concat([frame, pd.DataFrame(np.zeros((table.num_rows, len(others)), bool), columns=others, index=frame.index)], axis=1)
        frame = frame[table.column_names]
    if not len(frame.columns):
        frame = pd.DataFrame(index=range(table.num_rows))
    return frame


def _is_time(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def _meanings(schema: pa.Schema) -> dict[str, Meaning]:
    """What the values of each column are compared as."""
    import pyarrow as pa

    meanings: dict[str, Meaning] = {}
    for field in schema:
        tests: Mapping[Meaning, bool] = {
            "boolean": pa.types.is_boolean(field.type),
            "date": pa.types.is_date(field.type),
            "timestamp": pa.types.is_timestamp(field.type),
            "number": pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type),
            "string": pa.types.is_string(field.type) or pa.types.is_large_string(field.type),
        }
        meaning = next((meaning for meaning, holds in tests.items() if holds), None)
        if meaning is not None:
            meanings[field.name] = meaning
    return meanings


def _compared_columns(names: Sequence[str], expectations: Sequence[Expectation]) -> list[str]:
    """Columns of which only equality and nulls matter: a number for each value is enough, in a tenth of the memory of its text."""
    if any("row_condition" in e.kwargs for e in expectations):
        return []
    read = {name for e in expectations if e.type not in _COMPARE_ONLY and not e.type.startswith(_NAMES_ONLY) for name in _columns(e)}
    return [name for name in names if name not in read]


def _codes(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """A number for each different text, in as few bytes as there are texts."""
    import pyarrow as pa

    encoded = texts.dictionary_encode()
    codes = pa.chunked_array([chunk.indices for chunk in encoded.chunks], pa.int32())
    has_few = encoded.num_chunks == 0 or len(encoded.chunk(0).dictionary) < 2**15
    return codes.cast(pa.int16()) if has_few else codes


def _result_of(
    name: str, expectation: Expectation, outcome: Outcome, personal: Collection[str], meanings: Mapping[str, Meaning]
) -> ExpectationResult:
    column = expectation.kwargs.get("column")
    wanted = describe_expectation(expectation)
    hide = bool(_columns(expectation) & set(personal))
    problem = _exception_message(outcome, hide=hide)
    if problem or isinstance(outcome, Exception):
        return ExpectationResult(
            name, expectation.type, expectation.severity, "could_not_run", wanted=wanted, column=column, message=f"could not run: {problem}"
        )
    details = dict(outcome.result)
    count, judged = int(details.get("unexpected_count") or 0), int(details.get("element_count") or 0)
    nulls = int(details.get("missing_count") or 0)
    observed = MASK if hide else _plain(details.get("observed_value"), meanings.get(str(column)))
    is_empty = "unexpected_count" in details and judged > 0 and nulls == judged and expectation.type not in _JUDGE_NULLS
    passed = bool(outcome.success) and not is_empty
    message = ""
    if is_empty:
        message = f"no value to judge: all {judged} values of {column} are null"
    elif not passed:
        message = f"wanted {wanted}, found " + (f"{count} of {judged} rows that aren't" if "unexpected_count" in details else f"{observed}")
    share = count / max(judged - nulls, 1)
    return ExpectationResult(
        name, expectation.type, expectation.severity, "passed" if passed else "failed", observed, wanted, column, count, share, (), message
    )


def _quarantine_result(name: str, expectation: Expectation, bad: int, total: int) -> ExpectationResult:
    mostly: float | None = expectation.kwargs.get("mostly")
    share = bad / total if total else 0.0
    passed = mostly is None or 1 - share >= float(mostly)
    message = (
        ""
        if passed or mostly is None
        else f"wanted at most {1 - float(mostly):.4%} of rows set aside, found {bad} of {total} ({share:.4%})"
    )
    return ExpectationResult(
        name, expectation.type, expectation.severity, "passed" if passed else "failed", f"{bad} of {total} rows set aside",
        describe_expectation(expectation), expectation.kwargs.get("column"), bad, share, (), message,
    )  # fmt: skip


def _columns(expectation: Expectation) -> set[str]:
    """The columns that an expectation may name: any text among its arguments."""
    values = [item for value in expectation.kwargs.values() for item in (value if isinstance(value, (list, tuple)) else [value])]
    return {value for value in values if isinstance(value, str)}


def _exception_message(outcome: Outcome, hide: bool) -> str:
    """The message of an expectation that raised an error, itself or in one of its metrics; withheld where it may show personal values."""
    if isinstance(outcome, Exception):
        return message_of(outcome, hide=True) if hide else " ".join(str(outcome).split())[:400] or type(outcome).__name__

    def first_message(info: Any) -> str:
        if not isinstance(info, Mapping):
            return ""
        if info.get("raised_exception"):
            return str(info.get("exception_message") or "an exception without a message")
        return next(filter(None, (first_message(value) for value in info.values())), "")

    message = " ".join(first_message(outcome.exception_info).split())[:400]
    return message_of(RuntimeError(message), hide=True) if message and hide else message


def _positions(outcome: Outcome) -> list[int]:
    """The rows that an expectation calls unexpected; none where it raised an error."""
    if isinstance(outcome, Exception):
        return []
    return [int(i) for i in (outcome.result.get("unexpected_index_list") or []) if not isinstance(i, Mapping)]


def _examples(
    table: pa.Table, positions: Sequence[int], expectation: Expectation, keys: Sequence[str], personal: Collection[str]
) -> tuple[dict[str, Any], ...]:
    import pyarrow as pa

    shown = [expectation.kwargs[key] for key in ("column", "column_A", "column_B") if key in expectation.kwargs]
    names = [n for n in dict.fromkeys([*keys, *shown, *(expectation.kwargs.get("column_list") or ())]) if n in table.column_names]
    rows = table.select(names).take(pa.array(positions[:MOST_EXAMPLES], pa.int64())).to_pylist()
    return tuple(mask_row({n: _plain(v) for n, v in row.items()}, personal) for row in rows)


def _plain(value: Any, meaning: Meaning | None = None) -> Any:
    """A value as JSON can hold it; dates and times as they are in the table, whatever they were compared as."""
    if isinstance(value, datetime) and meaning == "date":
        return value.date().isoformat()
    if isinstance(value, datetime) and meaning == "timestamp" and value.tzinfo is None:
        return value.replace(tzinfo=UTC).isoformat()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v, meaning) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v, meaning) for v in value]
    item = getattr(value, "item", None)
    return _plain(item(), meaning) if callable(item) else str(value)
