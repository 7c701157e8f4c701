"""Mutants that the tests of their module can't or need not detect, each with its reason; `benchmarks.mutation` reads this list.

An entry that is no mutant any more is reported, so that the list goes along with the code.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explained:
    """A mutant that tests can't or need not detect.

    Attributes:
        module: its file.
        function: its function; `<module>` outside of functions.
        before, after: the mutant's `Mutant.before` and `Mutant.after`.
        reason: why it may stay undetected.
    """

    module: str
    function: str
    before: str
    after: str
    reason: str


ASOF, CONFORM = "lakeloop/rows/asof.py", "lakeloop/rows/conform.py"
SIZE = "The size of a piece of work: it changes how long the work takes and what memory it needs, never its result."
EXPLAINED: tuple[Explained, ...] = (
    *(
        Explained(ASOF, "<module>", "_BLOCK = 1 << 16", after, SIZE)
        for after in ("_BLOCK = 1 << 15", "_BLOCK = 1 << 17", "_BLOCK = 2 << 16")
    ),
    *(Explained(CONFORM, "<module>", "ROWS_AT_ONCE = 500000", after, SIZE) for after in ("ROWS_AT_ONCE = 499999", "ROWS_AT_ONCE = 500001")),
)  # fmt: skip
