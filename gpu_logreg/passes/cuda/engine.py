"""The engines of a GPU: one read by the kernels in ``kernels/``, or two products of cuBLAS around one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu_logreg.arrays.block_sizes import GRADIENT
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.passes import walk
from gpu_logreg.passes.cuda import classes, cublas, dense
from gpu_logreg.passes.engine import DelegatingEngine
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows, compute_dtype
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["CublasEngine", "CudaEngine", "supports", "supports_cublas"]

_PASSES: dict[type, Callable[..., Sums]] = {Binary: dense.cuda_pass, Classes: classes.cuda_multinomial_pass}


class CudaEngine(DelegatingEngine):
    """Gradients and products with the Hessian in one read by the kernels; other sums as the reference engine's."""

    name = "cuda"

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; one read."""
        return _PASSES[type(self.loss)](data.rows, w, b, data.compute_dtype)

    def gradient_and_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """Gradient sums by a kernel, and what products at the same point need by a product of cuBLAS."""
        return self.gradient(data, w, b), self.row_curvature(data, w, b)

    def product(self, data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian with a direction; one read, or two where no probabilities are kept."""
        rows, dtype = data.rows, data.compute_dtype
        if at.kept is None:
            return self._other.product(data, at, v, c)
        if isinstance(self.loss, Binary):
            _, dw, db = dense.cuda_pass(Rows(rows.X, at.kept, None), v, c, dtype, product=True)
        else:
            _, dw, db = classes.cuda_multinomial_pass(rows, v, c, dtype, probabilities=at.kept)
        return Product(dw, db)


class CublasEngine(DelegatingEngine):
    """Gradients of two classes by cuBLAS, which reads the rows twice; all else as the reference engine."""

    name = "cublas"

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; one read, which is two of ``X``."""
        dtype = data.compute_dtype
        return walk.add_all(walk.map_blocks(lambda block: cublas.cublas_pass(block, w, b, dtype), data, GRADIENT), w, b)


def supports(rows: Rows, loss: Loss) -> str | None:
    """Why the kernels cannot do for a fit on ``rows``; None if they can."""
    return dense.supports(rows) if isinstance(loss, Binary) else classes.supports_fit(rows, loss.n_logits)


def supports_cublas(rows: Rows, loss: Loss) -> str | None:
    """Why cuBLAS cannot do for a fit on ``rows``; None if it can. A block is converted before it comes to cuBLAS."""
    if not isinstance(loss, Binary):
        return f"the cublas pass takes two classes, and y has {loss.n_classes}"
    X, y, sample_weight = rows
    block = X[:0].astype(compute_dtype(X.dtype), copy=False)
    return cublas.supports(Rows(block, y[:0], None if sample_weight is None else sample_weight[:0]))
