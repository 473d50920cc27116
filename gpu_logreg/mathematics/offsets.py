"""Losses of rows that have an offset, known logits to which those of the model are added, or soft labels of K classes.

``row_loss(x @ w + b + offset, y)``. The offset of a row is a number of that row, as its label is, and stands beside it:
the labels of such a loss are of shape (n, 1 + n_logits), the label first, in float64. So an offset goes wherever labels
go: into samples, onto a device, into the digest of a checkpoint. All that knows losses by their methods alone takes
these as they are, the reference engine first. Of K classes, soft labels stand there too, after the offsets: the
probabilities of the classes, the most probable of which is the label.

Source: P. McCullagh and J. A. Nelder, "Generalized Linear Models" (1989), section 6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.mathematics.losses import Binary, Classes

__all__ = ["BinaryWithOffset", "ClassesWithOffset", "labels_with_offset", "loss_with_offset"]


@dataclass(frozen=True)
class BinaryWithOffset(Binary):
    """Two classes, and one offset of every row.

    Parameters
    ----------
    mean_offset : tuple of one float
        About what a fit starts from the other side of.

    Examples
    --------
    >>> z, y = np.array([0.5]), np.array([[1.0, 2.0]])  # label 1, offset 2
    >>> BinaryWithOffset().loss_and_dz(z, y)[0] == Binary().loss_and_dz(z + 2.0, y[:, 0])[0]
    array([ True])
    """

    mean_offset: tuple[float, ...] = (0.0,)
    has_offset: ClassVar[bool] = True

    @property
    def value_tells_separation(self) -> bool:
        """False: the offset alone may put every row on its side."""
        return False

    def logits_and_labels(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The logits with the offsets, of shape (n,), and the labels alone."""
        return z + y[:, 1].astype(z.dtype, copy=False), y[:, 0]

    def loss_and_dz(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Those of `Binary` at the logits with the offsets."""
        return super().loss_and_dz(*self.logits_and_labels(z, y))

    def curvature(self, z: Array, y: Array) -> Array:
        """That of `Binary` at the logits with the offsets."""
        return super().curvature(*self.logits_and_labels(z, y))

    def loss_dz_and_curvature(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """`loss_and_dz` and `curvature` of every row."""
        return super().loss_dz_and_curvature(*self.logits_and_labels(z, y))

    def weights_of_classes(self, y: Array, s: Array | None, total: float) -> Float64Vector:
        """Those of the labels alone."""
        return super().weights_of_classes(y[:, 0] if self.soft else y[:, 0].astype(np.uint8), s, total)

    def start(self, shares: Float64Vector, least_share: float) -> Float64Vector:
        """That of `Binary` less the mean offset: not the optimum, but near enough for Newton's method."""
        return np.asarray(super().start(shares, least_share) - self.mean_offset)


@dataclass(frozen=True)
class ClassesWithOffset(Classes):
    """K classes, and an offset of every row and class.

    Parameters
    ----------
    n_logits : int
    mean_offset : tuple of K floats
    soft : bool
        Whether rows have probabilities of the classes.

    Examples
    --------
    >>> z, y = np.zeros((1, 3)), np.array([[2.0, 0.0, 0.0, 0.0, 0.25, 0.25, 0.5]])
    >>> ClassesWithOffset(3, soft=True).loss_and_dz(z, y)[1].round(2)
    array([[ 0.08,  0.08, -0.17]])
    """

    mean_offset: tuple[float, ...] = (0.0,)
    soft: bool = False
    has_offset: ClassVar[bool] = True

    @property
    def value_tells_separation(self) -> bool:
        """False: the offset alone may put every row on its side."""
        return False

    def logits_and_labels(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The logits with the offsets, of shape (n, K), and the numbers of the classes alone."""
        return z + y[:, 1 : 1 + self.n_logits].astype(z.dtype, copy=False), y[:, 0].astype(np.int32)

    def probabilities_of_labels(self, y: Array) -> Array:
        """The soft labels, of shape (n, K)."""
        return y[:, 1 + self.n_logits :]

    def loss_and_dz(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Those of `Classes` at the logits with the offsets; of soft labels the mean by their probabilities."""
        z, labels = self.logits_and_labels(z, y)
        if not self.soft:
            return super().loss_and_dz(z, labels)
        xp, P = array_namespace(z), self.probabilities_of_labels(y)
        z = z - z.max(axis=1, keepdims=True)
        return xp.log(xp.exp(z).sum(axis=1)) - (P * z).sum(axis=1), softmax.softmax(z) - P

    def row_loss(self, z: Array, y: Array) -> Array:
        """That of `Classes` at the logits with the offsets."""
        return self.loss_and_dz(z, y)[0]

    def weights_of_classes(self, y: Array, s: Array | None, total: float) -> Float64Vector:
        """Those of the labels alone."""
        if self.soft:
            P = self.probabilities_of_labels(y)
            return np.asarray(to_numpy((P if s is None else P * s[:, None]).sum(axis=0)))
        return super().weights_of_classes(y[:, 0].astype(np.int32), s, total)

    def start(self, shares: Float64Vector, least_share: float) -> Float64Vector:
        """That of `Classes` less the mean offsets."""
        start = super().start(shares, least_share) - self.mean_offset
        return np.asarray(start - start.mean())


def loss_with_offset(loss: Any, offset: Array, soft: bool = False) -> BinaryWithOffset | ClassesWithOffset:
    """The loss of rows with offsets, from that of rows without; ``offset`` of shape (n, n_logits)."""
    mean = tuple(float(one) for one in offset.mean(axis=0))
    if isinstance(loss, Binary):
        return BinaryWithOffset(mean_offset=mean, soft=soft)
    return ClassesWithOffset(loss.n_logits, mean_offset=mean, soft=soft)


def labels_with_offset(labels: Array, offset: Array, P: Array | None = None) -> Array:
    """Labels with all that stands beside them: offsets of shape (n, n_logits), soft labels ``P`` of shape (n, K)."""
    xp = array_namespace(offset)
    columns = [labels[:, None], offset] if P is None else [labels[:, None], offset, P]
    return xp.concatenate([xp.asarray(column, dtype=xp.float64) for column in columns], axis=1)
