"""Install a lock file into the environment whose Python runs this, and say how far it is. Needs nothing but pip."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

TELL_EVERY_S = 5.0
"""Between two lines where the output is no terminal."""


def main() -> int:
    """Run pip on the lock file of the first argument; its errors are shown as they are."""
    lock = Path(sys.argv[1])
    total = sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines())
    print(f"installing {total} packages from {lock} (a few minutes the first time)", flush=True)
    started = told = time.monotonic()
    options = ["--disable-pip-version-check", "--progress-bar", "off", "--no-compile", "--no-deps", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "install", *options, "-r", str(lock)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    seen = 0
    for line in process.stdout:
        words = line.split()
        if line.startswith(("Collecting", "Requirement already satisfied")):
            seen += 1
            what = f"{min(seen, total)} of {total}: {words[1] if words[0] == 'Collecting' else words[3]}"
        elif line.startswith("Installing collected packages"):
            what = "unpacking"
        else:
            continue
        if sys.stdout.isatty():
            print(f"\r\033[K  {what}", end="", flush=True)
        elif time.monotonic() - told > TELL_EVERY_S or what.startswith("unpacking"):
            print(f"  {what}", flush=True)
            told = time.monotonic()
    code = process.wait()
    if code == 0:
        compile_all()
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    if code == 0:
        print(f"installed after {time.monotonic() - started:.0f} s", flush=True)
    return code


def compile_all() -> None:
    """Compile what was installed, on all cores, where pip takes one; what isn't Python of this version is left as it is."""
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        subprocess.run([sys.executable, "-m", "compileall", "-qq", "-j", "0", folder], check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
