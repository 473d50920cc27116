"""The tests marked ``gpu``: a process for every file, several side by side, each outcome kept when it is there."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from gpu.children import Child, wait
from gpu.journal import Journal
from gpu.sizes import Sizes
from gpu.timing import Budget, say

ROOT = Path(__file__).resolve().parents[2]
MOST_PROCESSES = 8
MARGIN_S = 5.0
"""Seconds kept for what comes after the tests."""


def files_with_tests() -> list[str]:
    """Files that hold tests marked ``gpu``, from the checkout's folder."""
    paths = sorted((ROOT / "tests").rglob("test_*.py"), key=lambda path: path.name)
    return [
        str(path.relative_to(ROOT))
        for path in paths
        if "mark.gpu" in path.read_text(encoding="utf-8") and path.name != "test_gpu_check.py"
    ]


def run_tests(sizes: Sizes, journal: Journal, budget: Budget) -> None:
    """All of them; what failed is wrong, and so is that none has passed."""
    files, chosen = files_with_tests(), ["-m", "gpu"]
    if sizes.tiny:
        files, chosen = ["tests/passes/cuda/test_cublas.py"], ["-k", "fake and empty or fake and refuse"]
    # A library that warns on this machine fails no test.
    command = [sys.executable, "-m", "pytest", "-q", "-Wdefault", "-p", "no:cacheprovider", "-p", "gpu.plugin", *chosen]
    path = [str(ROOT), str(ROOT / "bench"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    environment |= {"GPU_CHECK_FOLDER": str(journal.folder.resolve()), "GPU_CHECK_RUN": str(journal.run)}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        waiting, running = list(files), {}  # type: list[str], dict[str, Child]
        most = max(1, min(MOST_PROCESSES, (os.cpu_count() or 2) // 2))
        while waiting or running:
            while waiting and len(running) < most:
                file = waiting.pop(0)
                limit = max(1.0, budget.left() - MARGIN_S)
                log = Path(folder, f"{Path(file).stem}.log")
                running[file] = Child([*command, file], limit, log, environment, ROOT)
            wait([next(iter(running.values()))] if len(running) >= most or not waiting else [])
            for file, child in list(running.items()):
                if child.ended():
                    _said(journal, file, running.pop(file))
    rows = journal.found("tests")
    if not any(row["outcome"] == "passed" for row in rows):
        journal.row("test files", "all", {"file": "all", "problem": "no test has passed"})
    journal.wrong += [f"{row['test']} {row['problem']}" for row in rows if row["outcome"] == "failed"]


def _said(journal: Journal, file: str, child: Child) -> None:
    row: dict[str, object] = {"file": file, "returncode": child.returncode, "seconds": round(child.spent, 1)}
    if child.why:
        row["problem"] = f"not measured: {child.why}"
    elif child.returncode not in (0, 1, 5):  # 1: tests have failed, which has rows of its own; 5: none was there
        row["problem"] = f"wrong: pytest ended with {child.returncode}"
    journal.row("test files", file, row)
    say(child.tail())
