"""The first read of a stream: its labels, and which of its blocks stay in memory within the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from numpy.typing import NDArray

from gpu_logreg.arrays.checks import check_sample_weight
from gpu_logreg.arrays.vector import HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.first_read import first_read
from gpu_logreg.estimators.stream_sources import FileRows
from gpu_logreg.estimators.user_blocks import UserBlocks
from gpu_logreg.rows.apart import largest_sample
from gpu_logreg.rows.block_store import IN_FLIGHT, BlockStore, kept_numbers, largest_block
from gpu_logreg.rows.source_blocks import bytes_of_a_sampled_row, parts_of, stored_counts

__all__ = ["Opened", "open_blocks", "open_files"]

SAMPLE_SHARE = 1 / 32
"""Share of the rows that memory is set aside for as a sample; the cheapest sample is a few percent of them."""


@dataclass(frozen=True)
class Opened:
    """What the first read of a stream has found; ``n_stored`` and ``n_pairs`` are of sparse rows."""

    store: BlockStore
    classes: NDArray[Any]
    codes: HostArray
    sample_weight: HostArray | None
    n_stored: int = 0
    n_pairs: float = 0.0


def open_files(files: FileRows, budget: int, ahead: bool) -> Opened:
    """Labels and weights of files, and the store of their rows, of which as many blocks stay as the budget holds.

    Raises
    ------
    DataError
        A budget that does not hold labels and the blocks that are read.
    """
    source = files.rows
    parts = parts_of(source)
    classes, codes = files.encoded()
    weights = files.weights()
    store = BlockStore(source, parts, _kept(source, codes, weights, parts, budget), ahead=ahead)
    return Opened(store, classes, codes, weights, *stored_counts(source))


def open_blocks(source: UserBlocks, budget: int, ahead: bool) -> Opened:
    """The same of blocks that code yields: all of them are read, and all stay or none."""
    found = first_read(source, budget)
    classes, codes = found.labels
    weights = check_sample_weight(found.sample_weight, source.n_rows)
    kept = frozenset(found.blocks)
    if not kept and budget < IN_FLIGHT * largest_block(source, found.parts):
        _refuse_budget(source, codes, weights, found.parts, budget)
    store = BlockStore(source, found.parts, kept, found.blocks, ahead)
    store.blocks_read, store.bytes_read = len(found.parts), found.nbytes
    return Opened(store, classes, codes, weights, found.n_stored, found.n_pairs)


def _kept(source: Any, codes: HostArray, weights: HostArray | None, parts: list[slice], budget: int) -> frozenset[int]:
    """The blocks that stay in memory."""
    largest = largest_block(source, parts)
    spare = budget - codes.nbytes - (0 if weights is None else weights.nbytes)
    spare -= getattr(source, "reader_bytes", 0) if len(parts) > 1 else 0
    if spare < IN_FLIGHT * largest and len(parts) > 1:
        _refuse_budget(source, codes, weights, parts, budget)
    sample = int(min(largest_sample(source.n_columns), SAMPLE_SHARE * source.n_rows))
    spare -= int(source.n_rows + 2 * sample * bytes_of_a_sampled_row(source))
    if len(parts) * largest <= spare or len(parts) == 1:
        return frozenset(range(len(parts)))
    return kept_numbers(len(parts), (spare - IN_FLIGHT * largest) // largest if source.seeks else 0)


def _refuse_budget(
    source: Any, codes: HostArray, weights: HostArray | None, parts: list[slice], budget: int
) -> NoReturn:
    held = codes.nbytes + (0 if weights is None else weights.nbytes)
    blocks = IN_FLIGHT * largest_block(source, parts) + getattr(source, "reader_bytes", 0)
    raise DataError(
        f"a memory budget of {budget / 1e6:,.0f} MB is too small: labels and weights take "
        f"{held / 1e6:,.0f} MB, and to read {IN_FLIGHT} blocks {blocks / 1e6:,.0f} MB; give "
        f"memory_budget='{-(-(held + blocks) // 10**6)}MB' or more"
    )
