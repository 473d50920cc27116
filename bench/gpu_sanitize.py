"""The passes over small ragged sizes on a device, against float64: what ``compute-sanitizer`` is run on.

Run with ``PYTHONPATH=. compute-sanitizer --tool memcheck python3 bench/gpu_sanitize.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from gpu_data import cut, filled, true_sums
from gpu_launch import LARGEST_ERROR, Launches, chosen, error_of
from gpu_multinomial import class_rows
from gpu_multinomial import true_sums as true_sums_of_classes

from gpu_logreg import MLPClassifier
from gpu_logreg.backend import cuda_problem, import_cupy
from gpu_logreg.passes import Rows
from gpu_logreg.passes.cublas import cublas_pass
from gpu_logreg.passes.cuda import cuda_pass
from gpu_logreg.passes.cuda_multinomial import cuda_multinomial_pass
from gpu_logreg.passes.family import STORAGES, Family

WIDTHS = (3, 28, 100, 1000)
ONLY_FLOAT32 = (1, 2001)
"""Widths that only float32 is run with: every width is compiled, and the check is to be short."""

ROW_COUNTS = (1, 33, 1000)


def run(widths: tuple[int, ...] = WIDTHS, row_counts: tuple[int, ...] = ROW_COUNTS) -> tuple[int, list[str]]:
    """How many cases ran, and what was wrong with any."""
    cupy = import_cupy()
    cases, wrong = 0, []
    for storage in STORAGES:
        for d in (*widths, *(ONLY_FLOAT32 if storage == "float32" else ())):
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
                    cases += 1
                    error = error_of(sums, true)
                    if not error <= 10 * LARGEST_ERROR[data.real]:  # few rows: sums that cancel
                        wrong.append(f"{name}, {n} x {d} {storage}: relative error {error:.1e}")
    cupy.cuda.Device().synchronize()
    return cases, wrong


CLASS_SHAPES = ((1, 3), (28, 10), (101, 26), (785, 4))
"""Columns and classes."""


def run_classes(shapes: tuple[tuple[int, int], ...] = CLASS_SHAPES) -> tuple[int, list[str]]:
    """The pass for many classes in every storage that CuPy has, over a few tiles of rows, the last of them ragged."""
    cupy = import_cupy()
    cases, wrong = 0, []
    for storage in (name for name in STORAGES if name != "bfloat16"):
        for d, K in shapes:
            rows, W, b = class_rows(cupy, d, K, storage, 333 * d * STORAGES[storage])
            weights = cupy.asarray(np.ones(333, dtype=np.float32)) if storage == "float32" else None
            sums = cuda_multinomial_pass(rows._replace(sample_weight=weights), W, b)
            error = error_of(sums, true_sums_of_classes(rows, W, b))
            cases += 1
            if not error <= 10 * LARGEST_ERROR["float64" if storage == "float64" else "float32"]:
                wrong.append(f"{K} classes, 333 x {d} {storage}: relative error {error:.1e}")
    return cases, wrong


def run_networks() -> tuple[int, list[str]]:
    """The kernels of networks in fits of one epoch, against the reference steps on the host."""
    rng = np.random.default_rng(0)
    wrong: list[str] = []
    cases = [(activation, solver) for activation in ("tanh", "relu", "logistic") for solver in ("adam", "adamw")]
    for activation, solver in cases:
        X = rng.standard_normal((333, 29)).astype(np.float32)
        y = rng.integers(0, 2, 333)
        options = {"solver": solver, "activation": activation, "batch_size": 100, "random_state": 0}
        coefs = [
            MLPClassifier((33,), device=device, **options).partial_fit(X, y, classes=[0, 1]).coefs_[0]
            for device in ("cuda", "cpu")
        ]
        distance = float(np.abs(coefs[0] - coefs[1]).max())
        if not distance <= 1e-4:
            wrong.append(f"network, {activation}, {solver}: weights differ by {distance:.1e}")
    return len(cases), wrong


def main() -> int:
    problem = cuda_problem()
    if problem is not None:
        print(f"not run: {problem}")
        return 1
    import_cupy().cuda.set_allocator(None)  # no pool: every array has bounds of its own
    cases, wrong = run()
    for more in (run_classes, run_networks):
        more_cases, more_wrong = more()
        cases, wrong = cases + more_cases, wrong + more_wrong
    print("\n".join([*wrong, f"{cases} cases, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
