"""The road of a fit through the package: Python calls of a warm fit, and how often they go to another file.

A small fit is made of the interpreter's steps, so that calls are its time, and a reader who follows one value goes the
same way. Only calls of functions of the package are counted, by `sys.setprofile`. It sees the calling thread alone,
which takes as much of the work as other threads leave it: so there is one thread, and every run counts the same.

    python bench/calls.py              # a table of all kinds of fits
    python bench/calls.py --most 20 dense   # and the functions that one kind calls most
"""

from __future__ import annotations

import argparse
import collections
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import gpu_logreg
from gpu_logreg import LogisticRegression
from gpu_logreg.arrays import thread_limit

N, D, K = 3000, 20, 4
LIMITS = {"dense": (700, 400), "classes": (1050, 540), "sparse": (660, 420), "l1": (700, 440), "columns": (1950, 1230)}
"""Calls and changes of file that a fit of each kind may take: less than half of what they were in early 2026-11; for
L1 by columns 1950 and 1230, after 2512 and 1617."""


def fits() -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """Rows, labels and parameters of each kind of fit."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    Z = X @ rng.standard_normal((D, K))
    two, many = Z[:, 0] + rng.logistic(size=N) > 0, (Z + rng.gumbel(size=(N, K))).argmax(axis=1)
    text = sparse.random_array((N, 2 * N), density=0.005, rng=rng, format="csr")
    score = text[:, :50].sum(axis=1) + 0.2 * rng.standard_normal(N)
    return {
        "dense": (X, two, {}),
        "classes": (X, many, {}),
        "sparse": (sparse.csr_array(np.where(abs(X) > 1, X, 0.0)), two, {}),
        "l1": (X, two, {"l1_ratio": 1.0, "C": 0.1}),
        "columns": (text, score > np.median(score), {"l1_ratio": 1.0, "C": 10.0}),
    }


def road(X: Any, y: Any, parameters: dict[str, Any]) -> tuple[collections.Counter[str], int]:
    """Calls of each function in a warm fit, and changes of file."""
    thread_limit.OMP_NUM_THREADS = "1"
    package = str(Path(gpu_logreg.__file__).parent)
    calls: collections.Counter[str] = collections.Counter()
    last, changes = "", 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal last, changes
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(package):
            calls[f"{file[len(package) + 1 :]} {frame.f_code.co_qualname}"] += 1
            changes += file != last
            last = file

    for _ in range(2):
        LogisticRegression(impl="cpu", **parameters).fit(X, y)
    model = LogisticRegression(impl="cpu", **parameters)
    sys.setprofile(count)
    try:
        model.fit(X, y)
    finally:
        sys.setprofile(None)
    return calls, changes


def main() -> int:
    """Print the table; 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", choices=[[], *LIMITS], help="kinds of fits; all if none is given")
    parser.add_argument("--most", type=int, default=0, metavar="N", help="show the N functions that are called most")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'fit':>8} {'calls':>6} {'at most':>8} {'changes of file':>16} {'at most':>8}")
    over = False
    for kind, fit in fits().items():
        if options.kinds and kind not in options.kinds:
            continue
        calls, changes = road(*fit)
        total, (most_calls, most_changes) = sum(calls.values()), LIMITS[kind]
        over |= total > most_calls or changes > most_changes
        print(f"{kind:>8} {total:>6} {most_calls:>8} {changes:>16} {most_changes:>8}")
        for name, count in calls.most_common(options.most):
            print(f"{count:>15} {name}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
