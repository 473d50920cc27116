"""Problems by name: how to make the rows, what is minimised, which file is needed, and whether two cores have time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import problems
from harness import generated
from harness.training import Training
from scipy import sparse
from sklearn.datasets import load_svmlight_file

FOLDER = Path(os.environ.get("GPU_LOGREG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))

Made = tuple[Any, np.ndarray]


class Named(NamedTuple):
    """A problem.

    Attributes
    ----------
    make
        Rows and labels 0 to K - 1, the same on every call.
    file
        Of the folder of data, without which it is skipped.
    share
        Of the time that a run has, over that of other problems.
    full
        Whether it is for ``FULL=1`` only.
    only
        Peers it is limited to, where a table of several sizes is to be short.
    """

    make: Callable[[], Made]
    C: float = 1.0
    l1_ratio: float = 0.0
    fit_intercept: bool = True
    file: str | None = None
    share: float = 1.0
    full: bool = False
    only: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Why it cannot be made here, or None."""
        if self.file is not None and not (FOLDER / self.file).is_file():
            return f"{self.file} is not in {FOLDER}; set GPU_LOGREG_DATA to the folder of the data sets"
        return None

    def training(self) -> Training:
        X, y = self.make()
        if sparse.issparse(X):
            X = sparse.csr_matrix(X)
            if X.nnz < 2**31:  # some peers take no indices of 64 bits
                X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        return Training(X, y.astype(np.int64), self.C, self.l1_ratio, self.fit_intercept)


def dense(make: Callable[..., Any], *sizes: Any) -> Callable[[], Made]:
    """A problem of `bench/problems.py`, as rows and labels."""

    def made() -> Made:
        problem = make(*sizes)
        return problem.X, problem.y

    return made


def libsvm(file: str, n_features: int | None = None) -> Callable[[], Made]:
    """A file of LIBSVM's collection; labels in ascending order."""

    def made() -> Made:
        X, labels = load_svmlight_file(str(FOLDER / file), n_features=n_features)
        return X, np.unique(labels, return_inverse=True)[1]

    return made


def from_text(maker: str, *sizes: int) -> Callable[[], Made]:
    """Sparse rows of the programs that measure sparse rows and L1 penalties alone."""

    def made() -> Made:
        import bench_l1_columns
        import bench_sparse

        problem = getattr(bench_sparse, maker, None) or getattr(bench_l1_columns, maker)
        found = problem(*sizes)
        return found.X, found.y

    return made


def mnist() -> Made:
    """Pixels from 0 to 1, ten digits."""
    with np.load(FOLDER / "mnist.npz") as file:
        return (file["X_train"].reshape(-1, 784) / 255.0).astype(np.float32), file["y_train"].astype(np.int64)


def covtype(class_two: bool = True) -> Callable[[], Made]:
    """In metres and degrees: class 2 against the rest, or all seven."""

    def made() -> Made:
        table = np.loadtxt(FOLDER / "covtype.20k.data.gz", delimiter=",")
        y = (table[:, 54] == 2).astype(np.int64) if class_two else np.unique(table[:, 54], return_inverse=True)[1]
        return table[:, :54], y

    return made


FEW = ("gpu-logreg", "gpu-logreg, GPU", "glum", "scikit-learn newton-cholesky", "scikit-learn lbfgs", "cuml, GPU")
FEW += ("scikit-learn-intelex lbfgs", "torch L-BFGS, GPU")
"""Of the tables over n and d."""

BARE = {"C": 100.0, "fit_intercept": False}
"""As comparisons of solvers on LIBSVM's sets are often published."""

SCALING_N = {f"scaling, n = {n}": Named(dense(problems.table_like, n, 50), only=FEW) for n in (10_000, 100_000)}
SCALING_D = {f"scaling, d = {d}": Named(dense(problems.table_like, 50_000, d), only=FEW) for d in (10, 100, 500)}

NAMED: dict[str, Named] = {
    "breast cancer": Named(dense(problems.breast_cancer)),
    "table-like, 5,000 x 20": Named(dense(problems.table_like, 5_000, 20)),
    "airline-like, 1 million": Named(lambda: generated.airline_like(1_000_000), share=3.0),
    "a9a, C = 100": Named(libsvm("a9a.gz", 123), file="a9a.gz", **BARE),
    "ijcnn1, C = 100": Named(libsvm("ijcnn1.trn.bz2", 22), file="ijcnn1.trn.bz2", **BARE),
    "covtype, C = 100": Named(covtype(), file="covtype.20k.data.gz", **BARE),
    "criteo-like, 200,000 x 65,536": Named(lambda: generated.criteo_like(200_000, 2**16), share=3.0),
    "epsilon-like, 20,000": Named(lambda: generated.epsilon_like(20_000), share=3.0),
    "classes, 20,000 x 200 x 10": Named(lambda: generated.many_classes(20_000, 200, 10), share=2.0),
    "table-like, 200,000 x 100": Named(dense(problems.table_like, 200_000, 100), share=2.0),
    "gaussian, 1,000,000 x 28": Named(dense(problems.gaussian, 1_000_000, 28), share=2.0),
    "no penalty, 50,000 x 20": Named(dense(problems.table_like, 50_000, 20, "float64"), C=math.inf),
    "reuters": Named(libsvm("reuters.trn.bz2"), fit_intercept=False, file="reuters.trn.bz2"),
    "a9a, L1": Named(libsvm("a9a.gz", 123), l1_ratio=1.0, fit_intercept=False, file="a9a.gz"),
    "reuters, L1": Named(libsvm("reuters.trn.bz2"), l1_ratio=1.0, fit_intercept=False, file="reuters.trn.bz2"),
    **SCALING_N,
    "scaling, n = 1000000": Named(dense(problems.table_like, 1_000_000, 50), only=FEW, full=True),
    **SCALING_D,
    "scaling, d = 2000": Named(dense(problems.table_like, 50_000, 2000), only=FEW, full=True),
    "airline-like, 10 million": Named(lambda: generated.airline_like(10_000_000), full=True),
    "criteo-like, 10 million": Named(lambda: generated.criteo_like(10_000_000), full=True),
    "epsilon-like, 400,000": Named(lambda: generated.epsilon_like(400_000), full=True),
    "classes, 100,000 x 1,000 x 50": Named(lambda: generated.many_classes(100_000, 1_000, 50), full=True),
    "gaussian, 4,000,000 x 28": Named(dense(problems.gaussian, 4_000_000, 28), full=True),
    "gaussian, 1,000,000 x 100": Named(dense(problems.gaussian, 1_000_000, 100), full=True),
    "table-like, 1,000,000 x 100": Named(dense(problems.table_like, 1_000_000, 100), full=True),
    "table-like, 200,000 x 500": Named(dense(problems.table_like, 200_000, 500), full=True),
    "table-like, 100,000 x 1,000": Named(dense(problems.table_like, 100_000, 1_000), full=True),
    "gaussian, 2,000 x 20,000": Named(dense(problems.gaussian, 2_000, 20_000), full=True),
    "mnist": Named(mnist, file="mnist.npz", full=True),
    "covtype, 7 classes": Named(covtype(False), file="covtype.20k.data.gz", full=True),
    "sector": Named(libsvm("sector.scale.bz2"), file="sector.scale.bz2", fit_intercept=False, full=True),
    "text-like": Named(from_text("text_like"), fit_intercept=False, full=True),
    "tf-idf, L1": Named(from_text("tf_idf", 20_000, 10_000), l1_ratio=1.0, fit_intercept=False, full=True),
}
