"""The kernels of networks, compiled by NVRTC for every architecture; no GPU is needed."""

from __future__ import annotations

import itertools

import nvrtc
import pytest
from sweeps import every_other, thinned
from test_kernels_compile import REGISTERS, in_pool

from gpu_logreg.passes.cuda.cublas import HEADERS
from gpu_logreg.passes.cuda.source import kernel_source
from gpu_logreg.passes.cuda.steps_graph import LAYER_HEADERS, LOSS_HEADERS, PRODUCT_HEADERS, layer_options, loss_options
from gpu_logreg.passes.cuda.steps_kernels import (
    ACTIVATION_CODES,
    ACTIVATION_HEADERS,
    RULE_CODES,
    activation_options,
    update_options,
)
from gpu_logreg.passes.cuda.steps_tiles import TILES, Tile

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="the nvidia-cuda-nvrtc wheel is not installed")

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
oldest_and_newest = pytest.mark.parametrize("arch", thinned(ARCHITECTURES, lambda arch: arch in (75, 120)))
hopper = pytest.mark.parametrize("arch", thinned(ARCHITECTURES, lambda arch: arch == 90))
UPDATE_REGISTERS = 64
"""Four blocks of 256 threads on a multiprocessor; Adam holds fourteen numbers besides its addresses."""


def compiled(name: str, headers: tuple[str, ...], options: tuple[str, ...], arch: int) -> dict[str, nvrtc.Resources]:
    """Resources of the kernels of one file, which must compile without a warning and without spills."""
    flags = (*options, *nvrtc.CUPY_OPTIONS, f"-arch=sm_{arch}", "--ptxas-options=-v")
    cubin, log = nvrtc.compile_cubin(kernel_source(f"{name}.cu", headers), flags)
    assert cubin.startswith(b"\x7fELF")
    assert "warning" not in log, log
    taken = nvrtc.resources(log)
    assert taken
    for of_kernel in taken.values():
        assert of_kernel.spill_bytes == of_kernel.stack_bytes == 0, (name, options, arch, of_kernel)
    return taken


@oldest_and_newest
@pytest.mark.parametrize("activation", ACTIVATION_CODES)
@pytest.mark.parametrize("real", REGISTERS)
def test_activation_fits_its_budget(real, activation, arch):
    taken = compiled("activation", ACTIVATION_HEADERS, activation_options(activation, real), arch)
    assert set(taken) == {"bias_activation", "times_derivative"}
    assert all(of_kernel.registers <= REGISTERS[real] for of_kernel in taken.values())


@oldest_and_newest
@pytest.mark.parametrize("rule", thinned(RULE_CODES, lambda rule: rule == "adam"))
@pytest.mark.parametrize("real", REGISTERS)
def test_update_fits_its_budget(real, rule, arch):
    taken = compiled("update", HEADERS, update_options(rule, real), arch)
    assert set(taken) == {"update"}
    assert taken["update"].registers <= UPDATE_REGISTERS


@hopper
@pytest.mark.parametrize("real", REGISTERS)
def test_losses_of_rows_fit_their_budget(real, arch):
    cases = [("int64", "float64", 100, False), ("uint8", "float32", 7, True)]
    for label, weight, K, several in cases:
        taken = compiled("row_losses", LOSS_HEADERS, loss_options(real, label, weight, K, several), arch)
        assert taken["row_losses"].registers <= 64


# A multiprocessor holds one block of the largest tiles, two of the others, and four of the narrow ones.
PRODUCT_REGISTERS = {TILES[0]: 255, TILES[1]: 128, TILES[2]: 128, TILES[3]: 64}
STORED = ("float32", "float64", "uint8", "float16", "bfloat16")


@hopper
@pytest.mark.parametrize("real", every_other(REGISTERS))
@pytest.mark.parametrize("name", ["dense_forward", "dense_gradient", "dense_backward"])
def test_products_of_layers_fit_their_registers(name, real, arch):
    turns = zip(TILES, itertools.cycle(STORED if real == "float32" else STORED[1:]), ACTIVATION_CODES, strict=False)

    def fault(case: tuple[Tile, str, str]) -> str | None:
        tile, storage, activation = case
        options = {} if name == "dense_backward" else {"storage": storage, "gather": True}
        options |= {} if name == "dense_gradient" else {"activation": activation}
        headers = PRODUCT_HEADERS if name == "dense_gradient" else LAYER_HEADERS
        found = compiled(name, headers, layer_options(tile, real, **options), arch)[name].registers
        most = 255 if real == "float64" and tile == TILES[1] else PRODUCT_REGISTERS[tile]
        return f"{tile} {options}: {found} registers" if found > most else None

    assert [found for found in in_pool(fault, turns) if found] == []
