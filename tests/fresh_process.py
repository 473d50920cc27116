"""Run a few lines of Python in a process of their own, where nothing has been imported yet."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def run_fresh(code: str, *, timeout: float = 120.0, **environment: str) -> str:
    """What the lines print; fails with their traceback if they raise."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()
