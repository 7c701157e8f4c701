"""Hidden values: in rows, in messages, in the places that an error came through."""

from __future__ import annotations

import pytest

from lakeloop.masking import MASK, format_frames, mask_row, message_of


@pytest.mark.parametrize("value", [1, 0, "", "a", False, 0.0, [1]])
def test_every_value_of_a_personal_column_is_masked_and_only_a_null_is_shown(value: object) -> None:
    assert mask_row({"id": 7, "secret": value}, {"secret"}) == {"id": 7, "secret": MASK}
    assert mask_row({"id": 7, "secret": None}, ["secret"]) == {"id": 7, "secret": None}


@pytest.mark.parametrize(
    ("error", "shown"),
    [(ValueError("no 'Jane'\nsecond line"), "no 'Jane'"), (ValueError(), "ValueError"), (KeyError("Jane"), "'Jane'")],
)
def test_a_message_is_its_first_line_or_only_its_kind(error: Exception, shown: str) -> None:
    assert message_of(error, hide=False) == shown
    assert message_of(error, hide=True).startswith(f"a {type(error).__name__};") and "Jane" not in message_of(error, hide=True)


def test_places_name_files_lines_and_functions_and_no_value() -> None:
    def inner(who: str) -> None:
        raise ValueError(who)

    with pytest.raises(ValueError, match="Jane") as raised:
        inner("Jane")
    first, second = format_frames(raised.value).splitlines()
    assert first.startswith("test_masking.py:") and first.endswith(" in test_places_name_files_lines_and_functions_and_no_value")
    assert second.endswith(" in inner") and "Jane" not in second
