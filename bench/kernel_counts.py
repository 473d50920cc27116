"""What the compiler makes of members of the kernel family, counted without a GPU: is a row bound by its instructions?

Run with ``PYTHONPATH=. python bench/kernel_counts.py [--storage uint8 ...] [--d 28 100 ...] [--arch 90]`` for the
members that `choose_family` picks. NVRTC compiles a member, nvdisasm (``pip install nvidia-cuda-nvdisasm``) takes it
apart, and the steady loop is counted: the loop over batches, without what only the last rows of ``X`` run through.

- *instructions*: of a warp, for one row.
- *issue / memory*: clocks of a multiprocessor in which a row's instructions are issued, four a clock, over those in
  which its bytes come from memory: 4.3 TB/s to 132 multiprocessors at 1.7 GHz, 19.2 bytes a clock
  (`gpu_logreg.passes.cuda.tuning.family_model`). Below 1 memory sets the pace; stalls are not counted.
- *conversions / memory*: the same for the instructions of the slow unit (MUFU, I2F, F2F, F2I), taken to be 16 lanes a
  clock.
- *sectors*: of 32 bytes, that the loads of a warp touch, each counted for every load that touches it, over the least.
- *under way*: bytes of rows on their way to a multiprocessor that holds as many blocks as the member asks for.

Counts of instructions are no times: not measured on a GPU.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "kernels"))

import nvrtc
from sass import blocks_of, disassemble, disassembler, steady_loop

from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda.source import kernel_source
from gpu_logreg.passes.cuda.tuning.family import STORAGES, WARP, Family, choose_family
from gpu_logreg.passes.cuda.tuning.family_model import BYTES_PER_CLOCK

SLOTS_PER_CLOCK = 4
SLOW_LANES_PER_CLOCK = 16
SLOW = ("MUFU", "I2F", "F2F", "F2I")
SECTOR = 32
DEFAULT_WIDTHS = (28, 64, 100, 128, 256, 512, 784, 1000, 1024, 2000)


class Counts(NamedTuple):
    """What a member costs."""

    registers: int
    spill_bytes: int
    instructions: float
    slow: float
    sectors: float
    under_way: int
    issue_over_memory: float
    slow_over_memory: float
    opcodes: dict[str, float]
    """Instructions of a row by their first word."""


def compile_member(
    family: Family, storage: str, real: str, arch: int, label: str = "uint8", weight: str | None = None
) -> tuple[bytes, nvrtc.Resources]:
    """Binary of a member, and what it takes."""
    options = cuda.kernel_options(family, storage, real, label, weight)
    code = kernel_source(f"{cuda.KERNEL}.cu", cuda.HEADERS)
    flags = (*options, *nvrtc.CUPY_OPTIONS, f"-arch=sm_{arch}", "--ptxas-options=-v")
    cubin, log = nvrtc.compile_cubin(code, flags)
    return cubin, nvrtc.resources(log)[cuda.KERNEL]


def touched_over_least(family: Family, d: int, storage: str) -> float:
    """Sectors that the loads of a warp, or of the warps that share a row, touch over those of the rows themselves."""
    size, groups = STORAGES[storage], max(1, WARP // family.lanes)
    batch, row_bytes, touched = family.rows * groups, d * STORAGES[storage], 0
    turns = SECTOR // math.gcd(SECTOR, batch * row_bytes)  # after so many batches sectors begin anew
    for turn in range(turns):
        for addresses, bytes_ in _loads(family, turn * batch, d * size):
            touched += len({at // SECTOR for start in addresses for at in (start, start + bytes_ - 1)})
    return touched * SECTOR / (turns * batch * row_bytes)


def _loads(family: Family, base: int, row_bytes: int) -> Iterator[tuple[list[int], int]]:
    """Addresses of the lanes of a warp in each of its loads for a batch, and the bytes of a lane."""
    lanes, groups = min(family.lanes, WARP), max(1, WARP // family.lanes)
    if family.stages:
        first, end = base * row_bytes, (base + family.rows * groups) * row_bytes
        for at in range(first, end, 16 * WARP):
            yield list(range(at, min(at + 16 * WARP, end), 16)), 16
        return
    for r in range(family.rows):
        for part in range(family.chunks * max(1, family.lanes // WARP)):
            chunk, warp = divmod(part, max(1, family.lanes // WARP))
            starts = [
                (base + r * groups + group) * row_bytes + within
                for group in range(groups)
                for lane in range(lanes)
                if (within := (lane + warp * WARP + chunk * family.lanes) * family.vec) < row_bytes
            ]
            yield starts, family.vec


def bytes_under_way(family: Family, d: int, storage: str) -> int:
    """Bytes of rows that a multiprocessor has on their way to it: batches in loads of all its warps."""
    return family.resident * family.batch * d * STORAGES[storage] * max(family.stages, 1)


def counts_of(family: Family, d: int, storage: str, real: str = "float32", arch: int = 90) -> Counts:
    """Compile a member, take it apart and count."""
    cubin, taken = compile_member(family, storage, real, arch)
    turn = steady_loop(blocks_of(disassemble(cubin), cuda.KERNEL))
    warps, rows = max(1, family.lanes // WARP), family.rows * max(1, WARP // family.lanes)
    opcodes: dict[str, float] = {}
    for instruction in turn:
        word = instruction.opcode.split(".")[0]
        opcodes[word] = opcodes.get(word, 0.0) + warps / rows
    instructions, slow = sum(opcodes.values()), sum(opcodes.get(word, 0.0) for word in SLOW)
    memory = d * STORAGES[storage] / BYTES_PER_CLOCK
    return Counts(
        registers=taken.registers,
        spill_bytes=taken.spill_bytes + taken.stack_bytes,
        instructions=instructions,
        slow=slow,
        sectors=touched_over_least(family, d, storage),
        under_way=bytes_under_way(family, d, storage),
        issue_over_memory=instructions / SLOTS_PER_CLOCK / memory,
        slow_over_memory=slow * WARP / SLOW_LANES_PER_CLOCK / memory,
        opcodes=dict(sorted(opcodes.items(), key=lambda item: -item[1])),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Count what the compiler makes of the members that are chosen.")
    parser.add_argument("--d", type=int, nargs="+", default=DEFAULT_WIDTHS, help="columns")
    parser.add_argument("--storage", choices=sorted(STORAGES), nargs="+", default=["float32", "float16", "uint8"])
    parser.add_argument("--real", choices=("float32", "float64"), default="float32")
    parser.add_argument("--arch", type=int, default=90, help="compute capability, without its point")
    parser.add_argument("--opcodes", action="store_true", help="what instructions they are")
    options = parser.parse_args()
    if nvrtc.library() is None or disassembler() is None:
        print("not counted: pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-nvdisasm")
        return 1
    heads = ["row of", *Family._fields, "registers", "spilled", "sectors", "under way", "instructions a row"]
    print(f"| {' | '.join([*heads, 'issue / memory', 'conversions / memory'])} |")
    print("|---" * (len(Family._fields) + 8) + "|")
    for storage in options.storage:
        for d in options.d:
            family = choose_family(d, storage, options.real)
            assert isinstance(family, Family)
            found = counts_of(family, d, storage, options.real, options.arch)
            print(
                f"| {d:,} {storage} | {' | '.join(map(str, family))} | {found.registers} | {found.spill_bytes} |"
                f" {found.sectors:.2f} | {found.under_way / 1024:.0f} KB | {found.instructions:.1f} |"
                f" {found.issue_over_memory:.2f} | {found.slow_over_memory:.2f} |",
                flush=True,
            )
            if options.opcodes:
                print(", ".join(f"{word} {count:.2f}" for word, count in found.opcodes.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
