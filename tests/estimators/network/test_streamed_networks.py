"""Networks on streamed rows: the same bits whatever the budget and the blocks, and as good as on rows in memory."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import Checkpoint, MLPClassifier, Stream
from gpu_logreg.arrays import sparse_cut
from gpu_logreg.errors import DataError
from gpu_logreg.objectives import batches
from gpu_logreg.rows import block_store

N, D = 3000, 6


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 341 rows: nine of them, of which four are shuffled together."""
    for module in (block_store, sparse_cut):
        monkeypatch.setattr(module, "STREAMED_ELEMENTS", 2**11)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 2**8)
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS_WIDE", 2**13)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.npy"


def rows(n_classes=2, n=N):
    """Rows of a ring, sorted by class: block after block holds one class alone."""
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((n, D))
    y = np.digitize((X[:, :2] ** 2).sum(1), [1.4, 3.0][: n_classes - 1])
    order = np.argsort(y, kind="stable")
    return X[order], y[order], rng.exponential(size=n)


def blocks_of(X, y, s=None, size=700):
    def blocks():
        for first in range(0, X.shape[0], size):
            part = slice(first, first + size)
            yield (X[part], y[part]) if s is None else (X[part], y[part], s[part])

    return blocks


def network(**parameters):
    how = {"max_iter": 30, "random_state": 0, "batch_size": 64, "learning_rate_init": 0.01}
    return MLPClassifier((12,), **how | parameters)


def fitted(model, *given, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*given, **more)


def bits(model):
    return b"".join(array.tobytes() for array in (*model.coefs_, *model.intercepts_))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw"])
def test_it_learns_from_sorted_rows(path, n_classes, solver):
    X, y, s = rows(n_classes)
    np.save(path, X)
    rate = 0.1 if solver == "sgd" else 0.01
    model = fitted(network(solver=solver, learning_rate_init=rate), Stream(path, y, s, memory_budget="105kB"))
    memory = fitted(network(solver=solver, learning_rate_init=rate), X, y, s)
    assert model.score(X, y) > 0.9 * memory.score(X, y)
    assert model.score(X, y) > 0.85
    assert model.t_ == model.n_iter_ * N
    assert model.n_reads_ == model.n_iter_


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_bits_whatever_the_budget_and_the_threads(path, monkeypatch, impl, weighted):
    X, y, s = rows()
    s = s if weighted else None
    np.save(path, X)
    models = []
    for budget, threads, ahead in (("1GB", "1", True), ("130kB", "2", False), ("95kB", "3", True)):
        monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", threads)
        stream = Stream(path, y, s, memory_budget=budget, read_ahead=ahead)
        models.append(fitted(network(max_iter=3, impl=impl), stream))
    assert stream.n_resident_ < stream.n_blocks_ == 9
    assert len({bits(model) for model in models}) == 1
    assert bits(fitted(network(max_iter=3, impl=impl, random_state=1), stream)) != bits(models[0])


def test_blocks_of_code_come_in_their_order_whatever_their_size():
    X, y, s = rows()
    models = [fitted(network(max_iter=3), blocks_of(X, y, s, size)) for size in (700, 1000)]
    models.append(fitted(network(max_iter=3), Stream(blocks_of(X, y, s), memory_budget="90kB")))
    assert len({bits(model) for model in models}) == 1


def test_rows_of_weight_zero_are_left_out(path):
    X, y, _ = rows()
    s = np.ones(N)
    s[::3] = 0.0
    np.save(path, X)
    model = fitted(network(max_iter=2), Stream(path, y, s))
    assert model.t_ == 2 * (N - N // 3)


def test_batches_are_full_across_blocks(path, monkeypatch):
    X, y, _ = rows()
    np.save(path, X)
    sizes = []
    real = batches.NetworkBatches.epoch

    def counted(self, order, batch_size, rate):
        sizes.extend(len(order[first : first + batch_size]) for first in range(0, len(order), batch_size))
        return real(self, order, batch_size, rate)

    monkeypatch.setattr(batches.NetworkBatches, "epoch", counted)
    fitted(network(max_iter=1), Stream(path, y))
    assert sum(sizes) == N
    assert set(sizes[:-1]) == {64}
    assert sizes[-1] == N % 64


@pytest.mark.parametrize("shuffle", [False, True])
def test_without_shuffling_it_is_as_in_memory(path, shuffle):
    X, y, s = rows()
    np.save(path, X)
    how = {"max_iter": 3, "shuffle": shuffle, "impl": "reference"}
    streamed, memory = fitted(network(**how), Stream(path, y, s)), fitted(network(**how), X, y, s)
    same = np.allclose(streamed.coefs_[0], memory.coefs_[0], rtol=1e-9, atol=0)
    assert same == (not shuffle)


@pytest.mark.parametrize("solver", ["lbfgs", "gradient-descent"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_sums_over_all_rows_go_the_way_of_those_in_memory(path, tmp_path, n_classes, solver):
    X, y, s = rows(n_classes)
    s[::5] = 0.0
    np.save(path, X)
    how = {"solver": solver, "max_iter": 5, "tol": 0.0, "activation": "tanh"}
    memory = fitted(network(**how), X, y, s)
    streams = Stream(path, y, s, memory_budget="105kB"), Stream(blocks_of(X, y, s)), Stream(path, y, s)
    models = [fitted(network(**how), stream) for stream in streams]
    assert len({bits(model) for model in models}) == 1
    assert models[0].n_reads_ == memory.n_reads_ == streams[0].n_reads_ - 1  # one is a search for extremes
    np.testing.assert_allclose(models[0].loss_curve_, memory.loss_curve_, rtol=1e-9)
    for streamed, W in zip(models[0].coefs_, memory.coefs_, strict=True):
        np.testing.assert_allclose(streamed, W, rtol=0, atol=1e-7)
    seen = []

    def stop(iteration):
        seen.append(iteration)
        if len(seen) == 3:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(tmp_path / "c", every=0)
    with pytest.raises(KeyboardInterrupt):
        fitted(network(**how, verbose=stop), streams[0], checkpoint=checkpoint)
    before = streams[0].n_reads_
    assert bits(fitted(network(**how), streams[0], checkpoint=checkpoint)) == bits(models[0])
    assert streams[0].n_reads_ - before < memory.n_reads_ + 2  # a digest, the search, and what was left


def test_sparse_blocks():
    X, y, _ = rows()
    X[np.abs(X) < 0.7] = 0.0
    model = fitted(network(), blocks_of(sparse.csr_array(X), y))
    assert model.score(sparse.csr_array(X), y) > 0.8


def test_a_checkpoint_goes_on_to_the_same_bits(path, tmp_path):
    X, y, s = rows()
    np.save(path, X)
    stream = Stream(path, y, s, memory_budget="105kB")
    whole = fitted(network(max_iter=6), stream)

    def stop(iteration):
        if iteration.n_iter == 3:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(tmp_path / "c", every=0)
    with pytest.raises(KeyboardInterrupt):
        fitted(network(max_iter=6, verbose=stop), stream, checkpoint=checkpoint)
    seen = []
    model = network(max_iter=6, verbose=lambda iteration: seen.append(iteration.n_iter))
    again = fitted(model, Stream(path, y, s, memory_budget="1GB"), checkpoint=checkpoint)
    assert seen[0] > 2
    assert bits(again) == bits(whole)


def test_it_stops_by_rows_in_memory(path):
    X, y, _ = rows()
    np.save(path, X)
    model = network(early_stopping=True, max_iter=50, n_iter_no_change=2)
    fitted(model, Stream(path, y), X_val=X[::7], y_val=y[::7])
    assert len(model.validation_scores_) == model.n_iter_
    assert max(model.validation_scores_) == model.best_validation_score_
    assert model.score(X[::7], y[::7]) == pytest.approx(model.best_validation_score_)


def test_a_diverged_epoch_ends_at_finite_weights(path):
    X, y, _ = rows()
    np.save(path, X)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model = network(solver="sgd", learning_rate_init=1e30, activation="identity").fit(Stream(path, y))
    assert all(np.isfinite(W).all() for W in model.coefs_)


def test_what_is_refused(path):
    X, y, s = rows()
    np.save(path, X)
    stream = Stream(path, y)
    for model, message in (
        (
            network(early_stopping=True),
            "early_stopping=True goes by rows in memory, and these are streamed; give X_val",
        ),
        (network(storage="uint8"), "storage='uint8' is for rows in memory"),
    ):
        with pytest.raises(DataError, match=message):
            model.fit(stream)
    with pytest.raises(DataError, match="a Stream brings its own labels and weights"):
        network().fit(stream, None, s)
    for value, message in (
        (np.nan, "rows.npy: Input X contains NaN at row 2990, column 3"),
        (1e200, "1e.200 at row 2990"),
    ):
        X[2990, 3] = value
        np.save(path, X)
        with pytest.raises(DataError, match=message):
            network().fit(Stream(path, y))


def test_a_single_block_is_as_rows_in_memory(path):
    X, y, s = rows(n=300)
    np.save(path, X)
    assert bits(fitted(network(), Stream(path, y, s))) == bits(fitted(network(), X, y, s))
