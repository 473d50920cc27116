"""What may happen to the rows of a stream while it is read: every fault is one line that names its file or its block.

Others of the kind are tested where they arise: files that are cut, written or replaced (`test_npy_rows`,
`test_dataset_rows`, `test_streams`), one bad file of a folder (`test_dataset_rows`), a full disk (`test_encoded_rows`,
`test_checkpoint`), an iterator that raises, blocks of other widths and dtypes, empty ones, a class that most blocks do
not have, NaN in the last block (`test_streams`), two trainings with one checkpoint (`test_checkpoint`).
"""

import os

import numpy as np
import pytest

from gpu_logreg import Checkpoint, LogisticRegression, MLPClassifier, Stream
from gpu_logreg.errors import DataError
from gpu_logreg.files import csv_blocks, libsvm_stream
from gpu_logreg.rows import block_store

N, D = 3000, 6


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS", 2**11)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 2**8)
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS_WIDE", 2**13)
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 2**13)
    monkeypatch.setattr(libsvm_stream, "_BLOCK_BYTES", 2**13)


def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    return X, (X[:, 0] + rng.logistic(size=N) > 0).astype(int)


def refused(stream, message, model=None):
    model = model or LogisticRegression()
    with pytest.raises(DataError, match=message) as raised:
        model.fit(stream)
    assert "\n" not in str(raised.value)
    assert not hasattr(model, "coef_")
    assert not hasattr(model, "coefs_")


def denied(*_, **__):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("make", [LogisticRegression, lambda: MLPClassifier((4,), batch_size=64)])
def test_permissions_that_are_lost_while_an_array_is_trained_on(tmp_path, monkeypatch, make):
    X, y = rows()
    np.save(tmp_path / "rows.npy", X)
    stream = Stream(tmp_path / "rows.npy", y, memory_budget="100kB")
    _ = stream.opened
    reads = []
    real = os.preadv

    def read(*arguments):
        reads.append(1)
        return real(*arguments) if len(reads) < 12 else denied()

    monkeypatch.setattr(os, "preadv", read)
    refused(stream, "rows.npy: cannot be read: Permission denied", make())


def test_permissions_that_are_lost_while_parquet_is_trained_on(tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    X, y = rows()
    table = pa.table({f"x{k}": X[:, k] for k in range(D)} | {"y": y})
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=700)
    monkeypatch.setattr("gpu_logreg.files.dataset_rows._COLUMN_BYTES", 0)
    stream = Stream(tmp_path / "d.parquet", target="y", memory_budget="100kB")
    _ = stream.opened
    monkeypatch.setattr(pq, "ParquetFile", denied)
    refused(stream, "d.parquet: cannot be read: Permission denied")


@pytest.mark.parametrize("name", ["d.csv", "d.svm"])
def test_a_file_that_is_not_to_be_read(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("y,x\n0,1\n1,2\n" if name == "d.csv" else "0 1:2\n1 1:3\n")
    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(DataError, match=f"{name}: cannot be read: Permission denied"):
        Stream(tmp_path / name, target="y" if name == "d.csv" else None)


@pytest.mark.parametrize("how", ["cut", "longer"])
@pytest.mark.parametrize("name", ["d.csv", "d.svm"])
def test_text_that_is_written_while_it_is_decoded(tmp_path, monkeypatch, name, how):
    lines = [f"{k % 2},{k}.5" if name == "d.csv" else f"{k % 2} 1:{k}.5" for k in range(5000)]
    path = tmp_path / name
    path.write_text("\n".join(["y,x", *lines] if name == "d.csv" else lines) + "\n")
    module = "schema_by_block.NumberFacts.add" if name == "d.csv" else "libsvm_stream.check_labels"
    module = f"gpu_logreg.files.{module}"
    owner, attribute = module.rsplit(".", 1)
    real = getattr(__import__("pkgutil").resolve_name(owner), attribute)
    size, calls = path.stat().st_size, []

    def changed(*arguments):
        calls.append(1)
        if len(calls) == 2:
            with open(path, "r+b") as file:
                file.truncate(size // 2 if how == "cut" else size)
                if how == "longer":
                    file.seek(0, 2)
                    file.write(b"0,3\n" if name == "d.csv" else b"0 1:3\n")
        return real(*arguments)

    monkeypatch.setattr(module, changed)
    with pytest.raises(DataError, match=f"{name}: was changed while it is read") as raised:
        Stream(path, target="y" if name == "d.csv" else None)
    assert "\n" not in str(raised.value)
    assert len(calls) > 2


def test_text_that_is_replaced_after_it_was_decoded_is_not_seen(tmp_path):
    lines = [f"{k % 2},{k % 7}.5" for k in range(5000)]
    path = tmp_path / "d.csv"
    path.write_text("\n".join(["y,x", *lines]))
    stream = Stream(path, target="y", memory_budget="100kB")
    model = LogisticRegression().fit(stream)
    path.write_text("another,file\n")
    again = LogisticRegression().fit(stream)
    np.testing.assert_array_equal(model.coef_, again.coef_)


def test_an_empty_block_between_others():
    X, y = rows()
    blocks = [(X[:1000], y[:1000]), (X[:0], y[:0]), (X[1000:], y[1000:])]
    model, other = LogisticRegression().fit(blocks), LogisticRegression().fit([(X, y)])
    np.testing.assert_array_equal(model.coef_, other.coef_)


def test_a_checkpoint_that_is_not_to_be_written_any_more(tmp_path, monkeypatch):
    X, y = rows()
    np.save(tmp_path / "rows.npy", X)
    stream = Stream(tmp_path / "rows.npy", y, memory_budget="100kB")
    checkpoint = Checkpoint(tmp_path / "c", every=0)
    model = LogisticRegression().fit(stream)

    def lose(iteration):
        if iteration.n_iter == 1:
            monkeypatch.setattr(os, "fsync", denied)

    with pytest.warns(UserWarning, match="c: .*Permission denied"):
        other = LogisticRegression(verbose=lose).fit(stream, checkpoint=checkpoint)
    np.testing.assert_array_equal(model.coef_, other.coef_)


def test_two_trainings_of_streams_do_not_share_a_checkpoint(tmp_path):
    X, y = rows()
    np.save(tmp_path / "rows.npy", X)
    path = tmp_path / "c"
    messages = []

    def other(iteration):
        if iteration.n_iter == 1:
            with pytest.raises(Exception, match="another training is writing this checkpoint") as raised:
                LogisticRegression().fit(Stream(tmp_path / "rows.npy", y), checkpoint=path)
            messages.append(str(raised.value))

    LogisticRegression(verbose=other).fit(Stream(tmp_path / "rows.npy", y, memory_budget="100kB"), checkpoint=path)
    assert messages
