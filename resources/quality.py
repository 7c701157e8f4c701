"""Great Expectations, run by itself on a batch before it is committed. Thin: a fresh context per batch, three outcomes, no files."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.errors import SpecError
from lakeloop.masking import MASK, mask_row, message_of
from lakeloop.rows.verdicts import MOST_EXAMPLES, ExpectationResult, Verdict, check_names, describe_expectation
from lakeloop.spec.tables import Expectation
from lakeloop.spec.workflow import Gate
from resources.host.memory import give_back

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

_NAMES_ONLY = ("expect_table_column", "expect_column_to_exist")
"""How the types of expectations begin that look at no value."""
_TELL_APART = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique", "expect_column_values_to_not_be_null")
_NULLS_ARE_JUDGED = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")


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
    aside = quarantined or {}
    judged = [(name, e) for name, e in zip(names, expectations, strict=True) if name not in aside]
    give_back(table.nbytes)
    frame = _frame(table, [e for _, e in judged])
    raw = _validate(frame, [e for _, e in judged], "BASIC")
    found: dict[str, ExpectationResult] = {}
    for (name, expectation), result in zip(judged, raw, strict=True):
        found[name] = _result(name, expectation, result, personal)
    failing = [(name, e) for name, e in judged if found[name].outcome == "failed" and found[name].unexpected_count]
    if failing:
        for (name, expectation), result in zip(failing, _validate(frame, [e for _, e in failing], "COMPLETE"), strict=True):
            examples = _examples(table, _positions(result), expectation, keys, personal)
            found[name] = _with_examples(found[name], examples)
    for name, expectation in zip(names, expectations, strict=True):
        if name in aside:
            found[name] = _by_share(name, expectation, *aside[name])
    # The library's objects hold each other, and the frame with them, until the collector comes by.
    del frame, raw
    give_back(table.nbytes)
    results = tuple(found[name] for name in names)
    return Verdict(passed=not any(result.blocks for result in results), results=results)


def quarantine_mask(table: pa.Table, expectation: Expectation, personal: Collection[str] = ()) -> np.ndarray:
    """True for the rows that fail a value expectation, by Great Expectations' own judgement.

    Raises:
        SpecError: the expectation could not be run.
    """
    import numpy as np

    mask = np.zeros(table.num_rows, bool)
    if table.num_rows == 0:
        return mask
    (result,) = _validate(_frame(table, [expectation]), [expectation], "COMPLETE")
    problem = _exception(result, hide=expectation.kwargs.get("column") in personal)
    if problem:
        raise SpecError(f"{expectation.type} could not be run: {problem}")
    mask[_positions(result)] = True
    return mask


def gate_suite(metrics: Mapping[str, float], gates: Mapping[str, Gate]) -> list[ExpectationResult]:
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
        found = "no such metric" if value is None else f"{value:.4f}"
        message = "" if result.outcome == "passed" else f"{name}: wanted {bounds}, found {found}"
        outcome = "could_not_run" if value is None else result.outcome
        results.append(
            ExpectationResult(
                name, result.expectation_type, gate.severity, outcome, observed=value, wanted=bounds, column=name, message=message
            )
        )
    return results


def _validate(frame: pd.DataFrame, expectations: Sequence[Expectation], result_format: Literal["BASIC", "COMPLETE"]) -> list[Any]:
    """Run Great Expectations; a result per expectation, in order, an exception where one could not even be made."""
    if not expectations:
        return []
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.registry import get_expectation_impl

    made: list[Any] = []
    for expectation in expectations:
        try:
            made.append(get_expectation_impl(expectation.type)(**expectation.kwargs))
        except Exception as error:  # whatever the library's own validation raises is the result
            made.append(error)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("batch")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    good = [item for item in made if not isinstance(item, Exception)]
    # Equal configurations are one in a suite, so each is judged once and looked up by position among the distinct ones.
    suite = gx.ExpectationSuite(name="suite")
    for index, item in enumerate(good):
        item.meta = {"position": index}
        suite.expectations.append(item)
    outcome = batch.validate(suite, result_format=result_format) if good else None
    by_position = {r.expectation_config.meta["position"]: r for r in (outcome.results if outcome else []) if r.expectation_config}
    results: list[Any] = []
    position = 0
    for item in made:
        if isinstance(item, Exception):
            results.append(item)
            continue
        results.append(by_position.get(position, RuntimeError("Great Expectations gave no result")))
        position += 1
    return results


def _frame(table: pa.Table, expectations: Sequence[Expectation]) -> pd.DataFrame:
    """The columns that a suite needs, as pandas; integers and booleans with nulls stay what they are."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    table_wide = any(e.type.startswith(_NAMES_ONLY) for e in expectations)
    wanted: set[str] = set()
    for expectation in expectations:
        kwargs = expectation.kwargs
        wanted |= {str(kwargs[key]) for key in ("column", "column_A", "column_B") if key in kwargs}
        wanted |= {str(name) for name in kwargs.get("column_list") or ()}
    names = [name for name in table.column_names if name in wanted]
    mapper = {
        pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.int16(): pd.Int16Dtype(), pa.int8(): pd.Int8Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }  # fmt: skip

    def nullable(kind: pa.DataType) -> Any:
        return mapper.get(kind)

    with_nulls = table.select(names)
    for name in _only_told_apart(names, expectations):
        if pa.types.is_string(table.schema.field(name).type):
            encoded = table[name].dictionary_encode()
            few = encoded.num_chunks == 0 or len(encoded.chunk(0).dictionary) < 2**15
            codes = pa.chunked_array([chunk.indices for chunk in encoded.chunks], pa.int32())
            with_nulls = with_nulls.set_column(names.index(name), name, codes.cast(pa.int16()) if few else codes)
    plain = [name for name in names if with_nulls[name].null_count == 0]
    frame = with_nulls.select(plain).to_pandas()
    for name in names:
        if name not in plain:
            frame[name] = with_nulls.select([name]).to_pandas(types_mapper=nullable)[name]
    if len(plain) < len(names):
        frame = frame[names]
    if table_wide:
        # Their names are judged, not their values: a byte a row.
        others = [name for name in table.column_names if name not in names]
        frame = pd.concat([frame, pd.DataFrame(np.zeros((table.num_rows, len(others)), bool), columns=others, index=frame.index)], axis=1)
        frame = frame[table.column_names]
    if not len(frame.columns):
        frame = pd.DataFrame(index=range(table.num_rows))
    return frame


def _only_told_apart(names: Sequence[str], expectations: Sequence[Expectation]) -> list[str]:
    """Columns of which it only matters which values are equal or null: a number for each value does, at a tenth of the memory of its text."""
    if any("row_condition" in e.kwargs for e in expectations):
        return []
    judged = {name for e in expectations if e.type not in _TELL_APART and not e.type.startswith(_NAMES_ONLY) for name in _columns(e)}
    return [name for name in names if name not in judged]


def _result(name: str, expectation: Expectation, result: Any, personal: Collection[str]) -> ExpectationResult:
    column = expectation.kwargs.get("column")
    wanted = describe_expectation(expectation)
    hide = bool(_columns(expectation) & set(personal))
    problem = _exception(result, hide=hide)
    if problem:
        return ExpectationResult(
            name, expectation.type, expectation.severity, "could_not_run", wanted=wanted, column=column, message=f"could not run: {problem}"
        )
    details = dict(result.result)
    count, judged = int(details.get("unexpected_count") or 0), int(details.get("element_count") or 0)
    missing = int(details.get("missing_count") or 0)
    observed = _plain(details.get("observed_value"))
    if hide:
        observed = MASK
    empty = "unexpected_count" in details and judged > 0 and missing == judged and expectation.type not in _NULLS_ARE_JUDGED
    passed = bool(result.success) and not empty
    message = ""
    if empty:
        message = f"no value to judge: all {judged} values of {column} are null"
    elif not passed:
        message = f"wanted {wanted}, found " + (f"{count} of {judged} rows that aren't" if "unexpected_count" in details else f"{observed}")
    share = count / max(judged - missing, 1)
    return ExpectationResult(
        name, expectation.type, expectation.severity, "passed" if passed else "failed", observed, wanted, column, count, share, (), message
    )


def _by_share(name: str, expectation: Expectation, bad: int, total: int) -> ExpectationResult:
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
    """The columns that an expectation names, wherever in its arguments: whatever is a column's name may be one."""
    values = [item for value in expectation.kwargs.values() for item in (value if isinstance(value, (list, tuple)) else [value])]
    return {value for value in values if isinstance(value, str)}


def _exception(result: Any, hide: bool) -> str:
    """The message of an expectation that raised: by itself, or nested by metric; kept back where it may show personal values."""
    if isinstance(result, Exception):
        return message_of(result, hide=True) if hide else " ".join(str(result).split())[:400] or type(result).__name__

    def look(info: Any) -> str:
        if not isinstance(info, Mapping):
            return ""
        if info.get("raised_exception"):
            return str(info.get("exception_message") or "an exception without a message")
        return next(filter(None, (look(value) for value in info.values())), "")

    found = " ".join(look(result.exception_info).split())[:400]
    return message_of(RuntimeError(found), hide=True) if found and hide else found


def _positions(result: Any) -> list[int]:
    return [int(i) for i in (result.result.get("unexpected_index_list") or []) if not isinstance(i, Mapping)]


def _examples(
    table: pa.Table, positions: Sequence[int], expectation: Expectation, keys: Sequence[str], personal: Collection[str]
) -> tuple[dict[str, Any], ...]:
    shown = [expectation.kwargs[key] for key in ("column", "column_A", "column_B") if key in expectation.kwargs]
    names = [n for n in dict.fromkeys([*keys, *shown, *(expectation.kwargs.get("column_list") or ())]) if n in table.column_names]
    rows = table.select(names).take(list(positions[:MOST_EXAMPLES])).to_pylist()
    return tuple(mask_row({n: _plain(v) for n, v in row.items()}, personal) for row in rows)


def _with_examples(result: ExpectationResult, examples: Sequence[Mapping[str, Any]]) -> ExpectationResult:
    from dataclasses import replace

    return replace(result, unexpected_examples=tuple(examples))


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v) for v in value]
    item = getattr(value, "item", None)
    return _plain(item()) if callable(item) else str(value)
