"""Passes by width and storage, and fits that grow in rows and in columns: the rows of two pictures.

Run with ``python bench/bench_machine.py [--record] [--seconds S]``. The passes are those of ``gpu-logreg bench``: the
share of the rate of a plain read that each engine reaches. The fits are of independent normal columns, each library
to within 1e-8 of the minimum as in ``bench_fit.py``.
"""

from __future__ import annotations

import argparse
import os
import warnings
from typing import Any

import problems
from bench_fit import measure
from record import append

from gpu_logreg.arrays.blocks import n_threads
from gpu_logreg.arrays.device import Device
from gpu_logreg.command.benchmark.measurements import LeftOut
from gpu_logreg.command.benchmark.passes import pass_times
from gpu_logreg.command.benchmark.timing import Deadline

SHAPES = (
    *((n, 50) for n in (1_000, 10_000, 100_000, 1_000_000, 4_000_000)),
    *((50_000, d) for d in (10, 30, 100, 300, 1000)),
)


def busy() -> dict[str, Any]:
    """Threads of a fit, and what the machine is busy with."""
    return {"threads": n_threads(), "load": round(os.getloadavg()[0], 1)}


def passes(seconds: float) -> list[dict[str, Any]]:
    """One row for each engine, width and storage."""
    rows = []
    for item in pass_times(Device("cpu"), Deadline(seconds)):
        if isinstance(item, LeftOut):
            print(f"left out: {item}")
            continue
        for engine, share in item.shares.items():
            print(f"{item.storage:16}{item.d:7}{engine:12}{share.median:8.2f}", flush=True)
            rows.append(
                {
                    "device": item.device,
                    "storage": item.storage,
                    "n": item.n,
                    "d": item.d,
                    "engine": engine,
                    "share": round(share.median, 3),
                    "low": round(share.low, 3),
                    "high": round(share.high, 3),
                    "rounds": share.n,
                    **busy(),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="append to bench/results/shares.csv and scaling.csv")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the passes")
    parser.add_argument("--most-rows", type=int, default=4_000_000, help="fits of more rows are left out")
    options = parser.parse_args()
    found = passes(options.seconds)
    if options.record and found:
        append("shares", found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers that do not converge say so; the table shows it
        for n, d in SHAPES:
            if n <= options.most_rows:
                rows = measure(problems.gaussian(n, d))
                if options.record:
                    append("scaling", [row | busy() for row in rows])


if __name__ == "__main__":
    main()
