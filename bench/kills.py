"""Fits killed at random moments and begun again: how many of N end in other bits than one that was never killed.

    python bench/kills.py 50 0 --record
    python bench/kills.py 10 1 --cases network streamed-network

Every fit (Newton's method, L1 dense and by columns, L-BFGS of three classes, networks by batches and by reads of all
rows, and rows beyond the memory budget) runs in a process of its own that is sent SIGKILL, several times in a row as a
rule, and then runs to its end from the checkpoint, which is written after every result. A fit whose last kill came
before its first checkpoint begins anew; the summary says how many did not. The processes are forks of one that has
imported what it can, so that a run takes little more than its fit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba  # noqa: F401 - imported once, before the processes that fit are forked
import numpy as np
from record import append
from scipy import sparse

from gpu_logreg import Checkpoint, LogisticRegression, MLPClassifier, Stream

CASES: dict[str, Callable[[], Any]] = {
    "newton": LogisticRegression,
    "lbfgs": lambda: LogisticRegression(solver="lbfgs"),
    "l1": lambda: LogisticRegression(l1_ratio=1.0, C=0.01),
    "columns": lambda: LogisticRegression(l1_ratio=1.0, C=10.0),
    "network": lambda: MLPClassifier((16,), max_iter=6, early_stopping=True),
    "network-by-reads": lambda: MLPClassifier((8,), solver="lbfgs", max_iter=15),
    "streamed-newton": LogisticRegression,
    "streamed-l1": lambda: LogisticRegression(l1_ratio=1.0, C=0.01),
    "streamed-network": lambda: MLPClassifier((8,), max_iter=3),
}
THREE_CLASSES = {"lbfgs", "network", "network-by-reads"}
BUDGET = "64MB"
"""Of the streamed cases, whose rows take 96 MB: no more than one of their blocks stays in memory."""

MOST_KILLS = 4
"""Kills of one fit."""


def main() -> int:
    """Print a line for each fit and a summary; 0 if all bits were equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", type=int, nargs="?", default=50)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--record", action="store_true", help="append a row for each case to bench/results/kills.csv")
    options = parser.parse_args()
    rng, began = np.random.default_rng(options.seed), time.perf_counter()
    rows = {
        case: {"case": case, "seed": options.seed, "fits": 0, "kills": 0, "resumed": 0, "other_bits": 0}
        for case in options.cases
    }
    with tempfile.TemporaryDirectory() as folder:
        known = {case: whole_fit(case, Path(folder)) for case in options.cases}
        fit = 0
        while sum(row["kills"] for row in rows.values()) < options.kills:
            case, path = options.cases[fit % len(options.cases)], Path(folder) / f"{fit}.checkpoint"
            fit, row = fit + 1, rows[case]
            kills, size, digest = killed_fit(case, path, known[case][1], rng)
            row["fits"], row["kills"] = row["fits"] + 1, row["kills"] + kills
            row["resumed"] += size > 0
            row["other_bits"] += digest != known[case][0]
            same = "same bits" if digest == known[case][0] else "OTHER BITS"
            print(f"{case:16} {kills} kills, {size:9,} bytes kept, {same}", flush=True)
    kills, resumed, wrong = (sum(row[name] for row in rows.values()) for name in ("kills", "resumed", "other_bits"))
    seconds = time.perf_counter() - began
    print(
        f"{kills} kills of {fit} fits in {seconds:.0f} s, {resumed} went on from a checkpoint, {wrong} with other bits"
    )
    if options.record:
        append("kills", [row | {"fit_seconds": round(known[case][1], 2)} for case, row in rows.items()])
    return int(bool(wrong))


def whole_fit(case: str, folder: Path) -> tuple[str, float]:
    """The digest and the seconds of a fit that is not killed. A first one compiles."""
    run(case, folder / f"{case}.first", None)
    return run(case, folder / f"{case}.whole", None)


def killed_fit(case: str, path: Path, seconds: float, rng: np.random.Generator) -> tuple[int, int, str]:
    """How often a fit was killed, the bytes of the checkpoint then, and the digest of its end."""
    for kills in range(int(rng.integers(1, MOST_KILLS + 1))):
        digest, _ = run(case, path, float(rng.uniform(0.0, seconds)))
        if digest:  # it had ended before
            return kills, 0, digest
    size = path.stat().st_size if path.exists() else 0
    return kills + 1, size, run(case, path, None)[0]


def run(case: str, path: Path, kill_after: float | None) -> tuple[str, float]:
    """The digest of the end of a fit in a process of its own, and its seconds; no digest where it was killed."""
    to_parent, of_child = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(to_parent)
            with open(of_child, "w") as pipe:
                fit_once(case, path, pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(of_child)
    with open(to_parent) as pipe:
        pipe.readline()  # the fit begins
        start = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        digest = pipe.readline().strip()
        seconds = time.perf_counter() - start
    _, status = os.waitpid(child, 0)
    if status != 0 and not (kill_after is not None and os.WIFSIGNALED(status)):
        raise SystemExit(f"{case}: the fit failed")
    return digest, seconds


def rows_of(case: str, folder: Path) -> tuple[Any, Any]:
    """What is fitted: arrays, or a stream of a file in the folder."""
    rng = np.random.default_rng(0)
    if case == "columns":
        X = sparse.random_array((20_000, 5_000), density=0.005, format="csr", rng=rng)
        score = np.asarray(X[:, :200].sum(axis=1)).ravel()
        return X, score + 0.5 * rng.standard_normal(len(score)) > np.median(score)
    n = 600_000 if case.startswith("streamed") else 200_000
    X = rng.standard_normal((n, 40), dtype=np.float32)
    score = X[:, :8].sum(axis=1) + rng.logistic(size=len(X))
    y = np.digitize(score, [-1.0, 1.0]) if case in THREE_CLASSES else score > 0
    if not case.startswith("streamed"):
        return X, y
    if not (folder / "rows.npy").exists():
        np.save(folder / "rows.npy", X)
    return Stream(folder / "rows.npy", y, memory_budget=BUDGET), None


def fit_once(case: str, path: Path, out: Any) -> None:
    """Fit in this process, and write a line before and the digest of the result after."""
    warnings.simplefilter("ignore")
    model, (X, y) = CASES[case](), rows_of(case, path.parent)
    CASES[case]().set_params(max_iter=1).fit(X, y)  # loads compiled code, so that most kills fall into the work
    print("fit", file=out, flush=True)
    model.fit(X, y, checkpoint=Checkpoint(path, every=0))
    if hasattr(model, "coef_"):
        left = [model.coef_, model.intercept_, np.array([model.objective_, model.n_reads_]), model.n_iter_]
    else:
        left = [*model.coefs_, *model.intercepts_, np.array(model.loss_curve_)]
    print(hashlib.sha256(b"".join(array.tobytes() for array in left)).hexdigest(), file=out, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
