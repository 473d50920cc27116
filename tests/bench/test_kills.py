"""kills.py with few kills: fits of one kind in memory and one beyond it end in the same bits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_a_few_kills():
    command = [sys.executable, "bench/kills.py", "3", "1", "--cases", "network", "streamed-newton"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 with other bits" in run.stdout
