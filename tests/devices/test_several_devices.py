"""Rows on several GPUs of one machine, on the stand-in for them."""

import re

import fake_cupy
import fake_cupy_cuda
import kernel_host
import numpy as np
import pytest
from command_line import run, succeed
from scipy import sparse

from gpu_logreg import LogisticRegression, MLPClassifier, load_model, save_model
from gpu_logreg.errors import CheckpointError, DataError, DeviceError, ImplementationError
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.rows import local_parts

KERNELS = (cuda._kernels, cuda_multinomial._kernels, cuda_multinomial._most_shared, cublas._kernel)
N, D = 660, 4


@pytest.fixture
def fake(monkeypatch):
    """Three devices, and parts of 60 rows."""
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    for cache in KERNELS:
        cache.cache_clear()
    monkeypatch.setattr(fake_cupy, "device_count", 3)
    monkeypatch.setattr(local_parts, "_LEAST_ROWS", 60)
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for cache in KERNELS:
        cache.cache_clear()


@pytest.fixture
def used(monkeypatch):
    """Numbers of the devices that memory was taken on."""
    devices = set()
    block = fake_cupy_cuda.Block.__init__

    def taken(self, nbytes, device=None):
        devices.add(fake_cupy_cuda.Device().id if device is None else device)
        block(self, nbytes, device)

    monkeypatch.setattr(fake_cupy_cuda.Block, "__init__", taken)
    return devices


def problem(n_classes=2, dtype=np.float32):
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((N, D))
    y = (X @ rng.standard_normal((D, n_classes)) + rng.gumbel(size=(N, n_classes))).argmax(axis=1)
    return X.astype(dtype), y, rng.random(N) + 0.5


@pytest.mark.parametrize(("solver", "n_classes"), [("auto", 2), ("lbfgs", 3)])
def test_bits_are_those_of_one_device_and_the_optimum_that_of_the_host(fake, used, tmp_path, solver, n_classes):
    X, y, s = problem(n_classes)
    parameters = {"solver": solver, "class_weight": "balanced", "tol": 1e-7}
    three = LogisticRegression(device="cuda:all", **parameters).fit(X, y, s)
    assert used == {0, 1, 2}
    assert three.device_ == "cuda:0, cuda:1, cuda:2"
    assert "11 parts" in three.impl_reason_
    used.clear()
    one = LogisticRegression(device=["cuda:2"], **parameters).fit(X, y, s)
    assert used == {2}
    two = LogisticRegression(device=["cuda:2", "cuda:0"], **parameters).fit(X, y, s)
    for other in (one, two):
        assert other.coef_.tobytes() == three.coef_.tobytes()
        assert other.intercept_.tobytes() == three.intercept_.tobytes()
        assert (other.n_iter_, other.n_reads_) == (three.n_iter_, three.n_reads_)
    host = LogisticRegression(device="cpu", **parameters).fit(X, y, s)
    np.testing.assert_allclose(three.coef_, host.coef_, atol=1e-5)
    assert fake.cuda.Device().id == 0
    save_model(two, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.coef_.tobytes() == two.coef_.tobytes()
    assert loaded.get_params() == two.get_params()


def test_rows_without_weight_and_a_checkpoint(fake, tmp_path):
    X, y, s = problem(2, np.float64)
    s[100:400] = 0.0
    parameters = {"device": "cuda:all", "solver": "lbfgs", "tol": 1e-9}
    model = LogisticRegression(**parameters).fit(X, y, s, checkpoint=tmp_path / "fit")
    host = LogisticRegression(solver="lbfgs", tol=1e-9).fit(X, y, s)
    np.testing.assert_allclose(model.coef_, host.coef_, atol=1e-8)
    again = LogisticRegression(**parameters).fit(X, y, s, checkpoint=tmp_path / "fit")
    assert again.coef_.tobytes() == model.coef_.tobytes()
    with pytest.raises(CheckpointError, match="is of other data"):
        LogisticRegression(**parameters).fit(X + 1.0, y, s, checkpoint=tmp_path / "fit")


@pytest.mark.parametrize("row", [20, 350, 659])
def test_what_is_not_finite_is_named_by_its_row(fake, row):
    X, y, s = problem()
    s[300:400] = 0.0
    X[row, 1] = np.nan
    with pytest.raises(DataError, match=f"^Input X contains NaN at row {row}, column 1; "):
        LogisticRegression(device="cuda:all").fit(X, y, s)


def test_refusals(fake):
    X, y, _ = problem()

    def refused(error, message, device, X=X, **parameters):
        with pytest.raises(error, match=re.escape(message)) as caught:
            LogisticRegression(device=device, **parameters).fit(X, y)
        assert "\n" not in str(caught.value)

    refused(DeviceError, "there is no device cuda:3; this machine has only cuda:0 to cuda:2", ["cuda:0", "cuda:3"])
    refused(DataError, "is to be a list of different GPUs", [])
    refused(DataError, "is to be a list of different GPUs", ["cuda:1", "cuda:1"])
    refused(DataError, "holds 'cpu'; a list names GPUs", ["cuda:1", "cpu"])
    refused(DataError, "holds 'cuda'; a list names GPUs", ("cuda", "cuda:1"))
    refused(DeviceError, "X is sparse, and sparse rows are walked on the CPU", "cuda:all", sparse.csr_array(X))
    refused(DeviceError, "X is on cuda:0", "cuda:all", fake.asarray(X))
    refused(DataError, "solver='adam' steps over rows in random order", "cuda:all", solver="adam")
    refused(ImplementationError, "impl='cpu' needs rows in host memory", "cuda:all", impl="cpu")
    with pytest.raises(DeviceError, match="streamed rows are walked on the CPU"):
        LogisticRegression(device="cuda:all").fit(iter([(X, y)]))


NETWORK = {"hidden_layer_sizes": (5,), "activation": "tanh", "max_iter": 3, "random_state": 3}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("solver", "n_classes"), [("adam", 3), ("lbfgs", 2)])
def test_bits_of_networks_are_those_of_one_device(fake, used, tmp_path, solver, n_classes):
    X, y, s = problem(n_classes)
    parameters = NETWORK | {"solver": solver, "batch_size": 100}
    three = MLPClassifier(device="cuda:all", **parameters).fit(X, y, s, checkpoint=tmp_path / "fit")
    assert used == {0, 1, 2}
    assert three.device_ == "cuda:0, cuda:1, cuda:2"
    assert three.impl_reason_ == "the rows are in 11 parts"
    used.clear()
    one = MLPClassifier(device=["cuda:1"], **parameters).fit(X, y, s)
    assert used == {1}
    for mine, its in zip([*one.coefs_, *one.intercepts_], [*three.coefs_, *three.intercepts_], strict=True):
        assert mine.tobytes() == its.tobytes()
    assert one.loss_curve_ == three.loss_curve_
    assert three.predict(X).shape == (N,)
    save_model(three, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict_proba(X), three.predict_proba(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_batch_of_all_rows_is_that_of_the_host(fake):
    X, y, s = problem(3, np.float64)
    parameters = NETWORK | {"batch_size": N, "learning_rate_init": 0.05}
    three = MLPClassifier(device="cuda:all", **parameters).fit(X, y, s)
    host = MLPClassifier(device="cpu", **parameters).fit(X, y, s)
    for mine, its in zip(three.coefs_, host.coefs_, strict=True):
        np.testing.assert_allclose(mine, its, rtol=0, atol=1e-9)
    stopped = MLPClassifier(device="cuda:all", early_stopping=True, **NETWORK, batch_size=300).fit(X, y, s)
    assert len(stopped.validation_scores_) == 3


def test_what_networks_on_several_devices_cannot_do(fake):
    X, y, _ = problem()

    def refused(error, message, X=X, y=y, more=None, **parameters):
        with pytest.raises(error, match=re.escape(message)) as caught:
            MLPClassifier(device="cuda:all", **parameters).fit(X, y, **(more or {}))
        assert "\n" not in str(caught.value)

    several = "cannot be used with device='cuda:all', several GPUs; use device='cuda'"
    refused(DataError, f"impl='cuda' {several}", impl="cuda")
    refused(DataError, f"y with several labels a row {several}", y=np.stack([y, 1 - y], axis=1))
    refused(DataError, f"X_val {several}", early_stopping=True, more={"X_val": X, "y_val": y})
    refused(DeviceError, "X is sparse, and sparse rows are walked on the CPU", X=sparse.csr_array(X))
    bad = X.copy()
    bad[-1, 2] = np.nan
    refused(DataError, f"Input X contains NaN at row {N - 1}, column 2", X=bad)
    with pytest.raises(DataError, match="partial_fit cannot be used"):
        MLPClassifier(device="cuda:all").partial_fit(X, y, classes=[0, 1])


def test_a_device_that_is_full_is_named(fake, monkeypatch):
    X, y, _ = problem()
    used = fake.cuda.runtime.memGetInfo

    def little(*_):
        return (1000, 10**9) if fake.cuda.Device().id == 1 else used()

    monkeypatch.setattr(fake.cuda.runtime, "memGetInfo", little)
    with pytest.raises(DeviceError, match="cuda:1"):
        LogisticRegression(device="cuda:all").fit(X, y)
    assert fake.cuda.Device().id == 0


def test_impl_of_the_parts(fake):
    X, y, _ = problem()
    one = LogisticRegression(device="cuda:all", impl="cuda", solver="lbfgs").fit(X, y)
    other = LogisticRegression(device="cuda:all", impl="cublas", solver="lbfgs").fit(X, y)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-4)


def test_the_command_line(fake, capsys, tmp_path):
    X, y, _ = problem()
    np.savetxt(tmp_path / "d.csv", np.column_stack([X, y]), delimiter=",", header="a,b,c,d,y", comments="")
    ended = succeed(
        capsys, "train", tmp_path / "d.csv", "--target", "y", "--device", "cuda:all", "--model", tmp_path / "model"
    )
    assert "cuda:0, cuda:1, cuda:2" in ended.out
    assert load_model(tmp_path / "model").device_ == "cuda:0, cuda:1, cuda:2"
    fake_cupy.device_count = 0
    ended = run(capsys, "train", tmp_path / "d.csv", "--target", "y", "--device", "cuda:all")
    assert ended.code == 2
    assert "there is no device cuda:0" in ended.err
