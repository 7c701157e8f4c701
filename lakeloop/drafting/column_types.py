"""The narrowest type that holds every value of a landed column without loss, found by parsing all; and whether values look personal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from lakeloop.drafting.column_names import is_identifier, lake_name, unit_of, words_of
from lakeloop.drafting.column_numbers import declare_number
from lakeloop.drafting.column_times import ASSUMED, SAMPLE, declare_epoch, declare_in_zone, declare_time, is_lossless
from lakeloop.rows.column_parsing import CELL_ERROR, NON_FINITE
from lakeloop.rows.conform import parse_column
from lakeloop.rows.landing_types import MOST_DIGITS, NON_FINITE_TEXTS, NUMBER_TEXT
from lakeloop.rows.types import to_doubles
from lakeloop.spec.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa

NULL_WORDS = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "?", "-", "\\N", "#N/A", ".")
"""How files write that there is no value; read as null only in columns that are otherwise numbers, times or booleans."""
UNMISTAKABLE_NULLS = ("?", "\\N", "NULL", "N/A", "#N/A", "NaN")
"""Those that are null in a column of text, too; NA and None may be a country or an answer."""
MOST_DOUBLE_DIGITS = 15
"""Every decimal of so many digits is given back by its nearest double (IEEE 754)."""
_VERSIONS = {"version", "versions", "revision", "build"}
"""Words of a name whose numbers with dots are no dates."""
KEPT = "NaN or infinity in some rows, kept beside null; non_finite: 'null' makes them null"
"""What a draft says of a column of text that is otherwise numbers."""
PERSONAL_SHARE = 0.8
"""Share of the values of a column that must look personal."""
_TYPED = (
    re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"),
    re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"),
    re.compile(r"(true|false)$", re.IGNORECASE),
)
"""Texts of numbers, times and booleans: a column of one of these holds no words."""
_PERSONAL_PATTERNS = {
    "e-mail addresses": r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
    "bank accounts (IBAN)": r"^[A-Z]{2}\d{2}[ ]?([A-Z0-9]{4}[ ]?){2,7}[A-Z0-9]{1,4}$",
    "telephone numbers": r"^(\+\d|\(0?\d{2,4}\)|0\d{2,4}[-/ ])[\d \-/()]{6,16}$",
    "addresses on the network": r"^(\d{1,3}\.){3}\d{1,3}$",
    "card numbers": r"^(\d{4}[ -]){3}\d{4}$",
    "official numbers": r"^\d{3}-\d{2}-\d{4}$",
    "people's names": r"^(.*\b(Mr|Mrs|Miss|Ms|Dr|Herr|Frau)\b\.?.*|[A-ZÀ-Þ][a-zß-ÿ]+(-[A-Z][a-z]+)?,? [A-ZÀ-Þ][a-zß-ÿ]+)$",
}  # fmt: skip


def declare(values: pa.ChunkedArray, source: str, *, text: bool, timezone: str, in_place: bool = False) -> tuple[Column | None, str]:
    """Declare a column, with a note; None and the reason where no type holds it.

    Args:
        values: of the column.
        source: its name as landed.
        text: whether the source has no types, so that they are found by parsing.
        timezone: of times without one.
        in_place: whether the source is a table that is read as it is, so that text isn't parsed.
    """
    import pyarrow as pa

    kind = values.type
    unit = unit_of(source)
    if pa.types.is_nested(kind) or (in_place and pa.types.is_binary(kind)):
        return None, f"a {kind}, which no column type holds"
    if pa.types.is_boolean(kind):
        return Column(type="boolean"), ""
    if pa.types.is_integer(kind):
        moment, note = (None, "") if in_place else declare_epoch(values, source)
        return (moment, note) if moment else (Column(type="integer", unit=unit), "")
    if pa.types.is_floating(kind):
        return _double(values, unit, in_place)
    if pa.types.is_decimal(kind):
        return _decimal(values, unit, in_place)
    if pa.types.is_date(kind):
        return Column(type="date"), ""
    if pa.types.is_timestamp(kind) and kind.tz is None and in_place:
        return None, "times without a time zone, which can't be given one where a table is read in place"
    if pa.types.is_timestamp(kind):
        return declare_in_zone(None, None, timezone) if kind.tz is None else (Column(type="timestamp"), "")
    if pa.types.is_null(kind) or values.null_count == len(values):
        return Column(type="string"), "no row has a value, so its type is unknown"
    if pa.types.is_binary(kind):
        return _bytes(values)
    if text and pa.types.is_string(kind):
        return _parse(values, source, unit, timezone)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return _text_or_time(values, source, timezone) if is_text and not in_place else _text(values, source)


def _double(values: pa.ChunkedArray, unit: str | None, in_place: bool) -> tuple[Column, str]:
    """A double, with what is neither null nor a finite number of it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    number = Column(type="double", unit=unit)
    numbers = values.cast(pa.float64())
    nans, infinities = (pc.sum(test(numbers)).as_py() or 0 for test in (pc.is_nan, pc.is_inf))
    if in_place or not nans + infinities:
        return number, ""
    counts = " and ".join(f"{word} in {count:,} rows" for word, count in (("NaN", nans), ("infinity", infinities)) if count)
    return number.model_copy(update={"non_finite": "keep"}), f"{counts}, kept beside null; non_finite: 'null' makes them null"


def _decimal(values: pa.ChunkedArray, unit: str | None, in_place: bool) -> tuple[Column, str]:
    """The narrowest type that gives every digit of decimals back."""
    import pyarrow as pa

    digits, scale = values.type.precision, values.type.scale
    distinct = values.unique()
    integer, number = Column(type="integer", unit=unit), Column(type="double", unit=unit)
    if scale == 0 and not in_place and is_lossless(distinct.drop_null(), integer):
        return integer, "" if digits <= 18 else f"of at most {digits} digits in the source; those that 64 bits don't hold go to quarantine"
    try:
        comes_back = digits <= MOST_DOUBLE_DIGITS or to_doubles(distinct).cast(values.type).equals(distinct)
    except pa.ArrowInvalid:
        comes_back = False
    if comes_back:
        return number, ""
    return Column(type=f"decimal({digits},{scale})", unit=unit), "a double doesn't give all its digits back"


def _bytes(values: pa.ChunkedArray) -> tuple[Column, str]:
    """A string that bytes are written as: their text where all are UTF-8, else hexadecimal digits."""
    column = Column(type="string")
    if is_lossless(values.unique().drop_null(), column):
        return column, "bytes that are text in UTF-8"
    return column.model_copy(update={"format": "hex"}), "bytes, written as hexadecimal digits"


def _parse(values: pa.ChunkedArray, source: str, unit: str | None, timezone: str) -> tuple[Column, str]:
    """The narrowest type that holds every value of a column of text without loss."""
    import pyarrow as pa
    import pyarrow.compute as pc

    distinct = pc.unique(values).drop_null()
    sample = [str(v).strip() for v in distinct.slice(0, SAMPLE).to_pylist()]
    if all(v.lower() in ("true", "false") for v in sample) and is_lossless(distinct, Column(type="boolean")):
        return Column(type="boolean"), ""
    digits = all(re.match(r"[+-]?[\d.]", v) for v in sample)
    if digits and any(re.fullmatch(r"[+-]?0\d+(\.\d*)?([eE][+-]?\d+)?", v) for v in sample):
        return _text(values, source, "leading zeros: digits that are no number")
    if digits and is_identifier(source) and all(re.fullmatch(r"\d+", v) for v in sample):
        return _text(values, source, "an identifier by its name: nobody adds it up")
    code = _code_note([str(v).strip() for v in distinct.to_pylist()]) if digits else ""
    if code:
        return _text(values, source, code)
    if digits and all(re.fullmatch(r"[+-]?\d+", v) for v in sample) and not all(re.fullmatch(r"(19|20)\d{6}", v) for v in sample):
        if is_lossless(distinct, Column(type="integer")):
            numbers = parse_column(pa.table({"v": distinct}), "v", Column(type="integer"))
            moment, note = declare_epoch(numbers, source) if all(v.isdigit() for v in sample) else (None, "")
            if moment:
                return moment, note
            return Column(type="integer", unit=unit), ""
        return _text(values, source, "whole numbers too large to be held exactly stay text")
    if digits and is_lossless(distinct, Column(type="double")) and not all(re.fullmatch(r"\d{8}", v) for v in sample):
        if digits_lost := _decimals_beyond_doubles(distinct):
            return digits_lost.model_copy(update={"unit": unit}), "a double doesn't give all its digits back"
        return Column(type="double", unit=unit), _thousands_note(distinct, lake_name(source))
    odd = [v for v in sample if re.match(NON_FINITE, v)]
    numbers = [v for v in sample if not re.match(NON_FINITE, v)]
    if odd and (numbers or set(odd) <= set(NON_FINITE_TEXTS)):
        number, finite = Column(type="double", unit=unit, non_finite="keep"), _without(distinct, NON_FINITE)
        if _decimals_beyond_doubles(finite):
            return _text(values, source, "a double doesn't give all its digits back, and no decimal holds NaN or infinity")
        if all(re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", v) for v in numbers) and is_lossless(distinct, number):
            return number, KEPT
        written, _ = declare_number(finite, source, unit)
        if written and is_lossless(distinct, written.model_copy(update={"non_finite": "keep"})):
            return written.model_copy(update={"non_finite": "keep"}), KEPT
    column, note = (None, "") if _VERSIONS & set(words_of(source)) else declare_time(distinct, timezone, digits=True)
    if not column and not note:
        column, note = declare_number(distinct, source, unit)
    return (column, note) if column else _text(values, source, note or _answers_note(sample, lake_name(source)))


def _without(texts: pa.Array, pattern: str) -> pa.Array:
    """The texts that a pattern doesn't match."""
    import pyarrow as pa

    return pa.array([value for value in texts.to_pylist() if not re.match(pattern, str(value).strip())], pa.string())


def _decimals_beyond_doubles(distinct: pa.Array) -> Column | None:
    """The decimal type of texts with more digits than their doubles give back; None where doubles do, or no decimal holds them."""
    texts = [str(value).strip() for value in distinct.to_pylist()]
    if not all(re.fullmatch(r"[+-]?\d*\.?\d*", text) for text in texts):
        return None
    if all(len(text) <= MOST_DOUBLE_DIGITS or Decimal(repr(float(text))) == Decimal(text) for text in texts):
        return None
    scale = max(len(text.partition(".")[2]) for text in texts)
    column = Column(type=f"decimal({MOST_DIGITS},{scale})") if scale < MOST_DIGITS else None
    return column if column and is_lossless(distinct, column) else None


def _code_note(texts: Sequence[str]) -> str:
    """Why texts that read as numbers are codes: written again, the numbers would be other texts; empty where they are numbers.

    >>> _code_note(["10E1", "1E2", "100"])
    'codes rather than numbers (10E1), of which several would be one number; type: double would read them'
    >>> _code_note(["1e-05", "2.5e4", "3"]), _code_note(["+1.5", "-2"])
    ('', '')
    """
    codes = [text for text in texts if re.fullmatch(r"[+-]?\d+[eE]\d+", text)]
    if codes and not any(re.fullmatch(r"[+-]?(\d*\.\d+([eE][+-]?\d+)?|\d+[eE][+-]\d+)", text) for text in texts):
        return f"codes rather than numbers ({codes[0]}), of which several would be one number; type: double would read them"
    if any(re.fullmatch(r"\+\d{7,}", text) for text in texts) and not any(text.startswith("-") for text in texts):
        return "digits after a plus, as of telephone numbers; type: integer would read them"
    return ""


def _thousands_note(distinct: pa.Array, name: str) -> str:
    """What was assumed of numbers whose points may stand between thousands; empty where a value tells."""
    texts = [str(value).strip() for value in distinct.to_pylist()]
    pointed = [text for text in texts if "." in text]
    may_be_thousands = all(re.fullmatch(r"[+-]?[1-9]\d{0,2}\.\d{3}", text) for text in pointed)
    if not pointed or not may_be_thousands or any(re.fullmatch(r"[+-]?\d{4,}", text) for text in texts):
        return ""
    return (
        f"{ASSUMED} the point of {pointed[0]} is a decimal point; if it stands between thousands, declare type: string, and in a view: "
        f"CAST(replace({name}, '.', '') AS BIGINT)"
    )


def _text_or_time(values: pa.ChunkedArray, source: str, timezone: str) -> tuple[Column, str]:
    """Declare a text of a source that has types as a date or time where it reads as one, since JSON and SQLite have no type for them."""
    import pyarrow.compute as pc

    distinct = pc.unique(values).drop_null()
    column, note = (None, "") if _VERSIONS & set(words_of(source)) else declare_time(distinct, timezone, digits=False)
    if column:
        return column, note
    sample = [str(v).strip() for v in distinct.slice(0, SAMPLE).to_pylist()]
    is_number = not is_identifier(source) and all(re.fullmatch(r"[+-]?(0|[1-9]\d*)(\.\d+)?", v) for v in sample)
    if is_number and is_lossless(distinct, Column(type="double")):
        note = "numbers held as text: type: double would read them"
    return _text(values, source, note or _answers_note(sample, lake_name(source)))


def _answers_note(sample: Sequence[str], name: str) -> str:
    """The expression that reads yes and no in a view; empty where the texts are something else."""
    if {v.lower() for v in sample} in ({"yes", "no"}, {"y", "n"}):
        yes = next(v for v in sample if v.lower().startswith("y"))
        return f"yes and no stay text; in a view, {name} = '{yes}' is a boolean"
    return ""


def _text(values: pa.ChunkedArray, source: str, note: str = "") -> tuple[Column, str]:
    """A column of text, personal if its values look so."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(values.type):
        values = values.cast(pa.string())
    sample = [str(v).strip() for v in pc.unique(values).drop_null().slice(0, SAMPLE).to_pylist()]
    for what, pattern in _PERSONAL_PATTERNS.items():
        if sample and sum(bool(re.match(pattern, v)) for v in sample) >= PERSONAL_SHARE * len(sample):
            if what == "people's names" and not (set(words_of(source)) & {"name", "names", "passenger", "customer", "person", "contact"}):
                continue
            return Column(type="string", personal=True), f"suspected to be personal: its values look like {what}"
    return Column(type="string"), note


def find_null_words(rows: pa.Table) -> dict[str, tuple[str, ...]]:
    """Find the texts that stand for null, by column: what means nothing among numbers may be a country among names."""
    import pyarrow.compute as pc

    words: dict[str, tuple[str, ...]] = {}
    for name in rows.column_names:
        values = pc.unique(rows[name]).drop_null().to_pylist()
        present = [value for value in values if not value.strip() or value.strip() in NULL_WORDS]
        if not present:
            continue
        others = [value.strip() for value in values if value not in present]
        are_typed = bool(others) and any(all(pattern.match(value) for value in others) for pattern in _TYPED)
        nulls = present if are_typed else [value for value in present if value.strip() in UNMISTAKABLE_NULLS]
        if nulls:
            words[name] = tuple(sorted(nulls))
    return words


def replace_null_words(rows: pa.Table, words: Mapping[str, Sequence[str]]) -> pa.Table:
    """Replace the texts that stand for null by nulls, each in its own column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, texts in words.items():
        is_null = pc.is_in(rows[name], value_set=pa.array(texts))
        rows = rows.set_column(
            rows.schema.get_field_index(name), rows.schema.field(name), pc.if_else(is_null, pa.scalar(None, pa.string()), rows[name])
        )
    return rows


def take_errors(rows: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """Replace the errors of a workbook's cells by nulls; and what to tell of them, by column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    told: dict[str, str] = {}
    for place, field in enumerate(rows.schema):
        is_error = pc.fill_null(pc.match_substring_regex(rows[field.name], CELL_ERROR), False) if pa.types.is_string(field.type) else None
        count = pc.sum(is_error).as_py() if is_error is not None else 0
        if count:
            first = rows[field.name][pc.index(is_error, True).as_py()].as_py()
            told[field.name] = f"an error ({first}) in {count:,} rows, which go to quarantine; null_values: ['{first}'] makes it null"
            rows = rows.set_column(place, field, pc.if_else(is_error, pa.scalar(None, pa.string()), rows[field.name]))
    return rows, told


def is_number_text(rows: pa.Table, name: str) -> bool:
    """Whether the source marks this text as a number that no number type of ours holds exactly (SQL's numeric)."""
    return has_mark(rows, name, NUMBER_TEXT)


def has_mark(rows: pa.Table, name: str, mark: Mapping[bytes, bytes]) -> bool:
    """Whether the metadata of a column say what its text is of."""
    metadata = rows.schema.field(name).metadata or {}
    return all(metadata.get(key) == value for key, value in mark.items())
