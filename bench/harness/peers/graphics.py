"""On a GPU: gpu-logreg, cuML, PyTorch, JAX, scikit-learn on arrays of PyTorch. These were not run on a GPU yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from harness.peers.ours import GpuLogreg
from harness.peers.peer import Peer, Solution, tolerances
from harness.peers.scikit_learn import Sklearn
from harness.peers.torch_lbfgs import Torch


class _OnGPU(Peer):
    """A peer that is missing where there is no CUDA device."""

    def missing(self) -> str | None:
        return super().missing() or (None if Path("/dev/nvidiactl").exists() else "no CUDA device")


class GpuLogregOnGPU(_OnGPU, GpuLogreg):
    """gpu-logreg on the GPU, of rows in host memory: the way there counts."""

    name, device = "gpu-logreg, GPU", "cuda"

    def missing(self) -> str | None:
        import importlib.util

        return super().missing() or (None if importlib.util.find_spec("cupy") else "CuPy is not installed")


class TorchOnGPU(_OnGPU, Torch):
    """The rows lie on the GPU already."""

    name, device = "torch L-BFGS, GPU", "cuda"


class CuML(_OnGPU):
    """`cuml.LogisticRegression`: quasi-Newton, of rows in host memory."""

    name, module = "cuml, GPU", "cuml"
    levels = tolerances(1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10)

    def fit(self, prepared: Any, **level: Any) -> Solution:
        import cuml

        X, y, C, l1_ratio, fit_intercept = prepared
        penalty = None if np.isinf(C) else "l1" if l1_ratio else "l2"
        model = cuml.LogisticRegression(
            penalty=penalty, C=1.0 if penalty is None else C, fit_intercept=fit_intercept, max_iter=10_000, **level
        ).fit(X, y.astype(X.dtype))
        W = np.atleast_2d(_on_host(model.coef_))
        return W, np.broadcast_to(_on_host(model.intercept_).ravel(), (len(W),))


class Jax(_OnGPU):
    """optax's L-BFGS on the whole data, compiled; the rows lie on the GPU already."""

    name, module, compiles = "jax L-BFGS, GPU", "optax", True
    levels = tolerances(1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-9)
    penalties, sparse_rows = ("ridge", "none"), False

    def prepare(self, training: Any) -> Any:
        import jax

        jax.config.update("jax_enable_x64", training.X.dtype == np.float64)
        return training, jax.device_put(training.X), jax.device_put(training.y)

    def fit(self, prepared: Any, **level: Any) -> Solution:
        import jax
        import jax.numpy as jnp
        import optax

        training, X, y = prepared
        (n, d), K = X.shape, training.n_classes
        n_rows = 1 if K == 2 else K

        def mean_value(params: Any) -> Any:
            W, b = params
            z = X @ W + (b if training.fit_intercept else 0.0)
            if K == 2:
                loss = (jnp.logaddexp(0.0, z[:, 0]) - y * z[:, 0]).mean()
            else:
                loss = (jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]).mean()
            return loss + 0.5 * (W * W).sum() / (training.C * n)

        solver = optax.lbfgs(memory_size=10)
        both = optax.value_and_grad_from_state(mean_value)

        def step(carry: Any) -> Any:
            params, state, _, count = carry
            found, grad = both(params, state=state)
            moved, state = solver.update(grad, state, params, value=found, grad=grad, value_fn=mean_value)
            size = jnp.maximum(jnp.abs(grad[0]).max(), jnp.abs(grad[1]).max())
            return optax.apply_updates(params, moved), state, size, count + 1

        def goes_on(carry: Any) -> Any:
            return (carry[2] > level["tol"]) & (carry[3] < 5_000)

        params = jnp.zeros((d, n_rows), X.dtype), jnp.zeros(n_rows, X.dtype)
        start = params, solver.init(params), jnp.asarray(jnp.inf, X.dtype), 0
        W, b = jax.jit(lambda carry: jax.lax.while_loop(goes_on, step, carry))(start)[0]
        return np.asarray(W, np.float64).T, np.asarray(b, np.float64)


class SklearnOnArrays(_OnGPU, Sklearn):
    """scikit-learn's lbfgs on arrays of PyTorch that lie on the GPU."""

    module = "torch"
    sparse_rows = False
    variables = (("SCIPY_ARRAY_API", "1"),)

    def __init__(self) -> None:
        super().__init__("lbfgs")
        self.name = "scikit-learn lbfgs on torch arrays, GPU"

    def prepare(self, training: Any) -> Any:
        import sklearn
        import torch

        sklearn.set_config(array_api_dispatch=True)
        return training._replace(X=torch.from_numpy(training.X).cuda(), y=torch.from_numpy(training.y).cuda())

    def fit(self, prepared: Any, **level: Any) -> Solution:
        model = self._estimator(prepared, **level).fit(prepared.X, prepared.y)
        W = np.atleast_2d(_on_host(model.coef_))
        return W, np.broadcast_to(_on_host(model.intercept_).ravel(), (len(W),))


def _on_host(array: Any) -> np.ndarray:
    for method in ("cpu", "get", "to_numpy"):
        if hasattr(array, method):
            array = getattr(array, method)()
    return np.asarray(array, dtype=np.float64)
