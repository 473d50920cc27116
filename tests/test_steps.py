"""Epochs of steps: against PyTorch on the same weights and batches, and every implementation against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg.backend import Device
from gpu_logreg.network import ACTIVATIONS, Network, initialise
from gpu_logreg.optimizers import Adam, Sgd
from gpu_logreg.passes import Rows
from gpu_logreg.passes.steps import Training, reference_epoch
from gpu_logreg.passes.steps_table import choose_steps

OPTIMIZERS = {
    "sgd": lambda: Sgd(),
    "momentum": lambda: Sgd(0.9),
    "nesterov": lambda: Sgd(0.9, True),
    "adam": lambda: Adam(),
    "adamw": lambda: Adam(decay=0.1),
}


def make_rows(n: int, d: int, K: int = 1, *, dtype="float64", weighted: bool = False, seed: int = 0) -> Rows:
    rng = np.random.default_rng([seed, n, d])
    X = rng.standard_normal((n, d)).astype(dtype) if np.dtype(dtype).kind == "f" else rng.integers(0, 255, (n, d))
    y = rng.integers(0, 2, n).astype(np.uint8) if K == 1 else rng.integers(0, K, n).astype(np.int32)
    return Rows(X.astype(dtype), y, rng.exponential(size=n) if weighted else None)


def make_training(
    network: Network, optimizer: str = "adam", *, dtype="float64", alpha=0.0, fixed_l2=0.0, fit_intercept=True
) -> Training:
    params = initialise(network, np.random.default_rng(7), "glorot").astype(dtype)
    return Training(network, params, OPTIMIZERS[optimizer](), alpha, fixed_l2, fit_intercept)


def orders(n: int, epochs: int) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [rng.permutation(n) for _ in range(epochs)]


def run(epoch, training: Training, rows: Rows, batch_size: int, epochs: int = 3, rate: float = 0.01) -> np.ndarray:
    """Loss curve; ``training`` is changed."""
    n = rows.X.shape[0]
    return np.array([float(epoch(training, rows, order, batch_size, rate)) for order in orders(n, epochs)])


def run_torch(torch, training: Training, rows: Rows, batch_size: int, optimizer: str, rate: float = 0.01):
    """The same epochs in PyTorch; loss curve and parameters."""
    network = training.network
    params = torch.tensor(training.params, requires_grad=True)
    stepper = {
        "sgd": lambda: torch.optim.SGD([params], lr=rate),
        "momentum": lambda: torch.optim.SGD([params], lr=rate, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD([params], lr=rate, momentum=0.9, nesterov=True),
        "adam": lambda: torch.optim.Adam([params], lr=rate),
    }[optimizer]()
    f = {"identity": lambda z: z, "logistic": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
    X, y = torch.tensor(rows.X), torch.tensor(rows.y)
    s = torch.ones(len(y), dtype=X.dtype) if rows.sample_weight is None else torch.tensor(rows.sample_weight)
    curve = []
    for order in orders(len(y), 3):
        total = 0.0
        for first in range(0, len(y), batch_size):
            at = torch.tensor(order[first : first + batch_size])
            layers, a = network.unpack(params), X[at]
            for W, b in layers[:-1]:
                a = f[network.activation](a @ W + b)
            z = a @ layers[-1].W + layers[-1].b
            if z.shape[1] == 1:
                losses = torch.nn.functional.binary_cross_entropy_with_logits(
                    z[:, 0], y[at].to(X.dtype), reduction="none"
                )
            else:
                losses = torch.nn.functional.cross_entropy(z, y[at].long(), reduction="none")
            weight = s[at].sum()
            penalty = 0.5 * training.alpha / weight * sum((W * W).sum() for W, _ in layers)
            value = (losses * s[at]).sum() / weight + penalty
            stepper.zero_grad()
            value.backward()
            stepper.step()
            total += value.item() * weight.item()
        curve.append(total / s.sum().item())
    return np.array(curve), params.detach().numpy()


@pytest.fixture(params=["reference"])
def impl(request):
    return request.param


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
@pytest.mark.parametrize(("K", "weighted", "alpha"), [(1, False, 0.0), (1, True, 0.5), (3, True, 0.0)])
def test_the_loss_curve_is_that_of_pytorch(impl, optimizer, K, weighted, alpha):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    network, rows = Network((9, 12, 7, K), "tanh"), make_rows(300, 9, K, weighted=weighted)
    training = make_training(network, optimizer, alpha=alpha)
    wanted, params = run_torch(torch, training, rows, 32, optimizer)
    steps = choose_steps(impl, rows, Device("cpu"), training)
    curve = run(steps.epoch, training, rows, 32)
    assert curve[0] - curve[-1] > 0.005
    np.testing.assert_allclose(curve, wanted, rtol=1e-9)
    np.testing.assert_allclose(training.params, params, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_loss_curve_is_that_of_pytorch_for_every_activation(impl, activation):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    network, rows = Network((9, 12, 1), activation), make_rows(300, 9)
    training = make_training(network)
    wanted, params = run_torch(torch, training, rows, 64, "adam")
    curve = run(choose_steps(impl, rows, Device("cpu"), training).epoch, training, rows, 64)
    np.testing.assert_allclose(curve, wanted, rtol=1e-9)
    np.testing.assert_allclose(training.params, params, rtol=1e-7, atol=1e-9)


def test_intercepts_stay_where_they_are_not_fitted(impl):
    network, rows = Network((9, 1)), make_rows(100, 9)
    training = make_training(network, fit_intercept=False)
    before = training.params.copy()
    run(choose_steps(impl, rows, Device("cpu"), training).epoch, training, rows, 32)
    assert training.params[-1] == before[-1] == 0
    assert (training.params[:-1] != before[:-1]).all()


def test_a_fixed_penalty_does_not_hang_on_the_batch(impl):
    # One batch of all rows: l2 on the mean loss, and alpha over their number, are the same.
    network, rows = Network((9, 4, 1)), make_rows(100, 9)
    fixed, shared = make_training(network, fixed_l2=0.02), make_training(network, alpha=2.0)
    steps = choose_steps(impl, rows, Device("cpu"), fixed)
    np.testing.assert_allclose(run(steps.epoch, fixed, rows, 100), run(steps.epoch, shared, rows, 100), rtol=1e-13)
    np.testing.assert_allclose(fixed.params, shared.params, rtol=1e-12)
    assert abs(run(steps.epoch, fixed, rows, 30)[0] - run(steps.epoch, shared, rows, 30)[0]) > 1e-3


def test_the_value_is_the_mean_over_rows_before_their_update(impl):
    network, rows = Network((9, 4, 1)), make_rows(100, 9, weighted=True)
    training = make_training(network)
    before = training.params.copy()
    steps = choose_steps(impl, rows, Device("cpu"), training)
    value = float(steps.epoch(training, rows, np.arange(100), 100, 0.1))
    other = make_training(network)
    np.testing.assert_array_equal(other.params, before)
    assert float(steps.epoch(other, rows, np.arange(100), 100, 0.0)) == value
    np.testing.assert_array_equal(other.params, before)


def test_the_reference_is_what_a_small_fit_takes():
    network, rows = Network((9, 4, 1)), make_rows(100, 9)
    steps = choose_steps("auto", rows, Device("cpu"), make_training(network))
    assert steps.name == "reference"
    assert steps.epoch is reference_epoch
