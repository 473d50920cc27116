"""The tables of ``gpu-logreg bench``: plain text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from gpu_logreg.command.benchmark.measurements import Measurements
from gpu_logreg.command.benchmark.timing import Spread
from gpu_logreg.command.describe import describe_machine
from gpu_logreg.command.report import duration, print_facts, print_table

__all__ = ["print_measurements"]


def print_measurements(found: Measurements) -> None:
    """Print all that was measured, and what was not."""
    describe_machine(in_one_line=True)
    _print_passes(found)
    _print_fits(found)
    _print_devices(found)
    _print_left_out(found)
    print(f"\n{found.seconds:.0f} s in all{'' if found.complete else ', interrupted'}")


def _print_passes(found: Measurements) -> None:
    for device in dict.fromkeys(item.device for item in found.passes):
        of_device = [item for item in found.passes if item.device == device]
        engines = dict.fromkeys(name for item in of_device for name in item.shares)
        columns: dict[str, dict[str, str]] = {"rows": {}, "plain read": {}, **{name: {} for name in engines}}
        for item in of_device:
            row = f"{item.storage} x {item.d}"
            columns["rows"][row] = f"{item.n:,}"
            columns["plain read"][row] = f"{item.nbytes / item.read.median / 1e9:.1f} GB/s"
            for name, share in item.shares.items():
                columns[name][row] = _percent(share)
        mib = max(item.nbytes for item in of_device) / 2**20
        print(
            f"\nPasses on {device}: loss and gradient of two classes in one walk over {mib:.0f} MiB.\n"
            "Their rate over that of a plain read of the same rows: median (quartiles) of\n"
            f"{_rounds(item.read.n for item in of_device)}.\n"
        )
        print_table(columns)


def _print_fits(found: Measurements) -> None:
    if not found.fits:
        return
    columns: dict[str, dict[str, str]] = {
        name: {} for name in ("time (quartiles)", "plain reads", "reads", "iterations")
    }
    for item in found.fits:
        row = f"{item.n:,} x {item.d:,}, {item.problem}"
        columns["time (quartiles)"][row] = f"{duration(item.seconds.median)} ({_between(item.seconds)})"
        columns["plain reads"][row] = f"{item.plain_reads.median:,.0f}"
        columns["reads"][row] = f"{item.reads:.1f}"
        columns["iterations"][row] = f"{item.iterations}{'' if item.converged else ', NOT converged'}"
    print(
        "\nFits with the defaults: time, the same over the time of a plain read of the\n"
        f"rows, and the reads that the fit made: medians of {_rounds(item.seconds.n for item in found.fits)}.\n"
    )
    print_table(columns)


def _print_devices(found: Measurements) -> None:
    if found.gpu_problem is not None:
        print()
        print_facts({"CPU against GPU": f"not measured; {found.gpu_problem}"})
        return
    if not found.devices:
        return
    columns: dict[str, dict[str, str]] = {name: {} for name in ("CPU", "GPU", "CPU over GPU")}
    for item in found.devices:
        row = f"{item.n:,} x {item.d}"
        columns["CPU"][row] = duration(item.cpu.median)
        columns["GPU"][row] = duration(item.gpu.median)
        columns["CPU over GPU"][row] = f"{_ratio(item.cpu_per_gpu)}"
    print("\nFits of float32 rows that lie in host memory; their way to the GPU is counted.\n")
    print_table(columns)
    print(f"\n{_crossover_line(found)}")


def _print_left_out(found: Measurements) -> None:
    if not found.left_out:
        return
    print("\nLeft out, as no time was left (--seconds gives more):")
    by_kind: dict[str, list[str]] = {}
    for left in found.left_out:
        kind, _, item = left.what.partition(": ")
        by_kind.setdefault(kind, []).append(item)
    print_facts({kind: "; ".join(items) for kind, items in by_kind.items()})


def _crossover_line(found: Measurements) -> str:
    first, last = found.devices[0], found.devices[-1]
    if found.crossover is not None:
        return f"The GPU is faster from about {found.crossover:,} rows on."
    if last.cpu_per_gpu.median > 1.0:
        return f"The GPU is faster at every size, from {first.n:,} rows on."
    return f"The CPU is faster at every size, up to {last.n:,} rows."


def _between(seconds: Spread) -> str:
    """``0.25 to 1.00 s``, ``97 ms to 0.12 s``."""
    low, high = duration(seconds.low), duration(seconds.high)
    number, unit = low.split()
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


def _percent(share: Spread) -> str:
    return f"{100 * share.median:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f})"


def _ratio(value: Spread) -> str:
    return f"{value.median:.2g} ({value.low:.2g} to {value.high:.2g})"


def _rounds(counts: Iterable[int]) -> str:
    """How many rounds there were: ``9 rounds``, ``1 to 9 rounds``."""
    found = sorted(counts)
    return f"{found[0]} to {found[-1]} rounds" if found[0] < found[-1] else f"{found[0]} round{'s' * (found[0] > 1)}"
