"""Update rules against their formulas and against PyTorch's; schedules of the learning rate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpu_logreg.mathematics.optimizers import SCHEDULES, Adam, Schedule, Sgd

RNG = np.random.default_rng(5)
START = RNG.standard_normal(7)
GRADS = RNG.standard_normal((6, 7))
RATES = (0.1, 0.1, 0.05, 0.05, 0.2, 0.2)
N_WEIGHTS = 5


def run(optimizer, grads=GRADS) -> np.ndarray:
    params = START.copy()
    for grad, rate in zip(grads, RATES, strict=True):
        before = grad.copy()
        assert optimizer.update(params, grad, rate, N_WEIGHTS) is None
        np.testing.assert_array_equal(grad, before)
    return params


def test_plain_steps():
    np.testing.assert_allclose(run(Sgd()), START - np.array(RATES) @ GRADS, rtol=1e-14)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_by_its_formula(nesterov):
    params, v = START.copy(), np.zeros(7)
    for g, t in zip(GRADS, RATES, strict=True):
        v = 0.8 * v - t * g
        params = params + (0.8 * v - t * g if nesterov else v)
    np.testing.assert_allclose(run(Sgd(0.8, nesterov)), params, rtol=1e-13)


def test_nesterov_looks_ahead():
    # The update written at the point looked ahead to is Nesterov's own, with the gradient taken there.
    A = np.diag([1.0, 3.0, 0.5])
    ours, rule = np.ones(3), Sgd(0.7, True)
    x, v = np.ones(3), np.zeros(3)
    for _ in range(8):
        rule.update(ours, A @ ours, 0.1, 3)
        v = 0.7 * v - 0.1 * A @ (x + 0.7 * v)
        x = x + v
    np.testing.assert_allclose(ours, x + 0.7 * v, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_by_its_formula(decay):
    params, m, v = START.copy(), np.zeros(7), np.zeros(7)
    for k, (g, t) in enumerate(zip(GRADS, RATES, strict=True), start=1):
        params[:N_WEIGHTS] -= t * decay * params[:N_WEIGHTS]
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
        params = params - t * (m / (1 - 0.8**k)) / (np.sqrt(v / (1 - 0.95**k)) + 1e-3)
    np.testing.assert_allclose(run(Adam(0.8, 0.95, 1e-3, decay)), params, rtol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_against_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.tensor(START[:N_WEIGHTS], requires_grad=True)
    rule, optimizer = {
        "sgd": (Sgd(), lambda p: torch.optim.SGD(p, lr=0.1)),
        "momentum": (Sgd(0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        "nesterov": (Sgd(0.9, True), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True)),
        "adam": (Adam(), lambda p: torch.optim.Adam(p, lr=0.1)),
        "adamw": (Adam(decay=0.2), lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.2)),
    }[name]
    stepper, params = optimizer([theirs]), START[:N_WEIGHTS].copy()
    for grad in GRADS[:, :N_WEIGHTS]:
        theirs.grad = torch.tensor(grad)
        stepper.step()
        rule.update(params, grad, 0.1, N_WEIGHTS)
    np.testing.assert_allclose(params, theirs.detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize("rule", [Sgd(), Sgd(0.9, True), Adam(), Adam(decay=0.1)])
def test_float32_stays_float32(rule):
    params = START.astype(np.float32)
    rule.update(params, GRADS[0].astype(np.float32), 0.1, N_WEIGHTS)
    rule.update(params, GRADS[1].astype(np.float32), 0.1, N_WEIGHTS)
    assert params.dtype == np.float32
    assert all(array.dtype == np.float32 for array in vars(rule).values() if isinstance(array, np.ndarray))


def test_what_is_remembered_can_be_moved():
    for rule in (Sgd(0.9), Adam()):
        rule.move(lambda array: pytest.fail("there is nothing to move yet"))
        rule.update(START.copy(), GRADS[0], 0.1, N_WEIGHTS)
        rule.move(lambda array: array.astype(np.float32))
        assert all(array.dtype == np.float32 for array in vars(rule).values() if isinstance(array, np.ndarray))


def rates(name: str, n_epochs: int = 4, **options) -> list[float]:
    schedule = Schedule(name, 0.8, n_epochs=n_epochs, **options)
    found = [schedule.rate]
    for epoch in range(1, n_epochs + 1):
        schedule.after_epoch(epoch, 10 * epoch)
        found.append(schedule.rate)
    return found


def test_schedules():
    assert rates("constant") == [0.8] * 5
    assert rates("adaptive") == [0.8] * 5
    wanted = [0.8, *(0.8 / (10 * k + 1) ** 0.3 for k in range(1, 5))]
    np.testing.assert_allclose(rates("invscaling", power_t=0.3), wanted, rtol=1e-14)
    wanted = [0.4 * (1 + math.cos(math.pi * k / 4)) for k in range(5)]
    np.testing.assert_allclose(rates("cosine"), wanted, rtol=1e-12, atol=1e-16)
    assert set(SCHEDULES) == {"constant", "invscaling", "adaptive", "cosine"}


def test_only_the_adaptive_rate_falls_on_a_plateau_and_only_so_far():
    for name in SCHEDULES:
        assert Schedule(name, 0.8).falls_on_plateau() == (name == "adaptive")
    schedule = Schedule("adaptive", 1e-4)
    falls = []
    while schedule.falls_on_plateau():
        falls.append(schedule.rate)
    np.testing.assert_allclose(falls, [2e-5, 4e-6, 8e-7], rtol=1e-12)
