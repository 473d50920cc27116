"""Rows beyond memory, as a user gives them: files, data sets of Arrow, blocks that code yields."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.memory import memory_budget as bytes_of_budget
from gpu_logreg.arrays.random import is_drawn
from gpu_logreg.arrays.vector import ArrayOfRows, DType, Float64Vector, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.opened_stream import Opened, open_blocks, open_files
from gpu_logreg.estimators.stream_sources import FileRows, file_rows, is_file
from gpu_logreg.estimators.user_blocks import UserBlocks
from gpu_logreg.files.dataset_rows import DatasetRows
from gpu_logreg.rows.block_store import BlockStore
from gpu_logreg.rows.scaled_rows import ScaledRows
from gpu_logreg.rows.source_blocks import parts_of

if TYPE_CHECKING:
    from gpu_logreg.files.schema_by_block import Learned

__all__ = ["Stream"]

FREE_SHARE = 0.5
"""Share of the free memory that is the budget of a stream that is given none."""

BlockOfRows = tuple[ArrayOfRows, HostArray | None, HostArray | None]
"""Rows, and labels and weights or None."""


class Stream:
    """Rows that need not fit in memory: `gpu_logreg.LogisticRegression` walks them block by block.

    A fit gives the optimum of all rows, in about ten reads of them; how many blocks stay in memory changes its time and
    no bit of its result. Blocks that stay are kept from fit to fit.

    Parameters
    ----------
    rows : path, data set, array, callable or iterable
        Files: ``.npy``, ``.npz``, Parquet, Arrow IPC, CSV, LIBSVM text; a file, a folder, partitioned as Hive does or
        not, a pattern of names, or any ``pyarrow.dataset.Dataset``. An array that gives slices of rows: a data set of
        HDF5 or Zarr, a mapped array. Else blocks of rows: a function without parameters that returns an iterator of
        them, or an object that can be iterated again and again. A block is ``(X, y)`` or
        ``(X, y, sample_weight)``, with ``X`` dense, sparse or a table of numbers; blocks may be of any size, and to
        predict ``X`` alone will do. They are yielded in a thread of their own. An iterator, such as a generator, can be
        read once: its rows are kept, and refused where they exceed the budget.
    y : array of shape (n,) or path of a ``.npy`` file, optional
        Labels of the rows of a file.
    sample_weight : array of shape (n,), optional
        Weights of the rows of a file.
    features, target, weight : str, optional
        Arrays of an ``.npz`` archive that hold rows, labels and weights. Of tables ``target`` and ``weight`` are
        columns, and all others are features.
    drop : collection of str, default=()
        Columns of tables that are no features.
    columns : str, optional
        ``table_columns_`` of a model that was fitted to the stream of a table with text, dates or missing cells: rows
        of another table are encoded by these columns, for predictions.
    memory_budget : int, float or str, default=0.5
        Most memory for rows, labels, weights and samples: bytes, ``"4GB"``, or a share of the memory that is free in
        the system and in the control group of the process. As many blocks as fit stay in memory. A fit may take up to
        500 MB besides, and what its Hessian takes.
    read_ahead : bool, default=True
        Whether a thread reads the next block while one is computed.

    Attributes
    ----------
    n_reads_, bytes_read_ : float, int
        Reads of all blocks from their source up to now, in blocks over their number, and their bytes; of blocks that
        code yields with the first read, which counts their rows, and is none of the reads of a fit.
    n_resident_, n_blocks_ : int
        Blocks that stay in memory, and all.

    Examples
    --------
    >>> import numpy as np
    >>> from gpu_logreg import LogisticRegression, Stream
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1000, 3))
    >>> y = X[:, 0] + rng.logistic(size=1000) > 0
    >>> np.save("rows.npy", X)
    >>> stream = Stream("rows.npy", y, memory_budget="1GB")
    >>> model = LogisticRegression().fit(stream)
    >>> model.predict_proba(stream).shape, model.score(stream) == model.score(X, y)
    ((1000, 2), True)

    Blocks that code yields:

    >>> def blocks():
    ...     for first in range(0, 1000, 300):
    ...         yield X[first : first + 300], y[first : first + 300]
    >>> bool((LogisticRegression().fit(blocks).coef_ == model.coef_).all())
    True
    """

    def __init__(
        self,
        rows: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        features: str | None = None,
        target: str | None = None,
        weight: str | None = None,
        drop: Collection[str] = (),
        columns: str | None = None,
        memory_budget: str | float = FREE_SHARE,
        read_ahead: bool = True,
    ) -> None:
        self._budget = bytes_of_budget(memory_budget)
        self._read_ahead = read_ahead
        self._files: FileRows | None = None
        self._source: Any
        if is_file(rows):
            self._files = file_rows(rows, y, sample_weight, features, target, weight, drop, columns)
            self._source = self._files.rows
            return
        if y is not None or sample_weight is not None:
            raise DataError("blocks bring their own labels and weights; yield (X, y) or (X, y, sample_weight)")
        if drop or any(name is not None for name in (features, target, weight, columns)):
            raise DataError("features, target, weight, drop and columns are of files; blocks bring rows and labels")
        self._source = UserBlocks(rows)

    @cached_attribute
    def opened(self) -> Opened:
        """What the first read has found: it is made on first access."""
        if self._files is not None:
            return open_files(self._files, self._budget, self._read_ahead)
        return open_blocks(self._source, self._budget, self._read_ahead)

    @property
    def dtype(self) -> DType:
        """Dtype of the rows."""
        if self._source.n_columns < 0:
            _ = self.opened
        dtype: DType = self._source.dtype
        return dtype

    @property
    def n_columns(self) -> int:
        """Columns of the rows."""
        if self._source.n_columns < 0:
            _ = self.opened
        return int(self._source.n_columns)

    @property
    def n_rows(self) -> int:
        """Rows; of blocks that code yields they are known after a read."""
        if self._files is None:
            _ = self.opened
        return int(self._source.n_rows)

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the columns, where they have any."""
        _ = self.n_columns
        return getattr(self._source, "names", None)

    @property
    def first_index(self) -> int:
        """Index of the first feature in LIBSVM text; 0 for other rows."""
        return int(getattr(self._source, "first_index", 0))

    @property
    def learned(self) -> Learned | None:
        """The columns of a table that the rows are made of, where they were read first."""
        return None if self._files is None else self._files.learned

    @property
    def selects(self) -> bool:
        """Whether predictions find their columns by name."""
        return isinstance(self._source, DatasetRows)

    @property
    def n_blocks_(self) -> int:
        """Blocks that the rows are walked in."""
        return len(self.opened.store.parts)

    @property
    def n_resident_(self) -> int:
        """Blocks that stay in memory."""
        return len(self.opened.store.kept)

    @property
    def n_reads_(self) -> float:
        """Reads of the blocks from their source, over their number."""
        return self.opened.store.blocks_read / self.n_blocks_

    @property
    def bytes_read_(self) -> int:
        """Bytes of these blocks."""
        return self.opened.store.bytes_read

    def blocks(self, labelled: bool = False, names: Sequence[str] | None = None) -> Iterator[BlockOfRows]:
        """Rows, labels and weights block by block, as they are: for predictions.

        Parameters
        ----------
        labelled : bool
            Whether labels are needed.
        names : sequence of str or None
            Columns of tables, in their order; all features if None.
        """
        source = self._source
        if self._files is None:
            if source.reads_once and "opened" in self.__dict__:
                yield from self._kept_blocks(labelled)
                return
            for _, block in source.blocks():
                yield block.X, block.y, block.sample_weight
            return
        y, s = (self._files.labels(), self._files.weights()) if labelled else (None, None)
        store = self.opened.store if "opened" in self.__dict__ else None
        if names is not None and isinstance(source, DatasetRows) and tuple(names) != source.names:
            source, store = source.selected(names), None
        if store is None:
            store = BlockStore(source, parts_of(source), frozenset(), ahead=self._read_ahead)
        for number, X in store.walk():
            part = store.parts[number]
            yield X, None if y is None else y[part], None if s is None else s[part]

    def encoded_blocks(self) -> Iterator[tuple[ArrayOfRows, HostArray, HostArray | None]]:
        """Rows, numbers of classes and weights block by block, as they are fitted."""
        opened = self.opened
        for number, X in opened.store.walk():
            part = opened.store.parts[number]
            yield X, opened.codes[part], None if opened.sample_weight is None else opened.sample_weight[part]

    def hold_back(self, share: float, seed: int) -> None:
        """From now on a random share of the rows has the weight 0: those that `encoded_blocks` gives the weight 0.

        Which they are depends on their numbers and the seed alone, and not on blocks or budgets.
        """
        opened = self.opened
        kept = ~is_drawn(0, len(opened.codes), share, seed)
        weights = kept if opened.sample_weight is None else np.where(kept, opened.sample_weight, 0.0)
        self.__dict__["opened"] = replace(opened, sample_weight=weights)

    def scaled(self, centre: Float64Vector, scale: Float64Vector) -> Stream:
        """A stream of ``(x - centre) / scale``, of which the blocks stay in memory that stayed of this one."""
        opened, stream = self.opened, copy.copy(self)
        store, source = opened.store, ScaledRows(opened.store.source, centre, scale)
        rest = BlockStore(store.source, store.parts, frozenset())
        rest.blocks_read, rest.bytes_read = store.blocks_read, store.bytes_read
        self.__dict__["opened"] = replace(opened, store=rest)
        stream._source = source
        scaled = BlockStore(source, store.parts, store.kept, ahead=self._read_ahead)
        scaled.told = store.told
        stream.__dict__["opened"] = replace(opened, store=scaled)
        return stream

    def set_apart(self, is_second: NDArray[np.bool_]) -> None:
        """From now on there are two classes: of the classes these, whose label becomes True, and all others."""
        opened = self.opened
        codes = is_second.astype(np.uint8)[opened.codes]
        self.__dict__["opened"] = replace(opened, classes=np.array([False, True]), codes=codes)

    def _kept_blocks(self, labelled: bool) -> Iterator[BlockOfRows]:
        """Of an iterator: the blocks that are kept after a fit."""
        classes = self.opened.classes
        for X, codes, s in self.encoded_blocks():
            yield X, classes[codes] if labelled else None, s

    def __repr__(self) -> str:
        return f"Stream({self._source.place(0).removesuffix(': ') or 'blocks'})"
