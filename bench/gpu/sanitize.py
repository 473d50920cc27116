"""The passes over small ragged sizes on a device, against float64: what ``compute-sanitizer`` is run on.

Run with ``PYTHONPATH=. compute-sanitizer --tool memcheck python3 bench/gpu/sanitize.py``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from gpu.children import Child, wait
from gpu.data import cut, filled, true_sums
from gpu.journal import Journal
from gpu.launch import LARGEST_ERROR, Launches, chosen, error_of
from gpu.multinomial import class_rows
from gpu.multinomial import true_sums as true_sums_of_classes
from gpu.sizes import Sizes
from gpu.timing import Budget, say

from gpu_logreg import MLPClassifier
from gpu_logreg.arrays.device import cuda_problem, import_cupy
from gpu_logreg.passes.cuda.classes import cuda_multinomial_pass
from gpu_logreg.passes.cuda.cublas import cublas_pass
from gpu_logreg.passes.cuda.dense import cuda_pass
from gpu_logreg.passes.cuda.tuning.family import STORAGES, Family
from gpu_logreg.rows.block import Rows

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (3, 28, 100, 1000)
ONLY_FLOAT32 = (1, 2001)
"""Widths that only float32 is run with: every width is compiled, and the check is to be short."""

ROW_COUNTS = (1, 33, 1000)
CLASS_SHAPES = ((1, 3), (28, 10), (101, 26), (785, 4))
"""Columns and classes."""

TOOLS = ("memcheck", "racecheck")
FOUND = 9
"""Exit code of the tool where it has found something."""

UNSUPPORTED = ("device not supported", "not supported on this", "unable to find injection library")
REPORTED = r"========= +(Invalid|Misaligned|Error|Race|Potential)"
MARGIN_S = 5.0

Case = tuple[str, str | None]
"""What ran, and what was wrong with it."""


def run(
    widths: Sequence[int] = WIDTHS,
    row_counts: Sequence[int] = ROW_COUNTS,
    storages: Sequence[str] = tuple(STORAGES),
    only_float32: Sequence[int] = ONLY_FLOAT32,
) -> Iterator[Case]:
    """The passes of two classes, with and without weights."""
    cupy = import_cupy()
    for storage in storages:
        for d in (*widths, *(only_float32 if storage == "float32" else ())):
            for n in row_counts:
                data = cut(cupy, filled(cupy, storage, n * d, seed=n), storage, d)
                family, true = chosen(data), true_sums(data)
                if not isinstance(family, Family):
                    continue
                found = {"cuda": Launches(cupy, data, family).sums()}
                if storage == "float32":
                    weights = cupy.asarray(np.ones(n, dtype=np.float32))
                    found["cuda with weights"] = cuda_pass(Rows(data.X, data.y, weights), data.w, data.b)
                if storage in ("float32", "float64"):
                    found["cublas"] = cublas_pass(Rows(data.X, data.y, None), data.w, data.b)
                for name, sums in found.items():
                    # Few rows: sums that cancel.
                    problem = _problem(error_of(sums, true), 10 * LARGEST_ERROR[data.real])
                    yield f"{name}, {n} x {d} {storage}", problem
    cupy.cuda.Device().synchronize()


def run_classes(shapes: Sequence[tuple[int, int]] = CLASS_SHAPES) -> Iterator[Case]:
    """The pass for many classes in every storage that CuPy has, over a few tiles of rows, the last of them ragged."""
    cupy = import_cupy()
    for storage in (name for name in STORAGES if name != "bfloat16"):
        for d, K in shapes:
            rows, W, b = class_rows(cupy, d, K, storage, 333 * d * STORAGES[storage])
            weights = cupy.asarray(np.ones(333, dtype=np.float32)) if storage == "float32" else None
            sums = cuda_multinomial_pass(rows._replace(sample_weight=weights), W, b)
            limit = 10 * LARGEST_ERROR["float64" if storage == "float64" else "float32"]
            yield f"{K} classes, 333 x {d} {storage}", _problem(error_of(sums, true_sums_of_classes(rows, W, b)), limit)


def run_networks() -> Iterator[Case]:
    """The kernels of networks in fits of one epoch, against the reference steps on the host."""
    rng = np.random.default_rng(0)
    for activation, solver in [(a, s) for a in ("tanh", "relu", "logistic") for s in ("adam", "adamw")]:
        X = rng.standard_normal((333, 29)).astype(np.float32)
        y = rng.integers(0, 2, 333)
        options = {"solver": solver, "activation": activation, "batch_size": 100, "random_state": 0}
        coefs = [
            MLPClassifier((33,), device=device, impl=impl, **options).partial_fit(X, y, classes=[0, 1]).coefs_[0]
            for device, impl in (("cuda", "auto"), ("cpu", "reference"))
        ]
        distance = float(np.abs(coefs[0] - coefs[1]).max())
        yield f"network, {activation}, {solver}", _problem(distance, 1e-4)


def _problem(error: float, limit: float) -> str | None:
    return None if error <= limit else f"wrong: an error of {error:.1e}"


def sanitizer() -> str | None:
    """The program, if it is installed."""
    known = Path("/usr/local/cuda/bin/compute-sanitizer")
    return shutil.which("compute-sanitizer") or (str(known) if known.exists() else None)


def run_sanitizers(sizes: Sizes, journal: Journal, budget: Budget) -> None:
    """Both tools side by side; what they find is wrong, that they are not there or do not know the device is not."""
    program = sanitizer()
    if program is None:
        journal.row("sanitizers", "", {"problem": "not measured: compute-sanitizer is not installed"})
        return
    with tempfile.TemporaryDirectory() as folder:
        children = {}
        for tool in TOOLS:
            own = [
                sys.executable,
                str(Path(__file__).resolve()),
                "--tool",
                tool,
                "--folder",
                str(journal.folder.resolve()),
            ]
            own += ["--run", str(journal.run), *(["--tiny"] if sizes.tiny else [])]
            # What CuPy asks of the driver and is refused is no fault of a kernel.
            quiet = ["--report-api-errors", "no"] if tool == "memcheck" else []
            command = [program, "--tool", tool, *quiet, "--error-exitcode", str(FOUND), *own]
            children[tool] = Child(command, budget.left() - MARGIN_S, Path(folder, tool), dict(os.environ), ROOT)
        wait(list(children.values()))
        for tool, child in children.items():
            row = {"tool": tool, "returncode": child.returncode, "seconds": round(child.spent, 1)}
            said = child.tail()
            if any(words in said.lower() for words in UNSUPPORTED):
                row["problem"] = "not measured: compute-sanitizer does not know this device"
            elif child.why:
                row["problem"] = f"not measured: {child.why}; nothing was found until then"
                if re.search(REPORTED, said):
                    row["problem"] = "wrong: it found errors, and was out of time"
            elif child.returncode:
                row["problem"] = f"wrong: it ended with {child.returncode}"
            if row.get("problem"):
                row["said"] = said
            journal.row("sanitizers", tool, row)
            say(said)


def main() -> int:
    parser = argparse.ArgumentParser(description="Small ragged sizes for compute-sanitizer.")
    parser.add_argument("--tool", default="no tool")
    parser.add_argument("--folder", type=Path, help="where every case is noted")
    parser.add_argument("--run", type=int, default=1)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    import gpu.stand_in

    gpu.stand_in.install_if_asked()
    problem = cuda_problem()
    if problem is not None:
        print(f"not run: {problem}")
        return 1
    if not gpu.stand_in.asked():
        import_cupy().cuda.set_allocator(None)  # no pool: every array has bounds of its own
    sizes = Sizes(options.tiny)
    journal = Journal(options.folder, options.run, "sanitizers") if options.folder else None
    wrong, count = [], 0
    for cases in (run(**sizes.sanitized), *([] if options.tiny else [run_classes(), run_networks()])):
        for case, problem in cases:
            count += 1
            wrong += [f"{case}: {problem}"] if problem else []
            if journal:
                row: dict[str, Any] = {"tool": options.tool, "case": case} | ({"problem": problem} if problem else {})
                journal.row("sanitized", f"{options.tool}, {case}", row)
    print("\n".join([*wrong, f"{count} cases, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
