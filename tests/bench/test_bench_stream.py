"""bench_stream.py on a few megabytes: every format is made, walked and fitted, and the table has a row of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_every_format(tmp_path):
    command = [sys.executable, "bench/bench_stream.py", "--gigabytes", "0.1", "--budget", "200MB", "--repeats", "1"]
    run = subprocess.run(
        [*command, "--formats", "npy", "parquet", "csv", "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    for name in ("npy", "parquet", "csv"):
        assert name in run.stdout
    assert not list(tmp_path.iterdir())
