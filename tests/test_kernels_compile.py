"""Every kernel in every specialisation, compiled by NVRTC for every architecture; no GPU is needed."""

from __future__ import annotations

import itertools

import nvrtc
import pytest

from gpu_logreg.passes import cublas, steps_cuda
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
# Adam holds fourteen numbers besides its addresses: five blocks at 48 registers, four at 64.
ADAM_REGISTERS = {"float32": 48, "float64": 64}


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


def compiled(name: str, options: tuple[str, ...], arch: int) -> dict[str, nvrtc.Resources]:
    """Resources of the kernels of one file, which must compile without a warning."""
    code = kernel_source(f"{name}.cu", cublas.HEADERS)
    flags = (*options, *nvrtc.CUPY_OPTIONS, f"-arch=sm_{arch}", "--ptxas-options=-v")
    cubin, log = nvrtc.compile_cubin(code, flags)
    assert cubin.startswith(b"\x7fELF")
    assert "warning" not in log
    return nvrtc.resources(log)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("activation", steps_cuda.ACTIVATION_CODES)
@pytest.mark.parametrize("real", REGISTERS)
def test_activation_fits_its_budget(real, activation, arch):
    taken = compiled("activation", steps_cuda.activation_options(activation, real), arch)
    assert set(taken) == {"bias_activation", "times_derivative"}
    for of_kernel in taken.values():
        assert of_kernel.spill_bytes == of_kernel.stack_bytes == 0
        assert of_kernel.registers <= REGISTERS[real]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("real", REGISTERS)
def test_adam_fits_its_budget(real, arch):
    taken = compiled("adam", steps_cuda.adam_options(real), arch)
    assert set(taken) == {"adam"}
    assert taken["adam"].spill_bytes == taken["adam"].stack_bytes == 0
    assert taken["adam"].registers <= ADAM_REGISTERS[real]
