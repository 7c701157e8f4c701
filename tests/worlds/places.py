"""Where the repository's own files lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEFS = ROOT / "platform_assets" / "defs"
"""The example domains."""
