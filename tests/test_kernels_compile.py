"""Every kernel in every specialisation, compiled by NVRTC for every architecture; no GPU is needed."""

from __future__ import annotations

import itertools

import nvrtc
import pytest

from gpu_logreg.passes import cublas
from gpu_logreg.passes.kernel_text import kernel_source

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="the nvidia-cuda-nvrtc wheel is not installed")

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
SPECIALISATIONS = [
    (real, label, weight)
    for real in ("float32", "float64")
    for label, weight in itertools.product(("uint8", real), (None, "float32", "float64"))
]
# 65,536 registers of a multiprocessor make room for six blocks of 256 threads at 40 registers, five at 48.
REGISTERS = {"float32": 40, "float64": 48}


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(("real", "label", "weight"), SPECIALISATIONS)
def test_sigmoid_cross_entropy_fits_its_budget(real, label, weight, arch):
    options = cublas.kernel_options(real, label, weight) + nvrtc.CUPY_OPTIONS
    code = kernel_source(f"{cublas.KERNEL}.cu", cublas.HEADERS)
    cubin, log = nvrtc.compile_cubin(code, (*options, f"-arch=sm_{arch}", "--ptxas-options=-v"))
    assert cubin.startswith(b"\x7fELF")
    assert "warning" not in log
    taken = nvrtc.resources(log)
    assert set(taken) == {cublas.KERNEL}
    assert taken[cublas.KERNEL].spill_bytes == 0
    assert taken[cublas.KERNEL].stack_bytes == 0
    assert taken[cublas.KERNEL].registers <= REGISTERS[real]


def test_a_fault_is_reported_in_its_own_file():
    code = kernel_source(f"{cublas.KERNEL}.cu", cublas.HEADERS)
    with pytest.raises(nvrtc.CompileError, match=r"sigmoid_cross_entropy\.cu\(\d+\)"):
        nvrtc.compile_cubin(code, cublas.kernel_options("float32", "no_such_type", None))
