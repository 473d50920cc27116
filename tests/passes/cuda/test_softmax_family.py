"""The choice of a kernel for many classes, and the rows that the CUDA pass for them refuses."""

from __future__ import annotations

import re
import time
from pathlib import Path

import fake_cupy
import kernel_host
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import ImplementationError
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda.tuning.family import STORAGES
from gpu_logreg.passes.cuda.tuning.softmax_family import MOST_SHARED_BYTES, admissible, choose_softmax_family
from gpu_logreg.passes.cuda.tuning.softmax_layout import SoftmaxFamily, padded_shape, shared_bytes
from gpu_logreg.rows.block import Rows

WORDS = {"float32": 1, "float64": 2}


@st.composite
def wishes(draw):
    """Arguments of `choose_softmax_family` for gradients that are not too large."""
    storage, real = draw(st.sampled_from(sorted(STORAGES))), draw(st.sampled_from(sorted(WORDS)))
    alignment = draw(st.sampled_from([size for size in (1, 2, 4, 8, 16) if size >= STORAGES[storage]]))
    n_classes = draw(st.integers(3, 60))
    d = draw(st.integers(1, 4000 // n_classes))
    return d, n_classes, storage, real, alignment


@settings(max_examples=15, deadline=None)
@given(wishes())
def test_every_member_keeps_the_rules_of_the_kernel(wish):
    """What the text of the kernel asserts when it is compiled, and what the machine has."""
    d, n_classes, storage, real, alignment = wish
    size = STORAGES[storage]
    found = [family for family, _ in admissible(*wish)]
    assert choose_softmax_family(*wish) in found
    for family in found:
        assert d * size % family.copy == 0
        assert alignment % family.copy == 0
        assert family.vec == max(4, size)
        assert family.pitch >= -(-d * size // family.vec) * family.vec
        assert family.pitch % family.vec == family.pitch % family.copy == 0
        assert family.rows % family.tile_rows == 0
        assert family.rows * family.softmax_lanes <= family.block
        assert family.softmax_lanes in (1, 2, 4, 8, 16, 32)
        assert family.softmax_lanes <= n_classes <= family.block
        vectors = -(-d * size // family.vec)
        column_groups, class_groups = -(-vectors // family.held), -(-n_classes // family.tile_classes)
        assert (family.held - 1) * column_groups < vectors
        assert column_groups * class_groups <= family.block
        held = family.held * family.vec // size * family.tile_classes * WORDS[real]
        assert held < 65_536 // (family.block * family.resident) <= 512
        assert family.shared == shared_bytes(family, d, n_classes, size, 4 * WORDS[real]) <= MOST_SHARED_BYTES
        assert padded_shape(family, d, n_classes, storage) == (
            class_groups * family.tile_classes,
            vectors * family.vec // size,
        )


def test_a_larger_budget_is_never_asked_for_and_a_smaller_one_is_kept():
    for budget in (MOST_SHARED_BYTES, 48 * 1024, 16 * 1024):
        families = [family for family, _ in admissible(100, 10, "float32", "float32", 16, budget)]
        assert families
        assert max(family.shared for family in families) <= budget
    assert MOST_SHARED_BYTES + 256 <= 99 * 1024  # what the kernel has besides are slots of sums


def test_a_choice_takes_less_time_than_a_compilation():
    choose_softmax_family.cache_clear()
    begin = time.perf_counter()
    choose_softmax_family(784, 26, "uint8", "float32", 16)
    assert time.perf_counter() - begin < 0.5


def widest_of(refused: str) -> int:
    """The width that a refusal names."""
    (figure,) = re.findall(r"which hold ([\d,]+) columns in ", refused)
    return int(figure.replace(",", ""))


@pytest.mark.parametrize("real", sorted(WORDS))
@pytest.mark.parametrize(("n_classes", "least"), [(3, 4_500), (10, 1_000), (100, 100)])
def test_what_does_not_fit_is_said_with_the_width_that_does(n_classes, least, real):
    refused = choose_softmax_family(100_000, n_classes, "float32", real)
    assert isinstance(refused, str)
    widest = widest_of(refused)
    assert refused.endswith(real)
    assert widest >= least
    assert isinstance(choose_softmax_family(widest, n_classes, "float32", real, 4), SoftmaxFamily)
    assert isinstance(choose_softmax_family(widest + 1, n_classes, "float32", real, 4), str)


def test_the_document_names_the_widest_rows():
    text = (Path(__file__).parents[3] / "docs" / "kernels.md").read_text()
    for n_classes in (3, 10, 26, 100):
        widths = [widest_of(str(choose_softmax_family(100_000, n_classes, real, real))) for real in sorted(WORDS)]
        assert f"| {n_classes} | {widths[0]:,} | {widths[1]:,} |" in text


def test_more_classes_than_threads():
    assert isinstance(choose_softmax_family(3, 512, "float32", "float32"), SoftmaxFamily)
    refused = choose_softmax_family(3, 513, "float32", "float32")
    assert refused == "it takes at most 512 classes, and there are 513"


@pytest.fixture
def cupy(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    cuda_multinomial._most_shared.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    cuda_multinomial._most_shared.cache_clear()


def device_rows(cupy, n: int = 8, d: int = 3, dtype: str = "float32") -> Rows:
    X = np.arange(n * d).reshape(n, d) % 7
    return Rows(cupy.asarray(X.astype(dtype)), cupy.asarray(np.arange(n, dtype=np.int32) % 3), None)


def moved(cupy, array):
    """The same values one byte further on."""
    bytes_ = np.empty(array.nbytes + 1, np.uint8)
    bytes_[1:] = array.get().reshape(-1).view(np.uint8)
    return cupy.asarray(bytes_)[1:].view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _, rows: rows._replace(X=np.zeros((8, 3))), "takes CuPy arrays, and X is a numpy.ndarray"),
        (lambda _, rows: rows._replace(X=rows.X[0]), "and X is 1-D float32"),
        (lambda _, rows: rows._replace(X=rows.X.astype(np.int64)), "and X is 2-D int64"),
        (lambda _, rows: rows._replace(X=rows.X[:, :0]), "takes at least one column"),
        (lambda _, rows: rows._replace(X=rows.X[:, ::2]), r"rows that are contiguous \(C order\)"),
        (
            lambda _, rows: rows._replace(y=rows.y.astype(np.int64)),
            "takes y in int32 numbers of classes, and y is int64",
        ),
        (lambda _, rows: rows._replace(y=rows.y.astype(np.uint8)), "and y is uint8"),
        (lambda _, rows: rows._replace(y=rows.y[:7]), r"y of shape \(8,\) for the 8 rows of X, and y has \(7,\)"),
        (lambda _, rows: rows._replace(X=rows.X[:4], y=rows.y[::2]), "takes a contiguous y; copy it once"),
        (lambda _, rows: rows._replace(sample_weight=rows.y), "and sample_weight is int32"),
        (lambda _, rows: rows._replace(sample_weight=rows.X[:, 0]), "takes a contiguous sample_weight"),
        (lambda cupy, rows: rows._replace(X=moved(cupy, rows.X)), "X at addresses that the 4 bytes of float32 divide"),
        (lambda cupy, rows: rows._replace(y=moved(cupy, rows.y)), "y at addresses that the 4 bytes of int32 divide"),
    ],
)
def test_rows_that_are_refused(cupy, change, reason):
    rows = change(cupy, device_rows(cupy))
    with pytest.raises(ImplementationError, match=reason) as error:
        cuda_multinomial.cuda_multinomial_pass(rows, np.zeros((3, 3)), np.zeros(3))
    assert str(error.value) == cuda_multinomial.supports(rows, 3) == cuda_multinomial.supports_fit(rows, 3)
    assert "\n" not in str(error.value)


def test_weights_of_another_width_and_arrays_of_another_device_are_refused(cupy):
    rows = device_rows(cupy)
    with pytest.raises(ImplementationError, match="as X has columns, 3, and W has 4"):
        cuda_multinomial.cuda_multinomial_pass(rows, np.zeros((3, 4)), np.zeros(3))
    rows = rows._replace(y=fake_cupy.moved(rows.y, 1))
    assert cuda_multinomial.supports(rows, 3) == "the cuda pass takes arrays of one device; X is on 0 and y on 1"


def test_a_device_with_less_shared_memory_gets_a_smaller_member(cupy, monkeypatch):
    rows = device_rows(cupy, d=100)
    large = cuda_multinomial.family_of(rows.X, 10, np.dtype("float32"))
    less = {"MultiProcessorCount": 4, "MaxSharedMemoryPerBlockOptin": 32 * 1024}
    monkeypatch.setattr(fake_cupy.Device, "attributes", less)
    cuda_multinomial._most_shared.cache_clear()
    small = cuda_multinomial.family_of(rows.X, 10, np.dtype("float32"))
    assert small.shared <= 32 * 1024 - 256 < large.shared


@pytest.mark.parametrize("impl", ["auto", "cuda"])
def test_a_fit_takes_the_pass_where_its_samples_and_float64_fit_too(cupy, impl):
    found = choose(impl, device_rows(cupy), Device("cuda"), Classes(3))
    assert found.name == "cuda"
    assert found.reason == ("auto: the rows are on a GPU" if impl == "auto" else "asked for")


def test_what_does_not_fit_goes_to_the_reference_pass_or_is_refused_by_name(cupy):
    widest = widest_of(str(choose_softmax_family(100_000, 26, "float64", "float64")))
    last, beyond = (device_rows(cupy, 3, d) for d in (widest - 1, widest))
    assert cuda_multinomial.supports(beyond, 26) is None  # these rows alone, in float32
    assert choose("auto", last, Device("cuda"), Classes(26)).name == "cuda"
    found = choose("auto", beyond, Device("cuda"), Classes(26))
    assert found.name == "reference"
    assert found.reason.startswith("auto: the cuda pass: the gradient of 26 classes by ")
    with pytest.raises(ImplementationError) as error:
        choose("cuda", beyond, Device("cuda"), Classes(26))
    assert str(error.value) == f"impl='cuda' cannot be used: {found.reason[6:]}; use impl='auto'"
    assert choose("reference", beyond, Device("cuda"), Classes(26)).reason == "asked for"
