"""Steps on a GPU: on a stand-in for CuPy everywhere, on CuPy itself where there is a GPU."""

from __future__ import annotations

import itertools

import fake_cupy
import kernel_host
import numpy as np
import pytest
from sweeps import slow, thinned
from test_steps import OPTIMIZERS, make_rows, make_training, orders, run

from gpu_logreg import MLPClassifier
from gpu_logreg.arrays.device import Device, cuda_problem, import_cupy, to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.network import ACTIVATIONS, Network
from gpu_logreg.objectives.batches import NetworkBatches
from gpu_logreg.passes.cuda import cublas, steps_graph
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda import steps as steps_cuda
from gpu_logreg.passes.cuda.steps_cublas import CublasEpochs
from gpu_logreg.passes.reference.steps import reference_epoch
from gpu_logreg.passes.steps_choice import choose_steps
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows


@pytest.fixture
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    for kernels in (cuda._kernels, cublas._kernel, steps_cuda._kernel):
        kernels.cache_clear()
    with fake_cupy.installed(monkeypatch) as cupy:
        yield cupy
    for kernels in (cuda._kernels, cublas._kernel, steps_cuda._kernel):
        kernels.cache_clear()


@pytest.fixture(params=["fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def cupy(request):
    if request.param == "fake":
        return request.getfixturevalue("fake")
    problem = cuda_problem()
    if problem:
        pytest.skip(problem)
    return import_cupy()


@pytest.fixture(params=["graph", slow("cublas")])
def way(request, monkeypatch):
    """How batches are made; by cuBLAS where there is much arithmetic, which here there never is."""
    return chosen(request.param, monkeypatch)


@pytest.fixture(params=["graph", "cublas"])
def either_way(request, monkeypatch):
    """Both of them by ``make test``."""
    return chosen(request.param, monkeypatch)


def chosen(way: str, monkeypatch) -> str:
    if way == "cublas":
        monkeypatch.setattr(steps_graph, "GRAPH_FLOPS", 0.0)
    return way


HOW = {
    "graph": "batches in a CUDA graph",
    "cublas": "batches launched from Python, since cuBLAS is faster",
}


def on_device(cupy, rows: Rows, training: Training) -> tuple[Rows, Training]:
    training.params = cupy.asarray(training.params)
    return Rows(*(None if array is None else cupy.asarray(array) for array in rows)), training


def curve(epoch, training: Training, rows: Rows, batch_size: int, epochs: int = 2) -> np.ndarray:
    n = rows.X.shape[0]
    return np.array([epoch(training, rows, order, batch_size, 0.01).get() for order in orders(n, epochs)])


def check(cupy, way: str, network: Network, rows: Rows, optimizer: str, batch_size: int, **options) -> None:
    dtype = options.get("dtype", "float64")
    theirs = make_training(network, optimizer, **options)
    wanted = run(reference_epoch, theirs, rows, batch_size, 2)
    there, ours = on_device(cupy, rows, make_training(network, optimizer, **options))
    eps = np.finfo(dtype).eps
    epoch = steps_cuda.CudaSteps()
    np.testing.assert_allclose(curve(epoch, ours, there, batch_size), wanted, rtol=100 * eps)
    assert epoch.how.startswith(HOW[way])
    np.testing.assert_allclose(ours.params.get(), theirs.params, rtol=0, atol=2000 * eps)
    for name, array in vars(ours.optimizer).items():
        if hasattr(array, "get"):
            np.testing.assert_allclose(array.get(), getattr(theirs.optimizer, name), rtol=0, atol=2000 * eps)
        else:
            assert array == getattr(theirs.optimizer, name)


LAYERS = [((), 1), ((7,), 1), ((7, 5), 3)]
TANH_OR_DEEP = thinned(
    itertools.product(ACTIVATIONS, LAYERS, ("float32", "float64")),
    lambda case: case[0] == "tanh" or case[1:] == (LAYERS[2], "float64"),
)


@pytest.mark.parametrize(("activation", "layers", "dtype"), TANH_OR_DEEP)
def test_steps_follow_the_reference(cupy, either_way, activation, layers, dtype):
    hidden, K = layers
    rows = make_rows(150, 6, K, dtype=dtype, weighted=True)
    # Momentum, because Adam divides by the gradient, and a small one is all rounding.
    check(cupy, either_way, Network((6, *hidden, K), activation), rows, "momentum", 64, dtype=dtype, alpha=0.2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hidden", [(), (7,)])
def test_steps_of_several_labels_follow_the_reference(cupy, way, hidden, weighted):
    rows = make_rows(150, 6, weighted=weighted)
    rows = rows._replace(y=np.random.default_rng(0).integers(0, 2, (150, 3)).astype(np.uint8))
    check(cupy, way, Network((6, *hidden, 3)), rows, "momentum", 64, alpha=0.2)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_whole_fit_of_several_labels(cupy, solver):
    X, _, s = make_rows(120, 6, weighted=True)
    y = np.random.default_rng(0).integers(0, 2, (120, 3))
    options = {"activation": "tanh", "solver": solver, "batch_size": 32, "max_iter": 4, "early_stopping": True}
    theirs = MLPClassifier((7,), impl="reference", device="cpu", **options).fit(X, y, s)
    X_there, y_there, s_there = map(cupy.asarray, (X, y, s))
    ours = MLPClassifier((7,), **options).fit(X_there, y_there, s_there)
    assert ours.device_.startswith("cuda")
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X_there).get(), theirs.predict_proba(X), atol=1e-7)
    np.testing.assert_allclose(ours.predict_log_proba(X_there).get(), theirs.predict_log_proba(X), atol=1e-6)
    np.testing.assert_array_equal(to_numpy(ours.predict(X_there)), theirs.predict(X))
    assert ours.score(X_there, y_there, s_there) == pytest.approx(theirs.score(X, y, s))
    y_there[3, 1] = 5
    with pytest.raises(DataError, match="holds 5 at row 3, column 1; an indicator of labels holds zeros and ones"):
        ours.fit(X_there, y_there)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_updates_follow_the_reference(cupy, way, optimizer, weighted):
    rows = make_rows(100, 6, weighted=weighted)
    check(cupy, way, Network((6, 7, 1)), rows, optimizer, 33, alpha=0.2, fixed_l2=0.01)
    check(cupy, way, Network((6, 1)), rows, optimizer, 33, fit_intercept=False)


@pytest.mark.parametrize("batch_size", [1, 31, 256, 257, 600])
def test_ragged_batches(cupy, way, batch_size):
    check(cupy, way, Network((3, 4, 1)), make_rows(600 if batch_size > 1 else 20, 3), "adam", batch_size)


@pytest.mark.parametrize("storage", ["uint8", "float16"])
def test_rows_are_converted_a_batch_at_a_time(cupy, way, storage):
    rows = make_rows(60, 6, dtype="float32")
    rows = rows._replace(X=np.abs(10 * rows.X).astype(storage))
    network = Network((6, 4, 1))
    theirs = make_training(network, "momentum", dtype="float32")
    wanted = run(reference_epoch, theirs, rows, 32, 2)
    there, ours = on_device(cupy, rows, make_training(network, "momentum", dtype="float32"))
    np.testing.assert_allclose(curve(steps_cuda.cuda_epoch, ours, there, 32), wanted, rtol=1e-5)


def test_reference_steps_run_on_device_arrays(cupy):
    network, rows = Network((6, 7, 3)), make_rows(100, 6, 3, weighted=True)
    wanted = run(reference_epoch, make_training(network, alpha=0.1), rows, 32, 2)
    there, ours = on_device(cupy, rows, make_training(network, alpha=0.1))
    np.testing.assert_allclose(curve(reference_epoch, ours, there, 32), wanted, rtol=1e-11)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_whole_fits_on_device_arrays(cupy, solver, K):
    rows = make_rows(120, 6, max(K, 2), dtype="float64", weighted=True)
    options = {"activation": "tanh", "solver": solver, "batch_size": 32, "max_iter": 4, "early_stopping": K == 3}
    theirs = MLPClassifier((7,), impl="reference", device="cpu", **options).fit(*rows)
    ours = MLPClassifier((7,), **options).fit(*(cupy.asarray(array) for array in rows))
    assert ours.device_.startswith("cuda")
    assert ours.impl_ == ("reference" if solver == "lbfgs" else "cuda")
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    for here, there in zip(theirs.coefs_, ours.coefs_, strict=True):
        np.testing.assert_allclose(there, here, atol=1e-7)
    np.testing.assert_allclose(ours.predict_proba(rows.X), theirs.predict_proba(rows.X), atol=1e-7)


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_waits_for_the_device_within_an_epoch(fake, monkeypatch, optimizer, K):
    rows = make_rows(100, 6, K, weighted=True)
    there, training = on_device(fake, rows, make_training(Network((6, 7, K)), optimizer, alpha=0.1))
    monkeypatch.setattr(steps_graph, "GRAPH_FLOPS", 0.0)
    epoch = steps_cuda.CudaSteps()
    epoch(training, there, np.arange(100), 10, 0.01)
    fake.counts.clear()
    epoch(training, there, np.arange(100), 10, 0.01)
    assert fake.counts["copies to the host"] == fake.counts["waits"] == 0
    assert fake.counts["copies to the device"] == 2  # the order of the rows and the learning rates
    assert fake.counts["launches"] == 10 * (3 + (K == 1))
    assert not fake.counts["copies of X that CuPy makes for cuBLAS"]


def test_one_number_comes_back_from_an_epoch(fake):
    rows = make_rows(100, 6)
    there, training = on_device(fake, rows, make_training(Network((6, 7, 1))))
    steps = choose_steps("auto", there, Device("cuda"), training)
    assert (steps.name, steps.reason) == ("cuda", "auto: fused steps")
    batches = NetworkBatches(training, there, steps)
    fake.counts.clear()
    value = batches.epoch(np.arange(100), 10, 0.01)
    assert isinstance(value, float)
    assert fake.counts["copies to the host"] == 1


def test_the_schedule_changes_no_bit(fake, way):
    rows, found = make_rows(300, 6, dtype="float32"), set()
    for seed in range(4):
        fake.schedule_seed = seed
        there, training = on_device(fake, rows, make_training(Network((6, 7, 1)), dtype="float32", alpha=0.1))
        value = steps_cuda.cuda_epoch(training, there, np.arange(300), 280, 0.01).get()
        found.add((value.tobytes(), training.params.get().tobytes()))
    fake.schedule_seed = 0
    assert len(found) == 1


def test_not_a_number_stays_visible(fake, way):
    for activation in ACTIVATIONS:
        rows = make_rows(40, 6)
        rows.X[3, 1] = np.nan
        there, training = on_device(fake, rows, make_training(Network((6, 7, 1), activation)))
        assert np.isnan(steps_cuda.cuda_epoch(training, there, np.arange(40), 10, 0.01).get())


def test_what_is_refused(fake):
    rows, training = make_rows(10, 6), make_training(Network((6, 7, 1)))
    assert "takes CuPy arrays" not in str(steps_cuda.supports(rows, training))
    assert steps_cuda.supports(rows, training) == "the cuda steps take CuPy arrays, and X is a numpy.ndarray"
    there, training = on_device(fake, rows, training)
    assert steps_cuda.supports(there, training) is None
    training.params = training.params.astype(np.float16)
    assert "the parameters are float16" in steps_cuda.supports(there, training)
    training.params = training.params.astype(np.float64)
    monster = fake.wrapped(np.lib.stride_tricks.as_strided(np.zeros(1), (2**30, 6), (0, 0)))
    with pytest.raises(ValueError, match="a batch of 1073741824 rows is beyond"):
        CublasEpochs(training, Rows(monster, there.y, None), 2**30, 2**30)
