"""The embedded engine and everything on it run where there is no Java."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.worlds.places import ROOT

SCRIPT = """
import shutil, tempfile
import deltalake, pyarrow as pa
from resources.spark.sessions import SparkResource

assert shutil.which("java") is None
where = tempfile.mkdtemp()
deltalake.write_deltalake(where, pa.table({"k": ["a", "a", "b"], "n": [1, 2, 3]}))
spark = SparkResource().spark_session
spark.read.format("delta").load(where).createOrReplaceTempView("t")
print(spark.sql("SELECT k, sum(n) AS total FROM t GROUP BY k ORDER BY k").toArrow().to_pylist())
"""


def test_a_view_is_computed_without_java_on_the_path(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("JAVA_HOME", "SPARK_HOME", "SPARK_REMOTE", "LAKELOOP_SPARK")}
    environment["PATH"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[{'k': 'a', 'total': 3}, {'k': 'b', 'total': 3}]"
