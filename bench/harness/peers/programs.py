"""Programs that read a file of their own or start a server: Vowpal Wabbit, H2O, Spark on this machine."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness.peers.peer import Peer, Solution, tolerances
from scipy import sparse


class VowpalWabbit(Peer):
    """Its L-BFGS over a text file, which is written before; reading it counts. Weights are float32, one thread."""

    name, module = "Vowpal Wabbit L-BFGS", "vowpalwabbit"
    levels = tuple({"passes": passes} for passes in (10, 20, 50, 100, 200))
    penalties, many_classes, intercept = ("ridge",), False, (False,)

    def prepare(self, training: Any) -> Any:
        folder = Path(tempfile.mkdtemp(prefix="vw", dir=os.environ.get("HARNESS_FOLDER")))
        rows = sparse.csr_matrix(training.X)
        with open(folder / "rows.vw", "w") as file:
            for i, label in enumerate(training.y):
                part = slice(rows.indptr[i], rows.indptr[i + 1])
                cells = [f"{j}:{v:.9g}" for j, v in zip(rows.indices[part], rows.data[part], strict=True)]
                file.write(f"{1 if label else -1} | {' '.join(cells)}\n")
        return training, folder

    def fit(self, prepared: Any, **level: Any) -> Solution:
        import vowpalwabbit

        training, folder = prepared
        d = training.X.shape[1]
        cache = folder / "rows.cache"
        cache.unlink(missing_ok=True)
        workspace = vowpalwabbit.Workspace(
            f"-d {folder / 'rows.vw'} --cache_file {cache} --bfgs --passes {level['passes']} --termination 0 "
            f"--loss_function logistic --l2 {1.0 / training.C} --noconstant --holdout_off "
            f"-b {max(8, math.ceil(math.log2(d + 1)))} --quiet"
        )
        workspace.run_parser()
        w = np.array([[workspace.get_weight(j) for j in range(d)]])
        workspace.finish()
        return w, np.zeros(1)


class _WithJava(Peer):
    def missing(self) -> str | None:
        return super().missing() or (None if shutil.which("java") else "Java is not installed")


class H2O(_WithJava):
    """`H2OGeneralizedLinearEstimator` on a server on this machine; the rows are there already."""

    name, module = "H2O", "h2o"
    levels = tolerances(1e-3, 1e-5, 1e-7, 1e-9)
    many_classes, sparse_rows = False, False

    def prepare(self, training: Any) -> Any:
        import h2o

        h2o.init(nthreads=int(os.environ.get("OMP_NUM_THREADS", "1")), bind_to_localhost=True)
        h2o.no_progress()
        frame = h2o.H2OFrame(np.column_stack([training.X, training.y]))
        frame[-1] = frame[-1].asfactor()
        return training, frame

    def fit(self, prepared: Any, **level: Any) -> Solution:
        from h2o.estimators import H2OGeneralizedLinearEstimator

        training, frame = prepared
        n, d = training.X.shape
        model = H2OGeneralizedLinearEstimator(
            family="binomial",
            solver="COORDINATE_DESCENT" if training.l1_ratio else "IRLSM",
            alpha=training.l1_ratio,
            Lambda=0.0 if math.isinf(training.C) else 1.0 / (training.C * n),
            intercept=training.fit_intercept,
            standardize=False,
            max_iterations=500,
            beta_epsilon=level["tol"],
            objective_epsilon=level["tol"],
            gradient_epsilon=level["tol"],
        )
        model.train(x=list(range(d)), y=d, training_frame=frame)
        found = model.coef()
        w = np.array([[found[name] for name in frame.columns[:-1]]])
        return w, np.array([found.get("Intercept", 0.0)])


class Spark(_WithJava):
    """`pyspark.ml.classification.LogisticRegression` in this machine's memory, cached before."""

    name, module = "Spark", "pyspark"
    levels = tolerances(1e-4, 1e-6, 1e-8, 1e-10)

    def prepare(self, training: Any) -> Any:
        from pyspark.sql import SparkSession
        from sklearn.datasets import dump_svmlight_file

        threads = os.environ.get("OMP_NUM_THREADS", "1")
        session = SparkSession.builder.master(f"local[{threads}]").config("spark.driver.memory", "4g")
        session = session.config("spark.ui.enabled", "false").getOrCreate()
        file = Path(tempfile.mkdtemp(prefix="spark", dir=os.environ.get("HARNESS_FOLDER"))) / "rows.svm"
        dump_svmlight_file(training.X, training.y, str(file), zero_based=False)
        reader = session.read.format("libsvm").option("numFeatures", str(training.X.shape[1]))
        frame = reader.load(str(file)).cache()
        frame.count()
        return training, frame

    def fit(self, prepared: Any, **level: Any) -> Solution:
        from pyspark.ml.classification import LogisticRegression

        training, frame = prepared
        n = training.X.shape[0]
        model = LogisticRegression(
            regParam=0.0 if math.isinf(training.C) else 1.0 / (training.C * n),
            elasticNetParam=training.l1_ratio,
            fitIntercept=training.fit_intercept,
            standardization=False,
            family="binomial" if training.n_classes == 2 else "multinomial",
            maxIter=1000,
            tol=level["tol"],
        ).fit(frame)
        return np.asarray(model.coefficientMatrix.toArray()), np.asarray(model.interceptVector.toArray())
