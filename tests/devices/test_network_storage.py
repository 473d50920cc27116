"""How a network's rows are stored, on the host and on the stand-in for CuPy, and what is read of them beforehand."""

from __future__ import annotations

import fake_cupy
import kernel_host
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from gpu_logreg import MLPClassifier, load_model, save_model
from gpu_logreg.errors import DataError
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda import steps as steps_cuda
from gpu_logreg.rows import extremes
from gpu_logreg.rows import upload as upload_module

N, D = 200, 5
RNG = np.random.default_rng(8)
WHOLE = RNG.integers(0, 256, (N, D)).astype(np.float64)
X = (WHOLE - 128) / 64 + RNG.standard_normal((N, D)) / 100
Y = {
    "two": (X[:, 0] + RNG.standard_normal(N) > 0).astype(int),
    "three": np.digitize(X[:, 0] + RNG.standard_normal(N), [-0.5, 0.5]),
    "labels": (X[:, :3] + RNG.standard_normal((N, 3)) > 0).astype(int),
}
S = RNG.exponential(size=N) * (RNG.random(N) < 0.9)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    caches = (cuda._kernels, cublas._kernel, steps_cuda._kernel)
    for cache in caches:
        cache.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for cache in caches:
        cache.cache_clear()


def network(**options) -> MLPClassifier:
    return MLPClassifier((4,), activation="tanh", batch_size=64, max_iter=2, **options)


def same_weights(one: MLPClassifier, other: MLPClassifier) -> bool:
    return all(np.array_equal(W, V) for W, V in zip(one.coefs_, other.coefs_, strict=True))


# ---- on the host


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("storage", ["float64", "float32", "float16", "uint8"])
def test_a_storage_is_that_of_rows_given_so(storage, solver):
    rows = WHOLE if storage == "uint8" else X
    model = network(storage=storage, solver=solver).fit(rows, Y["two"], S)
    given = network(solver=solver).fit(rows.astype(storage), Y["two"], S)
    assert (model.storage_, given.storage_) == (storage, storage)
    assert model.coefs_[0].dtype == (np.float64 if storage == "float64" else np.float32)
    assert same_weights(model, given)


def test_auto_leaves_rows_of_the_host_as_they_are():
    assert network().fit(WHOLE, Y["two"]).storage_ == "float64"
    assert network().fit(WHOLE.astype(np.int16), Y["two"]).storage_ == "int16"
    assert network().partial_fit(X.astype(np.float32), Y["two"], [0, 1]).storage_ == "float32"


def test_sparse_rows_are_stored_in_a_floating_dtype():
    rows = sparse.csr_array(np.where(abs(X) > 1, X, 0))
    assert network(storage="float32").fit(rows, Y["two"]).coefs_[0].dtype == np.float32
    assert network().fit(rows.astype(np.float32), Y["two"]).storage_ == "float32"
    with pytest.raises(DataError, match=r"^storage='float16' is for dense rows, and X is sparse"):
        network(storage="float16").fit(rows, Y["two"])


def test_what_a_storage_does_not_hold_is_refused():
    model = network(storage="uint8")
    rows = WHOLE.copy()
    rows[3, 2] = 300
    with pytest.raises(DataError, match=r"^storage='uint8' holds whole numbers from 0 to 255, and X is 300 at row 3"):
        model.fit(rows, Y["two"])
    assert not hasattr(model, "storage_")
    with pytest.raises(ValueError, match="The 'storage' parameter of MLPClassifier must be a str among"):
        network(storage="int8").fit(X, Y["two"])


def test_a_model_file_keeps_the_storage_and_one_without_it_is_read(tmp_path, monkeypatch):
    model = network(storage="float32").fit(X, Y["three"])
    save_model(model, tmp_path / "new.model")
    again = load_model(tmp_path / "new.model")
    assert (again.storage, again.storage_) == ("float32", "float32")
    without = {name: value for name, value in model.get_params().items() if name != "storage"}
    monkeypatch.setattr(type(model), "get_params", lambda self, deep=True: without)
    del model.storage_
    save_model(model, tmp_path / "old.model")  # as one of before networks had a storage
    monkeypatch.undo()
    again = load_model(tmp_path / "old.model")
    assert again.storage == "auto"
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


# ---- on a device


@pytest.mark.parametrize("y", Y.values(), ids=list(Y))
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_whole_numbers_go_up_as_bytes_and_are_computed_as_before(fake, monkeypatch, y, solver):
    monkeypatch.setattr(upload_module, "UPLOADED", 300)  # in several chunks
    rows = WHOLE
    ours = network(device="cuda", solver=solver).fit(rows, y, S)
    theirs = network(device="cpu", impl="reference", solver=solver).fit(rows, y, S)
    assert (ours.storage_, theirs.storage_) == ("uint8", "float64")
    assert ours.coefs_[0].dtype == np.float64
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-7)


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("where", ["host", "device"])
def test_a_storage_asked_for_on_a_device(fake, storage, where):
    if storage == "bfloat16":
        pytest.importorskip("ml_dtypes")
    rows = fake.asarray(X) if where == "device" else X
    ours = network(device="cuda", storage=storage).fit(rows, Y["three"], S)
    theirs = network(device="cpu", impl="reference", storage=storage).fit(X, Y["three"], S)
    assert (ours.device_, ours.storage_) == ("cuda:0", storage)
    assert ours.coefs_[0].dtype == np.float32
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-4)


def test_labels_of_a_device(fake):
    ours = network().fit(fake.asarray(X), fake.asarray(Y["labels"]), fake.asarray(S))
    theirs = network(impl="reference").fit(X, Y["labels"], S)
    assert (ours.device_, ours.storage_) == ("cuda:0", "float64")
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)


def test_weights_of_a_device_on_one_class_are_refused(fake):
    for y in (Y["two"], Y["three"]):
        for seed in range(6):
            s = np.random.default_rng(seed).exponential(size=N) * (y == 1)
            with pytest.raises(DataError, match=r"^the rows of positive weight hold only one class: 1; at least 2"):
                network().fit(fake.asarray(X), fake.asarray(y), fake.asarray(s))


def test_a_line_tells_of_the_rows_on_their_way(fake, capsys):
    for model in (network(device="cuda", verbose=1), network(device="cuda", verbose=lambda iteration: False)):
        model.fit(X, Y["two"])
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if line.startswith("rows to cuda:0: 0 of 0 MiB")] == lines[:1]
        assert bool(lines) == (model.verbose == 1)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (np.float64, np.nan, r"^Input X contains NaN at row 7, column 1 \('b'\); remove or impute it$"),
        (np.float32, -np.inf, r"^Input X contains infinity at row 7, column 1 \('b'\); remove or impute it$"),
        (np.float16, np.inf, r"^Input X contains infinity at row 7, column 1 \('b'\); remove or impute it$"),
        (
            np.float32,
            1e30,
            r"^Input X holds 1e\+30 at row 7, column 1 \('b'\), whose square float32 cannot hold; scale",
        ),
    ],
    ids=str,
)
def test_extreme_values_are_named_wherever_rows_are_walked(request, device, dtype, value, message):
    if device == "cuda":
        request.getfixturevalue("fake")
    rows = X.astype(dtype)
    rows[7, 1] = rows[9, 0] = value
    table = pd.DataFrame(rows, columns=list("abcde"))
    for early_stopping in (False, True):
        with pytest.raises(DataError, match=message):
            network(device=device, early_stopping=early_stopping).fit(table, Y["two"])
    s = np.ones(N)
    s[[7, 9]] = 0.0
    if np.isfinite(value):  # rows that do not count may hold such values
        assert np.isfinite(network(device=device).fit(table, Y["two"], s).loss_)
    else:
        with pytest.raises(DataError, match=message):
            network(device=device).fit(table, Y["two"], s)


def test_whole_numbers_are_not_read_for_extremes(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("rows are read")

    monkeypatch.setattr(extremes, "map_row_blocks", fail)
    network().fit(WHOLE.astype(np.uint8), Y["two"])
    with pytest.raises(AssertionError, match="rows are read"):
        network().fit(X, Y["two"])
