"""Folders and archives as people keep them: what is read, what isn't and is said so, and what makes two tables."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from lakeloop.errors import DataError
from lakeloop.spec.tables import Files
from resources.sources.files import read_file, resolve_files
from resources.sources.peek import look_at_source, peek, source_entry, unread_files

CSV = "id,v\n1,x\n"


def write(folder: Path, *names: str, text: str = CSV) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def test_every_ending_of_a_format_is_read_and_the_rest_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "b.CSV", "c.csv.gz", "README.md", "more.json", ".ipynb_checkpoints/a-checkpoint.csv")
    entry = source_entry(str(tmp_path), tmp_path, tmp_path)
    spec = Files.model_validate(entry)
    assert [file.label for file in resolve_files(spec, tmp_path)] == ["a.csv", "b.CSV", "c.csv.gz"]
    assert unread_files(spec, tmp_path, str(tmp_path)) == ["README.md", "more.json"]


def test_hidden_copies_are_not_read_unless_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, "x/a.csv", "x/.ipynb_checkpoints/a-checkpoint.csv", ".kept/b.csv")
    assert [f.label for f in resolve_files(Files(files=["**/*.csv"]), tmp_path)] == ["x/a.csv"]
    assert [f.label for f in resolve_files(Files(files=[".kept/*.csv"]), tmp_path)] == [".kept/b.csv"]


def test_two_delimiters_make_two_tables(tmp_path: Path) -> None:
    write(tmp_path, "a.csv")
    write(tmp_path, "b.csv", text="id;v\n1;x\n")
    with pytest.raises(DataError, match=r"b\.csv is separated by ';', a\.csv by ','"):
        look_at_source(Files(files=["*.csv"]), tmp_path)


def test_the_readme_of_a_zip_is_no_row_and_two_tables_in_one_are_refused(tmp_path: Path) -> None:
    def pack(name: str, **members: str) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, text in members.items():
                archive.writestr(member.replace("_", "."), text)
        return tmp_path / name

    pack("one.csv.zip", a_csv=CSV, b_csv=CSV, README_txt="about these")
    pack("two.csv.zip", a_csv=CSV, b_csv="name,city\nx,y\n")
    spec = Files(files=["*.zip"])
    one, two = resolve_files(spec, tmp_path)
    assert read_file(one, spec, {})["id"].to_pylist() == ["1", "1"]
    with pytest.raises(DataError, match=r"b\.csv isn't of the same table as .*a\.csv: only one has 'id', only the other 'city'"):
        read_file(two, spec, {})


def test_an_encrypted_zip_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", CSV)
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + place] |= 1  # the flag of an encrypted member
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.csv\.zip: the \.zip file can't be opened"):
        resolve = resolve_files(Files(files=["a.csv.zip"]), tmp_path)
        read_file(resolve[0], Files(files=["a.csv.zip"]), {})


def test_a_file_of_a_header_alone_is_an_empty_part_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "1.csv")
    write(tmp_path, "2.csv", text="id,v\n")
    assert peek(Files(files=["*.csv"]), tmp_path).rows["id"].to_pylist() == ["1"]
    with pytest.raises(DataError, match="wanted at least one row"):
        peek(Files(files=["2.csv"]), tmp_path)


@pytest.mark.parametrize("name", ["_current", "_file", "_Row", "ingested_at"])
def test_a_column_with_a_name_of_ours_is_refused_at_the_draft(tmp_path: Path, name: str) -> None:
    write(tmp_path, "1.csv", text=f"id,{name}\n1,2\n")
    with pytest.raises(DataError, match=f"a column is named {name!r}, which the platform uses"):
        peek(Files(files=["1.csv"]), tmp_path)


def test_columns_in_the_names_of_folders_are_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lakeloop.drafting.profile import profile_table
    from lakeloop.rows.conform import parse_column
    from lakeloop.spec.tables import Column

    rows = pa.table({"region": ["north", "S/W"], "year": [2023, None], "id": [1, 2]})
    pq.write_to_dataset(rows, tmp_path, partition_cols=["region", "year"])
    entry = source_entry(str(tmp_path), tmp_path, tmp_path)
    spec = Files.model_validate(entry)
    seen = peek(spec, tmp_path)
    types = {column.name: column.column.type for column in profile_table(seen.rows, text=False, files=seen.files).columns}
    assert (types["region"], types["year"], types["id"]) == ("string", "integer", "integer")
    years = parse_column(seen.rows, "year", Column(type="integer")).to_pylist()
    landed = sorted(zip(seen.rows["region"].to_pylist(), years, seen.rows["id"].to_pylist(), strict=True), key=str)
    assert landed == [("S/W", None, 2), ("north", 2023, 1)]
    file = resolve_files(spec, tmp_path)[0]
    assert read_file(file, spec, {"id": Column(type="integer")}).column_names == ["id", "_row"]
    assert "year" in read_file(file, spec, {"year": Column(type="integer")}).column_names
