"""Estimators for Dask collections: rows stay on the workers of a cluster; needs ``pip install 'gpu-logreg[dask]'``."""

from gpu_logreg.errors import MissingDependencyError

try:
    import distributed  # noqa: F401
except ImportError as error:
    raise MissingDependencyError("gpu_logreg.dask needs Dask's scheduler; pip install 'gpu-logreg[dask]'") from error

from gpu_logreg.estimators.distributed.model import LogisticRegression
from gpu_logreg.estimators.distributed.network import MLPClassifier

__all__ = ["LogisticRegression", "MLPClassifier"]
