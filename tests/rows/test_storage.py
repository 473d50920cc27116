"""How rows are stored: the narrowest dtype that loses nothing, what was asked for, and what does not fit."""

from __future__ import annotations

import warnings

import fake_cupy
import kernel_host
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpu_logreg import LogisticRegression, MLPClassifier, loss_and_gradient
from gpu_logreg.arrays.device import Device
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.errors import DataError, DeviceError
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.rows import upload as upload_module
from gpu_logreg.rows.storage import narrowest, store
from gpu_logreg.rows.upload import upload

CPU, CUDA = Device("cpu"), Device("cuda")


@pytest.fixture
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    cuda._kernels.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    cuda._kernels.cache_clear()


def whole_numbers(n: int = 3000, d: int = 8, top: int = 255):
    """Rows of whole numbers from 0 to ``top``, and labels."""
    rng = np.random.default_rng(1)
    X = rng.integers(0, top + 1, (n, d)).astype(np.float64)
    y = (rng.logistic(size=n) < (X - X.mean(axis=0)) @ rng.standard_normal(d) / top).astype(np.int64)
    return X, y


# ---- what is lossless


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.int16, np.bool_]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=None,
    )
)
def test_the_narrowest_dtype_holds_every_value(X):
    dtype = narrowest(X)
    native = X.dtype if X.dtype.kind == "f" else np.promote_types(X.dtype, np.float32)
    with np.errstate(all="ignore"):
        kept = X.astype(dtype).astype(np.float64)
        wanted = X.astype(native).astype(np.float64)
    if np.isfinite(wanted).all():
        np.testing.assert_array_equal(kept, wanted)
    for narrower in ("uint8", "float16", "float32"):
        if np.dtype(narrower).itemsize < dtype.itemsize:
            with np.errstate(all="ignore"):
                assert not (X.astype(narrower) == X).all()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 255], "uint8"),
        ([0, 256], "float16"),
        ([-1, 2], "float16"),
        ([0.5, 2048], "float16"),
        ([0, 2049], "float32"),
        ([2.0**-30, 1], "float32"),
        ([0.1, 1], "float64"),
        ([1e300, 1], "float64"),
    ],
)
def test_what_is_narrowest(values, dtype):
    assert narrowest(np.array([values] * 3)) == dtype


def test_one_value_beyond_the_sample_of_rows_counts():
    X, _ = whole_numbers(50_000)
    assert narrowest(X) == np.uint8
    X[33_333, 5] = 0.25
    assert narrowest(X) == np.float16
    X[33_334, 5] = 0.1
    assert narrowest(X) == np.float64


# ---- on the host


def test_rows_on_the_host_stay_as_they_are_unless_asked():
    X, y = whole_numbers()
    rows, dtype = store(X, CPU, "auto")
    assert rows is X
    assert dtype == np.float64
    model = LogisticRegression(device="cpu").fit(X, y)
    assert model.storage_ == "float64"


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16", "uint8", "float64"])
def test_a_storage_that_holds_every_value_changes_nothing_but_rounding(storage, impl):
    X, y = whole_numbers(top=200)  # bfloat16 has eight bits
    plain = LogisticRegression(device="cpu", tol=1e-8).fit(X, y)
    model = LogisticRegression(device="cpu", impl=impl, storage=storage).fit(X, y)
    assert model.storage_ == storage
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-5)
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-8)


def test_a_storage_that_rounds_is_taken_when_asked():
    X, y = whole_numbers()
    X += 0.1
    rounded = LogisticRegression(device="cpu", storage="float16").fit(X, y)
    wanted = LogisticRegression(device="cpu").fit(X.astype(np.float16).astype(np.float32), y)
    np.testing.assert_allclose(rounded.coef_, wanted.coef_, rtol=1e-6)


@pytest.mark.parametrize(
    ("storage", "value", "message"),
    [
        ("uint8", 0.5, "storage='uint8' holds whole numbers from 0 to 255, and X is 0.5 at row 7, column 2; "),
        ("uint8", 256.0, "and X is 256 at row 7, column 2"),
        ("uint8", -1.0, "and X is -1 at row 7, column 2"),
        ("float16", 1e5, "storage='float16' holds numbers up to 65504, and X is 100000 at row 7, column 2"),
    ],
)
def test_values_that_do_not_fit_are_named(storage, value, message):
    X, y = whole_numbers()
    X[7, 2] = value
    with pytest.raises(DataError) as error:
        LogisticRegression(storage=storage).fit(X, y)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_nan_is_still_named_as_nan():
    X, y = whole_numbers()
    X[7, 2] = np.nan
    for storage in ("uint8", "float16"):
        with pytest.raises(DataError, match="Input X contains NaN at row 7, column 2; remove or impute it"):
            LogisticRegression(storage=storage).fit(X, y)


# ---- on a device


def test_rows_go_up_in_chunks_and_arrive_whole(fake, monkeypatch):
    monkeypatch.setattr(upload_module, "UPLOADED", 1000)
    X, _ = whole_numbers(1003, 5)
    told = []
    for array in (X, np.asfortranarray(X), X[::-1], X[:, ::2]):
        fake.counts.clear()
        told.clear()
        there = upload(array, CUDA, np.float32, lambda done, total: told.append((done, total)))
        np.testing.assert_array_equal(fake.peek(there), array.astype(np.float32))
        assert there.flags.c_contiguous
        assert told == sorted(told)
        assert told[-1] == (there.nbytes, there.nbytes)
        assert fake.counts["copies to the device"] == len(told) > 4


@pytest.mark.parametrize(("top", "storage"), [(255, "uint8"), (1000, "float16"), (10**6, "float32")])
def test_narrowing_of_its_own_accord_changes_no_result(fake, top, storage):
    X, y = whole_numbers(top=top)
    model = LogisticRegression(device="cuda").fit(X, y)
    plain = LogisticRegression(device="cpu").fit(X, y)
    assert model.storage_ == storage
    assert model.impl_ == "cuda"
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-12)  # computed in float64 all the same
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-7)


def test_rows_that_do_not_fit_are_refused_with_what_does(fake, monkeypatch):
    X, y = whole_numbers(1000, 10)
    X += 0.1
    monkeypatch.setattr(fake_cupy, "memory_free", 50_000)
    with pytest.raises(DeviceError) as error:
        LogisticRegression(device="cuda").fit(X, y)
    assert "(1,000 x 10), and cuda:0 has 0.0 GiB free: 595 rows fit" in str(error.value)
    assert "use storage='float32', which fits, fewer rows or device='cpu'" in str(error.value)
    assert "\n" not in str(error.value)
    monkeypatch.setattr(fake_cupy, "memory_free", 2**33)
    model = LogisticRegression(device="cuda")
    assert model.fit(X, y).storage_ == "float64"


def test_auto_stays_on_the_host_where_rows_do_not_fit(fake, monkeypatch):
    monkeypatch.setattr(fake_cupy, "memory_free", 2**20)
    many = np.lib.stride_tricks.as_strided(np.zeros(1), (10**7, 2), (0, 0))
    device = resolve_device("auto", many)
    assert device.kind == "cpu"
    assert device.reason == "auto: the rows take 0.1 GiB, and cuda:0 has 0.0 GiB free"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (fake_cupy.OutOfMemoryError("out"), "cuda:0 ran out of memory (OutOfMemoryError: out); use storage='float"),
        (fake_cupy.CUDARuntimeError("lost\nmore"), "cuda:0 failed (CUDARuntimeError: lost); if it is lost, start"),
    ],
)
def test_a_device_that_fails_in_the_middle_of_a_fit(fake, monkeypatch, error, message):
    X, y = whole_numbers()
    model = LogisticRegression(device="cuda").fit(X, y)
    launches = 0

    def fail(*_):
        nonlocal launches
        launches += 1
        if launches > 3:
            raise error

    monkeypatch.setattr(cuda, "family_of", lambda X, real, real_one=cuda.family_of: (fail(), real_one(X, real))[1])
    with pytest.raises(DeviceError) as raised:
        model.fit(X, y)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert not hasattr(model, "coef_")
    monkeypatch.undo()
    with fake_cupy.installed(monkeypatch):
        assert model.fit(X, y).converged_


def test_a_line_tells_of_the_rows_on_their_way(fake, capsys):
    X, y = whole_numbers()
    LogisticRegression(device="cuda", verbose=1).fit(X, y)
    assert capsys.readouterr().out.startswith("rows to cuda:0: 0 of 0 MiB, ")


def refused(call) -> str:
    with pytest.raises(DeviceError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    return message


def test_what_would_fit_is_said_for_narrower_rows_that_lose_nothing(fake, monkeypatch):
    X, y = whole_numbers(1000, 10)
    monkeypatch.setattr(fake_cupy, "memory_free", 50_000)
    message = refused(lambda: LogisticRegression(device="cuda", storage="float64").fit(X, y))
    assert message == (
        "X takes 0.0 GiB as float64 (1,000 x 10), and cuda:0 has 0.0 GiB free: 595 rows fit as float64, and without "
        "loss 1,190 as float32, 2,380 as float16, 4,761 as uint8; use storage='auto', which stores X as uint8 without "
        "loss and fits, fewer rows or device='cpu'"
    )
    monkeypatch.setattr(fake_cupy, "memory_free", 8_000)
    message = refused(lambda: LogisticRegression(device="cuda").fit(X, y))
    assert "761 rows fit as uint8; use fewer rows or device='cpu'" in message
    message = refused(lambda: LogisticRegression(device="cuda", storage="float32").fit(X * 100, y))
    assert "190 rows fit as float32; use fewer rows or device='cpu'" in message


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_rows_of_a_network_that_do_not_fit(fake, monkeypatch, solver):
    X, y = whole_numbers(1000, 10)
    monkeypatch.setattr(fake_cupy, "memory_free", 50_000)
    network = MLPClassifier((2,), device="cuda", solver=solver, max_iter=1)
    message = refused(lambda: network.fit(X + 0.1, y))
    assert message.endswith("595 rows fit as float64; use storage='float32', which fits, fewer rows or device='cpu'")
    message = refused(lambda: network.set_params(storage="float64").fit(X, y))
    assert message.endswith(
        ": 595 rows fit as float64, and without loss 1,190 as float32, 2,380 as float16, 4,761 as uint8; use "
        "storage='auto', which stores X as uint8 without loss and fits, fewer rows or device='cpu'"
    )
    assert not hasattr(network, "coefs_")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert network.set_params(storage="float32").fit(X + 0.1, y).storage_ == "float32"
        assert network.set_params(storage="auto").fit(X, y).storage_ == "uint8"
        assert network.device_ == "cuda:0"


def test_rows_of_sums_that_do_not_fit(fake, monkeypatch):
    X, y = whole_numbers(1000, 10)
    monkeypatch.setattr(fake_cupy, "memory_free", 50_000)
    message = refused(lambda: loss_and_gradient(X + 0.1, y, np.zeros(10), device="cuda"))
    assert message.endswith("595 rows fit as float64; use X.astype('float32'), which fits, fewer rows or device='cpu'")


def test_a_copy_on_the_device_that_does_not_fit(fake, monkeypatch):
    X, y = whole_numbers(1000, 10)
    there = fake.asarray(X)
    monkeypatch.setattr(fake_cupy, "memory_free", 10_000)
    message = refused(lambda: LogisticRegression(storage="float32").fit(there, y))
    assert message == (
        "X is on cuda:0 as float64; a copy of it as float32 (1,000 x 10) takes 0.0 GiB, and 0.0 GiB are free: 238 rows "
        "fit; use storage='auto', which reads X as it is, or fewer rows"
    )
    assert LogisticRegression().fit(there, y).storage_ == "float64"
    assert LogisticRegression(storage="float64").fit(there, y).storage_ == "float64"  # no copy
