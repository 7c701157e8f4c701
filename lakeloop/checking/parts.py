"""Checks of the parts that several kinds of definitions have: queries, code and expectations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lakeloop.checking.arguments import check_arguments
from lakeloop.checking.expectation_names import EXPECTATIONS
from lakeloop.errors import SpecError, nearest
from lakeloop.project.files import Definition
from lakeloop.project.project import Located, Project, parse_sql_file
from lakeloop.project.sql_tables import columns_of, explain_unknown, may_hold_nan
from lakeloop.python_code import find_problem
from lakeloop.rows.expected_values import meaning_of, typed_arguments
from lakeloop.spec.tables import Column, Expectation
from lakeloop.sql.query import qualify_columns
from lakeloop.sql.refusals import find_refusals


def check_query(project: Project, located: Located[Any], file: str, needed: Iterable[tuple[str, tuple[str, ...]]]) -> list[SpecError]:
    """Check that a query's tables and columns exist, the engine accepts it, and it returns each needed column (name, key in the file) once."""
    try:
        query = parse_sql_file(located, file)
    except SpecError as error:
        return [error]
    errors, schemas = [], {}
    for table in query.tables:
        name = ".".join(table.parts)
        ref = project.find_rows(located.domain, name)
        try:
            if ref is None:
                raise SpecError(explain_unknown(project, located.domain, name))
            schemas[table.parts] = columns_of(project, ref)
        except SpecError as error:
            errors.append(SpecError(error.message, file=query.file, line=table.line))
    if errors:
        return errors
    try:
        tree = qualify_columns(query, schemas)[0]
    except SpecError as error:
        available = {*(column for columns in schemas.values() for column in columns), *query.aliases}
        unknown = next(iter(re.findall(r"'(?:\w+\.)?(\w+)'", error.message)), None)
        # What is written there as its own name isn't what it could have been meant to be.
        hint = f"; {nearest(unknown, available - {unknown})}" if unknown else ""
        return [SpecError(error.message + hint, file=error.file, line=error.line)]
    outputs = list(tree.named_selects)  # type: ignore[attr-defined]
    refs = [ref for table in query.tables if (ref := project.find_rows(located.domain, ".".join(table.parts)))]
    errors += find_refusals(query, schemas, tree, has_nan=any(may_hold_nan(project, ref) for ref in refs))
    for name, path in needed:
        if name not in outputs:
            errors.append(located.definition.error(f"{file} has no column {name!r}; {nearest(name, outputs)}", *path))
        elif outputs.count(name) > 1:
            errors.append(
                located.definition.error(
                    f"{file} has {outputs.count(name)} columns {name!r}; wanted one; give the others names of their own", *path
                )
            )
    return errors


def check_code(located: Located[Any], reference: str, *path: str) -> list[SpecError]:
    """Check that code which a definition refers to exists."""
    problem = find_problem(reference, located.folder)
    return [located.definition.error(problem, *path)] if problem else []


def locate_errors(definition: Definition, path: tuple[str, ...], check: Callable[[], None]) -> list[SpecError]:
    """Run a check that doesn't know the file, and give its error the place."""
    try:
        check()
    except SpecError as error:
        return [definition.error(error.message, *path, *(error.key.split(".") if error.key else []))]
    return []


def check_expectations(
    located: Located[Any], path: str, expectations: Iterable[Expectation], columns: Iterable[str | None] | Mapping[str, Any]
) -> list[SpecError]:
    """Check that expectations exist, have the arguments that they are given, name columns of the table, and compare with values of their types."""
    declared = {name: column for name, column in columns.items() if isinstance(column, Column)} if isinstance(columns, Mapping) else {}
    meanings = {name: meaning_of(column.type) for name, column in declared.items()}
    available = sorted(c for c in columns if c)
    errors = []
    for index, expectation in enumerate(expectations):
        key: tuple[str | int, ...] = (*path.split("."), index)
        if expectation.type not in EXPECTATIONS:
            errors.append(located.definition.error(f"no expectation {expectation.type!r}; {nearest(expectation.type, EXPECTATIONS)}", *key))
            continue
        for name in expectation.kwargs:
            if name not in EXPECTATIONS[expectation.type]:
                errors.append(
                    located.definition.error(
                        f"{expectation.type} has no {name!r}; {nearest(name, EXPECTATIONS[expectation.type])}", *key, expectation.type
                    )
                )
        # A misspelled argument is missing under its own name.
        has_unknown = not expectation.kwargs.keys() <= {*EXPECTATIONS[expectation.type]}
        problems = [] if has_unknown else list(check_arguments(expectation))
        errors += [located.definition.error(told, *key, expectation.type, *([name] if name else [])) for name, told in problems]
        if problems:
            continue
        names = [expectation.kwargs.get(k) for k in ("column", "column_A", "column_B")] + list(expectation.kwargs.get("column_list") or [])
        for column in names:
            if column is not None and column not in available:
                errors.append(located.definition.error(f"no column {column!r}; {nearest(str(column), available)}", *key, expectation.type))
        try:
            typed_arguments(expectation, meanings, available)
        except SpecError as error:
            errors.append(located.definition.error(error.message, *key, expectation.type))
    return errors
