"""The ceiling: how fast the device reads memory when it does nothing else, and how fast it copies."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from gpu.data import columns_of, filled
from gpu.timing import device_ms, one_line, say

from gpu_logreg.passes.cuda.source import kernel_source

BLOCK = 256
FLIGHTS = (4, 8, 16)
BLOCKS_PER_MULTIPROCESSOR = (2, 4, 8)
CHECKED_VECTORS = 5_000_011

# Reads `vectors` times 16 bytes by the same load instruction as the kernel family, FLIGHT of them under way in every
# thread, and folds them into one word per thread. TILED 1: a block reads FLIGHT neighbouring runs of BLOCK vectors;
# 0: the runs lie a whole grid apart. The load is that of rows.cuh.
READ_TEXT = """
extern "C" __global__ void __launch_bounds__(BLOCK)
read_all(const uint8* from, long long vectors, unsigned* folded) {
    const long long threads = (long long)gridDim.x * BLOCK;
    const long long thread = (long long)blockIdx.x * BLOCK + threadIdx.x;
    const long long apart = TILED ? BLOCK : threads;
    const long long begin = TILED ? (long long)blockIdx.x * BLOCK * FLIGHT + threadIdx.x : thread;
    unsigned fold = 0;
    for (long long base = begin; base < vectors; base += threads * FLIGHT) {
        Vector v[FLIGHT];
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            const long long at = base + k * apart;
            v[k] = at < vectors ? load_vector(from + at * VEC) : no_vector();
        }
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) fold ^= v[k].word[0] ^ v[k].word[1] ^ v[k].word[2] ^ v[k].word[3];
    }
    folded[thread] = fold;
}
"""


def read_program(flight: int, tiled: bool) -> tuple[str, tuple[str, ...]]:
    """Text and options of the reading kernel with ``flight`` loads under way in every thread."""
    code = f"{kernel_source('rows.cuh', ('logistic.cuh', 'reduce.cuh'))}\n{READ_TEXT}"
    macros = {"STORAGE": "uint8", "REAL": "float32", "VEC": 16, "BLOCK": BLOCK, "FLIGHT": flight, "TILED": int(tiled)}
    return code, tuple(f"-D{name}={value}" for name, value in macros.items())


def read_kernel(cupy: Any, flight: int, tiled: bool) -> Any:
    """That kernel, compiled."""
    code, options = read_program(flight, tiled)
    return cupy.RawModule(code=code, options=options).get_function("read_all")


def ceiling(cupy: Any, nbytes: int) -> dict[str, Any]:
    """Bandwidths in GB/s (1e9 bytes): of every variant of a pure read of ``nbytes``, the best, and of a copy.

    A variant that folds to another word than the host finds on a small piece is not timed.
    """
    flat = filled(cupy, "float32", columns_of("float32", nbytes) // 4 * 4).view(np.uint8)
    multiprocessors = int(cupy.cuda.Device().attributes["MultiProcessorCount"])
    piece = flat[: min(flat.nbytes // 16, CHECKED_VECTORS) * 16]
    true = np.bitwise_xor.reduce(piece.get().view(np.uint32))
    variants = []
    for flight, tiled in itertools.product(FLIGHTS, (True, False)):
        kernel = read_kernel(cupy, flight, tiled)
        for per in BLOCKS_PER_MULTIPROCESSOR:
            row: dict[str, Any] = {"flight": flight, "tiled": tiled, "blocks_per_multiprocessor": per}
            blocks = per * multiprocessors
            folded = cupy.empty(blocks * BLOCK, dtype=np.uint32)
            if not _folds_rightly(kernel, piece, true, folded, blocks):
                variants.append(row | {"problem": "wrong"})
                continue

            def read(kernel: Any = kernel, blocks: int = blocks, folded: Any = folded) -> None:
                kernel((blocks,), (BLOCK,), (flat, np.int64(flat.nbytes // 16), folded))

            row["ms"] = device_ms(cupy, [read])
            row["gb_per_s"] = flat.nbytes / row["ms"] / 1e6
            variants.append(row)
    timed = [row for row in variants if "gb_per_s" in row]
    best = max(timed, key=lambda row: row["gb_per_s"])
    say(f"pure read of {flat.nbytes / 1e9:.2f} GB: {best['gb_per_s']:.0f} GB/s at best ({best})")
    found = {"nbytes": int(flat.nbytes), "read_gb_per_s": best["gb_per_s"], "read_by": best, "variants": variants}
    return found | _copy(cupy, flat)


def _folds_rightly(kernel: Any, piece: Any, true: Any, folded: Any, blocks: int) -> bool:
    """Whether the fold over a small odd number of vectors is that of NumPy."""
    folded[...] = np.uint32(0)
    folded[0] = np.uint32(0xDEADBEEF)
    kernel((blocks,), (BLOCK,), (piece, np.int64(piece.nbytes // 16), folded))
    return bool(np.bitwise_xor.reduce(folded.get()) == true)


def _copy(cupy: Any, flat: Any) -> dict[str, Any]:
    """Bandwidth of a copy of the same bytes, reads and writes counted."""
    try:
        other = cupy.empty(flat.shape, dtype=flat.dtype)
        ms = device_ms(cupy, [lambda: other.__setitem__(slice(None), flat)])
    except Exception as error:
        return {"copy_problem": one_line(error)}
    say(f"copy: {2 * flat.nbytes / ms / 1e6:.0f} GB/s read and written")
    return {"copy_ms": ms, "copy_gb_per_s": 2 * flat.nbytes / ms / 1e6}
