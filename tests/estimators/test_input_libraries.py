"""PyTorch and JAX arrays of every dtype, bfloat16 in NumPy, and cuDF's tables on a stand-in for it."""

from __future__ import annotations

import sys

import fake_cudf
import fake_cupy
import kernel_host
import numpy as np
import pandas as pd
import pytest
from test_input_types import NAMES, TEXT, D, N, S, X, Y, logistic, network, weights_of

from gpu_logreg import LogisticRegression, loss_and_gradient
from gpu_logreg.errors import DataError, MissingDependencyError
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda import steps as steps_cuda

ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.fixture(params=[logistic, network], ids=["LogisticRegression", "MLPClassifier"])
def make(request):
    return request.param


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed")


def rows_of(dtype: str) -> np.ndarray:
    if dtype == "bool":
        return X > 0
    return (np.abs(X * 3) if dtype == "uint8" else X * 3).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def check(make, rows, given, kind, y=Y, given_y=Y, given_s=S) -> None:
    """The fit and the answers on ``given`` are those on ``rows``, and the answers are of ``kind``."""
    wanted, model = make().fit(rows, y, S), make().fit(given, given_y, given_s)
    np.testing.assert_array_equal(weights_of(model), weights_of(wanted))
    for name in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        answer = getattr(model, name)(given)
        assert isinstance(answer, kind)
        answer = np.asarray(answer)  # JAX has float64 only where it is told to
        np.testing.assert_array_equal(answer, getattr(wanted, name)(rows).astype(answer.dtype))
    assert model.score(given, given_y, given_s) == wanted.score(rows, y, S)


def test_bfloat16_in_numpy_is_that_in_float32(make):
    rows = rows_of("bfloat16")
    model, wanted = make().fit(rows, Y, S), make().fit(rows.astype(np.float32), Y, S)
    np.testing.assert_allclose(weights_of(model), weights_of(wanted), rtol=1e-12)
    np.testing.assert_allclose(model.predict_proba(rows), wanted.predict_proba(rows.astype(np.float32)), rtol=1e-12)
    assert getattr(model, "storage_", "bfloat16") == "bfloat16"
    rows[3, 2] = np.nan
    with pytest.raises(DataError, match="X contains NaN at row 3, column 2; remove or impute it"):
        make().fit(rows, Y)
    with pytest.raises(DataError, match="X contains NaN at row 3, column 2"):
        model.predict(rows)
    with pytest.raises(DataError, match="Expected 2D array, got 1D array instead"):
        model.predict(rows[0])
    with pytest.raises(ValueError, match=r"3 features, but \w+ is expecting 4"):
        model.predict(rows[:, :3])


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_tensors_of_every_dtype(make, torch, dtype):
    rows = rows_of(dtype)
    given = torch.tensor(rows.astype(np.float32)).bfloat16() if dtype == "bfloat16" else torch.tensor(rows)
    check(make, rows, given, torch.Tensor, given_y=torch.tensor(Y), given_s=torch.tensor(S))


TORCH_LAYOUTS = {
    "in a graph": lambda torch: torch.tensor(X).requires_grad_(),
    "computed in a graph": lambda torch: torch.tensor(X).requires_grad_() * 1.0,
    "parameter": lambda torch: torch.nn.Parameter(torch.tensor(X)),
    "transposed": lambda torch: torch.tensor(np.ascontiguousarray(X.T)).T,
    "strided": lambda torch: torch.tensor(np.repeat(X, 3, axis=1))[:, ::3],
    "negated later": lambda torch: torch.complex(torch.tensor(X), torch.tensor(-X)).conj().imag,
}


@pytest.mark.parametrize("given", TORCH_LAYOUTS.values(), ids=TORCH_LAYOUTS.keys())
def test_torch_tensors_of_every_layout(make, torch, given):
    given = given(torch)
    wanted, model = make().fit(given.detach().resolve_neg().numpy(), Y), make().fit(given, Y)
    np.testing.assert_array_equal(weights_of(model), weights_of(wanted))
    assert isinstance(model.predict_proba(given), torch.Tensor)


def test_bfloat16_tensors_are_not_copied(torch):
    from gpu_logreg.arrays.interchange import as_array

    given = torch.tensor(X).bfloat16()
    assert as_array(given).ctypes.data == given.data_ptr()
    assert as_array(given.T).ctypes.data == given.data_ptr()


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "bfloat16"])
def test_torch_labels_and_weights(make, torch, dtype):
    given = torch.tensor(Y).to(getattr(torch, dtype))
    s = torch.tensor(S).bfloat16()
    model = make().fit(X, given, s)
    np.testing.assert_array_equal(weights_of(model), weights_of(make().fit(X, Y, s.float().numpy())))
    assert model.classes_.dtype == ("float32" if dtype == "bfloat16" else dtype)
    assert model.score(X, given, s) == model.score(X, Y, s.float().numpy())


def test_a_library_gets_text_labels_as_numpy(make, torch):
    model = make().fit(torch.tensor(X), TEXT)
    np.testing.assert_array_equal(model.predict(torch.tensor(X)), make().fit(X, TEXT).predict(X))


TORCH_REFUSED = {
    "sparse": (lambda torch: torch.tensor(X).to_sparse(), "X is an array of torch.float32 that cannot be read .*dense"),
    "meta": (lambda torch: torch.tensor(X).to("meta"), "X is an array of torch.float32 that cannot be read"),
    "float8": (lambda torch: torch.tensor(X).to(torch.float8_e4m3fn), "X is an array of torch.float8_e4m3fn that "),
    "complex": (lambda torch: torch.tensor(X) * 1j, "Complex data not supported: X has dtype complex64; give real"),
}


@pytest.mark.parametrize(("given", "message"), TORCH_REFUSED.values(), ids=TORCH_REFUSED.keys())
def test_tensors_that_are_refused_in_one_line(make, torch, given, message):
    with pytest.raises(DataError, match=message) as raised:
        make().fit(given(torch), Y)
    assert "\n" not in str(raised.value)


def test_bfloat16_tensors_without_ml_dtypes_say_what_to_install(make, torch, monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(MissingDependencyError, match="pip install ml_dtypes, or convert them to float32"):
        make().fit(torch.tensor(X).bfloat16(), Y)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if not dtype.endswith("64")])
def test_jax_arrays_of_every_dtype(make, jax, dtype):
    rows = rows_of(dtype)
    y = Y.astype(np.int32)
    check(make, rows, jax.numpy.asarray(rows), jax.Array, y, jax.numpy.asarray(y), jax.numpy.asarray(S))


def test_jax_labels_and_weights_in_bfloat16(make, jax):
    y, s = jax.numpy.asarray(Y, "bfloat16"), jax.numpy.asarray(S, "bfloat16")
    model = make().fit(X, y, s)
    np.testing.assert_array_equal(weights_of(model), weights_of(make().fit(X, Y, np.asarray(s, np.float32))))


@pytest.mark.parametrize("dtype", ["int4", "float8_e4m3fn"])
def test_jax_arrays_that_are_refused_in_one_line(make, jax, dtype):
    with pytest.raises(DataError, match=f"X is an array of {dtype} that cannot be read .*; convert it") as raised:
        make().fit(jax.numpy.asarray(X, dtype), Y)
    assert "\n" not in str(raised.value)


def test_batches_of_tensors(torch):
    model, wanted = network(), network()
    for part in (slice(0, 100), slice(100, N)):
        model.partial_fit(torch.tensor(X[part]), torch.tensor(Y[part]), torch.tensor([0, 1]), torch.tensor(S[part]))
        wanted.partial_fit(X[part], Y[part], [0, 1], S[part])
    np.testing.assert_array_equal(weights_of(model), weights_of(wanted))


def test_loss_and_gradient_of_bfloat16_tensors(torch):
    given = torch.tensor(X).bfloat16()
    value, dw, _ = loss_and_gradient(given, Y, np.ones(D))
    wanted, wanted_dw, _ = loss_and_gradient(given.float().numpy(), Y, np.ones(D))
    assert value == pytest.approx(wanted, rel=1e-6)
    np.testing.assert_allclose(dw, wanted_dw, rtol=1e-4, atol=1e-6)


@pytest.fixture
def cupy(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    caches = (cuda._kernels, cublas._kernel, steps_cuda._kernel)
    for kernels in caches:
        kernels.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for kernels in caches:
        kernels.cache_clear()


def cudf_frame(rows=X, **changed) -> fake_cudf.DataFrame:
    return fake_cudf.DataFrame(pd.DataFrame(rows, columns=NAMES).assign(**changed))


def cudf_series(values) -> fake_cudf.Series:
    return fake_cudf.Series(pd.Series(values))


CUDF_LABELS = {
    "numbers": cudf_series(Y),
    "booleans": cudf_series(Y > 0),
    "text": cudf_series(TEXT),
    "categories": cudf_series(pd.Categorical(TEXT)),
    "a table of one column": fake_cudf.DataFrame(pd.DataFrame({"y": Y})),
    "NumPy's": Y,
}


@pytest.mark.parametrize("y", CUDF_LABELS.values(), ids=CUDF_LABELS.keys())
def test_cudf_tables_stay_on_the_device(make, cupy, y):
    frame, s = cudf_frame(), cudf_series(S)
    model = make().fit(frame, y, s)
    assert model.device_reason_ == "auto: the rows are on this device"
    host = y if y is Y else np.asarray(y.to_pandas()).ravel()
    wanted = make().fit(np.asfortranarray(X), host, S)
    np.testing.assert_allclose(weights_of(model), weights_of(wanted), rtol=2e-4, atol=1e-5)
    assert model.feature_names_in_.tolist() == NAMES
    proba = model.predict_proba(frame)
    assert isinstance(proba, cupy.ndarray)
    np.testing.assert_allclose(proba.get(), wanted.predict_proba(X), rtol=1e-3)
    predicted = model.predict(frame)
    assert isinstance(predicted, np.ndarray if host.dtype.kind == "O" else cupy.ndarray)
    assert model.score(frame, y, s) == pytest.approx(wanted.score(X, host, S))


def test_cudf_labels_and_weights_of_rows_on_the_host(make, cupy):
    model = make().fit(X, cudf_series(Y), cudf_series(S))
    np.testing.assert_array_equal(weights_of(model), weights_of(make().fit(X, Y, S)))
    assert model.score(X, cudf_series(Y), cudf_series(S)) == model.score(X, Y, S)


@pytest.mark.usefixtures("cupy")
def test_cudf_tables_with_other_names_are_refused(make):
    model = make().fit(cudf_frame(), Y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(fake_cudf.DataFrame(pd.DataFrame(X, columns=NAMES[::-1])))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pd.DataFrame(X, columns=NAMES[::-1]))


WHOLE = pd.array([None, *range(1, N)], "Int64")
CUDF_REFUSED = {
    "null": (cudf_frame(height=WHOLE), Y, None, r"X contains a null in column 1 \('height'\); remove or impute it"),
    "text": (cudf_frame(height=TEXT), Y, None, "column 'height' of X holds object values; encode them as numbers, or"),
    "NaN": (cudf_frame(height=[*X[:-1, 1], np.nan]), Y, None, "X contains NaN at row 199, column 1"),
    "a series": (cudf_series(X[:, 0]), Y, None, "X is a Series; give a DataFrame"),
    "null label": (X, cudf_series(WHOLE), None, "y holds a null; remove or impute such rows"),
    "null in text": (X, cudf_series([None, *TEXT[1:]]), None, "y holds a null; remove or impute such rows"),
    "null weight": (X, Y, cudf_series(WHOLE), "sample_weight holds a null"),
    "two columns": (X, cudf_frame(), None, "y is a table of 4 columns, 'age', "),
}


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize(("rows", "y", "s", "message"), CUDF_REFUSED.values(), ids=CUDF_REFUSED.keys())
def test_cudf_objects_that_are_refused_in_one_line(make, rows, y, s, message):
    with pytest.raises(DataError, match=message) as raised:
        make().fit(rows, y, s)
    assert "\n" not in str(raised.value)


def test_names_of_a_table_are_forgotten_by_a_fit_on_a_device_array(cupy):
    model = LogisticRegression().fit(cudf_frame(), Y).fit(cupy.asarray(X), Y)
    assert not hasattr(model, "feature_names_in_")
