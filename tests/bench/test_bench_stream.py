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


@pytest.mark.slow
def test_a_kept_file_is_taken_again_and_another_program_may_read_a_part(tmp_path):
    command = [sys.executable, "bench/bench_stream.py", "--gigabytes", "0.05", "--budget", "200MB", "--repeats", "1"]
    command += ["--formats", "npy", "--folder", str(tmp_path), "--keep", "--against", "sgd", "--other-rows", "3000"]
    found = []
    for _ in range(2):
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
        assert "other_rows               3000" in run.stdout
        found.append({path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()})
    assert found[0] == found[1]
    assert set(found[0]) == {"rows0.05.npy", "rows0.05.labels.npy"}
