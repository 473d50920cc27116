"""Many classes: passes against the plain formulas, gradients and Hessians by differences, scikit-learn's objective."""

from __future__ import annotations

import warnings

import fake_cupy
import kernel_host
import numpy as np
import pytest
from central_differences import gradient
from real_data import real_data
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as ScikitLearn

import gpu_logreg.mathematics.losses as losses_module
from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError, ImplementationError
from gpu_logreg.estimators.labels import encode_labels
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu.classes import cpu_multinomial_pass
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.sampling import draw
from gpu_logreg.solvers.kronecker import KroneckerFactor

CPU = Device("cpu")


def problem(n: int = 400, d: int = 5, K: int = 4, seed: int = 0, dtype: str = "float64"):
    """Rows in columns of several scales, labels that depend on them, weights of which some are zero."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.geomspace(0.1, 10.0, d) + 1.0
    W = rng.standard_normal((K, d)) / np.geomspace(0.1, 10.0, d)
    y = (X @ W.T + rng.gumbel(size=(n, K))).argmax(axis=1)
    y[:K] = np.arange(K)
    s = rng.exponential(size=n) * (rng.random(n) < 0.8)
    s[:K] = 1.0
    return X.astype(dtype), y, s


def naive(X, y, s, W, b):
    """Loss and gradient sums in extended precision, row by row as in a textbook."""
    x, W, b = X.astype(np.longdouble), W.astype(np.longdouble), b.astype(np.longdouble)
    s = np.ones(len(x)) if s is None else s
    loss, dW, db = np.longdouble(0), np.zeros_like(W), np.zeros_like(b)
    for row, label, weight in zip(x, y, s, strict=True):
        z = W @ row + b
        e = np.exp(z - z.max())
        p = e / e.sum()
        loss += weight * (np.log(e.sum()) + z.max() - z[label])
        dz = weight * (p - (np.arange(len(p)) == label))
        dW += dz[:, None] * row
        db += dz
    return float(loss), dW.astype(np.float64), db.astype(np.float64)


@pytest.mark.parametrize("run", [reference_multinomial_pass, cpu_multinomial_pass])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [4, 31, 255, 256, 257, 600])
def test_sums_are_those_of_the_textbook(run, dtype, weighted, n):
    X, y, s = problem(n, dtype=dtype)
    rng = np.random.default_rng(n)
    W, b = rng.standard_normal((4, 5)), rng.standard_normal(4)
    s = s if weighted else None
    loss, dW, db = naive(X, y, s, W.astype(dtype), b)
    sums = run(Rows(X, y.astype(np.int32), s), W, b)
    tolerance = {"float32": 3e-5, "float64": 1e-12}[dtype]
    assert sums.loss_sum == pytest.approx(loss, rel=tolerance)
    np.testing.assert_allclose(sums.dw_sum, dW, rtol=tolerance, atol=tolerance * np.abs(dW).max())
    np.testing.assert_allclose(sums.db_sum, db, rtol=tolerance, atol=tolerance * np.abs(db).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_confident_row_keeps_the_digits_of_its_loss_and_gradient(dtype):
    X = np.array([[1.0], [1.0], [1.0]], dtype)
    W, b = np.array([[40.0], [20.0], [0.0]]), np.zeros(3)
    rows = Rows(X, np.array([0, 0, 0], np.int32), None)
    for run in (reference_multinomial_pass, cpu_multinomial_pass):
        sums = run(rows, W, b)
        eps = 50 * float(np.finfo(dtype).eps)
        assert sums.loss_sum == pytest.approx(3 * np.log1p(np.exp(-20.0) + np.exp(-40.0)), rel=eps)
        np.testing.assert_allclose(sums.db_sum[:2], [-3 * np.exp(-20.0), 3 * np.exp(-20.0)], rtol=max(eps, 1e-7))


@pytest.mark.parametrize("run", [reference_multinomial_pass, cpu_multinomial_pass])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_reaches_the_sums(run, bad):
    X, y, _ = problem(300)
    X[299, 2] = bad
    with np.errstate(invalid="ignore"):
        sums = run(Rows(X, y.astype(np.int32), None), np.ones((4, 5)), np.zeros(4))
    assert not np.isfinite(sums.dw_sum).all()


def objective_of(X, y, s, fit_intercept: bool = True, impl: str = "reference", l2: float = 0.03):
    dataset = ResidentDataset.from_arrays(X, y.astype(np.int32), s, CPU, encoded=True)
    K = int(y.max()) + 1
    return Objective(dataset, choose(impl, dataset.rows, CPU, Classes(K)), l2, fit_intercept)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_by_central_differences(impl, fit_intercept, weighted):
    X, y, s = problem()
    objective = objective_of(X, y, s if weighted else None, fit_intercept, impl)
    params = np.random.default_rng(1).standard_normal(objective.n_params) / 3
    value, grad = objective(params)
    np.testing.assert_allclose(grad, gradient(lambda p: objective(p)[0], params), rtol=1e-6, atol=1e-8)
    assert objective.n_params == 4 * (5 + fit_intercept) == len(grad)
    assert type(value) is float


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_whole_hessian_by_central_differences(fit_intercept):
    X, y, s = problem()
    objective = objective_of(X, y, s, fit_intercept)
    sample = Sampler(objective, np.random.default_rng(0)).sample(10**6)
    phi = np.random.default_rng(1).standard_normal(objective.n_params) / 3
    value, grad = sample(phi)
    wanted, wanted_grad = objective(sample.coordinates.to_params(phi))
    assert value == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(sample.coordinates.grad_to_params(grad), wanted_grad, rtol=1e-8, atol=1e-10)
    K, p = 4, 5 + fit_intercept
    H = (sample.curvature_sum(phi) / sample.weight_total).reshape(K, p, K, p)
    H[np.arange(K), :, np.arange(K), :] += np.diag(sample.penalty)
    H = H.reshape(K * p, K * p)
    for j in range(K * p):
        np.testing.assert_allclose(gradient(lambda at, j=j: sample(at)[1][j], phi), H[j], rtol=1e-5, atol=1e-7)
    # Orthogonal to the constant directions the factor solves with it; along them it is not asked.
    v = np.random.default_rng(2).standard_normal((K, p))
    v -= v.mean(axis=0)
    solved = sample.factored(sample.curvature_sum(phi), sample.weight_total).solve(v.ravel())
    np.testing.assert_allclose(H @ solved, v.ravel(), atol=1e-8)


def test_the_kronecker_factor_solves_its_own_matrix():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((7, 5))
    A, P = A.T @ A, rng.dirichlet(np.ones(4), size=50)
    B = np.diag(P.mean(axis=0)) - P.T @ P / 50
    penalty = rng.random(5)
    H = np.kron(B, A) + np.kron(np.eye(4), np.diag(penalty))
    v = rng.standard_normal((4, 5))
    v -= v.mean(axis=0)
    np.testing.assert_allclose(H @ KroneckerFactor(A, B, penalty).solve(v.ravel()), v.ravel(), atol=1e-9)


def scikit_learn_value(X, y, s, coef, intercept, C: float) -> float:
    z = X.astype(np.float64) @ coef.T + intercept
    s = np.ones(len(y)) if s is None else s
    m = z.max(axis=1)
    loss = np.log(np.exp(z - m[:, None]).sum(axis=1)) + m - z[np.arange(len(y)), y]
    return float((s @ loss + 0.5 * (coef**2).sum() / C) / s.sum())


@pytest.mark.parametrize("whole", [True, False], ids=["whole Hessian", "Kronecker"])
@pytest.mark.parametrize("load", [load_wine, load_iris, load_digits])
def test_the_objective_of_newton_cholesky(load, whole, monkeypatch):
    if not whole:
        monkeypatch.setattr(losses_module, "WHOLE_P", 0)
    X, y = load(return_X_y=True)
    if load is load_digits:
        X, y = X[:, :20], y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # collinear columns make it fall back to lbfgs
        theirs = ScikitLearn(solver="newton-cholesky", tol=1e-12, max_iter=500).fit(X, y)
    model = LogisticRegression().fit(X, y)
    wanted = scikit_learn_value(X, y, None, theirs.coef_, theirs.intercept_, 1.0)
    found = scikit_learn_value(X, y, None, model.coef_, model.intercept_, 1.0)
    assert model.converged_, model.stop_reason_
    assert found <= wanted * (1 + 1e-9)
    assert model.objective_ == pytest.approx(found, rel=1e-10)
    assert model.coef_.shape == theirs.coef_.shape
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-3 * np.abs(theirs.coef_).max())
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X), rtol=1e-9)
    np.testing.assert_array_equal(model.predict(X), theirs.predict(X))
    assert model.decision_function(X).shape == (len(X), len(model.classes_))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_covtype_of_seven_classes(dtype):
    table = np.loadtxt(real_data("covtype.20k.data.gz"), delimiter=",")
    X, y = table[:, :54].astype(dtype), encode_labels(table[:, 54])[1]
    model = LogisticRegression().fit(X, y)
    tight = LogisticRegression(tol=1e-9).fit(X.astype(np.float64), y)
    least = scikit_learn_value(X, y, None, tight.coef_, tight.intercept_, 1.0)
    assert model.converged_, model.stop_reason_
    assert scikit_learn_value(X, y, None, model.coef_, model.intercept_, 1.0) <= least * (1 + 1e-9)


@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
@pytest.mark.parametrize("K", [3, 10])
def test_weights_are_repetitions(K, solver):
    X, y, _ = problem(500, 4, K)
    times = np.random.default_rng(5).integers(0, 3, len(X))
    times[:K] = 1
    for class_weight in (None, "balanced", {k: 1.0 + k for k in range(K)}):
        options = {"tol": 1e-11, "solver": solver, "class_weight": class_weight, "max_iter": 5000}
        weighted = LogisticRegression(**options).fit(X, y, times)
        repeated = LogisticRegression(**options).fit(X.repeat(times, axis=0), y.repeat(times))
        assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-10)
        if solver == "auto":
            np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)


def test_classes_add_up_to_zero_and_sample_and_pass_change_nothing():
    X, y, s = problem(3000, 6, 5)
    models = [
        LogisticRegression(tol=1e-9, random_state=seed, impl=impl).fit(X, y, s)
        for seed, impl in ((0, "reference"), (1, "reference"), (0, "cpu"))
    ]
    for model in models:
        np.testing.assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-12)
        assert abs(model.intercept_.sum()) < 1e-12
        np.testing.assert_allclose(model.coef_, models[0].coef_, atol=1e-6)
    again = LogisticRegression(tol=1e-9, random_state=0, impl="reference").fit(X, y, s)
    assert again.coef_.tobytes() == models[0].coef_.tobytes()


@pytest.mark.parametrize("solver", ["lbfgs", "gradient-descent", "adam"])
def test_other_solvers_of_many_classes(solver):
    X, y, _ = problem(600, 3, 3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    exact = LogisticRegression(C=0.1).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=0.1, solver=solver, learning_rate=0.01 if solver == "adam" else None).fit(X, y)
    assert model.objective_ <= exact.objective_ * (1 + (1e-2 if solver == "adam" else 1e-6))


def test_warm_start_and_callable():
    X, y, _ = problem(800, 4, 3)
    told = []
    model = LogisticRegression(warm_start=True, verbose=told.append).fit(X, y)
    first = len(told)
    model.fit(X, y)
    assert len(told) - first <= first
    with pytest.raises(DataError, match="warm_start: the last fit had 3 classes, and y has 4"):
        model.fit(X, np.arange(len(y)) % 4)


def test_labels_of_any_type():
    X, y, _ = problem(300, 4, 3)
    names = np.array(["ash", "birch", "cedar"])[y]
    model = LogisticRegression().fit(X, names)
    np.testing.assert_array_equal(model.classes_, ["ash", "birch", "cedar"])
    assert set(model.predict(X)) <= set(names)
    assert model.score(X, names) > 0.5


def test_the_sample_of_a_rare_class_of_many_holds_all_its_rows():
    labels = np.repeat([0, 1, 2, 3], [50_000, 30_000, 20_000, 30]).astype(np.int32)
    rows, weight = draw(labels, 4000, np.random.default_rng(0), n_classes=4)
    counts = np.bincount(labels[rows], minlength=4)
    assert counts[3] == 30
    np.testing.assert_allclose(np.bincount(labels[rows], weight), np.bincount(labels), rtol=1e-9)


@pytest.mark.parametrize(
    ("impl", "reason"),
    [
        ("cublas", "impl='cublas' takes two classes, and y has 4; use impl='auto' or 'cuda'"),
        ("cuda", "impl='cuda' needs rows on a GPU, and the device is cpu; use device='cuda'"),
    ],
)
def test_passes_that_cannot_be_used_are_refused_by_name(impl, reason):
    X, y, _ = problem()
    with pytest.raises(ImplementationError) as error:
        LogisticRegression(impl=impl, device="cpu").fit(X, y)
    assert str(error.value) == reason


@pytest.mark.parametrize("impl", ["auto", "cuda", "reference"])
def test_on_a_device(monkeypatch, impl):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    X, y, s = problem(2000, 6, 3)
    host = LogisticRegression(device="cpu").fit(X, y, s)
    with fake_cupy.installed(monkeypatch):
        model = LogisticRegression(device="cuda", impl=impl).fit(X, y, s)
        assert model.device_ == "cuda:0"
        assert model.impl_ == ("reference" if impl == "reference" else "cuda")
        with pytest.raises(ImplementationError, match="impl='cublas' takes two classes, and y has 3"):
            LogisticRegression(device="cuda", impl="cublas").fit(X, y, s)
    np.testing.assert_allclose(model.coef_, host.coef_, atol=1e-5)


@pytest.mark.parametrize("whole", [True, False], ids=["whole Hessian", "Kronecker"])
@pytest.mark.parametrize(("C", "l1_ratio"), [(0.1, 1.0), (1.0, 1.0), (1.0, 0.5)])
@pytest.mark.parametrize("load", [load_wine, load_iris])
def test_l1_and_elastic_net_of_many_classes(load, C, l1_ratio, whole, monkeypatch):
    if not whole:
        monkeypatch.setattr(losses_module, "WHOLE_P", 0)
    X, y = load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    theirs = ScikitLearn(C=C, l1_ratio=l1_ratio, solver="saga", tol=1e-11, max_iter=100_000).fit(X, y)
    model = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(X, y)

    def value(fitted) -> float:
        loss = scikit_learn_value(X, y, None, fitted.coef_, fitted.intercept_, np.inf) * len(X)
        ridge = 0.5 * (1 - l1_ratio) * (fitted.coef_**2).sum()
        return float(C * loss + l1_ratio * np.abs(fitted.coef_).sum() + ridge)

    assert model.converged_, model.stop_reason_
    assert model.solver_ == "proximal"
    assert value(model) <= value(theirs) * (1 + 1e-9)
    np.testing.assert_array_equal(model.coef_ != 0, theirs.coef_ != 0)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-5)
    assert abs(model.intercept_.sum()) < 1e-9
    assert model.objective_ * C * len(X) == pytest.approx(value(model), rel=1e-10)


def test_the_kkt_conditions_of_many_classes_in_float32():
    X, y, s = problem(6000, 8, 4, dtype="float32")
    C = 0.02
    model = LogisticRegression(C=C, l1_ratio=1.0).fit(X, y, s)
    objective = objective_of(X.astype(np.float64), y, s, l2=0.0)
    _, grad = objective(np.column_stack([model.coef_, model.intercept_]).ravel())
    grad, l1 = grad.reshape(4, -1), 1.0 / (C * s.sum())
    dW = grad[:, :-1]
    assert 0 < np.count_nonzero(model.coef_) < model.coef_.size
    assert np.abs(grad[:, -1]).max() < 2e-6
    zero = model.coef_ == 0.0
    assert np.abs(dW[zero]).max() <= l1 + 2e-6
    np.testing.assert_allclose(dW[~zero], -l1 * np.sign(model.coef_[~zero]), atol=2e-6)


@pytest.mark.parametrize("seed", [18, 19])
def test_l1_of_many_classes_without_intercepts_takes_few_iterations(seed):
    """The last column is penalised then: its constant direction has no curvature for the model to be given."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((300, 5))
    y = (X @ rng.standard_normal((5, 4)) + rng.gumbel(size=(300, 4))).argmax(axis=1)
    model = LogisticRegression(C=100.0, l1_ratio=1.0, fit_intercept=False).fit(X, y)
    assert model.converged_
    assert model.n_iter_[0] <= 10
