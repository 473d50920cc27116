"""Time of `summary` beside that of the fit, and beside statsmodels: ratios of one run.

Run with ``python bench/bench_summary.py [--record] [--rows N] [--columns D] [--float32]``, by default 1,000,000 rows of
100 columns in float64; rows in float32 are shown and not kept. The fit and the summaries are timed in turns, and the
least of three is taken. statsmodels' `Logit`, where it is installed, is timed once for fit and covariance together, as
it has no other way, with Newton's method.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from record import append

from gpu_logreg import LogisticRegression

KINDS = ("nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster")
TIMES = 3


def asked(name: str, default: int) -> int:
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


def statsmodels(X: np.ndarray, y: np.ndarray, kind: str, groups: np.ndarray) -> Any:
    """The fit of its `Logit` with a covariance; it knows HC0 alone of the robust ones of rows."""
    import statsmodels.api as sm

    how: dict[str, Any] = {"cov_type": "HC0"} if kind.startswith("HC") else {}
    if kind == "cluster":
        how = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    return sm.Logit(y, np.column_stack([X, np.ones(len(X))])).fit(disp=0, method="newton", **how)


def main() -> None:
    n, d = asked("--rows", 1_000_000), asked("--columns", 100)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32 if "--float32" in sys.argv else np.float64, copy=False)
    w = rng.standard_normal(d) / np.sqrt(d)
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-(X @ w)))).astype(int)
    groups = rng.integers(0, n // 100, n)
    model = LogisticRegression(C=np.inf)
    model.fit(X[:1000], y[:1000]).summary(X[:1000], y[:1000])  # loads what the timed calls need
    fits: list[float] = []
    summaries: dict[str, list[float]] = {kind: [] for kind in KINDS}
    found: dict[str, Any] = {}
    for _ in range(TIMES):
        took, _ = seconds(lambda: model.fit(X, y))
        fits.append(took)
        for kind in KINDS:
            of_groups = groups if kind == "cluster" else None
            took, found[kind] = seconds(lambda k=kind, g=of_groups: model.summary(X, y, covariance=k, groups=g))
            summaries[kind].append(took)
    fit, rows = min(fits), []
    print(f"{n:,} x {d}, fit {fit:.3f} s in {model.n_reads_:.1f} reads")
    print(f"{'covariance':12}{'seconds':>9}{'per fit':>9}{'statsmodels, s':>16}{'per fit and summary':>21}{'error':>9}")
    for kind in KINDS:
        took, theirs, error = min(summaries[kind]), float("nan"), float("nan")
        if importlib.util.find_spec("statsmodels") and kind in ("nonrobust", "HC0", "cluster"):
            theirs, result = seconds(lambda k=kind: statsmodels(X, y, k, groups))
            error = float(np.abs(found[kind].standard_errors / np.asarray(result.bse) - 1.0).max())
        line = f"{kind:12}{took:9.3f}{took / fit:9.2f}{theirs:16.1f}{theirs / (fit + took):21.1f}{error:9.1e}"
        print(line, flush=True)
        rows.append(
            {
                "n": n,
                "d": d,
                "covariance": kind,
                "fit_seconds": round(fit, 4),
                "seconds": round(took, 4),
                "per_fit": round(took / fit, 2),
                "n_reads_of_fit": round(float(model.n_reads_), 2),
                "statsmodels_seconds": round(theirs, 2),
                "statsmodels_per_fit_and_summary": round(theirs / (fit + took), 1),
                "largest_relative_difference": f"{error:.1e}",
            }
        )
    if "--record" in sys.argv and "--float32" not in sys.argv:
        print("kept in", append("summary", rows).name)


if __name__ == "__main__":
    main()
