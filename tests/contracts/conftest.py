"""A PostgreSQL server, and a database in it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.worlds.servers.postgres import server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture
def engine(postgres: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """A database of the test's own, whose URL the environment holds."""
    import hashlib

    name = "t" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    admin = sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    url = sa.make_url(postgres).set(database=name)
    monkeypatch.setenv("SALES_DB", url.render_as_string(hide_password=False))
    yield sa.create_engine(url, poolclass=sa.NullPool)
