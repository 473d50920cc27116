"""What is asked of a loss: by networks and predictions of every loss, by linear models of those that they can have.

The losses themselves are in `gpu_logreg.mathematics.losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from gpu_logreg.arrays.vector import Array, Float64Vector
from gpu_logreg.mathematics.hessian_form import HessianForm

__all__ = ["Loss", "Output", "PackedPass", "Pass"]

Pass = Callable[[Any, Any], tuple[float, Any, Any]]
"""From weights and intercepts to loss and gradient sums over rows."""

PackedPass = Callable[[Float64Vector], tuple[float, Float64Vector]]
"""From packed parameters to the loss sum over rows and its gradient."""


class Output(Protocol):
    """A loss, as the training of a network and all predictions use it.

    Attributes
    ----------
    n_logits : int
        1 for two classes, K for K of them, L for L labels.
    label_dtype : type
        How labels are stored once they are encoded: ``uint8`` zeros and ones, or ``int32`` numbers of classes.
    link : str
        scikit-learn's name for the function from logits to probabilities, ``"logistic"`` or ``"softmax"``.
    needs_every_class : bool
        Whether rows without one of the classes cannot be trained on, nor scored.
    """

    label_dtype: ClassVar[type]
    link: ClassVar[str]
    needs_every_class: ClassVar[bool]

    @property
    def n_logits(self) -> int:
        """Logits of a row."""

    def probabilities(self, z: Array) -> Array:
        """Probabilities of the classes, or of the labels, from logits of the shape of `decision_function`."""

    def log_probabilities(self, z: Array) -> Array:
        """Logarithms of the probabilities, finite for finite logits."""

    def decide(self, z: Array) -> Array:
        """Number of the most probable class of every row, or 0 and 1 for each label; on the host."""


class Loss(Output, Protocol):
    """A loss, as objectives, engines and fits of linear models use it.

    Attributes
    ----------
    largest_curvature : float
        Bound of the eigenvalues of the second derivative of ``row_loss`` by the logits.
    has_free_directions : bool
        Whether a constant added to all logits of a row changes no probability.
    has_offset : bool
        Whether labels have known logits beside them: see `gpu_logreg.mathematics.offsets`.
    """

    has_offset: ClassVar[bool]

    @property
    def n_classes(self) -> int:
        """Classes that labels are numbers of."""

    @property
    def value_tells_separation(self) -> bool:
        """Whether classes are separable where the value is below that of one row on the wrong side."""

    @property
    def largest_curvature(self) -> float:
        """Bound of the curvature by the logits."""

    @property
    def has_free_directions(self) -> bool:
        """Whether constants added to all logits change nothing."""

    def unpack(self, params: Float64Vector, n_columns: int) -> tuple[Float64Vector, Any]:
        """Weights and intercepts of packed parameters; without an intercept in them, an intercept of zero."""

    def packed_gradient(self, dw_sum: Float64Vector, db_sum: Any, fit_intercept: bool) -> Float64Vector:
        """Gradient sums as a new packed vector, without the rounding error along the free directions."""

    def packed_pass(self, run: Pass, n_columns: int, fit_intercept: bool) -> PackedPass:
        """A pass over rows as a function of packed parameters, which gives loss sum and packed gradient sums."""

    def penalty_value(self, phi: Float64Vector, penalised: Float64Vector) -> float:
        """The ridge penalty ``phi @ penalised / 2`` from parameters and the gradient ``penalised`` of the penalty."""

    def start(self, shares: Float64Vector, least_share: float) -> Float64Vector:
        """The optimal intercepts at zero weights, with which the probabilities are the classes' shares of the rows."""

    def curvature_at_start(self, shares: Float64Vector, fit_intercept: bool) -> list[float]:
        """Second derivative of the mean loss by each logit, at zero weights."""

    def hessian_form(self, n_params: int) -> HessianForm:
        """How solvers keep the Hessian of ``n_params`` parameters, and what it costs."""

    def logits_and_labels(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The logits with the offsets that stand beside the labels, and the labels alone."""

    def loss_and_dz(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The loss of every row and its derivative by the logits; ``z`` of shape (n,), or (n, K)."""

    def row_loss(self, z: Array, y: Array) -> Array:
        """The loss of every row; ``z`` of shape (n, n_logits)."""

    def weights_of_classes(self, y: Array, s: Array | None, total: float) -> Float64Vector:
        """Sum of the row weights ``s`` of every class, in host memory; ``total`` is that of all rows."""
