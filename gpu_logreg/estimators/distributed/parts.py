"""From blocks on the workers to parts that can be fitted: looked at once, then prepared where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from gpu_logreg.arrays.device import Device
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.distributed.looks import (
    Block,
    Look,
    Options,
    Setting,
    look_at,
    look_of,
)
from gpu_logreg.estimators.distributed.workers import DaskParts, computed_blocks, submit_for_each
from gpu_logreg.estimators.labels import weights_by_class
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.estimators.streamed_labels import LabelsByBlock
from gpu_logreg.estimators.target import Target
from gpu_logreg.rows.part import ShapeOfPart, refuse_mixed_kinds, shape_of
from gpu_logreg.rows.parted import PartedDataset

__all__ = ["prepare_parts"]


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
    all_blocks = DaskParts(client, submit_for_each(client, look_at, numbers, *columns))
    looks: list[Look | None] = all_blocks.each(look_of)
    filled = {k: look for k, look in enumerate(looks) if look is not None}
    if not filled:
        raise DataError("the partitions hold no rows; at least one row is required")
    _refuse_unlike(filled)
    classes, by_class = _classes_of(filled, class_weight)
    target = Target(classes)
    weighted = [k for k in filled if filled[k].weight(classes, by_class) > 0.0]
    unweighted = sorted(set(filled) - set(weighted))
    if unweighted:  # they count for nothing, but are to be rows of numbers
        all_blocks.some(unweighted).each(Block.refuse_not_finite)
    if not weighted:
        raise DataError("the weights of all rows are zero; at least one must be positive")
    parts = all_blocks.some(weighted, Setting(target, by_class, options))
    shapes: list[ShapeOfPart] = parts.each(shape_of)
    refuse_mixed_kinds(weighted, shapes)
    names = filled[weighted[0]].names
    data = PartedDataset(parts, shapes, names)
    device = Device("cpu", reason="samples are worked on by the client; rows, where they are")
    return Prepared(data, target, device), None if names is None else np.array(names, dtype=object)


def _classes_of(looks: Mapping[int, Look], class_weight: Any) -> tuple[NDArray[Any], Float64Vector | None]:
    """The classes of all partitions, and the weight of each; None for 1."""
    labels = LabelsByBlock()
    for k, look in looks.items():
        labels.add(look.labels, f"partition {k}: ")
    classes, _ = labels.encoded()
    if class_weight is None:
        return classes, None
    sums = np.zeros(len(classes))
    for look in looks.values():
        np.add.at(sums, np.searchsorted(classes, look.labels), look.weights)
    return classes, weights_by_class(class_weight, classes, sums)


def _refuse_unlike(looks: Mapping[int, Look]) -> None:
    """Raise where partitions have other columns than the first."""
    of_first, first = next(iter(looks.items()))
    for k, look in looks.items():
        if look.n_columns != first.n_columns:
            raise DataError(
                f"partition {k}: X has {look.n_columns} columns, and partition {of_first} has {first.n_columns}"
            )
        if look.names != first.names:
            raise DataError(f"partition {k}: the columns have other names, or another order, than in {of_first}")
