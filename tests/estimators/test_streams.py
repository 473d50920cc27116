"""Fits of streamed rows: the optimum of the rows in memory, and the same bits whatever the budget and the blocks."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import dump_svmlight_file, load_svmlight_file
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, MLPClassifier, Stream
from gpu_logreg.arrays import sparse_cut
from gpu_logreg.errors import DataError, DeviceError
from gpu_logreg.files import libsvm_stream
from gpu_logreg.rows import block_store

N, D = 3000, 6

LOW, MIDDLE = "95kB", "130kB"
"""Budgets of 3,000 rows with weights, which take 171 kB: no block stays in memory, and some do."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 2,048 elements, so that a few thousand rows are several of them."""
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS", 2**11)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 2**8)
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS_WIDE", 2**13)
    monkeypatch.setattr(sparse_cut, "STREAMED_ELEMENTS", 2**11)


def rows(n_classes=2, dtype=np.float64, n=N):
    rng = np.random.default_rng(n_classes)
    X = (rng.standard_normal((n, D)) * 10.0 ** rng.uniform(-1, 1, D) + 1.0).astype(dtype)
    z = (X - X.mean(0)) / X.std(0) @ rng.standard_normal((D, n_classes))
    y = (z + rng.gumbel(size=z.shape)).argmax(1)
    return X, y, rng.exponential(size=n)


def blocks_of(X, y, s=None, size=700):
    def blocks():
        for first in range(0, X.shape[0], size):
            part = slice(first, first + size)
            yield (X[part], y[part]) if s is None else (X[part], y[part], s[part])

    return blocks


def bits(model):
    return model.coef_.tobytes() + model.intercept_.tobytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.npy"


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"class_weight": "balanced"},
        {"class_weight": {0: 2.0, 1: 0.5}},
        {"fit_intercept": False},
        {"solver": "lbfgs"},
        {"solver": "newton-cg"},
        {"l1_ratio": 1.0, "C": 0.05},
        {"l1_ratio": 0.5, "C": 0.05},
    ],
    ids=lambda how: "-".join(map(str, how.values())) or "default",
)
def test_the_optimum_is_that_of_the_rows_in_memory(path, how, n_classes, weighted):
    X, y, s = rows(n_classes)
    s = s if weighted else None
    np.save(path, X)
    stream = Stream(path, y, s, memory_budget=LOW)
    streamed = LogisticRegression(tol=1e-10, **how).fit(stream)
    memory = LogisticRegression(tol=1e-10, **how).fit(X, y, s)
    assert stream.n_blocks_ > 5
    assert streamed.converged_
    assert abs(streamed.objective_ - memory.objective_) <= 1e-13 * abs(memory.objective_)
    np.testing.assert_allclose(streamed.coef_, memory.coef_, rtol=0, atol=1e-8 * np.abs(memory.coef_).max())
    np.testing.assert_allclose(streamed.intercept_, memory.intercept_, rtol=0, atol=1e-8)
    assert "blocks of rows are streamed" in streamed.impl_reason_
    assert streamed.device_ == "cpu"
    assert streamed.n_features_in_ == D


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_same_bits_whatever_the_budget_the_blocks_and_the_threads(path, monkeypatch, impl, n_classes):
    X, y, s = rows(n_classes)
    np.save(path, X)
    streams = [
        Stream(path, y, s, memory_budget=LOW),
        Stream(path, y, s, memory_budget=MIDDLE, read_ahead=False),
        Stream(path, y, s),
        blocks_of(X, y, s),
        Stream(blocks_of(X, y, s, 11), memory_budget=LOW),
        list(blocks_of(X, y, s, 2000)()),
        blocks_of(X, y, s, 100)(),  # an iterator, of which all rows are kept
    ]
    found = set()
    for threads, stream in enumerate(streams):
        monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", str(1 + threads % 2))
        found.add(bits(LogisticRegression(impl=impl).fit(stream)))
    assert len(found) == 1
    resident = [stream.n_resident_ for stream in streams[:3]]
    assert resident[0] == 0 < resident[1] < resident[2] == streams[2].n_blocks_


def test_blocks_are_read_once_in_a_walk_and_kept_ones_never_again(path):
    X, y, _ = rows()
    np.save(path, X)
    once = Stream(path, y)
    model = LogisticRegression().fit(once)
    assert once.n_reads_ == 1.0
    assert once.bytes_read_ == X.nbytes
    LogisticRegression(C=0.1).fit(once)
    assert once.n_reads_ == 1.0
    yielded = Stream(blocks_of(X, y))
    LogisticRegression().fit(yielded)
    assert (yielded.n_reads_, yielded.bytes_read_) == (1.0, X.nbytes)
    often = Stream(path, y, memory_budget="75kB")
    LogisticRegression().fit(often)
    assert 1.0 < often.n_reads_ <= model.n_reads_ <= 12
    assert often.n_reads_ == int(often.n_reads_)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("how", [{}, {"solver": "lbfgs"}, {"l1_ratio": 1.0, "C": 0.05}], ids=["l2", "lbfgs", "l1"])
def test_sparse_blocks(how, n_classes):
    X, y, s = rows(n_classes)
    X = sparse.csr_array(np.where(np.abs(X) > 1.0, X, 0.0))
    how = {"tol": 1e-10, **how}
    memory = LogisticRegression(**how).fit(X, y, s)
    found = set()
    for size, budget in ((700, "10MB"), (13, "10kB"), (700, "10kB")):
        stream = Stream(blocks_of(X, y, s, size), memory_budget=budget)
        streamed = LogisticRegression(**how).fit(stream)
        assert stream.n_blocks_ > 4
        assert (stream.n_resident_ > 0) == (budget == "10MB")
        found.add(bits(streamed))
    assert len(found) == 1
    np.testing.assert_allclose(streamed.coef_, memory.coef_, rtol=0, atol=1e-8 * np.abs(memory.coef_).max())


def test_many_columns_and_an_l1_penalty_go_by_working_sets(monkeypatch):
    monkeypatch.setattr("gpu_logreg.estimators.linear.problem.LARGEST_WHOLE", 4)
    X, y, _ = rows()
    how = {"l1_ratio": 1.0, "C": 0.01, "tol": 1e-9}
    streamed, memory = LogisticRegression(**how).fit(blocks_of(X, y)), LogisticRegression(**how).fit(X, y)
    assert streamed.solver_ == "proximal"
    np.testing.assert_allclose(streamed.coef_, memory.coef_, rtol=0, atol=1e-7 * np.abs(memory.coef_).max())


def test_rows_with_rare_columns_are_drawn_by_their_scores(path):
    X, y, _ = rows(n=20_000)
    X[:, 0] = np.random.default_rng(0).random(len(X)) < 0.002
    np.save(path, X)
    streamed = LogisticRegression(tol=1e-9).fit(Stream(path, y, memory_budget="600kB"))
    memory = LogisticRegression(tol=1e-9).fit(X, y)
    assert streamed.n_reads_ < 14
    assert abs(streamed.objective_ - memory.objective_) <= 1e-12 * memory.objective_


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_samples_that_are_drawn_stretch_by_stretch(path, monkeypatch, n_classes, weighted):
    monkeypatch.setattr("gpu_logreg.rows.drawing.STRETCH_ROWS", 3000)
    X, y, s = rows(n_classes, n=20_000)
    X[:, 0] = np.random.default_rng(0).random(len(X)) < 0.002
    y[:19_000][y[:19_000] == n_classes - 1] = 0  # a rare class, and late
    np.save(path, X)
    s = s * (np.arange(len(s)) % 3 > 0) if weighted else None
    streamed = LogisticRegression(tol=1e-9).fit(Stream(path, y, s, memory_budget="700kB"))
    memory = LogisticRegression(tol=1e-9).fit(X, y, s)
    assert streamed.converged_
    assert streamed.n_reads_ < 20
    assert abs(streamed.objective_ - memory.objective_) <= 1e-12 * memory.objective_


def test_one_block_is_as_rows_in_memory(path):
    X, y, s = rows(n=300)
    np.save(path, X)
    memory = LogisticRegression().fit(X, y, s)
    assert bits(LogisticRegression().fit(Stream(path, y, s))) == bits(memory)
    assert bits(LogisticRegression().fit(blocks_of(X, y, s, 70))) == bits(memory)


@pytest.mark.parametrize("labels", [["no", "yes"], [-1, 1], [False, True], [10, 20, 30], ["b", "a", "cc"]])
def test_labels_of_any_type(path, labels):
    X, numbers, _ = rows(len(labels))
    y = np.array(labels)[numbers]
    np.save(path, X)
    memory = LogisticRegression().fit(X, y)
    for stream in (Stream(path, y), blocks_of(X, y), blocks_of(X, y.astype(object))):
        model = LogisticRegression().fit(stream)
        np.testing.assert_array_equal(model.classes_, memory.classes_)
        np.testing.assert_array_equal(model.predict(X[:100]), memory.predict(X[:100]))


def test_a_class_that_most_blocks_do_not_have(path):
    X, y, _ = rows()
    y[:2900] = np.minimum(y[:2900], 1)
    y[2990:] = 2
    memory = LogisticRegression(tol=1e-10).fit(X, y)
    streamed = LogisticRegression(tol=1e-10).fit(blocks_of(X, y, size=100))
    assert streamed.classes_.tolist() == [0, 1, 2]
    np.testing.assert_allclose(streamed.coef_, memory.coef_, rtol=0, atol=1e-8 * np.abs(memory.coef_).max())


@pytest.mark.parametrize("n_classes", [2, 3])
def test_predictions_block_by_block(path, n_classes):
    X, y, s = rows(n_classes)
    np.save(path, X)
    model = LogisticRegression().fit(X, y)
    for stream in (Stream(path, y, s), Stream(blocks_of(X, y, s)), Stream(path, y, s, memory_budget=LOW)):
        np.testing.assert_array_equal(model.predict(stream), model.predict(X))
        np.testing.assert_allclose(model.predict_proba(stream), model.predict_proba(X), rtol=1e-12)
        np.testing.assert_allclose(model.decision_function(stream), model.decision_function(X), rtol=1e-12)
        assert model.score(stream) == pytest.approx(model.score(X, y, s), rel=1e-13)
    assert model.score(blocks_of(X, y)) == pytest.approx(model.score(X, y), rel=1e-13)
    np.testing.assert_array_equal(model.predict(X[k : k + 500] for k in range(0, N, 500)), model.predict(X))
    np.testing.assert_array_equal(model.predict(Stream(path)), model.predict(X))  # labels are not needed


def test_tables_bring_the_names_of_their_columns():
    pandas = pytest.importorskip("pandas")
    X, y, _ = rows()
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    model = LogisticRegression().fit(lambda: ((frame[k : k + 400], y[k : k + 400]) for k in range(0, N, 400)))
    assert model.feature_names_in_.tolist() == list("abcdef")
    np.testing.assert_array_equal(model.predict(frame), LogisticRegression().fit(frame, y).predict(frame))
    assert model.score(lambda: iter([(frame, y)])) == model.score(frame, y)
    with pytest.raises(DataError, match="the columns of the stream have other names, or another order"):
        model.predict(lambda: iter([frame[list("bacdef")]]))


def test_float32_rows_keep_their_dtype(path):
    X, y, _ = rows(dtype=np.float32)
    np.save(path, X)
    model = LogisticRegression().fit(Stream(path, y))
    assert model.coef_.dtype == LogisticRegression().fit(X, y).coef_.dtype == np.float32
    assert model.storage_ == "float32"


def test_a_warm_start_and_a_callback(path):
    X, y, _ = rows()
    np.save(path, X)
    stream = Stream(path, y, memory_budget=LOW)
    model = LogisticRegression(warm_start=True).fit(stream)
    assert model.fit(stream).n_reads_ <= 5
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        LogisticRegression(verbose=lambda iteration: seen.append(iteration.value)).fit(stream)
    assert len(seen) > 0


# What is refused, each in one line.


def refused(stream, message, model=None, error=DataError):
    with pytest.raises(error, match=message) as raised:
        (model or LogisticRegression()).fit(stream)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_steps_on_batches(path, tmp_path, n_classes, solver):
    X, y, s = rows(n_classes)
    X = (X - X.mean(0)) / X.std(0)
    s[::5] = 0.0
    np.save(path, X)
    how = {"solver": solver, "learning_rate": 0.01, "max_iter": 5, "fit_intercept": solver == "adam"}
    streams = Stream(path, y, s, memory_budget=LOW), Stream(path, y, s)
    models = [LogisticRegression(**how).fit(stream) for stream in streams]
    assert bits(models[0]) == bits(models[1])
    memory = LogisticRegression(**how).fit(X, y, s)
    assert models[0].n_reads_ == memory.n_reads_
    assert models[0].score(X, y) == pytest.approx(memory.score(X, y), abs=0.01)
    np.testing.assert_allclose(models[0].objective_, memory.objective_, rtol=1e-2)
    assert bits(LogisticRegression(**how, random_state=1).fit(streams[1])) != bits(models[0])
    in_order = [LogisticRegression(**how).fit(blocks_of(X, y, s, size)) for size in (700, 1000)]
    assert bits(in_order[0]) == bits(in_order[1]) != bits(models[0])
    checkpoint = tmp_path / "c"
    LogisticRegression(**how | {"max_iter": 2}).fit(streams[0], checkpoint=checkpoint)
    assert bits(LogisticRegression(**how).fit(streams[1], checkpoint=checkpoint)) == bits(models[0])


def test_what_streams_do_not_take(path):
    X, y, _ = rows()
    np.save(path, X)
    refused(Stream(path), "the stream has no labels; give them as y")
    refused(Stream(path, y[:-1]), r"y has shape \(2999,\), and .*rows.npy: has 3000 rows")
    refused(lambda: iter([X]), r"the blocks hold no labels; yield \(X, y\)")
    refused(
        Stream(path, y),
        "solver='coordinate-descent' cannot be used: it takes all rows by columns, and they are streamed",
        LogisticRegression(solver="coordinate-descent", l1_ratio=1.0),
    )
    refused(Stream(path, y), "storage='float32' is for rows in memory", LogisticRegression(storage="float32"))
    refused(
        Stream(path, y),
        "device='cuda:all' cannot be used: streamed rows are walked on the CPU or one GPU; use device='cpu'",
        LogisticRegression(device="cuda:all"),
        DeviceError,
    )
    refused(
        Stream(path, y, memory_budget="20kB"),
        r"a memory budget of 0 MB is too small: labels and weights take 0 MB, and to read 3 blocks 0 MB; give",
    )
    with pytest.raises(DataError, match="a Stream brings its own labels and weights"):
        LogisticRegression().fit(Stream(path, y), y)
    with pytest.raises(DataError, match="blocks bring their own labels and weights"):
        Stream(blocks_of(X, y), y)


def test_networks_predict_streams(path):
    X, y, _ = rows()
    np.save(path, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = MLPClassifier((3,), max_iter=2, random_state=0).fit(X, y)
    np.testing.assert_array_equal(network.predict(Stream(path)), network.predict(X))
    assert network.score(blocks_of(X, y)) == network.score(X, y)
    refused_by_network = pytest.raises(DataError, match="partial_fit goes on over rows in memory; give a stream to fit")
    with refused_by_network:
        MLPClassifier().partial_fit(Stream(path, y), None, classes=[0, 1])


def test_two_fits_of_one_stream_at_once(path):
    X, y, s = rows()
    np.save(path, X)
    stream = Stream(path, y, s, memory_budget=LOW)
    with ThreadPoolExecutor(2) as pool:
        models = list(pool.map(lambda C: LogisticRegression(C=C).fit(stream), [1.0, 0.1, 1.0, 0.1]))
    assert bits(models[0]) == bits(models[2]) == bits(LogisticRegression().fit(blocks_of(X, y, s)))


def one(*items):
    return lambda: iter(items)


GOOD = (np.ones((3, 2)), [0, 1, 0])


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (one(), "the blocks hold no rows; at least one row is required"),
        (one((np.zeros((0, 2)), [])), "the blocks hold no rows"),
        (
            one(GOOD, (np.ones((3, 3)), [0, 1, 0])),
            "block 1 has 3 columns, and those before it have 2; give",
        ),
        (one(GOOD, (np.ones((3, 2)), [0, 1])), r"block 1: y has shape \(2,\), and X has 3 rows"),
        (one(GOOD, GOOD[:1]), r"the blocks hold no labels"),
        (one((*GOOD, 1, 2)), r"block 0: holds 4 objects; yield \(X, y\) or \(X, y, sample_weight\)"),
        (one(GOOD, (*GOOD, [1, 2, 3])), "block 1 has weights, unlike those before it"),
        (one((*GOOD, [1, 2])), r"block 0: sample_weight has shape \(2,\), and X has 3 rows"),
        (one((*GOOD, [1, -2, 1])), "sample_weight holds a negative weight, -2, at row 1"),
        (one(GOOD, (sparse.csr_array(np.ones((3, 2))), [0, 1, 0])), "block 1 is sparse, and those before it are dense"),
        (one((np.ones((3, 2), np.float32), [0, 1, 0]), GOOD), "block 1 has dtype float64, which float32, that of the"),
        (one(GOOD, (np.ones((3, 2)), ["a", "b", "a"])), "block 1: y holds 'a', and blocks before it 0; give labels of"),
        (
            one(GOOD, (np.ones((3, 2)), [0, np.nan, 1])),
            "block 1: y holds a missing label, nan, at row 1",
        ),
        (one((np.ones((3, 2)), [0.5, 1.5, 0.5])), "Unknown label type: continuous"),
        (one((np.ones((3, 2)), [1, 1, 1])), "the data contains only one class: 1"),
        (one((np.array([["a", "b"]]), [1])), "block 0: "),
        (one((np.ones(3), [0, 1, 0])), "block 0: Expected 2D array, got 1D array instead"),
        (lambda: 3, "block 0 of the rows cannot be read: TypeError: 'int' object is not iterable"),
    ],
)
def test_blocks_that_cannot_be_used(blocks, message):
    with pytest.raises(ValueError, match=message) as raised:
        LogisticRegression().fit(blocks)
    assert "\n" not in str(raised.value)


def test_an_iterator_that_raises(monkeypatch):
    X, y, _ = rows()

    def broken():
        yield from blocks_of(X, y, size=1000)()
        raise OSError("the line\nis cut")

    refused(broken, r"block 3 of the rows cannot be read: OSError: the line")


def test_an_iterator_that_raises_later():
    X, y, _ = rows()
    calls = []

    def broken():
        calls.append(1)
        for k, block in enumerate(blocks_of(X, y, size=1000)()):
            if k == 1 and len(calls) == 3:
                raise OSError("the line is cut")
            yield block

    refused(Stream(broken, memory_budget="120kB"), "block 1 of the rows cannot be read: OSError: the line is cut")


def other_labels(X, y, s, calls):
    y = y.copy()
    y[1500] = 1 - y[1500]
    return X, y, s


def other_rows(X, y, s, calls):
    return X[::-1], y, s


def other_weights(X, y, s, calls):
    return X, y, s * 2


@pytest.mark.parametrize("changed", [other_labels, other_rows, other_weights])
def test_other_rows_the_second_time(changed):
    X, y, s = rows()
    calls = []

    def blocks():
        calls.append(1)
        return blocks_of(*(changed(X, y, s, calls) if len(calls) == 2 else (X, y, s)), size=1000)()

    refused(Stream(blocks, memory_budget="120kB"), r"block \d holds other rows than in the first read; give a function")


@pytest.mark.parametrize("more", [False, True])
def test_another_number_of_rows_the_second_time(more):
    X, y, _ = rows()
    calls = []

    def blocks():
        calls.append(1)
        n = N if len(calls) == 1 else 2000
        yield from blocks_of(X[:n], y[:n], size=1000)()
        if more and len(calls) == 2:
            yield from blocks_of(X, y, size=1000)()

    message = "block 2 holds other rows" if more else "the blocks end after 2000 rows, and in the first"
    refused(Stream(blocks, memory_budget="120kB"), message)


def test_a_generator_whose_rows_exceed_the_budget():
    X, y, _ = rows()
    refused(
        Stream(blocks_of(X, y)(), memory_budget="100kB"),
        "the rows are an iterator, which can be read once, and by block 2 they exceed the memory budget of 0 MB; "
        "give a function that returns a new iterator in every call",
    )


def test_an_iterator_in_place_of_a_function():
    X, y, _ = rows()
    iterator = blocks_of(X, y)()
    refused(Stream(lambda: iterator, memory_budget="120kB"), "the blocks end after 0 rows, and in the first")


@pytest.mark.parametrize("of_file", [False, True])
def test_nan_in_the_last_block(path, of_file):
    X, y, _ = rows()
    X[-2, 3] = np.nan
    np.save(path, X)
    place = "rows.npy: " if of_file else "^"
    refused(
        Stream(path, y) if of_file else blocks_of(X, y), f"{place}Input X contains NaN at row 2998, column 3; remove"
    )
    good = LogisticRegression().fit(X[:-2], y[:-2])
    with pytest.raises(DataError, match=r"rows from 2,728 on: Input X contains NaN at row 270, column 3"):
        good.predict(Stream(path))


def test_a_file_that_is_cut_while_it_is_trained_on(path):
    X, y, _ = rows()
    np.save(path, X)
    stream = Stream(path, y, memory_budget=LOW)

    def cut(iteration):
        with open(path, "r+b") as file:
            file.truncate(5000)

    refused(stream, "rows.npy: was changed while it is read", LogisticRegression(verbose=cut, tol=1e-12))


def test_arrays_of_an_archive(tmp_path):
    X, y, s = rows()
    np.savez(tmp_path / "d.npz", X=X, y=y, s=s)
    model = LogisticRegression().fit(Stream(tmp_path / "d.npz", features="X", target="y", weight="s"))
    assert bits(model) == bits(LogisticRegression().fit(blocks_of(X, y, s)))
    with pytest.raises(DataError, match="name the array of the rows"):
        Stream(tmp_path / "d.npz", target="y")
    with pytest.raises(DataError, match="has no array 'z'; it holds X, y, s"):
        Stream(tmp_path / "d.npz", features="X", target="z")


@pytest.fixture
def parquet(monkeypatch):
    monkeypatch.setattr("gpu_logreg.files.dataset_rows._COLUMN_BYTES", 0)
    return pytest.importorskip("pyarrow.parquet")


def table(X, y, s):
    import pyarrow as pa

    return pa.table({f"x{k}": X[:, k] for k in range(D)} | {"y": y, "s": s, "id": np.arange(len(y))})


@pytest.mark.parametrize("n_classes", [2, 3])
def test_parquet_files(tmp_path, parquet, n_classes):
    X, y, s = rows(n_classes)
    for k, part in enumerate((slice(0, 1500), slice(1500, N))):
        parquet.write_table(table(X[part], y[part], s[part]), tmp_path / f"part-{k}.parquet", row_group_size=400)
    names = {"target": "y", "weight": "s", "drop": ["id"]}
    memory = LogisticRegression(tol=1e-10).fit(X, y, s)
    found = set()
    for budget in (LOW, MIDDLE, "1MB"):
        stream = Stream(tmp_path, **names, memory_budget=budget)
        model = LogisticRegression(tol=1e-10).fit(stream)
        found.add(bits(model))
    assert len(found) == 1
    np.testing.assert_allclose(model.coef_, memory.coef_, rtol=0, atol=1e-8 * np.abs(memory.coef_).max())
    assert model.feature_names_in_.tolist() == [f"x{k}" for k in range(D)]
    assert stream.n_reads_ == 1.0
    np.testing.assert_array_equal(model.predict(stream), memory.predict(X))
    assert model.score(Stream(str(tmp_path / "part-*.parquet"), **names)) == pytest.approx(memory.score(X, y, s))
    np.testing.assert_array_equal(model.predict(Stream(tmp_path)), memory.predict(X))  # columns are found by name
    frame = table(X, y, s).select(["id", *(f"x{k}" for k in reversed(range(D))), "y"])
    parquet.write_table(frame, tmp_path / "other.parquet")
    np.testing.assert_array_equal(model.predict(Stream(tmp_path / "other.parquet")), memory.predict(X))
    assert model.score(Stream(tmp_path / "other.parquet", target="y")) == memory.score(X, y)
    parquet.write_table(frame.drop_columns(["x2"]), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other.parquet: has no column 'x2'"):
        model.predict(Stream(tmp_path / "other.parquet"))
    text = np.array(["a", "b", "c"])[y]
    parquet.write_table(table(X, text, s), tmp_path / "text.parquet")
    stream = Stream(tmp_path / "text.parquet", **names)
    assert bits(LogisticRegression(tol=1e-10).fit(stream)) == bits(model)
    assert stream.opened.classes.tolist() == ["a", "b", "c"][:n_classes]


def test_nan_in_a_parquet_file_is_named_with_its_file(tmp_path, parquet):
    X, y, s = rows()
    X[2900, 1] = np.nan
    for k, part in enumerate((slice(0, 1500), slice(1500, N))):
        parquet.write_table(table(X[part], y[part], s[part]), tmp_path / f"part-{k}.parquet")
    stream = Stream(tmp_path, target="y", drop=["id", "s"])
    refused(stream, r"part-1.parquet: Input X contains NaN at row 2900, column 1 \('x1'\); remove or impute it")


def test_a_parquet_file_that_is_damaged_while_it_is_trained_on(tmp_path, parquet):
    X, y, s = rows()
    for k, part in enumerate((slice(0, 1500), slice(1500, N))):
        parquet.write_table(table(X[part], y[part], s[part]), tmp_path / f"part-{k}.parquet")

    def cut(iteration):
        (tmp_path / "part-1.parquet").write_bytes(b"PAR1 and nothing more")

    stream = Stream(tmp_path, target="y", drop=["id", "s"], memory_budget="75kB")
    refused(stream, "part-1.parquet: was changed while it is read", LogisticRegression(verbose=cut, tol=1e-12))


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("rows.csv", {}, "rows.csv: no such file"),
        ("rows.npy", {"target": "y"}, "rows.npy: holds one array; give labels as y and weights as sample_weight"),
        ("rows.npy", {"drop": ["y"]}, "rows.npy: drop is for tables"),
        ("rows.parquet", {"y": [1], "target": "y"}, "target='y' and an array are given; give one of them"),
        (blocks_of, {"target": "y"}, "features, target, weight, drop and columns are of files; blocks bring rows and"),
    ],
)
def test_names_that_a_source_does_not_have(tmp_path, source, options, message):
    with pytest.raises(DataError, match=message):
        Stream(tmp_path / source if isinstance(source, str) else source, **options)


def csv_of(path, X, y, s):
    pytest.importorskip("pyarrow")
    lines = [
        ",".join([*map(repr, x.tolist()), str(label), repr(w)]) for x, label, w in zip(X, y, s.tolist(), strict=True)
    ]
    path.write_text("\n".join([",".join([*(f"x{k}" for k in range(D)), "y", "s"]), *lines]))


@pytest.mark.parametrize("labels", [[9, 10, 11], ["a", "b", "c"]])
def test_csv(tmp_path, labels):
    X, y, s = rows(3)
    y = np.array(labels)[y]
    csv_of(tmp_path / "d.csv", X, y, s)
    stream = Stream(tmp_path / "d.csv", target="y", weight="s", memory_budget="120kB")
    model = LogisticRegression().fit(stream)
    of_blocks = LogisticRegression().fit(blocks_of(X, y, s))
    assert model.classes_.tolist() == labels
    assert bits(model) == bits(of_blocks)
    assert stream.n_reads_ > 1.0
    assert model.score(stream) == pytest.approx(of_blocks.score(X, y, s))
    assert model.feature_names_in_.tolist() == [f"x{k}" for k in range(D)]


class Sliced:
    """As a data set of HDF5: no array, but slices of one."""

    def __init__(self, array, fails_at=None):
        self._array, self._fails_at = array, fails_at
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, part):
        if part.start == self._fails_at:
            raise OSError("the disk\nis gone")
        return self._array[part]


def test_arrays_that_give_slices(path):
    X, y, s = rows()
    np.save(path, X)
    expected = bits(LogisticRegression().fit(blocks_of(X, y, s)))
    for array in (Sliced(X), np.load(path, mmap_mode="r"), X):
        stream = Stream(array, y, s, memory_budget=LOW)
        assert bits(LogisticRegression().fit(stream)) == expected
        assert stream.n_reads_ > 1.0
    refused(Stream(Sliced(X, 341), y, s, memory_budget=LOW), "rows 341 to 681 cannot be read: the disk")
    with pytest.raises(DataError, match=r"the rows, a Sliced, have shape \(3000,\); rows and columns are needed"):
        Stream(Sliced(y), y)
    with pytest.raises(DataError, match="the rows, a Sliced, have dtype complex128; they must be real numbers"):
        Stream(Sliced(X + 1j), y)
    with pytest.raises(DataError, match="sparse rows are yielded in blocks"):
        Stream(sparse.csr_array(X), y)


def test_libsvm_text_gives_the_bits_of_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(libsvm_stream, "_BLOCK_BYTES", 2**12)
    rng = np.random.default_rng(0)
    X = sparse.random_array((N, 200), density=0.02, rng=rng, format="csr")
    y = (X @ rng.standard_normal(200) + rng.logistic(size=N) > 0).astype(int)
    path = tmp_path / "d.svm"
    dump_svmlight_file(X, y, str(path), zero_based=False)
    X, y = load_svmlight_file(str(path))  # its text has 16 digits
    model = LogisticRegression().fit(blocks_of(X, y))
    for budget in ("1GB", "110kB"):
        stream = Stream(path, memory_budget=budget)
        assert bits(LogisticRegression().fit(stream)) == bits(model)
        assert (stream.n_resident_ == stream.n_blocks_) == (budget == "1GB")
        assert stream.n_blocks_ > 3
    assert model.score(stream) == model.score(X, y)
    np.testing.assert_array_equal(model.predict(stream), model.predict(X))
    with pytest.raises(DataError, match="a memory budget of 0 MB is too small"):
        LogisticRegression().fit(Stream(path, memory_budget="20kB"))
    with pytest.raises(DataError, match="LIBSVM text has labels and weights of its own"):
        Stream(path, y)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("make", [LogisticRegression, lambda: MLPClassifier((4,), max_iter=40, batch_size=64)])
def test_a_table_of_text_is_predicted_by_the_columns_of_its_model(tmp_path, monkeypatch, kind, make):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("gpu_logreg.files.csv_blocks._BLOCK_BYTES", 2**13)
    rng = np.random.default_rng(0)
    town = rng.choice(["Bern", "Rome", "Oslo"], N)
    x = rng.integers(0, 9, N)
    y = np.where((town == "Rome") + x / 9 + rng.logistic(size=N) / 3 > 1, "yes", "no")
    text = np.where(rng.random(N) < 0.1, "", x.astype(str))

    def written(name, part, x):
        table = pa.table({"town": town[part], "x": x[part], "y": y[part]})
        if kind == "parquet":
            column = pa.array([None if cell == "" else float(cell) for cell in x[part]])
            pq.write_table(table.set_column(1, "x", column), tmp_path / f"{name}.parquet", row_group_size=500)
        else:
            lines = [",".join(row) for row in zip(town[part], x[part], y[part], strict=True)]
            (tmp_path / f"{name}.csv").write_text("\n".join(["town,x,y", *lines]))
        return tmp_path / f"{name}.{kind}"

    path = written("train", slice(0, N), text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make().fit(Stream(path, target="y", memory_budget="80kB"))
    names = ["x", "x is missing", "town=Bern", "town=Oslo", "town=Rome"]
    assert model.feature_names_in_.tolist() == names
    assert model.score(Stream(path, target="y")) > 0.7
    other = text.copy()
    other[2500:2600] = "12"
    new = written("new", np.flatnonzero(town == "Rome"), other)
    stream = Stream(new, target="y", columns=model.table_columns_)
    assert stream.names == tuple(names)
    assert model.predict(stream).shape == ((town == "Rome").sum(),)
    assert model.score(stream) > 0.5
    with pytest.raises(DataError, match="X has 3 features"):
        model.predict(Stream(new, target="y"))
    again = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        again.fit(Stream(path, target="y", columns=model.table_columns_))
        assert again.table_columns_ == model.table_columns_
        again.fit(rng.random((100, 2)), x[:100] % 2)
    assert not hasattr(again, "table_columns_")
    with pytest.raises(DataError, match="'town' is a column that the model reads, so it cannot hold labels"):
        Stream(written("train", slice(0, 9), text), target="town", columns=model.table_columns_)
