"""The kernels of products with the Hessian compile within the registers that their families count on."""

from __future__ import annotations

import nvrtc
import pytest

from gpu_logreg.passes.cuda import classes, dense
from gpu_logreg.passes.cuda.source import kernel_source
from gpu_logreg.passes.cuda.tuning.family import Family, choose_family
from gpu_logreg.passes.cuda.tuning.softmax_family import choose_softmax_family
from gpu_logreg.passes.cuda.tuning.softmax_layout import SoftmaxFamily

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="the nvidia-cuda-nvrtc wheel is not installed")


def check(kernel: str, headers: tuple[str, ...], options: tuple[str, ...], family: Family | SoftmaxFamily) -> None:
    code = kernel_source(f"{kernel}.cu", headers)
    options += ("-DPRODUCT=1", *nvrtc.CUPY_OPTIONS, "-arch=sm_90", "--ptxas-options=-v")
    cubin, log = nvrtc.compile_cubin(code, options)
    assert cubin.startswith(b"\x7fELF")
    registers, spilled, stack = nvrtc.resources(log)[kernel]
    assert registers <= min(65_536 // (family.block * family.resident) // 8 * 8, 255)
    assert spilled == stack == 0
    assert "warning" not in log


@pytest.mark.parametrize(
    ("d", "storage", "real"),
    [(3, "float32", "float32"), (28, "float32", "float32"), (784, "uint8", "float32"), (100, "float64", "float64")],
)
def test_products_of_two_classes(d, storage, real):
    family = choose_family(d, storage, real)
    assert isinstance(family, Family)
    check(dense.KERNEL, dense.HEADERS, dense.kernel_options(family, storage, real, real, None), family)


@pytest.mark.parametrize(
    ("d", "K", "storage", "real", "weight"),
    [
        (28, 10, "float32", "float32", None),
        (784, 10, "uint8", "float32", "float64"),
        (54, 7, "float64", "float64", "float64"),
        (16, 26, "float16", "float32", "float32"),
    ],
)
def test_products_of_many_classes(d, K, storage, real, weight):
    family = choose_softmax_family(d, K, storage, real)
    assert isinstance(family, SoftmaxFamily)
    check(classes.KERNEL, classes.HEADERS, classes.kernel_options(family, d, K, storage, real, weight), family)
