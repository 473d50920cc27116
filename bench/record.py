"""Rows of measured figures: what was run, on what, at which commit, and the figures; appended, never rewritten."""

from __future__ import annotations

import csv
import datetime
import os
import platform
import subprocess
from pathlib import Path

import numba
import numpy as np
import sklearn

RESULTS = Path(os.environ.get("GPU_LOGREG_RESULTS", Path(__file__).parent / "results"))


def environment() -> dict[str, str]:
    """Commit, date, processor and versions of a run."""
    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": commit or "unknown",
        "processor": _processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "sklearn": sklearn.__version__,
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    lines = [line for line in text.splitlines() if line.startswith("model name")]
    return f"{len(lines)} x {lines[0].split(':', 1)[1].strip()}" if lines else platform.machine()


def append(name: str, rows: list[dict[str, object]]) -> Path:
    """Append ``rows`` to ``bench/results/<name>.csv``, each with the environment of the run."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    known = environment()
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[*known, *rows[0]])
        if fresh:
            writer.writeheader()
        writer.writerows([known | row for row in rows])
    return path
