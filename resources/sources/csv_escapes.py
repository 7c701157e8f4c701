"""Backslashes in CSV: before quotes, as Spark and MySQL write them, or in the text format of PostgreSQL's COPY and MySQL's OUTFILE.

Either is written again as CSV that doubles its quotes, so that one parser reads all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakeloop.spec.tables import Files

NOTHING = "\\N"
"""How the text format writes that there is no value."""
_MEANT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"0": b"\0"}
"""What stands after a backslash in the text format, and what it means; anything else is itself."""


def unescape(data: bytes, spec: Files, delimiter: str) -> bytes:
    """Lines as they would be without the escapes that a source states."""
    if spec.escape is None:
        return data
    return unescape_fields(data, delimiter) if spec.quote == "none" else unescape_quotes(data, delimiter)


def unescape_quotes(data: bytes, delimiter: str) -> bytes:
    r"""Lines in which a quote within quotes is doubled, where a backslash stood before it; MySQL writes one before line ends, too.

    >>> unescape_quotes(b'1,"a \\"b\\" c",C:\\x', ",")
    b'1,"a ""b"" c",C:\\x'
    """
    before = re.escape(delimiter.encode()) + rb"\r\n"
    quoted = re.compile(rb"(?<![^" + before + rb'])"((?:[^"\\]|\\.|"")*)"', re.DOTALL)

    def rewrite(field: re.Match[bytes]) -> bytes:
        return b'"' + re.sub(rb'\\(["\\]|\r?\n)', lambda match: b'""' if match[1] == b'"' else match[1], field[1]) + b'"'

    return quoted.sub(rewrite, data)


def unescape_fields(data: bytes, delimiter: str) -> bytes:
    r"""Lines of the text format, whose fields are quoted where they held a backslash or a quote; a field of `\N` stays as it is.

    >>> unescape_fields(b'1|a\\|b|\\N\n2|a "b" c|\\\\N\n', "|")
    b'1|"a|b"|\\N\n2|"a ""b"" c"|"\\N"\n'
    """
    field = re.compile(rb"(?:[^" + re.escape(delimiter.encode()) + rb"\\\r\n]|\\\r\n|\\.)+", re.DOTALL)

    def rewrite(match: re.Match[bytes]) -> bytes:
        text = match[0]
        if text == NOTHING.encode() or not (b"\\" in text or b'"' in text):
            return text
        plain = re.sub(rb"\\(\r\n|.)", lambda escaped: _MEANT.get(escaped[1], escaped[1]), text, flags=re.DOTALL)
        return b'"' + plain.replace(b'"', b'""') + b'"'

    return field.sub(rewrite, data)


def is_text_format(sample: bytes) -> bool:
    r"""Whether lines of tabs have a field of `\N`, none within quotes, and no backslash that the text format wouldn't write.

    >>> is_text_format(b"1\tC:\\\\new\n2\t\\N\n"), is_text_format(b"1\tC:\\Users\n2\t\\N\n"), is_text_format(b'1\t"x"\n2\t\\N\n')
    (True, False, False)
    """
    if not re.search(rb"(?:^|\t)\\N(?:\t|\r?$)", sample, re.MULTILINE) or re.search(
        rb'(?:^|\t)"[^\t\n]*"(?:\t|\r?$)', sample, re.MULTILINE
    ):
        return False
    return b"\\" not in re.sub(rb"\\(?:[Nbfnrtv0\\\t]|\r?\n)", b"", sample)
