"""Networks on the workers of a cluster: their batches, which are those of rows in memory where they are all rows."""

import itertools
import pickle

import numpy as np
import pytest
from scipy import sparse

import gpu_logreg
from gpu_logreg.errors import CheckpointError, DataError

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")

import dask
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.dask import MLPClassifier
from gpu_logreg.estimators.distributed.scaling import scaling_of

N, D = 600, 4
EDGES = (0, 150, 151, 400, 600)


def rows(n_classes=2, n=N):
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((n, D))
    logits = np.tanh(X) @ rng.standard_normal((D, n_classes)) + 0.3 * rng.gumbel(size=(n, n_classes))
    return X, np.argmax(logits, axis=1), rng.exponential(size=n) + 0.1


def blocks(X, y, s=None, edges=EDGES):
    some = (X, y) if s is None else (X, y, s)
    return [dask.delayed(tuple(one[a:b] for one in some)) for a, b in itertools.pairwise(edges)]


def same(model, local, atol=1e-9):
    for mine, its in zip([*model.coefs_, *model.intercepts_], [*local.coefs_, *local.intercepts_], strict=True):
        np.testing.assert_allclose(mine, its, rtol=0, atol=atol)
        assert mine.dtype == its.dtype
    assert (model.n_iter_, model.n_outputs_, model.out_activation_) == (
        local.n_iter_,
        local.n_outputs_,
        local.out_activation_,
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("solver", "n_classes", "weighted"),
    [
        ("lbfgs", 3, True),
        ("gradient-descent", 2, False),
        ("adam", 2, True),
        ("sgd", 3, False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("lbfgs", 2, False), ("adam", 3, False), ("sgd", 2, True)]
        ),
    ],
)
def test_steps_over_all_rows_are_those_of_rows_in_memory(client, solver, n_classes, weighted):
    """A batch of all rows is the same rows, whatever their order."""
    X, y, s = rows(n_classes)
    s = s if weighted else None
    parameters = {"hidden_layer_sizes": (5,), "activation": "tanh", "solver": solver, "batch_size": N}
    parameters |= {"max_iter": 8, "random_state": 3, "learning_rate_init": 0.05}
    model = MLPClassifier(client=client, **parameters).fit(blocks(X, y, s))
    local = gpu_logreg.MLPClassifier(**parameters).fit(X, y, s)
    same(model, local)
    np.testing.assert_allclose(model.loss_curve_, local.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(model.predict_proba(X), local.predict_proba(X), atol=1e-8)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_batch_holds_its_share_of_every_partition_once_an_epoch(client):
    """Rows are the unit vectors, and one step of gradient descent from zero weights tells which were in the batch."""
    n = 40
    X, y = np.eye(n), np.arange(n) % 2
    edges = (0, 5, 20, 40)
    parameters = {"hidden_layer_sizes": (), "solver": "sgd", "momentum": 0.0, "alpha": 0.0, "batch_size": 10}
    parameters |= {"max_iter": 1, "learning_rate_init": 1e-6, "init": "normal"}
    model = MLPClassifier(client=client, **parameters).fit(blocks(X, y, None, edges))
    other = MLPClassifier(client=client, **(parameters | {"batch_size": n})).fit(blocks(X, y, None, edges))
    # every row was in one batch of about a fourth of the rows: its weight moved by 1 / (rows of the batch)
    moved = np.abs(model.coefs_[0] - other.coefs_[0])[:, 0] / 1e-6 * 2
    sizes = 1.0 / (moved + 1.0 / n)
    assert model.t_ == n
    assert set(np.rint(sizes)) <= {8.0, 9.0, 10.0, 11.0, 12.0}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_steps_learn_and_bits_are_those_of_a_repeated_fit(client):
    X, y, s = rows(3, 3000)
    edges = (0, 1000, 1100, 3000)
    parameters = {"hidden_layer_sizes": (8,), "batch_size": 750, "max_iter": 6, "learning_rate_init": 0.05}
    model = MLPClassifier(client=client, random_state=0, **parameters).fit(blocks(X, y, s, edges))
    again = MLPClassifier(client=client, random_state=0, **parameters).fit(blocks(X, y, s, edges))
    assert pickle.dumps(model.coefs_) == pickle.dumps(again.coefs_)
    local = gpu_logreg.MLPClassifier(random_state=0, **parameters).fit(X, y, s)
    assert abs(model.score(blocks(X, y, s, edges)) - local.score(X, y, s)) < 0.03
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]
    assert "in 3 parts" in model.impl_reason_
    copy = model.to_local()
    assert type(copy) is gpu_logreg.MLPClassifier
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    assert clone(model).client is client


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_held_back(client):
    X, y, _ = rows(2, 2000)
    edges = (0, 900, 910, 2000)
    parameters = {"hidden_layer_sizes": (8,), "early_stopping": True, "validation_fraction": 0.25, "max_iter": 6}
    model = MLPClassifier(client=client, random_state=0, learning_rate_init=0.05, batch_size=500, **parameters)
    model.fit(blocks(X, y, None, edges))
    assert abs(model.t_ / model.n_iter_ - 1500) <= 3
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ > 0.8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_a_checkpoint_goes_on_to_the_same_bits(client, tmp_path, solver):
    X, y, s = rows()
    parameters = {"hidden_layer_sizes": (4,), "solver": solver, "batch_size": 200, "client": client, "random_state": 1}
    whole = MLPClassifier(max_iter=5, **parameters).fit(blocks(X, y, s))
    stopped = MLPClassifier(max_iter=5, verbose=lambda it: it.n_iter == 3, **parameters)
    path = gpu_logreg.Checkpoint(tmp_path / "fit", every=0.0)
    stopped.fit(blocks(X, y, s), checkpoint=path)
    rest = MLPClassifier(max_iter=5, **parameters).fit(blocks(X, y, s), checkpoint=path)
    assert pickle.dumps(rest.coefs_) == pickle.dumps(whole.coefs_)
    with pytest.raises(CheckpointError, match="is of other data"):
        MLPClassifier(max_iter=5, **parameters).fit(blocks(X + 1.0, y, s), checkpoint=path)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_rows_a_warm_start_and_lazy_answers(client):
    X, y, _ = rows(3)
    S = sparse.csr_matrix(np.where(np.abs(X) > 0.7, X, 0.0))
    parameters = {"hidden_layer_sizes": (4,), "solver": "lbfgs", "max_iter": 20, "warm_start": True}
    model = MLPClassifier(client=client, **parameters).fit(blocks(S, y))
    local = gpu_logreg.MLPClassifier(**parameters).fit(S, y)
    same(model, local)
    assert model.fit(blocks(S, y)).loss_curve_[0] == pytest.approx(local.loss_, rel=1e-9)
    da = pytest.importorskip("dask.array")
    answer = model.predict_proba(da.from_array(X, chunks=(200, 2)))
    np.testing.assert_allclose(client.compute(answer).result(), model.to_local().predict_proba(X), atol=1e-12)


def test_columns_are_scaled_by_the_rows_of_all_blocks(client):
    """A block may have none, as where its rows are held back to test on."""
    X, y, _ = rows(2)
    found = scaling_of(client, blocks(X, y, None, (0, 0, 100, 600)))
    np.testing.assert_allclose(found.centre, X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.scale, X.std(axis=0), rtol=1e-12)
    with pytest.raises(DataError, match=r"^no rows are left to train on$"):
        scaling_of(client, blocks(X[:0], y[:0], None, (0, 0)))


def test_refusals(client):
    X, y, s = rows()

    def refused(message, *given, **parameters):
        with pytest.raises(DataError, match=message) as caught:
            MLPClassifier((3,), client=client, **parameters).fit(*given)
        assert "\n" not in str(caught.value)

    refused("^partition 0: y should be a 1d array", [dask.delayed((X, np.stack([y, y], axis=1)))])
    bad = X.copy()
    bad[-1, 2] = np.nan
    refused("^partition 3: Input X contains NaN at row 199, column 2", blocks(bad, y))
    bad[-1, 2] = 1e200
    refused("^partition 3: Input X holds 1e.200 at row 199, column 2", blocks(bad, y))
    refused("^impl='cpu' is for rows in memory", blocks(X, y), impl="cpu")
    refused(
        "too few to stop by", blocks(X[:12], y[:12], None, (0, 6, 12)), early_stopping=True, validation_fraction=0.01
    )
    with pytest.raises(DataError, match=r"^partial_fit takes rows in memory"):
        MLPClassifier(client=client).partial_fit(X, y, [0, 1])
    with pytest.warns(ConvergenceWarning), pytest.warns(UserWarning, match="is clipped to 600"):
        MLPClassifier((3,), client=client, batch_size=5000, max_iter=1).fit(blocks(X, y, s))
