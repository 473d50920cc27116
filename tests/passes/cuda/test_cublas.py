"""The CUDA pass: on a stand-in for CuPy everywhere, on CuPy itself where there is a GPU."""

from __future__ import annotations

import itertools

import fake_cupy
import kernel_host
import numpy as np
import pytest
from test_cuda_dense import shifted

from gpu_logreg.arrays.device import cuda_problem, import_cupy
from gpu_logreg.errors import ImplementationError
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows

SPECIALISATIONS = [
    (real, label, weight)
    for real in ("float32", "float64")
    for label, weight in itertools.product(("uint8", real), (None, "float32", "float64"))
]
RAGGED = (1, 31, 32, 33, 255, 256, 257, 1000)


@pytest.fixture
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    cublas._kernel.cache_clear()
    with fake_cupy.installed(monkeypatch) as cupy:
        yield cupy
    cublas._kernel.cache_clear()


@pytest.fixture(params=["fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def cupy(request):
    if request.param == "fake":
        return request.getfixturevalue("fake")
    problem = cuda_problem()
    if problem:
        pytest.skip(problem)
    return import_cupy()


def make_rows(n: int, d: int, real: str, label: str, weight: str | None) -> Rows:
    """Rows on the host."""
    rng = np.random.default_rng([n, d])
    X = rng.standard_normal((n, d)).astype(real)
    y = rng.integers(0, 2, n) if label == "uint8" else rng.random(n)
    s = None if weight is None else (rng.exponential(size=n) * (rng.random(n) < 0.8)).astype(weight)
    return Rows(X, y.astype(label), s)


def to_device(cupy, rows: Rows) -> Rows:
    return Rows(*(None if array is None else cupy.asarray(array) for array in rows))


def parameters(d: int) -> tuple[np.ndarray, float]:
    return np.random.default_rng(d).standard_normal(d), 0.3


def widened(rows: Rows) -> Rows:
    y = rows.y if rows.y.dtype == np.uint8 else rows.y.astype(np.float64)
    return Rows(rows.X.astype(np.float64), y, None if rows.sample_weight is None else rows.sample_weight.astype(float))


def check(sums: Sums, rows: Rows, w: np.ndarray, b: float) -> None:
    """No further from float64 than the reference pass in the same dtype, but for a few bits of the largest terms."""
    true, plain = reference_pass(widened(rows), w, b), reference_pass(rows, w, b)
    terms = 4 * np.finfo(rows.X.dtype).eps * len(rows.y)
    assert abs(sums.loss_sum - true.loss_sum) <= abs(plain.loss_sum - true.loss_sum) + terms
    assert abs(sums.db_sum - true.db_sum) <= abs(plain.db_sum - true.db_sum) + terms
    assert np.abs(sums.dw_sum - true.dw_sum).max() <= np.abs(plain.dw_sum - true.dw_sum).max() + terms
    assert type(sums.loss_sum) is type(sums.db_sum) is float
    assert type(sums.dw_sum) is np.ndarray
    assert sums.dw_sum.dtype == np.float64


@pytest.mark.parametrize("n", RAGGED)
@pytest.mark.parametrize(("real", "label", "weight"), SPECIALISATIONS)
def test_sums_follow_the_reference(cupy, real, label, weight, n):
    rows, (w, b) = make_rows(n, 5, real, label, weight), parameters(5)
    on_device = to_device(cupy, rows)
    assert cublas.supports(on_device) is None
    check(cublas.cublas_pass(on_device, w, b), rows, w, b)


@pytest.mark.parametrize("blocks", [1, 2])
def test_more_rows_than_the_largest_grid_has_threads(cupy, monkeypatch, blocks):
    monkeypatch.setattr(cublas, "MAX_BLOCKS", blocks)
    rows, (w, b) = make_rows(1000, 5, "float32", "uint8", "float32"), parameters(5)
    check(cublas.cublas_pass(to_device(cupy, rows), w, b), rows, w, b)


@pytest.mark.parametrize("layout", ["Fortran", "rows", "columns", "rows of Fortran"])
def test_layouts_of_x(cupy, layout):
    rows, (w, b) = make_rows(300, 6, "float32", "uint8", None), parameters(6)
    X = {
        "Fortran": lambda: cupy.asarray(rows.X.T.copy()).T,
        "rows": lambda: cupy.asarray(rows.X.repeat(2, axis=0))[::2],
        "columns": lambda: cupy.asarray(np.hstack([rows.X, rows.X]))[:, :6],
        "rows of Fortran": lambda: cupy.asarray(np.vstack([rows.X, rows.X]).T.copy()).T[:300],
    }[layout]()
    assert not X.flags.c_contiguous
    on_device = Rows(X, cupy.asarray(rows.y), None)
    assert cublas.supports(on_device) is None
    check(cublas.cublas_pass(on_device, w, b), rows, w, b)
    assert not fake_cupy.counts["copies of X that CuPy makes for cuBLAS"]


@pytest.mark.parametrize("weight", [None, "float64"])
def test_no_rows_give_zeros(cupy, weight):
    sums = cublas.cublas_pass(to_device(cupy, make_rows(0, 4, "float32", "uint8", weight)), np.ones(4), 1.0)
    assert sums.loss_sum == sums.db_sum == 0
    np.testing.assert_array_equal(sums.dw_sum, np.zeros(4))


def test_sums_of_parts_add_up(cupy):
    rows, (w, b) = make_rows(1000, 5, "float64", "float64", "float64"), parameters(5)
    whole = to_device(cupy, rows)
    parts = [Rows(*(array[part] for array in whole)) for part in (slice(0, 333), slice(333, 1000))]
    together, added = (
        cublas.cublas_pass(whole, w, b),
        cublas.cublas_pass(parts[0], w, b) + cublas.cublas_pass(parts[1], w, b),
    )
    np.testing.assert_allclose(together.loss_sum, added.loss_sum, rtol=1e-13)
    np.testing.assert_allclose(together.db_sum, added.db_sum, rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(together.dw_sum, added.dw_sum, rtol=1e-13, atol=1e-11)


def test_a_second_run_gives_the_same_bits(cupy):
    on_device, (w, b) = to_device(cupy, make_rows(1000, 5, "float32", "uint8", "float32")), parameters(5)
    runs = []
    for seed in range(4):
        fake_cupy.schedule_seed = seed  # means nothing to a GPU, which has schedules of its own
        loss_sum, dw_sum, db_sum = cublas.cublas_pass(on_device, w, b)
        runs.append((loss_sum, dw_sum.tobytes(), db_sum))
    fake_cupy.schedule_seed = 0
    assert len(set(runs)) == 1


def test_one_launch_and_one_copy_each_way(fake):
    on_device, (w, b) = to_device(fake, make_rows(1000, 5, "float32", "uint8", "float32")), parameters(5)
    for _ in range(2):
        fake.counts.clear()
        cublas.cublas_pass(on_device, w, b)
        assert fake.counts == {"launches": 1, "copies to the host": 1, "copies to the device": 1}


def test_no_rows_launch_nothing(fake):
    on_device = to_device(fake, make_rows(0, 5, "float32", "uint8", None))
    fake.counts.clear()
    cublas.cublas_pass(on_device, *parameters(5))
    assert not fake.counts


def test_a_kernel_is_compiled_once(fake):
    on_device = to_device(fake, make_rows(10, 5, "float32", "uint8", None))
    for _ in range(3):
        cublas.cublas_pass(on_device, *parameters(5))
    assert cublas._kernel.cache_info().misses == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows._replace(X=np.zeros((8, 2))), "takes CuPy arrays, and X is a numpy.ndarray"),
        (lambda rows: rows._replace(y=np.zeros(8)), "takes CuPy arrays, and y is a numpy.ndarray"),
        (lambda rows: rows._replace(y=[0] * 8), "takes CuPy arrays, and y is a builtins.list"),
        (lambda rows: rows._replace(sample_weight=np.ones(8)), "and sample_weight is a numpy.ndarray"),
        (lambda rows: rows._replace(X=rows.X[0]), "and X is 1-D float32"),
        (lambda rows: rows._replace(X=rows.X.astype(np.float16)), "and X is 2-D float16"),
        (lambda rows: rows._replace(X=rows.X.astype(np.int64)), "and X is 2-D int64"),
        (lambda rows: rows._replace(y=rows.y.astype(np.int64)), "takes y in uint8 or in the dtype of X .float32."),
        (lambda rows: rows._replace(y=rows.y.astype(np.float64)), "and y is float64"),
        (lambda rows: rows._replace(y=rows.y.astype(np.bool_)), "and y is bool"),
        (lambda rows: rows._replace(y=rows.y[:7]), r"y of shape \(8,\) for the 8 rows of X, and y has \(7,\)"),
        (lambda rows: rows._replace(y=rows.y[:, None]), r"and y has \(8, 1\)"),
        (lambda rows: rows._replace(X=rows.X[:4], y=rows.y[::2]), "takes a contiguous y"),
        (lambda rows: rows._replace(sample_weight=rows.y), "and sample_weight is uint8"),
        (lambda rows: rows._replace(sample_weight=rows.X[:7, 0]), r"and sample_weight has \(7,\)"),
        (lambda rows: rows._replace(sample_weight=rows.X[:, 0]), "takes a contiguous sample_weight"),
        (lambda rows: rows._replace(X=shifted(rows.X)), "X at addresses that the 4 bytes of float32 divide"),
        (lambda rows: rows._replace(y=shifted(rows.X[:, 0])), "y at addresses that the 4 bytes of float32 divide"),
        (
            lambda rows: rows._replace(sample_weight=shifted(rows.X[:, 0])),
            "sample_weight at addresses that the 4 bytes of float32 divide",
        ),
    ],
)
def test_rows_that_are_refused(cupy, change, reason):
    rows = change(to_device(cupy, make_rows(8, 2, "float32", "uint8", None)))
    with pytest.raises(ImplementationError, match=reason) as error:
        cublas.cublas_pass(rows, np.zeros(2), 0.0)
    assert str(error.value) == cublas.supports(rows)
    assert "\n" not in str(error.value)


def test_rows_beyond_the_reach_of_cublas(fake):
    one = fake.asarray(np.zeros(1, np.float32))
    many = fake.wrapped(np.lib.stride_tricks.as_strided(fake.peek(one), (2**31, 1), (0, 0)))
    assert cublas.supports(Rows(many, one, None)) == (
        "the cublas pass takes fewer than 2**31 rows at once, and X has 2147483648; split them into blocks"
    )


def test_arrays_of_two_devices(fake):
    rows = to_device(fake, make_rows(8, 2, "float32", "uint8", None))
    rows = rows._replace(y=fake.moved(rows.y, 1))
    assert cublas.supports(rows) == "the cublas pass takes arrays of one device; X is on 0 and y on 1"
