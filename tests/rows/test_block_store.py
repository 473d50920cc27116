"""Blocks of rows: which stay in memory, which are read again, and a thread that reads ahead."""

import itertools
import threading

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg.arrays.kinds import kind_of
from gpu_logreg.errors import DataError
from gpu_logreg.rows import block_store
from gpu_logreg.rows.block_store import BlockStore, cut_dense, dense_block_rows, kept_numbers
from gpu_logreg.rows.read_ahead import read_ahead


class Source:
    """Rows of an array in pieces of a size, with a count of the pieces that were made."""

    order, seeks = "C", False

    def __init__(self, X, piece=7, fills=False):
        self.X, self.piece, self.fills = X, piece, fills
        (self.n_rows, self.n_columns), self.dtype, self.kind = X.shape, X.dtype, kind_of(X)
        self.made = 0

    def pieces(self, wanted):
        for first in range(0, self.n_rows, self.piece):
            self.made += 1
            yield first, self.X[first : first + self.piece]

    def fill(self, part, out):
        self.made += 1
        out[...] = self.X[part]

    def place(self, row):
        return ""


X = np.arange(200.0).reshape(50, 4)
PARTS = [slice(0, 16), slice(16, 32), slice(32, 48), slice(48, 50)]


@pytest.mark.parametrize("kept", [(), (1,), (0, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("piece", [1, 7, 16, 100])
@pytest.mark.parametrize("fills", [False, True])
def test_every_walk_gives_all_blocks(kept, ahead, piece, fills):
    store = BlockStore(Source(X, piece, fills), PARTS, frozenset(kept), ahead=ahead)
    for walk in range(3):
        found = [(number, block.copy()) for number, block in store.walk()]
        assert [number for number, _ in found] == [0, 1, 2, 3]
        np.testing.assert_array_equal(np.concatenate([block for _, block in found]), X)
        assert store.blocks_read == 4 + walk * (4 - len(kept))
    assert store.bytes_read == 32 * sum(
        part.stop - part.start for walk in range(3) for k, part in enumerate(PARTS) if walk == 0 or k not in kept
    )


@pytest.mark.parametrize("numbers", [[0], [3], [1, 2], [0, 3]])
@pytest.mark.parametrize("fills", [False, True])
def test_a_walk_over_some_blocks(numbers, fills):
    store = BlockStore(Source(X, 5, fills), PARTS, frozenset({2}))
    found = [(number, block.copy()) for number, block in store.walk(numbers)]
    assert [number for number, _ in found] == numbers
    for number, block in found:
        np.testing.assert_array_equal(block, X[PARTS[number]])


@pytest.mark.parametrize("piece", [3, 100])
def test_sparse_blocks(piece):
    rows = sparse.csr_array(np.where(X % 3 == 0, X, 0.0))
    store = BlockStore(Source(rows, piece), PARTS, frozenset({1}))
    for _ in range(2):
        blocks = [block for _, block in store.walk()]
        assert all(block.format == "csr" for block in blocks)
        np.testing.assert_array_equal(np.concatenate([block.toarray() for block in blocks]), rows.toarray())


def test_memory_is_used_again(monkeypatch):
    made = []
    monkeypatch.setattr(block_store.np, "empty", lambda *args, new=np.empty: made.append(1) or new(*args))
    parts = [slice(5 * k, 5 * k + 5) for k in range(10)]
    store = BlockStore(Source(X, fills=True), parts, frozenset())
    for _ in store.walk():
        pass
    assert len(made) <= block_store.IN_FLIGHT


def test_a_source_that_ends_early_is_refused():
    class Short(Source):
        def pieces(self, wanted):
            yield 0, self.X[:20]

    with pytest.raises(DataError, match="row 16 and those after it are no longer there"):
        list(BlockStore(Short(X), PARTS, frozenset()).walk())


def test_an_error_of_the_source_comes_at_its_block():
    class Broken(Source):
        def fill(self, part, out):
            if part.start == 32:
                raise DataError("rows.npy: gone")
            out[...] = self.X[part]

    walk = BlockStore(Broken(X, fills=True), PARTS, frozenset()).walk()
    assert [next(walk)[0], next(walk)[0]] == [0, 1]
    with pytest.raises(DataError, match=r"rows\.npy: gone"):
        next(walk)


def test_a_walk_that_is_left_ends_its_thread():
    threads = threading.active_count()
    walk = BlockStore(Source(X, 2), PARTS, frozenset()).walk()
    next(walk)
    assert threading.active_count() == threads + 1
    walk.close()
    assert threading.active_count() == threads


def test_reading_ahead_is_bounded():
    made, held = [], threading.Semaphore(0)

    def items(check):
        for k in range(20):
            made.append(k)
            held.release()
            yield k

    ahead = read_ahead(items, depth=1)
    assert next(ahead) == 0
    held.acquire(timeout=5)
    held.acquire(timeout=5)
    assert len(made) <= 4  # given, waiting, and one for which there is no room
    assert list(ahead) == list(range(1, 20))


@pytest.mark.parametrize(("n", "d"), [(1, 1), (10**7, 1), (10**6, 50), (10**5, 3000), (10**4, 10**6)])
def test_blocks_by_the_columns_alone(n, d):
    parts = cut_dense(n, d)
    assert parts[0].start == 0
    assert parts[-1].stop == n
    assert all(a.stop == b.start for a, b in itertools.pairwise(parts))
    assert {part.stop - part.start for part in parts[:-1]} <= {dense_block_rows(d)}
    assert max(part.stop - part.start for part in parts) * d <= 2**24
    assert len({part.stop - part.start for part in parts[:-1]}) <= 1


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_kept_blocks_are_spread(n):
    for n_kept in range(-1, n + 2):
        kept = sorted(kept_numbers(n, n_kept))
        assert len(kept) == min(n, max(0, n_kept))
        if len(kept) > 1:
            gaps = np.diff(kept)
            assert gaps.max() - gaps.min() <= 1
