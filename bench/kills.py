"""Fits killed at random moments and begun again: how many of N end in other bits than one that was never killed.

``python bench/kills.py 50 0`` takes about five minutes on two cores. Every fit (Newton's method, L1 dense and by
columns, L-BFGS of three classes, a network) runs in a process of its own that is sent SIGKILL, several times in a row
as a rule, and then runs to its end from the checkpoint, which is written after every result.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

CASES = ("newton", "lbfgs", "l1", "columns", "network")
MOST_KILLS = 4
"""Kills of one fit."""


def main(n: int, seed: int) -> int:
    """Print a line for each fit and a summary; 0 if all bits were equal."""
    rng = np.random.default_rng(seed)
    known: dict[str, tuple[str, float]] = {}
    kills = wrong = missed = 0
    with tempfile.TemporaryDirectory() as folder:
        fit = 0
        while kills < n:
            case, path = CASES[fit % len(CASES)], Path(folder) / f"{fit}.checkpoint"
            fit += 1
            if case not in known:
                run(case, Path(folder) / f"{case}.first", None)  # compiles
                known[case] = run(case, Path(folder) / f"{case}.whole", None)
            digest, seconds = known[case]
            of_this = 0
            for _ in range(int(rng.integers(1, MOST_KILLS + 1))):
                if run(case, path, float(rng.uniform(0.0, seconds)))[0]:
                    missed += 1  # it had ended before
                    break
                of_this += 1
            size = path.stat().st_size if path.exists() else 0
            found, _ = run(case, path, None)
            kills += of_this
            wrong += found != digest
            same = "same bits" if found == digest else "OTHER BITS"
            print(f"{case:8} {of_this} kills, {size:9,} bytes kept, {same}", flush=True)
    print(f"{kills} kills of {fit} fits, {wrong} with other bits; {missed} fits had ended before they were killed")
    return int(bool(wrong))


def run(case: str, path: Path, kill_after: float | None) -> tuple[str, float]:
    """The digest of a fit's end and its seconds; an empty digest where it was killed."""
    command = [sys.executable, __file__, "--fit", case, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the fit begins
        start = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        digest = process.stdout.readline().strip()
        seconds = time.perf_counter() - start
        if kill_after is None and (process.wait() != 0 or not digest):
            raise SystemExit(f"{case}: the fit failed")
    return digest, seconds


def fit_once(case: str, path: Path) -> None:
    """Fit in this process, and print a line before and the digest of the result after."""
    from scipy import sparse

    from gpu_logreg import Checkpoint, LogisticRegression, MLPClassifier

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200_000, 40), dtype=np.float32)
    score = X[:, :8].sum(axis=1) + rng.logistic(size=len(X))
    y: Any = score > 0
    model: Any = {
        "newton": LogisticRegression(),
        "lbfgs": LogisticRegression(solver="lbfgs"),
        "l1": LogisticRegression(l1_ratio=1.0, C=0.01),
        "columns": LogisticRegression(l1_ratio=1.0, C=10.0),
        "network": MLPClassifier((16,), max_iter=6, early_stopping=True),
    }[case]
    if case in ("lbfgs", "network"):
        y = np.digitize(score, [-1.0, 1.0])
    if case == "columns":
        X = sparse.random_array((20_000, 5_000), density=0.005, format="csr", rng=rng)
        score = np.asarray(X[:, :200].sum(axis=1)).ravel()
        y = score + 0.5 * rng.standard_normal(len(score)) > np.median(score)
    print("fit", flush=True)
    model.fit(X, y, checkpoint=Checkpoint(path, every=0))
    if hasattr(model, "coef_"):
        left = [model.coef_, model.intercept_, np.array([model.objective_, model.n_reads_]), model.n_iter_]
    else:
        left = [*model.coefs_, *model.intercepts_, np.array(model.loss_curve_)]
    print(hashlib.sha256(b"".join(array.tobytes() for array in left)).hexdigest(), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fit"]:
        fit_once(sys.argv[2], Path(sys.argv[3]))
    else:
        raise SystemExit(main(*map(int, sys.argv[1:] or ["50", "0"])))
