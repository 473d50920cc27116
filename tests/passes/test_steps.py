"""Epochs of steps: against PyTorch on the same weights and batches, and every implementation against the reference."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sweeps import every_other, thinned

from gpu_logreg import MLPClassifier
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import ImplementationError
from gpu_logreg.mathematics.initialisation import initialise
from gpu_logreg.mathematics.network import ACTIVATIONS, Network
from gpu_logreg.mathematics.optimizers import Adam, Sgd
from gpu_logreg.passes import steps_choice as steps_table
from gpu_logreg.passes.cpu import steps as steps_cpu
from gpu_logreg.passes.cpu.loops.zeros import bits_length
from gpu_logreg.passes.cpu.steps import cpu_epoch
from gpu_logreg.passes.reference.steps import reference_epoch
from gpu_logreg.passes.steps_choice import choose_steps
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows

OPTIMIZERS = {
    "sgd": lambda: Sgd(),
    "momentum": lambda: Sgd(0.9),
    "nesterov": lambda: Sgd(0.9, True),
    "adam": lambda: Adam(),
    "adamw": lambda: Adam(decay=0.1),
}


_mark_nonzeros, _rows_times_weights, _columns_times_dz = (
    Loop("gpu_logreg.passes.cpu.loops.zeros", name)
    for name in ("mark_nonzeros", "rows_times_weights", "columns_times_dz")
)
_multiply_in_tiles = Loop("gpu_logreg.passes.cpu.loops.tiles", "multiply_in_tiles")


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


@pytest.fixture(params=["reference", "cpu"])
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


@pytest.mark.bits  # an epoch at rate 0 is to leave parameters as they are, and those of an epoch are changed there
def test_the_value_is_the_mean_over_rows_before_their_update(impl):
    network, rows = Network((9, 4, 1)), make_rows(100, 9, weighted=True)
    training = make_training(network)
    before = training.params.copy()
    steps = choose_steps(impl, rows, Device("cpu"), training)
    value = float(steps.epoch(training, rows, np.arange(100), 100, 0.1))
    other = make_training(network)
    np.testing.assert_array_equal(other.params, before)
    assert float(steps.epoch(other, rows, np.arange(100), 100, 0.0)) == value
    assert value == pytest.approx(float(reference_epoch(make_training(network), rows, np.arange(100), 100, 0.1)), 1e-12)
    np.testing.assert_array_equal(other.params, before)


def compare(training: Training, other: Training, rows: Rows, batch_size: int, *, epochs: int = 2) -> None:
    """The compiled steps go where the reference goes, but for the rounding of their dtype."""
    eps = np.finfo(training.params.dtype).eps
    ours = run(cpu_epoch, training, rows, batch_size, epochs)
    theirs = run(reference_epoch, other, rows, batch_size, epochs)
    np.testing.assert_allclose(ours, theirs, rtol=50 * eps)
    np.testing.assert_allclose(training.params, other.params, rtol=0, atol=2000 * eps)
    for name, array in vars(training.optimizer).items():
        if isinstance(array, np.ndarray):
            np.testing.assert_allclose(array, getattr(other.optimizer, name), rtol=0, atol=2000 * eps)
        else:
            assert array == getattr(other.optimizer, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("hidden", [(), (12,), (12, 1, 5)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_compiled_steps_follow_the_reference(activation, hidden, K, dtype):
    network, rows = Network((9, *hidden, K), activation), make_rows(200, 9, K, dtype=dtype, weighted=True)
    # sgd, because Adam divides by the gradient: at its first steps rounding of a small one is as large as any other.
    first, second = (make_training(network, "nesterov", dtype=dtype, alpha=0.3) for _ in range(2))
    compare(first, second, rows, 64)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_compiled_updates_follow_the_reference(optimizer, weighted):
    network, rows = Network((9, 12, 1)), make_rows(200, 9, weighted=weighted)
    compare(*(make_training(network, optimizer, alpha=0.3, fixed_l2=0.01) for _ in range(2)), rows, 70)


@pytest.mark.parametrize("batch_size", [1, 2, 63, 64, 65, 128, 129, 511, 512, 1100, 2048])
@pytest.mark.parametrize("n", [1, 64, 1100])
def test_ragged_batches_and_lanes(n, batch_size):
    network, rows = Network((5, 4, 1)), make_rows(n, 5)
    compare(*(make_training(network, "momentum") for _ in range(2)), rows, min(batch_size, n), epochs=1)


COMPILED_FOR = ("uint8", "float64")
"""Dtypes of rows beside that of the parameters which the steps are compiled for, in seconds."""

LAYOUTS = {
    "Fortran": np.asfortranarray,
    "columns": lambda X: np.hstack([X, X])[:, : X.shape[1]],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "big-endian": lambda X: X.astype(">f4"),
    **{kind: lambda X, kind=kind: X.astype(kind) for kind in ("uint8", "int16", "float16", "float64", "int64")},
}


@pytest.mark.parametrize("stage_bytes", [1, 2000, steps_cpu.STAGE_BYTES])
@pytest.mark.parametrize("layout", thinned(LAYOUTS, lambda layout: layout not in COMPILED_FOR))
def test_rows_of_other_kinds_are_converted_as_they_are_gathered(monkeypatch, layout, stage_bytes):
    monkeypatch.setattr(steps_cpu, "STAGE_BYTES", stage_bytes)
    rng = np.random.default_rng(0)
    rows = Rows(rng.integers(0, 100, (150, 6)).astype(np.float32), rng.integers(0, 2, 150).astype(np.uint8), None)
    weighted = rows._replace(sample_weight=rng.exponential(size=150))
    network = Network((6, 4, 1))
    for of_float32 in (rows, weighted):
        ours, theirs = (make_training(network, "momentum", dtype="float32") for _ in range(2))
        found = run(cpu_epoch, ours, of_float32._replace(X=LAYOUTS[layout](rows.X)), 64, rate=1e-4)
        np.testing.assert_array_equal(found, run(cpu_epoch, theirs, of_float32, 64, rate=1e-4))
        np.testing.assert_array_equal(ours.params, theirs.params)


@pytest.mark.parametrize("batch_size", [32, 200, 1024])
def test_the_number_of_threads_changes_no_bit(monkeypatch, batch_size):
    network, rows = Network((9, 12, 1)), make_rows(2500, 9, weighted=True)
    found = []
    for count in (1, 2, 3, 2):
        monkeypatch.setattr(steps_cpu, "n_threads", lambda count=count: count)
        training = make_training(network, alpha=0.1)
        found.append((run(cpu_epoch, training, rows, batch_size).tobytes(), training.params.tobytes()))
    assert len(set(found)) == 1


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_the_number_of_threads_changes_no_bit_of_tiles_or_where_zeros_are_skipped(monkeypatch, share):
    network, rows = Network((30, 8 * steps_cpu._vector_length(np.dtype("float32")), 1)), zeros_rows(1500, 30, share)
    rows = rows._replace(X=rows.X.astype(np.float32))
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(steps_cpu, "n_threads", lambda count=count: count)
        training = make_training(network, dtype="float32", alpha=0.1)
        assert steps_cpu._skips_zeros(rows.X, network, training.params.dtype) == (share > 0)
        found.append((run(cpu_epoch, training, rows, 1024).tobytes(), training.params.tobytes()))
    assert len(set(found)) == 1


def test_an_epoch_of_several_calls_is_one_epoch(monkeypatch):
    network, rows = Network((9, 12, 1)), make_rows(500, 9)
    whole, cut = make_training(network), make_training(network)
    wanted = run(cpu_epoch, whole, rows, 32)
    monkeypatch.setattr(steps_cpu, "CALL_FLOPS", 6.0 * network.n_params * 32 * 3)
    np.testing.assert_array_equal(run(cpu_epoch, cut, rows, 32), wanted)
    np.testing.assert_array_equal(cut.params, whole.params)
    assert cut.optimizer.n_updates == whole.optimizer.n_updates == 3 * 16


def test_not_a_number_stays_visible():
    for activation in ACTIVATIONS:
        network, rows = Network((9, 12, 1), activation), make_rows(200, 9, dtype="float32")
        training = make_training(network, dtype="float32")
        rows.X[17, 3] = np.nan
        assert np.isnan(run(cpu_epoch, training, rows, 64, epochs=1)[0])
        assert np.isnan(training.params).any()


def test_what_the_compiled_steps_refuse():
    network, rows = Network((9, 12, 1)), make_rows(20, 9)
    training = make_training(network)
    with pytest.raises(ImplementationError, match="impl='cpu' needs rows in host memory, and the device is cuda:0"):
        choose_steps("cpu", rows, Device("cuda"), training)
    training.optimizer = None
    with pytest.raises(ImplementationError, match="impl='cpu' cannot be used: the cpu steps know no NoneType"):
        choose_steps("cpu", rows, Device("cpu"), training)
    training.optimizer = Adam()
    with pytest.raises(ImplementationError, match="impl='cuda' needs rows on a GPU, and the device is cpu"):
        choose_steps("cuda", rows, Device("cpu"), training)


def test_a_large_fit_takes_the_compiled_steps(monkeypatch):
    network, rows = Network((9, 12, 1)), make_rows(100, 9)
    monkeypatch.setattr(steps_table, "CPU_STEPS_WORK", 100 * network.n_params)
    steps = choose_steps("auto", rows, Device("cpu"), make_training(network))
    assert (steps.name, steps.reason) == ("cpu", "auto: fused steps")


def test_the_reference_is_what_a_small_fit_takes():
    network, rows = Network((9, 4, 1)), make_rows(100, 9)
    steps = choose_steps("auto", rows, Device("cpu"), make_training(network))
    assert steps.name == "reference"
    assert steps.epoch is reference_epoch


def zeros_rows(n: int, d: int, share: float, *, dtype="float64", K: int = 1) -> Rows:
    """Rows of which a share of the elements is zero, some whole rows and columns among them."""
    rows = make_rows(n, d, K, dtype=dtype, weighted=True)
    rng = np.random.default_rng(3)
    rows.X[rng.random((n, d)) < share] = 0
    rows.X[:, 2] = 0
    rows.X[5 % n] = 0
    rows.X[:, 4] += rows.X[:, 4] == 0  # and one column that is full
    return rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [0.0, 0.7, 0.95, 1.0])
@pytest.mark.parametrize(("hidden", "K"), [((9,), 1), ((9, 5), 3), ((), 3)])
def test_skipping_zeros_changes_nothing_but_the_rounding(monkeypatch, hidden, K, share, dtype):
    monkeypatch.setattr(steps_cpu, "ZEROS_UNITS", 2)
    monkeypatch.setattr(steps_cpu, "ZEROS_WORK", np.inf)  # whatever the share
    network, rows = Network((30, *hidden, K)), zeros_rows(300, 30, share, dtype=dtype, K=K)
    assert steps_cpu._skips_zeros(rows.X, network, np.dtype(dtype))
    for batch_size in (1, 7, 130):
        part = Rows(*(array[: 40 if batch_size == 1 else 300] for array in rows))
        first, second = (make_training(network, "momentum", dtype=dtype, alpha=0.3) for _ in range(2))
        compare(first, second, part, batch_size, epochs=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("d", "units"), [(64, 128), (63, 130), (65, 100), (200, 16), (1, 257)])
def test_products_skip_zeros_of_whole_words_and_tiles_and_of_parts(d, units, dtype):
    # 65 and 200 rows: a word of rows and one more, and three and a part.
    rng = np.random.default_rng([d, units])
    vector = (0,) * steps_cpu._vector_length(np.dtype(dtype))
    for m in (65, 200):
        X = rng.integers(1, 9, (m, d)) * (rng.random((m, d)) < 0.3)
        W, dz = rng.integers(-8, 8, (d, units)), rng.integers(-8, 8, (m, units))
        work = steps_cpu._aligned(m * (d + 2 * units), np.dtype(dtype))
        work[...] = np.concatenate([X.ravel(), np.full(m * units, np.nan), dz.ravel()])
        params, grad = (steps_cpu._aligned(d * units + 1, np.dtype(dtype)) for _ in range(2))
        params[...], grad[...] = np.append(W.ravel(), 5), 7
        bits = np.full(bits_length(m, d), -1)
        _mark_nonzeros(vector, m, d, work, bits)
        _rows_times_weights(vector, m, d, units, work, bits, params, m * d)
        _columns_times_dz(vector, m, d, units, work, bits, m * (d + units), grad)
        # Small integers: every sum is exact, in whatever order.
        np.testing.assert_array_equal(work[m * d : m * (d + units)].reshape(m, units), X @ W)
        np.testing.assert_array_equal(grad[:-1].reshape(d, units), X.T @ dz)
        assert grad[-1] == 7
        np.testing.assert_array_equal(work[m * (d + units) :], dz.ravel())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "d"), [(1, 64), (66, 65), (131, 3)])
def test_products_in_tiles(m, d, dtype):
    # 65, 66 and 131 terms: a block and one or two more, and two and three; tiles of four lines, and one line to three.
    rng = np.random.default_rng([m, d])
    vector = (0,) * steps_cpu._vector_length(np.dtype(dtype))
    for units in (4 * len(vector), 8 * len(vector)):
        X, W, dz = (rng.integers(-8, 8, shape) for shape in ((m, d), (d, units), (m, units)))
        work = np.concatenate([np.zeros(3), X.ravel(), np.full(m * units, np.nan), dz.ravel()]).astype(dtype)
        params, grad = np.append(5, W.ravel()).astype(dtype), np.full(d * units + 2, 7, dtype)
        out_at, dz_at = 3 + m * d, 3 + m * (d + units)
        _multiply_in_tiles(vector, m, d, units, work, 3, d, 1, params, 1, work, out_at)
        _multiply_in_tiles(vector, d, m, units, work, 3, 1, d, work, dz_at, grad, 1)
        # Small integers: every sum is exact, in whatever order.
        np.testing.assert_array_equal(work[out_at:dz_at].reshape(m, units), X @ W)
        np.testing.assert_array_equal(work[dz_at:], dz.ravel())
        np.testing.assert_array_equal(grad, np.concatenate([[7], (X.T @ dz).ravel(), [7]]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_whose_products_fit_tiles_follow_the_reference(dtype):
    units = 4 * steps_cpu._vector_length(np.dtype(dtype))
    network, rows = Network((9, 2 * units, units, 3)), make_rows(300, 9, 3, dtype=dtype, weighted=True)
    compare(*(make_training(network, "momentum", dtype=dtype, alpha=0.3) for _ in range(2)), rows, 130, epochs=1)


def test_zeros_are_skipped_where_that_is_less_work():
    tile = 8 * steps_cpu._vector_length(np.dtype("float32"))
    whole, little, linear = Network((30, tile, 1)), Network((30, tile + 1, 1)), Network((30, 1))
    few, many = zeros_rows(1000, 30, 0.45, dtype="float32").X, zeros_rows(1000, 30, 0.7, dtype="float32").X
    empty, dtype = np.zeros((1000, 30), np.float32), np.dtype("float32")
    assert steps_cpu._skips_zeros(many, whole, dtype)
    assert steps_cpu._skips_zeros(sparse.csr_matrix(many), whole, dtype)
    assert not steps_cpu._skips_zeros(few, whole, dtype)
    assert not steps_cpu._skips_zeros(many, little, dtype)  # nearly half of what is computed is of no use
    assert steps_cpu._skips_zeros(empty, little, dtype)
    assert not steps_cpu._skips_zeros(empty, linear, dtype)
    network = Network((30, tile, 1))
    training, other = (make_training(network, "momentum", dtype="float32") for _ in range(2))
    compare(training, other, zeros_rows(400, 30, 0.9, dtype="float32"), 200)


def test_not_a_number_is_no_zero():
    network, rows = Network((30, 64, 1)), zeros_rows(200, 30, 0.9)
    rows.X[17, 3] = np.nan
    training = make_training(network)
    assert steps_cpu._skips_zeros(rows.X, network, training.params.dtype)
    assert np.isnan(run(cpu_epoch, training, rows, 64, epochs=1)[0])
    assert np.isnan(training.params).any()


def test_a_thread_that_cannot_be_started_leaves_none_behind(monkeypatch):
    start, started = threading.Thread.start, []

    def start_one(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    network, rows = Network((9, 12, 1)), make_rows(1200, 9)
    training = make_training(network)
    before = training.params.copy()
    monkeypatch.setattr(steps_cpu, "n_threads", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", start_one)
    with pytest.raises(RuntimeError, match="can't start"):
        cpu_epoch(training, rows, np.arange(1200), 1200, 0.01)
    started[0].join(timeout=10)
    assert not started[0].is_alive()
    np.testing.assert_array_equal(training.params, before)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", every_other(["float32", "uint8"]))
def test_the_rows_are_not_copied(impl, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (400_000, 24)).astype(dtype)
    y = rng.integers(0, 2, len(X))
    model = MLPClassifier((4,), impl=impl, batch_size=2000, max_iter=2, tol=10.0, n_iter_no_change=1)
    model.fit(X[:4000], y[:4000])
    tracemalloc.start()
    try:
        model.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Numbers of rows and labels take some bytes a row each; a copy of the rows in float32 would take 96.
    assert peak < 60 * len(X)
