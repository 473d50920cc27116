"""The text of the kernels of activations, executed on the CPU, against NumPy."""

from __future__ import annotations

import kernel_host
import numpy as np
import pytest

from gpu_logreg.mathematics.network import ACTIVATIONS
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda.source import kernel_source
from gpu_logreg.passes.cuda.steps_kernels import ACTIVATION_HEADERS, activation_options

pytestmark = pytest.mark.skipif(kernel_host.missing() is not None, reason=str(kernel_host.missing()))

REALS = ("float32", "float64")
RAGGED = ((0, 3), (1, 1), (31, 1), (8, 4), (255, 1), (64, 4), (257, 1), (77, 13))
EXTREME = [sign * z for z in (0.0, 1e-30, 0.5, 16.0, 88.0, 104.0, 700.0, 1e4, np.inf) for sign in (1, -1)] + [np.nan]


def kernel(file: str, name: str, options: tuple[str, ...]):
    return kernel_host.HostModule(kernel_source(f"{file}.cu", ACTIVATION_HEADERS), options).get_function(name)


def activate(activation: str, a: np.ndarray, b: np.ndarray, blocks: int = 2) -> np.ndarray:
    a = a.copy()
    run = kernel("activation", "bias_activation", activation_options(activation, a.dtype.name))
    run((blocks,), (cublas.BLOCK,), (a, b, np.uint32(a.shape[1]), np.uint32(a.size)))
    return a


def times_derivative(activation: str, dz: np.ndarray, a: np.ndarray, blocks: int = 2) -> np.ndarray:
    dz = dz.copy()
    run = kernel("activation", "times_derivative", activation_options(activation, a.dtype.name))
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
