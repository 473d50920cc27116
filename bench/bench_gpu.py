"""The GPU measured: the ceiling, the pass and its peers, fits, networks, the first fit, the crossover from the CPU.

Run with ``PYTHONPATH=. python3 bench/bench_gpu.py [--quick] [--budget SECONDS] [--json PATH]``. A section that fails
or finds no time says so in the results; the others go on. Progress goes to the standard error, the tables to the
standard output, and everything to PATH after every section.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # for scikit-learn's array-API dispatch; read when SciPy is imported
sys.path.insert(0, str(Path(__file__).resolve().parent))

from gpu_ceiling import ceiling
from gpu_fits import fits
from gpu_multinomial import SHAPES, multinomial
from gpu_network import networks
from gpu_passes import WIDTHS, passes
from gpu_peers import load_peers
from gpu_start import crossover, first_fits
from gpu_tables import tables
from gpu_timing import Budget, one_line, say

from gpu_logreg.backend import cuda_problem, import_cupy
from gpu_logreg.passes.family import STORAGES

BUDGET_S = 360.0
FLOAT64_WIDTHS = (28, 100, 512, 1000)


class Sizes:
    """What is measured: full, or quick and small."""

    def __init__(self, quick: bool) -> None:
        self.read_bytes = 2 * 2**30 if quick else 8 * 2**30
        self.pass_bytes = 2**30 if quick else 4 * 2**30
        self.widths = (28, 100, 512, 1024) if quick else WIDTHS
        self.float64_widths = (100, 1000) if quick else FLOAT64_WIDTHS
        self.class_shapes = SHAPES
        self.rounds = 10 if quick else 30
        self.fit_n = 5_000_000 if quick else 50_000_000
        self.fit_d = 100
        self.start_n = 200_000
        self.network: dict[str, Any] = {"rounds": 5 if quick else 15}
        self.crossover = tuple(1000 * 2**k for k in range(10 if quick else 12))


def run_sections(
    sections: dict[str, tuple[float, Callable[[], Any]]], budget: Budget, keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run sections in order; each has the seconds it wants at least. Failures and omissions are in ``problems``.

    ``keep`` is given all results after every section.
    """
    results: dict[str, Any] = {"sections": {}, "problems": {}, "seconds": {}}
    for name, (least_s, run) in sections.items():
        say(f"-- {name} ({budget.left():.0f} s left)")
        begun = budget.spent()
        if budget.left() < least_s:
            results["problems"][name] = f"not measured: {budget.left():.0f} s left"
        else:
            try:
                results["sections"][name] = run()
            except Exception as error:
                results["problems"][name] = one_line(error)
                say(f"{name} failed: {results['problems'][name]}")
        results["seconds"][name] = round(budget.spent() - begun, 1)
        keep(results)
    return results


def measure(cupy: Any, sizes: Sizes, budget: Budget, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """All sections on the current device."""
    known: dict[str, Any] = {"read": None}
    absent: dict[str, str] = {}

    def read_ceiling() -> Any:
        found = _freed(cupy, lambda: ceiling(cupy, sizes.read_bytes))
        known["read"] = found["read_gb_per_s"]
        return found

    def over(storage: str, widths: tuple[int, ...], with_peers: bool = False) -> Callable[[], Any]:
        def run() -> Any:
            peers, missing = load_peers(cupy) if with_peers else ([], {})
            absent.update(missing)
            rows = passes(cupy, storage, widths, sizes.pass_bytes, known["read"], peers, budget, sizes.rounds)
            notes = {peer.name: peer.note for peer in peers}
            return {"rows": rows, "peers": notes, "absent": missing}

        return lambda: _freed(cupy, run)

    sections: dict[str, tuple[float, Callable[[], Any]]] = {
        "ceiling": (10, read_ceiling),
        "float32": (15, over("float32", sizes.widths, with_peers=True)),
        "float16": (10, over("float16", sizes.widths)),
        "bfloat16": (10, over("bfloat16", sizes.widths)),
        "uint8": (10, over("uint8", sizes.widths)),
        "classes": (
            20,
            lambda: _freed(
                cupy,
                lambda: multinomial(cupy, sizes.pass_bytes, known["read"], budget, sizes.class_shapes, sizes.rounds),
            ),
        ),
        "first fit": (30, lambda: first_fits(sizes.start_n, timeout=max(30.0, budget.left() - 10))),
        "fits": (40, lambda: _freed(cupy, lambda: fits(cupy, known["read"], budget, sizes.fit_n, sizes.fit_d))),
        "network": (20, lambda: _freed(cupy, lambda: networks(cupy, budget, **sizes.network))),
        "crossover": (20, lambda: crossover(budget, sizes.crossover)),
        "float64": (10, over("float64", sizes.float64_widths, with_peers=True)),
    }
    return run_sections(sections, budget, keep)


def _freed(cupy: Any, run: Callable[[], Any]) -> Any:
    """Run a section, and give the memory of every library back afterwards."""
    try:
        return run()
    finally:
        cupy.get_default_memory_pool().free_all_blocks()
        torch: Any = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def faults(results: dict[str, Any]) -> list[str]:
    """What failed, was wrong, or found no time."""
    found = [f"{name}: {why}" for name, why in results["problems"].items()]
    for name, section in results["sections"].items():
        of = "batch" if name == "network" else "d"
        rows = section["rows"] if name in (*STORAGES, "network", "classes") else []
        found += [f"{name} {of} = {row[of]}: {row['problem']}" for row in rows if "problem" in row]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the CUDA pass and its peers on a GPU.")
    parser.add_argument("--quick", action="store_true", help="smaller data and fewer widths")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds after which no section begins")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    options = parser.parse_args()
    problem = cuda_problem()
    if problem is not None:
        print(f"not measured: {problem}")
        return 1

    def keep(results: dict[str, Any]) -> None:
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1))

    results = measure(import_cupy(), Sizes(options.quick), Budget(options.budget), keep)
    print(tables(results), flush=True)
    for fault in faults(results):
        say(fault)
    return 1 if faults(results) else 0


if __name__ == "__main__":
    sys.exit(main())
