"""From blocks on the workers to parts that can be fitted: looked at once, then prepared where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from gpu_logreg.arrays.checks import check_sample_weight, first_not_finite, not_finite_error
from gpu_logreg.arrays.device import Device, cupy_to_device, numpy_defaults, to_device, to_numpy
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError, GpuLogregError
from gpu_logreg.estimators.distributed.workers import DaskParts, computed_blocks, results_of, submit_for_each
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.labels import weights_by_class
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.estimators.streamed_labels import LabelsByBlock
from gpu_logreg.estimators.target import Target
from gpu_logreg.mathematics.losses import Labels
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.part import Part, ShapeOfPart, refuse_mixed_kinds, shape_of
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["Options", "prepare_parts", "split_block"]


class Options(NamedTuple):
    """What is asked of every worker.

    Attributes
    ----------
    device, impl, storage : str
        As of `gpu_logreg.LogisticRegression`.
    """

    device: str = "auto"
    impl: str = "auto"
    storage: str = "auto"


class _Look(NamedTuple):
    """What a first look at a block tells.

    Attributes
    ----------
    n_rows, n_columns : int
    names : list of str or None
    labels : ndarray
        All that occur, once each.
    weights : ndarray
        Sum of the weights of the rows with each.
    """

    n_rows: int
    n_columns: int
    names: list[str] | None
    labels: NDArray[Any]
    weights: Float64Vector

    def weight(self, classes: NDArray[Any], by_class: Float64Vector | None) -> float:
        """Sum of the weights of the rows, times those of their classes."""
        of_labels = 1.0 if by_class is None else by_class[np.searchsorted(classes, self.labels)]
        return float(np.sum(self.weights * of_labels))


def prepare_parts(
    client: Client, blocks: Sequence[tuple[Any, Any, Any]], class_weight: Any, options: Options
) -> tuple[Prepared, NDArray[np.object_] | None]:
    """Rows on the workers that can be fitted, and the names of their columns.

    Parameters
    ----------
    client : Client
    blocks : sequence of (X, y, sample_weight)
        Delayed values: see `gpu_logreg.estimators.distributed.collections.blocks_of`.
    class_weight : dict, "balanced" or None
    options : Options

    Raises
    ------
    DataError
        A line that begins with the partition; what does not agree between partitions.
    """
    columns = computed_blocks(client, blocks)
    numbers = list(range(len(blocks)))
    looks = results_of(client, submit_for_each(client, _look, numbers, *columns))
    filled = [k for k in numbers if looks[k] is not None]
    if not filled:
        raise DataError("the partitions hold no rows; at least one row is required")
    _refuse_unlike(looks, filled)
    classes, by_class = _classes_of(looks, filled, class_weight)
    target = Target(classes)
    weighted = [k for k in filled if looks[k].weight(classes, by_class) > 0.0]
    unweighted = [[column[k] for k in filled if k not in set(weighted)] for column in (numbers, *columns)]
    if unweighted[0]:  # they count for nothing, but are to be rows of numbers
        results_of(client, submit_for_each(client, _refuse_not_finite, *unweighted))
    if not weighted:
        raise DataError("the weights of all rows are zero; at least one must be positive")
    chosen = [[column[k] for k in weighted] for column in (numbers, *columns)]
    how = {"target": target, "by_class": by_class, "options": options}
    parts = DaskParts(client, submit_for_each(client, _make, *chosen, **how))
    shapes: list[ShapeOfPart] = parts.each(shape_of)
    refuse_mixed_kinds(weighted, shapes)
    names = looks[filled[0]].names
    data = PartedDataset(parts, shapes, names)
    device = Device("cpu", reason="samples are worked on by the client; rows, where they are")
    return Prepared(data, target, device), None if names is None else np.array(names, dtype=object)


def _classes_of(
    looks: Sequence[_Look], filled: Sequence[int], class_weight: Any
) -> tuple[NDArray[Any], Float64Vector | None]:
    """The classes of all partitions, and the weight of each; None for 1."""
    labels = LabelsByBlock()
    for k in filled:
        labels.add(looks[k].labels, f"partition {k}: ")
    classes, _ = labels.encoded()
    if class_weight is None:
        return classes, None
    sums = np.zeros(len(classes))
    for k in filled:
        np.add.at(sums, np.searchsorted(classes, looks[k].labels), looks[k].weights)
    return classes, weights_by_class(class_weight, classes, sums)


def _refuse_unlike(looks: Sequence[_Look], kept: Sequence[int]) -> None:
    """Raise where partitions have other columns than the first."""
    first = looks[kept[0]]
    for k in kept[1:]:
        if looks[k].n_columns != first.n_columns:
            raise DataError(
                f"partition {k}: X has {looks[k].n_columns} columns, and partition {kept[0]} has {first.n_columns}"
            )
        if looks[k].names != first.names:
            raise DataError(f"partition {k}: the columns have other names, or another order, than in {kept[0]}")


def split_block(X: Any, y: Any, s: Any) -> tuple[Any, Any, Any]:
    """Rows, labels and weights of a block, which may come as one."""
    if y is not None:
        return X, y, s
    if not isinstance(X, tuple) or len(X) not in (2, 3):
        raise DataError("the block is no tuple of rows and labels; give (X, y) or (X, y, sample_weight)")
    return X[0], X[1], X[2] if len(X) == 3 else None


def _validated(k: int, block: tuple[Any, Any, Any]) -> tuple[Any, Any, Any, list[str] | None] | None:
    """The rows of a block as an estimator takes them; None where there are none."""
    try:
        X, y, s = split_block(*block)
        if len(getattr(X, "shape", ())) and X.shape[0] == 0:
            return None
        model = LogisticRegression()
        X, y = model._validated(X, y, reset=True)
        names = getattr(model, "feature_names_in_", None)
        return X, y, given_column(s, "sample_weight"), None if names is None else list(names)
    except (GpuLogregError, ValueError, TypeError) as error:
        raise _with_place(k, error) from error


def _with_place(k: int, error: Exception) -> DataError:
    return DataError(f"partition {k}: {' '.join(str(error).split())}")


def _look(k: int, X: Any, y: Any, s: Any) -> _Look | None:
    """A task on the worker of a block."""
    with numpy_defaults():
        found = _validated(k, (X, y, s))
        if found is None:
            return None
        X, y, s, names = found
        weights = _weights(k, s, X.shape[0])
        if weights is None:
            labels, counts = np.unique(to_numpy(y), return_counts=True)
            sums = counts.astype(np.float64)
        else:
            labels, codes = np.unique(to_numpy(y), return_inverse=True)
            sums = np.bincount(codes, weights, minlength=len(labels)).astype(np.float64)
        return _Look(X.shape[0], X.shape[1], names, labels, sums)


def _weights(k: int, s: Any, n: int) -> Float64Vector | None:
    """Checked weights of the rows of a block, which may all be zero, if those of others are not."""
    s = None if s is None else to_numpy(cupy_to_device(s, Device("cpu")))
    if s is None or (s.shape == (n,) and not np.any(s)):
        return None if s is None else np.zeros(n)
    try:
        return np.asarray(check_sample_weight(s, n), np.float64)
    except DataError as error:
        raise _with_place(k, error) from error


def _refuse_not_finite(k: int, X: Any, y: Any, s: Any) -> None:
    """A task on the worker of a block whose rows all have the weight 0."""
    found = _validated(k, (X, y, s))
    assert found is not None
    bad = first_not_finite(found[0])
    if bad is not None:
        name = "" if found[3] is None else f" ({found[3][bad[1]]!r})"
        raise _with_place(k, not_finite_error(*bad, name))


def _make(k: int, X: Any, y: Any, s: Any, *, target: Target, by_class: Float64Vector | None, options: Options) -> Part:
    """A task on the worker of a block: the part, which stays there."""
    with numpy_defaults():
        found, loss = _validated(k, (X, y, s)), target.loss
        assert found is not None
        assert not isinstance(loss, Labels)
        X, y, s, names = found
        device = resolve_device(options.device, X)
        codes = target.encode(cupy_to_device(y, Device("cpu")))
        weights = _weights(k, s, X.shape[0])
        if by_class is not None:
            weights = by_class[codes] if weights is None else weights * by_class[codes]
        try:
            data = ResidentDataset.from_arrays(
                X, to_device(codes, device), to_device(weights, device), device, names, options.storage, encoded=True
            )
            return Part(data, choose(options.impl, data.rows, device, loss), f"partition {k}: ")
        except DataError as error:
            raise _with_place(k, error) from error
