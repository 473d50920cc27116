"""Epochs as CUDA graphs: what Python does between batches, where a graph is refused, what is given back.

That the epochs are right is tested in `test_cuda_steps`, here and on CuPy itself.
"""

from __future__ import annotations

import gc
import threading
import weakref

import fake_graphs
import numpy as np
import pytest
from central_differences import gradient
from sweeps import slow
from test_cuda_steps import fake, on_device  # noqa: F401 - a fixture
from test_steps import OPTIMIZERS, make_rows, make_training, orders, run

from gpu_logreg.arrays.device import Device, cuda_problem, import_cupy
from gpu_logreg.errors import ImplementationError
from gpu_logreg.mathematics.network import Network
from gpu_logreg.passes.cuda import steps_graph, steps_tiles
from gpu_logreg.passes.cuda.steps import CudaSteps, supports
from gpu_logreg.passes.cuda.steps_graph import GraphEpochs, flops_of, graph_problem
from gpu_logreg.passes.cuda.steps_tiles import FILL, TILES, choose_parts, choose_tile
from gpu_logreg.passes.reference.steps import reference_epoch
from gpu_logreg.passes.steps_choice import choose_steps
from gpu_logreg.rows.block import Rows

IN_A_GRAPH = "batches in a CUDA graph"


@pytest.fixture
def strict(fake, monkeypatch):  # noqa: F811
    fake_graphs.make_strict(monkeypatch)
    return fake


@pytest.fixture(params=["strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def anywhere(request):
    """The stand-in, and CuPy itself."""
    if request.param == "strict":
        return request.getfixturevalue("strict")
    problem = cuda_problem()
    if problem:
        pytest.skip(problem)
    return import_cupy()


@pytest.mark.parametrize(("optimizer", "K"), [*((name, 1) for name in OPTIMIZERS), ("adam", 3)])
def test_python_does_nothing_between_the_batches(strict, optimizer, K):
    rows = make_rows(45, 6, K, weighted=K == 3)
    there, training = on_device(strict, rows, make_training(Network((6, 7, K)), optimizer, alpha=0.1))
    epoch = CudaSteps()
    strict.counts.clear()
    for k, order in enumerate(orders(45, 2)):
        epoch(training, there, order, 10, 0.01)
        assert strict.counts["launches of graphs"] == k + 1
        assert strict.counts["launches"] == (k + 1) * 5 * 7  # made on the device
    assert strict.counts["launches from Python"] == strict.counts["waits"] == strict.counts["scalars read"] == 0
    assert strict.counts["copies to the host"] == 0
    assert epoch.how == IN_A_GRAPH


@pytest.mark.parametrize(("activation", "K"), [("tanh", 1), ("logistic", 3), ("identity", 4)])
def test_a_step_is_the_gradient_by_central_differences(anywhere, activation, K):
    rows, network = make_rows(30, 3, 1 if K == 4 else K, weighted=True), Network((3, 4, K), activation)
    if K == 4:  # labels, not classes
        rows = rows._replace(y=np.random.default_rng(0).integers(0, 2, (30, 4)).astype(np.uint8))
    begin = make_training(network, "sgd", alpha=0.3)

    def value(params: np.ndarray) -> float:
        begin.params = params
        return float(reference_epoch(begin, rows, np.arange(30), 30, 0.0))

    there, training = on_device(anywhere, rows, make_training(network, "sgd", alpha=0.3))
    before = training.params.get()
    CudaSteps()(training, there, np.arange(30), 30, 0.25)
    step = (before - training.params.get()) / 0.25
    np.testing.assert_allclose(step, gradient(value, before), atol=1e-9)


@pytest.mark.parametrize("fill", [FILL, slow(1)])
def test_batches_in_parts_and_in_tiles_of_every_size(strict, monkeypatch, fill):
    monkeypatch.setattr(steps_tiles, "FILL", fill)  # of 1: the largest tiles
    rows, network = make_rows(330, 6, 3, weighted=True), Network((6, 12, 9, 3))
    theirs = make_training(network, alpha=0.2)
    wanted = run(reference_epoch, theirs, rows, 200, 2)
    there, training = on_device(strict, rows, make_training(network, alpha=0.2))
    epochs = GraphEpochs(training, there, 200, 330)
    assert epochs.parts == (3 if fill == FILL else 1)
    found = [epochs(order, 0.01).get() for order in orders(330, 2)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    np.testing.assert_allclose(training.params.get(), theirs.params, atol=1e-10)


def test_an_epoch_of_many_batches_is_cut_into_replays(strict, monkeypatch):
    monkeypatch.setattr(steps_graph, "CHUNK_BATCHES", 4)
    rows, network = make_rows(105, 6), Network((6, 7, 1))
    wanted = run(reference_epoch, make_training(network), rows, 10, 2)
    there, training = on_device(strict, rows, make_training(network))
    epoch = CudaSteps()
    strict.counts.clear()
    found = [epoch(training, there, order, 10, 0.01).get() for order in orders(105, 2)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert strict.counts["launches of graphs"] == 2 * 3  # of four batches each, the last of an epoch has nothing to do
    assert strict.counts["waits"] == 2 * 2  # for all replays but the last, so that at most two are under way
    monkeypatch.setattr(steps_graph, "CHUNK_FLOPS", 2.5 * flops_of(training, 10))
    assert GraphEpochs(training, there, 10, 105).replays == 6


def test_the_host_is_never_more_than_two_replays_ahead(strict, monkeypatch):
    monkeypatch.setattr(steps_graph, "CHUNK_BATCHES", 1)
    there, training = on_device(strict, make_rows(60, 6), make_training(Network((6, 7, 1))))
    epoch = CudaSteps()
    epoch(training, there, np.arange(60), 10, 0.01)
    told = []
    event = strict.cuda.Event
    monkeypatch.setattr(event, "synchronize", lambda self: told.append(strict.counts["launches of graphs"]))
    strict.counts.clear()
    epoch(training, there, np.arange(60), 10, 0.01)
    assert told == [2, 3, 4, 5, 6]

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(event, "synchronize", interrupted)
    strict.counts.clear()
    with pytest.raises(KeyboardInterrupt):
        epoch(training, there, np.arange(60), 10, 0.01)
    assert strict.counts["launches of graphs"] == 2
    assert strict.cuda.get_current_stream() == strict.cuda.Stream.null


@pytest.mark.parametrize("what", ["the driver", "the CuPy"])
def test_where_a_graph_is_refused_the_same_kernels_are_launched_and_the_reason_is_shown(strict, monkeypatch, what):
    rows, network = make_rows(95, 6, 3, weighted=True), Network((6, 7, 3))
    there, training = on_device(strict, rows, make_training(network))
    wanted = [CudaSteps()(training, there, order, 10, 0.01).get() for order in orders(95, 2)], training.params.get()
    if what == "the driver":
        fake_graphs.refuse_captures(monkeypatch)
    else:
        monkeypatch.delattr(strict.cuda.Stream, "begin_capture")
    there, training = on_device(strict, rows, make_training(network))
    epoch = CudaSteps()
    strict.counts.clear()
    found = [epoch(training, there, order, 10, 0.01).get() for order in orders(95, 2)], training.params.get()
    assert found[0] == wanted[0]
    np.testing.assert_array_equal(found[1], wanted[1])  # not a bit differs
    assert strict.counts["launches from Python"] == 2 * 10 * 7
    said = "CUDARuntimeError: cudaErrorNotSupported" if what == "the driver" else "AttributeError"
    assert epoch.how.startswith(f"batches launched from Python, since a CUDA graph was refused ({said}")


def test_a_capture_that_fails_half_way_leaves_no_stream_captured(strict, monkeypatch):
    there, training = on_device(strict, make_rows(60, 6), make_training(Network((6, 7, 1))))
    made = []
    stream = strict.cuda.Stream
    begin = stream.begin_capture
    monkeypatch.setattr(stream, "begin_capture", lambda self, mode=None: (made.append(self), begin(self, mode))[1])
    epochs = GraphEpochs(training, there, 10, 60)
    launch = GraphEpochs._launch

    def fails(self):
        launch(self)
        raise MemoryError("no room for a graph")

    monkeypatch.setattr(GraphEpochs, "_launch", fails)
    assert epochs._captured(3) is None
    assert epochs.problem == "a CUDA graph was refused (MemoryError: no room for a graph)"
    monkeypatch.setattr(GraphEpochs, "_launch", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        epochs._captured(3)
    assert len(made) == 3
    assert not any(stream.is_capturing() for stream in made)
    assert strict.cuda.get_current_stream() == strict.cuda.Stream.null


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"X": lambda xp, X: xp.asarray(np.asfortranarray(X))}, "X is not in C order"),
        ({"X": lambda xp, X: xp.asarray(np.rint(X).astype(np.int16))}, "X is int16"),
        ({"y": lambda xp, y: xp.asarray(y.astype(np.float32))}, "y is float32"),
        ({"sample_weight": lambda xp, s: xp.asarray(s.astype(np.float16))}, "sample_weight is float16"),
    ],
)
def test_other_rows_go_to_cublas_and_the_reason_is_shown(strict, change, why):
    rows = make_rows(40, 6, 3, weighted=True)
    ((name, convert),) = change.items()
    there, training = on_device(strict, rows, make_training(Network((6, 7, 3))))
    there = there._replace(**{name: convert(strict, getattr(rows, name))})
    assert supports(there, training) is None
    assert graph_problem(training, there, 10) == why
    if name != "y":
        epoch = CudaSteps()
        epoch(training, there, np.arange(40), 10, 0.01)
        assert epoch.how == f"batches launched from Python, since {why}"


def test_rows_with_a_stride_labels_of_every_whole_dtype_and_flags(anywhere):
    rows, network = make_rows(40, 6, 3), Network((6, 7, 3))
    wanted = run(reference_epoch, make_training(network), rows, 10, 1)
    for dtype in ("int8", "int64"):
        _, training = on_device(anywhere, rows, make_training(network))
        wide = np.zeros((80, 9))
        wide[::2, 2:8] = rows.X
        X = anywhere.asarray(wide)[::2, 2:8]
        epoch = CudaSteps()
        found = epoch(training, Rows(X, anywhere.asarray(rows.y.astype(dtype)), None), orders(40, 1)[0], 10, 0.01)
        np.testing.assert_allclose(found.get(), wanted[0], rtol=1e-12)
        assert epoch.how == IN_A_GRAPH
    rows, network = make_rows(40, 6), Network((6, 7, 1))
    flags = Rows(rows.X > 0, rows.y > 0, None)
    wanted = run(reference_epoch, make_training(network), Rows(flags.X * 1.0, rows.y, None), 10, 1)
    there, training = on_device(anywhere, flags, make_training(network))
    epoch = CudaSteps()
    np.testing.assert_allclose(epoch(training, there, orders(40, 1)[0], 10, 0.01).get(), wanted[0], rtol=1e-12)
    assert epoch.how == IN_A_GRAPH


def test_what_a_fit_needs_is_allocated_once_and_given_back(strict):
    there, training = on_device(strict, make_rows(95, 6, weighted=True), make_training(Network((6, 7, 1))))
    epoch, pool = CudaSteps(), strict.get_default_memory_pool()
    training.optimizer.allocate(training.params)
    gc.collect()
    before = pool.used_bytes()
    epoch(training, there, np.arange(95), 10, 0.01)
    epochs = epoch._epochs
    used = pool.used_bytes()
    for rate in (0.02, 0.03):
        epoch(training, there, np.arange(95), 10, rate)
    assert epoch._epochs is epochs
    assert pool.used_bytes() == used > before
    epoch(training, there, np.arange(95), 20, 0.01)  # another batch size, other launches
    assert epoch._epochs is not epochs
    graph = weakref.ref(epochs)
    del epochs
    assert graph() is None
    del epoch
    assert pool.used_bytes() == before  # at once, without a garbage collector


def test_rows_or_numbers_that_change_make_new_launches(strict):
    rows, network = make_rows(60, 6), Network((6, 7, 1))
    there, training = on_device(strict, rows, make_training(network))
    epoch, theirs = CudaSteps(), make_training(network)
    for alpha, again in ((0.0, 1.0), (0.5, 1.0), (0.5, 2.0)):
        training.alpha = theirs.alpha = alpha
        there, _ = on_device(strict, rows._replace(X=again * rows.X), make_training(network))
        found = epoch(training, there, np.arange(60), 10, 0.01).get()
        wanted = reference_epoch(theirs, rows._replace(X=again * rows.X), np.arange(60), 10, 0.01)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_fits_in_threads_do_not_mix(anywhere):
    problems = []
    for seed in range(4):
        rows, network = make_rows(60, 6, seed=seed), Network((6, 5 + seed, 1))
        wanted = run(reference_epoch, make_training(network), rows, 10, 2)
        problems.append((*on_device(anywhere, rows, make_training(network)), wanted))
    found: list = [None] * len(problems)

    def fit(k: int) -> None:
        there, training, _ = problems[k]
        epoch = CudaSteps()
        found[k] = [epoch(training, there, order, 10, 0.01).get() for order in orders(60, 2)], epoch.how

    threads = [threading.Thread(target=fit, args=(k,)) for k in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (curve, how), (*_, wanted) in zip(found, problems, strict=True):
        np.testing.assert_allclose(curve, wanted, rtol=1e-12)
        assert how == IN_A_GRAPH


def test_an_update_rule_that_no_kernel_knows_is_refused_by_name(strict):
    there, training = on_device(strict, make_rows(10, 6), make_training(Network((6, 1))))
    training.optimizer = None
    assert supports(there, training) == "the cuda steps know no NoneType"
    with pytest.raises(ImplementationError, match="the cuda steps know no NoneType"):
        choose_steps("cuda", there, Device("cuda"), training)


def test_tiles_and_parts_fill_the_device_by_the_sizes_alone():
    for tile in TILES:
        assert (tile.rows // tile.own_rows) * (tile.columns // tile.own_columns) == 256
    assert choose_tile(1024, 1) == choose_tile(8192, 8) == TILES[3]
    assert choose_tile(8192, 128) == TILES[0]
    assert choose_tile(1024, 128) == TILES[2]
    assert choose_tile(64, 128) == TILES[2]
    for batch_rows in (1, 60, 200, 1024, 8192):
        for shapes in ([(784, 128), (128, 1)], [(28, 1)], [(54, 100), (100, 7)], [(2000, 1000), (1000, 10)]):
            parts = choose_parts(batch_rows, shapes)
            assert 1 <= parts <= max(1, batch_rows // 64)
            d, m = max(shapes, key=lambda shape: shape[0] * shape[1])
            blocks = choose_tile(d + 1, m, parts).blocks(d + 1, m)
            assert parts == 1 or (parts - 1) * blocks < FILL
