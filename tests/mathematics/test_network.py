"""Forward and backward of the layers: against central differences, logistic regression and PyTorch's autograd."""

from __future__ import annotations

import numpy as np
import pytest
from central_differences import gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import slow

from gpu_logreg import loss_and_gradient as logistic_regression
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.initialisation import INITIALISATIONS, initialise
from gpu_logreg.mathematics.network import ACTIVATIONS, Network, forward, loss_and_gradient
from gpu_logreg.objectives.network import NetworkObjective
from gpu_logreg.rows.block import Rows

DEPTHS = {0: (), 1: (5,), 2: (5, 4), 3: (5, 4, 3)}


def problem(network: Network, *, weighted: bool = False, n: int = 23, seed: int = 0) -> tuple[np.ndarray, Rows]:
    """Parameters and rows; the parameters are such that no relu is near its kink."""
    rng = np.random.default_rng([seed, len(network.sizes)])
    X = rng.standard_normal((n, network.sizes[0]))
    K = network.sizes[-1]
    y = rng.integers(0, 2, n).astype(np.uint8) if K == 1 else rng.integers(0, K, n)
    s = rng.exponential(size=n) * (rng.random(n) < 0.8) if weighted else None
    while True:
        params = 0.7 * rng.standard_normal(network.n_params)
        if network.activation != "relu" or clear_of_kinks(network, params, X):
            return params, Rows(X, y, s)


def clear_of_kinks(network: Network, params: np.ndarray, X: np.ndarray) -> bool:
    layers = network.unpack(params)
    activations, _ = forward(layers, X, network.activation)
    return all(np.abs(a @ W + b).min() > 5e-3 for a, (W, b) in zip(activations[:-1], layers[:-1], strict=True))


@pytest.mark.parametrize(("weighted", "l2"), [(False, 0.3), (True, 0.0), slow((False, 0.0)), slow((True, 0.3))])
@pytest.mark.parametrize("K", [1, 4])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_of_every_parameter(activation, depth, K, weighted, l2):
    network = Network((6, *DEPTHS[depth], K), activation)
    params, rows = problem(network, weighted=weighted)
    objective = NetworkObjective(network, rows, l2, np.float64)
    _, grad = objective(params)
    numeric = gradient(lambda at: objective(at)[0], params, h=2e-4)
    assert np.abs(grad).max() > 1e-3
    assert np.all(np.abs(grad - numeric) <= 1e-7 * np.maximum(np.abs(grad), 1e-2 * np.abs(grad).max()))


@pytest.mark.parametrize("weighted", [False, True])
def test_no_hidden_layer_is_logistic_regression(weighted):
    network = Network((6, 1))
    params, (X, y, s) = problem(network, weighted=weighted)
    value, grad = NetworkObjective(network, Rows(X, y, s), 0.2, np.float64)(params)
    wanted = logistic_regression(X, y, params[:-1], params[-1], sample_weight=s, l2=0.2)
    assert value == pytest.approx(wanted.value, rel=1e-12)
    np.testing.assert_allclose(grad, np.append(wanted.dw, wanted.db), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("K", [1, 4])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_that_of_autograd(activation, depth, K):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    network = Network((6, *DEPTHS[depth], K), activation)
    params, (X, y, s) = problem(network, weighted=True)
    loss_sum, grad = loss_and_gradient(network, params, X, y, s)
    theirs = torch.tensor(params, requires_grad=True)
    f = {"identity": lambda z: z, "logistic": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[activation]
    layers, a = network.unpack(theirs), torch.tensor(X)
    for W, b in layers[:-1]:
        a = f(a @ W + b)
    z = a @ layers[-1].W + layers[-1].b
    if K == 1:
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            z[:, 0], torch.tensor(y).double(), reduction="none"
        )
    else:
        losses = torch.nn.functional.cross_entropy(z, torch.tensor(y), reduction="none")
    loss = (losses * torch.tensor(s)).sum()
    loss.backward()
    assert float(loss_sum) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(grad, theirs.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_of_activations(activation):
    f, derivative = ACTIVATIONS[activation]
    z = np.array([-30.0, -2.0, -0.3, 0.4, 1.0, 25.0])
    h = 1e-4
    numeric = (f(z - 2 * h) - 8 * f(z - h) + 8 * f(z + h) - f(z + 2 * h)) / (12 * h)
    np.testing.assert_allclose(derivative(f(z)), numeric, rtol=1e-9, atol=1e-11)
    assert derivative(f(z.astype(np.float32))).dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    seed=st.integers(0, 2**16),
)
def test_sums_of_parts_add_up_and_weights_are_repetitions(sizes, activation, seed):
    network = Network(tuple(sizes), activation)
    rng = np.random.default_rng(seed)
    n, K = 12, sizes[-1]
    X, params = rng.standard_normal((n, sizes[0])), rng.standard_normal(network.n_params)
    y = rng.integers(0, 2 if K == 1 else K, n)
    times = rng.integers(0, 4, n)
    loss, grad = loss_and_gradient(network, params, X, y, times.astype(float))
    repeated, repeated_grad = loss_and_gradient(network, params, X.repeat(times, axis=0), y.repeat(times))
    np.testing.assert_allclose(loss, repeated, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grad, repeated_grad, rtol=1e-9, atol=1e-9)
    parts = [loss_and_gradient(network, params, X[at], y[at], times[at] * 1.0) for at in (slice(0, 5), slice(5, n))]
    np.testing.assert_allclose(loss, parts[0][0] + parts[1][0], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grad, parts[0][1] + parts[1][1], rtol=1e-9, atol=1e-9)


def test_packing_and_views():
    network = Network((3, 2, 1))
    params = np.arange(float(network.n_params))
    layers = network.unpack(params)
    assert [W.shape for W, _ in layers] == [(3, 2), (2, 1)]
    np.testing.assert_array_equal(network.pack(layers), params)
    np.testing.assert_array_equal(params[: network.n_weights], np.concatenate([W.ravel() for W, _ in layers]))
    layers[1].b[0] = -1.0
    assert params[-1] == -1.0


def test_initialisations_by_name():
    network = Network((400, 300, 200))
    for name, std in (("normal", 0.01), ("glorot", np.sqrt(2 / 700)), ("he", np.sqrt(2 / 400))):
        layers = network.unpack(initialise(network, np.random.default_rng(0), name))
        assert layers[0].W.std() == pytest.approx(std, rel=0.02)
        assert abs(layers[0].W.mean()) < 4 * std / np.sqrt(120_000)
        assert not any(b.any() for _, b in layers)
    assert np.abs(network.unpack(initialise(network, np.random.default_rng(0)))[0].W).max() <= np.sqrt(6 / 700)
    assert set(INITIALISATIONS) == {"normal", "glorot", "he"}
    with pytest.raises(DataError, match="init='best' is not known; use 'normal', 'glorot', 'he'"):
        initialise(network, np.random.default_rng(0), "best")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_stays_float32(activation, weighted):
    network = Network((6, 5, 1), activation)
    params, (X, y, s) = problem(network, weighted=weighted)
    loss, grad = loss_and_gradient(network, params.astype(np.float32), X.astype(np.float32), y, s)
    assert grad.dtype == np.float32
    assert loss.dtype == np.float64
    exact_loss, exact = loss_and_gradient(network, params, X, y, s)
    assert float(loss) == pytest.approx(float(exact_loss), rel=1e-5)
    np.testing.assert_allclose(grad, exact, rtol=1e-4, atol=1e-4)
