"""Two checkouts, this one and another revision: passes and a few fits, in turns; ratios of one run.

Run with ``make bench-compare BASE=rev``, or ``python bench/compare.py REV [--margin 0.08] [--rounds 25]``.
The revision is checked out into a folder of its own, which is removed again. Each checkout has a process; in every
round both are asked for every case, the one that begins changes from round to round, and a ratio is that of the two
times of a round. Both use the public functions alone, so that their insides may differ. A case is slower, and the exit
code 1, where all of this holds: the median of its ratios is above 1 + margin, so is the ratio of the best times, and
were both equally fast, so many ratios above 1 would have a chance of less than one in a thousand. Fewer than ten rounds
can therefore not find anything slower.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
LEAST_ROUNDS = 10
CHANCE = 1e-3


def cases() -> dict[str, Callable[[], Any]]:
    """Calls of public functions by name; rows are drawn where the case is made."""
    import problems
    from harness import generated

    from gpu_logreg import LogisticRegression, loss_and_gradient

    def one_pass(X: Any, y: np.ndarray) -> Callable[[], Any]:
        return lambda: loss_and_gradient(X, y, np.zeros(X.shape[1]), 0.1)

    def fit(X: Any, y: np.ndarray, **parameters: Any) -> Callable[[], Any]:
        return lambda: LogisticRegression(random_state=0, device="cpu", **parameters).fit(X, y)

    narrow, wide = problems.gaussian(300_000, 28), problems.gaussian(40_000, 500, "float64")
    table, small = problems.table_like(60_000, 60, "float64"), problems.breast_cancer()
    classes, flights = generated.many_classes(40_000, 60, 10), generated.airline_like(100_000)
    return {
        "pass, 300,000 x 28 float32": one_pass(narrow.X, narrow.y),
        "pass, 40,000 x 500 float64": one_pass(wide.X, wide.y),
        "pass, sparse rows": one_pass(*flights),
        "fit, breast cancer": fit(small.X, small.y),
        "fit, 60,000 x 60": fit(table.X, table.y),
        "fit, 60,000 x 60, L1": fit(table.X, table.y, l1_ratio=1.0, C=0.01),
        "fit, ten classes": fit(*classes),
        "fit, sparse rows": fit(*flights),
    }


def serve() -> None:
    """Answer the number of a case with the seconds that it took."""
    import gpu_logreg

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    made = cases()
    for call in made.values():
        call()  # compiled or loaded
    answers.write(json.dumps({"file": gpu_logreg.__file__, "cases": list(made)}) + "\n")
    calls = list(made.values())
    for line in sys.stdin:
        begin = time.perf_counter()
        calls[int(line)]()
        answers.write(json.dumps(time.perf_counter() - begin) + "\n")


class Checkout:
    """A process that imports the package of one folder, and the cases of this file."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
            start_new_session=True,  # Ctrl-C ends the rounds, not what is to be reported
        )

    def hello(self, folder: Path) -> list[str]:
        """Names of the cases, after all were called once."""
        said = self._read()
        if not Path(said["file"]).is_relative_to(folder.resolve()):
            raise SystemExit(f"{said['file']} was imported, not the package in {folder}")
        return list(said["cases"])

    def seconds(self, case: int) -> float:
        """Of one call of a case."""
        self._process.stdin.write(f"{case}\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> Any:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit("a process ended; its message stands above")
        return json.loads(line)


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """A checkout of a revision in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="gpu-logreg-base-") as parent:
        folder = Path(parent) / "base"
        added = subprocess.run(
            ["git", "worktree", "add", "--detach", str(folder), revision], cwd=ROOT, capture_output=True, text=True
        )
        if added.returncode:
            raise SystemExit(f"{revision} cannot be checked out: {added.stderr.strip().splitlines()[-1]}")
        try:
            yield folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, check=False)


def measured(base: Checkout, head: Checkout, n_cases: int, rounds: int, seconds: float) -> list[Any]:
    """Of every case the seconds of base and head, one pair a round; Ctrl-C ends the rounds."""
    pairs: list[list[tuple[float, float]]] = [[] for _ in range(n_cases)]
    end = time.monotonic() + seconds
    try:
        for k in range(rounds):
            if k >= LEAST_ROUNDS and time.monotonic() > end:
                break
            for case in range(n_cases):
                times = {}
                for checkout in (base, head) if k % 2 else (head, base):
                    times[checkout] = checkout.seconds(case)
                pairs[case].append((times[base], times[head]))
    except KeyboardInterrupt:
        print("interrupted: what was measured follows")
    return pairs


def slower(pairs: list[tuple[float, float]], margin: float) -> bool:
    """Whether median and best time are above the margin, and chance does not explain it."""
    base, head = np.array(pairs).T
    n, above = len(pairs), int((head > base).sum())
    chance = sum(math.comb(n, k) for k in range(above, n + 1)) / 2.0**n
    return bool(min(np.median(head / base), head.min() / base.min()) > 1.0 + margin and chance < CHANCE)


def report(names: list[str], pairs: list[list[tuple[float, float]]], margin: float) -> int:
    """Print the ratios; the exit code."""
    print(f"{'time here over time there':32}{'median':>8}{'quartiles':>16}{'best':>8}{'rounds':>8}")
    failed = []
    for name, of_case in zip(names, pairs, strict=True):
        if not of_case:
            continue
        base, head = np.array(of_case).T
        low, median, high = np.percentile(head / base, [25, 50, 75])
        if slower(of_case, margin):
            failed.append(name)
        mark = "   slower" if name in failed else ""
        best = head.min() / base.min()
        print(f"{name:32}{median:8.3f}{f'{low:.3f} to {high:.3f}':>16}{best:8.3f}{len(of_case):8d}{mark}")
    if failed:
        print(f"slower by more than {margin:.0%}: {'; '.join(failed)}")
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="a revision that git knows")
    parser.add_argument("--margin", type=float, default=0.08, help="share by which a case may be slower")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=240.0, help="after which no further round begins")
    options = parser.parse_args(arguments)
    with worktree(options.base) as folder:
        base, head = Checkout(folder), Checkout(ROOT)
        try:
            names = base.hello(folder)
            head.hello(ROOT)
            pairs = measured(base, head, len(names), options.rounds, options.seconds)
        finally:
            base.close()
            head.close()
    return report(names, pairs, options.margin)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        sys.exit(main(sys.argv[1:]))
