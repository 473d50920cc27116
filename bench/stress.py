"""N random problems, each judged by an independent certificate in long double.

Run with ``python bench/stress.py N SEED``; ``python bench/stress.py --only S [S ...]`` runs single problems again and
tells more of them. A line for every fault with the seed of its problem, a table at the end, and exit code 1 if
anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from stress_judge import Verdict, judge
from stress_problems import draw

from gpu_logreg import LogisticRegression
from gpu_logreg.errors import GpuLogregError

PER_RUN = 100_000
"""Problem i of the run of seed S has the seed ``S * PER_RUN + i``."""


def run(seeds: list[int], aloud: bool = False) -> list[Verdict]:
    """Judge the problems of these seeds, and print what is wrong as it is found."""
    verdicts = []
    for number, seed in enumerate(seeds, 1):
        begun = time.perf_counter()
        verdict = judge(draw(seed), LogisticRegression, GpuLogregError)
        verdicts.append(verdict)
        undecided = [(kind, told) for kind, told in verdict.notes if aloud or kind == "undecided"]
        for kind, told in verdict.faults + undecided:
            print(f"{verdict.seed}  {kind}: {told}\n            {verdict.text}", flush=True)
        if aloud:
            took = time.perf_counter() - begun
            wrong = "wrong" if verdict.faults else "right"
            print(f"{verdict.seed}  {wrong}; excess {verdict.excess:.1e}; fit {verdict.seconds:.3f} s of {took:.2f} s")
            if not verdict.faults:
                print(f"            {verdict.text}")
        elif number % 100 == 0:
            print(f"... {number} of {len(seeds)}", file=sys.stderr, flush=True)
    return verdicts


def summary(verdicts: list[Verdict], seconds: float) -> str:
    """The closing table."""
    faults = Counter(kind for verdict in verdicts for kind in {kind for kind, _ in verdict.faults})
    notes = Counter(kind for verdict in verdicts for kind in {kind for kind, _ in verdict.notes})
    wrong = sum(bool(verdict.faults) for verdict in verdicts)
    lines = [f"{len(verdicts)} problems in {seconds:.0f} s: {wrong} wrong"]
    lines += [f"  {count:6d}  {kind}" for kind, count in faults.most_common()]
    lines += [f"  {count:6d}  {kind} (no fault)" for kind, count in notes.most_common()]
    quiet = [verdict for verdict in verdicts if not verdict.notes and verdict.excess == verdict.excess]
    if quiet:
        worst = max(quiet, key=lambda verdict: verdict.excess)
        lines.append(f"largest excess of a fit that converged {worst.excess:.1e} (seed {worst.seed})")
    longest = max(verdicts, key=lambda verdict: verdict.seconds)
    lines.append(f"longest fit {longest.seconds:.2f} s (seed {longest.seed})")
    timed = [verdict for verdict in verdicts if verdict.ratio == verdict.ratio]
    if timed:
        slowest = max(timed, key=lambda verdict: verdict.ratio)
        lines.append(f"slowest against scikit-learn {slowest.ratio:.1f} times its time (seed {slowest.seed})")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("n", type=int, nargs="?", default=1000, help="number of problems")
    parser.add_argument("seed", type=int, nargs="?", default=0, help="seed of the run")
    parser.add_argument("--only", type=int, nargs="+", metavar="S", help="seeds of single problems to run again")
    options = parser.parse_args()
    seeds = options.only or [options.seed * PER_RUN + i for i in range(options.n)]
    begun = time.perf_counter()
    verdicts = run(seeds, aloud=bool(options.only))
    print(summary(verdicts, time.perf_counter() - begun))
    return int(any(verdict.faults for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
