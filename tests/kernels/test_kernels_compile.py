"""Every kernel in every specialisation, compiled by NVRTC for every architecture; no GPU is needed."""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nvrtc
import pytest
from sweeps import every_other, thinned

from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda.source import kernel_source
from gpu_logreg.passes.cuda.tuning.family import STORAGES, Family, choose_family
from gpu_logreg.passes.cuda.tuning.softmax_family import choose_softmax_family
from gpu_logreg.passes.cuda.tuning.softmax_layout import SoftmaxFamily

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="the nvidia-cuda-nvrtc wheel is not installed")

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
oldest_and_newest = pytest.mark.parametrize("arch", thinned(ARCHITECTURES, lambda arch: arch in (75, 120)))
SPECIALISATIONS = [
    (real, label, weight)
    for real in ("float32", "float64")
    for label, weight in itertools.product(("uint8", real), (None, "float32", "float64"))
]
# 65,536 registers of a multiprocessor make room for six blocks of 256 threads at 40 registers, five at 48.
REGISTERS = {"float32": 40, "float64": 48}


@oldest_and_newest
@pytest.mark.parametrize(("real", "label", "weight"), every_other(SPECIALISATIONS))
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


# The family loss_and_gradient: rows of a byte, of part of a warp, of a warp, of a block, and of the widest block; every
# storage in both precisions; labels and weights in turn. 784 columns are MNIST, 28 are HIGGS.
WIDTHS = (1, 3, 5, 13, 28, 64, 100, 256, 784, 1024, 2000, 5000)
FAMILY_ARCHITECTURES = (80, 86, 89, 90, 100, 120)
hopper = pytest.mark.parametrize("arch", thinned(FAMILY_ARCHITECTURES, lambda arch: arch == 90))
STORED = tuple(itertools.product(STORAGES, ("float32", "float64")))


def family_cases(arch: int) -> list[tuple[int, str, str, str, str | None]]:
    """Width, storage, precision, label and weight: every width in two storages, others on every architecture."""
    cases = []
    for place, d in enumerate(WIDTHS):
        for k in range(2):
            turn = place + 5 * k + FAMILY_ARCHITECTURES.index(arch)
            storage, real = STORED[turn % len(STORED)]
            label = ("uint8", real)[turn % 2]
            cases.append((d, storage, real, label, (None, "float32", "float64")[turn % 3]))
    return cases


def in_pool(function: Callable[..., Any], cases: Iterable[Any]) -> list[Any]:
    with ThreadPoolExecutor(2) as pool:  # NVRTC runs outside the interpreter's lock
        return list(pool.map(function, cases))


def test_every_architecture_meets_every_storage_label_and_weight():
    for arch in FAMILY_ARCHITECTURES:
        cases = family_cases(arch)
        assert {case[0] for case in cases} == set(WIDTHS)
        assert {case[1:3] for case in cases} == set(STORED)
        assert {(label == "uint8", weight) for *_, label, weight in cases} == {
            (hard, weight) for hard in (True, False) for weight in (None, "float32", "float64")
        }


@hopper
@pytest.mark.slow
def test_loss_and_gradient_fits_the_registers_that_its_family_counts_on(arch):
    code = kernel_source(f"{cuda.KERNEL}.cu", cuda.HEADERS)

    def fault(case: tuple[int, str, str, str, str | None]) -> str | None:
        family = choose_family(*case[:3])
        assert isinstance(family, Family)
        options = (*cuda.kernel_options(family, *case[1:]), *nvrtc.CUPY_OPTIONS, f"-arch=sm_{arch}")
        cubin, log = nvrtc.compile_cubin(code, (*options, "--ptxas-options=-v"))
        assert cubin.startswith(b"\x7fELF")
        taken = nvrtc.resources(log)
        assert set(taken) == {cuda.KERNEL}
        registers, spilled, stack = taken[cuda.KERNEL]
        most = min(65_536 // (family.block * family.resident) // 8 * 8, 255)
        fits = registers <= most and spilled == stack == 0 and "warning" not in log
        return None if fits else f"{case} {family}: {taken[cuda.KERNEL]}, of {most} registers; {log}"

    assert [found for found in in_pool(fault, family_cases(arch)) if found] == []


@pytest.mark.parametrize("arch", FAMILY_ARCHITECTURES)
def test_sum_partials_fits_its_budget(arch):
    code = kernel_source(f"{cuda.SUM_KERNEL}.cu", ("reduce.cuh",))
    options = (f"-DBLOCK={cuda.SUM_BLOCK}", *nvrtc.CUPY_OPTIONS, f"-arch=sm_{arch}", "--ptxas-options=-v")
    _, log = nvrtc.compile_cubin(code, options)
    registers, spilled, stack = nvrtc.resources(log)[cuda.SUM_KERNEL]
    assert spilled == stack == 0
    threads = 1536 if arch in (86, 89, 120) else 2048  # all that a multiprocessor can hold
    assert registers <= 65_536 // threads // 8 * 8
    assert "warning" not in log


def ptx(code: str, options: Iterable[str]) -> str:
    """The text that ptxas gets."""
    library, program = nvrtc.library(), ctypes.c_void_p()
    assert library is not None
    library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
    try:
        flags = [option.encode() for option in options]
        assert library.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags)) == 0
        size = ctypes.c_size_t()
        assert library.nvrtcGetPTXSize(program, ctypes.byref(size)) == 0
        buffer = ctypes.create_string_buffer(size.value)
        assert library.nvrtcGetPTX(program, buffer) == 0
        return buffer.value.decode()
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


LOADS = {
    16: r"ld\.global\.nc\.L1::no_allocate\.v4\.[bu]32",
    8: r"ld\.global\.nc\.L1::no_allocate\.v2\.[bu]32",
    4: r"ld\.global\.nc\.u32",
    2: r"ld\.global(\.nc)?\.[bu]16",
    1: r"ld\.global(\.nc)?\.[bu]8",
}


@pytest.mark.parametrize("vec", LOADS)
def test_a_vector_is_one_instruction(vec):
    """Rows are loaded by ``ROWS * CHUNKS`` instructions of ``VEC`` bytes, and by nothing else."""
    storage, label = ("uint8", "float32") if vec < 4 else ("float16", "uint8")
    size = STORAGES[storage]
    family = Family(vec=vec, lanes=16, chunks=2, rows=2, block=256, resident=2)
    options = cuda.kernel_options(family, storage, "float32", label, "float64")
    text = ptx(kernel_source(f"{cuda.KERNEL}.cu", cuda.HEADERS), (*options, *nvrtc.CUPY_OPTIONS, "-arch=compute_90"))
    found = {bytes_: len(re.findall(load, text)) for bytes_, load in LOADS.items()}
    assert found[vec] == family.rows * family.chunks
    narrower = {bytes_: count for bytes_, count in found.items() if size <= bytes_ < vec and bytes_ > 1}
    assert set(narrower.values()) <= {0}


def test_dynamic_shared_memory_is_aligned_for_loads_of_16_bytes():
    family = choose_softmax_family(28, 10, "float32", "float32")
    assert isinstance(family, SoftmaxFamily)
    options = cuda_multinomial.kernel_options(family, 28, 10, "float32", "float32", None)
    code = kernel_source(f"{cuda_multinomial.KERNEL}.cu", cuda_multinomial.HEADERS)
    text = ptx(code, (*options, *nvrtc.CUPY_OPTIONS, "-arch=compute_90"))
    assert re.findall(r"\.extern \.shared \.align (\d+) \.b8 dynamic_shared", text) == ["16"]


# The kernel of many classes: columns and classes of real data (Covertype, letters, digits, MNIST) and of the ends.
SOFTMAX_SHAPES = (
    *((1, 3), (3, 4), (16, 26), (28, 10), (54, 7), (64, 10), (100, 10), (100, 26), (300, 5), (512, 20)),
    *((784, 10), (785, 10), (1000, 3), (4000, 3), (60, 100), (20, 500)),
)


def softmax_cases(arch: int) -> list[tuple[int, int, str, str, int, str | None]]:
    """Columns, classes, storage, precision, alignment and weight: every shape in three storages."""
    cases = []
    for place, (d, n_classes) in enumerate(SOFTMAX_SHAPES):
        for k in range(3):
            turn = place + 3 * k + 7 * FAMILY_ARCHITECTURES.index(arch)
            storage, real = STORED[turn % len(STORED)]
            alignment = 16 if turn % 2 else STORAGES[storage]
            cases.append((d, n_classes, storage, real, alignment, (None, "float32", "float64")[turn % 3]))
    return cases


def test_every_architecture_meets_the_softmax_of_every_storage_and_weight():
    for arch in FAMILY_ARCHITECTURES:
        cases = softmax_cases(arch)
        assert {case[2:4] for case in cases} == set(STORED)
        assert {case[5] for case in cases} == {None, "float32", "float64"}


@pytest.mark.slow
@hopper
def test_softmax_loss_and_gradient_fits_the_registers_that_its_family_counts_on(arch):
    code = kernel_source(f"{cuda_multinomial.KERNEL}.cu", cuda_multinomial.HEADERS)
    compiled_cases = []

    def fault(case: tuple[int, int, str, str, int, str | None]) -> str | None:
        d, n_classes, storage, real, alignment, weight = case
        family = choose_softmax_family(d, n_classes, storage, real, alignment)
        if isinstance(family, str):
            assert "does not fit the registers" in family
            return None
        compiled_cases.append(case)
        options = (*cuda_multinomial.kernel_options(family, d, n_classes, storage, real, weight), *nvrtc.CUPY_OPTIONS)
        cubin, log = nvrtc.compile_cubin(code, (*options, f"-arch=sm_{arch}", "--ptxas-options=-v"))
        assert cubin.startswith(b"\x7fELF")
        taken = nvrtc.resources(log)
        assert set(taken) == {cuda_multinomial.KERNEL}
        registers, spilled, stack = taken[cuda_multinomial.KERNEL]
        most = min(65_536 // (family.block * family.resident) // 8 * 8, 255)
        fits = registers <= most and spilled == stack == 0 and "warning" not in log
        return None if fits else f"{case} {family}: {taken[cuda_multinomial.KERNEL]}, of {most} registers; {log}"

    assert [found for found in in_pool(fault, softmax_cases(arch)) if found] == []
    assert len(compiled_cases) >= 2 * len(SOFTMAX_SHAPES)


@pytest.mark.parametrize(("alignment", "width"), [(16, 16), (8, 8), (4, 4)])
def test_rows_of_many_classes_are_copied_asynchronously_and_sums_alone_are_stored(alignment, width):
    family = choose_softmax_family(100, 10, "float32", "float32", alignment)
    assert isinstance(family, SoftmaxFamily)
    options = cuda_multinomial.kernel_options(family, 100, 10, "float32", "float32", "float32")
    code = kernel_source(f"{cuda_multinomial.KERNEL}.cu", cuda_multinomial.HEADERS)
    text = ptx(code, (*options, *nvrtc.CUPY_OPTIONS, "-arch=compute_90"))
    copies = re.findall(r"cp\.async\.(c[ag])\.shared\.global \[\w+\], \[%\w+\], (\d+)", text)
    assert copies
    assert set(copies) == {("cg" if width == 16 else "ca", str(width))}
    assert set(re.findall(r"st\.global\.(\w+)", text)) <= {"f64", "b64"}  # float64 sums; no logit, no dZ
    assert "st.local" not in text


def test_the_softmax_kernel_compiles_where_there_are_no_asynchronous_copies():
    family = choose_softmax_family(100, 10, "float32", "float32", 16, 48 * 1024)
    assert isinstance(family, SoftmaxFamily)
    options = cuda_multinomial.kernel_options(family, 100, 10, "float32", "float32", None)
    code = kernel_source(f"{cuda_multinomial.KERNEL}.cu", cuda_multinomial.HEADERS)
    text = ptx(code, (*options, *nvrtc.CUPY_OPTIONS, "-arch=compute_75"))
    assert "cp.async" not in text
    assert "st.shared" in text


def test_weights_beyond_shared_memory_are_read_through_the_read_only_cache():
    family = choose_softmax_family(4000, 3, "float64", "float64", 8)
    assert isinstance(family, SoftmaxFamily)
    assert family.w_shared == 0
    options = cuda_multinomial.kernel_options(family, 4000, 3, "float64", "float64", None)
    code = kernel_source(f"{cuda_multinomial.KERNEL}.cu", cuda_multinomial.HEADERS)
    text = ptx(code, (*options, *nvrtc.CUPY_OPTIONS, "-arch=compute_90"))
    assert len(re.findall(r"ld\.global\.nc\.f64", text)) >= family.tile_classes
