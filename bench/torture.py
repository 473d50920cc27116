"""Reads that the default solver takes on hard data, to a relative suboptimality of 1e-10.

Run with ``python bench/torture.py``. Every case is fitted with three seeds of the sample; the worst is shown. The
limits are the project's own goals.
"""

from __future__ import annotations

import sys
import warnings

import problems
from record import append

from gpu_logreg import LogisticRegression

LIMITS = {
    "Gaussian": 8,
    "sorted by label": 8,
    "collinear columns": 8,
    "means of 1,000": 8,
    "scales 1e-6 to 1e6": 8,
    "positives 0.06 %": 10,
    "near-separable": 12,
    "separable": 15,
    "heavy tails": 15,
    "one-hot, 3 x 20 Zipf": 15,
    "one-hot, 60 Zipf": 15,
    "rare columns, 10 hits": 20,
}
TOL = 1e-7
GOAL = 1e-10


def main() -> None:
    rows = []
    print(f"{'case':24}{'reads':>8}{'limit':>7}{'suboptimality':>15}{'warnings':>10}")
    for name, X, y in problems.torture():
        reads, gap, warned, least = 0.0, -1.0, 0, None
        for seed in range(3):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model = LogisticRegression(tol=TOL, random_state=seed).fit(X, y)
            w, b = model.coef_[0], float(model.intercept_[0])
            if least is None:
                least = problems.minimum(X, y, w, b)
            reads = max(reads, model.n_reads_)
            gap = max(gap, problems.value(X, y, w, b) / least - 1.0)
            warned += len(caught)
        met = "" if reads <= LIMITS[name] and gap <= GOAL and not warned else "   NOT MET"
        print(f"{name:24}{reads:8.1f}{LIMITS[name]:7d}{gap:15.1e}{warned:10d}{met}", flush=True)
        rows.append(
            {
                "case": name,
                "n": X.shape[0],
                "d": X.shape[1],
                "worst_reads": round(reads, 2),
                "limit": LIMITS[name],
                "worst_suboptimality": f"{gap:.1e}",
                "warnings": warned,
            }
        )
    if "--record" in sys.argv:
        print("kept in", append("torture", rows).name)


if __name__ == "__main__":
    main()
