"""Fits of every kind on the stand-in for CuPy, from arrays of every kind, find what fits on the host find."""

from __future__ import annotations

import device_tensors
import fake_cupy
import kernel_host
import numpy as np
import pytest
from sweeps import every_other, slow, thinned

from gpu_logreg import LogisticRegression, MLPClassifier, loss_and_gradient
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda import steps as steps_cuda

N, D = 200, 12
RNG = np.random.default_rng(12)
X = RNG.standard_normal((N, D)).astype(np.float32)
SHARE = X @ RNG.standard_normal(D)
Y = (RNG.logistic(size=N) < SHARE).astype(np.int64)
CLASSES = np.digitize(SHARE + RNG.logistic(size=N), [-1.0, 1.0])
WEIGHTS = RNG.exponential(size=N) * (RNG.random(N) < 0.9)
LIBRARIES = ("host", "cupy", "torch", "jax")


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    caches = (
        cuda._kernels,
        cublas._kernel,
        cuda_multinomial._kernels,
        cuda_multinomial._most_shared,
        steps_cuda._kernel,
    )
    for cache in caches:
        cache.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for cache in caches:
        cache.cache_clear()


def given(library: str, array: np.ndarray | None):
    """An array as one of a library, on the device but for NumPy's."""
    if array is None or library == "host":
        return array
    if library == "cupy":
        return fake_cupy.asarray(array)
    return (device_tensors.JaxLike if library == "jax" else device_tensors.TorchLike)(array.copy())


def on_host(answer) -> np.ndarray:
    return answer.held if isinstance(answer, device_tensors.TorchLike) else getattr(answer, "get", lambda: answer)()


FITS = {
    "two classes": ({}, Y, None),
    "weights": ({}, Y, WEIGHTS),
    "weights of integers": ({}, Y, np.round(WEIGHTS).astype(np.int64)),
    "class weights": ({"class_weight": "balanced"}, Y, WEIGHTS),
    "class weights by name": ({"class_weight": {0: 1.0, 1: 2.5}}, Y, None),
    "L1": ({"l1_ratio": 1.0, "C": 0.1}, Y, WEIGHTS),
    "elastic net": ({"l1_ratio": 0.5, "C": 0.1}, Y, None),
    "no intercept": ({"fit_intercept": False}, Y, None),
    "lbfgs": ({"solver": "lbfgs"}, Y, WEIGHTS),
    "gradient descent": ({"solver": "gradient-descent", "C": 1e-3}, Y, None),
    "cublas": ({"impl": "cublas"}, Y, WEIGHTS),
    "reference": ({"impl": "reference"}, Y, WEIGHTS),
    "many classes": ({}, CLASSES, None),
    "many classes, weights": ({}, CLASSES, WEIGHTS),
    "many classes, class weights": ({"class_weight": "balanced"}, CLASSES, WEIGHTS),
    "many classes, class weights alone": ({"class_weight": "balanced"}, CLASSES, None),
    "many classes, L1": ({"l1_ratio": 1.0, "C": 0.1}, CLASSES, WEIGHTS),
    "many classes, reference": ({"impl": "reference"}, CLASSES, None),
    "labels of floats": ({}, CLASSES.astype(np.float32) * 2 - 1, None),
    "labels of booleans": ({}, Y > 0, None),
}

SLOW = (
    *("weights of integers", "class weights by name", "elastic net", "no intercept", "lbfgs", "gradient descent"),
    *("many classes", "many classes, weights", "many classes, class weights alone", "labels of booleans"),
)


@pytest.mark.parametrize("library", ["host", slow("cupy")])
@pytest.mark.parametrize("kind", thinned(FITS, lambda kind: kind not in SLOW))
def test_a_fit_of_every_kind(kind, library):
    options, y, s = FITS[kind]
    host_options = {key: value for key, value in options.items() if key != "impl"}
    host = LogisticRegression(device="cpu", tol=1e-8, **host_options).fit(X.astype(np.float64), y, s)
    model = LogisticRegression(device="cuda", **options).fit(*(given(library, array) for array in (X, y, s)))
    assert (model.device_, model.impl_) == ("cuda:0", options.get("impl", "cuda"))
    assert model.converged_, model.stop_reason_
    np.testing.assert_array_equal(model.classes_, host.classes_)
    assert model.objective_ == pytest.approx(host.objective_, rel=1e-6)
    np.testing.assert_allclose(model.coef_, host.coef_, atol=5e-3)


@pytest.mark.parametrize("solver", every_other(["adam", "sgd"]))
@pytest.mark.parametrize("y", [Y, CLASSES], ids=["two", "three"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_steps_of_a_linear_model(y, solver):
    options = {"solver": solver, "max_iter": 3, "learning_rate": 0.01}
    host = LogisticRegression(device="cpu", impl="reference", **options).fit(X, y, WEIGHTS)
    model = LogisticRegression(device="cuda", **options).fit(X, y, WEIGHTS)
    assert model.device_ == "cuda:0"
    np.testing.assert_allclose(model.coef_, host.coef_, atol=1e-4)


@pytest.mark.parametrize("storage", ["float64", slow("float32"), "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("library", ["host", slow("cupy")])
@pytest.mark.parametrize("classes", [2, slow(3)])
def test_every_storage(classes, library, storage):
    y = Y if classes == 2 else CLASSES
    rows = np.round(np.abs(X) * 20)  # which every one holds
    host = LogisticRegression(device="cpu", tol=1e-8).fit(rows.astype(np.float64), y)
    model = LogisticRegression(device="cuda", storage=storage).fit(given(library, rows), given(library, y))
    assert (model.storage_, model.impl_, model.converged_) == (storage, "cuda", True)
    assert model.objective_ == pytest.approx(host.objective_, rel=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("y", [Y, CLASSES], ids=["two", "three"])
def test_arrays_of_every_library_come_back_in_their_kind(y, library):
    rows, labels, s = (given(library, array) for array in (X, y, WEIGHTS))
    model = LogisticRegression(device="cuda" if library == "host" else "auto").fit(rows, labels, s)
    assert (model.device_, model.impl_) == ("cuda:0", "cuda")
    host = LogisticRegression(device="cpu").fit(X, y, WEIGHTS)
    for answer in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        found, wanted = getattr(model, answer)(rows), getattr(host, answer)(X)
        assert type(found) is type(rows), answer
        np.testing.assert_allclose(on_host(found), wanted, atol=2e-3)
    assert model.score(rows, labels, s) == pytest.approx(host.score(X, y, WEIGHTS))
    assert model.score(rows, labels) == pytest.approx(host.score(X, y))


@pytest.mark.parametrize("library", every_other(LIBRARIES))
@pytest.mark.parametrize("impl", ["auto", "reference", "cublas"])
def test_loss_and_gradient(impl, library):
    rows, labels, s = (given(library, array) for array in (X, Y, WEIGHTS))
    w = np.linspace(-1, 1, D)
    found = loss_and_gradient(rows, labels, w, 0.3, sample_weight=s, l2=0.1, impl=impl, device="cuda")
    wanted = loss_and_gradient(X.astype(np.float64), Y, w, 0.3, sample_weight=WEIGHTS, l2=0.1)
    assert found.value == pytest.approx(wanted.value, rel=1e-5)
    np.testing.assert_allclose(found.dw, wanted.dw, atol=1e-5)


@pytest.mark.parametrize("y", [Y, CLASSES], ids=["two", "three"])
def test_a_warm_start(y):
    rows = given("cupy", X)
    model = LogisticRegression(warm_start=True).fit(rows, y, WEIGHTS)
    first, reads = model.coef_.copy(), model.n_reads_
    again = model.fit(rows, given("cupy", y), WEIGHTS)
    assert again.n_reads_ <= reads
    np.testing.assert_allclose(again.coef_, first, atol=1e-4)


@pytest.mark.parametrize("library", every_other(LIBRARIES))
@pytest.mark.parametrize(("y", "solver"), [(Y, "adam"), slow((CLASSES, "sgd")), (CLASSES, "lbfgs")])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_network(library, y, solver):
    options = {"activation": "tanh", "solver": solver, "batch_size": 64, "max_iter": 3}
    theirs = MLPClassifier((5,), impl="reference", device="cpu", **options).fit(X.astype(np.float64), y, WEIGHTS)
    rows, labels, s = (given(library, array) for array in (X.astype(np.float64), y, WEIGHTS))
    ours = MLPClassifier((5,), device="cuda" if library == "host" else "auto", **options).fit(rows, labels, s)
    assert ours.device_ == "cuda:0"
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    found = ours.predict_proba(rows)
    assert type(found) is type(rows)
    np.testing.assert_allclose(on_host(found), theirs.predict_proba(X.astype(np.float64)), atol=1e-7)
    assert ours.score(rows, labels, s) == pytest.approx(theirs.score(X.astype(np.float64), y, WEIGHTS))


def test_labels_of_many_classes_are_counted_on_the_device(fake):
    rows, labels = given("cupy", X), given("cupy", CLASSES)
    copied = []
    plain = fake_cupy.ndarray.get

    def get(self, *arguments, **options):
        copied.append(self.shape)
        return plain(self, *arguments, **options)

    fake_cupy.ndarray.get = get
    try:
        LogisticRegression(class_weight="balanced").fit(rows, labels, given("cupy", WEIGHTS > 0) * 1.0)
        assert copied.count((N,)) <= 1  # the weights, by which rows are drawn
        copied.clear()
        LogisticRegression().fit(rows, labels)
        assert (N,) not in copied
        assert copied
    finally:
        fake_cupy.ndarray.get = plain


def test_tensors_of_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    rows = device_tensors.TorchLike(X.astype(bfloat16))
    model = LogisticRegression().fit(rows, given("torch", Y))
    host = LogisticRegression(device="cpu").fit(X.astype(bfloat16).astype(np.float32), Y)
    assert (model.storage_, model.impl_) == ("bfloat16", "cuda")
    np.testing.assert_allclose(model.coef_, host.coef_, atol=2e-3)
    np.testing.assert_array_equal(on_host(model.predict(rows)), host.predict(X.astype(bfloat16).astype(np.float32)))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_network_goes_on():
    options = {"activation": "tanh", "batch_size": 64, "max_iter": 2}
    theirs = MLPClassifier((5,), impl="reference", device="cpu", warm_start=True, **options)
    ours = MLPClassifier((5,), warm_start=True, **options)
    rows, labels = X.astype(np.float64), given("cupy", CLASSES)
    for model, given_rows, given_labels in ((theirs, rows, CLASSES), (ours, given("cupy", rows), labels)):
        model.fit(given_rows, given_labels)
        model.fit(given_rows, given_labels)
        model.partial_fit(given_rows, given_labels)
    assert ours.device_ == "cuda:0"
    for here, there in zip(theirs.coefs_, ours.coefs_, strict=True):
        np.testing.assert_allclose(there, here, atol=1e-7)


@pytest.mark.parametrize("covariance", ["nonrobust", "HC1", "HC3", "cluster"])
@pytest.mark.parametrize("y", [Y, CLASSES], ids=["two classes", "many classes"])
def test_standard_errors_of_rows_on_a_device_are_those_on_the_host(y, covariance):
    groups = np.arange(N) % 17 if covariance == "cluster" else None
    model = LogisticRegression(C=np.inf, tol=1e-9).fit(X.astype(np.float64), y, WEIGHTS)
    host = model.summary(X, y, WEIGHTS, covariance=covariance, groups=groups)
    rows, labels, weights = (given("cupy", array) for array in (X, y, WEIGHTS))
    there = None if groups is None else given("cupy", groups)
    device = model.summary(rows, labels, weights, covariance=covariance, groups=there)
    np.testing.assert_allclose(device.covariance, host.covariance, rtol=1e-8, atol=1e-10 * host.covariance.max())
    if len(model.classes_) == 2:
        np.testing.assert_allclose(device.predict_interval(rows), host.predict_interval(X), rtol=1e-5)
