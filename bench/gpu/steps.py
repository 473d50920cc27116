"""The steps of ``check.py``, each run in a process of its own: ``python bench/gpu/steps.py STEP --folder FOLDER``.

A step appends a row to the results as soon as it is known. The exit code is 1 if a row of ours is wrong.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu.children import end_with_parent
from gpu.journal import Journal
from gpu.sizes import Sizes
from gpu.timing import Budget, one_line, say

Run = Callable[[Any, Sizes, Journal, Budget], None]


def smoke(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.smoke import smoke as fits

    for row in fits(cupy):
        journal.row("smoke", row["fit"], row)


def float32(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.ceiling import ceiling

    try:
        journal.row("ceiling", "", ceiling(cupy, sizes.read_bytes))
    except Exception as error:  # the pass is measured all the same, without a share
        journal.row("ceiling problem", "", {"problem": one_line(error)})
    freed(cupy)
    _passes(cupy, "float32", sizes.widths, sizes, journal, budget)


def fit(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.fits import OURS, fits

    for row in fits(cupy, journal.ceiling(), budget, **sizes.fit, solvers=(OURS,)):
        journal.row("fits", f"{row['solver']} {row['n']}x{row['d']}", row)


def streams(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.streams import streams as streamed

    for row in streamed(cupy, budget, **sizes.streamed):
        journal.row("streams", row["d"], row)


def storages(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.multinomial import multinomial
    from gpu.products import products

    for storage in sizes.storages:
        _passes(cupy, storage, sizes.widths, sizes, journal, budget)
    for row in multinomial(cupy, sizes.elements, journal.ceiling(), budget, sizes.classes, sizes.rounds):
        journal.row("classes", f"{row['d']} {row['classes']} {row['storage']}", row)
    freed(cupy)
    for row in products(cupy, sizes.elements, budget, sizes.products, sizes.rounds):
        journal.row("products", f"{row['d']} {row['classes']} {row['storage']}", row)
        freed(cupy)
    _passes(cupy, "float64", sizes.float64_widths, sizes, journal, budget)


def _passes(cupy: Any, storage: str, widths: tuple[int, ...], sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.passes import passes

    from gpu_logreg.passes.cuda.tuning.family import STORAGES

    nbytes = sizes.elements * min(4, STORAGES[storage])
    for row in passes(cupy, storage, widths, nbytes, journal.ceiling(), budget, sizes.rounds):
        journal.row(storage, row["d"], row)
    freed(cupy)


def ladder(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.families import few_members, measure

    from gpu_logreg.passes.cuda.tuning.family import STORAGES

    for d in sizes.ladder_widths:
        for storage in sizes.ladder_storages:
            nbytes = sizes.ladder_elements * STORAGES[storage]
            members = few_members(d, storage, "float32", sizes.ladder_members)
            for row in measure(cupy, d, storage, nbytes, budget, sizes.rounds, members):
                wrong = str(row.get("problem", "")).startswith("wrong")  # a member beyond the estimate may not start
                journal.row("ladder", f"{d} {storage} {row['family']}", row, ours=wrong or row["chosen"])
            freed(cupy)


def counters(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.counters import counted

    for row in counted(sizes, budget):
        journal.row("counters", f"{row.get('d')} {row.get('storage')}", row, ours=False)


def tests(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.tests import run_tests

    run_tests(sizes, journal, budget)


def sanitizers(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.sanitize import run_sanitizers

    run_sanitizers(sizes, journal, budget)


def networks(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.network import networks as trained

    for row in trained(cupy, budget, **sizes.network):
        journal.row("network", row["batch"], row)


def peers(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.fits import fits
    from gpu.passes import against

    for row in against(cupy, sizes.peer_widths, 4 * sizes.elements, budget, rounds=min(sizes.rounds, 15)):
        journal.row("peers", row["d"], row)
    freed(cupy)
    for row in fits(cupy, journal.ceiling(), budget, **sizes.peer_fit):
        journal.row("fits", f"{row['solver']} {row['n']}x{row['d']}", row, ours=row["solver"] == "gpu-logreg")


def start(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.start import crossover, first_fits

    limit = max(5.0, budget.left() - 3)
    for row in first_fits(sizes.start_n, sizes.start_d, _device(), limit, os.environ.get("CUPY_CACHE_DIR")):
        journal.row("first fit", row["state"], row)
    for row in crossover(budget, sizes.crossover, sizes.start_d, rounds=min(sizes.rounds, 3)):
        journal.row("crossover", row["n"], row)


def _device() -> str:
    import gpu.stand_in

    return "cpu" if gpu.stand_in.asked() else "cuda"  # a fresh process has no stand-in


def facts(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    from gpu.facts import device_facts
    from gpu.prepared import adopt

    journal.row("facts", journal.run, device_facts(cupy))
    prepared, cache = os.environ.get("GPU_CHECK_PREPARED"), os.environ.get("CUPY_CACHE_DIR")
    if prepared and cache:
        try:
            row = adopt(Path(prepared), Path(cache))
        except Exception as error:  # the kernels are compiled then
            row = {"problem": f"not measured: {one_line(error)}"}
        journal.row("kernels", journal.run, row)


def launches(cupy: Any, sizes: Sizes, journal: Journal, budget: Budget) -> None:
    """What a profiler counts; not a step of its own."""
    from gpu.counters import launch

    launch(cupy, sizes)


STEPS: dict[str, Run] = {
    run.__name__: run
    for run in (
        *(smoke, float32, fit, streams, storages, ladder, tests, counters, sanitizers, networks, peers, start),
        *(facts, launches),
    )
}
WITHOUT_CUPY = ("tests", "counters", "sanitizers")
"""Steps that start other programs, and leave the device to them."""


def freed(cupy: Any) -> None:
    """Give the memory of every library back."""
    cupy.get_default_memory_pool().free_all_blocks()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> int:
    parser = argparse.ArgumentParser(description="One step of check.py.")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--folder", type=Path, required=True, help="where the results are")
    parser.add_argument("--run", type=int, default=1, help="number of the run")
    parser.add_argument("--seconds", type=float, default=600.0, help="time after which nothing is begun")
    parser.add_argument("--tiny", action="store_true", help="the sizes of a rehearsal")
    options = parser.parse_args()
    budget = Budget(options.seconds)  # imports count
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where nobody has a terminal
    end_with_parent()
    import gpu.stand_in

    gpu.stand_in.install_if_asked()
    journal = Journal(options.folder, options.run, options.step)
    cupy = None
    if options.step not in WITHOUT_CUPY:
        from gpu_logreg.arrays.device import import_cupy

        cupy = import_cupy()
    try:
        STEPS[options.step](cupy, Sizes(options.tiny), journal, budget)
    except KeyboardInterrupt:
        say(f"{options.step}: interrupted")
        return 130
    for wrong in journal.wrong:
        say(f"WRONG: {wrong}")
    return 1 if journal.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
