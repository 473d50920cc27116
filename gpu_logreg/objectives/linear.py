"""The objective: from sums over rows to a value and a gradient on the host, in float64; counts the reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device, brought, is_sparse, numpy_defaults, resolve_device
from gpu_logreg.arrays.interchange import as_array
from gpu_logreg.arrays.on_device import KEPT_BYTES, on_device
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.losses import Loss
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.engine import Engine
from gpu_logreg.rows.coordinates import ClasswiseCoordinates, Coordinates
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers.costs import Costs

__all__ = ["LossAndGradient", "Objective", "loss_and_gradient"]


@dataclass
class Reads:
    """A counter of walks over the rows, in walks over all of them; a sample counts with its share."""

    total: float = 0.0


class Objective:
    """Mean loss plus penalty, as a function of the packed parameters ``[w, b]``.

    ``value = loss_sum / sum(s) + l2 |w|**2 / 2`` and ``grad = [dw_sum / sum(s) + l2 w, db_sum / sum(s)]``

    Parameters
    ----------
    dataset : ResidentDataset
    engine : Engine
        What sums over the rows; its loss is the one that is minimised.
    l2 : float
        Strength of the ridge penalty on the mean loss.
    fit_intercept : bool
        Without it the parameters are ``w`` alone.
    l1 : float
        Strength of an L1 penalty that a solver adds: values and gradients are without it.

    Attributes
    ----------
    reads : Reads
        Passes over all rows so far, of which ``reference`` and ``cublas`` walk ``X`` twice in each.
    n_logits : int
        1 for two classes, K for more.
    centre : ndarray of shape (d,) or None
        A typical row. Rounding ``w`` to float32 moves every logit by about ``centre @ (w - float32(w))``, which the
        intercept given to the pass takes back; without it columns far from zero would cost most digits of ``w``.
    precision : float
        Relative rounding of the dtype the pass computes in.
    spread : ndarray of shape (d,) or None
        Standard deviation of every column about ``centre``.
    rounding : float
        Relative size below which differences of the value are rounding, at the last point evaluated: see `_rounding`.
    """

    def __init__(
        self,
        dataset: ResidentDataset,
        engine: Engine,
        l2: float,
        fit_intercept: bool,
        l1: float = 0.0,
    ) -> None:
        self.dataset = dataset
        self.engine = engine
        self.loss: Loss = engine.loss
        self.l2 = l2
        self.l1 = l1
        self.fit_intercept = fit_intercept
        self.reads = Reads()
        self.n_logits = engine.loss.n_logits
        self.centre: Float64Vector | None = None
        self.spread: Float64Vector | None = None
        self._known_finite = False
        self._kept: tuple[Any, ...] | None = None
        self.precision = float(np.finfo(dataset.compute_dtype).eps)
        self.rounding = 4 * float(np.finfo(np.float64).eps)

    @cached_attribute
    def n_params(self) -> int:
        """Length of the packed parameters."""
        return self.loss.n_logits * (self.dataset.n_columns + int(self.fit_intercept))

    @property
    def keeps_samples_sparse(self) -> bool:
        """Whether samples of the rows stay sparse."""
        return self.engine.keeps_samples_sparse(self.dataset)

    def packed_coordinates(self, coordinates: Coordinates) -> Any:
        """The coordinates of packed vectors, from those of one logit."""
        return ClasswiseCoordinates(coordinates, self.n_logits) if self.loss.has_free_directions else coordinates

    @cached_attribute
    def costs(self) -> Costs:
        """Times relative to those of as many dense rows, for the choice of solver and sample."""
        read = self.dataset.read_cost
        return Costs(read, read, self.dataset.curvature_cost) if self.keeps_samples_sparse else Costs(read)

    @cached_attribute
    def separable_below(self) -> float:
        """Value below which the classes are separable and there is no minimum; 0 where there is a penalty.

        A row on the wrong side loses at least log 2, so below ``log(2) min(s) / sum(s)`` no row is.
        """
        if self.l2 > 0.0 or self.l1 > 0.0:
            return 0.0
        s = self.dataset.rows.sample_weight
        least = 1.0 if s is None else float(s[s > 0].min())
        return math.log(2.0) * least / self.dataset.weight_total

    @property
    def standard_columns(self) -> Coordinates:
        """The columns as `centre` and `spread`, which must be known, standardise them; constant ones have scale 1."""
        assert self.centre is not None
        assert self.spread is not None
        mean = self.centre if self.fit_intercept else np.zeros(len(self.centre))
        scale = self.spread if self.fit_intercept else np.hypot(self.spread, self.centre)
        return Coordinates(mean, np.where(scale > 0.0, scale, 1.0), self.fit_intercept)

    def widen(self) -> bool:
        """Have the passes compute in float64 from here on; false where they do already.

        For rows stored in float32 whose arithmetic cannot show the optimum. A read then takes about twice as long.
        """
        if self.dataset.compute_dtype == np.float64:
            return False
        self.dataset = self.dataset.in_float64()
        self.precision = float(np.finfo(np.float64).eps)
        return True

    def restricted(self, dataset: ResidentDataset) -> Objective:
        """The same objective of other columns of the rows; its reads are counted anew."""
        return Objective(dataset, self.engine, self.l2, self.fit_intercept, self.l1)

    def keep(self, params: Float64Vector) -> float:
        """The value at ``params``, which is kept with its gradient: a solver that begins there reads nothing."""
        value, grad = self(params)
        self._kept = params, self.dataset, self.centre, value, grad
        return value

    def _is_as_kept(self) -> bool:
        """Whether a value would be what it was: of the same passes and, where they round the weights, `centre`."""
        assert self._kept is not None
        _, dataset, centre, *_ = self._kept
        in_float64 = self.dataset.compute_dtype == np.float64
        return dataset is self.dataset and (in_float64 or centre is self.centre)

    def unpack(self, params: Float64Vector) -> tuple[Float64Vector, Any]:
        """Weights and intercept of packed parameters."""
        return self.loss.unpack(params, self.dataset.n_columns)

    def __call__(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient at ``params``; one read.

        Raises
        ------
        DataError
            If ``X`` holds NaN or infinity; the message names the first. Seen without a further read, because they
            make the sums not finite too.
        """
        if self._kept is not None and self._kept[0] is params and self._is_as_kept():
            return self._kept[3], self._kept[4]
        dataset, d = self.dataset, self.dataset.n_columns
        w, b = self.loss.unpack(params, d)
        if self.centre is not None:
            b = b + (w - w.astype(dataset.compute_dtype)) @ self.centre
        sums = self.engine.gradient(dataset, w, b)
        self.reads.total += 1.0
        grad, total = self.loss.packed_gradient(sums.dw_sum, sums.db_sum, self.fit_intercept), dataset.weight_total
        if not self._known_finite:
            if not (np.isfinite(sums.loss_sum) and np.isfinite(grad).all()):
                dataset.refuse_not_finite()
            self._known_finite = True
        penalty = 0.5 * self.l2 * float(np.vdot(w, w))
        grad /= total
        grad.reshape(self.n_logits, -1)[:, :d] += self.l2 * w
        value = sums.loss_sum / total + penalty
        self.rounding = self._rounding(w, value, penalty)
        return value, grad

    def _rounding(self, w: Float64Vector, value: float, penalty: float) -> float:
        """Rounding of the value, relatively.

        A logit is summed from terms ``w_j x_j`` and is off by about the precision times their size ``t``. That moves
        the value by ``sum dz_i off_i / n``, a random sum whose size is at most ``precision t sqrt(2 value / n)``,
        since ``dz**2 <= 2 row_loss``. To it comes the rounding of the losses; the penalty, which is of ``w`` while the
        pass sees ``w`` rounded; and the rounding of the float64 result.
        """
        terms = 1.0
        if self.centre is not None and self.spread is not None:
            with np.errstate(
                over="ignore", invalid="ignore"
            ):  # an infinite guess of the rounding is fair for such data
                squares = (w * w) @ (self.spread**2 + self.centre**2)
                size = float(np.max(np.sqrt(squares) + np.abs(w @ self.centre)))
                terms += size if size == size else math.inf
        n = max(1, self.dataset.n_rows)
        by_rows = self.precision * (1.0 + terms * math.sqrt(2.0 / max(abs(value), 1e-300))) / math.sqrt(n)
        by_penalty = 2.0 * self.precision * penalty / max(abs(value), 1e-300)
        return 4.0 * float(np.finfo(np.float64).eps) + by_rows + by_penalty

    def rounding_about_the_centre(self, params: Float64Vector, value: float) -> float:
        """As `rounding`, at ``params``, of a value that rows in standardised columns have given.

        No more than ``precision t``, since ``|dz| <= row_loss`` too.
        """
        assert self.spread is not None
        with np.errstate(over="ignore", invalid="ignore"):
            terms = float(np.linalg.norm(self.unpack(params)[0] * self.spread, axis=-1).max())
        n = max(1, self.dataset.n_rows)
        return float(np.finfo(np.float64).eps) * terms * math.sqrt(min(1.0, 2.0 / max(abs(value), 1e-300) / n))

    def column_moments(self) -> tuple[Float64Vector, Float64Vector]:
        """Weighted mean and variance of every column; one read.

        Raises
        ------
        DataError
            If ``X`` holds NaN or infinity; the message names the first.
        """
        moments = self.engine.moments(self.dataset)
        self.reads.total += 1.0
        if not (np.isfinite(moments.x_sum).all() and np.isfinite(moments.xx_sum).all()):
            self.dataset.refuse_not_finite()
        mean = moments.x_sum / self.dataset.weight_total
        # Rounding may leave a constant column with a variance just below zero.
        variance = np.maximum(moments.xx_sum / self.dataset.weight_total - mean**2, 0.0)
        self.centre, self.spread = mean, np.sqrt(variance)
        return mean, variance


def _array(values: Any, name: str) -> Any:
    """An array of any library as it is, anything else as a NumPy array."""
    values = as_array(values, name)
    return values if hasattr(values, "dtype") and hasattr(values, "ndim") else np.asarray(values)


class LossAndGradient(NamedTuple):
    """What `loss_and_gradient` returns, all on the host in float64."""

    value: float
    dw: Float64Vector
    db: float


def loss_and_gradient(
    X: Any,
    y: Any,
    w: Any,
    b: float = 0.0,
    *,
    sample_weight: Any = None,
    l2: float = 0.0,
    impl: str = "auto",
    device: str = "auto",
) -> LossAndGradient:
    """Mean cross-entropy of a linear model plus ridge penalty, with its gradient, from one pass over the rows.

    ``value = sum(s row_loss) / sum(s) + l2 |w|**2 / 2``; ``dw = X.T @ dz / sum(s) + l2 w``; ``db = sum(dz) / sum(s)``,
    with ``z = X @ w + b``, ``p = 1 / (1 + exp(-z))`` and ``dz = s (p - y)``.

    Parameters
    ----------
    X : array of shape (n, d)
        NumPy, CuPy, PyTorch, JAX or other DLPack array of real numbers, or a sparse matrix of SciPy's.
    y : array of shape (n,)
        Labels 0 and 1, or soft labels in between.
    w : array of shape (d,)
        Weights.
    b : float, default=0.0
        Intercept.
    sample_weight : array of shape (n,), optional
        Weight of each row; 2 equals a row written twice.
    l2 : float, default=0.0
        Ridge strength on the mean loss.
    impl : {"auto", "reference", "cpu", "cuda", "cublas"}, default="auto"
        The pass; a name that cannot take these rows is refused with the reason.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Rows that are on a GPU stay there with ``"auto"`` and ``"cuda"``, and are refused where another GPU is named;
        labels and weights come to the rows.

    Returns
    -------
    LossAndGradient
        ``value`` in nats, ``dw`` of shape (d,), ``db``.

    Raises
    ------
    DataError
        Shapes that differ, labels outside [0, 1], weights that are negative or all zero, NaN or infinity.
    DeviceError, ImplementationError
        An explicit ``device`` or ``impl`` that cannot be had.

    Examples
    --------
    >>> import numpy as np
    >>> from gpu_logreg import loss_and_gradient
    >>> loss_and_gradient(np.array([[1.0], [-1.0]]), np.array([1.0, 0.0]), np.array([0.5])).value
    0.4740769841801067
    """
    X = csr_rows(X) if is_sparse(X) else _array(X, "X")
    if X.ndim != 2 or X.shape[0] == 0:
        raise DataError(f"X must be an array of shape (n, d) with at least one row, and has shape {X.shape}")
    w = np.asarray(w, dtype=np.float64)
    if w.shape != (X.shape[1],):
        raise DataError(f"w has shape {w.shape}, and X has {X.shape[1]} columns")
    if not (np.isfinite(w).all() and np.isfinite(b)):
        raise DataError(f"{'b' if np.isfinite(w).all() else 'w'} contains NaN or infinity")
    if not l2 >= 0:
        raise DataError(f"l2={l2:g} is negative")
    place = resolve_device(device, X)
    with on_device(place, kept=KEPT_BYTES, less="fewer rows"), numpy_defaults():
        value, grad = _value_and_gradient(X, y, np.append(w, b), sample_weight, l2, impl, place)
    return LossAndGradient(value, grad[:-1], float(grad[-1]))


def _value_and_gradient(
    X: Any, y: Any, params: Float64Vector, sample_weight: Any, l2: float, impl: str, place: Device
) -> tuple[float, Float64Vector]:
    y = brought(_array(y, "y"), place)
    weights = brought(as_array(sample_weight, "sample_weight"), place)
    dataset = ResidentDataset.from_arrays(X, y, weights, place, storage=None)
    objective = Objective(dataset, choose(impl, dataset.rows, place), l2, fit_intercept=True)
    value, grad = objective(params)
    if not (np.isfinite(value) and np.isfinite(grad).all()):
        dataset.refuse_not_finite()
    return value, grad
