"""Mistakes put into the package on purpose, each seen by the stand-in for what it is; `SCENES` pass without them."""

from __future__ import annotations

import gc
import importlib
import inspect
import re
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import fake_cupy
import kernel_host
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from stand_in_faults import FAULTS, Fault

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.device import Device
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.rows import upload as upload_module
from gpu_logreg.rows.block import Rows

RNG = np.random.default_rng(4)
X = RNG.standard_normal((400, 5)).astype(np.float32)
Y = (RNG.logistic(size=400) < X @ np.arange(5)).astype(np.int64)
WEIGHTS = RNG.exponential(size=400).astype(np.float32)
CLASSES = RNG.integers(0, 3, 400)


@pytest.fixture
def fake(monkeypatch) -> Iterator[types.ModuleType]:
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    caches = cuda._kernels, cuda_multinomial._kernels, cuda_multinomial._most_shared, cublas._kernel
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(upload_module, "UPLOADED", 1000)
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for cache in caches:
        cache.cache_clear()


def weights(fake) -> None:
    model = LogisticRegression(device="cuda").fit(X, Y, WEIGHTS)
    assert (model.impl_, model.converged_) == ("cuda", True)


def weights_there(fake) -> None:
    model = LogisticRegression().fit(fake.asarray(X), fake.asarray(Y), fake.asarray(WEIGHTS))
    assert (model.impl_, model.converged_) == ("cuda", True)


def classes(fake) -> None:
    model = LogisticRegression(device="cuda", impl="reference").fit(fake.asarray(X), fake.asarray(CLASSES), WEIGHTS)
    assert model.converged_


def predict(fake) -> None:
    model = LogisticRegression(device="cpu").fit(X, Y)
    there = fake.asarray(X)
    np.testing.assert_array_equal(model.predict(there).get(), model.predict(X))
    np.testing.assert_allclose(model.predict_proba(there).get(), model.predict_proba(X), rtol=1e-5)


def of_cublas(fake) -> None:
    rows = Rows(fake.asarray(X), fake.asarray(Y.astype(np.uint8)), fake.asarray(WEIGHTS))
    assert np.isfinite(cublas.cublas_pass(rows, np.ones(5), 0.5).loss_sum)


def batches(fake) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        device, host = (
            LogisticRegression(device=device, solver="adam", max_iter=2).fit(X[:390], Y[:390], WEIGHTS[:390])
            for device in ("cuda", "cpu")
        )
    np.testing.assert_allclose(device.coef_, host.coef_, rtol=1e-3)


def factor(fake) -> None:
    far, near = np.eye(4) + 3.0 * np.ones((4, 4)), np.ones((3, 3)) - 1e-14 * np.eye(3)
    with pytest.raises(np.linalg.LinAlgError):
        Factor(fake.asarray(-far))
    assert Factor(fake.asarray(near)).added == Factor(near).added > 0.0
    far[0, 1] = far[1, 0] = 9.0
    with pytest.raises(np.linalg.LinAlgError):
        Factor(fake.asarray(far))


def upload(fake) -> None:
    there = upload_module.upload(X, Device("cuda"), np.float32)
    np.testing.assert_array_equal(there.get(), X)


def upload_that_fails(fake) -> None:
    def told(done: int, total: int) -> None:
        if done > 3000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload_module.upload(X, Device("cuda"), np.float32, told)


def second_device(fake) -> None:
    fake.device_count = 2
    try:
        with fake.cuda.Device(1):
            rows = Rows(fake.asarray(X), fake.asarray(Y.astype(np.uint8)), None)
        assert np.isfinite(cuda.cuda_pass(rows, np.ones(5), 0.5).loss_sum)
    finally:
        fake.device_count = 1
        fake.cuda.Device(0).use()


SCENES: dict[str, Callable[[Any], None]] = {
    "weights": weights,
    "weights_there": weights_there,
    "classes": classes,
    "predict": predict,
    "cublas": of_cublas,
    "batches": batches,
    "factor": factor,
    "upload": upload,
    "upload that fails": upload_that_fails,
    "second device": second_device,
}


def functions_of(namespace: dict[str, Any], name: str) -> dict[str, Any]:
    """Functions and methods that a module defines, by their qualified names, without what is wrapped around them."""
    found = {}
    for value in namespace.values():
        inner = vars(value).values() if inspect.isclass(value) and value.__module__ == name else [value]
        for defined in inner:
            wrapped = (getattr(defined, way, None) for way in ("__func__", "fget", "_function"))
            plain = inspect.unwrap(next(filter(None, wrapped), defined))
            if inspect.isfunction(plain) and plain.__module__ == name:
                found[plain.__qualname__] = plain
    return found


CODE = ("co_code", "co_names", "co_consts")


def put_in(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the functions of a module run its text with the fault in it."""
    module = importlib.import_module(f"gpu_logreg.{fault.module}")
    text = inspect.getsource(module)
    assert text.count(fault.old) >= 1, "the text has changed; change the fault"
    changed = types.ModuleType(module.__name__)
    exec(compile(text.replace(fault.old, fault.new), module.__file__, "exec"), vars(changed))
    theirs = functions_of(vars(changed), module.__name__)
    put = 0
    for name, function in functions_of(vars(module), module.__name__).items():
        if any(getattr(function.__code__, part) != getattr(theirs[name].__code__, part) for part in CODE):
            monkeypatch.setattr(function, "__code__", theirs[name].__code__)
            put += 1
    assert put


def play(scene: str, fake: Any) -> None:
    """What a test sees: an error, a failed assertion, or a fault of the device."""
    SCENES[scene](fake)
    gc.collect()
    for stream in list(fake_cupy.fake_cupy_streams.streams_of_all):
        stream._run(len(stream._work))
    assert not fake.faults


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_passes_without_a_fault(fake, scene):
    play(scene, fake)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_a_fault_is_seen(fake, monkeypatch, fault):
    put_in(fault, monkeypatch)
    with pytest.raises((Exception, pytest.fail.Exception), match=re.escape(fault.seen)):
        play(fault.scene, fake)
    gc.collect()
    fake.faults.clear()
