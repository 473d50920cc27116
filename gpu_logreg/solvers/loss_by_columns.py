"""What proximal Newton by columns asks of a loss: sums over columns at a point, and a model of the curvature there."""

from __future__ import annotations

from typing import Any, Protocol

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector

__all__ = ["LossByColumns"]


class LossByColumns(Protocol):
    """A loss by columns: `gpu_logreg.passes.cpu.columns.CpuColumns` says what each method does."""

    n_rows: int

    def place(self, W: Float64Matrix, b: Float64Vector) -> float:
        """Go to weights (K, d) and intercepts (K,); the mean loss."""

    def logits(self) -> Float64Matrix:
        """A copy of the logits at the present point."""

    def go_to(self, z: Float64Matrix, taken: IntVector) -> None:
        """Go to a point by its logits, with copies of some columns."""

    def gradient(self) -> tuple[Float64Matrix, Float64Vector]:
        """Gradient by all weights and by the intercepts; one read."""

    def expand(self, caution: float) -> tuple[Float64Matrix, Float64Vector]:
        """A model with some caution; second derivatives by weights, which `cycles` fills, and by intercepts."""

    def cycles(self, k: int, at: IntVector, state: Any, ends: Any, until: Any) -> Any:
        """Cycles of coordinate descent over columns of class k."""

    def slopes(self, at: IntVector) -> tuple[Float64Vector, float]:
        """Gradient of the model where it is, by weights and by the intercept."""

    def product(self, at: IntVector, v: Float64Vector, v_b: float) -> tuple[Float64Vector, float]:
        """Its Hessian times a vector."""

    def move(self, at: IntVector, v: Float64Vector, v_b: float) -> float:
        """Move the model; the change of the intercept."""

    def take(self, at: IntVector) -> None:
        """Copy some columns."""

    @property
    def taken(self) -> IntVector:
        """The columns that were copied last."""

    @property
    def n_taken(self) -> tuple[int, float]:
        """Their elements, and pairs of them in a row."""

    def hessian(self) -> Float64Matrix:
        """Of the model by the weights of the columns that were taken."""

    def try_step(self, t: float) -> float:
        """The mean loss at a part of the way that the model has moved."""

    def accept(self) -> None:
        """Go there."""
