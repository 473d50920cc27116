"""The stand-in for CuPy does what CuPy does where NumPy does something else; on a GPU the same is asked of CuPy."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest

from gpu_logreg.arrays.device import cuda_problem, import_cupy


@pytest.fixture
def fake(monkeypatch):
    with fake_cupy.installed(monkeypatch) as module:
        yield module


@pytest.fixture(params=["fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def cupy(request):
    if request.param == "fake":
        return request.getfixturevalue("fake")
    if cuda_problem():
        pytest.skip(cuda_problem())
    return import_cupy()


def there(cupy, *values, dtype="float32"):
    return cupy.asarray(np.array(values, dtype=dtype))


# ---- between host and device


def test_nothing_becomes_a_numpy_array_of_its_own_accord(cupy):
    x = there(cupy, 1, 2)
    assert not isinstance(x, np.ndarray)
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        np.asarray(x)
    assert type(x.get()) is np.ndarray
    assert not hasattr(x, "__array_namespace__")


def test_host_arrays_do_not_mix_with_device_arrays(cupy):
    x, host = there(cupy, 1, 2), np.ones(2, np.float32)
    for mixed in (
        lambda: x + host,
        lambda: host * x,
        lambda: cupy.maximum(x, host),
        lambda: x.__iadd__(host),
        lambda: x @ host,
        lambda: cupy.concatenate([x, host]),
        lambda: cupy.exp(x, out=host),
    ):
        with pytest.raises(TypeError):
            mixed()


def test_scalars_are_arrays_of_no_dimension(cupy):
    x = there(cupy, 3, 1, 2)
    for found in (x.sum(), x.min(), x.max(), x.mean(), x.argmax(), x.all(), cupy.count_nonzero(x), x[0], x @ x):
        assert isinstance(found, cupy.ndarray)
        assert found.shape == ()
    assert (float(x.sum()), int(x.argmax()), bool(x.all())) == (6.0, 0, True)


def test_an_element_is_a_view(cupy):
    x = there(cupy, 3, 1, 2)
    first = x[0]
    first[...] = 7
    assert x.get().tolist() == [7, 1, 2]


def test_what_is_not_written_is_nan(fake):
    assert np.isnan(fake.empty((2, 3)).get()).all()
    assert np.isnan(fake.empty((2, 3), dtype=np.float32, order="F").get()).all()
    assert np.isnan(fake.empty_like(there(fake, 1, 2)).get()).sum() >= 0


def test_every_crossing_is_counted(fake):
    fake.counts.clear()
    x = there(fake, 1, 2)
    x.get()
    float(x[0])
    assert fake.counts == {"copies to the device": 1, "copies to the host": 1, "scalars read": 1}
    with pytest.raises(AssertionError, match="one element at a time"):
        list(x)
    with pytest.raises(AssertionError, match="one element at a time"):
        bool(x)


def test_types_that_no_device_has_are_refused(cupy):
    for host in (np.array(["a"]), np.array([None]), np.array(["2020-01-01"], "datetime64[D]")):
        with pytest.raises((ValueError, TypeError)):
            cupy.asarray(host)


def test_an_array_in_fortran_order_keeps_it(cupy):
    host = np.asfortranarray(np.ones((3, 2)))
    assert cupy.asarray(host).flags.f_contiguous
    assert cupy.asarray(np.ones((4, 4))[::2, ::2]).flags.c_contiguous


# ---- what CuPy lacks, and how it is called


@pytest.mark.parametrize(
    "call",
    [
        lambda cupy, x: x.min(initial=0.0),
        lambda cupy, x: x.sum(where=True),
        lambda cupy, x: x.mean(0, None, None, False, True),
        lambda cupy, x: x.astype(np.float64, copy=False, like=None),
        lambda cupy, x: cupy.asarray(x, subok=True),
        lambda cupy, x: x.take(0, mode="clip"),
        lambda cupy, x: cupy.zeros(3, like=x),
        lambda cupy, x: cupy.exp(x, where=x > 0),
        lambda cupy, x: cupy.empty(3, device=0),
        lambda cupy, x: cupy.count_nonzero(x, keepdims=True),
        lambda cupy, x: cupy.where(x > 0, x, 0, None),
        lambda cupy, x: cupy.cuda.Stream(nonblocking=True),
        lambda cupy, x: cupy.RawModule(code="", flags=()),
        lambda cupy, x: x.get(copy=True),
    ],
)
def test_arguments_that_cupy_does_not_take(cupy, call):
    with pytest.raises(TypeError):
        call(cupy, there(cupy, 1, 2))


@pytest.mark.parametrize(
    "name", ["ctypes", "setflags", "newbyteorder", "tostring", "getfield", "__array_namespace__", "__index__"]
)
def test_attributes_that_cupys_arrays_lack(cupy, name):
    with pytest.raises(AttributeError):
        getattr(there(cupy, 1, 2), name)


@pytest.mark.parametrize("name", ["spacing", "busday_count", "errstate", "testing_", "np", "counts", "sys"])
def test_functions_that_cupy_lacks(cupy, name):
    module = import_cupy() if cupy is fake_cupy else cupy
    if name == "sys" and cupy is not fake_cupy:
        pytest.skip("CuPy shows the modules it imports")
    with pytest.raises(AttributeError):
        getattr(module, name)


def test_flags_tell_of_the_order_alone(cupy):
    x = cupy.zeros((2, 3))
    assert (x.flags.c_contiguous, x.T.flags.f_contiguous, x.flags["C_CONTIGUOUS"]) == (True, True, True)
    assert not hasattr(x.flags, "writeable")
    assert not x[:, :2].flags.c_contiguous
    assert x[1:].data.ptr == x.data.ptr + 24


# ---- types of results


def test_numbers_of_python_are_weak_and_those_of_numpy_are_not(cupy):
    x, k, flag = there(cupy, 1, 2), there(cupy, 1, 2, dtype="uint8"), there(cupy, 0, 1, dtype="bool")
    wanted = {
        "float32": [x * 2, x * 2.5, 1 - x, x**2, cupy.maximum(x, 0), cupy.where(x > 0, 1, x), x / (1 + x)],
        "float64": [x * np.float64(2), x * x.sum(dtype=np.float64), k * 2.5, k / k, flag.mean(), k.mean()],
        "uint8": [k + 1, k * k],
        "int64": [flag * 2, flag.sum(), x.argmax()],
        "uint64": [k.sum()],
        "bool": [x > 1, ~flag, k == 1, cupy.isfinite(x), flag & flag, x.any()],
    }
    for dtype, results in wanted.items():
        assert [result.dtype for result in results] == [np.dtype(dtype)] * len(results), dtype
    assert cupy.exp(k).dtype == np.float16  # as in NumPy


def test_types_of_products(cupy):
    X, w = cupy.zeros((3, 2), dtype=np.float32), cupy.zeros(2)
    assert (X @ w).dtype == np.float64
    assert (X @ w.astype(np.float32)).dtype == np.float32


def test_what_has_no_loop_is_refused(cupy):
    flag = there(cupy, 0, 1, dtype="bool")
    for wrong in (lambda: flag - flag, lambda: -flag, lambda: there(cupy, 1.5) & there(cupy, 1.5)):
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_out_takes_numbers_of_its_own_kind(cupy, dtype):
    x, out = there(cupy, 1.5, 2.5), cupy.zeros(2, dtype=dtype)
    for wrong in (lambda: cupy.multiply(x, x, out=out), lambda: out.__itruediv__(2), lambda: out.__iadd__(x)):
        with pytest.raises(TypeError):
            wrong()
    narrow = cupy.zeros(2, dtype=np.float32)
    assert cupy.multiply(x.astype(np.float64), 2.0, out=narrow) is narrow
    assert narrow.get().tolist() == [3.0, 5.0]
    with pytest.raises(ValueError):
        cupy.multiply(x, x, out=cupy.zeros(3, dtype=np.float32))


def test_arithmetic_does_not_warn(cupy):
    x = there(cupy, 0, -1)
    assert not np.isfinite((1 / x).get()).all()
    assert np.isnan(cupy.log(x).get()).any()
    assert not np.isfinite(cupy.exp(x + 1000).get()).any()


# ---- indices


def test_indices(cupy):
    x = there(cupy, 1, 2, 3, 4)
    at = there(cupy, 2, 0, dtype="int64")
    assert x[at].get().tolist() == [3, 1]
    assert x[x > 2].get().tolist() == [3, 4]
    assert x[1:3].data.ptr == x.data.ptr + 4
    with pytest.raises(IndexError, match="integer or boolean type"):
        x[there(cupy, 1.0)]
    x[x > 2] = 0
    assert x.get().tolist() == [1, 2, 0, 0]
    x[at] = 9
    assert x.get().tolist() == [9, 2, 9, 0]


def test_host_arrays_are_no_indices_here(fake):
    """CuPy would copy them to the device, every time and in silence."""
    with pytest.raises(TypeError):
        there(fake, 1, 2)[np.array([0])]
    with pytest.raises(TypeError):
        np.where(there(fake, 1, 2) > 0)  # which CuPy takes, as its own


def test_only_a_stable_sort_keeps_equals_in_order(cupy):
    x = there(cupy, 2, 1, 2, 1)
    assert cupy.argsort(x, kind="stable").get().tolist() == [1, 3, 0, 2]
    assert cupy.sort(x).get().tolist() == [1, 1, 2, 2]
    for call in (lambda: cupy.sort(x, kind="quicksort"), lambda: cupy.argsort(x, kind="mergesort")):
        with pytest.raises(ValueError, match="kind"):
            call()


def test_no_order_of_equals_is_promised_without_it(fake):
    assert fake.argsort(there(fake, 2, 1, 2, 1)).get().tolist() == [3, 1, 2, 0]


# ---- devices


def test_arrays_of_another_device_are_refused(fake, monkeypatch):
    monkeypatch.setattr(fake_cupy, "device_count", 2)
    x = there(fake, 1, 2)
    with fake.cuda.Device(1):
        other = there(fake, 1, 2)
        assert fake.cuda.Device().id == other.device.id == 1
        assert (other + other).device.id == 1
        for wrong in (lambda: x + other, lambda: x.sum(), lambda: x.astype(np.int64), lambda: x[other > 0]):
            with pytest.raises(ValueError, match="Array device must be same as the current device"):
                wrong()
        assert x.get().tolist() == [1, 2]  # which looks for itself where it is
        assert fake.asarray(x).device.id == 1
    with pytest.raises(ValueError, match="array device = 1 while current = 0"):
        other * 2
    with other.device:
        assert float((other * 2).sum()) == 6.0
    with pytest.raises(fake.CUDARuntimeError, match="invalid device ordinal"), fake.cuda.Device(2):
        pass


# ---- factorisations

WITHOUT_A_FACTOR = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 5.0], [0.0, 5.0, 1.0]])


def test_a_failed_factorisation_is_told_of_where_it_is_asked_for(cupy):
    import cupyx

    A = cupy.asarray(WITHOUT_A_FACTOR)
    with cupyx.errstate(linalg="raise"), pytest.raises(np.linalg.LinAlgError):
        cupy.linalg.cholesky(A)
    L = cupy.linalg.cholesky(A).get()  # and in silence where it is not
    assert not np.allclose(L @ L.T, WITHOUT_A_FACTOR)
    good = np.diag([4.0, 9.0])
    assert cupy.linalg.cholesky(cupy.asarray(good)).get().tolist() == [[2, 0], [0, 3]]


def test_no_pivot_tells_of_a_failed_factorisation(fake):
    pivots = fake.linalg.cholesky(fake.asarray(WITHOUT_A_FACTOR)).diagonal().get()
    assert (pivots > 0).all()


def test_settings_of_factorisations_last_for_a_block(cupy):
    import cupyx

    A = cupy.asarray(WITHOUT_A_FACTOR)
    with cupyx.errstate(linalg="raise"):
        with cupyx.errstate(), pytest.raises(np.linalg.LinAlgError):
            cupy.linalg.cholesky(A)
        with cupyx.errstate(linalg="ignore"):
            cupy.linalg.cholesky(A)
        with pytest.raises(np.linalg.LinAlgError):
            cupy.linalg.cholesky(A)
    cupy.linalg.cholesky(A)
    with pytest.raises(NotImplementedError), cupyx.errstate(divide="raise"):
        pass


# ---- other libraries


def test_arrays_go_to_other_libraries_and_come_from_them(fake):
    import device_tensors

    x = fake.from_dlpack(device_tensors.TorchLike(np.array([1.0, 2.0])))
    assert (x.device.id, x.get().tolist()) == (0, [1.0, 2.0])
    assert x.__dlpack_device__() == (2, 0)
    assert device_tensors.from_dlpack(x).held.tolist() == [1.0, 2.0]
    with pytest.raises(BufferError):
        fake.from_dlpack(np.ones(2))
