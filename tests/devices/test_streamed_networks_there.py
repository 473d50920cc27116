"""Networks on streamed rows, on the stand-in for a GPU: the rows that are shuffled together are copied to it."""

from __future__ import annotations

import gc
import warnings

import fake_cupy
import fake_cupy_cuda
import kernel_host
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import Checkpoint, MLPClassifier, Stream
from gpu_logreg.errors import DeviceError
from gpu_logreg.passes.cuda.steps import _kernel
from gpu_logreg.rows import block_store

N, D = 1300, 5
ADAM = {"batch_size": 64, "max_iter": 3, "learning_rate_init": 0.01}
HOW = {
    "adam": {**ADAM, "impl": "reference"},
    "adam, kernels": ADAM,
    "sgd, in order": {**ADAM, "impl": "reference", "solver": "sgd", "shuffle": False},
    "lbfgs": {"solver": "lbfgs", "max_iter": 8},
}


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """One device, and blocks of 200 rows: seven, of which four are shuffled together."""
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS", 200 * D)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 200)
    _kernel.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        yield module
    _kernel.cache_clear()


@pytest.fixture
def stream(tmp_path):
    """Rows of two classes, of which some weigh nothing."""
    rng = np.random.default_rng(0)
    X, s = rng.standard_normal((N, D)), rng.exponential(size=N)
    s[rng.random(N) < 0.1] = 0.0
    np.save(tmp_path / "rows.npy", X)
    return Stream(tmp_path / "rows.npy", X[:, 0] * X[:, 1] > 0.1, s, memory_budget=100_000)


def fitted(stream, how, **more):
    model = MLPClassifier((4,), random_state=0, **how, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(stream)


def weights(model):
    return np.concatenate([array.ravel() for array in (*model.coefs_, *model.intercepts_)])


@pytest.mark.parametrize("kind", list(HOW))
def test_the_network_is_that_of_the_host_and_the_device_is_left_empty(stream, kind):
    model, other = fitted(stream, HOW[kind], device="cuda"), fitted(stream, HOW[kind], device="cpu")
    assert model.device_ == "cuda:0"
    assert model.impl_ == ("cuda" if "kernels" in kind else "reference")
    np.testing.assert_allclose(weights(model), weights(other), rtol=0, atol=1e-9)
    assert model.score(stream) == other.score(stream)
    gc.collect()
    assert fake_cupy_cuda.MemoryPool.used[0] == 0


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(stream, tmp_path):
    whole, checkpoint = fitted(stream, HOW["adam"], device="cuda"), Checkpoint(tmp_path / "c", every=0)

    def stop(epoch):
        if epoch.n_iter == 2:
            raise KeyboardInterrupt

    model = MLPClassifier((4,), random_state=0, device="cuda", verbose=stop, **HOW["adam"])
    with pytest.raises(KeyboardInterrupt):
        model.fit(stream, checkpoint=checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(verbose=0).fit(stream, checkpoint=checkpoint)
    np.testing.assert_array_equal(weights(model), weights(whole))


def test_several_gpus_are_refused(stream):
    with pytest.raises(DeviceError, match="streamed rows are walked on the CPU or one GPU"):
        fitted(stream, HOW["adam"], device="cuda:all")
