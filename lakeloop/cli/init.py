"""`lakeloop init`: a project of one's own, whose definitions stand in its own folder and which depends on the platform as on any package."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from random import Random
from urllib.parse import unquote, urlparse

import click

from lakeloop.cli.base import command
from lakeloop.errors import LakeloopError
from resources.host.dagster_home import make_home
from resources.host.ports import FIRST, assign_ports
from resources.project import CARRIED, PLATFORM_ROOT, PORTS, ProjectFolder, remember

TEMPLATES = Path(__file__).parent / "project_templates"
ORDERS = 2_000
LOCK, PIN, VENDOR = "requirements.lock", "requirements-platform.txt", "vendor"
_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)*")


@dataclass(frozen=True)
class Platform:
    """The platform that a project depends on.

    Attributes:
        requirement: what pip installs, as a line of a requirements file.
        lock: the platform's own dependencies, with hashes.
        wheel: its name and content, if the project is to keep a copy.
    """

    requirement: str
    lock: str
    wheel: tuple[str, bytes] | None = None


@command(
    "init",
    examples=["lakeloop init my-project", "lakeloop init my-project --example", "lakeloop init . --upgrade --platform 0.3.0"],
    in_project=False,
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--platform", metavar="WHEEL|URL|VERSION", help="The platform that the project depends on, instead of the one that runs this."
)
@click.option("--example", is_flag=True, help="Add the example domains.")
@click.option("--upgrade", is_flag=True, help="Give a project that is there already the platform of --platform, and change nothing else.")
def init_command(folder: Path, platform: str | None, example: bool, upgrade: bool) -> int:
    """Write a project of your own into FOLDER, which is new or empty.

    The project depends on the platform as on any package; its definitions and its state are in its own folder.
    """
    return init(folder, platform=platform, example=example, upgrade=upgrade)


def init(folder: Path, *, platform: str | None = None, example: bool = False, upgrade: bool = False) -> int:
    """Write a project; with `upgrade`, give the one that is there another platform.

    Args:
        folder: the project's folder, which is made, or is empty.
        platform: a wheel, its URL, or a version; the platform that runs this, unless another is named.
        example: whether to add the example domains.
        upgrade: change `vendor/`, `requirements.lock` and `requirements-platform.txt` of an existing project, and nothing else.

    Raises:
        LakeloopError: the folder or the platform isn't what was wanted; nothing was written.
    """
    root = folder.absolute()
    if upgrade:
        if not (root / PIN).is_file():
            raise LakeloopError(f"wanted the folder of a project that `lakeloop init` made, found no {PIN} in {root}")
        chosen = find_platform(platform)
        shutil.rmtree(root / VENDOR, ignore_errors=True)
        _write_platform(root, chosen)
        print(f"{root} depends on {chosen.requirement.split(' ')[0]} now; `make run` installs it")
        return 0
    if root.is_dir() and any(root.iterdir()):
        raise LakeloopError(f"wanted a new or an empty folder, found {len(list(root.iterdir()))} files and folders in {root}")
    if root.exists() and not root.is_dir():
        raise LakeloopError(f"wanted a new or an empty folder, found the file {root}")
    if not root.parent.is_dir():
        raise LakeloopError(f"wanted a folder in one that exists, found no folder {root.parent}")
    chosen = find_platform(platform)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".lakeloop_init_") as made:
        draft = Path(made) / "project"
        _write_project(draft, root.name, chosen, example=example)
        draft.rename(root)  # all or nothing; an empty folder is replaced
    settle(ProjectFolder(root, root / "defs"))
    print(f"made {root}:\n")
    for path in sorted(path.relative_to(root) for path in root.glob("*")):
        print(f"  {path}{'/' if (root / path).is_dir() else ''}")
    print(f"\nnext:\n\n  cd {_quoted(folder)}\n  make run\n")
    return 0


def settle(project: ProjectFolder) -> None:
    """Give a project its ports and Dagster's home on this machine, and write them into its `.env`."""
    ports = assign_ports(project.root, [None] * len(FIRST))
    home = make_home(project.root / ".lakeloop" / "dev" / "dagster", None, project)
    remember(project, {"DAGSTER_HOME": str(home), **dict(zip(PORTS, map(str, ports), strict=True))})


def _write_project(root: Path, name: str, platform: Platform, *, example: bool) -> None:
    import jinja2

    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    package = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"
    orders = Path("defs") / "shop" / "orders"
    for template, target in (
        ("pyproject.toml.j2", Path("pyproject.toml")),
        ("Makefile.j2", Path("Makefile")),
        ("README.md.j2", Path("README.md")),
        ("gitignore.j2", Path(".gitignore")),
        ("test_orders.py.j2", Path("tests") / "test_orders.py"),
        ("orders.yaml.j2", orders / "defs.yaml"),
    ):
        text = templates.get_template(template).render(name=package, example=example, orders=ORDERS)
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / target).write_text(text, encoding="utf-8")
    (root / orders / "data").mkdir()
    (root / orders / "data" / "orders.csv").write_text(make_orders(), encoding="utf-8")
    for file in ("dagster.yaml", "workspace.yaml"):
        (root / file).write_text((CARRIED / file).read_text(encoding="utf-8"), encoding="utf-8")
    if example:
        for domain in sorted(path for path in (PLATFORM_ROOT / "platform_assets" / "defs").iterdir() if path.is_dir()):
            if domain.name != "__pycache__":
                shutil.copytree(domain, root / "defs" / domain.name, ignore=shutil.ignore_patterns("__pycache__"))
    _write_platform(root, platform)


def _write_platform(root: Path, platform: Platform) -> None:
    (root / LOCK).write_text(platform.lock, encoding="utf-8")
    (root / PIN).write_text(platform.requirement + "\n", encoding="utf-8")
    if platform.wheel is not None:
        name, content = platform.wheel
        (root / VENDOR).mkdir(exist_ok=True)
        (root / VENDOR / name).write_bytes(content)


def make_orders() -> str:
    """The example's rows as CSV, the same each time: what is returned depends on category, discount and value, with chance."""
    chance = Random(11)
    returns = {"books": 0.05, "clothes": 0.45, "games": 0.15, "tools": 0.1}
    placed = datetime(2025, 1, 1, 8)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["order_id", "ordered_at", "customer_id", "category", "items", "amount_eur", "discount", "returned"])
    for number in range(ORDERS):
        placed += timedelta(minutes=chance.randint(20, 400))
        category = chance.choice(sorted(returns))
        items, discount = chance.randint(1, 5), chance.choice([0, 0, 0, 0.1, 0.25, 0.5])
        amount = round(items * chance.uniform(8, 60) * (1 - discount), 2)
        returned = chance.random() < returns[category] + 0.4 * discount + 0.1 * (amount > 120)
        customer = f"c{chance.randint(1, 400):03}"
        rows.writerow(
            [f"o{number:05}", placed.strftime("%Y-%m-%d %H:%M:%S"), customer, category, items, amount, discount, str(returned).lower()]
        )
    return text.getvalue()


def _quoted(folder: Path) -> str:
    import shlex

    return shlex.quote(str(folder))


def find_platform(named: str | None) -> Platform:
    """The platform that a project is to depend on, with its lock.

    Raises:
        LakeloopError: there is no such wheel, it isn't one of Lakeloop, or pip can't get it.
    """
    if named is None:
        return _running_platform()
    if "://" in named:
        if not urlparse(named).path.endswith(".whl"):
            raise LakeloopError(f"--platform: wanted the URL of a wheel (.whl), found {named}")
        return Platform(f"lakeloop @ {named}", _lock_of(_download(f"lakeloop @ {named}"), named))
    if named.endswith(".whl"):
        if not Path(named).is_file():
            raise LakeloopError(f"--platform: wanted a wheel, found no file {Path(named).absolute()}")
        return _kept(Path(named).name, Path(named).read_bytes())
    if not _VERSION.fullmatch(named):
        raise LakeloopError(
            f"--platform: wanted a wheel (.whl), a URL or a version such as {metadata.version('lakeloop')}, found {named!r}"
        )
    return Platform(f"lakeloop=={named}", _lock_of(_download(f"lakeloop=={named}"), named))


def _running_platform() -> Platform:
    """The platform that runs this, as it was installed: from a wheel, from a checkout, or by version from an index."""
    distribution = metadata.distribution("lakeloop")
    source = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = str(source.get("url", ""))
    if "dir_info" in source or (PLATFORM_ROOT / "tools" / "install.py").is_file():
        return _kept(*_build_wheel())
    lock = (CARRIED / LOCK).read_text(encoding="utf-8")
    if not url.startswith("file:"):
        return Platform(f"lakeloop @ {url}" if url else f"lakeloop=={distribution.version}", lock)
    wheel = Path(unquote(urlparse(url).path))
    if not wheel.is_file():
        raise LakeloopError(f"Lakeloop was installed from {wheel}, which is gone; name the wheel, its URL or a version with --platform")
    return _kept(wheel.name, wheel.read_bytes())


def _kept(name: str, wheel: bytes) -> Platform:
    """A platform whose wheel the project keeps a copy of."""
    digest = hashlib.sha256(wheel).hexdigest()
    return Platform(f"./{VENDOR}/{name} --hash=sha256:{digest}", _lock_of(wheel, name), (name, wheel))


def _lock_of(wheel: bytes, shown: str) -> str:
    """The lock that a wheel of Lakeloop carries."""
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            return archive.read(f"resources/{CARRIED.name}/{LOCK}").decode()
    except (zipfile.BadZipFile, KeyError) as error:
        raise LakeloopError(f"--platform: wanted a wheel of Lakeloop, found none in {shown} (no {LOCK} in it)") from error


def _build_wheel() -> tuple[str, bytes]:
    """The name and the content of a wheel of the checkout that runs this, built from a copy, so that nothing is left in the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "lakeloop"
        copy.mkdir()
        for name in ("lakeloop", "resources", "platform_assets", "sensors"):
            shutil.copytree(PLATFORM_ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(PLATFORM_ROOT / name, copy)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, str(copy))
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.name, wheel.read_bytes()


def _download(requirement: str) -> bytes:
    """The wheel that pip finds."""
    with tempfile.TemporaryDirectory() as folder:
        _pip("download", "--no-deps", "--only-binary", ":all:", "--dest", folder, requirement)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.read_bytes()


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise LakeloopError(f"--platform: pip can't get {arguments[-1]}: {errors[-1] if errors else done.stderr.strip()[-300:]}")
