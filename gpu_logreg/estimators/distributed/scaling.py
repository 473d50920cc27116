"""Blocks of rows on a cluster with columns of mean 0 and deviation 1, as a network is trained on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from dask import delayed
from distributed import Client

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.distributed.workers import computed_blocks, results_of, submit_for_each
from gpu_logreg.rows.column_extents import Extent, extent_of, squares_about
from gpu_logreg.rows.scaling import scale_columns

__all__ = ["Scaling", "scaled_blocks", "scaling_of"]


class Scaling(NamedTuple):
    """``u = (x - centre) / scale``; see `gpu_logreg.rows.scaling.centre_scale_and_width`."""

    centre: Float64Vector
    scale: Float64Vector
    width: Float64Vector


def scaling_of(client: Client, blocks: Sequence[Any]) -> Scaling:
    """The scaling of the rows of all blocks, from two walks over them; not finite where a value is not.

    Parameters
    ----------
    client : Client
    blocks : sequence of delayed tuples, which begin with the rows
    """
    (futures,) = computed_blocks(client, [(block,) for block in blocks])
    of_blocks: list[Extent | None] = results_of(client, submit_for_each(client, _extent, futures))
    found = [extent for extent in of_blocks if extent is not None]
    if not found:
        raise DataError("no rows are left to train on")
    with np.errstate(over="ignore", invalid="ignore"):
        whole = functools.reduce(lambda one, other: one + other, found)
        is_full = whole.stored == whole.n
        centre = np.where(is_full, whole.total / whole.n, 0.0)
        squares = sum(results_of(client, submit_for_each(client, _squares, futures, centre=centre)))
        width = np.where(is_full, whole.most - whole.least, np.maximum(np.abs(whole.least), np.abs(whole.most)))
        return Scaling(centre, np.sqrt(squares / whole.n), np.where(whole.stored > 0, width, 0.0))


def scaled_blocks(blocks: Sequence[Any], scaling: Scaling) -> list[Any]:
    """The same blocks with scaled rows, delayed."""
    return [delayed(_scaled, pure=False)(block, scaling) for block in blocks]


def _extent(block: tuple[Any, ...]) -> Extent | None:
    return extent_of(block[0]) if block[0].shape[0] else None


def _squares(block: tuple[Any, ...], *, centre: Float64Vector) -> Float64Vector:
    return squares_about(block[0], centre)


def _scaled(block: tuple[Any, ...], scaling: Scaling) -> tuple[Any, ...]:
    return (scale_columns(block[0], scaling.centre, scaling.scale), *block[1:])
