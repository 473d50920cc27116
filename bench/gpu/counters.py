"""Four launches under a profiler: bytes from memory against those of the rows, and how busy the issue slots were."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu.children import end_with_parent
from gpu.sizes import Sizes
from gpu.timing import Budget, say

KERNEL = "loss_and_gradient"
PROFILERS = ("/usr/local/cuda/bin/ncu", "/opt/nvidia/nsight-compute/*/ncu")

METRICS = {
    "dram__bytes_read.sum": "bytes_read",
    "dram__bytes_write.sum": "bytes_written",
    "gpu__time_duration.sum": "ns",
    "smsp__inst_executed.sum": "instructions",
    "smsp__issue_active.avg.pct_of_peak_sustained_active": "issue_percent",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum": "sectors",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "warps_percent",
}
SCALE = {"byte": 1.0, "kbyte": 1e3, "mbyte": 1e6, "gbyte": 1e9, "ns": 1.0, "us": 1e3, "ms": 1e6, "nsecond": 1.0}
SCALE |= {"usecond": 1e3, "msecond": 1e6, "kinst": 1e3, "minst": 1e6, "ksector": 1e3, "msector": 1e6}


def profiler() -> str | None:
    """The program, if it is installed."""
    places = [str(path) for place in PROFILERS for path in sorted(Path("/").glob(place.lstrip("/")))]
    return shutil.which("ncu") or (places[-1] if places else None)


def launch(cupy: Any, sizes: Sizes) -> None:
    """One launch of the pass for every case that is counted."""
    from gpu.data import cut, filled
    from gpu.launch import Launches, chosen

    from gpu_logreg.passes.cuda.tuning.family import Family

    for d, storage in sizes.counted:
        data = cut(cupy, filled(cupy, storage, sizes.counted_elements), storage, d)
        family = chosen(data)
        assert isinstance(family, Family)
        Launches(cupy, data, family)()
        cupy.cuda.Device().synchronize()


def counted(sizes: Sizes, budget: Budget) -> Iterator[dict[str, Any]]:
    """A row for every launch; one row with a ``problem`` where there is no profiler, or it does not work here."""
    program = profiler()
    if program is None:
        yield {"problem": "not measured: ncu is not installed"}
        return
    own = [sys.executable, str(Path(__file__).with_name("steps.py")), "launches", "--folder", "."]
    # Clocks stay as they are: they belong to the machine.
    command = [
        program,
        "--clock-control",
        "none",
        "--metrics",
        ",".join(METRICS),
        "--csv",
        "--page",
        "raw",
        "--print-units",
        "base",
    ]
    command += ["--kernel-name", f"regex:^{KERNEL}$", *own, *(["--tiny"] if sizes.tiny else [])]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=max(5.0, budget.left() - 4), preexec_fn=end_with_parent
        )
    except subprocess.TimeoutExpired:
        yield {"problem": "not measured: ncu took too long"}
        return
    say(done.stderr[-1000:])
    rows = parsed(done.stdout)
    if not rows:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["it said nothing"]
        yield {"problem": f"not measured: ncu counted nothing (exit code {done.returncode}): {lines[-1][:200]}"}
        return
    for (d, storage), row in zip(sizes.counted, rows, strict=False):
        yield {"d": d, "storage": storage} | _compared(row, d, storage, sizes)


def parsed(text: str) -> list[dict[str, float]]:
    """Figures of every launch, in bytes, nanoseconds and counts, from what ``ncu --csv --page raw`` prints."""
    lines = [line for line in text.splitlines() if line.startswith('"')]
    if len(lines) < 3:
        return []
    heads, units, *rows = csv.reader(io.StringIO("\n".join(lines)))
    found = []
    for row in rows:
        figures = {}
        for head, unit, cell in zip(heads, units, row, strict=False):
            if head in METRICS and cell:
                figures[METRICS[head]] = float(cell.replace(",", "")) * SCALE.get(unit.strip().lower(), 1.0)
        found.append(figures)
    return found


def _compared(row: dict[str, float], d: int, storage: str, sizes: Sizes) -> dict[str, Any]:
    from gpu_logreg.passes.cuda.tuning.family import STORAGES

    n, size = sizes.counted_elements // d, STORAGES[storage]
    found: dict[str, Any] = {"n": n, "nbytes": n * (d * size + 1), **row}
    if "bytes_read" in row:
        found["over_least"] = row["bytes_read"] / found["nbytes"]
    if "sectors" in row:
        found["sectors_over_least"] = 32 * row["sectors"] / found["nbytes"]
    if row.get("ns"):
        found["gb_per_s"] = found["nbytes"] / row["ns"]
    if "instructions" in row:
        found["warp_instructions_per_row"] = row["instructions"] / n
    return found
