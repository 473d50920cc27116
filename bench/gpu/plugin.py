"""A plugin of pytest for ``check.py``: every outcome goes to the results at once, and slow tests come last.

`GPU_CHECK_FOLDER` names the folder of the results, `GPU_CHECK_RUN` the run.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from gpu.children import end_with_parent
from gpu.journal import Journal

TAIL = 2000


def pytest_configure(config: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_with_parent()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        _keep(report.nodeid, "failed", 0.0, report)


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        outcome = report.outcome if report.when == "call" or report.outcome == "skipped" else "failed"
        _keep(report.nodeid, outcome, report.duration, report)


def _keep(test: str, outcome: str, seconds: float, report: Any) -> None:
    folder = os.environ.get("GPU_CHECK_FOLDER")
    if not folder:
        return
    row: dict[str, Any] = {"test": test, "outcome": outcome, "seconds": round(seconds, 2)}
    if outcome == "failed":
        row["said"] = report.longreprtext[-TAIL:]
        row["problem"] = f"failed: {(report.longreprtext.strip().splitlines() or [''])[-1][:200]}"
    elif outcome == "skipped" and isinstance(report.longrepr, tuple):
        row["said"] = str(report.longrepr[2])[:200]
    Journal(Path(folder), int(os.environ.get("GPU_CHECK_RUN", "1")), "tests").row("tests", test, row)
