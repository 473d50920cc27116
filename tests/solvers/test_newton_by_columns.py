"""L1 and elastic net by columns: the minimum is that of the other solver, and of the conditions themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from gpu_logreg import LogisticRegression, logistic_path
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation import penalty_path
from gpu_logreg.estimators.linear import by_columns as fits
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import costs, model_by_columns, newton_by_columns


def text(n=300, d=150, classes=2, density=0.1, seed=0):
    """Positive elements, as counts are: without an intercept all columns are correlated."""
    rng = np.random.default_rng(seed)
    X = sparse.random(n, d, density, format="csr", random_state=rng)
    W = rng.standard_normal((d, classes)) * (rng.random((d, 1)) < 0.2) * 4.0
    return X, (X @ W + rng.gumbel(size=(n, classes))).argmax(axis=1)


def model(C=2.0, **parameters):
    return LogisticRegression(**({"C": C, "l1_ratio": 1.0, "solver": "coordinate-descent", "impl": "cpu"} | parameters))


def excess(fitted, X, y, s=None):
    """Largest subgradient relative to the L1 strength, from dense rows in the obvious way."""
    s = np.ones(len(y)) if s is None else s
    W, b = np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_)
    z = X @ W.T + b
    if len(W) == 1:
        dz = expit(z) - (y == fitted.classes_[1])[:, None]
    else:
        p = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
        dz = p - (y[:, None] == fitted.classes_)
    dz = s[:, None] * dz
    r, C = fitted.l1_ratio, fitted.C
    grad = C * (X.T @ dz).T + (1.0 - r) * W
    v = np.where(W != 0.0, grad + r * np.sign(W), np.sign(grad) * np.maximum(np.abs(grad) - r, 0.0))
    largest = np.abs(v).max()
    return max(largest, C * np.abs(dz.sum(axis=0)).max()) if fitted.fit_intercept else largest


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [0.3, 30.0])
def test_the_minimum_is_that_of_the_other_solver(classes, l1_ratio, fit_intercept, C):
    X, y = text(classes=classes)
    s = np.random.default_rng(2).exponential(size=len(y))
    s[3] = 0.0
    ours = model(C, l1_ratio=l1_ratio, fit_intercept=fit_intercept).fit(X, y, s)
    assert ours.converged_
    other = model(C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, solver="proximal", tol=1e-9).fit(X, y, s)
    np.testing.assert_allclose(ours.objective_, other.objective_, rtol=1e-9)
    assert excess(ours, X.toarray(), y, s) <= 0.02
    tight = model(C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, tol=1e-9).fit(X, y, s)
    np.testing.assert_allclose(tight.coef_, other.coef_, atol=1e-4)
    np.testing.assert_allclose(tight.objective_, other.objective_, rtol=1e-11)
    assert 0 < np.count_nonzero(tight.coef_) < tight.coef_.size


def test_against_liblinear():
    X, y = text(400, 600)
    ours = model(10.0, fit_intercept=False).fit(X, y)
    theirs = SklearnLogisticRegression(
        C=10.0, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-10, max_iter=10_000, random_state=0
    ).fit(X, y)

    def value(w):
        return 10.0 * np.logaddexp(0.0, -np.where(y > 0, 1.0, -1.0) * (X @ w)).sum() + np.abs(w).sum()

    assert value(ours.coef_[0]) <= value(theirs.coef_[0]) * (1.0 + 1e-8)
    assert value(ours.coef_[0]) <= value(theirs.coef_[0]) + 10.0 * len(y) * ours.duality_gap_


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(4, 40),
    d=st.integers(1, 30),
    classes=st.sampled_from([2, 3]),
    l1_ratio=st.sampled_from([1.0, 0.3]),
    C=st.floats(1e-3, 1e3),
    fit_intercept=st.booleans(),
)
def test_the_conditions_of_the_minimum_hold(seed, n, d, classes, l1_ratio, C, fit_intercept):
    rng = np.random.default_rng(seed)
    X = sparse.random(n, d, rng.random(), format="csr", random_state=rng, data_rvs=rng.standard_normal)
    X.data *= 10.0 ** rng.uniform(-1.0, 1.0)
    C = C if classes == 2 else min(C, 10.0)  # of more classes weak penalties take cycles alone hundreds of iterations
    y = rng.permutation(np.arange(n) % classes)
    fitted = model(C, l1_ratio=l1_ratio, fit_intercept=fit_intercept).fit(X, y)
    assert fitted.converged_
    assert excess(fitted, X.toarray(), y) <= 0.02
    assert fitted.duality_gap_ >= 0.0


@pytest.mark.parametrize("systems", ["in memory", "by products", "none"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_every_way_to_solve_a_model_ends_at_the_same_minimum(monkeypatch, systems, fit_intercept):
    X, y = text(200, 300, density=0.3)
    expected = model(50.0, fit_intercept=fit_intercept, solver="proximal", tol=1e-9).fit(X, y).objective_
    calls = {"product": 0, "hessian": 0}
    if systems == "in memory":
        monkeypatch.setattr(model_by_columns, "PER_PRODUCT", 1e9)
    elif systems == "by products":
        monkeypatch.setattr(model_by_columns, "LARGEST_SYSTEM", 0)
    else:
        monkeypatch.setattr(model_by_columns, "CYCLES_FIRST", 10**9)
    for name in calls:
        method = getattr(fits_columns(), name)

        def counted(self, *arguments, name=name, method=method):
            calls[name] += 1
            return method(self, *arguments)

        monkeypatch.setattr(fits_columns(), name, counted)
    fitted = model(50.0, fit_intercept=fit_intercept).fit(X, y)
    assert fitted.converged_
    np.testing.assert_allclose(fitted.objective_, expected, rtol=1e-9)
    assert (calls["hessian"] > 0, calls["product"] > 0) == (systems == "in memory", systems == "by products")


def fits_columns():
    from gpu_logreg.passes.cpu.columns import CpuColumns

    return CpuColumns


def test_separable_classes_have_a_minimum_with_a_penalty():
    X, y = text(80, 400)
    fitted = model(1e5).fit(X, y)
    assert fitted.converged_
    assert fitted.score(X, y) == 1.0
    assert excess(fitted, X.toarray(), y) <= 0.02


def test_columns_of_zeros_stored_zeros_and_elements_out_of_order():
    X, y = text(100, 40)
    plain = model().fit(X, y)
    wide = sparse.hstack([X, sparse.csr_array((100, 2))], format="csr")
    wide.data[:] = X.data
    reverse = wide.copy()
    for i in range(100):
        part = slice(wide.indptr[i], wide.indptr[i + 1])
        reverse.indices[part], reverse.data[part] = wide.indices[part][::-1], wide.data[part][::-1]
    reverse.has_sorted_indices = False
    stored = wide.tocoo()
    stored = sparse.csr_array(
        (np.append(stored.data, 0.0), (np.append(stored.row, 5), np.append(stored.col, 41))), shape=wide.shape
    )
    for rows in (wide, reverse, stored):
        fitted = model().fit(rows, y)
        np.testing.assert_array_equal(fitted.coef_[0, :40], plain.coef_[0])
        assert not fitted.coef_[0, 40:].any()


def test_equal_columns_share_what_one_has():
    X, y = text(200, 30)
    twice = sparse.hstack([X, X], format="csr")
    one, two = (model(20.0, tol=1e-9).fit(rows, y) for rows in (X, twice))
    assert two.converged_
    np.testing.assert_allclose(two.objective_, one.objective_, rtol=1e-10)
    np.testing.assert_allclose(two.coef_[0, :30] + two.coef_[0, 30:], one.coef_[0], atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_columns_in_mixed_units_and_far_from_zero(classes):
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.standard_normal((300, 8)) * 10.0 ** np.arange(-4, 4) + 3.0 * 10.0 ** np.arange(-4, 4))
    W = rng.standard_normal((8, classes)) / 10.0 ** np.arange(-4, 4)[:, None]
    y = (X @ W + rng.gumbel(size=(300, classes))).argmax(axis=1)
    ours, other = (model(5.0, solver=solver, tol=1e-9).fit(X, y) for solver in ("coordinate-descent", "proximal"))
    assert ours.converged_
    np.testing.assert_allclose(ours.objective_, other.objective_, rtol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_are_repetitions(classes):
    X, y = text(120, 60, classes)
    counts = np.random.default_rng(1).integers(0, 3, len(y))
    weighted = model(tol=1e-9).fit(X, y, counts)
    repeated = model(tol=1e-9).fit(sparse.csr_matrix(X)[np.repeat(np.arange(len(y)), counts)], np.repeat(y, counts))
    np.testing.assert_allclose(weighted.objective_, repeated.objective_, rtol=1e-11)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)


def test_class_weights_and_float32_rows():
    X, y = text()
    heavy = model(class_weight={0: 1.0, 1: 5.0}).fit(X, y)
    same = model().fit(X, y, np.where(y == 1, 5.0, 1.0))
    np.testing.assert_array_equal(heavy.coef_, same.coef_)
    narrow = model().fit(X.astype(np.float32), y)
    assert narrow.coef_.dtype == np.float32
    np.testing.assert_allclose(narrow.objective_, model().fit(X, y).objective_, rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_where_no_weight_enters_the_fit_says_from_which_strength_one_does(classes):
    X, y = text(classes=classes)
    none = model(1e-4).fit(X, y)
    assert none.converged_
    assert not none.coef_.any()
    assert none.n_iter_[0] == 0
    said = none.stop_reason_.split("all weights are zero: one enters above C = ")
    assert len(said) == 2
    enters = float(said[1])
    assert not model(0.99 * enters).fit(X, y).coef_.any()
    some = model(1.01 * enters).fit(X, y)
    assert some.coef_.any()
    assert "all weights are zero" not in some.stop_reason_
    assert f"C = {enters:.3g}" in model(1e-4, solver="proximal").fit(X, y).stop_reason_


def test_a_warm_start_is_near():
    X, y = text(400, 300)
    cold = model(10.0).fit(X, y)
    warm = model(8.0, warm_start=True).fit(X, y)
    warm.set_params(C=10.0).fit(X, y)
    np.testing.assert_allclose(warm.objective_, cold.objective_, rtol=1e-9)
    assert warm.n_iter_[0] < cold.n_iter_[0]
    again = model(10.0, warm_start=True).fit(X, y)
    again.fit(X, y)
    assert again.n_iter_[0] <= 2


def test_max_iter_is_kept_and_said():
    X, y = text()
    for max_iter in (0, 1, 2):
        fitted = model(30.0, max_iter=max_iter)
        with pytest.warns(ConvergenceWarning, match=rf"max_iter = {max_iter} reached"):
            fitted.fit(X, y)
        assert fitted.n_iter_[0] == max_iter
        assert not fitted.converged_


def test_an_observer_sees_every_iteration_and_stops_the_fit():
    X, y = text()
    seen = []
    fitted = model(30.0, verbose=seen.append).fit(X, y)
    assert [it.n_iter for it in seen] == list(range(1, fitted.n_iter_[0] + 1))
    assert [it.last for it in seen] == [False] * (len(seen) - 1) + [True]
    np.testing.assert_array_equal([it.value for it in seen], fitted.loss_curve_[1:])
    assert (np.diff(fitted.loss_curve_) <= 0.0).all()
    stopped = model(30.0, verbose=lambda it: it.n_iter == 2).fit(X, y)
    assert stopped.stop_reason_ == "stopped by a callback"
    assert stopped.n_iter_[0] == 2


def test_the_same_bits_twice():
    X, y = text(classes=3)
    first, second = (model(30.0).fit(X, y) for _ in range(2))
    assert first.coef_.tobytes() == second.coef_.tobytes()
    assert first.n_reads_ == second.n_reads_


def test_reads_count_walks_over_elements():
    X, y = text()
    none = model(1e-4).fit(X, y)
    assert none.n_reads_ == 2.0  # the gradient, and the moments of the columns for the certificate
    assert model(30.0).fit(X, y).n_reads_ > 10.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named(bad):
    X, y = text()
    X = sparse.csr_matrix(X)
    X.data[7] = bad
    with pytest.raises(DataError, match=r"Input X contains"):
        model().fit(X, y)


def test_sums_that_overflow_are_refused():
    X, y = text()
    with pytest.raises(DataError, match="sums over X overflow"):
        model().fit(X * 1e300, y)


@pytest.mark.parametrize(
    ("rows", "parameters", "reason"),
    [
        ("dense", {}, "it takes sparse rows, and the pass 'cpu' has no code for these"),
        ("sparse", {"impl": "reference"}, "it takes sparse rows, and the pass 'reference' has no code for these"),
        ("sparse", {"l1_ratio": 0.0}, "it needs an L1 penalty: l1_ratio above 0 and a finite C"),
    ],
)
def test_what_it_cannot_take_is_refused(rows, parameters, reason):
    X, y = text()
    with pytest.raises(DataError) as refused:
        model(**parameters).fit(X.toarray() if rows == "dense" else X, y)
    assert str(refused.value) == f"solver='coordinate-descent' cannot be used: {reason}; use solver='auto'"


def test_few_elements_go_by_columns_too_where_that_is_asked_for():
    X, y = text(60, 20)
    asked = LogisticRegression(l1_ratio=1.0, solver="coordinate-descent").fit(X, y)
    assert (asked.solver_, asked.impl_) == ("coordinate-descent", "cpu")
    np.testing.assert_allclose(asked.objective_, LogisticRegression(l1_ratio=1.0, tol=1e-9).fit(X, y).objective_, 1e-9)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.96])
def test_cycles_of_classes_end_by_the_rate_of_two_at_least(rate):
    class Slow:  # as columns that are nearly equal: each cycle lowers the model by less than is looked for
        decrease, n = 0.0, 0

        def cycle(self, margin):
            last = 1e-3 * rate**self.n
            self.decrease, self.n = self.decrease + last, self.n + 1
            return last

    model, enough = Slow(), 2e-3
    assert model_by_columns._cycle_by_class(model, 0.0, enough)
    left = 1e-3 * rate**model.n / (1.0 - rate)
    assert left <= enough
    assert (rate == 0.5) == (model.n == 2)


def test_a_small_first_cycle_does_not_hide_a_flat_direction():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 4))
    X[:, 1] = X[:, 0] + 1e-3 * rng.standard_normal(80)
    y = (X[:, 0] + rng.logistic(size=80) > 0).astype(np.uint8)
    data = ResidentDataset.from_arrays(sparse.csr_array(X), y, None, Device("cpu"), encoded=True)
    engine, l1 = choose("cpu", data.rows, Device("cpu"), loss_of_classes(2)), 1e-4
    columns = engine.by_columns(data, True, lambda share: None)
    least = newton_by_columns.newton_by_columns(columns, np.zeros(5), (1, 4), l1=l1, tol=1e-12)
    w, b = least.params[None, :4], least.params[4:]
    moved = w + 3.0 * np.array([[1.0, -1.0, 0.0, 0.0]])  # the logits hardly notice
    above = columns.place(moved, b) + l1 * np.abs(moved).sum() - least.value
    grad, _ = columns.gradient()
    found = model_by_columns.minimum_of_model(columns, moved, grad, (l1, 0.0), 0.3, 0.01 * above)
    assert found.is_enough
    assert found.decrease > 0.6 * above > 0.0


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_it_ends_where_rounding_hides_what_remains(classes):
    X, y = text(200, 4, classes, density=0.5)
    fitted = model(C=1.0, tol=1e-10).fit(X, y, np.full(len(y), 1e15))  # l1 / 100 is below the rounding of a gradient
    assert fitted.converged_
    assert fitted.n_iter_[0] < 100
    plain = model(C=np.inf, l1_ratio=0.0, solver="auto", tol=1e-10).fit(X, y)
    np.testing.assert_allclose(fitted.predict_proba(X), plain.predict_proba(X), atol=1e-7)


def test_it_is_taken_for_many_columns_where_its_copies_fit(monkeypatch):
    X, y = text(60, 2500, density=0.02)
    auto = LogisticRegression(l1_ratio=1.0).fit(X, y)
    assert (auto.solver_, auto.impl_) == ("coordinate-descent", "cpu")
    monkeypatch.setattr(fits, "free_memory", lambda: 1000)
    other = LogisticRegression(l1_ratio=1.0).fit(X, y)
    assert other.solver_ == "proximal"
    assert (
        "not 'coordinate-descent': copies of X by columns take 0.0 GiB, and 0.0 GiB are avail" in other.solver_reason_
    )
    np.testing.assert_allclose(other.objective_, auto.objective_, rtol=1e-7)
    with pytest.raises(DataError, match="copies of X by columns take"):
        model().fit(X, y)


def test_it_is_taken_for_few_elements_of_two_classes_too(monkeypatch):
    X, y = text(400, 60, density=0.2)
    auto = LogisticRegression(l1_ratio=1.0).fit(X, y)
    assert (auto.solver_, auto.impl_) == ("coordinate-descent", "cpu")
    by_hessians = LogisticRegression(l1_ratio=1.0, solver="proximal").fit(X, y)
    np.testing.assert_allclose(auto.objective_, by_hessians.objective_, rtol=1e-9)
    assert LogisticRegression(l1_ratio=1.0).fit(X[:, :40], y).solver_ == "proximal"  # few columns
    assert LogisticRegression(l1_ratio=1.0).fit(X.toarray(), y).solver_ == "proximal"
    assert LogisticRegression(l1_ratio=1.0).fit(X, np.arange(400) % 3).solver_ == "proximal"
    with_factors = LogisticRegression(l1_ratio=1.0, penalty_factor=np.linspace(0.5, 2.0, 60)).fit(X, y)
    assert with_factors.solver_ == "proximal"
    assert "coordinate-descent" not in with_factors.solver_reason_
    assert LogisticRegression(l1_ratio=1.0, positive=True).fit(X, y).impl_ == "reference"  # no columns are needed
    monkeypatch.setattr(costs, "COLUMNS_ELEMENTS", -(10**6))
    assert LogisticRegression(l1_ratio=1.0).fit(X, y).solver_ == "proximal"


def test_fits_of_a_path_go_by_columns_where_elements_are_fewer(monkeypatch):
    two, three = (loss_of_classes(K).hessian_form(n) for K, n in ((2, 101), (3, 303)))
    assert costs.columns_pay(100_000, two)
    assert not costs.columns_pay(101_100, two)
    assert costs.columns_pay(20_000, two, in_path=True)
    assert not costs.columns_pay(20_300, two, in_path=True)
    assert not costs.columns_pay(10, three)
    paths, by_columns = [], penalty_path.path_by_columns
    monkeypatch.setattr(penalty_path, "path_by_columns", lambda *at, **how: paths.append(at) or by_columns(*at, **how))
    X, y = text(2000, 120, density=0.3)
    assert LogisticRegression(l1_ratio=1.0).fit(X, y).solver_ == "coordinate-descent"
    logistic_path(X, y, [0.1, 1.0], l1_ratio=1.0)
    assert not paths
    logistic_path(X[:300], y[:300], [0.1, 1.0], l1_ratio=1.0)
    assert len(paths) == 1


@pytest.mark.parametrize("classes", [2, 3])
def test_a_path_is_a_fit_for_every_strength(classes):
    X, y = text(classes=classes)
    loss, n = loss_of_classes(classes), len(y)
    data = ResidentDataset.from_arrays(
        sparse.csr_array(X), y.astype(loss.label_dtype), None, Device("cpu"), encoded=True
    )
    objective = Objective(data, choose("cpu", data.rows, Device("cpu"), loss), 0.0, True)
    Cs = [0.1, 1.0, 10.0]
    found = fits.path_by_columns(
        objective, np.zeros(objective.n_params), [(0.7 / (C * n), 0.3 / (C * n)) for C in Cs], tol=1e-6, max_iter=100
    )
    for C, result in zip(Cs, found, strict=True):
        fitted = model(C, l1_ratio=0.7).fit(X, y)
        assert result.converged
        np.testing.assert_allclose(result.value, fitted.objective_, rtol=1e-9)
    assert objective.reads.total > 0.0


def test_a_step_that_does_not_lower_the_value_is_cut():
    """A start from which full steps overshoot: rows far on their wrong side, where the curvature is next to nothing."""
    X, y = text(200, 50)
    columns = fits_columns()(_rows(X, y), loss_of_classes(2), 200.0, True, lambda share: None)
    start = np.append(np.full(50, -40.0), 5.0)
    steps = []
    result = newton_by_columns.newton_by_columns(
        columns, start, (1, 50), l1=1e-3, observer=lambda it: steps.append(it.step)
    )
    assert result.converged
    assert min(steps) < 1.0
    np.testing.assert_allclose(result.value, model(1.0 / (1e-3 * 200)).fit(X, y).objective_, rtol=1e-8)


def _rows(X, y):
    from gpu_logreg.rows.block import Rows

    return Rows(sparse.csr_array(X), y, None)


class States:
    """Keeps the state of every iteration; the first is where a fit goes on from."""

    def __init__(self, first=None):
        self.first, self.kept = first, []

    def last(self):
        return self.first

    def keep(self, make):
        self.kept.append({name: np.array(array) for name, array in make().items()})


def test_a_fit_goes_on_from_every_state_to_the_same_bits():
    """Copies of columns serve the systems of several models: those of the state are copied again."""
    X, y = text(400, 500, density=0.2)
    data = ResidentDataset.from_arrays(sparse.csr_array(X), y, None, Device("cpu"))
    loss = loss_of_classes(2)

    def fit(states):
        objective = Objective(data, choose("cpu", data.rows, Device("cpu"), loss), 0.0, True, 1e-4)
        return fits.by_columns(objective, np.zeros(501), saved=states, tol=1e-6, max_iter=1000, observer=None)

    states = States()
    whole = fit(states)
    assert whole.converged
    sizes = [len(state["taken"]) for state in states.kept]
    assert sizes[0] == 0 < sizes[-1]
    assert len(set(sizes)) < len(sizes)  # some served again
    for state in states.kept[1:]:
        later = fit(States(state))
        assert later.params.tobytes() == whole.params.tobytes()
        assert (later.n_iter, later.loss_curve, later.message) == (whole.n_iter, whole.loss_curve, whole.message)
