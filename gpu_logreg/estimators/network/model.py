"""A network as a scikit-learn estimator. It chooses device, steps and solver; it computes nothing itself."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if

from gpu_logreg.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gpu_logreg.estimators.conversion import NetworkConversion
from gpu_logreg.estimators.network.parameters import CONSTRAINTS, hidden_sizes, is_stochastic, refuse_early_stopping
from gpu_logreg.estimators.network.prediction import NetworkPredictor
from gpu_logreg.estimators.network.state import NetworkState
from gpu_logreg.estimators.network.training import NetworkTraining
from gpu_logreg.estimators.target import first_target, known_target, target_of

__all__ = ["MLPClassifier"]


class MLPClassifier(
    CallbackSupportMixin,  # type: ignore[misc]
    NetworkConversion,
    NetworkTraining,
    NetworkState,
    NetworkPredictor,
    BaseEstimator,  # type: ignore[misc]
):
    """A network of dense layers for two or more classes, on a CPU or an NVIDIA GPU.

    Minimises ``sum(s row_loss) / sum(s) + alpha |W|**2 / (2 sum(s))`` over a batch of rows at a time, or over all rows,
    as scikit-learn's estimator of this name does. Parameters and attributes are scikit-learn's where it has them.
    Or, where ``y`` is a matrix of zeros and ones, for any number of labels in a row: the loss of a row is the sum of
    those of its labels, each that of two classes.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Units of every hidden layer; ``()`` for none, which is logistic regression.
    activation : {"relu", "tanh", "logistic", "identity"}, default="relu"
        Of the hidden layers.
    solver : {"adam", "sgd", "adamw", "lbfgs", "gradient-descent"}, default="adam"
        The first three take a step for every batch of rows. ``"lbfgs"`` and ``"gradient-descent"`` (with Armijo's
        steps) walk over all rows for every step.
    alpha : float, default=1e-4
        Strength of the ridge penalty on the weights, divided by the weight of the batch. For ``"adamw"`` its weight
        decay: every step shrinks the weights by the learning rate times ``alpha``, and the loss has no penalty.
    batch_size : int or "auto", default="auto"
        Rows of a step; ``"auto"`` is 200, or all where there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive", "cosine"}, default="constant"
        Schedule; see `gpu_logreg.mathematics.optimizers.Schedule`. The first three are for ``"sgd"``, as in
        scikit-learn.
    learning_rate_init : float, default=1e-3
    power_t : float, default=0.5
        Exponent of ``"invscaling"``.
    max_iter : int, default=200
        Most epochs, or iterations of ``"lbfgs"`` and ``"gradient-descent"``.
    shuffle : bool, default=True
        Shuffle the order of the rows before every epoch; the rows stay where they are.
    random_state : int, RandomState or None, default=None
        Draws the first weights, the rows held back, and the order of the rows. None is a fixed seed, so that a fit
        repeated gives the same bits.
    tol : float, default=1e-4
        Gain in loss (or score, with ``early_stopping``) below which an epoch does not count; largest ``max |grad|``
        for the full-batch solvers.
    verbose : bool, int or callable, default=False
        A line after every epoch. A callable receives a `gpu_logreg.solvers.Iteration` instead, and stops the fit by a
        true answer.
    warm_start : bool, default=False
        Start from the weights of the last fit.
    momentum : float, default=0.9
    nesterovs_momentum : bool, default=True
        Both for ``"sgd"``.
    early_stopping : bool, default=False
        Hold rows back, stop by their score, and end with the weights of the best score: of this fit, or with
        ``warm_start`` of one before it. Each class is held back in the same share; of three classes and more, where
        one has a single row or they are more than the rows held back, rows are drawn whatever their class.
    validation_fraction : float, default=0.1
        Share of the rows held back.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        For ``"adam"`` and ``"adamw"``.
    n_iter_no_change : int, default=10
        Stop after more epochs in a row than this that gained less than ``tol``.
    max_fun : int, default=15000
        Most evaluations of the full-batch solvers.
    max_time : float or None, default=None
        Seconds after which the training stops where it is, after an epoch or an iteration, with a warning.
    device : {"auto", "cpu", "cuda", "cuda:N", "cuda:all"} or list of "cuda:N", default="auto"
        Where rows are walked. Rows that are on a GPU stay there with ``"auto"`` and ``"cuda"``, and are refused where
        another GPU is named; those on the host go to cuda:0 with ``"cuda"``, as with ``"auto"`` where they are many and
        fit; streams stay on the host then. An explicit device is taken or refused; ``"auto"`` says why in
        ``device_reason_``, and in the log. Several GPUs share every batch: see `docs/clusters.md`.
    impl : {"auto", "reference", "cpu", "cuda"}, default="auto"
        How the steps are made; the choice is in ``impl_`` and ``impl_reason_``. The full-batch solvers have the
        ``reference`` alone.
    init : {"glorot", "he", "normal"}, default="glorot"
        First weights; see `gpu_logreg.mathematics.initialisation.INITIALISATIONS`. Intercepts start at zero.
    storage : {"auto", "float64", "float32", "float16", "bfloat16", "uint8"}, default="auto"
        How rows are stored where they are walked. ``"auto"``: as they are on the host; on their way to a GPU, the
        narrowest dtype that holds every value. A dtype asked for rounds, and is computed in float32 unless it is
        float64. Sparse rows take float32 and float64.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (m_in, m_out)
        Weights of every layer; float32 for rows of at most 16 bits or float32, else float64; of rows that ``storage``
        rounds, by that.
    intercepts_ : list of ndarray of shape (m_out,)
    classes_ : ndarray of shape (K,)
        Of labels their numbers, ``arange(K)``; `predict` gives zeros and ones of shape (n, K) then, `predict_proba` the
        probability of every label, and `score` the share of the rows all of whose labels are right.
    n_features_in_, n_layers_, n_outputs_, t_ : int
        Columns; layers, those of the input and the output counted; logits, 1 for two classes; rows seen in training.
    out_activation_ : {"logistic", "softmax"}
    loss_ : float
        Mean loss plus penalty at the end: of the last epoch, or over all rows.
    best_loss_ : float or None
        Least of the epochs; None with ``early_stopping``.
    loss_curve_ : list of float
    validation_scores_, best_validation_score_ : list of float, float; or None
        Accuracy on the rows held back after every epoch, with ``early_stopping``.
    n_iter_ : int
    n_reads_ : float
        Walks over all rows.
    converged_ : bool
    stop_reason_ : str
    device_, device_reason_, impl_, impl_reason_, solver_, storage_ : str
        What was chosen, and why.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from gpu_logreg import MLPClassifier
    >>> X, y = make_moons(200, noise=0.1, random_state=0)
    >>> model = MLPClassifier((16,), activation="tanh", solver="lbfgs").fit(X, y)
    >>> round(model.score(X, y), 2)
    1.0
    """

    __module__ = "gpu_logreg"  # the path that a pickle holds: one that stays, wherever this file moves to

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 1e-4,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 1e-3,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        max_time: float | None = None,
        device: str = "auto",
        impl: str = "auto",
        init: str = "glorot",
        storage: str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.max_time = max_time
        self.device = device
        self.impl = impl
        self.init = init
        self.storage = storage

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coefs_")

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        checkpoint: Any = None,
    ) -> MLPClassifier:
        """Fit the model.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d)
            NumPy, CuPy, PyTorch, JAX or other DLPack array, list, or table of numbers: pandas, polars, Arrow, cuDF, or
            any that speaks Arrow's protocol; sparse matrices of SciPy's, on the CPU. Rows of any real dtype are
            converted a batch at a time. A table whose columns lie apart is copied once, into Fortran order.
        y : array of shape (n,) or (n, L)
            Two or more classes: texts, whole numbers, booleans or dates; of any of these libraries, as are the weights.
            Or zeros and ones for L >= 2 labels: an array or list, or a table of pandas or polars.
        sample_weight : array of shape (n,), optional
            Weight of each row in the loss of its batch; 0 is a row removed, as is a weight below the rounding of the
            mean weight.
        X_val, y_val : as ``X`` and ``y``, optional
            Rows whose score ``early_stopping=True`` goes by, in place of a share of the training rows.
        checkpoint : path or Checkpoint, optional
            File from which the same call goes on after it was killed, to the same bits; see `gpu_logreg.Checkpoint`.

        Returns
        -------
        self : MLPClassifier

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
        hidden_sizes(self.hidden_layer_sizes)
        start = self if self.warm_start and hasattr(self, "coefs_") else None
        before = None if start is None else (self.n_features_in_, known_target(self))
        try:
            given = self._given(X, y, reset=True)
            target = target_of(given[1])
            if before is not None:
                self._check_same(before, target)
            more = {"validation": self._validation(X_val, y_val), "checkpoint": checkpoint}
            self._fit(given, target, sample_weight, start is not None, only_one_epoch=False, **more)
        except BaseException:
            self._forget()  # a fit that failed half way must not look fitted
            raise
        return self

    @available_if(is_stochastic)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> MLPClassifier:
        """Go on by one epoch over these rows.

        Parameters
        ----------
        X : array or table of shape (n, d)
        y : array of shape (n,) or (n, L)
        classes : array of shape (K,), optional
            All classes that calls to come may hold; needed in the first call. Of labels their numbers, 0 to L - 1,
            which need not be given.
        sample_weight : array of shape (n,), optional

        Returns
        -------
        self

        Raises
        ------
        DataError
            As of `fit`, and classes or a number of labels that are not those of the first call.
        """
        self._validate_params()
        hidden_sizes(self.hidden_layer_sizes)
        refuse_early_stopping(self)
        fitted = hasattr(self, "coefs_")
        try:
            given = self._given(X, y, reset=not fitted)
            self._fit(given, first_target(self, given[1], classes), sample_weight, fitted, only_one_epoch=True)
        except BaseException:
            if not fitted:
                self._forget()
            raise
        return self
