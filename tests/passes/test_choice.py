"""The choice among the passes: automatic thresholds, explicit wishes and their refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError, ImplementationError
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.passes.choice import CPU_PASS_ELEMENTS, NAMES, choose
from gpu_logreg.rows.block import Rows, compute_dtype

CPU, CUDA = Device("cpu"), Device("cuda")


def rows(n: int, d: int = 1, dtype="float32") -> Rows:
    """Rows that take no memory: every element is the same one."""
    return Rows(np.broadcast_to(np.zeros(1, dtype), (n, d)), np.broadcast_to(np.uint8(0), n), None)


def test_auto_on_the_cpu_changes_at_its_threshold():
    few, many = choose("auto", rows(CPU_PASS_ELEMENTS - 1), CPU), choose("auto", rows(CPU_PASS_ELEMENTS), CPU)
    assert few.name == "reference"
    assert few.reason == f"auto: {CPU_PASS_ELEMENTS - 1:,} elements are fewer than {CPU_PASS_ELEMENTS:,}"
    assert many.name == "cpu"
    assert many.reason.startswith("auto: ")


def test_auto_counts_elements_not_rows():
    assert choose("auto", rows(CPU_PASS_ELEMENTS // 100, 100), CPU).name == "cpu"
    assert choose("auto", rows(CPU_PASS_ELEMENTS // 100, 99), CPU).name == "reference"


def test_auto_counts_the_logits_of_a_row():
    enough = CPU_PASS_ELEMENTS // 3 + 1
    few, many = (choose("auto", rows(n), CPU, Classes(3)) for n in (enough - 1, enough))
    assert few.reason == f"auto: {enough - 1:,} elements are fewer than {enough:,}"
    assert many.name == "cpu"


def test_auto_falls_back_with_the_reason_where_a_fast_pass_cannot_take_the_rows():
    wide = rows(CPU_PASS_ELEMENTS, dtype=np.longdouble)
    if wide.X.itemsize == 8:
        pytest.skip("long double is float64 on this machine")
    found = choose("auto", wide, CPU)
    assert found.name == "reference"
    assert "at most 8 bytes" in found.reason
    found = choose("auto", rows(2), CUDA)  # host rows on a GPU device, as a stand-in for rows it refuses
    assert found.name == "reference"
    assert "auto: the cuda pass takes CuPy arrays" in found.reason


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int64", "bool", ">f4"])
def test_an_explicit_wish_is_granted(impl, dtype):
    found = choose(impl, rows(3, dtype=dtype), CPU)
    assert found.name == impl
    assert found.reason == "asked for"


@pytest.mark.parametrize(
    ("impl", "device", "reason"),
    [
        ("cuda", CPU, "impl='cuda' needs rows on a GPU, and the device is cpu; use device='cuda'"),
        ("cpu", CUDA, "impl='cpu' needs rows in host memory, and the device is cuda:0; use device='cpu'"),
    ],
)
def test_a_wish_for_another_device_is_refused(impl, device, reason):
    with pytest.raises(ImplementationError) as error:
        choose(impl, rows(3), device)
    assert str(error.value) == reason


def test_a_wish_for_rows_that_a_pass_cannot_take_is_refused():
    with pytest.raises(ImplementationError) as error:
        choose("cpu", rows(3, dtype=np.complex128), CPU)
    assert str(error.value) == (
        "impl='cpu' cannot be used: the cpu pass reads real numbers of at most 8 bytes, and X is complex128; "
        "use impl='auto'"
    )


@pytest.mark.parametrize("impl", ["numba", "", "CPU", "passes.cpu"])
def test_an_unknown_pass_is_refused_by_name(impl):
    with pytest.raises(DataError) as error:
        choose(impl, rows(3), CPU)
    assert f"impl={impl!r} is not known" in str(error.value)
    for name in ("auto", *NAMES):
        assert f"'{name}'" in str(error.value)


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        *((name, "float32") for name in ("float16", "float32", ">f4", "int8", "uint8", "int16", "uint16", "bool")),
        *((name, "float64") for name in ("float64", ">f8", "int32", "uint32", "int64", "uint64")),
    ],
)
def test_rows_are_computed_in_a_dtype_that_holds_them(storage, expected):
    found = compute_dtype(np.dtype(storage))
    assert found == expected
    assert found.isnative
    if np.dtype(storage).kind in "iu":
        limits = np.iinfo(storage)
        if np.dtype(storage).itemsize < 8:
            assert int(found.type(limits.max)) == limits.max
            assert int(found.type(limits.min)) == limits.min


class Other(Binary):
    """A loss that only the reference engine can take."""


@pytest.mark.parametrize("sparse", [False, True])
def test_a_new_loss_goes_to_the_reference_engine_and_others_refuse_it_by_name(sparse):
    X = csr_rows(csr_array(np.eye(4))) if sparse else np.eye(4)
    few = Rows(X, np.zeros(4, np.uint8), None)
    assert choose("auto", few, CPU, Other()).name == "reference"
    with pytest.raises(ImplementationError) as error:
        choose("cpu", few, CPU, Other())
    assert str(error.value) == "impl='cpu' cannot be used: the cpu pass knows no loss Other; use impl='auto'"
