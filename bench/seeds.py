"""How far the sample moves the result: coefficients of ten seeds, at the default tolerance.

Run with ``python bench/seeds.py [--record]``. The figure is the largest distance between two of the ten coefficient
vectors, relative to the length of one. The project's own goal is 1e-5.
"""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
import problems
from record import append

from gpu_logreg import LogisticRegression

SIZES = [(1_000_000, 100), (4_000_000, 28), (200_000, 500), (100_000, 1000)]
SEEDS = range(10)


def main() -> None:
    rows = []
    for n, d in SIZES:
        _, X, y = problems.gaussian(n, d)
        coefs = [LogisticRegression(random_state=seed).fit(X, y).coef_[0] for seed in SEEDS]
        distance = max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in combinations(coefs, 2))
        print(f"{n:>9,} x {d:<5} largest distance of ten seeds {distance:.1e}", flush=True)
        rows.append({"problem": "gaussian", "n": n, "d": d, "seeds": len(SEEDS), "largest_distance": f"{distance:.1e}"})
    if "--record" in sys.argv:
        print("kept in", append("seeds", rows).name)


if __name__ == "__main__":
    main()
