"""From what an estimator is given to rows that can be fitted: on their device, labels encoded, weights complete.

It is the same for every estimator, and whoever fits the same rows more than once prepares them once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.checks import check_sample_weight
from gpu_logreg.arrays.device import Device, cupy_to_device, to_device, to_numpy
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.labels import class_weighted, encode_labels
from gpu_logreg.estimators.offset import given_offset
from gpu_logreg.estimators.soft_labels import weighted_by_class
from gpu_logreg.estimators.target import Target
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.losses import Binary, Labels
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """Rows to fit, where they will be walked, and what is learnt of them.

    Attributes
    ----------
    data : ResidentDataset or StreamedDataset
        Rows, encoded labels, and row weights times class weights; with the names of the columns, for messages.
    target : Target
        Classes or labels.
    device : Device
    offset_loss : Loss or None
        The loss in the place of the target's, of rows with an offset.
    """

    data: Dataset
    target: Target
    device: Device
    offset_loss: Loss | None = None

    @cached_attribute
    def shares(self) -> Float64Vector:
        """Weighted share of every class, in host memory; not of labels.

        Raises
        ------
        DataError
            If all the weight lies on one class; the message names it.
        """
        loss = self.target.loss
        assert not isinstance(loss, Labels)
        sums = self.data.weights_of_classes(self.offset_loss or loss)
        present = np.flatnonzero(sums > 0.0)
        if len(present) < 2:
            only: Any = self.target.classes[present[0]]
            only = only.item() if hasattr(only, "item") else only
            raise DataError(f"the rows of positive weight hold only one class: {only!r}; at least 2 classes are needed")
        return np.asarray(sums / self.data.weight_total)


def prepare(
    X: Any,
    y: Any,
    sample_weight: Any,
    device: Device,
    *,
    class_weight: Any = None,
    storage: str = "auto",
    target: Target | None = None,
    column_names: Any = None,
    progress: Callable[[int, int], None] | None = None,
    offset: Any = None,
    soft: Float64Matrix | None = None,
) -> Prepared:
    """Encode labels, complete weights, and bring all to a device.

    Parameters
    ----------
    X : array of shape (n, d)
        Validated rows, in any memory. They are copied only where they go to a GPU, or where ``storage`` asks for it.
    y : array of shape (n,) or (n, L)
        Validated labels, in any memory.
    sample_weight : array-like of shape (n,), number or None
        As the estimator was given it.
    device : Device
        Where rows are walked.
    class_weight : dict, "balanced" or None
    storage : str
        As of `gpu_logreg.rows.storage.store`.
    target : Target or None
        What is known to be learnt; None for the classes that ``y`` holds.
    column_names : sequence of str or None
    progress : function (bytes done, bytes in all) -> None, optional
        Called now and then while rows go to a GPU.
    offset : as `gpu_logreg.estimators.offset.given_offset` takes it, or None
        Of a linear model; its rows are computed in float64 then, in which offsets are.
    soft : ndarray of shape (n, K) or None
        Soft labels of a linear model: see `gpu_logreg.estimators.soft_labels`; ``y`` is the most probable class.

    Raises
    ------
    DataError
        Labels or weights that cannot be used, values that ``storage`` cannot hold.
    DeviceError
        Rows that do not fit the memory of the device.

    Examples
    --------
    >>> X, y = np.array([[0.5], [1.5], [2.5], [3.5]]), np.array(["no", "yes", "yes", "yes"])
    >>> prepared = prepare(X, y, None, Device("cpu"), class_weight={"no": 3.0, "yes": 1.0})
    >>> prepared.data.rows.y, prepared.data.rows.sample_weight
    (array([0, 1, 1, 1], dtype=uint8), array([3., 1., 1., 1.]))
    >>> prepared.shares
    array([0.5, 0.5])
    """
    if target is None:
        classes, labels = encode_labels(cupy_to_device(y, device))
        target = Target(classes)
    else:
        labels = target.encode(y)
    weights = given_column(sample_weight, "sample_weight")
    labels, weights = to_device(labels, device), cupy_to_device(weights, device)
    if soft is not None:
        weights = to_numpy(check_sample_weight(weights, X.shape[0])) if weights is not None else None
        soft, weights = weighted_by_class(class_weight, soft, weights)
        soft, weights = to_device(soft, device), to_device(weights, device)
    elif class_weight is not None:
        weights = to_device(check_sample_weight(weights, X.shape[0]), device)
        weights = class_weighted(class_weight, target.classes, labels, weights)
    rows_of = ResidentDataset.from_arrays
    how: Any = device, column_names, storage, progress
    if soft is not None and offset is None and target.loss.n_logits == 1:
        return Prepared(rows_of(X, soft[:, 1], weights, *how), target, device, Binary(soft=True))
    if offset is None and soft is None:
        data = ResidentDataset.from_arrays(X, labels, weights, device, column_names, storage, progress, encoded=True)
        return Prepared(data, target, device)
    from gpu_logreg.mathematics.offsets import labels_with_offset, loss_with_offset

    known = given_offset(0.0 if offset is None else offset, X.shape[0], target.loss.n_logits, device)
    if soft is not None and target.loss.n_logits == 1:
        labels, soft_of_classes = soft[:, 1], None
    else:
        soft_of_classes = soft
    loss = loss_with_offset(target.loss, known, soft is not None)
    data = rows_of(X, labels_with_offset(labels, known, soft_of_classes), weights, *how, encoded=True)
    return Prepared(data.in_float64(), target, device, loss)
