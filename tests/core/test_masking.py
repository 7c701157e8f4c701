"""Hidden values: in rows, in messages, in the places that an error came through."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import pytest
import sqlalchemy as sa

from lakeloop.errors import LakeloopError
from lakeloop.masking import MASK, format_frames, mask_row, message_of, url_problem, without_secrets
from resources.project import PORTS
from resources.settings import DATABASE, Settings


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


SECRETS = [
    "hunter2",
    "p@ss",
    "pa/ss",
    "pa:ss",
    "pa?ss",
    "pa#ss",
    "pa%ss",
    "pa ss",
    "p@s:s/w?r#d",
    "@@",
    "a@b:5432",
    "ünïcode",
    "x=y&z",
    "[::1]",
    "tab\there",
]
PLACES = ["host/shop", "host:5432/shop", "host/shop?application_name=x", "127.0.0.1:5432/shop", "[::1]:5432/shop"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", PLACES)
def test_a_url_is_taken_apart_as_it_was_meant_or_refused_in_words_that_hold_none_of_it(secret: str, place: str) -> None:
    url = f"postgresql://anna:{secret}@{place}"
    problem = url_problem(url)
    assert not any(piece in problem for piece in ("anna", secret, *re.split(r"\W+", secret)) if len(piece) > 2)
    if not problem:
        parsed = sa.make_url(url)
        assert (parsed.password, parsed.host) == (unquote(secret), place.partition("/")[0].removesuffix(":5432").strip("[]"))
    escaped = f"postgresql://anna:{quote(secret, safe='')}@{place}"
    assert url_problem(escaped) == "" and sa.make_url(escaped).password == secret


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("sqlite:////a folder/x@y#z.db", ""),
        ("sqlite://", ""),
        ("postgresql+psycopg2:///shop?host=/run/postgresql", ""),
        ("postgresql://anna@/shop", ""),
        ("postgresql://host:port/shop", "its port is no number"),
        ("postgresql://host:0/shop", "its port is no number"),
        ("postgresql://host:99999999999999999999/shop", "its port is no number"),
        ("postgresql://host:/shop", "its port is no number"),
        ("anna:secret@host/shop", "it isn't of the form scheme://"),
    ],
)
def test_other_urls_are_judged_by_their_form(url: str, wanted: str) -> None:
    assert url_problem(url).startswith(wanted) and bool(url_problem(url)) == bool(wanted)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_piece_of_a_password_stays_in_a_message(secret: str) -> None:
    for written in (secret, quote(secret, safe="")):
        url = f"postgresql://anna:{written}@host/shop?sslpassword={quote(secret, safe='')}"
        pieces = [piece for piece in re.split(r"[:@/?#&=]", secret) if piece.strip()]
        told = without_secrets(
            f'no host "{pieces[-1] if pieces else ""}" ({secret}) ({written}) of anna at host/shop: {" ".join(pieces)}', url
        )
        assert not any(piece in told for piece in (secret, "anna", *pieces) if len(piece) > 1), told
        assert "at host/shop" in told


def test_settings_refuse_what_cannot_be_taken_apart_and_show_none_of_it() -> None:
    for name in ("LAKELOOP_DAGSTER_DB", "LAKELOOP_MLFLOW_DB", "LAKELOOP_STUDIES_DB"):
        for url in (
            f"{DATABASE}anna:hun@ter2@host/shop",
            "hunter2@host/shop",
            "anna:hunter2@host",
            "hunter2://host/shop",
            f"{DATABASE}h:hunter2/shop",
        ):
            with pytest.raises(LakeloopError, match=f"{name}: wanted {re.escape(DATABASE)}user:password@host/database") as told:
                Settings.from_environment({name: url})
            assert not re.search("anna|hun@|ter2@", str(told.value))
    for name in PORTS:
        for port in ("0", "65536", "9999999999"):
            with pytest.raises(LakeloopError, match=f"{name}: wanted a port from 1 to 65535, found {port}"):
                Settings.from_environment({name: port})
    for name in ("LAKELOOP_MLFLOW", "LAKELOOP_UI"):
        with pytest.raises(LakeloopError, match=f"{name}: wanted an address") as told:
            Settings.from_environment({name: "http://anna:hunter2@mlflow:5000"})
        assert not re.search("anna|hunter2", str(told.value))
        with pytest.raises(LakeloopError, match=f"{name}: wanted an address such as .*its port is no number"):
            Settings.from_environment({name: "http://mlflow:70000"})
