"""Fits, answers and sums on the device that was asked for, of several, whichever device is the current one."""

from __future__ import annotations

import itertools
import threading

import fake_cupy
import fake_cupy_cuda
import kernel_host
import numpy as np
import pytest
from command_line import run, succeed
from device_tensors import TorchLike
from fake_cupy_streams import CUDARuntimeError
from sweeps import thinned

from gpu_logreg import LogisticRegression, MLPClassifier, load_model, loss_and_gradient
from gpu_logreg.arrays.device import Device, cupy_to_device, device_of, to_device
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.errors import DeviceError
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda import steps as steps_cuda

N, D = 300, 4
KERNELS = (cuda._kernels, cuda_multinomial._kernels, cuda_multinomial._most_shared, cublas._kernel, steps_cuda._kernel)


@pytest.fixture
def fake(monkeypatch):
    """Two devices, of which the first is the current one."""
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    for cache in KERNELS:
        cache.cache_clear()
    monkeypatch.setattr(fake_cupy, "device_count", 2)
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for cache in KERNELS:
        cache.cache_clear()


@pytest.fixture
def used(monkeypatch):
    """Numbers of the devices that memory was taken on, and streams made."""
    devices = set()
    block, stream = fake_cupy_cuda.Block.__init__, fake_cupy_cuda.Stream.__init__

    def taken(self, nbytes, device=None):
        devices.add(fake_cupy_cuda.Device().id if device is None else device)
        block(self, nbytes, device)

    def made(self, *arguments, **options):
        devices.add(fake_cupy_cuda.Device().id)
        stream(self, *arguments, **options)

    monkeypatch.setattr(fake_cupy_cuda.Block, "__init__", taken)
    monkeypatch.setattr(fake_cupy_cuda.Stream, "__init__", made)
    return devices


def problem(K: int = 2):
    rng = np.random.default_rng(K)
    X = rng.standard_normal((N, D))
    y = (X @ rng.standard_normal((D, K)) + rng.gumbel(size=(N, K))).argmax(axis=1)
    return X.astype(np.float32), y, rng.random(N) + 0.5


def on(fake, index: int, array):
    with fake.cuda.Device(index):
        return fake.asarray(array)


def current(fake) -> int:
    return fake.cuda.Device().id


FITS = {
    "two classes": (2, lambda device: LogisticRegression(device=device)),
    "three classes": (3, lambda device: LogisticRegression(device=device)),
    "an L1 penalty": (2, lambda device: LogisticRegression(device=device, l1_ratio=1.0, C=0.1)),
    "lbfgs, balanced": (2, lambda device: LogisticRegression(device=device, solver="lbfgs", class_weight="balanced")),
    "float16, cublas": (2, lambda device: LogisticRegression(device=device, storage="float32", impl="cublas")),
    "adam": (2, lambda device: LogisticRegression(device=device, solver="adam", max_iter=2)),
    "network, three classes": (3, lambda device: MLPClassifier((3,), device=device, max_iter=2)),
    "network, lbfgs": (2, lambda device: MLPClassifier((3,), device=device, solver="lbfgs", max_iter=4)),
    "network, held back": (2, lambda device: MLPClassifier((3,), device=device, early_stopping=True, max_iter=2)),
}


OFTEN = ("two classes", "network, three classes")
"""Fits that every run of the tests makes."""


def weights_of(model):
    return [model.coef_, model.intercept_] if hasattr(model, "coef_") else [*model.coefs_, *model.intercepts_]


def fitted(make, device, X, y, s=None):
    model = make(device)
    return model.fit(X, y) if s is None or isinstance(model, MLPClassifier) else model.fit(X, y, s)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", thinned(FITS, lambda kind: kind in OFTEN))
def test_a_fit_runs_wholly_on_the_device_asked_for(fake, used, kind):
    K, make = FITS[kind]
    X, y, s = problem(K)
    first = fitted(make, "cuda:0", X, y, s)
    assert used == {0}
    used.clear()
    second = fitted(make, "cuda:1", X, y, s)
    assert used == {1}
    assert current(fake) == 0
    used.clear()
    with fake.cuda.Device(1):
        third = fitted(make, "cuda:0", X, y, s)
        assert current(fake) == 1
    assert used == {0}
    assert (first.device_, second.device_, third.device_) == ("cuda:0", "cuda:1", "cuda:0")
    assert second.device_reason_ == "asked for"
    for found in (second, third):
        for array, wanted in zip(weights_of(found), weights_of(first), strict=True):
            assert array.tobytes() == wanted.tobytes()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("kind", "device"),
    thinned(
        itertools.product(
            ["two classes", "three classes", "network, three classes", "network, lbfgs"], ["auto", "cuda", "cuda:1"]
        ),
        lambda case: case in [(OFTEN[0], "auto"), (OFTEN[1], "cuda:1")],
    ),
)
def test_rows_that_are_on_a_device_stay_there(fake, used, kind, device):
    K, make = FITS[kind]
    X, y, s = problem(K)
    there, labels, weights = on(fake, 1, X), on(fake, 0, y), on(fake, 0, s)  # labels and weights come to the rows
    used.clear()
    model = fitted(make, device, there, labels, weights)
    assert used == {1}
    assert model.device_ == "cuda:1"
    assert model.device_reason_ == ("auto: the rows are on this device" if device == "auto" else "asked for")
    on_host = fitted(make, "cuda:0", X, y, s)
    for array, wanted in zip(weights_of(model), weights_of(on_host), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-6, atol=1e-9)
    used.clear()
    answers = model.predict_proba(there), model.predict_log_proba(there), model.decision_function(there)
    answers += (model.predict(there),)
    assert used == {1}
    assert current(fake) == 0
    assert [answer.device.id for answer in answers] == [1] * 4
    np.testing.assert_array_equal(answers[3].get(), model.predict(X))
    assert model.score(there, labels, weights) == model.score(X, y, s)


def test_rows_of_one_device_are_not_sent_to_another(fake):
    X, y, _ = problem()
    there = on(fake, 1, X)
    wanted = (
        "device='cuda:0' cannot be used: X is on cuda:1; use device='auto', which fits it there, or bring X to cuda:0 "
        "first"
    )
    tensor = TorchLike(X, 1)
    for rows in (there, tensor):
        for call in (
            LogisticRegression(device="cuda:0").fit,
            MLPClassifier(device="cuda:0").fit,
            lambda X, y: MLPClassifier(device="cuda:0").partial_fit(X, y, [0, 1]),
            lambda X, y: loss_and_gradient(X, y, np.zeros(D), device="cuda:0"),
        ):
            with pytest.raises(DeviceError) as error:
                call(rows, y)
            assert str(error.value) == wanted
    assert current(fake) == 0


def test_rows_of_a_device_can_be_asked_to_the_host(fake, used):
    X, y, _ = problem()
    there = on(fake, 1, X)
    used.clear()
    model = LogisticRegression(device="cpu").fit(there, on(fake, 0, y))
    assert model.device_ == "cpu"
    np.testing.assert_array_equal(model.coef_, LogisticRegression(device="cpu").fit(X, y).coef_)
    assert used <= {0, 1}


@pytest.mark.parametrize("model", [LogisticRegression, MLPClassifier])
def test_devices_that_are_not_there_are_named(fake, model):
    X, y, _ = problem()
    with pytest.raises(DeviceError) as error:
        model(device="cuda:2").fit(X, y)
    assert str(error.value) == (
        "device='cuda:2' cannot be used: there is no device cuda:2; this machine has only cuda:0 to cuda:1; or use "
        "device='cpu'"
    )
    with pytest.raises(DeviceError, match="there is no device cuda:2"):
        loss_and_gradient(X, y, np.zeros(D), device="cuda:2")


@pytest.mark.parametrize("index", [0, 1])
def test_sums_on_the_device_asked_for(fake, used, index):
    X, y, s = problem()
    w = np.linspace(-1.0, 1.0, D)
    wanted = loss_and_gradient(X, y, w, 0.3, sample_weight=s, device="cpu")
    used.clear()
    found = loss_and_gradient(X, y, w, 0.3, sample_weight=s, device=f"cuda:{index}")
    assert used == {index}
    assert found.value == pytest.approx(wanted.value, rel=1e-6)
    there = on(fake, index, X)
    for labels in (on(fake, 1 - index, y.astype(np.int32)), y.astype(np.float32)):
        found = loss_and_gradient(there, labels, w, 0.3, sample_weight=on(fake, 1 - index, s))
        np.testing.assert_allclose(found.dw, wanted.dw, rtol=1e-4, atol=1e-6)
    assert current(fake) == 0


def test_a_value_that_is_no_number_is_named_from_another_device(fake):
    X, y, _ = problem()
    X[5, 2] = np.nan
    there = on(fake, 1, X)
    for call in (
        lambda: LogisticRegression().fit(there, y),
        lambda: MLPClassifier((2,)).fit(there, y),
        lambda: loss_and_gradient(there, y, np.zeros(D)),
    ):
        with pytest.raises(ValueError, match="Input X contains NaN at row 5, column 2"):
            call()
    model = LogisticRegression(device="cpu").fit(np.nan_to_num(X), y)
    with pytest.raises(ValueError, match="Input X contains NaN at row 5, column 2"):
        model.predict(there)


def test_fits_in_threads_keep_to_their_devices(fake):
    X, y, s = problem()
    wanted = LogisticRegression(device="cuda:0").fit(X, y, s)
    found, begin = {}, threading.Barrier(2)

    def fit(index: int) -> None:
        begin.wait()
        model = LogisticRegression(device=f"cuda:{index}").fit(X, y, s)
        found[index] = model, current(fake)

    threads = [threading.Thread(target=fit, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, (model, left) in found.items():
        assert model.device_ == f"cuda:{index}"
        assert left == 0
        assert model.coef_.tobytes() == wanted.coef_.tobytes()
    assert len(found) == 2


def test_a_network_goes_on_on_another_device(fake, used):
    X, y, _ = problem(3)
    one = MLPClassifier((3,), device="cuda:0", random_state=0)
    for _ in range(3):
        one.partial_fit(X, y, [0, 1, 2])
    several = MLPClassifier((3,), random_state=0)
    for device in ("cuda:0", "cuda:1", "cuda:0"):
        used.clear()
        several.set_params(device=device).partial_fit(X, y, on(fake, 1, np.arange(3)))
        assert int(device[-1]) in used
    for array, wanted in zip(weights_of(several), weights_of(one), strict=True):
        assert array.tobytes() == wanted.tobytes()


def test_arrays_come_from_another_device_whatever_their_strides(fake):
    X, _, _ = problem()
    there = on(fake, 1, X)
    with fake.cuda.Device(1):
        parts = {"rows": there[::2], "columns": there[:, 1], "transposed": there.T}
    for name, wanted in {"rows": X[::2], "columns": X[:, 1], "transposed": X.T}.items():
        here = to_device(parts[name], Device("cuda", 0))
        assert here.device.id == 0
        np.testing.assert_array_equal(here.get(), wanted)
        np.testing.assert_array_equal(cupy_to_device(parts[name], Device("cpu")), wanted)
    assert device_of(there) == Device("cuda", 1)
    assert cupy_to_device(there, Device("cuda", 1)) is there
    assert cupy_to_device([1, 2], Device("cuda", 1)) == [1, 2]
    assert device_of([1, 2]) == device_of(X) == Device("cpu")


def test_an_array_that_does_not_tell_where_it_is():
    class Sharded:
        def __dlpack_device__(self):
            raise BufferError("sharded over several devices")

    assert device_of(Sharded()) == Device("cpu")


def test_the_command_line_takes_a_device_by_its_number(fake, used, capsys, tmp_path):
    X, y, _ = problem()
    lines = [",".join(f"{value:.6g}" for value in row) + f",{label}" for row, label in zip(X, y, strict=True)]
    (tmp_path / "rows.csv").write_text("a,b,c,d,label\n" + "\n".join(lines) + "\n")
    train = ("train", tmp_path / "rows.csv", "--target", "label", "--model", tmp_path / "model", "--device")
    ended = succeed(capsys, *train, "cuda:1")
    assert used == {1}
    assert "device      cuda:1 (asked for)\n" in ended.out
    assert load_model(tmp_path / "model").device_ == "cuda:1"
    ended = run(capsys, *train, "cuda:2")
    assert ended.code == 2
    assert ended.err.startswith("error: device='cuda:2' cannot be used: there is no device cuda:2; this machine has")
    assert ended.err.count("\n") == 1
    for device in ("cuda:x", "cuda:-1", "gpu"):
        ended = run(capsys, *train, device)
        assert ended.code == 2
        assert ended.err == f"error: device={device!r} is not known; use 'auto', 'cpu', 'cuda' or 'cuda:N'\n"


def test_a_device_that_somebody_has_to_himself(fake, monkeypatch):
    def busy():
        raise CUDARuntimeError("cudaErrorDevicesUnavailable: busy or unavailable")

    monkeypatch.setattr(fake_cupy.cuda.runtime, "memGetInfo", busy)
    many = np.lib.stride_tricks.as_strided(np.zeros(1), (10**7, 2), (0, 0))
    device = resolve_device("auto", many)
    assert device.kind == "cpu"
    assert "cuda:0 cannot be used (CUDARuntimeError: cudaErrorDevicesUnavailable: busy" in device.reason
    X, y, _ = problem()
    for model in (LogisticRegression(device="cuda:1"), MLPClassifier(device="cuda:1")):
        with pytest.raises(DeviceError) as error:
            model.fit(X, y)
        assert str(error.value).startswith("cuda:1 failed (CUDARuntimeError: cudaErrorDevicesUnavailable: busy")
        assert "\n" not in str(error.value)
