"""The SELECTs of a query as ranges of tokens: their clauses, projections, and the common table expressions that they see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakeloop.sql.query import DIALECT

if TYPE_CHECKING:
    from sqlglot import Token

_TAIL = ("ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "LIMIT", "OFFSET", "FETCH")
_CLAUSES = {"FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", *_TAIL}
_COMBINING = {"UNION", "EXCEPT", "INTERSECT", "MINUS"}


class Tokens(list["Token"]):
    """A query as tokens, and the text that they stand in."""

    def __init__(self, text: str) -> None:
        import sqlglot

        super().__init__(sqlglot.tokenize(text, read=DIALECT))
        self.text = text

    def slice(self, first: int, last: int) -> str:
        """The text from a token up to the one before another."""
        return self.text[self[first].start : self[last - 1].end + 1] if first < last else ""


@dataclass(frozen=True)
class Select:
    """A SELECT as positions of tokens.

    Attributes:
        first: of `SELECT`.
        last: behind its last clause.
        depth: how many parentheses are around it.
        clauses: where each clause begins.
        is_distinct: whether it is a SELECT DISTINCT.
        projections: the first of its projections, and the position behind them.
        span: where its text up to ORDER BY begins and ends.
    """

    first: int
    last: int
    depth: int
    clauses: dict[str, int]
    is_distinct: bool
    projections: tuple[int, int]
    span: tuple[int, int] = (0, 0)

    @property
    def body_end(self) -> int:
        """The position of ORDER BY, or of whatever else is done to the rows of the body."""
        return min([self.last, *(place for name, place in self.clauses.items() if name in _TAIL)])

    def clause_at(self, position: int) -> str | None:
        """The clause that a position lies in; None among the projections."""
        begun = [(place, name) for name, place in self.clauses.items() if place <= position]
        return max(begun)[1] if begun else None


def find_selects(tokens: Tokens) -> list[Select]:
    """Find all SELECTs of a query, in the order of their beginnings."""
    from sqlglot import TokenType

    return [_read_select(tokens, position) for position, token in enumerate(tokens) if token.token_type == TokenType.SELECT]


def _read_select(tokens: Tokens, first: int) -> Select:
    clauses: dict[str, int] = {}
    start, is_distinct = first + 1, False
    if tokens[start].text.upper() in ("DISTINCT", "ALL"):
        is_distinct = tokens[start].text.upper() == "DISTINCT"
        start += 1
    position = start
    for position, token, level in walk(tokens, start):
        word = word_of(token)
        if level < 0 or (level == 0 and (word in _COMBINING or word == ";") and not _is_name(tokens, position)):
            break
        if level == 0 and word in _CLAUSES and word not in clauses and _begins_clause(tokens, position, word):
            clauses[word] = position
    else:
        position = len(tokens)
    depth = sum({"(": 1, ")": -1}.get(token.text, 0) for token in tokens[:first] if not _is_text(token))
    return Select(first, position, depth, clauses, is_distinct, (start, min([position, *clauses.values()])))


def word_of(token: Token) -> str:
    """A token in capitals; of several words, such as `ORDER BY`, the first. Empty for a quoted name or a text."""
    return "" if _is_text(token) else (token.text.upper().split() or [""])[0]


def _begins_clause(tokens: Tokens, position: int, word: str) -> bool:
    before = tokens[position - 1].text.upper()
    if word == "FROM":
        return before != "DISTINCT"  # IS DISTINCT FROM
    if word in ("GROUP", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE"):
        return tokens[position].text.upper().endswith("BY")
    if word == "WINDOW":
        return position + 2 < len(tokens) and tokens[position + 2].text.upper() == "AS" and before not in (",", "AS", "SELECT", ".")
    return not _is_name(tokens, position)


def _is_name(tokens: Tokens, position: int) -> bool:
    """Whether a word that may begin a clause is a name or a text here."""
    return _is_text(tokens[position]) or tokens[position - 1].text.upper() in ("AS", ".")


def _is_text(token: Token) -> bool:
    from sqlglot import TokenType

    return token.token_type in (TokenType.STRING, TokenType.IDENTIFIER)


def walk(tokens: Tokens, first: int) -> Iterator[tuple[int, Token, int]]:
    """Walk tokens from a position on, each with how many parentheses have been opened since and not closed; -1 at the one that closes around."""
    from sqlglot import TokenType

    level = 0
    for position in range(first, len(tokens)):
        token = tokens[position]
        if token.token_type in (TokenType.R_PAREN, TokenType.R_BRACKET):
            level -= 1
        yield position, token, level
        if level < 0:
            return
        if token.token_type in (TokenType.L_PAREN, TokenType.L_BRACKET):
            level += 1


def split_at_commas(tokens: Tokens, span: tuple[int, int]) -> list[tuple[int, int]]:
    """Split a range of tokens at the commas that are in no parentheses."""
    from sqlglot import TokenType

    parts, first = [], span[0]
    for position, token, level in walk(tokens, span[0]):
        if position >= span[1]:
            break
        if level == 0 and token.token_type == TokenType.COMMA:
            parts.append((first, position))
            first = position + 1
    return [*parts, (first, span[1])] if first < span[1] else parts


def find_closing(tokens: Tokens, opening: int) -> int:
    """The position of the parenthesis that closes the one at a position."""
    return next(position for position, _, level in walk(tokens, opening + 1) if level < 0)


def opening_of(tokens: Tokens, position: int) -> int | None:
    """The position of the parenthesis that is open around a position; None if none is."""
    from sqlglot import TokenType

    level = 0
    for place in range(position - 1, -1, -1):
        kind = tokens[place].token_type
        level += (kind == TokenType.R_PAREN) - (kind == TokenType.L_PAREN)
        if level < 0:
            return place
    return None


def scopes_of(tokens: Tokens, select: Select) -> Iterator[str]:
    """The texts of the common table expressions that a SELECT sees, of the innermost WITH first."""
    position: int | None = select.first
    while position is not None:
        opening = opening_of(tokens, position)
        begin = 0 if opening is None else opening + 1
        if tokens[begin].text.upper() == "WITH":
            seen = [(first, last) for first, last in _ctes(tokens, begin + 1) if last <= position]
            if seen:
                yield tokens.slice(seen[0][0], seen[-1][1])
        position = opening


def _ctes(tokens: Tokens, first: int) -> Iterator[tuple[int, int]]:
    """The ranges of the common table expressions of a WITH, from the first name on."""
    from sqlglot import TokenType

    position = first
    while True:
        opening = next(place for place, token, level in walk(tokens, position) if level == 0 and token.token_type == TokenType.ALIAS) + 1
        end = find_closing(tokens, opening) + 1
        yield position, end
        if end >= len(tokens) or tokens[end].token_type != TokenType.COMMA:
            return
        position = end + 1
