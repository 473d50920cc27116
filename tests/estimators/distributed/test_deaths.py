"""Deaths on a cluster: of a worker in the midst of fits, of all workers, of the scheduler; slow and late workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "bench" / "worker_kills.py"


def run(*options):
    return subprocess.run(
        [sys.executable, str(PROGRAM), *options], capture_output=True, text=True, timeout=500, cwd=ROOT, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", ["delayed", "client"])
def test_a_worker_that_is_killed_changes_no_bit(source):
    """L-BFGS of three classes is the third: its points come in Fortran order."""
    ended = run("4", "1", "--source", source)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    assert ended.stdout.count("same bits") == 4


@pytest.mark.slow
@pytest.mark.parametrize("by", ["stop", "join"])
def test_a_worker_that_is_slow_or_comes_late_changes_no_bit(by):
    ended = run("2", "1", "--by", by)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    assert ended.stdout.count("same bits") == 2


@pytest.mark.slow
@pytest.mark.parametrize("what", ["workers", "scheduler", "restart"])
def test_a_fit_ends_with_a_line_where_nothing_is_left(what):
    ended = run("1", "0", "--end", what)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    assert "after the end: the cluster" in ended.stdout
