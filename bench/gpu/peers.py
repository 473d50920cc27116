"""The same loss and gradient by other libraries, on the same device arrays, in the dtype the rows are stored in.

Each walks the rows twice, once for each product, with the element-wise steps between them as well joined as its library
joins them. Every peer is optional: what cannot be imported or run is absent, with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gpu.data import Data
from gpu.launch import error_of
from gpu.timing import call_ms, device_ms, one_line, queued_ms, say

from gpu_logreg.passes.cuda.cublas import cublas_pass
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows

LARGEST_ERROR = 1e-3
"""Relative error from which a peer's time is not given; above that of products in TF32, it computes something else."""

TORCH_DEVICE = "cuda"
JAX_PLATFORM = "gpu"


class Peer(NamedTuple):
    """A library that computes loss and gradient sums.

    Attributes
    ----------
    name : str
    note : str
        How it runs.
    prepare : function (data) -> call
        ``call()`` queues the work and returns loss sum, ``dw_sum`` and ``db_sum`` on the device.
    to_host : function (array) -> ndarray
    wait : function (result) or None
        None where the work runs on the stream that CuPy's events are recorded on.
    """

    name: str
    note: str
    prepare: Callable[[Data], Callable[[], Any]]
    to_host: Callable[[Any], Any]
    wait: Callable[[Any], Any] | None = None


def cupy_peer(cupy: Any) -> Peer:
    """Two products and one launch for every step between them."""

    def prepare(data: Data) -> Callable[[], Any]:
        X, y, b = data.X, data.y, np.dtype(data.real).type(data.b)
        w = cupy.asarray(data.w, dtype=X.dtype)
        one = X.dtype.type(1)

        def call() -> Any:
            z = X @ w + b
            e = cupy.exp(-cupy.abs(z))
            loss = cupy.maximum(z, X.dtype.type(0)) - y * z + cupy.log1p(e)
            dz = cupy.where(z >= 0, one, e) / (one + e) - y
            return loss.sum(), X.T @ dz, dz.sum()

        return call

    return Peer("cupy", "one launch per step", prepare, lambda array: array.get())


def torch_peer() -> Peer:
    """Two products (cuBLAS) and the steps between them fused by ``torch.compile``; eager where that does not work."""
    import torch

    if TORCH_DEVICE == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("torch finds no CUDA device")

    def between(z: Any, y: Any, b: Any) -> Any:
        z = z + b
        loss = torch.clamp(z, min=0) - y * z + torch.log1p(torch.exp(-torch.abs(z)))
        dz = torch.sigmoid(z) - y
        return loss.sum(), dz, dz.sum()

    steps, note = torch.compile(between, dynamic=True), "torch.compile between two products"
    try:
        for count in (1000, 2000):
            z = torch.ones(count, device=TORCH_DEVICE)
            steps(z, torch.ones(count, device=TORCH_DEVICE, dtype=torch.uint8), torch.ones((), device=TORCH_DEVICE))
    except Exception as error:
        steps, note = between, f"eager, because torch.compile failed ({one_line(error)})"
    say(f"torch {torch.__version__}: {note}")

    def prepare(data: Data) -> Callable[[], Any]:
        X, y = torch.from_dlpack(data.X), torch.from_dlpack(data.y)
        w = torch.asarray(data.w, dtype=X.dtype, device=X.device)
        b = torch.asarray(data.b, dtype=X.dtype, device=X.device)

        def call() -> Any:
            with torch.no_grad():
                loss, dz, db = steps(torch.mv(X, w), y, b)
                return loss, torch.mv(X.t(), dz), db

        return call

    return Peer("torch", note, prepare, lambda tensor: tensor.cpu().numpy())


def jax_peer() -> Peer:
    """One ``jax.jit`` over everything, products in full precision."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the rows need the memory
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    platform = jax.devices()[0].platform
    if platform != JAX_PLATFORM:
        raise RuntimeError(f"JAX runs on {platform}")

    @jax.jit
    def sums(X: Any, y: Any, w: Any, b: Any) -> Any:
        z = X @ w + b
        y = y.astype(X.dtype)
        loss = jnp.maximum(z, 0) - y * z + jnp.log1p(jnp.exp(-jnp.abs(z)))
        dz = jax.nn.sigmoid(z) - y
        return loss.sum(), X.T @ dz, dz.sum()

    def prepare(data: Data) -> Callable[[], Any]:
        X, y = jax.dlpack.from_dlpack(data.X), jax.dlpack.from_dlpack(data.y)
        w, b = jnp.asarray(data.w, dtype=X.dtype), jnp.asarray(data.b, dtype=X.dtype)
        return lambda: sums(X, y, w, b)

    say(f"jax {jax.__version__} on {platform}")
    return Peer("jax", "jax.jit, own stream: by the clock of the host", prepare, np.asarray, jax.block_until_ready)


LOADERS: dict[str, Callable[[Any], Peer]] = {
    "cupy": cupy_peer,
    "torch": lambda _: torch_peer(),
    "jax": lambda _: jax_peer(),
}


def peer_ms(cupy: Any, peer: Peer, data: Data, true: Sums, rounds: int) -> dict[str, Any]:
    """Milliseconds of a peer, once its sums are right; the problem otherwise."""
    try:
        call = peer.prepare(data)
        loss, dw, db = (np.asarray(peer.to_host(array), dtype=np.float64) for array in call())
        error = error_of(Sums(float(loss), dw, float(db)), true)
        if not error <= LARGEST_ERROR:
            return {"problem": f"wrong: relative error {error:.1e}", "error": error}
        ms = device_ms(cupy, [call], rounds) if peer.wait is None else queued_ms(call, peer.wait, rounds)
    except Exception as problem:
        return {"problem": one_line(problem)}
    return {"ms": ms, "error": error}


def cublas_call_ms(data: Data, true: Sums, rounds: int) -> dict[str, Any]:
    """Milliseconds of a whole call of the ``cublas`` pass, once its sums are right."""
    try:
        rows = Rows(data.X, data.y, None)
        error = error_of(cublas_pass(rows, data.w, data.b), true)
        if not error <= LARGEST_ERROR:
            return {"problem": f"wrong: relative error {error:.1e}", "error": error}
        return {"ms": call_ms(lambda: cublas_pass(rows, data.w, data.b), rounds), "error": error}
    except Exception as problem:
        return {"problem": one_line(problem)}
