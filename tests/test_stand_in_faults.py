"""Mistakes put into the package on purpose, each of a kind that a device would punish, and each seen by the stand-in.

A fault is a replacement in the text of a module: its functions then run the changed code, wherever they were imported.
Add one when a new kind of mistake has been made; `SCENES` are what is run with it, and pass without.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import fake_cupy
import kernel_host
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression
from gpu_logreg.backend import Device
from gpu_logreg.dataset import upload as upload_module
from gpu_logreg.passes import Rows, cublas, cuda, cuda_multinomial
from gpu_logreg.solvers.factor import Factor

RNG = np.random.default_rng(4)
X = RNG.standard_normal((400, 5)).astype(np.float32)
Y = (RNG.logistic(size=400) < X @ np.arange(5)).astype(np.int64)
WEIGHTS = RNG.exponential(size=400).astype(np.float32)
CLASSES = RNG.integers(0, 3, 400)


class Fault(NamedTuple):
    kind: str
    module: str
    old: str
    new: str
    scene: str


FAULTS = [
    Fault(
        "an unknown keyword", "dataset.resident", "float(weights.min())", "float(weights.min(initial=0.0))", "weights"
    ),
    Fault(
        "an argument too many",
        "dataset.labels",
        "xp.unique(typed)",
        "xp.unique(typed, False, False, False, None, 1)",
        "classes",
    ),
    Fault(
        "a method that only NumPy has",
        "dataset.upload",
        "    return there\n",
        "    return there.newbyteorder()\n",
        "weights",
    ),
    Fault("an attribute that only NumPy has", "passes.device_rows", "int(X.data.ptr)", "int(X.ctypes.data)", "weights"),
    Fault(
        "a flag that only NumPy has", "passes.device_rows", "array.flags.c_contiguous", "array.flags.carray", "weights"
    ),
    Fault(
        "a function that only NumPy has",
        "logistic",
        "xp.exp(-xp.abs(z))",
        "xp.exp(-xp.fabs(z) + 0 * xp.spacing(z))",
        "predict",
    ),
    Fault(
        "NumPy's function of a device array",
        "softmax",
        "xp.where(is_largest, 0, e)",
        "__import__('numpy').where(is_largest, 0, e)",
        "classes",
    ),
    Fault(
        "an implicit conversion",
        "backend",
        "array.get() if is_cupy(array) else np.asarray(array)",
        "np.asarray(array)",
        "weights",
    ),
    Fault("a host array handed to a kernel", "passes.cuda", "cupy.asarray(w, dtype=real)", "w.astype(real)", "weights"),
    Fault(
        "a host array beside device arrays",
        "dataset.coordinates",
        "shift = xp.asarray(mean, dtype=dtype)",
        "shift = mean.astype(dtype)",
        "weights",
    ),
    Fault(
        "a promotion that does not happen",
        "passes.cublas",
        "cupy.asarray(w, dtype=X.dtype)",
        "cupy.asarray(w)",
        "cublas",
    ),
    Fault("a type that a kernel does not take", "passes.cuda", "np.int32(d)", "np.int64(d)", "weights"),
    Fault(
        "out of the wrong type",
        "dataset.coordinates",
        "xp.empty((m, d + int(fit_intercept)), dtype=dtype)",
        "xp.empty((m, d + int(fit_intercept)), dtype=np.int64)",
        "weights",
    ),
    Fault("out of the wrong shape", "dataset.coordinates", "out=U[part, :d])", "out=U[part, :1])", "weights"),
    Fault(
        "sizes of a launch that are no tuple",
        "passes.cuda",
        "kernels.first((blocks,),",
        "kernels.first([blocks],",
        "weights",
    ),
    Fault("options that are no tuple", "passes.cublas", "options=options)", "options=list(options))", "cublas"),
    Fault(
        "a kernel that writes what nobody has allocated",
        "passes.cuda",
        "cupy.empty((blocks, d + 2)",
        "cupy.empty((blocks, d + 1)",
        "weights",
    ),
    Fault(
        "memory that nobody has written",
        "passes.steps_cuda",
        "cupy.zeros(n_batches * batch_size",
        "cupy.empty(n_batches * batch_size",
        "batches",
    ),
    Fault(
        "a truth value of Python as a condition",
        "stochastic",
        "xp.where(xp.isfinite(params).all(), value, np.nan)",
        "xp.where(bool(xp.isfinite(params).all()), value, np.nan)",
        "batches",
    ),
    Fault(
        "a loop over a device array",
        "predictor",
        "number = to_numpy(z.argmax(axis=1) if z.ndim == 2 else z > 0)",
        "number = np.array([float(value) > 0 for value in z])",
        "predict",
    ),
    Fault(
        "a factorisation that fails in silence",
        "backend",
        'errstate(linalg="raise")',
        'errstate(linalg="ignore")',
        "factor",
    ),
    Fault("a factorisation whose setting is forgotten", "backend", 'errstate(linalg="raise")', "errstate()", "factor"),
    Fault("a forgotten event", "dataset.upload", "    stream.wait_event(allocated)\n", "", "upload"),
    Fault("an event that is not recorded", "dataset.upload", "    allocated.record()\n", "", "upload"),
    Fault(
        "a forgotten synchronisation",
        "dataset.upload",
        "            stream.synchronize()  #",
        "            pass  #",
        "upload",
    ),
    Fault("a chunk filled while it is read", "dataset.upload", "sent[turn].synchronize()", "pass", "upload"),
    Fault(
        "an event of before the copy",
        "dataset.upload",
        "sent[turn] = stream.record()",
        "sent[turn] = cupy.cuda.Event()",
        "upload",
    ),
    Fault(
        "no synchronisation where something fails",
        "dataset.upload",
        "        finally:\n",
        "        except ZeroDivisionError:\n            raise\n        else:\n",
        "upload that fails",
    ),
    Fault(
        "work beside the device of the rows", "passes.cuda", "    with X.device:\n", "    if True:\n", "second device"
    ),
]


@pytest.fixture
def fake(monkeypatch) -> Iterator[types.ModuleType]:
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    caches = cuda._kernels, cuda_multinomial._kernels, cuda_multinomial._most_shared, cublas._kernel
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(upload_module, "_CHUNK_BYTES", 1000)
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    for cache in caches:
        cache.cache_clear()


def weights(fake) -> None:
    model = LogisticRegression(device="cuda").fit(X, Y, WEIGHTS)
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
            LogisticRegression(device=device, solver="adam", max_iter=2).fit(X[:390], Y[:390])
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
    with pytest.raises((Exception, pytest.fail.Exception, KeyboardInterrupt)):
        play(fault.scene, fake)
    gc.collect()
    fake.faults.clear()
