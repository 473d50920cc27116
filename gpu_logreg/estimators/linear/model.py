"""Logistic regression as a scikit-learn estimator. It chooses device, pass and solver; it computes nothing itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults
from gpu_logreg.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gpu_logreg.estimators.conversion import LinearConversion
from gpu_logreg.estimators.linear.inference import LinearInference
from gpu_logreg.estimators.linear.parameters import CONSTRAINTS, read_parameters
from gpu_logreg.estimators.linear.prediction import LinearPredictor
from gpu_logreg.estimators.linear.several_devices import place_of_rows
from gpu_logreg.estimators.linear.sparse_coef import SparseCoef
from gpu_logreg.estimators.linear.state import LinearState
from gpu_logreg.estimators.linear.training import LinearTraining
from gpu_logreg.estimators.offset import refuse_beside_labels
from gpu_logreg.estimators.soft_labels import given_probabilities
from gpu_logreg.estimators.streamed import note_columns, stream_of

__all__ = ["LogisticRegression"]


class LogisticRegression(
    CallbackSupportMixin,  # type: ignore[misc]
    LinearConversion,
    LinearInference,
    LinearTraining,
    LinearState,
    SparseCoef,
    LinearPredictor,
    BaseEstimator,  # type: ignore[misc]
):
    """Logistic regression of two or more classes, with a ridge, L1 or elastic-net penalty, on a CPU or an NVIDIA GPU.

    Minimises scikit-learn's objective, ``C sum_i s_i row_loss_i + r |w|_1 + (1 - r) |w|**2 / 2``, where ``r`` is
    ``l1_ratio``, ``s`` are row weights times class weights and the intercept is not penalised. Reported values are
    that divided by ``C sum(s)``. K >= 3 classes have a logit each, as in scikit-learn's multinomial model.

    Parameters
    ----------
    penalty : {"firth", "l1", "l2", "elasticnet", None}, deprecated but for ``"firth"``
        ``"firth"``: Firth's penalised likelihood, for two classes, which has a maximum where classes are separated and
        less bias with few rows; it has no strength, and ``C`` and ``l1_ratio`` no effect. The others as in scikit-learn
        1.9, which warns of them too; leave them out and use ``l1_ratio`` and ``C``.
    C : float, default=1.0
        Inverse strength of the penalty; ``inf`` for none.
    l1_ratio : float from 0 to 1, default=0
        Share of L1 in the penalty: 0 for ridge, 1 for L1, elastic net in between.
    fit_intercept : bool, default=True
    class_weight : dict, "balanced" or None, default=None
    tol : float, default=1e-6
        Largest ``max |grad|`` of the mean objective at which the fit stops. All but ``gradient-descent`` also ask that
        the remaining decrease is at most ``1e-3 tol`` of the value by their own estimate (``1e-4 tol`` for ``lbfgs``),
        and stop where that is below the rounding of the value or of the passes.
    max_iter : int, default=1000
    solver : str, default="auto"
        ``"subsampled-newton"``, ``"newton-cg"``, ``"lbfgs"``, ``"proximal"``, ``"coordinate-descent"``,
        ``"gradient-descent"``, ``"sgd"``, ``"adam"`` or ``"auto"``. That is ``"coordinate-descent"`` where there is an
        L1 penalty, and sparse rows on the CPU have many columns, or few elements for theirs; ``"proximal"`` with other
        L1 penalties, with which no third can deal; else ``"subsampled-newton"`` while factoring the Hessian pays, by a
        model of the cost from n and d; beyond, ``"newton-cg"`` for fewer dense rows than columns, and else ``"lbfgs"``.
        ``"newton-cg"`` takes products of the Hessian with vectors, or of few rows with each other. ``"sgd"`` and
        ``"adam"`` take a step for every batch of 200 rows; they do not reach an optimum, and end when an epoch lowers
        the mean value by less than ``tol`` for ten in a row. scikit-learn's other names are taken too, as
        ``solver_reason_`` tells:
        ``"newton-cholesky"`` for ``"subsampled-newton"``, and ``"liblinear"`` (two classes), ``"sag"`` and ``"saga"``
        for ``"auto"``. Unlike liblinear, no solver here penalises the intercept.
    device : {"auto", "cpu", "cuda", "cuda:N", "cuda:all"} or list of "cuda:N", default="auto"
        Where rows are walked. Rows that are on a GPU stay there with ``"auto"`` and ``"cuda"``, and are refused where
        another GPU is named; those on the host go to cuda:0 with ``"cuda"``, as with ``"auto"`` where they are many,
        and are streamed to it where they do not fit. An explicit device is taken or refused; ``"auto"`` says why in
        ``device_reason_`` and in the log. Memory that the fit takes there is given back when it ends. With several GPUs
        the rows, which are on the host and dense, are cut into the same parts whatever their number, and no bit depends
        on it.
    impl : {"auto", "reference", "cpu", "cuda", "cublas"}, default="auto"
        The pass over the rows; the choice is in ``impl_`` and ``impl_reason_``.
    storage : {"auto", "float64", "float32", "float16", "bfloat16", "uint8"}, default="auto"
        How rows are stored where they are walked. ``"auto"``: as they are on the host; on their way to a GPU, the
        narrowest dtype that holds every value. A dtype asked for rounds, and is computed in float32 unless it is
        float64.
    random_state : int, RandomState or None, default=None
        Draws the sample of ``"subsampled-newton"`` and ``"proximal"``. The result depends on it within ``tol`` only.
        None is a fixed seed, so that a fit repeated gives the same bits.
    warm_start : bool, default=False
        Start from ``coef_`` and ``intercept_`` of the last fit.
    verbose : int or callable, default=0
        Positive: a line after every iteration. A callable receives a `gpu_logreg.solvers.Iteration` instead, and
        stops the fit by a true answer.
    step : {"armijo", "fixed", "momentum"}, default="armijo"
        Step rule of ``"gradient-descent"``.
    learning_rate : float or None, default=None
        Its step, and that of ``"sgd"`` and ``"adam"``; None for one over a bound of the curvature, and 1e-3 for
        ``"adam"``.
    max_time : float or None, default=None
        Seconds after which the fit stops where it is, at the end of an iteration, with a warning.
    dual : bool, default=False
        True is taken with ``"liblinear"`` alone, as in scikit-learn; the primal problem has the same solution and is
        the one that is solved.
    intercept_scaling : float, default=1
        Accepted and without effect: it counters liblinear's penalty on the intercept.
    n_jobs : int or None, default=None
        Accepted and without effect, as in scikit-learn 1.9, and with its warning.
    prior : float, dict or None, default=None
        Share of the second class in the population, or the shares of all classes by name, where rows were drawn by
        their class: intercepts, and with them probabilities, become those of the population (King and Zeng 2001).
    sampling_rates : dict or None, default=None
        The same by the share of the rows of each class that was kept, such as ``{0: 0.01, 1: 1.0}``.
    penalty_factor : array-like of shape (d,) or None, default=None
        What the strength of the penalty is multiplied by for each column: 0 for no penalty, None for 1 everywhere.
    penalty_groups : list of lists of int or None, default=None
        Columns of each group, of which all weights are zero or, as a rule, none: with an L1 penalty, for two classes.
    soft_labels : bool, default=False
        Whether ``y`` holds probabilities: of the second class, of shape (n,), or of all classes, of shape (n, K). A row
        then stands for K rows of a class each, whose weights are its probabilities, in `fit` and in `score`.
    lower_bounds, upper_bounds : float, array-like of shape (d,) or (K, d), or None, default=None
        Bounds of ``coef_``; infinite for none.
    positive : bool, default=False
        The same as ``lower_bounds=0``.
    device_memory_budget : int, float, str or None, default=None
        Most memory of a GPU that a fit of rows of the host takes: bytes, ``"4GB"``, or a share of what is free there.
        As many blocks of rows as it holds stay there, and the others are sent in every read. None: so are those of
        rows that do not fit, by 0.9 of what is free. Not measured on a GPU.

    Attributes
    ----------
    coef_ : ndarray of shape (1, d), or (K, d) for K >= 3 classes
        float32 from float32 rows, as in scikit-learn, where that holds the optimum: weights of collinear columns that
        nearly cancel are float64. Of other rows float64.
    intercept_ : ndarray of shape (1,) or (K,), float64
        Of ``coef_`` as it is: it makes up for its rounding, which columns far from zero would feel.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int
    n_iter_ : ndarray of shape (1,)
    n_reads_ : float
        Passes over all rows that the fit took, of which ``reference`` and ``cublas`` walk ``X`` twice in each; those
        over samples count with their share.
    converged_ : bool
    stop_reason_ : str
        The criterion that was met, or not, with its figures.
    objective_ : float
        Value at the end, in nats: mean loss plus penalty.
    loss_curve_ : list of float
        That value at the start and after every iteration.
    prior_shift_ : ndarray of shape (1,) or (K,)
        With ``prior`` or ``sampling_rates`` only: what they have added to ``intercept_``.
    has_offset_ : bool
        True, with an ``offset`` in `fit` only: predictions ask for one then.
    duality_gap_ : float
        With an L1 penalty only: a bound on how far the value was above the minimum over the weights, before the last
        step.
    device_, device_reason_, impl_, impl_reason_, solver_, solver_reason_, storage_ : str
        What was chosen, and why.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from gpu_logreg import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> round(LogisticRegression().fit(X, y).score(X, y), 2)
    0.96
    """

    __module__ = "gpu_logreg"  # the path that a pickle holds: one that stays, wherever this file moves to

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        C: float = 1.0,
        *,
        l1_ratio: float | None = 0.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        solver: str = "auto",
        device: str = "auto",
        impl: str = "auto",
        storage: str = "auto",
        random_state: Any = None,
        warm_start: bool = False,
        verbose: Any = 0,
        step: str = "armijo",
        learning_rate: float | None = None,
        max_time: float | None = None,
        penalty: str | None = "deprecated",
        dual: bool = False,
        intercept_scaling: float = 1,
        n_jobs: int | None = None,
        prior: Any = None,
        sampling_rates: Any = None,
        penalty_factor: Any = None,
        penalty_groups: Any = None,
        soft_labels: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        positive: bool = False,
        device_memory_budget: Any = None,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.device = device
        self.impl = impl
        self.storage = storage
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.step = step
        self.learning_rate = learning_rate
        self.max_time = max_time
        self.penalty = penalty
        self.dual = dual
        self.intercept_scaling = intercept_scaling
        self.n_jobs = n_jobs
        self.prior = prior
        self.sampling_rates = sampling_rates
        self.penalty_factor = penalty_factor
        self.penalty_groups = penalty_groups
        self.soft_labels = soft_labels
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.positive = positive
        self.device_memory_budget = device_memory_budget

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, checkpoint: Any = None
    ) -> LogisticRegression:
        """Fit the model.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream
            NumPy, CuPy, PyTorch, JAX or other DLPack array, list, or table of numbers: pandas, polars, Arrow, cuDF, or
            any that speaks Arrow's protocol; sparse matrices of SciPy's, on the CPU. Rows beyond memory are a
            `gpu_logreg.Stream`, or the blocks of one, which bring their labels and weights. Float32 and float64
            rows are read where they lie, other real dtypes are converted a few rows at a time. A table
            whose columns lie apart is copied once, into Fortran order, and a sparse matrix that is not CSR into CSR.
        y : array of shape (n,)
            Two or more classes, of any type; of any of these libraries, as are the weights.
        sample_weight : array of shape (n,), optional
            Weight of each row; 2 equals a row written twice, 0 a row removed.
        offset : number, or array of shape (n,) for two classes, (n, K) for K >= 3, optional
            Known logits of each row, to which the model adds its own. Rows are in memory, on one device, and computed
            in float64 by the ``reference`` pass.
        checkpoint : path or Checkpoint, optional
            File from which the same call goes on after it was killed, to the same bits; see `gpu_logreg.Checkpoint`.

        Returns
        -------
        self : LogisticRegression

        Raises
        ------
        DataError
            Data or parameters that cannot be used; a `ValueError`.
        DeviceError, ImplementationError
            An explicit ``device`` or ``impl`` that cannot be had.
        CheckpointError
            A checkpoint of another fit or of other data, damaged, or in use.
        """
        self._validate_params()
        asked = read_parameters(self)
        start = self._last() if self.warm_start and hasattr(self, "coef_") else None
        try:
            stream = None if type(X) is np.ndarray else stream_of(X, y, sample_weight)
            soft = given_probabilities(y) if self.soft_labels and stream is None else None
            if stream is None:
                X, y = self._validated(X, y if soft is None else soft.argmax(axis=1), reset=True)
            else:
                X = stream
                note_columns(self, stream)
            device, place = place_of_rows(self, X, asked, stream is not None)
            for name, is_given in (("offset", offset is not None), ("soft_labels=True", self.soft_labels)):
                if is_given:
                    several = isinstance(device, list)
                    refuse_beside_labels(name, asked.solver, asked.firth, stream is not None, several)
            with place, blas_on_one_thread(), numpy_defaults():
                try:
                    self._fit(X, y, sample_weight, device, start, asked, checkpoint, offset, soft)
                    return self
                finally:
                    del X, y  # which may be of this fit's own making
        except BaseException:
            self._forget()  # a fit that failed half way must not look fitted
            raise
