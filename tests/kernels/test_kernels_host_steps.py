"""The text of the kernels that make a batch without the host, executed on the CPU, against NumPy and the references."""

from __future__ import annotations

import itertools

import kernel_host
import numpy as np
import pytest
from sweeps import every_other, slow, thinned

from gpu_logreg.mathematics.network import ACTIVATIONS
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda.source import kernel_source
from gpu_logreg.passes.cuda.steps_graph import (
    LAYER_HEADERS,
    PRODUCT_HEADERS,
    STORAGES,
    layer_options,
)
from gpu_logreg.passes.cuda.steps_tiles import TILES

pytestmark = pytest.mark.skipif(kernel_host.missing() is not None, reason=str(kernel_host.missing()))

BATCH = 70
"""Rows of a batch: more than one tile, and not a whole number of them."""
N = 150
"""Rows of the order: the last batch has ten."""
SIZES = [(1, 1), (33, 8), (64, 9), (5, 65), slow((128, 9)), slow((31, 33))]
"""Inputs and outputs of a layer: below, at and beyond the borders of tiles and of what is fetched at a time."""


def kernel(name: str, headers: tuple[str, ...], options: tuple[str, ...]):
    return kernel_host.HostModule(kernel_source(f"{name}.cu", headers), options).get_function(name)


def stored(rng: np.random.Generator, shape: tuple[int, int], storage: str) -> np.ndarray:
    """Rows with something between them, so that their stride is not their width."""
    numbers = 4 * rng.standard_normal((shape[0], shape[1] + 3))
    X = (np.abs(numbers) if storage == "uint8" else numbers).astype(storage)
    return X[:, : shape[1]]


def as_given(X: np.ndarray) -> np.ndarray:
    as_ = STORAGES[X.dtype.name][1]
    return X if as_ is None else X.view(as_)


def batch(number: int, n: int = N) -> tuple:
    """Which batch it is, as the kernels are told."""
    return np.array([number, -1]), np.int32(BATCH), np.int64(n)


def rows_of(number: int, order: np.ndarray) -> np.ndarray:
    return order[number * BATCH : (number + 1) * BATCH]


def problem(d: int, m: int, real: str, storage: str = ""):
    rng = np.random.default_rng([d, m])
    X = stored(rng, (200, d), storage or real)
    W, b = rng.standard_normal((d, m)).astype(real), rng.standard_normal(m).astype(real)
    return X, rng.permutation(200)[:N], W, b, rng.standard_normal((BATCH, m)).astype(real)


def forward(tile, number: int, X, order, W, b, activation: str = "tanh", *, gather=True, seed=0) -> np.ndarray:
    d, m = W.shape
    options = layer_options(tile, W.dtype.name, storage=X.dtype.name, gather=gather, activation=activation)
    out = np.full((BATCH, m), np.nan, W.dtype)
    stride = np.int64(X.strides[0] // X.itemsize)
    arguments = (as_given(X), stride, order, *batch(number), W, b, out, np.int32(d), np.int32(m))
    run = kernel("dense_forward", LAYER_HEADERS, options)
    run((tile.blocks(BATCH, m),), (cublas.BLOCK,), arguments, seed=seed)
    return out


def tolerance(real: str, length: int) -> dict[str, float]:
    return {"rtol": 0, "atol": 20 * (length + 1) * float(np.finfo(real).eps)}


@pytest.mark.parametrize(("d", "m"), SIZES)
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("real", every_other(["float32", "float64"]))
def test_forward_gathers_the_rows_of_a_batch(real, tile, d, m):
    X, order, W, b, _ = problem(d, m, real)
    for number in range(4):
        at = rows_of(number, order)
        out = forward(tile, number, X, order, W, b)
        wanted = np.tanh(X[at].astype(np.float64) @ W.astype(np.float64) + b)
        np.testing.assert_allclose(out[: len(at)], wanted, **tolerance(real, d))
        assert np.isnan(out[len(at) :]).all()


@pytest.mark.parametrize(
    ("storage", "activation"),
    thinned(itertools.product(STORAGES, ACTIVATIONS), lambda case: "float32" in case or case[1] == "relu"),
)
def test_forward_of_every_storage_and_activation(storage, activation):
    if storage == "bfloat16":
        pytest.importorskip("ml_dtypes")
    X, order, W, b, _ = problem(33, 8, "float32", "uint8" if storage == "bool" else storage)
    X = X > 3 if storage == "bool" else X
    out = forward(TILES[2], 1, X.view(np.uint8) if storage == "bool" else X, order, W, b, activation)
    z = X[rows_of(1, order)].astype(np.float64) @ W.astype(np.float64) + b
    np.testing.assert_allclose(out, ACTIVATIONS[activation].f(z), rtol=1e-5, atol=1e-4)


def test_rows_that_lie_in_the_batch_are_not_gathered():
    X, order, W, b, _ = problem(33, 8, "float64")
    out = forward(TILES[2], 2, X[:BATCH], order, W, b, gather=False)
    np.testing.assert_allclose(out[:10], np.tanh(X[:10] @ W + b), atol=1e-13)
    assert np.isnan(out[10:]).all()


def gradient(tile, number: int, X, order, dz, parts: int, *, seed=0) -> np.ndarray:
    (_, d), m, real = X.shape, dz.shape[1], dz.dtype.name
    options = layer_options(tile, real, storage=X.dtype.name, gather=True)
    n_params = 7 + d * m + 2 + m + 1
    partial = np.full((parts, n_params), np.nan, real)
    stride = np.int64(X.strides[0] // X.itemsize)
    places = (np.int64(n_params), np.int64(7), np.int64(7 + d * m + 2))
    sizes = (np.int32(d), np.int32(m), np.int32(-(-BATCH // parts)))
    run = kernel("dense_gradient", PRODUCT_HEADERS, options)
    arguments = (as_given(X), stride, order, *batch(number), dz, partial, *places, *sizes)
    run((parts * tile.blocks(d + 1, m),), (cublas.BLOCK,), arguments, seed=seed)
    return partial


@pytest.mark.parametrize(("d", "m"), SIZES)
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("real", every_other(["float64", "float32"]))
def test_gradient_of_weights_and_intercepts(real, tile, d, m):
    X, order, _, _, dz = problem(d, m, real)
    for number, parts in itertools.product((0, 2), (1, 3)):
        at = rows_of(number, order)
        partial = gradient(tile, number, X, order, dz, parts)
        own = dz[: len(at)].astype(np.float64)
        found = partial.sum(axis=0)
        wanted = X[at].astype(np.float64).T @ own
        np.testing.assert_allclose(found[7 : 7 + d * m].reshape(d, m), wanted, **tolerance(real, BATCH))
        np.testing.assert_allclose(found[7 + d * m + 2 : -1], own.sum(axis=0), **tolerance(real, BATCH))
        outside = np.r_[0:7, 7 + d * m : 7 + d * m + 2, partial.shape[1] - 1]
        assert np.isnan(partial[:, outside]).all()  # of other layers
        assert not np.isnan(np.delete(partial, outside, axis=1)).any()  # parts without rows too
    assert np.isnan(gradient(tile, 3, X, order, dz, 2)).all()  # beyond the last batch


@pytest.mark.parametrize(
    ("tile", "activation"),
    thinned(itertools.product(TILES, ACTIVATIONS), lambda case: case[0] == TILES[2] or case[1] == "tanh"),
)
@pytest.mark.parametrize("real", every_other(["float64", "float32"]))
def test_backward_to_the_layer_below(real, tile, activation):
    for d, m in ((33, 8), (5, 65)):
        _, _, W, _, dz = problem(d, m, real)
        a = ACTIVATIONS[activation].f(np.random.default_rng(m).standard_normal((BATCH, d))).astype(real)
        run = kernel("dense_backward", LAYER_HEADERS, layer_options(tile, real, activation=activation))
        for number, n in ((0, BATCH), (2, 10), (3, 0)):
            below = np.full((BATCH, d), np.nan, real)
            arguments = (*batch(number), dz, W, a, below, np.int32(d), np.int32(m))
            run((tile.blocks(BATCH, d),), (cublas.BLOCK,), arguments)
            wanted = (dz.astype(np.float64) @ W.T) * ACTIVATIONS[activation].derivative(a)
            np.testing.assert_allclose(below[:n], wanted[:n], **tolerance(real, 4 * m))
            assert np.isnan(below[n:]).all()


def test_what_is_not_a_number_stays_in_its_row():
    X, order, W, b, _ = problem(33, 8, "float64")
    X = X.copy()
    X[order[3], 32] = np.nan
    out = forward(TILES[2], 0, X, order, W, b, "relu")
    assert np.isnan(out[3]).all()
    assert np.isfinite(np.delete(out, 3, axis=0)).all()


@pytest.mark.parametrize("tile", every_other(TILES))
def test_the_schedule_changes_no_bit(tile):
    X, order, W, b, dz = problem(33, 8, "float32")
    outs = {forward(tile, 1, X, order, W, b, seed=seed).tobytes() for seed in range(6)}
    sums = {gradient(tile, 1, X, order, dz, 3, seed=seed).tobytes() for seed in range(6)}
    assert len(outs) == len(sums) == 1


def test_a_sum_does_not_hang_on_the_tile():
    X, order, W, b, dz = problem(33, 8, "float32")
    assert len({forward(tile, 1, X, order, W, b).tobytes() for tile in TILES}) == 1
    assert len({gradient(tile, 1, X, order, dz, 3).tobytes() for tile in TILES}) == 1
