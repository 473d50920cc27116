"""One pass over the rows against a plain threaded sum over ``X`` and against the reference pass: ratios of one run.

Run with ``make bench``, or ``pytest -s bench/bench_pass.py``. The ratios compare best times: both passes and the sum
read the same memory in the same process, and the best time is the one other programs disturbed least. Each ratio of a
pass to the sum is shown beside that of the last row that was kept of the same processor: a regression shows there.
"""

from __future__ import annotations

import numpy as np
import pytest
from harness.history import beside_last
from record import RESULTS, append, environment

from gpu_logreg.arrays.blocks import n_threads
from gpu_logreg.command.benchmark.plain_read import plain_sum
from gpu_logreg.passes.cpu.dense import cpu_pass
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows

PROBLEMS = [
    (n, d, dtype) for dtype in ("float32", "float64") for n, d in ((1_000_000, 28), (1_000_000, 100), (200_000, 500))
]
SAME = ("processor", "n", "d", "dtype", "threads")
TIMES: dict[tuple[int, int, str], dict[str, float]] = {}


@pytest.fixture(scope="module", params=PROBLEMS, ids=lambda p: f"{p[0]}x{p[1]}-{p[2]}")
def problem(request):
    n, d, dtype = request.param
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=dtype)
    w = rng.standard_normal(d) / np.sqrt(d)
    y = (X @ w > rng.logistic(size=n)).astype(np.uint8)
    return request.param, Rows(X, y, None), w


@pytest.mark.parametrize("what", ["sum", "cpu", "reference"])
def test_pass(benchmark, problem, what):
    key, rows, w = problem
    call = {
        "sum": lambda: plain_sum(rows.X),
        "cpu": lambda: cpu_pass(rows, w, 0.1),
        "reference": lambda: reference_pass(rows, w, 0.1),
    }[what]
    benchmark.group = f"{key[0]} x {key[1]} {key[2]}"
    benchmark.pedantic(call, rounds=15 if what == "reference" else 40, warmup_rounds=2)
    TIMES.setdefault(key, {})[what] = benchmark.stats.stats.min


def test_ratios_are_printed():
    rows = []
    heads = "sum ms   cpu ms  reference ms   cpu / sum   reference / cpu   change of cpu / sum"
    print(f"\n\n{'problem':28}{heads}")
    for (n, d, dtype), best in TIMES.items():
        to_sum, to_reference = best["cpu"] / best["sum"], best["reference"] / best["cpu"]
        rows.append(
            {
                "n": n,
                "d": d,
                "dtype": dtype,
                "threads": n_threads(),
                "sum_ms": round(best["sum"] * 1e3, 2),
                "cpu_ms": round(best["cpu"] * 1e3, 2),
                "reference_ms": round(best["reference"] * 1e3, 2),
                "cpu_per_sum": round(to_sum, 3),
                "reference_per_cpu": round(to_reference, 2),
            }
        )
        change = beside_last(RESULTS / "pass.csv", environment() | rows[-1], SAME, "cpu_per_sum")
        print(
            f"{n:>9,} x {d:<4} {dtype:<8} {best['sum'] * 1e3:8.1f} {best['cpu'] * 1e3:8.1f} "
            f"{best['reference'] * 1e3:13.1f} {to_sum:11.2f} {to_reference:17.2f}   {change}"
        )
    if rows:
        print("kept in", append("pass", rows).name)
