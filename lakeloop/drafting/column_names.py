"""What a column's name suggests: its name in the lake, its unit, whether it is an identifier, whether it may be personal.

Everything here is a guess for a person to review; nothing decides how a value is read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

RESERVED = frozenset({"known_at", "ingested_at", "predict_at", "label", "label_known_at", "split", "prediction"})
"""Names of the platform's own columns."""
ROW_NAME = "row_name"
"""The name of a first column that has none."""
UNITS = {
    "km": "km", "m": "m", "cm": "cm", "mm": "mm", "mi": "mi", "miles": "mi", "ft": "ft", "inch": "in", "inches": "in",
    "kg": "kg", "g": "g", "mg": "mg", "lb": "lb", "lbs": "lb", "oz": "oz", "tons": "t",
    "eur": "EUR", "usd": "USD", "gbp": "GBP", "chf": "CHF", "jpy": "JPY", "cents": "ct",
    "pct": "%", "percent": "%", "percentage": "%",
    "ms": "ms", "sec": "s", "secs": "s", "seconds": "s", "min": "min", "mins": "min", "minutes": "min", "hours": "h", "days": "d",
    "weeks": "wk", "years": "a", "kmh": "km/h", "kph": "km/h", "mph": "mi/h", "mpg": "mi/gal",
    "celsius": "degC", "degc": "degC", "fahrenheit": "degF", "kwh": "kWh", "kw": "kW", "hp": "hp", "hz": "Hz",
    "gb": "GB", "mb": "MB", "kb": "kB", "bytes": "B", "bar": "bar", "hpa": "hPa", "mbar": "mbar", "l": "l", "ml": "ml",
}  # fmt: skip
"""The last word of a name -> the unit."""
_IDENTIFIERS = {
    "id",
    "ids",
    "uuid",
    "guid",
    "key",
    "code",
    "zip",
    "zipcode",
    "postcode",
    "postal",
    "plz",
    "isbn",
    "ean",
    "sku",
    "iban",
    "phone",
    "tel",
    "ssn",
    "vin",
}
"""Words of a name that make digits an identifier: nobody adds them up, and leading zeros matter."""
_SPELLED = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d", "þ": "th"}
"""Letters that aren't another with an accent."""
_LETTERS = {"ALPHA": "a", "BETA": "b", "EPSILON": "e", "OMICRON": "o", "SIGMA": "s", "KAPPA": "k", "LAMDA": "l", "GAMMA": "g", "DELTA": "d", "OMEGA": "o", "UPSILON": "y", "THETA": "th", "ZETA": "z", "ETA": "i", "IOTA": "i", "MU": "m", "NU": "n", "PI": "p", "RHO": "r", "TAU": "t", "XI": "x", "EM": "m", "EN": "n", "ES": "s", "EL": "l", "ER": "r", "EF": "f", "KA": "k", "DE": "d", "BE": "b", "VE": "v", "TE": "t", "IE": "e", "GHE": "g", "ZE": "z", "PE": "p", "HA": "h"}  # fmt: skip
"""Names of letters that stand for a shorter spelling."""
_PERSONAL = {
    "an e-mail address": r"e_?mail",
    "a telephone number": r"phone|mobile|telephone|(^|_)tel($|_)|(^|_)fax($|_)",
    "a person's name": r"(first|last|full|given|family|sur|middle|maiden)_?name|surname|(^|_)(vorname|nachname)($|_)",
    "a postal address": r"address(?!(es)?_(country|continent)(_code)?$)|street|(^|_)(strasse|plz)($|_)|zip_?code|postcode|postal",
    "a date of birth": r"birth|(^|_)dob($|_)",
    "a bank account or card": r"iban|(^|_)bic($|_)|account_?(no|number)|card_?(no|number)|credit_?card",
    "an official number": r"(^|_)ssn($|_)|social_security|passport|tax_?id|national_?id|driver_?licen[cs]e",
    "an address on the network": r"(^|_)ip($|_)|ip_?address|mac_?address",
    "a user name": r"user_?name|(^|_)login($|_)",
}  # fmt: skip


def lake_name(source: str, taken: Iterable[str] = ()) -> str:
    """The name of a landed column in the lake: lower case, digits and `_`, starting with a letter, not taken yet.

    >>> [lake_name(text) for text in ("Culmen Length (mm)", "SepalLength", "2nd", "", "label")]
    ['culmen_length_mm', 'sepal_length', 'c_2nd', 'row_name', 'label_value']
    >>> [lake_name(text) for text in ("Größe", "Имя", "名前", "Ναι")]
    ['groesse', 'imya', 'u540d_u524d', 'nai']
    >>> lake_name("Price", ["price"])
    'price_2'
    """
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", _spell_in_ascii(source.strip()))
    text = re.sub(r"[^a-z0-9]+", "_", text.lower().replace("%", " percent ")).strip("_")
    # R and pandas write row names under an empty header.
    text = text or ROW_NAME
    text = (text if text[0].isalpha() else f"c_{text}")[:58].rstrip("_")
    text = f"{text}_value" if text in RESERVED else text
    used_names, name, number = set(taken), text, 2
    while name in used_names:
        name, number = f"{text}_{number}", number + 1
    return name


def _spell_in_ascii(text: str) -> str:
    """A text in ASCII: letters without accents, those of other alphabets by their names, other characters by their numbers."""
    return "".join(character if character.isascii() else _spell(character) for character in text)


def _spell(character: str) -> str:
    if character.lower() in _SPELLED:
        return _SPELLED[character.lower()]
    if not character.isalnum():
        return " "
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if plain:
        return plain
    digit = unicodedata.digit(character, None)
    letter = re.fullmatch(r"\w+ (?:CAPITAL |SMALL )?LETTER (?:SHORT |FINAL )?([A-Z]{1,7})(?: WITH .*)?", unicodedata.name(character, ""))
    base = unicodedata.normalize("NFKD", character)[0]
    if digit is None and letter is None and base != character and " LETTER " in unicodedata.name(base, ""):
        return _spell(base)
    return str(digit) if digit is not None else _LETTERS.get(letter[1], letter[1].lower()) if letter else f"_u{ord(character):x}_"


def unit_of(source: str) -> str | None:
    """The unit that a name states, in brackets or as its last word; capitals without a separator are initials.

    >>> [unit_of(text) for text in ("Culmen Length (mm)", "price_eur", "distanceKm", "species", "min", "PriceMM")]
    ['mm', 'EUR', 'km', None, None, None]
    """
    bracket = re.search(r"[(\[]\s*([^)\]]{1,12}?)\s*[)\]]\s*$", source)
    if bracket:
        unit = re.sub(r"^o/oo$", "‰", bracket[1])
        return UNITS.get(unit.lower(), unit)
    words = words_of(source)
    if len(words) < 2 or re.search(r"[a-z0-9][A-Z]+\W*$", source):
        return None
    return UNITS.get(words[-1])


def words_of(source: str) -> list[str]:
    """The words of a name, in lower case.

    >>> words_of("orderDate_UTC")
    ['order', 'date', 'utc']
    """
    return [word for word in lake_name(source).split("_") if word]


def is_identifier(source: str) -> bool:
    """Whether digits under this name are an identifier.

    >>> is_identifier("order_id"), is_identifier("zip"), is_identifier("paid")
    (True, True, False)
    """
    return bool(_IDENTIFIERS & set(words_of(source)))


def personal_by_name(source: str) -> str | None:
    """The kind of personal data that a name suggests, or None.

    >>> personal_by_name("customerEmail"), personal_by_name("amount"), personal_by_name("address.country")
    ('an e-mail address', None, None)
    """
    name = "_".join(words_of(source))
    return next((what for what, pattern in _PERSONAL.items() if re.search(pattern, name)), None)


def sentence_of(source: str) -> str:
    """A name as the beginning of a description.

    >>> sentence_of("Culmen Length (mm)"), sentence_of("ordered_at")
    ('Culmen length.', 'Ordered at.')
    """
    text = " ".join(words_of(re.sub(r"[(\[][^)\]]*[)\]]\s*$", "", source) or source))
    return f"{text[:1].upper()}{text[1:]}."
