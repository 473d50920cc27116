"""The text of the network's kernels, executed on the CPU, against NumPy and the reference update."""

from __future__ import annotations

import kernel_host
import numpy as np
import pytest

from gpu_logreg.network import ACTIVATIONS
from gpu_logreg.optimizers import Adam
from gpu_logreg.passes import cublas, steps_cuda
from gpu_logreg.passes.kernel_text import kernel_source

pytestmark = pytest.mark.skipif(kernel_host.missing() is not None, reason=str(kernel_host.missing()))

REALS = ("float32", "float64")
RAGGED = ((0, 3), (1, 1), (31, 1), (8, 4), (255, 1), (64, 4), (257, 1), (77, 13))
EXTREME = [sign * z for z in (0.0, 1e-30, 0.5, 16.0, 88.0, 104.0, 700.0, 1e4, np.inf) for sign in (1, -1)] + [np.nan]


def kernel(file: str, name: str, options: tuple[str, ...]):
    return kernel_host.HostModule(kernel_source(f"{file}.cu", cublas.HEADERS), options).get_function(name)


def activate(activation: str, a: np.ndarray, b: np.ndarray, blocks: int = 2) -> np.ndarray:
    a = a.copy()
    run = kernel("activation", "bias_activation", steps_cuda.activation_options(activation, a.dtype.name))
    run((blocks,), (cublas.BLOCK,), (a, b, np.uint32(a.shape[1]), np.uint32(a.size)))
    return a


def times_derivative(activation: str, dz: np.ndarray, a: np.ndarray, blocks: int = 2) -> np.ndarray:
    dz = dz.copy()
    run = kernel("activation", "times_derivative", steps_cuda.activation_options(activation, a.dtype.name))
    run((blocks,), (cublas.BLOCK,), (dz, a, np.uint32(a.size)))
    return dz


@pytest.mark.parametrize("shape", RAGGED)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_and_backward_of_an_activation(activation, real, shape):
    rng = np.random.default_rng([*shape, 1])
    a, dz = (rng.standard_normal(shape).astype(real) for _ in range(2))
    b = rng.standard_normal(shape[1]).astype(real)
    f, derivative = ACTIVATIONS[activation]
    eps = np.finfo(real).eps
    for blocks in (1, 3):
        found = activate(activation, a, b, blocks)
        np.testing.assert_allclose(found, f(a + b), rtol=4 * eps, atol=eps)
        np.testing.assert_allclose(
            times_derivative(activation, dz, found, blocks), dz * derivative(found), rtol=4 * eps
        )


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_extreme_values(activation, real):
    z = np.array(EXTREME, real)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = ACTIVATIONS[activation].f(z)
    found = activate(activation, z, np.zeros(1, real))
    np.testing.assert_allclose(found, wanted, rtol=4 * np.finfo(real).eps, atol=np.finfo(real).tiny)
    assert np.isnan(found[-1, 0])


NUMBERS = {"weight": 37.5, "alpha": 0.7, "fixed_l2": 0.01, "rate": 0.02, "decay": 0.3}


def run_adam(real: str, n_weights: int, n_trained: int, n: int, blocks: int, seed: int = 0, *, updates: int = 1):
    rng = np.random.default_rng(n)
    params = rng.standard_normal(n).astype(real)
    grads = [(100 * rng.standard_normal(n)).astype(real) for _ in range(updates)]
    ours, m, v = params.copy(), np.zeros(n, real), np.zeros(n, real)
    square = np.full(blocks, np.nan)
    run = kernel("adam", "adam", steps_cuda.adam_options(real))
    rule = Adam(0.8, 0.95, 1e-6, NUMBERS["decay"])
    for k, grad in enumerate(grads, start=1):
        first, root = rule.corrections(k)
        rate = NUMBERS["rate"]
        numbers = (NUMBERS["alpha"], NUMBERS["fixed_l2"], 1 - rate * rule.decay, rate / first, 1 / root)
        numbers += (rule.beta_1, rule.beta_2, rule.epsilon)
        arguments = (ours, grad, m, v, np.array([NUMBERS["weight"]]), *map(np.float64, numbers), square)
        before = ours.copy()
        run((blocks,), (cublas.BLOCK,), (*arguments, np.int64(n_weights), np.int64(n_trained)), seed=seed)
    return params, grads, rule, ours, m, v, square, before


@pytest.mark.parametrize("sizes", [(0, 0, 0), (1, 1, 1), (256, 256, 256), (300, 310, 310), (1000, 1000, 1003)])
@pytest.mark.parametrize("real", REALS)
def test_adam_is_the_reference_update(real, sizes):
    n_weights, n_trained, n = sizes
    for blocks in (1, 3):
        params, grads, rule, ours, m, v, square, before = run_adam(real, n_weights, n_trained, n, blocks, updates=3)
        l2 = NUMBERS["fixed_l2"] + NUMBERS["alpha"] / NUMBERS["weight"]
        theirs = params.astype(np.float64)
        for grad in grads:
            g = grad.astype(np.float64) / NUMBERS["weight"]
            g[:n_weights] += l2 * theirs[:n_weights]
            rule.update(theirs[:n_trained], g[:n_trained], NUMBERS["rate"], n_weights)
        eps = np.finfo(real).eps
        np.testing.assert_allclose(ours, theirs, rtol=20 * eps, atol=20 * eps)
        np.testing.assert_array_equal(ours[n_trained:], params[n_trained:])
        assert not m[n_trained:].any()
        np.testing.assert_allclose(m[:n_trained], rule.m, rtol=200 * eps, atol=20 * eps)
        np.testing.assert_allclose(v[:n_trained], rule.v, rtol=200 * eps)
        wanted = np.sum(before[:n_weights].astype(np.float64) ** 2)
        assert square.sum() == pytest.approx(wanted, rel=1e-12)


def test_the_schedule_changes_no_bit():
    runs = {tuple(array.tobytes() for array in run_adam("float32", 900, 1000, 1000, 3, seed)[3:7]) for seed in range(6)}
    assert len(runs) == 1
