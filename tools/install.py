"""Install a lock file into the environment whose Python runs this, and say how far it is. Needs nothing but pip.

pip works on one core; so several install a share of the packages each, side by side, and then all cores compile.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TELL_EVERY_S = 5.0
"""Between two lines where the output is no terminal."""
MOST_AT_ONCE = 4
SHARES_EACH = 3
"""Shares that a pip's place gets to do, so that none waits long for the other: packages differ in size."""
OPTIONS = ["--disable-pip-version-check", "--progress-bar", "off", "--no-compile", "--no-deps", "--require-hashes"]


def main() -> int:
    """Run pip on the lock file of the first argument; its errors are shown as they are."""
    lock = Path(sys.argv[1])
    at_once = min(os.cpu_count() or 1, MOST_AT_ONCE)
    shares = shares_of(lock.read_text(encoding="utf-8"), at_once * SHARES_EACH)
    progress = Progress(sum(map(len, shares)))
    print(f"installing {progress.total} packages from {lock} (a few minutes the first time)", flush=True)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:
        files = [Path(folder) / f"{number}.lock" for number in range(len(shares))]
        list(pool.map(lambda file, share: install(file, share, progress), files, shares))
    if not progress.failed:
        progress.tell("compiling", at_once=True)
        compile_all()
    progress.end()
    return int(progress.failed)


def shares_of(lock: str, count: int) -> list[list[str]]:
    """The requirements of a lock file, with their hashes, in so many shares; what begins alike stays together (such packages share files)."""
    shares: list[list[str]] = [[] for _ in range(count)]
    begins: dict[str, int] = {}
    for requirement in re.findall(r"^[^\s#].*(?:\n[ \t]+.*)*", lock, re.MULTILINE):
        begin = re.split(r"[-_.\[=]", requirement, maxsplit=1)[0].lower()
        shares[begins.setdefault(begin, len(begins) % count)].append(requirement)
    return [share for share in shares if share]


class Progress:
    """What several pips have done, on one line of a terminal, or on a line now and then."""

    def __init__(self, total: int) -> None:
        self.total, self.seen, self.failed = total, 0, False
        self._started = self._told = time.monotonic()
        self._lock = threading.Lock()

    def requirement(self, name: str) -> None:
        """A package is looked at."""
        with self._lock:
            self.seen += 1
            self.tell(f"{self.seen} of {self.total}: {name}")

    def tell(self, what: str, *, at_once: bool = False) -> None:
        """Show it, elsewhere than in a terminal only from time to time."""
        if sys.stdout.isatty():
            print(f"\r\033[K  {what}", end="", flush=True)
        elif at_once or time.monotonic() - self._told > TELL_EVERY_S:
            print(f"  {what}", flush=True)
            self._told = time.monotonic()

    def end(self) -> None:
        """Say how long it took."""
        if sys.stdout.isatty():
            print("\r\033[K", end="")
        if not self.failed:
            print(f"installed after {time.monotonic() - self._started:.0f} s", flush=True)


def install(file: Path, share: list[str], progress: Progress) -> None:
    """Have a pip install a share, unless another has failed."""
    if progress.failed:
        return
    file.write_text("\n".join(share), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", *OPTIONS, "-r", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for name in packages_in(process.stdout):
        progress.requirement(name)
    progress.failed |= process.wait() != 0


def packages_in(lines: Iterator[str]) -> Iterator[str]:
    """The packages that pip says it looks at."""
    for line in lines:
        if found := re.match(r"(?:Collecting|Requirement already satisfied:) (\S+)", line):
            yield found[1]


def compile_all() -> None:
    """Compile what was installed, on all cores; packages' own tests, and what isn't Python of this version, are left as they are."""
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        command = [sys.executable, "-m", "compileall", "-qq", "-j", "0", "-x", r"[/\\]tests[/\\]", folder]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
